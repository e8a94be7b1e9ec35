"""All metrics of two models, against rows written by hand."""

import math

import pandas as pd
import pytest

from tasks import tables
from tasks.report import metric_changes
from tests import diagnostics_factory, report_factory

BLANK = dict.fromkeys(tables.SCHEMAS["scores"].names)


def cell(model: str, metric: str, corruption: str, severity: int, value: float | None, **more) -> dict:
    found = {"task": "tracking", "family": corruption, "slice": "all", "class": "all", "status": "ok", "n_units": 20}
    return {
        **BLANK,
        **found,
        "model": model,
        "metric": metric,
        "corruption": corruption,
        "severity": severity,
        "value": value,
        **more,
    }


def table(*rows: dict) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=tables.SCHEMAS["scores"].names)
    return found.astype(dict.fromkeys(("value", "low", "high", "p_value", "q_value"), float)).astype(
        {"severity": "Int16"}
    )


def both(metric: str, a: dict, b: dict) -> list[dict]:
    """Cells of models a and b: (corruption, severity) -> figure."""
    return [
        cell(model, metric, name, severity, value)
        for model, own in (("a", a), ("b", b))
        for (name, severity), value in own.items()
    ]


PLACES = [("clean", 0), ("fog", 1), ("fog", 2), ("rain", 1)]


def test_a_rise_is_worse_where_lower_is_better() -> None:
    switches = both(
        "id_switches", dict(zip(PLACES, [3, 10, 20, 40], strict=True)), dict(zip(PLACES, [11, 5, 5, 7], strict=True))
    )
    hota = both("hota", dict.fromkeys(PLACES, 0.5), dict.fromkeys(PLACES, 0.6))
    found = metric_changes.changes(table(*switches, *hota), "tracking", "a", "b", 0.95)
    assert [metric.name for metric in found] == ["hota", "id_switches"], "the headline first"
    hota_, switches_ = found
    assert (switches_.clean.a, switches_.clean.b, switches_.clean.value) == (3, 11, 8)
    # each corruption's mean over its severities, then over the corruptions: (15 + 40) / 2 and (5 + 7) / 2
    assert (switches_.mean.a, switches_.mean.b) == (27.5, 6.0)
    assert switches_.reads(switches_.clean) == "worse"
    assert switches_.reads(switches_.mean) == "better"
    assert hota_.reads(hota_.mean) == "better"
    assert switches_.relative(switches_.clean) == pytest.approx(-8 / 3), "the worst sorts first"
    line = metric_changes.line(switches_)
    assert [c["change"] for c in line["cells"]] == ["+8.0", "−21.5"]
    assert [c["words"] for c in line["cells"]] == ["▼ worse", "▲ better"]
    assert line["lower"]
    assert line["interval"] == "not paired"


def test_only_cells_that_both_have_enter() -> None:
    a = {("clean", 0): 0.9, ("fog", 1): 0.5, ("fog", 2): 0.3}
    b = {("clean", 0): 0.9, ("fog", 1): 0.4, ("fog", 2): math.nan, ("rain", 1): 0.8}
    (metric,) = metric_changes.changes(table(*both("idf1", a, b)), "tracking", "a", "b", 0.95)
    assert (metric.mean.a, metric.mean.b, metric.mean.cells, metric.mean.asked) == (0.5, 0.4, 1, 3)
    assert metric_changes.line(metric)["cells"][1]["few"] == "1 of 3 cells"
    assert metric.reads(metric.clean) == "", "no change that the decimals show"


def test_the_interval_is_that_of_the_paired_row_of_the_same_figure() -> None:
    cells = both("hota", dict.fromkeys(PLACES, 0.5), dict.fromkeys(PLACES, 0.4))
    paired = {"baseline": "a", "low": -0.15, "high": -0.05, "p_value": 0.001}
    clean = cell("b", "hota", "clean", 0, -0.1, **paired)
    other = cell("b", "mpc", "all", None, -0.2, **paired)  # over other cells: not this figure
    (metric,) = metric_changes.changes(table(*cells, clean, other), "tracking", "a", "b", 0.95)
    assert (metric.clean.low, metric.clean.high, metric.clean.outcome) == (-0.15, -0.05, "regression")
    assert metric.mean.outcome == ""
    assert math.isnan(metric.mean.low)
    assert metric_changes.line(metric)["cells"][0]["words"] == "▼ regression"


def test_the_sentence_names_what_went_the_other_way() -> None:
    hota = both("hota", dict.fromkeys(PLACES, 0.5), dict.fromkeys(PLACES, 0.6))
    worse = both("fragmentations", dict.fromkeys(PLACES, 20.0), dict.fromkeys(PLACES, 30.0))
    better = both("idf1", dict.fromkeys(PLACES, 0.5), dict.fromkeys(PLACES, 0.6))
    text = metric_changes.sentence(metric_changes.changes(table(*hota, *worse, *better), "tracking", "a", "b", 0.95))
    assert text == (
        "HOTA under corruption 0.500 → 0.600 (+0.100), not paired: no interval. "
        "Worse meanwhile (not paired): fragmentations 20.0 → 30.0."
    )
    text = metric_changes.sentence(metric_changes.changes(table(*hota, *better), "tracking", "a", "b", 0.95))
    assert text.endswith("No other metric is worse.")


def test_means_agree_with_the_mpc_of_the_scores() -> None:
    run = report_factory.params()
    scores = diagnostics_factory.explained(run, report_factory.scores(run, tasks=["detection"]))
    found = metric_changes.changes(scores, "detection", "crossing-v1", "crossing-v2", 0.95)
    first = found[0]
    rows = scores[(scores["metric"] == "mpc") & (scores["corruption"] == "all") & (scores["family"] == "all")]
    rows = rows[(rows["slice"] == "all") & (rows["class"] == "all")]
    own = rows[rows["baseline"].isna()].set_index("model")["value"]
    assert first.mean.a == pytest.approx(own["crossing-v1"])
    assert first.mean.b == pytest.approx(own["crossing-v2"])
    assert first.mean.outcome == "gain"
    assert {metric.name for metric in found} >= {"ap50", "tide_miss", "d_ece", "operating_recall"}
    assert "operating_threshold" not in {metric.name for metric in found}, "a setting is no metric"
