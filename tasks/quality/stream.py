"""What a video's stream went through: bits and quantiser, frames missing, doubled and frozen, pictures damaged.

Every decoded picture gives a row to the `Tape`; what windows of time say comes of the whole tape, for the nominal rate
is known at the end alone. None of it looks at single pixels: that is for `tasks.quality.frame`.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.quality.luma import Pixels

STREAM: Final = ("bitrate_kbps", "qp", "drop_share", "freeze_share", "duplicate_share", "decode_errors")
"""Features of the stream, by window: kbit/s; mean quantiser in the decoder's scale (H.264: 0..51, VP9: 0..255), of
codecs that tell; shares 0..1 of frames missing among those due, of frames in freezes, of frames like the one before;
how many pictures or packets were damaged."""

SAME: Final = 0.002
"""Mean absolute difference of luma, grey levels, up to which a picture is the one before again.

A picture that is sent again differs by nothing, once the coder has made of it what it can: about half a second. A scene
that stands still in front of a sensor keeps noise of some 0.01 and up, unless it is coded so coarsely that none is left
(H.264 from about CRF 30 on): pixels cannot tell that from a freeze. FFmpeg's `freezedetect` allows 0.26 by default,
which many empty scenes stay below.
"""

FREEZE_S: Final = 2.0
"""Seconds from which on pictures that are the same again and again are a freeze, as `freezedetect` has it; shorter runs
are duplicates alone."""

GAP: Final = 1.5
"""Intervals between frames from which on one is missing: clocks jitter by less than half a frame."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass
class Tape:
    """What every picture and packet of a stream told, in order of time; some hundred bytes each.

    Attributes:
        times_s: of the pictures, from the first one's on, rising.
        changes: mean absolute difference of luma to the picture before, grey levels; infinite for the first.
        keys: coded without reference to others.
        quantisers: mean over the picture; NaN where the stream does not tell.
        damaged: the decoder says that something was missing.
        packets: (time, bytes) of each packet.
        errors_s: times at which a packet could not be decoded at all.
    """

    times_s: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    quantisers: list[float] = field(default_factory=list)
    damaged: list[bool] = field(default_factory=list)
    packets: list[tuple[float, int]] = field(default_factory=list)
    errors_s: list[float] = field(default_factory=list)

    @property
    def interval_s(self) -> float:
        """The nominal time between frames: the median one; 0 for fewer than two frames."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.0

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last."""
        return self.times_s[-1] - self.times_s[0] + self.interval_s if self.times_s else 0.0


def windows(tape: Tape, window_s: float) -> dict[int, dict[str, float]]:
    """The `STREAM` features of each window of `window_s` seconds that holds a picture; NaN: not told."""
    times = np.array(tape.times_s)
    repeated = same(np.array(tape.changes), np.array(tape.keys))
    frozen = freezes(times, repeated)
    lost = missing(times)
    last = last_window(tape.duration_s, window_s)

    def numbers(times_s: Floats) -> npt.NDArray[np.int64]:
        return np.minimum(times_s // window_s, last).astype(np.int64)

    place, errors = numbers(times), numbers(np.array(tape.errors_s))
    packets = np.array(tape.packets, np.float64).reshape(-1, 2)
    coded = numbers(packets[:, 0])
    found = {}
    for number in np.unique(place):
        own = place == number
        quantisers = np.array(tape.quantisers)[own]
        length_s = tape.duration_s - number * window_s if number == last else window_s
        found[int(number)] = {
            "bitrate_kbps": packets[coded == number, 1].sum() / 125 / length_s if length_s > 0 else math.nan,
            "qp": float(np.nanmean(quantisers)) if np.isfinite(quantisers).any() else math.nan,
            "drop_share": float(lost[own].sum() / (lost[own].sum() + own.sum())),
            "freeze_share": float(frozen[own].mean()),
            "duplicate_share": float(repeated[own].mean()),
            "decode_errors": float(np.array(tape.damaged)[own].sum() + (errors == number).sum()),
        }
    return found


def last_window(duration_s: float, window_s: float) -> int:
    """The number of the last window: what is left over, where it is less than half of one, belongs to it.

    Examples:
        >>> last_window(30.2, 10), last_window(26, 10), last_window(3, 10)
        (2, 2, 0)
    """
    return max(0, math.floor(duration_s / window_s + 0.5) - 1)


def change(luma: Pixels, before: Pixels | None) -> float:
    """Mean absolute difference of two pictures' luma (H, W), grey levels; infinite without one, or of another size."""
    if before is None or luma.shape != before.shape:
        return math.inf
    return float(cv2.norm(luma, before, cv2.NORM_L1)) / luma.size


def same(changes: Floats, keys: Flags) -> Flags:
    """Which pictures are the one before again.

    A key frame is coded anew and looks a little different: it is the same if both its neighbours are.

    Examples:
        >>> same(np.array([np.inf, 0, 0.8, 0, 0.8]), np.array([True, False, True, False, False])).tolist()
        [False, True, True, True, False]
    """
    again: Flags = np.asarray(changes <= SAME)
    between = np.zeros(len(again), np.bool_)
    between[1:-1] = again[:-2] & again[2:]
    return np.asarray(again | (keys & between & np.isfinite(changes)))


def freezes(times_s: Floats, repeated: Flags) -> Flags:
    """Which pictures are in runs of the same one that last `FREEZE_S` or longer, from the one that is repeated on."""
    frozen = np.zeros_like(repeated)
    turns = np.diff(np.concatenate([[False], repeated, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(turns == 1), np.flatnonzero(turns == -1) - 1
    for start, end in zip(starts, ends, strict=True):
        if times_s[end] - times_s[start - 1 if start else 0] >= FREEZE_S:
            frozen[start : end + 1] = True
    return frozen


def missing(times_s: Floats) -> npt.NDArray[np.int64]:
    """How many frames are missing before each picture, at the nominal rate: that of the median interval.

    A stream that lost every second frame all along has another rate, and none missing.

    Examples:
        >>> missing(np.array([0, 0.1, 0.2, 0.5, 0.6])).tolist()
        [0, 0, 0, 2, 0]
    """
    gaps = np.diff(times_s, prepend=times_s[:1])
    interval = float(np.median(gaps[1:])) if len(gaps) > 1 else 0.0
    if interval <= 0:
        return np.zeros(len(gaps), np.int64)
    return np.where(gaps >= GAP * interval, np.rint(gaps / interval) - 1, 0).astype(np.int64)


def quantiser(picture: Any) -> float:
    """Mean QP of a PyAV frame whose decoder was asked for `export_side_data=venc_params`; NaN where it does not tell.

    FFmpeg tells for H.264, MPEG-4 and VP9. The layout is that of its public struct AVVideoEncParams: number of blocks,
    offset and size of a block, kind of codec, QP of the picture; each block holds its place, its size and its QP less
    the picture's.
    """
    data = next((bytes(item) for item in picture.side_data if item.type.name == "VIDEO_ENC_PARAMS"), None)
    if data is None:
        return math.nan
    blocks = int.from_bytes(data[:4], "little")
    offset, size = (int.from_bytes(data[start : start + 8], "little") for start in (8, 16))
    base = int.from_bytes(data[28:32], "little", signed=True)
    if not blocks:
        return float(base)
    rows = np.frombuffer(data, np.int32, count=blocks * size // 4, offset=offset).reshape(blocks, -1)
    return base + float(rows[:, 4].mean())
