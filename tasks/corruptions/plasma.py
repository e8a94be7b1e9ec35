"""The benchmark's fog: a plasma field by diamond and square."""

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.seeds import streams

_FIRST_WIBBLE = 100.0


def plasma(arrays: Arrays, seeds: NDArray[np.uint64], *, size: int, decay: float) -> Array:
    """Fractal fields that repeat at their edges, (U, size, size), float32: each reaches from 0 to 1.

    Diamond and square (Fournier, Fussell and Carpenter 1982) as imagecorruptions 1.1.2 has it: midpoints of squares,
    then of diamonds, are the mean of their four corners, give or take `wibble`^2; the wibble falls by `decay` with each
    halving of the grid. The same random numbers serve every decay.

    Args:
        arrays: The back end.
        seeds: One for each field, (U,).
        size: A power of two.
        decay: More than 0; larger is smoother.
    """
    words = arrays.field(streams(seeds, 0), (size * size,))
    corners = arrays.array(np.zeros((len(seeds), 1, 1), np.float32))
    side, taken, reach = 1, 0, _FIRST_WIBBLE**2
    while side < size:
        drawn = words[:, taken : taken + 3 * side * side].reshape(len(seeds), 3, side, side)
        corners = _finer(arrays, corners, drawn, reach)
        taken += 3 * side * side
        side *= 2
        reach /= decay**2
    lowest = arrays.lowest(corners)
    corners -= lowest
    corners *= 1 / arrays.highest(corners)
    return corners


def _finer(arrays: Arrays, corners: Array, drawn: Array, reach: float) -> Array:
    """Twice the rows and columns: `drawn` has 16 bits for each new middle, top and left, (U, 3, side, side)."""

    def near(four: Array, chosen: int) -> Array:
        mean = arrays.mix(four, 0.25, drawn[:, chosen], reach / 32768)
        mean -= reach
        return mean

    count, side, _ = corners.shape
    before, at = np.full(count, -1), np.zeros(count, dtype=np.int64)
    around = arrays.window(corners, at, at, height=side + 1, width=side + 1)
    down = around[:, :-1] + around[:, 1:]
    middles = near(down[:, :, :-1] + down[:, :, 1:], 0)
    around_middles = arrays.window(middles, before, before, height=side + 1, width=side + 1)
    tops = around[:, :-1, :-1] + around[:, :-1, 1:]
    tops += around_middles[:, :-1, 1:]
    tops += middles
    lefts = down[:, :, :-1] + around_middles[:, 1:, :-1]
    lefts += middles
    out = arrays.empty((count, 2 * side, 2 * side))
    out[:, ::2, ::2] = corners
    out[:, 1::2, 1::2] = middles
    out[:, ::2, 1::2] = near(tops, 1)
    out[:, 1::2, ::2] = near(lefts, 2)
    return out
