import numpy as np
import pandas as pd
import pytest

from tasks.models import tracking
from tasks.models.tracking import MINIMUM_SCORE, Frame, fingerprint, settings, track
from tasks.params import Tracker


def frame(*rows: tuple[float, float, float, int]) -> Frame:
    """Boxes of 20 px at (x, y), with a score and a class."""
    table = np.array(rows, dtype=np.float32).reshape(-1, 4)
    boxes = np.concatenate([table[:, :2], table[:, :2] + 20], axis=1)
    return boxes, table[:, 2].copy(), table[:, 3].astype(np.int64)


def walkers(n: int = 8) -> list[Frame]:
    """Two objects, in an order that changes from frame to frame, and a flood of faint boxes over both."""
    frames = []
    for t in range(n):
        rows = [(10.0 + 3 * t, 20.0, 0.9, 0), (200.0 - 4 * t, 60.0, 0.8, 1)]
        faint = [(10.0 + 3 * t + d, 20.0 + d, MINIMUM_SCORE - 0.02, 0) for d in (0.0, 1.0, 2.0)]
        frames.append(frame(*faint, *(rows if t % 2 else rows[::-1])))
    return frames


def ids(tracks: list[list[pd.arrays.IntegerArray]]) -> list[list[list[int | None]]]:
    return [[[None if pd.isna(i) else int(i) for i in one] for one in clip] for clip in tracks]


def test_objects_keep_their_ids_and_faint_boxes_have_none() -> None:
    (clip,) = ids(track([walkers()], tracker=Tracker()))
    assert clip[0] == [None] * 5  # no track is confirmed in its first frame
    for t, found in enumerate(clip[1:], start=1):
        assert found[:3] == [None] * 3
        assert found[3:] == ([1, 2] if t % 2 else [2, 1])


def test_every_clip_starts_afresh_and_repeats_to_the_digit() -> None:
    alone = ids(track([walkers()], tracker=Tracker()))
    assert ids(track([walkers(), walkers(), walkers()], tracker=Tracker())) == alone * 3


def test_settings_of_params_come_first() -> None:
    strict = Tracker(track_activation_threshold=0.85, high_conf_det_threshold=0.85)
    (clip,) = ids(track([walkers()], tracker=strict))
    assert {i for found in clip for i in found} == {None, 1}
    late = Tracker(minimum_consecutive_frames=4)
    (clip,) = ids(track([walkers()], tracker=late))
    assert [max((i or 0) for i in found) for found in clip] == [0, 0, 0, 2, 2, 2, 2, 2]


def test_a_lost_object_is_found_again_within_the_buffer() -> None:
    frames = [frame((50.0, 50.0, 0.9, 0))] * 4 + [frame()] * 3 + [frame((50.0, 50.0, 0.9, 0))] * 3
    (kept,) = ids(track([frames], tracker=Tracker(lost_track_buffer=30), frame_rate=30))
    assert kept[1:4] + kept[7:] == [[1]] * 6
    (dropped,) = ids(track([frames], tracker=Tracker(lost_track_buffer=1), frame_rate=30))
    assert dropped[7:] == [[None], [2], [2]]


def test_inputs_are_left_as_they_are_and_empty_frames_pass() -> None:
    frames = walkers()
    copies = [tuple(array.copy() for array in one) for one in frames]
    track([frames], tracker=Tracker())
    for one, copy in zip(frames, copies, strict=True):
        for array, before in zip(one, copy, strict=True):
            np.testing.assert_array_equal(array, before)
    assert ids(track([[frame(), frame()], []], tracker=Tracker())) == [[[], []], []]


def test_fingerprint_follows_settings_and_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    base = fingerprint(Tracker())
    assert base == fingerprint(Tracker(lost_track_buffer=int(settings(Tracker())["lost_track_buffer"])))
    assert base != fingerprint(Tracker(lost_track_buffer=7))
    monkeypatch.setattr(tracking, "MINIMUM_SCORE", 0.2)
    assert base != fingerprint(Tracker())
