"""Encoder and decoder pairs: frames in, as many frames out, and what the bits between them came to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tasks.corruptions.codec import priority
from tasks.corruptions.codec.colour import Colour, pyav
from tasks.corruptions.interface import ClipFunction, Coding, Level, Pixels
from tasks.errors import InputError

# Encoders weigh their bits by how long a frame is shown, so that a rate has to be stated; it is that of no file.
FRAME_RATE = 25
# Lagrange factor per step of QP in FFmpeg's quality statistics (FF_QP2LAMBDA).
LAMBDA_PER_QP = 118


@dataclass(frozen=True)
class Codec:
    """A coder, its decoder, and how they are set up; one thread in both: the same bits everywhere.

    Attributes:
        name: As users know it.
        encoder: FFmpeg's name of the coder.
        decoder: FFmpeg's name of the decoder.
        options: The coder's, constant rate factor apart.
        best_crf: The rate factor below which nothing is gained that one would see.
        worst_crf: The end of its scale.
        crf_step: The finest difference of rate factors that the coder heeds.
        crf_per_halving: By how much the rate factor rises for half the bits, about, on footage.
        highest_qp: The end of the quantiser's scale: coders count beyond it.
    """

    name: str
    encoder: str
    decoder: str
    options: Mapping[str, str]
    best_crf: float
    worst_crf: float
    crf_step: float
    crf_per_halving: float
    highest_qp: int


H264 = Codec(
    name="h264",
    encoder="libx264",
    decoder="h264",
    # Without macroblock-tree rate control, as in cameras, which cannot look ahead: with it, x264's AVX-512 code gives
    # other bits for the same frames on a used heap.
    options={"preset": "medium", "x264-params": "mbtree=0"},
    best_crf=1,
    worst_crf=51,
    crf_step=0.1,
    crf_per_halving=5,
    highest_qp=51,
)
H265 = Codec(
    name="h265",
    encoder="libx265",
    decoder="hevc",
    # Preset veryfast: half of medium's time for the same quality and bits on footage of a still camera. cutree is this
    # coder's macroblock tree; lookahead-slices wants the pool of threads that is switched off; info is an SEI of 2 kB
    # that names the coder.
    options={
        "preset": "veryfast",
        "x265-params": "pools=none:frame-threads=1:wpp=0:lookahead-slices=0:cutree=0:info=0:log-level=error",
    },
    best_crf=1,
    worst_crf=51,
    crf_step=0.1,
    crf_per_halving=5,
    highest_qp=51,
)
AV1 = Codec(
    name="av1",
    encoder="libsvtav1",
    decoder="libdav1d",
    # Preset 8: its makers call faster ones fit for tools alone, and warn of artefacts.
    options={"preset": "8", "svtav1-params": "lp=1"},
    best_crf=1,
    worst_crf=63,
    crf_step=0.25,
    crf_per_halving=9,
    highest_qp=63,
)


SEI = 6
"""H.264's NAL unit type of supplemental enhancement information."""


def nal_units(stream: bytes) -> list[bytes]:
    """The NAL units of a byte stream (H.264, annex B): start codes separate them and are no part of them."""
    return [unit for unit in (part.rstrip(b"\0") for part in stream.split(b"\0\0\1")) if unit]


def nal_kind(unit: bytes) -> int:
    """The NAL unit type (H.264, table 7-1)."""
    return unit[0] & 31


