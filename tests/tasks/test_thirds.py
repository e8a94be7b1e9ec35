"""Where thirds are cut, against clips sorted by hand."""

import pandas as pd

from tasks import slices, thirds
from tasks.params import Slices

CLIPS = {
    "a": [10.0, 30.0],
    "b": [50.0, 50.0],
    "c": [71.25, 71.25],
    "d": [90.0, 90.0],
    "e": [100.0, 110.0],
    "f": [200.0] * 2,
}
ROWS = [(clip, value) for clip, values in CLIPS.items() for value in values]
FRAMES = pd.DataFrame({"frame_id": range(len(ROWS)), "clip_id": [clip for clip, _ in ROWS], "frame_index": 0})
QUALITY = pd.DataFrame(
    {"frame_id": range(len(ROWS)), "brightness": [v for _, v in ROWS], "blockiness": 1.0, "crowding": [0] * 4 + [3] * 8}
)


def test_bounds_are_the_mildest_clips_of_the_upper_thirds():
    told = thirds.bounds(["brightness", "blockiness", "crowding"], FRAMES, QUALITY)
    assert told == (
        "brightness: low below 71.25, high from 105 grey levels",  # means 20 50 | 71.25 90 | 105 200
        "crowding: low below 3, high from 3 objects a frame",  # two of six clips are low; blockiness has no thirds
    )


def test_bounds_are_where_the_slices_lie():
    cut = {item.name: item.frames for item in slices.build(Slices(derived=("brightness",)), FRAMES, QUALITY, QUALITY)}
    means = QUALITY.groupby(FRAMES["clip_id"])["brightness"].transform("mean")
    assert (cut["brightness=low"] == (means < 71.25)).all()
    assert (cut["brightness=high"] == (means >= 105)).all()


def test_nothing_to_cut_is_nothing_told():
    assert thirds.bounds([], FRAMES, None) == ()
