"""What a clip of new footage looks like: its frames, its stream and its camera, in one pass and bounded memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd

from tasks.data.frames import UnreadableFrame
from tasks.data.video import opened
from tasks.quality import FEATURES, Pixels, features
from tasks.quality.stream import STREAM, Tape, change, last_window, missing, quantiser, windows
from tasks.quality.tampering import TAMPERING, Background, look

WINDOW_FEATURES: Final = (*FEATURES, *STREAM, *TAMPERING)

THUMBNAIL_PX: Final = 320

_LUMA_FIRST: Final = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray")
"""Formats whose first plane is luma of 8 bits."""


@dataclass(frozen=True)
class Facts:
    """What the pass found out about the whole clip.

    Attributes:
        duration_s: from the first frame to the end of the last.
        n_frames: that decoded.
        n_stated: that the file states; None where it does not.
        n_missing: due at the nominal rate, and not there.
        n_damaged: pictures that the decoder marks as damaged, and packets that it refused.
        frame_rate: nominal, frames a second: of the median interval; NaN of a single frame.
        bitrate_kbps: of the video's packets; NaN of a single frame.
        error: why reading stopped before the end; None: it did not.
    """

    duration_s: float
    n_frames: int
    n_stated: int | None
    n_missing: int
    n_damaged: int
    width_px: int
    height_px: int
    frame_rate: float
    codec: str
    bitrate_kbps: float
    error: str | None


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of one window.

    Attributes:
        t_s: the frame's time.
        window_s: where its window starts: `t_s` of the window's features.
        webp: the picture, at most `THUMBNAIL_PX` wide.
    """

    t_s: float
    window_s: float
    webp: bytes = field(repr=False)


@dataclass(frozen=True)
class Observed:
    """What a clip looks like.

    Attributes:
        windows: t_s (where the window starts), feature, value: means over windows, in the order of `WINDOW_FEATURES`;
            what a window does not tell has no row.
        frames: t_s and `FEATURES` of each frame that was sampled.
        background: its camera's, with this clip; the next one's starts from it.
        thumbnails: one of each window, of a frame near its middle.
    """

    facts: Facts
    windows: pd.DataFrame
    frames: pd.DataFrame
    background: Background
    thumbnails: tuple[Thumbnail, ...]


def observe(path: Path, *, sample_per_s: float, window_s: float, background: Background | None = None) -> Observed:
    """Decode a clip once and measure it.

    Memory holds two pictures, and of every picture some hundred bytes. What is damaged on the way is counted and
    decoding goes on; where the file ends too early, what came before counts and `Facts.error` says so.

    Args:
        path: of a video file.
        sample_per_s: so many frames a second are measured, each that is there where there are fewer.
        window_s: features over time are means over windows of this length.
        background: what its camera showed before; None: nothing is known, the clip itself has to tell.

    Raises:
        UnreadableFrame: no such file, no video, or not one frame decodes; its message is the reason.
    """
    with opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"export_side_data": "venc_params"}
        reel = _Reel(container, stream)
        sampled = _Sampled(sample_per_s, window_s, background)
        for t_s, picture in reel.pictures():
            sampled.see(t_s, picture)
        if sampled.background is None:
            raise UnreadableFrame(f"{path} holds no frame that decodes" + (f": {reel.error}." if reel.error else "."))
        return Observed(
            facts=_facts(reel, stream),
            windows=_windows(reel.tape, sampled, window_s),
            frames=pd.DataFrame(sampled.rows, columns=["t_s", *FEATURES, *TAMPERING])[["t_s", *FEATURES]],
            background=sampled.background,
            thumbnails=tuple(sampled.thumbnails(last_window(reel.tape.duration_s, window_s))),
        )


