"""Calibration: diagrams against their counts, figures over severity, the policy; what is missing is said."""

import pytest

from tasks.report import calibration, policy_tables, reliability
from tests import diagnostics_factory, report_factory

TASKS = ("classification", "detection", "semantic")


@pytest.fixture(scope="module")
def run():
    return report_factory.params()


@pytest.fixture(scope="module")
def scores(run):
    return diagnostics_factory.explained(run, report_factory.scores(run, tasks=TASKS))


@pytest.fixture(scope="module")
def table(run):
    return diagnostics_factory.reliability(run, TASKS)


@pytest.fixture(scope="module")
def section(run, scores, table):
    charts = {}
    return calibration.calibration(run, scores, table, diagnostics_factory.policy(run), charts), charts


def block(section, task):
    return next(block for block in section[0]["blocks"] if block["task"] == task)


def test_only_tasks_with_a_confidence_are_there(run, section, table):
    assert [b["task"] for b in section[0]["blocks"]] == ["classification", "detection"]
    alone = report_factory.scores(run, tasks=["semantic"])
    assert calibration.calibration(run, alone, table, {}, {}) is None


def test_the_diagram_pools_the_highest_severity_by_counts(section, table):
    clean, clean_counts, worst, worst_counts = section[1]["reliability-detection-crossing-v1"]["data"]
    own = table[(table["task"] == "detection") & (table["model"] == "crossing-v1")]
    assert clean["x"] == pytest.approx(own.loc[own["severity"] == 0, "confidence"].tolist(), abs=6e-5)
    high = own[own["severity"] == 5]
    for place, low in enumerate(sorted(set(high["low"]))):
        bin_ = high[high["low"] == low]
        total = sum(bin_["count"])
        expected = sum(a * n for a, n in zip(bin_["accuracy"], bin_["count"], strict=True)) / total
        assert worst["y"][place] == pytest.approx(expected, abs=6e-5)
        assert worst_counts["y"][place] == total
    assert worst_counts["yaxis"] == "y2"
    assert len(clean_counts["y"]) == 4


def test_the_data_of_the_diagram_are_its_points(section):
    figure = section[1]["reliability-detection-crossing-v1"]["data"]
    lines = block(section, "detection")["diagrams"][0]["lines"]
    assert [line["bin"] for line in lines] == ["0.200 to 0.267", "0.533 to 0.600", "0.933 to 1.000", "1"]
    for place, line in enumerate(lines):
        n, sure, right, n_worst, _, right_worst = line["values"]
        assert int(n.replace(",", "")) == figure[1]["y"][place]
        assert int(n_worst.replace(",", "")) == figure[3]["y"][place]
        assert float(sure) == pytest.approx(figure[0]["x"][place], abs=6e-4)
        assert float(right) == pytest.approx(figure[0]["y"][place], abs=6e-4)
        assert float(right_worst) == pytest.approx(figure[2]["y"][place], abs=6e-4)


def test_the_sentence_tells_too_sure_from_well_calibrated(table):
    told = reliability.sentence(reliability.parts(table, "detection", "crossing-v1"))
    clean, worst = told.split("; ")
    assert clean.startswith("On clean frames mean confidence")
    assert clean.endswith("about as sure as it is right")
    assert worst.startswith("at severity 5, all corruptions together, mean confidence")
    assert worst.endswith("too sure.")
    used = reliability.sentence(reliability.parts(table, "detection", "crossing-v1"), least=0.5)
    assert used.startswith("Of boxes that score 0.533 or more, the bins above the operating threshold: on clean frames")
    high = table[(table["task"] == "detection") & (table["model"] == "crossing-v1") & (table["severity"] == 5)]
    high = high[high["low"] > 0.5]
    right = (high["accuracy"] * high["count"]).sum() / high["count"].sum()
    assert f"{right:.3f} right: too sure." in used
    shy = table.assign(accuracy=table["confidence"] + 0.1)
    assert "not sure enough" in reliability.sentence(reliability.parts(shy, "detection", "crossing-v1"))


