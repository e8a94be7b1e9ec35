"""Error causes: kinds of error, classes, detector against association, break points and confusions."""

import pandas as pd
import pytest

from tasks import tables
from tasks.report import by_severity, confusions, errors
from tests import diagnostics_factory, report_factory

TASKS = ("classification", "detection", "semantic", "tracking")
NAMES = ("defocus_blur", "motion_blur", "low_light", "fog", "rain", "snow", "jpeg_compression", "h264")


@pytest.fixture(scope="module")
def run():
    return report_factory.params()


@pytest.fixture(scope="module")
def scores(run):
    return diagnostics_factory.explained(run, report_factory.scores(run, tasks=TASKS))


@pytest.fixture(scope="module")
def section(run, scores):
    charts = {}
    return errors.errors(run, scores, diagnostics_factory.confusion(run, TASKS), charts), charts


def block(section, task):
    return next(block for block in section[0]["blocks"] if block["task"] == task)


def test_each_task_has_what_explains_it_and_no_more(section):
    parts = ("kinds", "classes", "tracking", "matrices")
    held = {b["task"]: {part for part in parts if b[part] is not None} for b in section[0]["blocks"]}
    assert held == {
        "classification": {"matrices"},
        "detection": {"kinds"},
        "semantic": {"classes"},
        "tracking": {"tracking"},
    }
    ids = [card["id"] for b in section[0]["blocks"] if b["kinds"] for card in b["kinds"]["cards"]]
    assert ids == [f"kinds-detection-tide_{kind}" for kind in ("cls", "loc", "both", "dupe", "bkg", "miss")]
    assert set(ids) <= set(section[1])


def test_the_costliest_kind_is_named(section):
    def cost(metric, severity):
        places = NAMES if severity else ("clean",)
        found = [diagnostics_factory.value("detection", "crossing-v1", metric, name, severity) for name in places]
        return sum(found) / len(found)

    told = block(section, "detection")["kinds"]["takeaways"][0]
    for severity in (0, 5):
        worst = max(errors.KINDS, key=lambda metric: cost(metric, severity))
        name = errors.KINDS[worst][0].split(":")[0]
        assert f"{name} costs most ({cost(worst, severity):.3f} AP50)" in told


def test_classes_over_severity_are_the_scores(section, scores):
    figure = section[1]["classes-crossing-v2"]
    heat, words = figure["data"]
    assert heat["y"] == list(report_factory.CLASSES)
    assert heat["x"] == ["clean", "1", "2", "3", "4", "5"]
    own = scores[(scores["task"] == "semantic") & (scores["metric"] == "miou") & (scores["model"] == "crossing-v2")]
    own = own[own["baseline"].isna() & (own["slice"] == "all")]
    fog = figure["layout"]["meta"]["choices"]["fog"]
    for row, name in enumerate(report_factory.CLASSES):
        found = {(r["corruption"], r["severity"]): r["value"] for r in own[own["class"] == name].to_dict("records")}
        assert fog["z"][0][row][3] == pytest.approx(found["fog", 3], abs=6e-5)
        assert heat["z"][row][0] == pytest.approx(found["clean", 0], abs=6e-5)
        assert heat["z"][row][5] == pytest.approx(sum(found[n, 5] for n in NAMES) / len(NAMES), abs=6e-5)
    assert fog["z"][1] is None, "the trace of the texts has no z"
    assert words["text"][:6] == [f"{v:.2f}" for v in heat["z"][0]]
    table = block(section, "semantic")["classes"][1]["table"]
    assert len(table["lines"]) == 1 + 5 + 8 * 5


@pytest.mark.parametrize(
    ("ids", "boxes", "told"),
    [
        (0.6, 0.95, "The detector loses more at severity 2, mean of all corruptions: with perfect ids its boxes still"),
        (0.95, 0.6, "The association loses more at severity 2"),
        (0.8, 0.8, "Detector and association lose alike at severity 2"),
    ],
)
def test_one_sentence_says_who_loses_more(ids, boxes, told):
    known = {
        metric: {("m", "", s): by_severity.Point(v - 0.05 * (2 - s) * (metric in errors.ORACLES)) for s in (0, 2)}
        for metric, v in zip(errors.TRACKING, (0.5, 0.7, ids, boxes), strict=True)
    }
    sentence = errors.attribution(known, "m")
    assert sentence.startswith(told)
    assert f"lose {1 - ids:.3f} of HOTA, with perfect boxes its tracker loses {1 - boxes:.3f}" in sentence


