"""Transmission: packets of an H.264 stream that are lost or damaged, and a real decoder that conceals what is missing.

The stream is that of a camera over RTP (RFC 6184, single NAL unit mode): a slice is a packet, with no B-frames and one
reference. Whatever is random is drawn by counting, over frame, packet and bit: what is lost at one level is lost at
each higher one, too.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.codec.coding import FRAME_RATE, H264, Tally, nal_kind, nal_units, new_encoder, one_size
from tasks.corruptions.codec.colour import Colour, pyav
from tasks.corruptions.interface import Coding, Level, Pixels
from tasks.corruptions.seeds import GOLDEN, mixed, streams

PACKET_BYTES = 1400
"""The largest slice: a packet that Ethernet's 1500 bytes hold with its IP, UDP and RTP headers."""
KEYFRAME_EVERY = 2 * FRAME_RATE
CRF = 23

GREY = 128
"""The code that is shown before the first frame comes."""
SLICES, SEQUENCE_SET, PICTURE_SET = (1, 5), 7, 8  # NAL unit types, H.264, table 7-1

# How many frames after its own a picture may still come: more than H.264's decoders ever hold back (16).
HOPE = 17

# B-frames are allowed here and never asked for (each frame's type is told): without them x264 has the decoder count
# frames modulo 16 (picture order count of type 2), and FFmpeg's, when it misses the frame where that turns over, drops
# the 15 that follow.
_CAMERA = replace(
    H264,
    options={
        "preset": "medium",
        "x264-params": f"slice-max-size={PACKET_BYTES}:keyint={KEYFRAME_EVERY}:min-keyint={KEYFRAME_EVERY}:scenecut=0"
        ":bframes=1:ref=1:mbtree=0:rc-lookahead=0:sync-lookahead=0",
    },
)

Damage: TypeAlias = Callable[[list[bytes], NDArray[np.uint64]], list[bytes]]
"""What becomes of a frame's slices, given the frame's key of random numbers."""


@dataclass
class Losses:
    """What a channel did to a clip's packets."""

    level: float
    packets: int = 0
    packets_hit: int = 0
    bits_flipped: int = 0


def packet_loss(frames: Iterable[Pixels], level: Level, coding: Coding) -> Iterator[Pixels]:
    """Packets of an H.264 stream are lost, each by itself, `lost_percent` of 100 on average.

    As many frames come out as go in, at their time: where the decoder gives none, the one before is shown again, and
    grey before the first. Parameter sets are taken to have arrived. Recorded: the facts of `Tally` for the stream as it
    was sent, packets, packets_lost, and frames_lost (those that show the one before).

    Raises:
        InputError: PyAV is not installed; frames of several sizes.
    """
    losses = Losses(level.strength)

    def lose(slices: list[bytes], key: NDArray[np.uint64]) -> list[bytes]:
        arrived = _words(key, len(slices)) >= _threshold(losses.level / 100)
        losses.packets += len(slices)
        losses.packets_hit += int((~arrived).sum())
        return [each for each, here in zip(slices, arrived, strict=True) if here]

    facts: dict[str, float] = {}
    yield from _transmitted("packet_loss", frames, coding, lose, facts)
    if facts:
        coding.record({**facts, "packets": losses.packets, "packets_lost": losses.packets_hit})


def bit_errors(frames: Iterable[Pixels], level: Level, coding: Coding) -> Iterator[Pixels]:
    """Bits of an H.264 stream are flipped, each by itself, with probability `bit_error_rate`.

    All bits of the slices' packets but the first byte of each, which belongs to the packet's header: its checksum
    would have the packet thrown away (as UDP-Lite, RFC 3828, protects headers and lets the rest through). The rest is
    as for `packet_loss`. Recorded: the facts of `Tally`, packets, packets_damaged, bits_flipped, frames_lost.

    Raises:
        InputError: PyAV is not installed; frames of several sizes.
    """
    losses = Losses(level.strength)

    def flip(slices: list[bytes], key: NDArray[np.uint64]) -> list[bytes]:
        return [_flipped(each, streams(key, at), losses) for at, each in enumerate(slices)]

    facts: dict[str, float] = {}
    yield from _transmitted("bit_errors", frames, coding, flip, facts)
    if facts:
        hit = {"packets_damaged": losses.packets_hit, "bits_flipped": losses.bits_flipped}
        coding.record({**facts, "packets": losses.packets, **hit})


def _flipped(packet: bytes, key: NDArray[np.uint64], losses: Losses) -> bytes:
    flips = _words(key, 8 * (len(packet) - 1)) < _threshold(losses.level)
    count = int(flips.sum())
    losses.packets += 1
    losses.packets_hit += count > 0
    losses.bits_flipped += count
    if not count:
        return packet
    body = np.frombuffer(packet, np.uint8, offset=1) ^ np.packbits(flips)
    return packet[:1] + body.tobytes()


