"""What the page says of real and simulated drops, against made-up ones."""

import json

import pytest

from tasks import report
from tasks.layout import Layout
from tasks.report import shift
from tests import report_factory, shift_factory

TASKS = ["detection", "tracking"]
MODELS = ["crossing-v1", "crossing-v2"]
SIDES = ("shift=new_camera, reference", "shift=new_camera")
REAL, RENDERED = {"name": "x"}, {"name": "x", "rendered": True}


@pytest.fixture(scope="module")
def run():
    return shift_factory.params()


@pytest.fixture(scope="module")
def scores(run):
    return report_factory.scores(run, tasks=TASKS, slices=shift_factory.SLICES)


@pytest.fixture(scope="module")
def shifts(run):
    return shift_factory.table(run, TASKS)


def test_each_model_is_told_with_the_severity_that_costs_as_much(run, scores, shifts):
    made = shift.shift(run, scores, shifts, REAL, {})
    night, camera = made["blocks"]
    told = night["tasks"][0]["takeaways"]
    assert told == [
        "Real night costs crossing-v1 0.110 [0.06, 0.16] mAP: about low light severity 2.8 [0.0, 3.3]; beyond rain"
        " severity 5 [4.2, beyond 5].",
        "Real night costs crossing-v2 0.020 [−0.03, 0.07] mAP, not told apart from zero: less than low light severity 1"
        " [0.0, 3.3]; beyond rain severity 5 [4.2, beyond 5].",
        "By what they lose, low light orders the models as does real night (1 of 1 pairs of models told apart on both"
        " sides).",
        "By what they lose, rain orders the models the other way round than real night (1 of 1 pairs of models told"
        " apart on both sides).",
    ]
    assert camera["tasks"][0]["takeaways"][0] == "Real new camera costs crossing-v1 0.110 [0.06, 0.16] mAP."
    assert [part["task"] for part in night["tasks"]] == TASKS


def test_the_clean_figures_of_both_sides_stand_beside_the_drop(run, scores, shifts):
    made = shift.shift(run, scores, shifts, REAL, {})
    for block, names in zip(made["blocks"], (("shift=none", "shift=night"), SIDES), strict=True):
        for part in block["tasks"]:
            for line in part["lines"]:
                rows = scores[(scores["model"] == line["model"]) & (scores["task"] == part["task"])]
                rows = rows[rows["baseline"].isna() & (rows["severity"] == 0) & (rows["class"] == "all")]
                for name, cell in zip(names, line["cells"], strict=False):
                    value = rows.loc[rows["slice"] == name, "value"].iloc[0]
                    assert cell.startswith(f"{value:.3f}")


def test_charts_show_what_is_lost_and_the_table_says_the_same(run, scores, shifts):
    charts = {}
    made = shift.shift(run, scores, shifts, REAL, charts)
    assert list(charts) == [f"shift-{name}-{task}" for name in ("night", "new_camera") for task in TASKS]
    traces = {trace.get("name"): trace for trace in charts["shift-night-detection"]["data"]}
    assert traces["crossing-v1, real"]["y"] == [0.11] * 6
    assert traces["crossing-v1, low light"]["x"] == [0, 1, 2, 3, 4, 5]
    assert traces["crossing-v1, low light"]["y"] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])
    bands = [trace for trace in charts["shift-night-detection"]["data"] if trace.get("fill")]
    assert [(min(band["y"]), max(band["y"])) for band in bands] == [
        pytest.approx((0.06, 0.16)),
        pytest.approx((-0.03, 0.07)),
    ]
    alone = charts["shift-new_camera-detection"]["data"]
    assert [(trace["x"], trace["y"]) for trace in alone] == [(["crossing-v1"], [0.11]), (["crossing-v2"], [0.02])]
    drops = [line for line in made["blocks"][0]["drops"] if line["task"] == "Detection" and line["model"] == MODELS[0]]
    assert [(line["what"], line["severity"]) for line in drops[:3]] == [
        ("the shift", ""),
        ("low light", "1"),
        ("low light", "2"),
    ]
    assert drops[2]["drop"] == "0.080 [0.070, 0.090]"
    json.dumps(charts, allow_nan=False)


def test_what_else_differs_is_listed(run, scores, shifts):
    sides = {line["what"]: line for line in shift.shift(run, scores, shifts, REAL, {})["blocks"][0]["sides"]}
    assert sides["Clips or images"]["values"] == ["24", "12"]
    assert sides["Objects a frame"] == {"what": "Objects a frame", "values": ["6.0", "3.0"], "apart": "−50 %"}
    assert sides["Small objects (COCO's area)"]["apart"] == "−25 points"
    assert sides["Classes of objects"]["apart"] == "12 % of the mix"


def test_the_header_says_what_was_scored_and_never_calls_rendered_frames_real(run, scores, shifts):
    told = shift.honesty(run, scores, shifts, REAL)
    assert told.startswith("Really shifted data were scored, too. They cost in mAP (below zero: better there): night")
    assert "night (12 units) crossing-v1 0.110 [0.06, 0.16], crossing-v2 0.020 [−0.03, 0.07]; new camera" in told
    assert "stress test" in told
    told = shift.honesty(run, scores, shifts, RENDERED)
    assert told.startswith("Rendered data set: its shifts are rendered, too.")
    made = shift.shift(run, scores, shifts, RENDERED, charts := {})
    assert "real" not in f"{told} {json.dumps(made)} {json.dumps(charts)}".lower().replace("really", "")
    # A card's word alone counts, and only a true one.
    assert shift.honesty(run, scores, shifts, {"rendered": "no"}).startswith("Really shifted")


def test_without_a_scored_shift_the_section_is_absent_and_the_header_says_synthetic_only(run, scores, shifts):
    for params, table in ((run, None), (run, shifts[:0]), (report_factory.params(), shifts)):
        assert shift.shift(params, scores, table, REAL, {}) is None
        assert shift.honesty(params, scores, table, REAL).startswith("Synthetic corruption only")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("insufficient", "0.110 mAP (few units)"),
        ("failed", "Real night: crossing-v1 has no figure to compare (failed)"),
    ],
)
def test_a_drop_without_an_interval_or_a_figure_says_why(run, scores, shifts, status, told):
    changed = shifts.copy()
    real = (changed["figure"] == "real_drop") & (changed["model"] == "crossing-v1")
    changed.loc[real, ["low", "high"]] = float("nan")
    changed.loc[real, "status"] = status
    if status == "failed":
        changed.loc[real, "value"] = float("nan")
    sentence = shift.shift(run, scores, changed, REAL, {})["blocks"][0]["tasks"][0]["takeaways"][0]
    assert told in sentence


def test_page_and_summary_hold_it(run, tmp_path):
    layout = Layout(tmp_path)
    shift_factory.write(run, layout, ["detection"])
    report.publish(run, layout)
    page = (layout.reports / report.PAGE).read_text(encoding="utf-8")
    assert "Real shift: does the simulation tell the truth?" in page
    assert '<a href="#shift">Simulated against real drops</a>' in page
    assert "Really shifted data were scored, too." in (layout.reports / "summary.md").read_text(encoding="utf-8")
