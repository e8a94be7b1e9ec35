"""What the back end of OpenCV does to one frame, where OpenCV, NumPy or Pillow want it done in a certain way."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.corruptions.seeds import FIRST, GOLDEN, SECOND

BLOCK = 32768
"""Numbers hashed or looked up at a time: they stay in the processor's cache."""

BAND_BYTES = 2**19
"""Of float32 added up at a time, 64 rows of 640 px in colour: they stay in the processor's cache."""


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
    height = len(column)
    if row.size != column.size:
        row = cv2.cvtColor(row, cv2.COLOR_GRAY2RGB)
    index = cv2.merge([side.reshape(height, -1) for side in (column, row)])
    found = cv2.LUT(index.view("<u2").reshape(height, -1), table.reshape(1, -1))
    return np.asarray(found).reshape(column.shape)


def looked_up(rows: NDArray[np.uint8], columns: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    """table[row, column], block by block."""
    out = np.empty(columns.shape, table.dtype)
    codes, places, found = rows.reshape(-1), columns.reshape(-1), out.reshape(-1)
    entries, numbers = table.reshape(-1), np.empty(min(BLOCK, len(found)), np.int64)
    for start in range(0, len(found), BLOCK):
        block = slice(start, start + BLOCK)
        index = numbers[: len(found[block])]
        np.multiply(codes[block], table.shape[1], out=index, dtype=np.int64)
        index += places[block]
        entries.take(index, out=found[block], mode="clip")  # "raise" would look up into a buffer first
    return out


def gathered(frame: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    """The pixels of a frame (H, W, C) by number: codes of three channels as one number of 32 bits each."""
    if frame.dtype != np.uint8 or frame.shape[2] != 3:
        return np.take(frame.reshape(-1, frame.shape[2]), places, axis=0)
    pixels = cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA).view(np.uint32).reshape(-1)
    return np.asarray(cv2.cvtColor(pixels[places].view(np.uint8).reshape(*places.shape, 4), cv2.COLOR_RGBA2RGB))


def stretched(
    frame: NDArray[Any],
    view: tuple[float, float, float, float],
    height: int,
    width: int,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Bilinear: the frame at (top + step y, left + step across x) of a view (top, left, step, step across)."""
    top, left, step, step_across = view
    affine = np.array([[step_across, 0.0, left], [0.0, step, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(frame, affine, (width, height), dst=out, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )


def bands(height: int, row_bytes: int) -> Iterator[slice]:
    """The rows of a frame some at a time: what is added up over and over stays in the processor's cache."""
    rows = max(16, BAND_BYTES // row_bytes // 16 * 16)
    for first in range(0, height, rows):
        yield slice(first, min(first + rows, height))


def run_sums(wide: NDArray[np.uint8], half_widths: Sequence[int]) -> NDArray[np.float32]:
    """Sums over a run of pixels in each row, of a frame (H, W, C) that has the rows and columns around it."""
    reach, most = len(half_widths) // 2, max(half_widths)
    height, width = wide.shape[0] - 2 * reach, wide.shape[1] - 2 * most
    # Sums of up to 257 pixels fit into 16 bits, and are twice as fast there.
    kind, held = (np.uint16, 257) if 2 * most < 257 else (np.float32, math.inf)
    out = np.zeros((height, width, wide.shape[2]), np.float32)
    for rows in bands(len(out), out[0].nbytes):
        around = wide[rows.start : rows.stop + 2 * reach].astype(kind)
        run = around[:, most : most + width].copy()
        count = rows.stop - rows.start
        total, pixels = np.zeros((count, width, wide.shape[2]), kind), 0
        for half in range(most + 1):
            for side in (-half, half) if half else ():
                cv2.add(run, around[:, most + side : most + side + width], dst=run)
            for top in (at for at, wanted in enumerate(half_widths) if wanted == half):
                if pixels + 2 * half + 1 > held:
                    cv2.accumulate(total, out[rows])
                    total[:], pixels = 0, 0
                cv2.add(total, run[top : top + count], dst=total)
                pixels += 2 * half + 1
        cv2.accumulate(total, out[rows])
    return out


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
    planes = np.empty((frame.shape[2], *frame.shape[:2]), frame.dtype)
    cv2.split(frame, list(planes))
    chosen = planes[0]
    for other in planes[1:]:
        choose(chosen, other, dst=chosen)
    return np.asarray(chosen)


def luma(frame: NDArray[Any]) -> NDArray[np.float32]:
    """0.299 R + 0.587 G + 0.114 B."""
    out = np.empty(frame.shape[:2], np.float32)
    for rows in bands(len(out), out[0].nbytes):
        cv2.cvtColor(frame[rows].astype(np.float32, copy=False), cv2.COLOR_RGB2GRAY, dst=out[rows])
    return out


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
