"""Array operations beneath the corruptions: what a formula is written in, so that it stands once.

Two back ends have them: `opencv` (NumPy and OpenCV, in the host's memory) and `on_torch` (tensors, on a GPU). Arrays
are batches with the frames first: uint8 (N, H, W, C), or float32 with values 0..255 of the same shape; single-channel
fields are (N, H, W). Plain arithmetic and comparisons (`x * 2 + y`, `x < y`) work on both kinds and need no operation.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.seeds import Moments

Array: TypeAlias = Any
"""A NumPy array or a torch tensor: of the kind and on the device that the back end works with."""

Border: TypeAlias = Literal["edge", "reflect", "symmetric", "zero"]
"""What lies outside a frame: its last pixel; mirrored without that pixel; mirrored with it; nothing. As in np.pad."""


class Arrays(Protocol):
    """A back end."""

    def __hash__(self) -> int: ...

    def array(self, values: NDArray[Any]) -> Array:
        """A constant of NumPy's on the device."""
        ...

    def host(self, values: Array) -> NDArray[Any]:
        """Values as a NumPy array."""
        ...

    def empty(self, shape: tuple[int, ...]) -> Array:
        """float32 values that are still to be written."""
        ...

    def per_clip(self, moments: Moments, key: Hashable, make: Callable[[NDArray[np.uint64]], Array]) -> Array:
        """What belongs to the clips of a batch, (N, ...): made for each clip once, and kept for its next frames.

        Args:
            moments: Of the batch.
            key: What else decides it: the level, the size.
            make: Clip seeds uint64 (U,) to (U, ...), each depending on its seed alone.
        """
        ...

    def field(self, keys: NDArray[np.uint64], shape: tuple[int, ...]) -> Array:
        """Random whole numbers 0..65535, uniform and independent: (N, *shape), 16 bits, one field for each key.

        The n-th value of a key is the n-th 16-bit word, lowest first, of splitmix64's outputs 1, 2, 3 ... under it.
        """
        ...

    def lut(self, codes: Array, table: Array) -> Array:
        """Each value's entry in a table: uint8 codes in (256,) or (N, C, 256); a 16-bit field in (65536,)."""
        ...

    def lut2(self, rows: Array, columns: Array, table: Array) -> Array:
        """table[row, column]: rows uint8 codes, columns whole numbers; table (256, K), uint8 or float32.

        Both are of the same shape, or the rows have one channel, which serves all channels of the columns.
        """
        ...

    def to_float(self, codes: Array) -> Array:
        """uint8 as float32 0..255."""
        ...

    def to_codes(self, values: Array) -> Array:
        """float32 as uint8: cut, not rounded (as the reference), to 0..255; float32's last bits do not count."""
        ...

    def clip(self, values: Array, low: float, high: float) -> Array:
        """float32 cut to low..high."""
        ...

    def maximum(self, left: Array, right: Array | float) -> Array:
        """The larger ones."""
        ...

    def minimum(self, left: Array, right: Array | float) -> Array:
        """The smaller ones."""
        ...

    def where(self, mask: Array, yes: Array | float, no: Array | float) -> Array:
        """Where mask: `yes`, else `no`."""
        ...

    def places(self, mask: Array) -> Array:
        """The numbers of the true entries of a mask (K,), in order."""
        ...

    def floor(self, values: Array) -> Array:
        """The whole numbers below, float32."""
        ...

    def channel_max(self, frames: Array) -> Array:
        """The largest channel, (N, H, W)."""
        ...

    def channel_min(self, frames: Array) -> Array:
        """The smallest channel, (N, H, W)."""
        ...

    def luma(self, frames: Array) -> Array:
        """float32 (N, H, W): 0.299 R + 0.587 G + 0.114 B (BT.601); of one channel, that channel."""
        ...

    def channel_means(self, codes: Array) -> NDArray[np.float64]:
        """Means of uint8 over rows and columns, (N, C), exact; on the host."""
        ...

    def mix(self, left: Array, left_weight: float, right: Array, right_weight: float) -> Array:
        """Sum of left x its weight and right x its weight, float32 from uint8 or float32."""
        ...

    def add_codes(self, left: Array, right: Array) -> Array:
        """Sums of uint8 and uint8 or int16, held in 0..255."""
        ...

    def lowest(self, values: Array) -> Array:
        """Each frame's smallest value, float32: (N, 1, 1) of (N, H, W), (N, 1, 1, 1) of (N, H, W, C)."""
        ...

    def highest(self, values: Array) -> Array:
        """Each frame's largest value, of the same shape as the lowest."""
        ...

    def spread(self, plane: Array, channels: int) -> Array:
        """(N, H, W) as (N, H, W, channels), all channels equal."""
        ...

    def turned(self, plane: Array) -> Array:
        """(N, H, W) turned by 180 degrees."""
        ...

    def window(
        self, plane: Array, top: NDArray[np.int64], left: NDArray[np.int64], *, height: int, width: int
    ) -> Array:
        """A view, (N, height, width), of planes (N, H, W) that repeat for ever; its corner lies at any whole numbers.

        out[n, y, x] = plane[n, (top[n] + y) mod H, (left[n] + x) mod W]; top and left (N,), on the host.
        """
        ...

    def pad(self, values: Array, top: int, bottom: int, left: int, right: int, border: Border) -> Array:
        """Rows and columns added around (N, H, W) or (N, H, W, C)."""
        ...

    def shifted_sum(
        self, values: Array, steps: Sequence[tuple[int, int]], weights: Sequence[float], border: Border
    ) -> Array:
        """out[y, x] = sum of weight x values[y + dy, x + dx] over steps (dy, dx), float32."""
        ...

    def trails(self, values: Array, steps: NDArray[np.int64], weights: Any, border: Border) -> Array:
        """`shifted_sum` with steps of each frame's own, (N, K, 2), on the host; weights (K,), or (N, K)."""
        ...

    def run_sums(self, codes: Array, half_widths: Sequence[int], border: Border) -> Array:
        """Sums over a shape that is one run of pixels in each row, float32 from uint8.

        out[y, x] = sum of codes[y + dy, x - h .. x + h] over rows dy from -K to K, h = half_widths[K + dy].
        """
        ...

    def separable(self, values: Array, column: NDArray[Any], row: NDArray[Any], border: Border) -> Array:
        """Correlation with a kernel down the columns and one along the rows, both of odd length.

        Values uint8 (faster in the host's memory) or float32; float32 out.
        """
        ...

    def convolve(self, values: Array, kernel: NDArray[Any], border: Border) -> Array:
        """Correlation with one kernel of odd sides, float32 in and out."""
        ...

    def sample(self, values: Array, rows: Array, columns: Array, border: Border) -> Array:
        """Bilinear: values at float32 rows and columns (N or 1, H', W'), in px, pixel centres at whole numbers.

        Values uint8 (faster in the host's memory) or float32; float32 out.
        """
        ...

    def stretch(
        self,
        values: Array,
        *,
        height: int,
        width: int,
        top: float,
        left: float,
        step: float,
        step_across: float | None = None,
    ) -> Array:
        """Bilinear: out[y, x] = values at (top + step y, left + step x), (N, height, width[, C]), edges held.

        Columns have a step of their own where `step_across` gives one.
        """
        ...

    def stretch_sum(self, codes: Array, weight: float, views: Sequence[tuple[float, float, float, float]]) -> Array:
        """Sum of weight x codes and their `stretch` at views (top, left, step, step_across): float32 of their size."""
        ...

    def shrink(self, codes: Array, height: int, width: int) -> Array:
        """Means of boxes, uint8 (N, H, W, C) to (N, height, width, C), to the bit as Pillow's BOX.

        A box takes the pixels whose centres it holds: along the rows first, rounded, then down the columns, rounded.
        (From release 13 on Pillow takes the columns first where the height shrinks far more than the width; not here.)
        """
        ...

    def enlarge(self, codes: Array, height: int, width: int) -> Array:
        """Nearest neighbours, uint8 (N, H, W, C) to (N, height, width, C), as Pillow's NEAREST."""
        ...

    def gather(self, values: Array, index: Array) -> Array:
        """Pixels by number: values (N, H, W, C) at index (N, H, W) of whole numbers y W + x."""
        ...
