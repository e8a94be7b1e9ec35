"""The back end of tensors: whole batches at once, no loop over frames, on the device where the model runs."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.corruptions.arrays import Border
from tasks.corruptions.arrays.pillow import boxes, nearest
from tasks.corruptions.seeds import FIRST, GOLDEN, SECOND, Moments

_KEPT_BYTES = 2 * 2**30  # of clips' layers
_PAD_MODES: dict[Border, Any] = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


class Torch:
    """Operations on tensors of one device. See `Arrays` for what each does.

    16-bit fields are int32 tensors: torch has few operations on uint16.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()

    def array(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.array(values)).to(self.device)  # a copy: torch wants it writeable

    def host(self, values: torch.Tensor) -> NDArray[Any]:
        return np.asarray(values.cpu().numpy())

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape, device=self.device)

    def per_clip(
        self, moments: Moments, key: Hashable, make: Callable[[NDArray[np.uint64]], torch.Tensor]
    ) -> torch.Tensor:
        seeds, places = np.unique(moments.clip_seeds, return_inverse=True)
        missing = [seed for seed in seeds if (int(seed), key) not in self._kept]
        fresh: dict[int, torch.Tensor] = {}
        if missing:
            made = make(np.array(missing, dtype=np.uint64))
            fresh = {int(seed): layer for seed, layer in zip(missing, made, strict=True)}
        layers = [fresh[int(seed)] if int(seed) in fresh else self._kept[int(seed), key] for seed in seeds]
        if len(seeds) == 1:  # a clip: its next frames want the layer again; stills, a clip each, do not
            self._keep((int(seeds[0]), key), layers[0])
            return layers[0][None].expand(len(places), *layers[0].shape)
        return torch.stack(layers)[torch.from_numpy(places).to(self.device)]

    def _keep(self, name: Hashable, layer: torch.Tensor) -> None:
        self._kept[name] = layer
        self._kept.move_to_end(name)
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)

    def field(self, keys: NDArray[np.uint64], shape: tuple[int, ...]) -> torch.Tensor:
        count = math.prod(shape)
        steps = torch.arange(1, -(-count // 4) + 1, dtype=torch.int64, device=self.device) * _signed(GOLDEN)
        state = steps[None] + self.array(keys.view(np.int64))[:, None]
        state = (state ^ _logical_shift(state, 30)) * _signed(FIRST)
        state = (state ^ _logical_shift(state, 27)) * _signed(SECOND)
        state = state ^ _logical_shift(state, 31)
        words = state.contiguous().view(torch.int16).to(torch.int32) & 0xFFFF
        return words[:, :count].reshape(len(keys), *shape)

    def lut(self, codes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        if table.ndim == 1:
            return table[codes.long()]
        count, channels, size = table.shape
        offsets = torch.arange(count * channels, device=self.device).reshape(count, 1, 1, channels) * size
        return table.reshape(-1)[codes.long() + offsets]

    def lut2(self, rows: torch.Tensor, columns: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return table.reshape(-1)[rows.to(torch.int32) * table.shape[1] + columns.to(torch.int32)]

    def to_float(self, codes: torch.Tensor) -> torch.Tensor:
        return codes.float()

    def to_codes(self, values: torch.Tensor) -> torch.Tensor:
        # The same rounding, half to even, of the same sum as in the other back end.
        return torch.round(values + (-0.5 + 1 / 512)).clamp(0, 255).to(torch.uint8)

    def clip(self, values: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return values.clamp(low, high)

    def maximum(self, left: torch.Tensor, right: Any) -> torch.Tensor:
        return left.clamp(min=right) if isinstance(right, (int, float)) else torch.maximum(left, right)

    def minimum(self, left: torch.Tensor, right: Any) -> torch.Tensor:
        return left.clamp(max=right) if isinstance(right, (int, float)) else torch.minimum(left, right)

    def where(self, mask: torch.Tensor, yes: Any, no: Any) -> torch.Tensor:
        return torch.where(mask, yes, no)

    def places(self, mask: torch.Tensor) -> torch.Tensor:
        return mask.nonzero()[:, 0]

    def floor(self, values: torch.Tensor) -> torch.Tensor:
        return torch.floor(values)

    def channel_max(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.amax(dim=-1)

    def channel_min(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.amin(dim=-1)

    def luma(self, frames: torch.Tensor) -> torch.Tensor:
        values = frames.float()
        if frames.shape[-1] == 1:
            return values[..., 0]
        return values[..., 0] * 0.299 + values[..., 1] * 0.587 + values[..., 2] * 0.114

    def channel_means(self, codes: torch.Tensor) -> NDArray[np.float64]:
        sums = codes.sum(dim=(1, 2), dtype=torch.int64)
        return np.asarray(sums.cpu().numpy() / (codes.shape[1] * codes.shape[2]))

    def mix(self, left: torch.Tensor, left_weight: float, right: torch.Tensor, right_weight: float) -> torch.Tensor:
        return left.float() * left_weight + right.float() * right_weight

    def add_codes(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if right.dtype == torch.uint8:
            return left + torch.minimum(right, 255 - left)
        return (left + right).clamp(0, 255).to(torch.uint8)

    def lowest(self, values: torch.Tensor) -> torch.Tensor:
        return values.amin(dim=tuple(range(1, values.ndim)), keepdim=True).float()

    def highest(self, values: torch.Tensor) -> torch.Tensor:
        return values.amax(dim=tuple(range(1, values.ndim)), keepdim=True).float()

    def spread(self, plane: torch.Tensor, channels: int) -> torch.Tensor:
        return plane[..., None].expand(*plane.shape, channels)

    def turned(self, plane: torch.Tensor) -> torch.Tensor:
        return plane.flip((1, 2))

    def window(
        self, plane: torch.Tensor, top: NDArray[np.int64], left: NDArray[np.int64], *, height: int, width: int
    ) -> torch.Tensor:
        rows = self.array((top[:, None] + np.arange(height)) % plane.shape[1])
        columns = self.array((left[:, None] + np.arange(width)) % plane.shape[2])
        frames = torch.arange(len(plane), device=self.device)[:, None, None]
        return plane[frames, rows[:, :, None], columns[:, None, :]]

    def pad(self, values: torch.Tensor, top: int, bottom: int, left: int, right: int, border: Border) -> torch.Tensor:
        height, width = values.shape[1:3]
        if border == "zero":
            sides = [left, right, top, bottom]
            return torch.nn.functional.pad(values, ([0, 0] if values.ndim == 4 else []) + sides)
        return values[:, self._around(height, top, bottom, border)][:, :, self._around(width, left, right, border)]

    def _around(self, size: int, before: int, after: int, border: Border) -> torch.Tensor:
        return self.array(np.pad(np.arange(size), (before, after), mode=_PAD_MODES[border]))

    def shifted_sum(
        self, values: torch.Tensor, steps: Sequence[tuple[int, int]], weights: Sequence[float], border: Border
    ) -> torch.Tensor:
        height, width = values.shape[1:3]
        up, left = (max(0, -min(step[axis] for step in steps)) for axis in (0, 1))
        down, right = (max(0, max(step[axis] for step in steps)) for axis in (0, 1))
        wide = self.pad(values.float(), up, down, left, right, border)
        out = torch.zeros_like(values, dtype=torch.float32)
        for (dy, dx), weight in zip(steps, weights, strict=True):
            out.add_(wide[:, up + dy : up + dy + height, left + dx : left + dx + width], alpha=float(weight))
        return out

    def trails(self, values: torch.Tensor, steps: NDArray[np.int64], weights: Any, border: Border) -> torch.Tensor:
        weights = np.broadcast_to(np.asarray(weights, dtype=np.float32), steps.shape[:2])
        if (steps == steps[:1]).all() and (weights == weights[:1]).all():  # the frames of one clip: slices, no numbers
            return self.shifted_sum(values, [(int(dy), int(dx)) for dy, dx in steps[0]], weights[0].tolist(), border)
        height, width = values.shape[1:3]
        up, left = np.maximum(0, -steps.min(axis=(0, 1))).tolist()
        down, right = np.maximum(0, steps.max(axis=(0, 1))).tolist()
        wide = self.pad(values.float(), up, down, left, right, border)
        out = torch.zeros_like(values, dtype=torch.float32)
        shares = self.array(weights).reshape(*weights.shape, *(1,) * (values.ndim - 1))
        for step in range(steps.shape[1]):
            seen = self.window(wide, up + steps[:, step, 0], left + steps[:, step, 1], height=height, width=width)
            out.addcmul_(seen, shares[:, step])
        return out

    def run_sums(self, codes: torch.Tensor, half_widths: Sequence[int], border: Border) -> torch.Tensor:
        height, width = codes.shape[1:3]
        reach, most = len(half_widths) // 2, max(half_widths)
        wide = self.pad(codes, reach, reach, most, most, border).float()
        run = wide[:, :, most : most + width].clone()
        total = torch.zeros_like(codes, dtype=torch.float32)
        for half in range(most + 1):
            for side in (-half, half) if half else ():
                run.add_(wide[:, :, most + side : most + side + width])
            for top in (at for at, wanted in enumerate(half_widths) if wanted == half):
                total.add_(run[:, top : top + height])
        return total

    def separable(self, values: torch.Tensor, column: NDArray[Any], row: NDArray[Any], border: Border) -> torch.Tensor:
        return self.convolve(self.convolve(values, np.asarray(column)[:, None], border), np.asarray(row)[None], border)

    def convolve(self, values: torch.Tensor, kernel: NDArray[Any], border: Border) -> torch.Tensor:
        tall, wide = kernel.shape[0] // 2, kernel.shape[1] // 2
        padded = self.pad(values.float(), tall, tall, wide, wide, border)
        planes = padded.permute(0, 3, 1, 2) if values.ndim == 4 else padded[:, None]
        count, channels, height, width = planes.shape
        # Every channel of every frame is an image of its own: one kernel serves them all.
        images = planes.reshape(count * channels, 1, height, width)
        weights = self.array(np.asarray(kernel, dtype=np.float32))[None, None]
        # All of float32 (TF32 would cost a tenth of a code), and the same sums each time.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            out = torch.nn.functional.conv2d(images, weights).reshape(count, channels, *values.shape[1:3])
        return out.permute(0, 2, 3, 1) if values.ndim == 4 else out[:, 0]

    def sample(self, values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, border: Border) -> torch.Tensor:
        count, height, width = values.shape[:3]
        top, left = rows.floor(), columns.floor()
        down, along = rows - top, columns - left
        flat = values.reshape(count, height * width, -1).float()

        def corner(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            at, inside = _within(y.long(), height, border)
            across, within = _within(x.long(), width, border)
            index = (at * width + across).expand(count, *rows.shape[1:]).reshape(count, -1)
            seen = torch.gather(flat, 1, index[..., None].expand(-1, -1, flat.shape[-1]))
            seen = seen.reshape(count, *rows.shape[1:], flat.shape[-1])
            return seen * (inside & within)[..., None] if border == "zero" else seen

        down, along = down[..., None], along[..., None]
        upper = corner(top, left) * (1 - along) + corner(top, left + 1) * along
        lower = corner(top + 1, left) * (1 - along) + corner(top + 1, left + 1) * along
        out = upper * (1 - down) + lower * down
        return out if values.ndim == 4 else out[..., 0]

    def stretch(
        self,
        values: torch.Tensor,
        *,
        height: int,
        width: int,
        top: float,
        left: float,
        step: float,
        step_across: float | None = None,
    ) -> torch.Tensor:
        def lines(first: float, step: float, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            places = np.clip(first + step * np.arange(count), 0, size - 1)
            low = np.minimum(np.floor(places), max(size - 2, 0)).astype(np.int64)
            share = (places - low).astype(np.float32)
            return self.array(low), self.array(np.minimum(low + 1, size - 1)), self.array(share)

        shape = (1, -1, 1) + (1,) * (values.ndim - 3)
        low, high, share = lines(top, step, height, values.shape[1])
        # Rows first, as they are whole lines of memory.
        between = torch.lerp(values[:, low].float(), values[:, high].float(), share.reshape(shape))
        low, high, share = lines(left, step_across or step, width, values.shape[2])
        return torch.lerp(between[:, :, low], between[:, :, high], share.reshape((1, 1, -1, *shape[3:])))

    def stretch_sum(
        self, codes: torch.Tensor, weight: float, views: Sequence[tuple[float, float, float, float]]
    ) -> torch.Tensor:
        height, width = codes.shape[1:3]
        values = codes.float()
        total = values * weight
        for top, left, step, across in views:
            total += self.stretch(values, height=height, width=width, top=top, left=left, step=step, step_across=across)
        return total

    def gather(self, values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        count, height, width, channels = values.shape
        flat = values.reshape(count, height * width, channels)
        places = index.long().expand(count, *index.shape[1:]).reshape(count, -1, 1).expand(-1, -1, channels)
        return torch.gather(flat, 1, places).reshape(count, *index.shape[1:], channels)

    def shrink(self, codes: torch.Tensor, height: int, width: int) -> torch.Tensor:
        return self._box_means(self._box_means(codes, 2, width), 1, height)

    def _box_means(self, codes: torch.Tensor, axis: int, size: int) -> torch.Tensor:
        """Means along an axis, in whole numbers as Pillow's: shares of 22 bits, rounded."""
        if size == codes.shape[axis]:
            return codes
        first, last = boxes(codes.shape[axis], size)
        shape = [1] * codes.ndim
        shape[axis] = size
        shares = self.array((2**22 / (last - first) + 0.5).astype(np.int32)).reshape(shape)
        sums = codes.cumsum(axis, dtype=torch.int32)
        sums = torch.cat([torch.zeros_like(sums.narrow(axis, 0, 1)), sums], dim=axis)
        total = sums.index_select(axis, self.array(last)) - sums.index_select(axis, self.array(first))
        return ((total * shares + 2**21) >> 22).to(torch.uint8)

    def enlarge(self, codes: torch.Tensor, height: int, width: int) -> torch.Tensor:
        rows, columns = (self.array(nearest(*sizes)) for sizes in zip(codes.shape[1:3], (height, width), strict=True))
        return codes[:, rows][:, :, columns]


def _signed(word: int) -> int:
    """64 bits as torch's signed integer of the same bits: products and sums wrap alike."""
    return word - 2**64 if word >= 2**63 else word


def _logical_shift(state: torch.Tensor, bits: int) -> torch.Tensor:
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _within(places: torch.Tensor, size: int, border: Border) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a place outside is looked up, and which ones lie inside."""
    inside = (places >= 0) & (places < size)
    if border == "reflect" and size > 1:
        period = 2 * (size - 1)
        folded = places.remainder(period)
        return torch.minimum(folded, period - folded), inside
    if border == "symmetric":
        folded = places.remainder(2 * size)
        return torch.minimum(folded, 2 * size - 1 - folded), inside
    return places.clamp(0, size - 1), inside
