"""What happens between frames: lives, gaps and switches of tracks by hand and by simulation, flicker by brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics.instances import Floats, box_iou
from tasks.monitoring import continuity, windows
from tasks.monitoring.continuity import Boxes, Timeline


def timeline(sizes: list[int], rate: float = 10.0, window_s: float = 1e9) -> Timeline:
    table = pd.DataFrame(
        [(str(clip), frame / rate) for clip, size in enumerate(sizes) for frame in range(size)],
        columns=["clip_id", "t_s"],
    )
    return Timeline.of(windows.cut(table, window_s), windows.times(table))


def boxes(frames: list[int], kinds: list[int] | None = None, corners: Floats | None = None) -> Boxes:
    n = len(frames)
    return Boxes(
        np.array(frames, dtype=np.int64),
        np.array(kinds or [0] * n, dtype=np.int64),
        np.ones(n),
        np.tile([0.0, 0, 10, 10], (n, 1)) if corners is None else corners,
    )


def test_tracks_by_hand() -> None:
    """Track 1 in frames 0, 1, 3, 4 (a gap) and class 0, 0, 0, 2 (a switch); track 2 in 0..2 (an end); 6 frames.

    Boxes that could go on: 4 + 3, none of them in the last frame, a tenth of a second each.
    """
    found = continuity.of_tracks(
        boxes([0, 1, 3, 4, 0, 1, 2], [0, 0, 0, 2, 1, 1, 1]), np.array([1, 1, 1, 1, 2, 2, 2]), timeline([6])
    )
    assert found["tracks_per_frame"].tolist() == pytest.approx([7 / 6])
    assert found["track_end_rate"].tolist() == pytest.approx([2 / 0.7])
    assert found["track_gap_rate"].tolist() == pytest.approx([1 / 0.7])
    assert found["class_switch_rate"].tolist() == pytest.approx([1 / 0.7])


def test_a_track_that_lasts_until_the_clip_ends_did_not_end() -> None:
    found = continuity.of_tracks(boxes([0, 1, 2]), np.array([1, 1, 1]), timeline([3]))
    assert found["track_end_rate"].tolist() == [0.0]


def test_an_id_of_another_clip_is_another_track() -> None:
    found = continuity.of_tracks(boxes([0, 1, 2, 3]), np.array([1, 1, 1, 1]), timeline([2, 2]))
    assert found["track_end_rate"].tolist() == [0.0, 0.0]
    assert found["track_gap_rate"].tolist() == [0.0, 0.0]


def test_what_happens_counts_in_the_window_where_it_does() -> None:
    found = continuity.of_tracks(boxes([0, 1, 2]), np.array([1, 1, 1]), timeline([20], window_s=1.0))
    assert found["track_end_rate"][0] == pytest.approx(1 / 0.3)
    assert np.isnan(found["track_end_rate"][1])
    assert found["tracks_per_frame"].tolist() == [0.3, 0.0]


def test_no_times_no_rates() -> None:
    table = pd.DataFrame({"clip_id": "a", "t_s": [np.nan] * 3})
    time = Timeline.of(windows.cut(table, 10.0), windows.times(table))
    assert np.isnan(continuity.of_tracks(boxes([0, 1]), np.array([1, 1]), time)["track_end_rate"]).all()


@pytest.mark.parametrize(("n_clips", "n_frames"), [(2000, 12), (8, 3000)])
def test_short_clips_and_long_ones_show_the_same_life(n_clips: int, n_frames: int) -> None:
    """Tracks end with probability 0.05 a frame at 10 frames a second: 0.5 a second, a mean life of 2 s.

    In clips of 1.2 s no life is seen that long. About 1,000 ends: a standard error of 3 %, of which 4 are allowed.
    """
    rng = np.random.default_rng(7)
    frames, tracks, number = [], [], 0
    for clip in range(n_clips):
        place = 0
        while place < n_frames:
            number += 1
            life = rng.geometric(0.05)
            own = range(place, min(place + life, n_frames))
            frames += [clip * n_frames + frame for frame in own]
            tracks += [number] * len(own)
            place += life
    found = continuity.of_tracks(boxes(frames), np.array(tracks), timeline([n_frames] * n_clips))
    assert np.nanmean(found["track_end_rate"]) == pytest.approx(0.5, rel=0.12)


def test_flicker_by_hand() -> None:
    """A still box that frame 2 lacks: held over frames 1, 2, 3 and lost in one of them."""
    assert continuity.flicker(boxes([0, 1, 3, 4]), timeline([5])).tolist() == [1.0]
    assert continuity.flicker(boxes([0, 1, 2, 3, 4]), timeline([5])).tolist() == [0.0]


def test_flicker_is_not_a_box_that_moves_or_changes_clip() -> None:
    moving = np.array([[x, 0.0, x + 10, 10] for x in (0, 1.5, 3)])
    assert continuity.flicker(boxes([0, 1, 2], corners=moving), timeline([3])).tolist() == [0.0]
    assert np.isnan(continuity.flicker(boxes([0, 2]), timeline([2, 1]))).all()
    assert np.isnan(continuity.flicker(boxes([]), timeline([4]))).all()
    assert np.isnan(continuity.flicker(boxes([0]), timeline([1]))).all()


def test_a_box_of_another_class_is_no_stand_in() -> None:
    assert continuity.flicker(boxes([0, 1, 2], [3, 4, 3]), timeline([3])).tolist() == [1.0]


def brute_force(given: Boxes, sizes: list[int]) -> list[float]:
    """Frame by frame, box by box."""
    answers, first = [], 0
    for size in sizes:
        held = lost = 0
        for middle in range(first + 1, first + size - 1):
            at = {frame: np.flatnonzero(given.frame == frame) for frame in (middle - 1, middle, middle + 1)}
            for one in at[middle - 1]:
                others = [row for row in at[middle + 1] if given.kind[row] == given.kind[one]]
                overlaps = [box_iou(given.box[[one]], given.box[[row]])[0] for row in others]
                if not overlaps or max(overlaps) < 0.5:
                    continue
                mean = (given.box[one] + given.box[others[int(np.argmax(overlaps))]]) / 2
                kept = any(
                    given.kind[row] == given.kind[one] and box_iou(mean[None], given.box[[row]])[0] >= 0.5
                    for row in at[middle]
                )
                held, lost = held + 1, lost + (not kept)
        answers.append(lost / held if held else float("nan"))
        first += size
    return answers


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_flicker_is_what_brute_force_finds(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 40))
    start = rng.uniform(0, 8, (n, 2))
    given_boxes = boxes(
        rng.integers(0, sum(sizes), n).tolist(),
        rng.integers(0, 2, n).tolist(),
        np.hstack([start, start + rng.uniform(6, 12, (n, 2))]),
    )
    np.testing.assert_allclose(continuity.flicker(given_boxes, timeline(sizes)), brute_force(given_boxes, sizes))
