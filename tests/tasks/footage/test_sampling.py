"""The sample for labelling: strata are covered, the same seed gives the same, what was taken comes later."""

import numpy as np
import pandas as pd
import pytest

from tasks import tables
from tasks.errors import InputError
from tasks.footage import sampling
from tests import footage_factory

NONE = tables.SCHEMAS["footage_sample"].empty_table().to_pandas()


@pytest.fixture(scope="module")
def clips() -> pd.DataFrame:
    """Two cameras with two clips of 100 windows each."""
    rows = footage_factory.clips()
    rows = rows[rows["camera"].isin(["east", "north"]) & (rows["status"] == "ok")]
    return rows.assign(duration_s=1000.0, n_frames=12_500)


@pytest.fixture(scope="module")
def found(clips: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"clip_id": clip, "camera": camera, "t_s": 10.0 * window}
        for clip, camera in zip(clips["clip_id"], clips["camera"], strict=True)
        for window in range(100)
    ]
    table = pd.DataFrame(rows)
    table["drift"], table["confidence"] = rng.random(len(table)), rng.random(len(table))
    table["forecast"] = table["clip_id"].map({clip: 0.5 + 0.1 * i for i, clip in enumerate(clips["clip_id"])})
    return table


def choose(found: pd.DataFrame, clips: pd.DataFrame, count: int, *, seed: int = 0, earlier: pd.DataFrame = NONE):
    return sampling.choose(found, clips, count=count, window_s=10.0, seed=seed, earlier=earlier)


def test_every_stratum_is_there(found: pd.DataFrame, clips: pd.DataFrame) -> None:
    taken = choose(found, clips, 60)
    assert len(taken) == 60
    assert not taken.duplicated(["clip_id", "t_s"]).any()
    cameras = taken["camera"].value_counts()
    assert cameras.max() - cameras.min() <= 6
    for camera, own in found.groupby("camera"):
        edges = own["drift"].quantile([0.1, 0.9])
        here = taken[taken["camera"] == camera]["drift"]
        assert (here <= edges[0.1]).any()
        assert (here >= edges[0.9]).any()
        for decile in range(10):
            assert f"{camera} · drift {decile}" in set(taken["stratum"])
            assert f"{camera} · confidence {decile}" in set(taken["stratum"])
    row = taken[taken["stratum"] == "east · drift 9"].iloc[0]
    east = found[found["camera"] == "east"]["drift"]
    assert (east < row["drift"]).mean() >= 0.89


def test_the_same_seed_is_the_same_sample_and_another_is_not(found: pd.DataFrame, clips: pd.DataFrame) -> None:
    one, other = choose(found, clips, 30), choose(found.sample(frac=1, random_state=1), clips, 30)
    keys = ["clip_id", "t_s", "frame_index", "stratum"]
    by = ["clip_id", "t_s"]
    pd.testing.assert_frame_equal(
        one[keys].sort_values(by, ignore_index=True), other[keys].sort_values(by, ignore_index=True)
    )
    assert not one[by].equals(choose(found, clips, 30, seed=1)[by])


def test_adoptions_rotate_through_strata_and_windows(found: pd.DataFrame, clips: pd.DataFrame) -> None:
    earlier = NONE
    seen: list[set[str]] = []
    for _ in range(4):
        taken = choose(found, clips, 11, earlier=earlier)
        seen.append(set(taken["stratum"]))
        assert not set(zip(taken["clip_id"], taken["t_s"], strict=True)) & set(
            zip(earlier["clip_id"], earlier["t_s"], strict=True)
        )
        earlier = pd.concat([earlier, taken]) if len(earlier) else taken
    # 2 cameras x (10 of drift, 10 of confidence, 2 of forecast): all are visited before any is again
    assert len(set.union(*seen)) == 44
    assert sum(map(len, seen)) == 44


def test_a_window_that_comes_again_gives_another_frame(found: pd.DataFrame, clips: pd.DataFrame) -> None:
    few = found.head(3)
    first = choose(few, clips, 10)
    assert len(first) == 3
    second = choose(few, clips, 10, earlier=first)
    assert list(second["t_s"]) == list(first["t_s"])
    assert (second["frame_index"].to_numpy() != first["frame_index"].to_numpy()).any()


def test_frames_lie_in_their_windows_and_clips(found: pd.DataFrame, clips: pd.DataFrame) -> None:
    taken = choose(found, clips, 200)
    start = taken["frame_index"] / 12.5 - taken["t_s"]
    assert ((start >= -0.08) & (start < 10)).all()
    short = choose(found, clips.assign(n_frames=pd.array([5] * len(clips), dtype="Int64")), 20)
    assert short["frame_index"].between(0, 4).all()


def test_units_take_their_signals_from_the_tables() -> None:
    given = {
        "windows": footage_factory.windows(footage_factory.INPUTS),
        "output": footage_factory.windows(footage_factory.OUTPUTS),
        "drift": footage_factory.drift(),
        "forecast": footage_factory.forecast(),
    }
    rows = footage_factory.clips()
    found = sampling.units(rows, **given).set_index(["clip_id", "t_s"])
    assert len(found) == 6 * footage_factory.WINDOWS
    east, north = footage_factory.clip_id(0, 0), footage_factory.clip_id(2, 0)
    assert found.loc[(east, 0.0), "drift"] == 0
    assert found.loc[(north, 0.0), "drift"] == pytest.approx(5 / 9)
    assert found.loc[(east, 0.0), "forecast"] == pytest.approx(0.97)
    assert found.loc[(footage_factory.clip_id(2, 1), 0.0), "forecast"] == sampling.OUTSIDE
    assert found.loc[(east, 10.0), "confidence"] == footage_factory.value("confidence_mean", "east", 1)
    with pytest.raises(InputError, match="measured no clip"):
        sampling.units(rows[rows["status"] != "ok"], **given)
