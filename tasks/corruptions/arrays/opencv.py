"""The back end of the host's memory: NumPy and OpenCV, one thread, frame by frame within a batch."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.corruptions.arrays import Border, single
from tasks.corruptions.seeds import Moments

_KEPT_BYTES = 256 * 2**20  # of clips' layers: eight fields of 1920 x 1080 float32, twice over
_REUSED_BYTES = 24 * 2**20  # below the 32 MiB up to which glibc learns
_BORDERS = {
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
    "zero": cv2.BORDER_CONSTANT,
}
# Added before OpenCV rounds, so that it cuts instead. float32 may leave a whole number a little below itself.
_CUT = -0.5 + 1 / 512


class OpenCV:
    """Operations on NumPy arrays. See `Arrays` for what each does."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        # glibc hands a freed block back to the system, and has its pages mapped anew for the next array of that size,
        # until it has seen one as large freed: an empty one costs nothing, and halves the time of some corruptions.
        np.empty(_REUSED_BYTES, np.uint8)

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        return values

    def host(self, values: NDArray[Any]) -> NDArray[Any]:
        return values

    def empty(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.empty(shape, np.float32)

    def per_clip(
        self, moments: Moments, key: Hashable, make: Callable[[NDArray[np.uint64]], NDArray[Any]]
    ) -> NDArray[Any]:
        made = [self._clip(seed, key, make) for seed in moments.clip_seeds]
        return made[0] if len(made) == 1 else np.concatenate(made)

    def _clip(self, seed: np.uint64, key: Hashable, make: Callable[[NDArray[np.uint64]], NDArray[Any]]) -> NDArray[Any]:
        with self._lock:
            found = self._kept.get((int(seed), key))
            if found is not None:
                self._kept.move_to_end((int(seed), key))
                return found
        made = make(np.array([seed], dtype=np.uint64))
        made.flags.writeable = False
        with self._lock:
            self._kept[int(seed), key] = made
            while len(self._kept) > 1 and sum(layer.nbytes for layer in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return made

    def field(self, keys: NDArray[np.uint64], shape: tuple[int, ...]) -> NDArray[np.uint16]:
        count = int(np.prod(shape))
        out = np.empty((len(keys), -(-count // 4)), np.uint64)
        for row, key in zip(out, keys, strict=True):
            single.splitmix(int(key), row)
        words = out.astype("<u8", copy=False).view("<u2")[:, :count]
        return words.reshape(len(keys), *shape)

    def lut(self, codes: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
        if codes.dtype != np.uint8:
            flat = np.ascontiguousarray(codes).reshape(-1, codes.shape[-1])
            return np.asarray(cv2.LUT(flat, table.reshape(1, -1))).reshape(codes.shape)
        if table.ndim == 1:
            return single.each(codes, lambda frame: cv2.LUT(frame, table))
        # (N, C, 256): OpenCV wants the channels last.
        return np.stack(
            [
                cv2.LUT(frame, np.ascontiguousarray(own.T)[None]).reshape(frame.shape)
                for frame, own in zip(codes, table, strict=True)
            ]
        )

    def lut2(self, rows: NDArray[np.uint8], columns: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
        if table.shape[1] == 256 and columns.dtype == np.uint8:
            return single.batch([single.pairs(row, column, table) for row, column in zip(rows, columns, strict=True)])
        return single.looked_up(np.broadcast_to(rows, columns.shape), columns, table)

    def to_float(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        return codes.astype(np.float32)

    def to_codes(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1, values.shape[-1])
        return np.asarray(cv2.add(flat, _CUT, dtype=cv2.CV_8U)).reshape(values.shape)

    def clip(self, values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
        return np.clip(values, np.float32(low), np.float32(high))

    def maximum(self, left: NDArray[Any], right: Any) -> NDArray[Any]:
        return np.asarray(np.maximum(left, right, dtype=left.dtype))

    def minimum(self, left: NDArray[Any], right: Any) -> NDArray[Any]:
        return np.asarray(np.minimum(left, right, dtype=left.dtype))

    def where(self, mask: NDArray[np.bool_], yes: Any, no: Any) -> NDArray[Any]:
        return np.asarray(np.where(mask, yes, no))

    def places(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.flatnonzero(mask)

    def floor(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.floor(values))

    def channel_max(self, frames: NDArray[Any]) -> NDArray[Any]:
        return single.batch([single.over_channels(cv2.max, frame) for frame in frames])

    def channel_min(self, frames: NDArray[Any]) -> NDArray[Any]:
        return single.batch([single.over_channels(cv2.min, frame) for frame in frames])

    def luma(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        if frames.shape[-1] == 1:
            return frames[..., 0].astype(np.float32)
        return single.batch([single.luma(frame) for frame in frames])

    def channel_means(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.array([cv2.mean(frame)[: codes.shape[-1]] for frame in codes])

    def mix(
        self, left: NDArray[Any], left_weight: float, right: NDArray[Any], right_weight: float
    ) -> NDArray[np.float32]:
        shape = np.broadcast_shapes(left.shape, right.shape)
        flat = [np.ascontiguousarray(np.broadcast_to(side, shape)).reshape(-1, shape[-1]) for side in (left, right)]
        mixed = cv2.addWeighted(flat[0], left_weight, flat[1], right_weight, 0, dtype=cv2.CV_32F)
        return np.asarray(mixed).reshape(shape)

    def add_codes(self, left: NDArray[np.uint8], right: NDArray[Any]) -> NDArray[np.uint8]:
        first, second = (np.ascontiguousarray(side).reshape(-1, side.shape[-1]) for side in (left, right))
        return np.asarray(cv2.add(first, second, dtype=cv2.CV_8U)).reshape(left.shape)

    def lowest(self, values: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(values.min(axis=tuple(range(1, values.ndim)), keepdims=True), dtype=np.float32)

    def highest(self, values: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(values.max(axis=tuple(range(1, values.ndim)), keepdims=True), dtype=np.float32)

    def spread(self, plane: NDArray[Any], channels: int) -> NDArray[Any]:
        flat = np.ascontiguousarray(plane).reshape(-1, plane.shape[-1])
        if channels == 3:
            flat = cv2.cvtColor(flat, cv2.COLOR_GRAY2RGB)
        return np.asarray(flat).reshape(*plane.shape, channels)

    def turned(self, plane: NDArray[Any]) -> NDArray[Any]:
        return single.each(plane, lambda frame: cv2.flip(frame, -1))

    def window(
        self, plane: NDArray[Any], top: NDArray[np.int64], left: NDArray[np.int64], *, height: int, width: int
    ) -> NDArray[Any]:
        out = np.empty((len(plane), height, width), plane.dtype)
        for frame, view, first_row, first_column in zip(plane, out, top, left, strict=True):
            for rows, from_rows in single.runs(int(first_row), height, frame.shape[0]):
                for columns, from_columns in single.runs(int(first_column), width, frame.shape[1]):
                    view[rows, columns] = frame[from_rows, from_columns]
        return out

    def pad(self, values: NDArray[Any], top: int, bottom: int, left: int, right: int, border: Border) -> NDArray[Any]:
        height, width = values.shape[1:3]
        return single.each(
            values,
            lambda frame: cv2.copyMakeBorder(frame, top, bottom, left, right, _BORDERS[border]),
            (height + top + bottom, width + left + right),
        )

    def shifted_sum(
        self, values: NDArray[Any], steps: Sequence[tuple[int, int]], weights: Sequence[float], border: Border
    ) -> NDArray[np.float32]:
        width = values.shape[2]
        up, left = (max(0, -min(step[axis] for step in steps)) for axis in (0, 1))
        down, right = (max(0, max(step[axis] for step in steps)) for axis in (0, 1))

        def one(frame: NDArray[Any]) -> NDArray[np.float32]:
            wide = cv2.copyMakeBorder(frame, up, down, left, right, _BORDERS[border]).astype(np.float32, copy=False)
            out = np.zeros(frame.shape, np.float32)
            for rows in single.bands(len(out), out[0].nbytes):
                band = out[rows]
                for (dy, dx), weight in zip(steps, weights, strict=True):
                    top = up + dy + rows.start
                    cv2.scaleAdd(wide[top : top + len(band), left + dx : left + dx + width], weight, band, dst=band)
            return out

        return single.each(values, one)

    def trails(
        self, values: NDArray[Any], steps: NDArray[np.int64], weights: Any, border: Border
    ) -> NDArray[np.float32]:
        own = [[(int(dy), int(dx)) for dy, dx in frame] for frame in steps]
        shares = np.broadcast_to(np.asarray(weights, dtype=np.float64), steps.shape[:2]).tolist()
        summed = [self.shifted_sum(values[at : at + 1], step, shares[at], border) for at, step in enumerate(own)]
        return summed[0] if len(summed) == 1 else np.concatenate(summed)

    def run_sums(self, codes: NDArray[np.uint8], half_widths: Sequence[int], border: Border) -> NDArray[np.float32]:
        reach, most = len(half_widths) // 2, max(half_widths)

        def one(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
            wide = cv2.copyMakeBorder(frame, reach, reach, most, most, _BORDERS[border])
            return single.run_sums(wide.reshape(*wide.shape[:2], -1), half_widths)

        return single.each(codes, one)

    def separable(
        self, values: NDArray[Any], column: NDArray[Any], row: NDArray[Any], border: Border
    ) -> NDArray[np.float32]:
        along, down = (np.asarray(kernel, dtype=np.float32) for kernel in (row, column))
        return single.each(
            values, lambda frame: cv2.sepFilter2D(frame, cv2.CV_32F, along, down, borderType=_BORDERS[border])
        )

    def convolve(self, values: NDArray[np.float32], kernel: NDArray[Any], border: Border) -> NDArray[np.float32]:
        weights = np.asarray(kernel, dtype=np.float32)
        return single.each(values, lambda frame: cv2.filter2D(frame, -1, weights, borderType=_BORDERS[border]))

    def sample(
        self, values: NDArray[Any], rows: NDArray[np.float32], columns: NDArray[np.float32], border: Border
    ) -> NDArray[Any]:
        places = zip(*(np.broadcast_to(part, (len(values), *part.shape[1:])) for part in (columns, rows)), strict=True)

        def one(frame: NDArray[Any], across: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[Any]:
            def change(wide: NDArray[Any]) -> NDArray[Any]:
                floats = wide.astype(np.float32, copy=False)
                return np.asarray(cv2.remap(floats, across, down, cv2.INTER_LINEAR, borderMode=_BORDERS[border]))

            return single.four_channels(frame, change).reshape(*down.shape, *frame.shape[2:])

        return single.batch([one(frame, *place) for frame, place in zip(values, places, strict=True)])

    def stretch(
        self,
        values: NDArray[Any],
        *,
        height: int,
        width: int,
        top: float,
        left: float,
        step: float,
        step_across: float | None = None,
    ) -> NDArray[Any]:
        view = (top, left, step, step_across or step)

        def one(frame: NDArray[Any]) -> NDArray[Any]:
            return single.stretched(frame, view, height, width)

        return single.each(values, lambda frame: single.four_channels(frame, one), (height, width))

    def stretch_sum(
        self, codes: NDArray[np.uint8], weight: float, views: Sequence[tuple[float, float, float, float]]
    ) -> NDArray[np.float32]:
        width = codes.shape[2]

        def one(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
            values = frame.astype(np.float32)
            total = values * np.float32(weight)
            # As of four channels, whatever there are: where a band begins decides the last bits of its rows' places.
            for rows in single.bands(len(total), 16 * width):
                band = total[rows]
                seen = np.empty_like(band)
                for top, left, step, step_across in views:
                    view = (top + step * rows.start, left, step, step_across)
                    cv2.add(band, single.stretched(values, view, len(band), width, seen), dst=band)
            return total

        return single.each(codes, lambda frame: single.four_channels(frame, one))

    def gather(self, values: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
        return single.batch([single.gathered(own, places) for own, places in zip(values, index, strict=True)])

    def shrink(self, codes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        return single.by_pillow(codes, height, width, Image.Resampling.BOX)

    def enlarge(self, codes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        exact = cv2.INTER_NEAREST_EXACT  # Pillow's own choice of neighbours; INTER_NEAREST's is another one
        return single.each(
            codes, lambda frame: cv2.resize(frame, (width, height), interpolation=exact), (height, width)
        )
