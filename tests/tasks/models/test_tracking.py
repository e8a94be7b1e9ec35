from importlib.metadata import version

import cv2
import numpy as np
import pandas as pd
import pytest
import supervision
import trackers

from tasks.errors import InputError
from tasks.models import tracking
from tasks.models.tracking import MINIMUM_SCORE, TRACKERS, Frame, fingerprint, looks_at_frames, settings, track
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
    for t, found in enumerate(clip):
        assert found[:3] == [None] * 3
        assert found[3:] == ([2, 1] if t % 2 else [1, 2])


def test_a_threshold_below_the_floor_is_meant() -> None:
    faint = [frame((50.0 + 2 * t, 50.0, 0.06, 0), (50.0, 90.0, 0.04, 0)) for t in range(5)]
    low = Tracker(track_activation_threshold=0.05, high_conf_det_threshold=0.05)
    assert ids(track([faint], tracker=low)) == [[[1, None]] * 5]
    assert ids(track([faint], tracker=Tracker())) == [[[None, None]] * 5]


def test_every_clip_starts_afresh_and_repeats_to_the_digit() -> None:
    alone = ids(track([walkers()], tracker=Tracker()))
    assert ids(track([walkers(), walkers(), walkers()], tracker=Tracker())) == alone * 3


def test_settings_of_params_come_first() -> None:
    strict = Tracker(track_activation_threshold=0.85, high_conf_det_threshold=0.85)
    (clip,) = ids(track([walkers()], tracker=strict))
    assert {i for found in clip for i in found} == {None, 1}
    late = [frame(), *walkers()]  # what a clip's first frame shows has its id at once
    (clip,) = ids(track([late], tracker=Tracker(minimum_consecutive_frames=4)))
    assert [max((i or 0) for i in found) if found else None for found in clip] == [None, 0, 0, 0, 2, 2, 2, 2, 2]


def test_a_lost_object_is_found_again_within_the_buffer() -> None:
    frames = [frame((50.0, 50.0, 0.9, 0))] * 4 + [frame()] * 3 + [frame((50.0, 50.0, 0.9, 0))] * 3
    (kept,) = ids(track([frames], tracker=Tracker(lost_track_buffer=30)))
    assert kept[:4] + kept[7:] == [[1]] * 7
    (dropped,) = ids(track([frames], tracker=Tracker(lost_track_buffer=1)))
    assert dropped[7:] == [[None], [2], [2]]


@pytest.mark.parametrize(("hidden", "number"), [(9, 1), (11, 2)])
def test_the_buffer_counts_frames_of_the_clip(hidden: int, number: int) -> None:
    here = frame((50.0, 50.0, 0.9, 0))
    frames = [here] * 4 + [frame()] * hidden + [here] * 3
    (found,) = ids(track([frames], tracker=Tracker(lost_track_buffer=10)))
    assert found[-1] == [number]


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
    assert base != fingerprint(Tracker(boxes="masks"))
    monkeypatch.setattr(tracking, "MINIMUM_SCORE", 0.2)
    assert base != fingerprint(Tracker())
    monkeypatch.undo()
    assert base["library"] == f"trackers {version('trackers')}"
    monkeypatch.setattr(tracking, "version", lambda name: "9.9")
    assert base != fingerprint(Tracker())


@pytest.mark.parametrize("name", TRACKERS)
def test_every_tracker_follows_as_the_package_does_and_from_the_first_frame_on(name: str) -> None:
    frames = [(boxes[3:], scores[3:], kinds[3:]) for boxes, scores, kinds in walkers(12)]
    (clip,) = ids(track([frames], tracker=Tracker(name=name)))
    assert all(found == ([2, 1] if t % 2 else [1, 2]) for t, found in enumerate(clip))
    theirs = getattr(trackers, TRACKERS[name].class_name)(**TRACKERS[name].defaults)
    names: dict[int, int] = {}
    for (boxes, scores, _), ours in zip(frames, clip, strict=True):
        tracked = theirs.update(supervision.Detections(xyxy=boxes, confidence=scores, data={"row": np.arange(2)}))
        for row, number in zip(tracked.data["row"], tracked.tracker_id, strict=True):
            if number >= 0:
                assert names.setdefault(int(number), ours[row]) == ours[row]
    assert sorted(names.values()) == [1, 2]


def test_a_setting_of_another_tracker_is_refused() -> None:
    with pytest.raises(InputError, match="sort has no setting 'high_conf_det_threshold'; it has track_activation"):
        settings(Tracker(name="sort", high_conf_det_threshold=0.5))


def panned(shown: bool) -> list[list[int | None]]:
    """Two still things seen by a camera that jumps by more than their width in every frame."""
    rng = np.random.default_rng(0)
    world = cv2.GaussianBlur(rng.integers(0, 256, (240, 640, 3), dtype=np.uint8), (0, 0), 2)
    steps = [0, 26, 52, 78, 104, 130]
    frames = [frame((200.0 - x, 60.0, 0.9, 0), (280.0 - x, 120.0, 0.8, 0)) for x in steps]
    images = [world[:, x : x + 400] for x in steps]
    (clip,) = ids(track([frames], tracker=Tracker(name="botsort"), images=[iter(images)] if shown else None))
    return clip


def test_the_motion_of_the_camera_is_taken_out_where_frames_are_seen() -> None:
    assert looks_at_frames(Tracker(name="botsort"))
    assert not looks_at_frames(Tracker())
    assert panned(shown=True) == [[1, 2]] * 6
    assert panned(shown=False)[1] == [None, None]
