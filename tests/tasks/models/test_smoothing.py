"""Moving averages against the closed form of their weights, and that nothing looks ahead."""

import numpy as np
import pandas as pd
import pytest

from tasks.models.smoothing import smoothed
from tasks.models.tracking import fingerprint, track
from tasks.models.wording import settings
from tasks.params import Model, Tracker
from tests.tasks.models.test_tracking import ids, walkers


def held(*numbers):
    return pd.array(list(numbers), dtype="Int64")


def test_a_box_is_the_weighted_mean_of_its_track_so_far():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 100, (8, 1, 4))
    found = smoothed(list(boxes), [held(7)] * 8, 0.6)
    for t, drawn in enumerate(found):
        weights = [0.6**t, *(0.4 * 0.6 ** (t - s) for s in range(1, t + 1))]
        assert sum(weights) == pytest.approx(1)
        assert drawn == pytest.approx(np.tensordot(weights, boxes[: t + 1], axes=1), abs=1e-12)


def test_what_moves_evenly_is_shown_behind_by_a_known_distance():
    boxes = [np.array([[3.0 * t, 0, 3.0 * t + 20, 10]]) for t in range(60)]
    found = smoothed(boxes, [held(1)] * 60, 0.6)
    assert (boxes[-1] - found[-1])[0] == pytest.approx([3 * 0.6 / 0.4, 0, 3 * 0.6 / 0.4, 0], abs=1e-9)


def test_a_gap_forgets_tracks_are_apart_and_the_rest_stays():
    at = [
        np.array([[0.0] * 4, [50.0] * 4, [7.0] * 4]),
        np.array([[60.0] * 4]),
        np.zeros((0, 4)),
        np.array([[10.0] * 4]),
    ]
    given = [held(1, 2, None), held(2), held(), held(1)]
    found = smoothed(at, given, 0.5)
    assert found[0].tolist() == at[0].tolist()
    assert found[1][0].tolist() == [55.0] * 4
    assert found[3][0].tolist() == [10 * (1 - 0.5**3)] * 4  # three frames later
    assert at[3].tolist() == [[10.0] * 4]  # inputs are left as they are


def test_no_box_depends_on_a_later_one_and_nothing_smooths_nothing():
    (tracks,) = track([walkers(10)], tracker=Tracker())
    boxes = [here for here, _, _ in walkers(10)]
    whole = smoothed(boxes, tracks, 0.8)
    for end in range(1, 10):
        for ours, theirs in zip(smoothed(boxes[:end], tracks[:end], 0.8), whole, strict=False):
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(smoothed(boxes, tracks, 0), boxes, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert ids([tracks]) == ids(track([walkers(10)], tracker=Tracker(smooth=0.8)))  # the tracker sees the detector's


def test_it_is_hashed_and_printed():
    assert fingerprint(Tracker(smooth=0)) == fingerprint(Tracker())
    assert len({fingerprint(Tracker(smooth=share))["settings"] for share in (0, 0.5, 0.6)}) == 3
    model = Model(adapter="classical", variant="otsu", tracker=Tracker(smooth=0.6))
    told = settings(model, {"tasks": ["detection"]})
    assert told.endswith("; boxes of tracks smoothed, 0.6 of the one before")
    assert "smoothed" not in settings(model.model_copy(update={"tracker": Tracker()}), {"tasks": ["detection"]})