class _Reel:
    """The pictures of a stream with their times, and the tape of what all told."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self._base = float(stream.time_base)
        self._step_s = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        self._start: float | None = None
        self.tape = Tape()
        self.error: str | None = None

    def pictures(self) -> Iterator[tuple[float, Any]]:
        """(seconds from the first one, picture), times rising; `tape` grows by each."""
        before: Pixels | None = None
        waiting: list[tuple[float | None, int]] = []  # packets from before the first picture's time is known
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (OSError, ValueError) as error:  # av's own errors are OSErrors or ValueErrors by kind
                self.error = _reason(error)
                return
            if packet is None:
                return
            if packet.size:
                ticks = packet.pts if packet.pts is not None else packet.dts
                waiting.append((None if ticks is None else ticks * self._base, packet.size))
            try:
                decoded = packet.decode()
            except EOFError:  # the decoder has been emptied
                return
            except (OSError, ValueError):
                self.tape.errors_s.append(self.tape.times_s[-1] if self.tape.times_s else 0.0)
                decoded = []
            for picture in decoded:
                t_s = self._time(picture)
                luma = _luma(picture)
                self.tape.times_s.append(t_s)
                self.tape.changes.append(change(luma, before))
                self.tape.keys.append(bool(picture.key_frame))
                self.tape.quantisers.append(quantiser(picture))
                self.tape.damaged.append(bool(picture.is_corrupt))
                before = luma
                yield t_s, picture
            if self._start is not None:
                last = self.tape.times_s[-1]
                self.tape.packets += [(last if at is None else max(0.0, at - self._start), n) for at, n in waiting]
                waiting.clear()

    def _time(self, picture: Any) -> float:
        """Some files state no times, or the same one twice: such frames follow at the mean rate."""
        stated = None if picture.pts is None else picture.pts * self._base
        if self._start is None:
            self._start = stated or 0.0
            return 0.0
        last = self.tape.times_s[-1]
        t_s = None if stated is None else stated - self._start
        return t_s if t_s is not None and t_s > last else last + self._step_s


class _Sampled:
    """The frames that are measured, and what they said."""

    def __init__(self, per_s: float, window_s: float, background: Background | None) -> None:
        self._per_s, self._window_s = per_s, window_s
        self._next_s = 0.0
        self.background = background
        self._last_s: float | None = None
        self.rows: list[tuple[float, ...]] = []
        self._kept: dict[int, tuple[float, bytes]] = {}

    def see(self, t_s: float, picture: Any) -> None:
        """Measure the picture if it is due."""
        if t_s + 1e-6 < self._next_s:
            return
        self._next_s += (math.floor((t_s - self._next_s) * self._per_s + 1e-6) + 1) / self._per_s
        frame = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        elapsed_s = 1 / self._per_s if self._last_s is None else t_s - self._last_s
        scores, self.background = look(frame, self.background, elapsed_s=elapsed_s)
        self._last_s = t_s
        self.rows.append((t_s, *features(frame), *scores))
        number = int(t_s // self._window_s)
        if number not in self._kept or self._kept[number][0] < (number + 0.5) * self._window_s <= t_s:
            self._kept[number] = (t_s, _webp(frame))

    def thumbnails(self, last: int) -> Iterator[Thumbnail]:
        """One a window, up to the `last`."""
        for number, (t_s, webp) in sorted(self._kept.items()):
            if number <= last:
                yield Thumbnail(t_s, number * self._window_s, webp)


def _windows(tape: Tape, sampled: _Sampled, window_s: float) -> pd.DataFrame:
    sampled_rows = pd.DataFrame(sampled.rows, columns=["t_s", *FEATURES, *TAMPERING])
    numbers = (sampled_rows["t_s"] // window_s).astype(int).clip(upper=last_window(tape.duration_s, window_s))
    means = sampled_rows.groupby(numbers)[[*FEATURES, *TAMPERING]].mean()
    found = pd.DataFrame.from_dict(windows(tape, window_s), orient="index").join(means)[list(WINDOW_FEATURES)]
    rows = [
        (number * float(window_s), feature, value)
        for number, values in zip(found.index, found.to_numpy(), strict=True)
        for feature, value in zip(WINDOW_FEATURES, values, strict=True)
        if not math.isnan(value)
    ]
    return pd.DataFrame(rows, columns=["t_s", "feature", "value"])


def _facts(reel: _Reel, stream: Any) -> Facts:
    tape = reel.tape
    size = sum(n_bytes for _, n_bytes in tape.packets)
    return Facts(
        duration_s=tape.duration_s,
        n_frames=len(tape.times_s),
        n_stated=stream.frames or None,
        n_missing=int(missing(np.array(tape.times_s)).sum()),
        n_damaged=sum(tape.damaged) + len(tape.errors_s),
        width_px=stream.width,
        height_px=stream.height,
        frame_rate=1 / tape.interval_s if tape.interval_s else math.nan,
        codec=str(stream.codec_context.name),
        bitrate_kbps=8 * size / tape.duration_s / 1000 if tape.duration_s else math.nan,
        error=reel.error,
    )


def _luma(picture: Any) -> Pixels:
    """Luma (H, W) of a decoded picture, a copy: the decoder uses its memory again."""
    if picture.format.name in _LUMA_FIRST:
        plane = picture.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return rows[: picture.height, : picture.width].copy()
    return np.asarray(picture.to_ndarray(format="gray"), np.uint8)


def _webp(frame: Pixels) -> bytes:
    height, width = frame.shape[:2]
    size = (min(THUMBNAIL_PX, width), max(1, round(height * min(THUMBNAIL_PX, width) / width)))
    small = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, 80])[1])


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
