"""The table of real time: its figures are those of the rows, and who does not keep up is told."""

import math

import pandas as pd
import pytest

from tasks import tables
from tasks.layout import Layout
from tasks.metrics import REALTIME
from tasks.report import amounts, realtime, wording
from tests import report_factory
from tests.tasks.report.test_publish import published

MODELS = ("crossing-v1", "crossing-v2")


def params(wanted=None, **changes):
    made = report_factory.params(MODELS, **changes).model_dump(by_alias=True, exclude_none=True)
    return report_factory.parse({**made, "realtime": wanted or {}})


@pytest.fixture(scope="module")
def scores():
    return report_factory.scores(params(), tasks=["detection", "tracking"])


def live(scores, *, late="crossing-v2"):
    """Rows as the stage writes them: one model keeps up, the other processes half and has half of its HOTA."""
    own = scores["baseline"].isna() & (scores["task"] == "tracking") & scores["severity"].notna()
    rows = scores[own & (scores["class"] == "all") & (scores["metric"] == "hota") & scores["model"].isin(MODELS)]
    factor = rows["model"].map({late: 0.5}).fillna(1.0)
    figures = {name: rows[name] * factor for name in ("value", "low", "high")}
    nothing = {"low": math.nan, "high": math.nan}
    return pd.concat(
        [
            rows.assign(metric=REALTIME["hota"], **figures),
            rows.assign(metric="frames_processed", value=factor, **nothing),
            rows.assign(metric="realtime_latency_ms", value=20 / factor**3, **nothing),
            rows.assign(metric="realtime_frames_per_s", value=10.0, **nothing),
        ],
        ignore_index=True,
    )


def value(scores, model):
    own = scores[scores["baseline"].isna() & (scores["task"] == "tracking") & (scores["metric"] == "hota")]
    own = own[(own["slice"] == "all") & (own["class"] == "all") & (own["model"] == model)]
    clean, rest = own[own["severity"] == 0], own[own["severity"] > 0]
    return clean.iloc[0], rest.groupby("corruption")["value"].mean().mean()


def test_lines_are_the_rows_and_their_means(scores):
    found = realtime.realtime(params(), scores, live(scores))
    assert [line["model"] for line in found["lines"]] == list(MODELS)
    for line, factor in zip(found["lines"], (1.0, 0.5), strict=True):
        clean, corrupted = value(scores, line["model"])
        assert line["values"][0] == wording.figure(clean["value"], clean["low"], clean["high"])
        assert line["values"][1] == wording.figure(*(clean[name] * factor for name in ("value", "low", "high")))
        assert line["values"][2:] == [wording.number(corrupted), wording.number(corrupted * factor)]
        assert line["processed"] == wording.percent(factor)
        assert line["latency"] == amounts.amount(20 / factor**3)
    kept, lost = found["told"]
    assert "crossing-v1 takes 20.0 ms a frame, and 10.0 frames/s arrive: it keeps up" in kept
    assert f"loses {wording.number(value(scores, 'crossing-v2')[0]['value'] / 2)} HOTA" in lost
    assert not found["stated"]
    assert realtime.realtime(params({"latency_ms": 20}), scores, live(scores))["stated"]


def test_a_model_without_figures_says_why_and_without_the_table_there_is_none(scores):
    table = live(scores)
    own = table["model"] == "crossing-v2"
    absent = table[own & (table["metric"] == REALTIME["hota"])].assign(
        value=math.nan, low=math.nan, high=math.nan, status="not_defined", note="its times are not known"
    )
    found = realtime.realtime(params(), scores, pd.concat([table[~own], absent], ignore_index=True))
    assert found["told"][1] == "crossing-v2: its times are not known."
    assert found["lines"][1]["values"][1::2] == ["–", "–"]
    assert found["lines"][1]["processed"] == "–"
    assert realtime.realtime(params(), scores, None) is None
    assert realtime.realtime(params(), scores, table[:0]) is None
    without = params().model_copy(update={"realtime": None})
    assert realtime.realtime(without, scores, table) is None


def test_the_page_shows_it_without_a_measured_latency_and_judges_rules_on_it(scores, tmp_path):
    rules = [{"metric": "frames_processed", "severity": 0, "min": 0.9}]
    run = params({"latency_ms": 20}, gates=rules)
    tables.write("scores", live(scores), Layout(tmp_path).realtime / "realtime.parquet")
    text = published(tmp_path, run, scores)
    assert text.count('id="realtime-table"') == 1
    assert text.count('id="latency-title"') == 1
    assert "1 of 1 gates fail" in text
    assert "0.500 &lt; 0.9" in (tmp_path / "reports/junit.xml").read_text(encoding="utf-8")
    assert "The latency is the one that params state" in text
