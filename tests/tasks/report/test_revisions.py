"""Two revisions side by side: what `score` made of two models of one run is the reference."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tasks import params as settings
from tasks import tables
from tasks.errors import InputError
from tasks.report import revision_summary, revisions
from tasks.report.revision_summary import Change
from tasks.report.shared import Revision
from tests.conftest import SmallRun

KEYS = ["task", "corruption", "family", "severity", "slice", "class", "metric"]
NUMBERS = ["value", "low", "high", "p_value", "q_value"]
V1, V2 = "crossing-v1", "crossing-v2"


def revision(small_run: SmallRun, name: str) -> Revision:
    params = settings.load(small_run.params)
    return Revision.read(name, params, small_run.root / "scores", small_run.root / "tables")


@pytest.fixture(scope="module")
def two(small_run: SmallRun) -> tuple[Revision, Revision]:
    return revision(small_run, "one"), revision(small_run, "other")


@pytest.fixture(scope="module")
def found(two: tuple[Revision, Revision]) -> revisions.Comparison:
    return revisions.compare(*two, [(V1, V2)])


def test_differences_are_those_that_scoring_made(small_run: SmallRun, found: revisions.Comparison) -> None:
    """v2 of one revision against v1 of the other, the same run: the rows of `scores` with v1 as the baseline."""
    scores = tables.read("scores", small_run.root / "scores/scores.parquet")
    metrics = {*tables.HEADLINE.values(), "mpc", "rpc"}
    expected = scores[(scores["baseline"] == V1) & (scores["model"] == V2) & scores["metric"].isin(metrics)]
    expected, made = expected.set_index(KEYS)[NUMBERS], found.differences.set_index(KEYS)[NUMBERS]
    assert len(expected) > 200
    assert set(made.index) == set(expected.index)
    np.testing.assert_allclose(
        made.loc[expected.index].to_numpy(float), expected.to_numpy(float), atol=1e-6, equal_nan=True
    )
    assert expected["low"].notna().sum() > 100
    assert found.left_out == []
    assert found.shared == 1 + 3 * 2


def test_the_same_revision_shows_no_difference(two: tuple[Revision, Revision]) -> None:
    found = revisions.compare(*two)
    assert found.pairs == [(V1, V1), (V2, V2)]
    values = found.differences["value"].dropna()
    assert len(values) > 0
    assert (values == 0).all()
    assert not set(found.differences["outcome"]) & {"gain", "regression"}
    assert found.fallen.empty


def test_only_what_both_have_enters(two: tuple[Revision, Revision]) -> None:
    """A revision without one severity: its summaries are over the cells that are left, worked out here by hand."""
    one, other = two
    less = replace(
        other, scores=other.scores[~((other.scores["corruption"] == "h264") & (other.scores["severity"] == 2))]
    )
    found = revisions.compare(one, less, [(V1, V2)])
    assert found.shared == 6
    assert "Only one has the cells (or has them at these strengths): h264 2." in found.left_out
    own = one.scores[
        (one.scores["task"] == "semantic") & (one.scores["metric"] == "miou") & (one.scores["severity"] > 0)
    ]
    own = own[(own["slice"] == "all") & (own["class"] == "all")].set_index(["model", "corruption", "severity"])["value"]

    def mpc(model: str) -> float:
        means = [
            np.mean([own[model, "low_light", severity] for severity in (2, 5)]),
            np.mean([own[model, "jpeg_compression", severity] for severity in (2, 5)]),
            own[model, "h264", 1],
        ]
        return float(np.mean(means))

    rows = found.differences
    rows = rows[(rows["task"] == "semantic") & (rows["metric"] == "mpc") & (rows["family"] == "all")]
    row = rows[(rows["slice"] == "all") & (rows["class"] == "all")].iloc[0]
    assert row["value"] == pytest.approx(mpc(V2) - mpc(V1), abs=1e-9)
    assert row["low"] < row["value"] < row["high"]


def test_a_slice_that_holds_other_frames_is_left_out(two: tuple[Revision, Revision]) -> None:
    one, other = two
    slices = list(other.truth.slices)
    place = next(at for at, item in enumerate(slices) if item.name.startswith("camera="))
    slices[place] = replace(slices[place], frames=~slices[place].frames)
    changed = replace(other, truth=replace(other.truth, slices=tuple(slices)))
    found = revisions.compare(one, changed, [(V1, V2)])
    assert found.left_out == [f"Slices that hold other frames: {slices[place].name}."]
    assert slices[place].name not in set(found.differences["slice"])


def test_the_frame_that_fell_most(two: tuple[Revision, Revision], found: revisions.Comparison) -> None:
    examples = two[0].examples.set_index(["task", "corruption", "severity", "frame_id"])
    a, b = (examples.loc[examples["model"] == model, "score"] for model in (V1, V2))
    fall = (b - a).dropna()
    first = found.fallen.iloc[0]
    at = tuple(first[name] for name in ("task", "corruption", "severity", "frame_id"))
    assert fall[at] == fall.min() == first["fall"] < 0
    assert len(found.fallen) == (fall < 0).sum()
    assert found.fallen["fall"].is_monotonic_increasing


def other_split(found: Revision) -> Revision:
    return replace(found, truth=replace(found.truth, frame_ids=found.truth.frame_ids[:-1]))


def other_truth(found: Revision) -> Revision:
    objects = replace(found.truth.objects, boxes=found.truth.objects.boxes + 1)
    return replace(found, truth=replace(found.truth, objects=objects))


def other_clips(found: Revision) -> Revision:
    return replace(found, truth=replace(found.truth, clips=found.truth.clips[::-1]))


def fewer_resamples(found: Revision) -> Revision:
    metrics = found.params.metrics.model_copy(update={"resamples": 10})
    return replace(found, params=found.params.model_copy(update={"metrics": metrics}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_split, "were scored on different frames"),
        (other_truth, "the annotated objects of the same frames differ"),
        (other_clips, "grouped into other clips"),
        (fewer_resamples, "metrics.resamples is 100 in one and 10 in the other"),
    ],
)
def test_what_does_not_pair_is_refused(two: tuple[Revision, Revision], change, message: str) -> None:
    with pytest.raises(InputError, match=f"one and other cannot be compared: .*{message}"):
        revisions.compare(two[0], change(two[1]))


def test_models_are_named(two: tuple[Revision, Revision]) -> None:
    with pytest.raises(InputError, match="other has no model 'v3'; it has: crossing-v1, crossing-v2"):
        revisions.compare(*two, [(V1, "v3")])
    only = two[1].params.model_copy(update={"models": {"new": two[1].params.models[V2]}})
    with pytest.raises(InputError, match="share no model's name: say which to compare with --model A=B"):
        revisions.compare(two[0], replace(two[1], params=only))


def test_comparison_as_text(found: revisions.Comparison) -> None:
    change = Change(
        commits=[f"abc{n} Commit {n}" for n in range(14)],
        missing=2,
        params=[("train.epochs", 9, 12), ("baseline", None, "v1")],
        files=["tasks/metrics/score.py", "README.md"],
    )
    text = revision_summary.summary("v1", "HEAD", found, change, 0.95, "a page.html")
    assert text.startswith("# HEAD against v1\n")
    assert "[a page.html](a%20page.html)" in text
    assert "… and 2 earlier commits" in text
    assert "HEAD lacks 2 commit(s) that v1 has" in text
    assert "params `train.epochs`: 9 → 12" in text
    assert 'params `baseline`: not set → "v1"' in text
    assert "what corrupts or measures changed itself (1 files)" in text
    table = found.differences
    cells = table[(table["slice"] == "all") & (table["class"] == "all") & table["severity"].notna()]
    largest = cells.loc[cells["value"].abs().idxmax()]
    told = text.split("## The largest shift\n\n")[1].split("\n\n")[0]
    assert f"{abs(largest['value']):.3f} [" in told
    assert f"The largest of {cells['value'].notna().sum()} figures of single cells" in told
    listed = text.split("## Gains told apart from chance (")[1].split(")")[0]
    gains = table[(table["outcome"] == "gain")]
    shown = gains[
        (gains["severity"] == 0).fillna(False)
        | ((gains["metric"] == "mpc") & (gains["corruption"] == "all") & (gains["family"] == "all"))
        | (
            (gains["metric"] == "mpc")
            & (gains["corruption"] != "all")
            & (gains["slice"] == "all")
            & (gains["class"] == "all")
        )
    ]
    assert int(listed) == len(shown)
    assert math.isfinite(largest["value"])
    assert "export-qa OUT --model crossing-v2" in text


def test_changed_params() -> None:
    one = {"models": {"a": {"weights": "x"}}, "severities": [1, 2], "gates": []}
    other = {"models": {"a": {"weights": "y"}, "b": {}}, "severities": [1, 2], "gates": []}
    assert revisions.changed_params(one, other) == [("models.a.weights", "x", "y"), ("models.b", None, {})]
    assert revisions.changed_params(one, one) == []
