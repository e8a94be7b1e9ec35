"""Tracks over a part's stored rows: smoothed boxes, and what cannot be tracked again."""

import numpy as np
import pandas as pd
import pytest

from tasks import tables
from tasks.errors import InputError
from tasks.inference.rows import replayed, with_tracks
from tasks.params import Tracker

BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
FRAMES = pd.DataFrame({"frame_id": [5, 6, 7, 8], "clip_id": ["a", "a", "a", "b"], "height_px": 100, "width_px": 100})


def part():
    """A thing that moves by 4 px a frame and a faint box, then another clip; each frame ends with a row of its own."""
    rows = []
    blank = dict.fromkeys(tables.SCHEMAS["predictions"].names)
    for place, frame_id in enumerate(FRAMES["frame_id"]):
        for score, x in ((0.9, 10.0 + 4 * place), (0.02, 70.0)):
            box = dict(zip(BOX, (x, 10.0, x + 20, 40.0), strict=True))
            rows.append(blank | box | {"frame_id": frame_id, "class_id": 1, "score": score})
        rows.append(blank | {"frame_id": frame_id, "probabilities": np.ones(1, np.float32)})
    table = pd.DataFrame(rows).astype({"class_id": "Int32", "score": float, **dict.fromkeys(BOX, float)})
    return table.assign(prediction_id=range(len(table)))


def test_boxes_of_tracks_are_smoothed_by_clip_and_all_else_stays():
    before = part()
    plain, found = with_tracks(before, FRAMES, Tracker()), with_tracks(before, FRAMES, Tracker(smooth=0.5))
    assert found["track_id"].tolist() == plain["track_id"].tolist() == [1, pd.NA, pd.NA] * 4
    pd.testing.assert_frame_equal(plain[BOX], before[BOX])
    assert found["x0_px"][::3].tolist() == [10, 12, 15, 22]  # 10; (10 + 14) / 2; (12 + 18) / 2; another clip
    assert found["x1_px"][::3].tolist() == [30, 32, 35, 42]
    others = found.drop(index=range(0, 12, 3))
    pd.testing.assert_frame_equal(others[BOX], before.loc[others.index, BOX])
    pd.testing.assert_frame_equal(before, part())


def test_smoothed_boxes_are_not_tracked_again_and_frames_are_asked_for_where_they_are_looked_at():
    asked = []

    def images(clip):
        asked.append(clip["frame_id"].tolist())
        return [np.zeros((100, 100, 3), np.uint8)] * len(clip)

    with pytest.raises(InputError, match="stored smoothed"):
        replayed(part(), FRAMES, Tracker(smooth=0.5), images=images)
    assert replayed(part(), FRAMES, Tracker(), images=images)["track_id"].notna().sum() == 4
    assert asked == []
    replayed(part(), FRAMES, Tracker(name="botsort"), images=images)
    assert asked == [[5, 6, 7], [8]]
