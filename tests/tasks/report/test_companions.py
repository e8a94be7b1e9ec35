"""The files beside the page against the scores."""

import csv
import io
import json
from xml.etree import ElementTree

import pytest

from tasks.report import companions, numbers, summary, verdict
from tests import report_factory


@pytest.fixture(scope="module")
def run():
    return report_factory.params()


@pytest.fixture(scope="module")
def scores(run):
    return report_factory.scores(run)


def test_slices_csv_round_trips(run, scores):
    table = numbers.slices(run, scores)
    lines = list(csv.DictReader(io.StringIO(companions.to_csv(table))))
    assert len(lines) == len(table)
    for line, row in zip(lines, table.to_dict("records"), strict=True):
        assert line["slice"] == row["slice"]
        for name in ("mpc", "mpc_low", "rpc_high", "mpc_difference_low", "clean_difference_q_value"):
            text = float(line[name]) if line[name] else float("nan")
            assert text == pytest.approx(row[name], abs=5.1e-5, nan_ok=True)
        assert line["small"] == ("yes" if row["small"] else "no")
        assert (line["mpc_difference"] == "") == (row["model"] == "crossing-v1")


def test_no_negative_zero():
    assert companions.field(-0.00001) == "0.0000"
    assert companions.field(float("nan")) == ""


def test_metrics_json(run, scores):
    overview = numbers.overview(run, scores)
    found = json.loads(companions.metrics_json(overview, report_factory.gates(run)))
    row = overview[(overview["task"] == "detection") & (overview["model"] == "crossing-v2")].iloc[0]
    names = [f"{name}{end}" for name in ("clean", "mpc", "rpc") for end in ("", "_low", "_high")]
    assert found["crossing-v2"]["detection"] == {key: round(row[key], 4) for key in names}
    assert found["gates"]["fail"] == 1
    assert found["gates"]["pass"] == 1


def test_junit_has_a_case_for_each_gate(run):
    gates = report_factory.gates(run, statuses=["pass", "fail", "not_run", "uncertain"], slice_="a=\x00<&>")
    root = ElementTree.fromstring(companions.junit_xml(gates))
    assert root.attrib == {"tests": "4", "failures": "2", "skipped": "1"}
    cases = root.findall(".//testcase")
    assert [len(case.findall("failure")) for case in cases] == [0, 1, 0, 1]
    assert [len(case.findall("skipped")) for case in cases] == [0, 0, 1, 0]
    lenient = report_factory.gates(run, statuses=["uncertain"], on_uncertain="pass")
    root = ElementTree.fromstring(companions.junit_xml(lenient))
    assert root.attrib == {"tests": "1", "failures": "0", "skipped": "0"}
    assert "uncertain: mAP" in str(root.findtext(".//system-out"))


@pytest.mark.parametrize(
    ("statuses", "key"),
    [
        ([], "none"),
        (["pass"], "ship"),
        (["pass", "pass"], "ship"),
        (["pass", "fail"], "hold"),
        (["fail", "not_run"], "hold"),
        (["pass", "not_run"], "open"),
        (["uncertain"], "open"),
        (["insufficient", "pass"], "open"),
    ],
)
def test_only_gates_that_all_pass_ship(run, statuses, key):
    assert verdict.verdict(report_factory.gates(run, statuses=statuses)).key == key


def test_uncertain_gates_ship_where_params_say_so(run):
    found = verdict.verdict(report_factory.gates(run, statuses=["pass", "uncertain"], on_uncertain="pass"))
    assert (found.key, found.detail) == ("ship", "1 of 2 gates pass, 1 uncertain, as params allow.")


def test_summary_names_failures_and_the_worst_slices(run, scores):
    table = numbers.slices(run, scores)
    text = summary.summary(run, numbers.overview(run, scores), table, report_factory.gates(run))
    assert text.startswith("# ✕ Do not ship")
    assert "Synthetic corruption only" in text
    sized = table[(table["slice"] != "all") & (table["n_units"] >= 10)].sort_values("rpc")
    attribute, value = sized.iloc[0]["slice"].split("=")
    assert f"{attribute.replace('_', ' ')} = {value}" in text.replace("\\", "")
    whole = numbers.overview(run, scores).set_index(["task", "model"]).loc[("detection", "crossing-v2")]
    assert f"{whole['mpc']:.3f} [{whole['mpc_low']:.2f}, {whole['mpc_high']:.2f}]" in text


def test_summary_says_what_is_told_apart(run, scores):
    text = summary.summary(run, numbers.overview(run, scores), numbers.slices(run, scores), report_factory.gates(run))
    told = text.split("## Against crossing-v1")[1].split("\n## ")[0]
    assert told.count("a gain told apart from zero") == 4
    assert told.count("not told apart from zero") == 4, "clean"
    assert told.count("| traffic = busy | crossing-v2 |") == 4
    assert told.count("not told apart |") == 4
    flat = scores.assign(low=-1.0, high=1.0)
    text = summary.summary(run, numbers.overview(run, flat), numbers.slices(run, flat), report_factory.gates(run))
    assert "a gain told apart" not in text
    assert "Regressions that are told apart" not in text


def test_summary_stays_short_and_text(run):
    slices = [f"camera={report_factory.HOSTILE}{i}|" for i in range(30)]
    scores = report_factory.scores(run, tasks=["detection"], slices=slices)
    gates = report_factory.gates(run, statuses=["fail"] * 2000, slice_=slices[0])
    text = summary.summary(run, numbers.overview(run, scores), numbers.slices(run, scores), gates)
    assert len(text) < summary.LIMIT
    assert "cut here" in text
    assert "<img" not in text.replace("\\<img", "")
