"""Gates in words: one number is written one way on the page, in summary.md and in junit.xml."""

import math
import re
from xml.etree import ElementTree

import pytest

from tasks import gates, params
from tasks.report import companions, summary, verdict, wording
from tests import latency_factory
from tests.tasks import test_gates

RULES = [
    {"metric": "map", "severity": 0, "min": 0.6},
    {"metric": "map", "severity": 0, "min": 0.62},
    {"metric": "map", "severity": 0, "max": 0.62049},
    {"metric": "map", "severity": 1, "corruption": "fog", "min": 0.1},
    {"metric": "map", "corruption": "rain", "against": "baseline", "max_drop": 0.0499},
    {"metric": "map", "corruption": "fog", "against": "baseline", "max_drop": 0.0001},
    {"metric": "mpc", "task": "detection", "against": "clean", "max_drop": 0.2},
    {"metric": "latency_p50_ms", "max": 15.0},
    {"metric": "latency_p95_ms", "max": 1000},
    {"metric": "latency_p50_ms", "against": "baseline", "max_ratio": 1.2},
    {"metric": "frames_per_s", "min": 100.001},
]


@pytest.fixture(scope="module")
def judged():
    chosen = params.parse(
        {
            "models": dict.fromkeys(("old", "new"), test_gates.MODEL),
            "baseline": "old",
            "corruptions": {"weather": ["fog", "rain"], "optics": ["blur"]},
            "severities": [1, 2],
            "gates": RULES,
        }
    )
    scores = test_gates.table()
    at = (scores["corruption"] == "fog") & (scores["severity"] == 1) & scores["baseline"].isna()
    scores.loc[at, ["low", "high"]] = 0.0984, 0.71
    scores.loc[(scores["model"] == "new") & (scores["value"] == 0.62), "value"] = 0.61996
    return gates.evaluate(chosen, scores, latency_factory.table(["old", "new"]))


def test_reason_and_column_have_the_same_digits(judged):
    for row in judged.to_dict("records"):
        observed, reason = verdict.observed(row), wording.sentence(row["reason"])
        figure, _, interval = re.sub("^× | (ms|frames/s)", "", observed).partition(" [")
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d])", reason), (observed, reason)
        if row["status"] == "uncertain":
            assert f"[{interval}" in reason
        assert f"{row['threshold']:g}" in verdict.bound(row)
        assert f"{row['threshold']:g}" in reason
        if not math.isnan(row["observed"]):  # what is written keeps to its side of the threshold
            written = float(figure.replace("−", "-"))
            assert (written > row["threshold"]) == (row["observed"] > row["threshold"] + 1e-9)


def test_rounding_hides_no_verdict(judged):
    assert judged["reason"].iloc[:3].tolist() == ["0.620 >= 0.6.", "0.61996 < 0.62.", "0.620 <= 0.62049."]
    assert judged["reason"].iloc[3] == "0.550 >= 0.1, but its interval [0.098, 0.71] reaches across 0.1."


def test_beside_the_page(judged):
    suite = ElementTree.fromstring(companions.junit_xml(judged)).find("testsuite")
    text = "\n".join(summary._gates(judged))
    for row, case in zip(judged.to_dict("records"), suite, strict=True):
        if row["status"] == "pass":
            continue
        assert case[0].get("message", "").endswith(wording.sentence(row["reason"]))
        if row["status"] == "fail":
            assert case[0].text == f"observed {verdict.observed(row)}, threshold {verdict.bound(row)}"
        assert verdict.observed(row) in text