def _words(key: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """The first 64-bit numbers under a key: uint64 (count,)."""
    return mixed(key + np.arange(count, dtype=np.uint64) * np.uint64(GOLDEN))


def _threshold(probability: float) -> np.uint64:
    return np.uint64(min(int(probability * 2.0**64), 2**64 - 1))


def _transmitted(
    name: str, frames: Iterable[Pixels], coding: Coding, damage: Damage, facts: dict[str, float]
) -> Iterator[Pixels]:
    """Codes, damages and decodes, and shows each frame at its time; fills `facts` at the end."""
    av = pyav(name)
    source = one_size(frames, name)
    first = next(source, None)
    if first is None:
        return
    colour, tally = Colour(av), Tally(_CAMERA)
    shown = np.full(first.shape, GREY, np.uint8)
    given = frames_lost = 0
    for index, picture in _received(av, itertools.chain([first], source), first.shape, colour, tally, coding, damage):
        while given < index + (picture is None):
            given += 1
            frames_lost += 1
            yield shown.copy()
        if picture is not None and given == index:
            given += 1
            shown = colour.to_rgb(picture, first.shape)
            yield shown.copy()
    facts.update(tally.facts(), frames_lost=frames_lost)


def _received(
    av: Any,
    frames: Iterable[Pixels],
    shape: tuple[int, ...],
    colour: Colour,
    tally: Tally,
    coding: Coding,
    damage: Damage,
) -> Iterator[tuple[int, Any]]:
    """Index and picture of each frame that the decoder gives; index and None where no more is hoped for up to there."""
    clip_key = np.array([coding.seed], np.uint64)
    # Its parameter sets come beside the stream.
    encoder = new_encoder(av, _CAMERA, shape, crf=CRF, flags="+global_header")
    decoder = _decoder(av, encoder.extradata)
    for packet in _sent(av, encoder, frames, colour, tally):
        at = packet.pts
        slices = [unit for unit in nal_units(bytes(packet)) if nal_kind(unit) in SLICES]
        arrived = damage(slices, streams(clip_key, coding.first_frame + at))
        for picture in _decoded(av, decoder, arrived, at):
            yield picture.pts, picture
        yield at - HOPE, None
    for picture in _decoded(av, decoder, None, 0):
        yield picture.pts, picture
    yield tally.frames - 1, None


def _sent(av: Any, encoder: Any, frames: Iterable[Pixels], colour: Colour, tally: Tally) -> Iterator[Any]:
    """One packet of the coder for each frame: its slices."""
    types = av.video.frame.PictureType
    for frame in frames:
        picture = colour.to_yuv(frame)
        picture.pts = tally.frames
        picture.pict_type = types.P if tally.frames % KEYFRAME_EVERY else types.NONE  # a key frame is due by itself
        tally.frame(frame.shape)
        for packet in encoder.encode(picture):
            tally.packet(packet)
            yield packet
    for packet in encoder.encode(None):
        tally.packet(packet)
        yield packet


def _decoder(av: Any, parameter_sets: bytes) -> Any:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    # Units come with their lengths ahead, as packets have them, not between start codes, which damaged bits can look
    # like: the parameter sets go into the record of ISO/IEC 14496-15, section 5.3.3.1.
    sequence, picture = (
        next(unit for unit in nal_units(parameter_sets) if nal_kind(unit) == kind)
        for kind in (SEQUENCE_SET, PICTURE_SET)
    )
    lengths_of_4, one = 0xFC | 3, 0xE0 | 1
    decoder.extradata = b"".join(
        [
            bytes([1, *sequence[1:4], lengths_of_4, one]),
            len(sequence).to_bytes(2, "big") + sequence,
            bytes([1]) + len(picture).to_bytes(2, "big") + picture,
        ]
    )
    # Show what there is, as players do, from whichever frame on; guess the rest from the frames before.
    decoder.options = {"flags": "+output_corrupt", "flags2": "+showall", "ec": "guess_mvs+deblock"}
    return decoder


def _decoded(av: Any, decoder: Any, units: list[bytes] | None, at: int) -> list[Any]:
    """What the decoder gives for the units of the frame sent at `at`; None: what it still holds."""
    packet = None
    if units is not None:
        if not units:
            return []
        packet = av.Packet(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units))
        packet.pts = packet.dts = at
    try:
        pictures = decoder.decode(packet)
    except av.error.FFmpegError:  # nothing in it that can be decoded
        return []
    return [picture for picture in pictures if picture.pts is not None]