def test_errors_and_thresholds_are_drawn_over_severity(section):
    ids = set(section[1])
    assert {"ece-classification-ece", "ece-classification-ece_scaled", "ece-detection-d_ece"} <= ids
    assert {f"operating-detection-operating_{name}" for name in ("precision", "recall", "f1")} <= ids
    assert {f"abstaining-{name}" for name in ("coverage", "selective_accuracy", "aurc")} <= ids
    figure = section[1]["ece-detection-d_ece_scaled"]["layout"]["meta"]["choices"]["snow"]["y"][1]
    expected = [diagnostics_factory.value("detection", "crossing-v2", "d_ece_scaled", "snow", s) for s in range(6)]
    assert figure == pytest.approx(expected, abs=6e-5)
    assert block(section, "detection")["operating"]["thresholds"][0] == "crossing-v1: scores from 0.400 on."
    assert block(section, "classification")["operating"] is None
    assert block(section, "detection")["abstaining"] is None


def test_no_temperature_is_said_and_not_drawn(run, table):
    made = report_factory.scores(run, tasks=["classification"])
    scores = diagnostics_factory.explained(run, made, temperature=False)
    charts = {}
    (found,) = calibration.calibration(run, scores, table, {}, charts)["blocks"]
    assert "ece-classification-ece" in charts
    assert "ece-classification-ece_scaled" not in charts
    apart = run.model_copy(update={"dataset": run.dataset.model_copy(update={"split": "test", "validation": "val"})})
    with_split = calibration.calibration(apart, scores, table, {}, {})["blocks"][0]
    assert "always right" in with_split["errors"]["temperatures"][0]
    assert run.on_validation() is None
    assert "no validation split is set apart" in found["errors"]["temperatures"][0]


def test_abstention_is_told_even_where_there_is_none(run, scores, table):
    told = calibration.calibration(run, scores, table, {}, {})["blocks"][0]["abstaining"]["told"][0]
    assert told.startswith("crossing-v1 answers from confidence 1.500 on: there at least 95 %")
    without = scores[~scores["metric"].isin(["abstain_below", *calibration.ABSTAINING])]
    found = calibration.calibration(run, without, table, {}, {})["blocks"][0]["abstaining"]
    assert found["cards"] == []
    assert "never abstains" in found["told"][0]


def test_without_reliability_the_page_says_why(run, scores):
    found = calibration.calibration(run, scores, None, {}, {})["blocks"][0]
    assert found["diagrams"][0]["id"] is None
    assert "hold no table of reliability" in found["diagrams"][0]["takeaway"]
    empty = diagnostics_factory.reliability(run, [])
    assert (
        "no probabilities"
        in calibration.calibration(run, scores, empty, {}, {})["blocks"][0]["diagrams"][0]["takeaway"]
    )


def test_the_policy_in_two_tables(run, section):
    found = block(section, "detection")["policy"]
    car, bus = found["thresholds"][:2]
    assert (car["class"], car["levels"][0]["score"]) == ("car", "0.356")
    assert car["levels"][0]["precision"] == "0.900 [0.85, 0.95]"
    assert bus["levels"][0] == {"score": "none", "precision": "precision never keeps to 0.9", "recall": ""}
    lines = dict(found["lines"])
    assert lines["fog"] == ["act at 1 to 2; observe at 3; fall back at 4 to 5"] * 2
    assert len(lines) == 8
    assert "of 40 corrupted cells act in 16, observe in 8, fall back in 16" in found["takeaways"][0]
    assert "Clean slices to observe on: time of day = night." in found["takeaways"][0]


def test_a_model_without_boxes_has_a_reason_in_the_policy(run):
    policy = diagnostics_factory.policy(run)
    policy["models"] = {
        **policy["models"],
        "crossing-v2": {"status": "not_applicable", "reason": "no boxes are scored"},
    }
    found = policy_tables.policy_tables(policy, ["crossing-v1", "crossing-v2"], ["fog"])
    assert found["models"] == ["crossing-v1"]
    assert found["missing"] == ["crossing-v2: no boxes are scored."]
    assert policy_tables.policy_tables({}, ["crossing-v1"], ["fog"]) is None
