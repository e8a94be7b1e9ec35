"""Boxes of tracks smoothed over time, from what has been seen so far: a moving average of their corners."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Boxes = npt.NDArray[np.floating]


def smoothed(boxes: Sequence[Boxes], ids: Sequence[pd.arrays.IntegerArray], share: float) -> list[Boxes]:
    """The boxes of one clip, those of tracks drawn towards where the track was: an exponential moving average.

    A track's first box stays as it is. After that each corner is `share` of the smoothed corner before and the rest of
    the new one; after k frames without a box, `share` to the power of k + 1, so that an old place is forgotten at the
    rate of frames. No box depends on a later one. Something that moves by v px a frame is shown share / (1 - share) v
    behind, once that has settled.

    Args:
        boxes: of each frame in order, (N, 4) xyxy in pixels. Left as they are.
        ids: for each frame (N,) the id of each box, null without a track; such boxes stay as they are.
        share: at least 0, which changes nothing, and below 1.

    Examples:
        >>> one = pd.array([1], dtype="Int64")
        >>> [found.tolist() for found in smoothed([np.zeros((1, 4)), np.full((1, 4), 10.0)], [one, one], 0.6)]
        [[[0.0, 0.0, 0.0, 0.0]], [[4.0, 4.0, 4.0, 4.0]]]
    """
    last: dict[int, tuple[int, Boxes]] = {}
    found = []
    for frame, (given, held) in enumerate(zip(boxes, ids, strict=True)):
        drawn = given.copy()
        for row in np.flatnonzero(~held.isna()):
            number = int(held[int(row)])
            if number in last:
                when, before = last[number]
                kept = share ** (frame - when)
                drawn[row] = kept * before + (1 - kept) * given[row]
            last[number] = frame, drawn[row]
        found.append(drawn)
    return found