def test_without_oracles_the_falls_decide_and_it_says_so():
    known = {
        "deta": {("m", "", 0): by_severity.Point(0.6), ("m", "", 3): by_severity.Point(0.5)},
        "assa": {("m", "", 0): by_severity.Point(0.8), ("m", "", 3): by_severity.Point(0.5)},
    }
    told = errors.attribution(known, "m")
    assert told.startswith("The association loses more at severity 3")
    assert "DetA changes by −0.100 from clean, AssA by −0.300." in told
    assert "No HOTA with perfect ids or boxes is known." in told
    assert "too little is known" in errors.attribution({}, "m")


def test_break_points_in_their_units_and_not_reached_is_said(section):
    breaks = block(section, "detection")["breaks"]
    lines = dict(breaks["lines"])
    assert lines["defocus_blur"][0] == "radius 4.25 px [3.5, not reached]"
    assert lines["fog"] == ["not reached by strength 7.5"] * 2
    assert list(lines) == list(NAMES)
    others = "defocus blur, motion blur, low light, rain, snow, JPEG compression, H.264"
    assert breaks["takeaways"][0] == f"crossing-v1 falls below 50 % of clean under 7 of 8 corruptions: {others}."


def test_the_matrix_holds_the_shares_of_each_true_class(section, run):
    counts = diagnostics_factory.confusion(run, ["classification"])
    pooled = counts[(counts["model"] == "crossing-v1") & (counts["severity"] > 0)]
    figure = section[1]["confusion-crossing-v1-1"]["data"][0]
    names = list(report_factory.CLASSES)
    assert figure["x"] == figure["y"] == names
    for row, true in enumerate(names):
        total = pooled.loc[pooled["true_class"] == true, "count"].sum()
        for column, said in enumerate(names):
            own = pooled[(pooled["true_class"] == true) & (pooled["predicted_class"] == said)]["count"].sum()
            assert figure["z"][row][column] == pytest.approx(own / total, abs=6e-5)
    maps = block(section, "classification")["matrices"]["maps"]
    assert [found["title"].split(", ")[1] for found in maps[:2]] == [
        "clean frames",
        "all corruptions and severities together",
    ]
    assert dict(maps[1]["lines"])[names[0]][0].endswith(
        f"({pooled[(pooled['true_class'] == names[0]) & (pooled['predicted_class'] == names[0])]['count'].sum():,})"
    )


def test_too_many_classes_have_a_list_and_no_matrix(run, scores):
    names = [f"class {i}" for i in range(confusions.MOST_CLASSES + 1)]
    rows = [
        ("crossing-v1", "classification", "clean", "clean", 0, name, names[i - 1], i + 1)
        for i, name in enumerate(names)
    ]
    counts = pd.DataFrame(rows, columns=tables.SCHEMAS["confusion"].names)
    made = errors.errors(run, scores, counts, {})
    matrices = next(b for b in made["blocks"] if b["task"] == "classification")["matrices"]
    assert matrices["maps"] == []
    assert matrices["too_many"] >= len(names)
    assert len(made["confusions"]) == confusions.MOST_COMMON
    assert made["confusions"][0]["count"] == len(names)


def test_what_is_missed_is_no_confusion_but_counts_in_the_share(section, run):
    counts = diagnostics_factory.confusion(run, ["detection"])
    assert (counts["predicted_class"] == tables.NO_CLASS).any()
    listed = [line for line in section[0]["confusions"] if line["task"] == "Detection"]
    assert {line["true"] for line in listed} <= set(report_factory.CLASSES)
    assert tables.NO_CLASS not in {line["predicted"] for line in listed}
    first = report_factory.CLASSES[0]
    own = counts[(counts["model"] == "crossing-v1") & (counts["severity"] > 0) & (counts["true_class"] == first)]
    wrong = own[own["predicted_class"] == report_factory.CLASSES[-1]]["count"].sum()
    line = next(x for x in listed if x["model"] == "crossing-v1" and x["true"] == first and x["data"] != "clean")
    assert line["count"] == wrong
    assert float(line["share"]) == pytest.approx(wrong / own["count"].sum(), abs=6e-5)
    assert line["unit"] == "objects"


def test_without_the_table_there_is_none(run, scores):
    made = errors.errors(run, scores, None, {})
    assert made["confusions"] is None
    assert next(b for b in made["blocks"] if b["task"] == "classification")["matrices"] is None
