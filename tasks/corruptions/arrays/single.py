"""What the back end of OpenCV does to one frame, where OpenCV, NumPy or Pillow want it done in a certain way."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.corruptions.seeds import FIRST, GOLDEN, SECOND

BLOCK = 32768
"""Numbers hashed at a time: they stay in the processor's cache."""


def each(
    values: NDArray[Any], change: Callable[[NDArray[Any]], Any], size: tuple[int, int] | None = None
) -> NDArray[Any]:
    """`change` of each frame. OpenCV drops a last axis of one channel: it is put back."""
    shape = (len(values), *(size or values.shape[1:3]), *values.shape[3:])
    if len(values) == 1:
        return np.asarray(change(values[0])).reshape(shape)
    return np.stack([change(frame) for frame in values]).reshape(shape)


def four_channels(frame: NDArray[Any], change: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """`change` of a frame. OpenCV interpolates four channels nearly three times as fast as three."""
    if frame.ndim == 2 or frame.shape[2] != 3:
        return change(frame)
    return np.asarray(cv2.cvtColor(change(cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA)), cv2.COLOR_RGBA2RGB))


def pairs(row: NDArray[np.uint8], column: NDArray[np.uint8], table: NDArray[Any]) -> NDArray[Any]:
    """table[row, column] of one frame: two bytes side by side are one number of 16 bits, an index into all entries."""
    count = column.shape[2] if column.ndim == 3 else 1
    height, width = column.shape[:2]
    index = np.empty((height, width, 2 * count), np.uint8)
    shared = row.ndim == 2 or row.shape[2] == 1
    low = [place for channel in range(count) for place in (channel, 2 * channel)]
    high = [place for channel in range(count) for place in (count + channel * (not shared), 2 * channel + 1)]
    cv2.mixChannels([column, row], [index], low + high)
    found = cv2.LUT(index.view("<u2").reshape(height, width * count), table.reshape(1, -1))
    return np.asarray(found).reshape(column.shape)


def by_pillow(codes: NDArray[np.uint8], height: int, width: int, how: Image.Resampling) -> NDArray[np.uint8]:
    """A batch at another size, resized by Pillow."""
    out = [
        np.asarray(Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame).resize((width, height), how))
        for frame in codes
    ]
    return batch(out).reshape(len(codes), height, width, codes.shape[3])


def batch(frames: list[NDArray[Any]]) -> NDArray[Any]:
    """Frames as a batch: one alone is not copied."""
    return frames[0][None] if len(frames) == 1 else np.stack(frames)


def over_channels(choose: Callable[..., Any], frame: NDArray[Any]) -> NDArray[Any]:
    """The channels of a frame reduced to one by OpenCV's `choose` of two."""
    chosen, *others = cv2.split(frame)
    for other in others:
        chosen = choose(chosen, other)
    return np.asarray(chosen)


def runs(first: int, count: int, size: int) -> list[tuple[slice, slice]]:
    """The runs in which `count` places from `first` on lie within a size that repeats: where they go, where from."""
    runs, done = [], 0
    while done < count:
        start = (first + done) % size
        length = min(count - done, size - start)
        runs.append((slice(done, done + length), slice(start, start + length)))
        done += length
    return runs


def splitmix(key: int, out: NDArray[np.uint64]) -> None:
    """splitmix64's outputs 1, 2, 3 ... under a key."""
    steps = np.arange(1, min(BLOCK, len(out)) + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    shifted = np.empty_like(steps)
    for start in range(0, len(out), BLOCK):
        block = out[start : start + BLOCK]
        spare = shifted[: len(block)]
        np.add(steps[: len(block)], np.uint64((key + start * GOLDEN) % 2**64), out=block)
        for bits, factor in ((30, FIRST), (27, SECOND)):
            np.right_shift(block, np.uint64(bits), out=spare)
            np.bitwise_xor(block, spare, out=block)
            np.multiply(block, np.uint64(factor), out=block)
        np.right_shift(block, np.uint64(31), out=spare)
        np.bitwise_xor(block, spare, out=block)
