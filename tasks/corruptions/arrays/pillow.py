"""Which pixels Pillow's resizing takes, so that tensors come out as its pictures do."""

import numpy as np
from numpy.typing import NDArray


def boxes(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first pixel of each of `new` boxes over a line of `old` pixels, and the one after its last.

    Example:
        >>> [ends.tolist() for ends in boxes(5, 2)]
        [[0, 3], [3, 5]]
    """
    scale = old / new
    centre = ((np.arange(new) + 0.5) * scale)[:, None]
    # Pillow's own order of sums, for a pixel whose centre lies on the box's very edge.
    lowest, end = (np.clip(centre + side * scale * 0.5 + 0.5, 0, old).astype(np.int64) for side in (-1, 1))
    pixel = lowest + np.arange(int(np.ceil(scale)) + 1)[None]
    place = (pixel - centre + 0.5) * (1 / scale)
    held = (place > -0.5) & (place <= 0.5) & (pixel < end)
    first = np.take_along_axis(pixel, held.argmax(axis=1)[:, None], axis=1)[:, 0]
    return first, first + held.sum(axis=1)


def nearest(old: int, new: int) -> NDArray[np.int64]:
    """The pixel, of a line of `old`, that each of `new` pixels shows: steps added up one by one, as Pillow does.

    Example:
        >>> nearest(3, 6).tolist()
        [0, 0, 1, 1, 2, 2]
    """
    places = np.full(new, old / new)
    places[0] = old / new / 2
    return np.minimum(np.add.accumulate(places).astype(np.int64), old - 1)
