"""Which failures are exported: worst first, within what was asked for."""

import pandas as pd
import pytest

from tasks import params as settings
from tasks import tables
from tasks.errors import InputError
from tasks.exports import selection
from tasks.exports.selection import Wanted
from tasks.layout import Layout
from tests.conftest import SmallRun


@pytest.fixture(scope="module")
def found(small_run: SmallRun) -> pd.DataFrame:
    return selection.failures(settings.load(small_run.params), Layout(small_run.root))


def table(*rows: tuple[str, str, int, int, float]) -> pd.DataFrame:
    """Failures by hand: task, corruption, severity, frame and score, in the order of `failures`."""
    made = pd.DataFrame(rows, columns=["task", "corruption", "severity", "frame_id", "score"])
    return made.assign(model="m", family="weather", error_kind="miss", evidence="x", camera="north")


def test_failures_are_the_rows_with_something_wrong_of_the_scored_frames(
    small_run: SmallRun, found: pd.DataFrame
) -> None:
    examples = tables.read("examples", small_run.root / "scores/examples.parquet")
    assert len(found) == (examples["score"] < 1).sum() > 0
    frames = tables.read("frames", small_run.root / "tables/frames.parquet").set_index("frame_id")
    assert (found["camera"] == frames.loc[found["frame_id"], "camera"].to_numpy()).all()
    assert set(frames.loc[found["frame_id"], "split"]) == {"test"}
    assert {"brightness", "clip_id"} <= set(found.columns)


def test_the_worst_of_each_task_come_in_turn(found: pd.DataFrame) -> None:
    for _, own in found.groupby("task"):
        assert own["score"].is_monotonic_increasing
    tasks = found["task"].nunique()
    assert found["task"].head(tasks).nunique() == tasks


def test_a_cell_that_params_no_longer_name_is_left_out(small_run: SmallRun) -> None:
    narrowed = settings.load(small_run.params).only("low_light")
    left = selection.failures(narrowed, Layout(small_run.root))
    assert set(left["corruption"]) == {"clean", "low_light"}


def test_filters_and_count() -> None:
    made = table(
        ("detection", "fog", 5, 1, 0.0),
        ("detection", "fog", 5, 2, 0.1),
        ("semantic", "fog", 5, 1, 0.2),
        ("detection", "fog", 3, 1, 0.3),
        ("detection", "clean", 0, 3, 0.4),
    )
    rows, total = selection.choose(made, Wanted(worst=1), selection.CLEAN_IMAGE)
    assert (list(rows["score"]), total) == ([0.0, 0.2, 0.3], 3)  # all that is known of frame 1, of frames 1, 2, 3
    rows, total = selection.choose(made, Wanted(worst=1), selection.CORRUPTED_IMAGE)
    assert (list(rows["score"]), total) == ([0.0, 0.2], 4)
    rows, _ = selection.choose(made, Wanted(corruption="weath*", severities=(0, 3)), selection.CLEAN_IMAGE)
    assert list(rows["frame_id"]) == [1, 3]
    rows, _ = selection.choose(made, Wanted(where="score > 0.1 and camera == 'north'"), selection.CLEAN_IMAGE)
    assert list(rows["score"]) == [0.2, 0.3, 0.4]
    rows, _ = selection.choose(made, Wanted(task="semantic"), selection.CLEAN_IMAGE)
    assert list(rows["score"]) == [0.2]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(model="n"), "--model n: no failure of that; those asked for are of: m"),
        (Wanted(corruption="fogg"), "did you mean 'fog'"),
        (Wanted(severities=(4,)), "--severity 4: no failure of that"),
        (Wanted(task="detecton"), "did you mean 'detection'"),
        (Wanted(where="scor < 1"), "--where: 'scor < 1' fails"),
        (Wanted(where="score + 1"), "expected a comparison"),
        (Wanted(where="score > 2"), "Nothing to export"),
    ],
)
def test_what_there_is_none_of(wanted: Wanted, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("+", r"\+")):
        selection.choose(table(("detection", "fog", 5, 1, 0.0)), wanted, selection.CLEAN_IMAGE)


def test_answers_with_nothing_wrong_come_last_and_only_when_asked_for(small_run):
    run, layout = settings.load(small_run.params), Layout(small_run.root)
    failed, every = (selection.failures(run, layout, right_too=right_too) for right_too in (False, True))
    assert (failed["score"] < 1).all()
    assert len(every) > len(failed)
    for task, rows in every.groupby("task"):
        scores = rows["score"].tolist()
        assert scores == sorted(scores), "worst first"
        assert (failed["task"] == task).sum() == sum(score < 1 for score in scores)