@dataclass
class Tally:
    """What the coded bits of a clip came to."""

    codec: Codec
    frames: int = 0
    bits: int = 0
    pixels: int = 0
    _qps: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def frame(self, shape: tuple[int, ...]) -> None:
        """Count a frame that went in."""
        self.frames += 1
        self.pixels += shape[0] * shape[1]

    def packet(self, packet: Any) -> None:
        """Count a packet that came out of the coder, but for x264's SEI of 600 bytes that names the coder."""
        self.bits += 8 * packet.size
        if packet.is_keyframe and self.codec.encoder == "libx264":
            self.bits -= sum(8 * len(unit) for unit in nal_units(bytes(packet)) if nal_kind(unit) == SEI)
        if packet.has_sidedata("quality_stats"):
            quality = int.from_bytes(bytes(packet.get_sidedata("quality_stats"))[:4], "little")
            self._qps[0] += min(quality / LAMBDA_PER_QP, self.codec.highest_qp)
            self._qps[1] += 1

    def add(self, other: "Tally") -> None:
        """Count a stretch of the same clip."""
        self.frames += other.frames
        self.bits += other.bits
        self.pixels += other.pixels
        self._qps = [mine + theirs for mine, theirs in zip(self._qps, other._qps, strict=True)]

    def facts(self) -> dict[str, float]:
        """Bit rate at the stated frame rate, bits per pixel, and the mean over frames of what each is quantised by.

        The QP is the coder's own for the frame (x264, x265: 0..51; SVT-AV1: 0..63), before its shifts by block.
        """
        facts = {
            "bitrate_kbps": self.bits * FRAME_RATE / self.frames / 1000,
            "bits_per_pixel": self.bits / self.pixels,
        }
        if self._qps[1]:
            facts["qp_mean"] = self._qps[0] / self._qps[1]
        return facts


def by_crf(codec: Codec) -> ClipFunction:
    """The corruption that codes a clip by `codec` at a constant rate factor, and decodes it again.

    Its function yields as many frames as go in, and holds a bounded number of them: what the coder looks ahead. A still
    is a clip of one frame, and becomes an intra frame. It records the facts of `Tally`.

    Raises (the function):
        InputError: PyAV is not installed; frames of several sizes.
    """

    def coded(frames: Iterable[Pixels], level: Level, coding: Coding) -> Iterator[Pixels]:
        av = pyav(codec.name)
        colour, tally = Colour(av), Tally(codec)
        encoder = decoder = None
        shape: tuple[int, ...] = ()
        given = 0
        for frame in one_size(frames, codec.name):
            if encoder is None or decoder is None:
                shape = frame.shape
                encoder, decoder = new_encoder(av, codec, shape, crf=level.strength), new_decoder(av, codec)
            picture = colour.to_yuv(frame)
            picture.pts = tally.frames
            tally.frame(shape)
            for packet in encoder.encode(picture):
                tally.packet(packet)
                for decoded in decoder.decode(packet):
                    given += 1
                    yield colour.to_rgb(decoded, shape)
        if encoder is None or decoder is None:
            return
        for packet in encoder.encode(None):
            tally.packet(packet)
            for decoded in decoder.decode(packet):
                given += 1
                yield colour.to_rgb(decoded, shape)
        for decoded in decoder.decode(None):  # what it still holds
            given += 1
            yield colour.to_rgb(decoded, shape)
        if given != tally.frames:
            raise RuntimeError(f"{codec.name}: {tally.frames} frames went in and {given} came out")
        coding.record(tally.facts())

    return coded


def one_size(frames: Iterable[Pixels], name: str) -> Iterator[Pixels]:
    """The frames as they come.

    Raises:
        InputError: one of another size than the first.
    """
    shape: tuple[int, ...] | None = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InputError(f"{name}: expected frames of one size in a clip, got {shape} and then {frame.shape}.")
        yield frame


def new_encoder(av: Any, codec: Codec, shape: tuple[int, ...], *, crf: float, **others: str) -> Any:
    """An encoder for frames of `shape`, odd sizes made even; `others` are options beside the codec's own."""
    encoder = av.CodecContext.create(codec.encoder, "w")
    encoder.height, encoder.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = FRAME_RATE
    encoder.time_base = Fraction(1, FRAME_RATE)
    encoder.thread_count = 1
    options = {**codec.options, **others}
    if codec.encoder == "libsvtav1":
        # FFmpeg's own option takes whole rate factors and reads 0 as none at all.
        options["svtav1-params"] += f":crf={crf:g}"
    else:
        options["crf"] = f"{crf:g}"
    encoder.options = options
    with priority.kept():
        encoder.open()
    return encoder


def new_decoder(av: Any, codec: Codec) -> Any:
    """A decoder for what `new_encoder` makes."""
    decoder = av.CodecContext.create(codec.decoder, "r")
    decoder.thread_count = 1
    return decoder
