"""What a clip's file says of itself, and whether it decodes."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from tasks.data.frames import UnreadableFrame
from tasks.data.video import opened

DAMAGED_SHARE: Final = 0.05
"""More damaged or missing frames than this, and a clip is broken. Fewer are what a network does now and then: models
are measured on such pictures (`packet_loss`), so new footage may hold some.
"""


@dataclass(frozen=True)
class Facts:
    """What is known of a clip before it is decoded.

    Attributes:
        duration_s: Seconds.
        n_frames: As the file states; None where it does not.
        width_px: Of a frame.
        height_px: Of a frame.
        frame_rate: Mean, frames per second.
        codec: Its name in FFmpeg.
        bitrate_kbps: Of the video; of the whole file where the video's is not stated; None where neither is.
    """

    duration_s: float
    n_frames: int | None
    width_px: int
    height_px: int
    frame_rate: float
    codec: str
    bitrate_kbps: float | None


def examine(path: Path) -> Facts:
    """Read a clip's headers, in milliseconds; only where they state no duration are its packets counted.

    Raises:
        UnreadableFrame: no such file, no video, or one without a single packet or without a size.
    """
    with opened(path) as container:
        stream = container.streams.video[0]
        if not stream.width or not stream.height:
            raise UnreadableFrame(f"{path} states no frame size: its header is broken or its end is missing.")
        rate = float(stream.average_rate or stream.guessed_rate or Fraction(25))
        bits = stream.bit_rate or container.bit_rate
        return Facts(
            duration_s=_duration_s(path, container, stream, rate),
            n_frames=stream.frames or None,
            width_px=stream.width,
            height_px=stream.height,
            frame_rate=rate,
            codec=str(stream.codec_context.name),
            bitrate_kbps=bits / 1000 if bits else None,
        )


def verify(path: Path) -> int:
    """Decode a clip to its end, without making pictures of its frames; how many there are.

    Raises:
        UnreadableFrame: it is no video, decoding stops, it holds no frame, or more than `DAMAGED_SHARE` of the frames
            that it states are missing or damaged (as the decoder marks them; what it copies on from one it does not).
    """
    count = damaged = 0
    with opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                count += 1
                damaged += bool(frame.is_corrupt)
        except (OSError, ValueError) as error:  # av's own errors are OSErrors or ValueErrors by kind
            told = getattr(error, "strerror", None) or str(error)
            whole = f" of {stream.frames}" if stream.frames else ""
            raise UnreadableFrame(f"{path} does not decode after frame {count}{whole}: {told}.") from None
        stated = max(stream.frames, count)
    if not count:
        raise UnreadableFrame(f"{path} holds no frame that decodes.")
    if (stated - count) > DAMAGED_SHARE * stated:
        raise UnreadableFrame(f"{path} ends after {count} of {stated} frames.")
    if damaged > DAMAGED_SHARE * stated:
        raise UnreadableFrame(f"{path} is damaged in {damaged} of {stated} frames.")
    return count


def _duration_s(path: Path, container: Any, stream: Any, rate: float) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return float(container.duration / 1_000_000)
    count = int(stream.frames) or sum(packet.size > 0 for packet in container.demux(stream))
    if not count:
        raise UnreadableFrame(f"{path} holds no frame.")
    return count / rate
