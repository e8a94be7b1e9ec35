"""Windows: which frames share one, and how long it may be."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.monitoring import windows


def clip(name: str, n: int, rate: float, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"clip_id": name, "t_s": np.arange(n) / rate, **columns})


def test_windows_are_as_long_as_half_of_the_clips() -> None:
    frames = pd.concat([clip("a", 12, 10), clip("b", 12, 10), clip("c", 300, 10)])
    assert windows.length(frames, 10.0) == pytest.approx(1.2)
    assert windows.length(clip("c", 300, 10), 10.0) == 10.0


def test_stills_and_clips_without_times_are_cut_into_frames() -> None:
    stills = pd.DataFrame({"clip_id": ["a", "b"], "timestamp_s": [np.nan, np.nan], "bright": [1.0, 3.0]})
    assert windows.length(stills, 10.0) == 0.0
    found = windows.of_frames(stills, window_s=0.0)
    assert found["value"].tolist() == [1.0, 3.0]
    assert found["t_s"].tolist() == [0.0, 0.0]
    clip_of_three = pd.DataFrame({"clip_id": "a", "timestamp_s": [np.nan] * 3, "bright": [1.0, 3.0, 5.0]})
    assert windows.of_frames(clip_of_three, window_s=0.0)["t_s"].is_unique, "windows of a clip are told apart"


def test_a_rest_shorter_than_half_a_window_joins_the_one_before() -> None:
    short, long = windows.cut(clip("a", 44, 10), 2.0), windows.cut(clip("a", 55, 10), 2.0)
    assert np.bincount(short.window).tolist() == [20, 24]
    assert np.bincount(long.window).tolist() == [20, 20, 15]
    assert long.t_s.tolist() == [0.0, 2.0, 4.0]


def test_times_rounded_to_milliseconds_lie_in_their_windows() -> None:
    """At 30 frames a second, frame 30 is at 1.000 s, and frame 60 at 1.9999999 s in some files."""
    seconds = np.round(np.arange(90) / 30, 3)
    seconds[60] -= 1e-7
    found = windows.cut(pd.DataFrame({"clip_id": "a", "t_s": seconds}), 1.0)
    assert np.bincount(found.window).tolist() == [30, 30, 30]


def test_a_clip_starts_at_its_first_frame() -> None:
    frames = clip("a", 20, 10).assign(t_s=lambda table: table["t_s"] + 3600.0)
    assert windows.cut(frames, 1.0).t_s.tolist() == [0.0, 1.0]


def test_means_leave_out_what_a_frame_does_not_tell() -> None:
    frames = clip("a", 4, 2, camera=None, blur=[1.0, np.nan, 3.0, 5.0], noise=[np.nan, np.nan, 1.0, 2.0])
    found = windows.of_frames(frames, window_s=1.0)
    expected = [("a", "all", 0.0, "blur", 1.0), ("a", "all", 1.0, "blur", 4.0), ("a", "all", 1.0, "noise", 1.5)]
    assert list(found.itertuples(index=False, name=None)) == expected
    assert list(found.columns) == windows.COLUMNS


def test_clips_keep_their_cameras_and_lie_apart() -> None:
    frames = pd.concat([clip("a", 3, 1, camera="north", v=1.0), clip("b", 3, 1, camera="south", v=2.0)])
    found = windows.of_frames(frames, window_s=10.0)
    assert found[["clip_id", "camera", "value"]].to_numpy().tolist() == [["a", "north", 1.0], ["b", "south", 2.0]]


def test_blocks_are_clips_of_their_own() -> None:
    table = windows.of_frames(clip("a", 6, 1, v=np.arange(6.0)), window_s=1.0)
    assert windows.blocks(table, 3.0)["clip_id"].tolist() == ["a#0"] * 3 + ["a#1"] * 3


def test_frames_without_any_time_are_refused() -> None:
    with pytest.raises(InputError, match="t_s or timestamp_s"):
        windows.length(pd.DataFrame({"clip_id": ["a"]}), 1.0)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.floats(1, 30),
    st.floats(2, 100),  # frames a window
    st.integers(0, 2**32 - 1),
)
def test_every_frame_lies_in_one_window_of_its_clip(sizes: list[int], rate: float, held: float, seed: int) -> None:
    window_s = held / rate
    values = np.random.default_rng(seed).normal(size=sum(sizes))
    frames = pd.concat([clip(f"clip{place}", size, rate) for place, size in enumerate(sizes)]).assign(v=values)
    found = windows.cut(frames, window_s)
    names = np.array(found.clips)[found.clip[found.window]]
    assert names.tolist() == frames["clip_id"].tolist()
    told = windows.of_frames(frames, window_s=window_s)
    frames_of = np.bincount(found.window)
    assert (told["value"].to_numpy() * frames_of).sum() == pytest.approx(values.sum(), abs=1e-9)
    for place, size in enumerate(sizes):  # no window is shorter than half of what was asked, but where the clip is
        assert (found.clip == place).sum() == pytest.approx(max(size / held, 1), abs=0.5 + 1e-6)
