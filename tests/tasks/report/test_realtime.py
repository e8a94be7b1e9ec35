"""The table of real time: its figures are those of the rows, and who does not keep up is told."""

import math

import pandas as pd
import pytest

from tasks import tables
from tasks.layout import Layout
from tasks.metrics import REALTIME
from tasks.metrics.realtime_compared import NAMES
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


def live(scores, *, late="crossing-v2", shift=-0.3):
    """Rows as the stage writes them: one model keeps up, the other processes half and has half of its HOTA.

    Its differences to the baseline are shifted.
    """
    own = (scores["task"] == "tracking") & (scores["class"] == "all") & scores["metric"].isin(["hota", "mpc"])
    rows = scores[own & scores["model"].isin(MODELS)]
    plain, apart = rows[rows["baseline"].isna()], rows[rows["baseline"].notna()]
    cells = plain[plain["metric"] == "hota"]
    factor = plain["model"].map({late: 0.5}).fillna(1.0)
    figures = {name: plain[name] * factor for name in ("value", "low", "high")}
    moved = {name: apart[name] + shift for name in ("value", "low", "high")}
    nothing = {"low": math.nan, "high": math.nan}
    return pd.concat(
        [
            plain.assign(metric=plain["metric"].map(NAMES), **figures),
            cells.assign(metric="frames_processed", value=factor[cells.index], **nothing),
            cells.assign(metric="realtime_latency_ms", value=20 / factor[cells.index] ** 3, **nothing),
            cells.assign(metric="realtime_frames_per_s", value=10.0, **nothing),
            apart.assign(metric=apart["metric"].map(NAMES), **moved),
        ],
        ignore_index=True,
    )


def value(scores, model, baseline=None):
    """The rows of clean frames and of the mean over corruptions."""
    own = scores["baseline"].isna() if baseline is None else scores["baseline"] == baseline
    own = scores[own & (scores["task"] == "tracking") & (scores["slice"] == "all") & (scores["class"] == "all")]
    own = own[own["model"] == model]
    means = (own["metric"] == "mpc") & (own["corruption"] == "all") & (own["family"] == "all")
    return own[(own["metric"] == "hota") & (own["severity"] == 0)].iloc[0], own[means].iloc[0]


def test_lines_are_the_rows_and_their_means(scores):
    found = realtime.realtime(params(), scores, live(scores))
    assert [line["model"] for line in found["lines"]] == list(MODELS)
    for line, factor in zip(found["lines"], (1.0, 0.5), strict=True):
        shown = []
        for row in value(scores, line["model"]):
            for times in (1.0, factor):
                shown.append(wording.figure(*(row[name] * times for name in ("value", "low", "high"))))
        assert line["values"] == shown
        assert line["processed"] == wording.percent(factor)
        assert line["latency"] == amounts.amount(20 / factor**3)
    kept, lost, *_ = found["told"]
    assert "crossing-v1 takes 20.0 ms a frame, and 10.0 frames/s arrive: it keeps up" in kept
    assert f"loses {wording.number(value(scores, 'crossing-v2')[0]['value'] / 2)} HOTA" in lost
    assert not found["stated"]
    assert realtime.realtime(params({"latency_ms": 20}), scores, live(scores))["stated"]


def test_differences_to_the_baseline_stand_side_by_side_and_what_turns_is_told(scores):
    rows = value(scores, "crossing-v2", "crossing-v1")
    up = 0.01 + max(-row["low"] for row in rows)  # both are gains where frames wait
    better = scores.copy()
    for name in ("value", "low", "high"):
        better.loc[better["baseline"].notna(), name] += up
    better.loc[better["baseline"].notna(), "q_value"] = math.nan
    found = realtime.realtime(params(), better, live(better, shift=-1.0))
    assert [(line["model"], line["at"]) for line in found["differences"]] == [
        ("crossing-v2", "clean"),
        ("crossing-v2", "corrupted"),
    ]
    for line, row in zip(found["differences"], value(better, "crossing-v2", "crossing-v1"), strict=True):
        ends = [row[name] for name in ("value", "low", "high")]
        assert line["cells"][0]["text"] == wording.difference(*ends)
        assert line["cells"][1]["text"] == wording.difference(*(end - 1.0 for end in ends))
        assert [cell["style"] for cell in line["cells"]] == ["gain", "regression"]
    assert found["told"][2:] == [
        f"On {at} frames crossing-v2 is better than crossing-v1 if frames wait, but worse than it in real time."
        for at in ("clean", "corrupted")
    ]
    same = realtime.realtime(params(), better, live(better, shift=0.0))
    assert len(same["told"]) == 2
    for model in MODELS:  # the other one has no tracking
        alone = better[(better["model"] == model) & better["baseline"].isna()]
        assert not realtime.realtime(params(), alone, live(alone))["differences"]


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
    failed = absent.assign(status="failed", note=None)
    found = realtime.realtime(params(), scores, pd.concat([table[~own], failed], ignore_index=True))
    assert found["told"][1] == "crossing-v2: its cell of clean frames failed or is missing."
    without = params().model_copy(update={"realtime": None})
    assert realtime.realtime(without, scores, table) is None


def test_the_page_shows_it_without_a_measured_latency_and_judges_rules_on_it(scores, tmp_path):
    rules = [{"metric": "frames_processed", "severity": 0, "min": 0.9}]
    run = params({"latency_ms": 20}, gates=rules)
    tables.write("scores", live(scores), Layout(tmp_path).realtime / "realtime.parquet")
    text = published(tmp_path, run, scores)
    assert text.count('id="realtime-table"') == text.count('id="realtime-differences"') == 1
    assert text.count('id="latency-title"') == 1
    assert "1 of 1 gates fail" in text
    assert "0.500 &lt; 0.9" in (tmp_path / "reports/junit.xml").read_text(encoding="utf-8")
    assert "The latency is the one that params state" in text
