"""Video files as a stream of frames, read and written with a bounded number of frames in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.data.frames import UnreadableFrame
from tasks.errors import InputError

Frame = npt.NDArray[np.uint8]

WRITTEN: Final = (".mp4", ".mkv", ".mov", ".m4v")
"""Endings of files that `write` writes: containers that hold H.264."""

CRF: Final = "12"
"""Near-lossless: what is lost is far below what any corruption does (x264's default is 23)."""

MISSING_SHARE: Final = Fraction(1, 20)
"""More of a video missing than this, and it is cut off; less is what a recorder's end looks like now and then."""


@dataclass(frozen=True)
class Facts:
    """What is known of a video before it is decoded.

    Attributes:
        rate: Frames per second.
        time_base: Seconds per tick of the frames' times.
        count: Frames, as the file states; None where it does not.
    """

    rate: Fraction
    time_base: Fraction
    count: int | None


@dataclass(frozen=True)
class Timed:
    """A frame and its time in ticks."""

    pixels: Frame
    ticks: int


def examine(path: Path) -> Facts:
    """The facts of a video file.

    Raises:
        UnreadableFrame: no such file, no video, or one whose end is missing.
    """
    with opened(path) as container:
        stream = container.streams.video[0]
        if _cut_off(container, stream, path.stat().st_size):
            raise UnreadableFrame(f"The video {path} is cut off, it tells of more than it holds: bring a whole copy.")
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Facts(Fraction(rate), Fraction(stream.time_base), stream.frames or None)


def read(path: Path) -> Iterator[Timed]:
    """Each frame as uint8 RGB (H, W, 3), as `FrameReader` decodes it, in order, with its time.

    Raises:
        UnreadableFrame: no such file, no video, or one that does not decode to its end.
    """
    with opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        ticks = 0
        step = max(1, round(1 / ((stream.average_rate or Fraction(25)) * stream.time_base)))
        place = 0
        try:
            for place, picture in enumerate(container.decode(stream), start=1):
                # Some files state no times, or the same one twice: such frames follow at the mean rate.
                stated = picture.pts
                ticks = stated if stated is not None and (place == 1 or stated > ticks) else ticks + step
                yield Timed(np.asarray(picture.to_ndarray(format="rgb24"), np.uint8), ticks)
        except (OSError, ValueError) as error:  # av.InvalidDataError is a ValueError
            raise UnreadableFrame(f"The video {path} does not decode after frame {place}: {error}.") from None


def write(path: Path, frames: Iterable[Timed], facts: Facts, *, container: str, crf: str = CRF) -> int:
    """Write frames as H.264, near-lossless, at their own times; how many there were.

    x264 at rate factor 12 (or another), 4:2:0 (4:4:4 where a side is odd), BT.709. No sound.

    Args:
        path: The file; made anew.
        frames: All of one size.
        facts: The source's: rate and ticks are kept.
        container: The ending that decides the container, one of `WRITTEN`; `path` may have another.
        crf: x264's rate factor.

    Raises:
        InputError: there is no frame.
    """
    import av

    names = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
    count = 0
    path.touch()  # where nothing may be written that is said now, and not after the first frames
    with av.open(str(path), "w", format=names[container.lower()]) as out:
        stream: Any = out.add_stream("libx264", rate=facts.rate)
        for count, frame in enumerate(frames, start=1):
            if count == 1:
                _set_up(stream, frame.pixels, facts, crf)
            picture = _coded(frame.pixels, stream.pix_fmt)
            picture.pts, picture.time_base = frame.ticks, facts.time_base
            out.mux(stream.encode(picture))
        if count:
            out.mux(stream.encode(None))
    if not count:
        raise InputError("The video holds no frame.")
    return count


def _set_up(stream: Any, pixels: Frame, facts: Facts, crf: str) -> None:
    height, width = pixels.shape[:2]
    stream.height, stream.width = height, width
    stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
    stream.time_base = stream.codec_context.time_base = facts.time_base
    stream.options = {"crf": crf, "preset": "medium"}
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709, said in the file
    context.color_range = 1  # limited


def _coded(pixels: Frame, kind: str) -> Any:
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    how = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format=kind,
        interpolation=how | Interpolation.FULL_CHR_H_INP | Interpolation.FULL_CHR_H_INT,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )


def _cut_off(container: Any, stream: Any, size: int) -> bool:
    """Whether the file ends before what its index or its header tells of: decoders then stop, and say nothing."""
    if stream.frames and len(stream.index_entries):
        beyond = sum(entry.pos + entry.size > size for entry in stream.index_entries)
        return bool(beyond > MISSING_SHARE * len(stream.index_entries))
    if not container.duration:
        return False
    end = Fraction(container.start_time or 0, 1_000_000)
    stated = end + Fraction(container.duration, 1_000_000) * (1 - MISSING_SHARE)
    try:
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    except (OSError, ValueError):  # av's own errors are OSErrors or ValueErrors by kind
        return True
    return end + 2 / Fraction(stream.average_rate or 25) < stated  # files may state no length of the last frame


def opened(path: Path) -> Any:
    """PyAV's container of a file that holds video.

    Raises:
        UnreadableFrame: no such file, or no video.
    """
    import av

    try:
        container = av.open(str(path))
    except (OSError, ValueError) as error:  # av's own errors are OSErrors or ValueErrors by kind
        raise UnreadableFrame(f"Cannot read the video {path}: {error}.") from None
    if not container.streams.video:
        container.close()
        raise UnreadableFrame(f"{path} holds no video.")
    return container
