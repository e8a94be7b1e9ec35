"""Charts over severity: every choice shows the scores of that corruption, and the table says the same."""

import json
import math

import pytest

from tasks.report import by_severity
from tests import diagnostics_factory, report_factory

MODELS = ["crossing-v1", "crossing-v2"]


@pytest.fixture(scope="module")
def run():
    return report_factory.params(corruptions={"weather": ["fog", "rain"], "blur": ["defocus_blur"]})


@pytest.fixture(scope="module")
def scores(run):
    return diagnostics_factory.explained(run, report_factory.scores(run, tasks=["detection"]))


def value(model, corruption, severity, metric="tide_miss"):
    return diagnostics_factory.value("detection", model, metric, corruption, severity)


def group(scores, metrics=("tide_miss", "tide_bkg"), **more):
    charts = {}
    found = by_severity.by_metric(scores, "detection", metrics)
    names = {metric: (metric.upper(), "cost") for metric in metrics}
    made = by_severity.group("g", found, names, MODELS, ["fog", "rain", "defocus_blur"], charts, **more)
    return made, charts


def test_mean_and_every_corruption_can_be_chosen(scores):
    _, charts = group(scores)
    choices = charts["g-tide_miss"]["layout"]["meta"]["choices"]
    assert list(choices) == ["", "fog", "rain", "defocus_blur"]
    for place, model in enumerate(MODELS):
        clean = value(model, "clean", 0)
        for name in ("fog", "rain", "defocus_blur"):
            expected = [clean, *(value(model, name, s) for s in range(1, 6))]
            assert choices[name]["y"][place] == pytest.approx(expected, abs=6e-5)
        means = [sum(value(model, name, s) for name in ("fog", "rain", "defocus_blur")) / 3 for s in range(1, 6)]
        assert choices[""]["y"][place] == pytest.approx([clean, *means], abs=6e-5)
        assert charts["g-tide_miss"]["data"][place]["y"] == choices[""]["y"][place]


def test_intervals_stand_where_the_scores_have_them(scores):
    _, charts = group(scores)
    choices = charts["g-tide_miss"]["layout"]["meta"]["choices"]
    assert choices["fog"]["error_y.array"][0] == pytest.approx([0.02] * 6)
    assert choices[""]["error_y.array"][0] == [pytest.approx(0.02), *[None] * 5]
    without = charts["g-tide_bkg"]["layout"]["meta"]["choices"]
    assert without["fog"]["error_y.array"][0] == []


def test_the_table_holds_what_the_charts_show(scores):
    made, charts = group(scores)
    assert made["table"]["columns"] == ["TIDE_MISS", "TIDE_BKG"]
    lines = {(line["corruption"], line["severity"], line["model"]): line["values"] for line in made["table"]["lines"]}
    assert len(lines) == len(made["table"]["lines"]) == 2 * (1 + 5 + 3 * 5)
    choices = [charts[f"g-{metric}"]["layout"]["meta"]["choices"] for metric in ("tide_miss", "tide_bkg")]
    for (corruption, severity, model), told in lines.items():
        name = {"mean of all": "", "clean": "", "defocus blur": "defocus_blur"}.get(corruption, corruption)
        for column, choice in enumerate(choices):
            shown = choice[name]["y"][MODELS.index(model)][severity]
            assert float(told[column].split(" [")[0]) == pytest.approx(shown, abs=6e-4)
    miss = value("crossing-v1", "fog", 3)
    assert lines["fog", 3, "crossing-v1"][0] == f"{miss:.3f} [{miss - 0.02:.2f}, {miss + 0.02:.2f}]"


def test_a_cell_without_a_figure_leaves_a_gap_in_its_mean_and_says_why(scores):
    broken = scores.copy()
    at = (broken["metric"] == "tide_miss") & (broken["corruption"] == "rain") & (broken["severity"] == 2)
    broken.loc[at, ["value", "low", "high", "status"]] = [math.nan, math.nan, math.nan, "failed"]
    made, charts = group(broken)
    choices = charts["g-tide_miss"]["layout"]["meta"]["choices"]
    assert choices["rain"]["y"][0][2] is None
    assert choices[""]["y"][0][2] is None
    assert choices[""]["y"][0][3] is not None
    told = next(
        line["values"] for line in made["table"]["lines"] if (line["corruption"], line["severity"]) == ("rain", 2)
    )
    assert told[0] == "failed"
    json.dumps(charts, allow_nan=False)


def test_bars_differ_in_pattern_and_lines_in_dash_and_marker(scores):
    _, charts = group(scores, bars=True)
    bars = charts["g-tide_miss"]["data"]
    assert [bar["type"] for bar in bars] == ["bar"] * 2
    assert len({bar["marker"]["pattern"]["shape"] for bar in bars}) == 2
    _, charts = group(scores)
    lines = charts["g-tide_miss"]["data"]
    assert len({(line["line"]["dash"]) for line in lines}) == len({line["marker"]["symbol"] for line in lines}) == 2


def test_one_range_for_all_cards_of_a_choice(scores):
    _, charts = group(scores)
    for name in ("", "fog"):
        choices = [chart["layout"]["meta"]["choices"][name] for chart in charts.values()]
        highest = max(v for choice in choices for line in choice["y"] for v in line)
        assert len({tuple(choice["range"]) for choice in choices}) == 1
        assert highest < choices[0]["range"][1] <= 1.1 * (highest + 0.02)


def test_the_sentence_says_from_where_to_where(scores):
    made, _ = group(scores)
    ends = [sum(value(model, name, 5) for name in ("fog", "rain", "defocus_blur")) / 3 for model in MODELS]
    first = [value(model, "clean", 0) for model in MODELS]
    told = "; ".join(f"{m} {a:.3f} → {b:.3f}" for m, a, b in zip(MODELS, first, ends, strict=True))
    assert made["cards"][0]["takeaway"] == f"Clean to severity 5, mean of all corruptions: {told}."


def test_a_name_is_text(run):
    scores = diagnostics_factory.explained(run, report_factory.scores(run, tasks=["detection"]))
    scores["model"] = scores["model"].replace("crossing-v1", report_factory.HOSTILE)
    found = by_severity.by_metric(scores, "detection", ["tide_miss"])
    charts = {}
    names = {"tide_miss": ("missed", "cost")}
    by_severity.group("g", found, names, [report_factory.HOSTILE], ["fog"], charts)
    assert "<img" not in json.dumps(charts)
