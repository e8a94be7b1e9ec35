"""Codecs at a given number of bits per pixel: the rate factor that spends them is searched for, stretch by stretch."""

import math
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tasks.corruptions.codec.coding import Codec, Tally, new_decoder, new_encoder, one_size
from tasks.corruptions.codec.colour import Colour, pyav
from tasks.corruptions.interface import ClipFunction, Coding, Level, Pixels

STRETCH = 125
"""Frames that share one rate factor: 5 s, within the key-frame intervals that cameras are set to."""

# A last stretch of a few frames would be an intra frame with bits for none: shorter than this, it joins the one before.
SHORTEST = STRETCH // 2
# Half of the 10 % that the whole clip is held to: what is over in one stretch is not made up for in another.
TOLERANCE = 0.05
ATTEMPTS = 12


def by_bitrate(codec: Codec) -> ClipFunction:
    """The corruption that codes a clip by `codec` with so many bits per pixel, and decodes it again.

    The clip is cut into stretches of `STRETCH` frames, each with a key frame first, whose frames wait in a temporary
    file in the coder's own 4:2:0, 1.5 bytes a pixel. Each stretch is coded at several constant rate factors until one
    spends the bits within 5 %: what a camera at that bit rate does whose buffer is one stretch long. A stretch that
    needs fewer bits even at the best quality, or more at the worst (a still: an intra frame alone is dear), is coded
    at that quality. Recorded: the facts of `Tally`, the mean rate factor, and `tier_met`, 1 where the clip's bits are
    within 10 % of those asked for, else 0.

    Raises (the function):
        InputError: PyAV is not installed; frames of several sizes.
    """

    def coded(frames: Iterable[Pixels], level: Level, coding: Coding) -> Iterator[Pixels]:
        name = f"{codec.name}_bitrate"
        av = pyav(name)
        colour, tally = Colour(av), Tally(codec)
        crf = crf_sum = 0.0
        with tempfile.TemporaryFile() as file:
            spool = _Spool(av, file)
            for count, shape in _stretches(one_size(frames, name), spool, colour):
                crf, packets, part = _search(av, codec, spool, count, shape, level.strength, start=crf)
                crf_sum += crf * count
                tally.add(part)
                spool.drop(count)
                yield from _decoded(av, codec, packets, colour, shape, count)
        if tally.frames:
            facts = tally.facts()
            met = abs(facts["bits_per_pixel"] / level.strength - 1) <= 0.1
            coding.record({**facts, "crf_mean": crf_sum / tally.frames, "tier_met": float(met)})

    return coded


class _Spool:
    """Frames in a file that is used in a ring, so that it stays as long as the longest stretch."""

    def __init__(self, av: Any, file: Any) -> None:
        self._av, self._file = av, file
        self._first = self.waiting = 0
        self._planes: tuple[int, ...] = ()

    def put(self, picture: Any) -> None:
        planes = picture.to_ndarray()
        self._planes = planes.shape
        self._file.seek((self._first + self.waiting) % (STRETCH + SHORTEST) * planes.size)
        self._file.write(planes.data)
        self.waiting += 1

    def get(self, at: int) -> Any:
        size = math.prod(self._planes)
        self._file.seek((self._first + at) % (STRETCH + SHORTEST) * size)
        planes = np.frombuffer(self._file.read(size), np.uint8).reshape(self._planes)
        picture = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts = at
        return picture

    def drop(self, count: int) -> None:
        self._first += count
        self.waiting -= count


def _stretches(frames: Iterator[Pixels], spool: _Spool, colour: Colour) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Fills the spool, and says how many of its frames are the next stretch, and of which shape."""
    shape: tuple[int, ...] = ()
    for frame in frames:
        shape = frame.shape
        if spool.waiting == STRETCH + SHORTEST:  # whatever follows, more than the shortest is left
            yield STRETCH, shape
        spool.put(colour.to_yuv(frame))
    if spool.waiting:
        yield spool.waiting, shape


def _search(
    av: Any, codec: Codec, spool: _Spool, count: int, shape: tuple[int, ...], bits_per_pixel: float, *, start: float
) -> tuple[float, list[Any], Tally]:
    """The rate factor, the packets and the tally of the attempt whose bits are nearest to those asked for.

    False position on the logarithm of bits over rate factor, which is nearly a straight line; each attempt narrows an
    interval, so that it ends on any clip.
    """
    wanted = math.log2(bits_per_pixel)
    low, high = codec.best_crf, codec.worst_crf
    known: dict[float, float] = {}  # rate factor to how many times too many bits, log2
    crf = start or (low + high) / 2
    best: tuple[float, list[Any], Tally] | None = None
    for _ in range(ATTEMPTS):
        packets, tally = _attempt(av, codec, spool, count, shape, crf)
        known[crf] = math.log2(tally.bits / tally.pixels) - wanted
        if best is None or abs(known[crf]) <= abs(known[best[0]]):
            best = crf, packets, tally
        if abs(known[crf]) <= math.log2(1 + TOLERANCE):
            break
        if known[crf] > 0:
            low = crf
        else:
            high = crf
        crf = _next(known, crf, low, high, codec)
        if crf in known:
            break
    assert best is not None
    return best


def _next(known: dict[float, float], crf: float, low: float, high: float, codec: Codec) -> float:
    """Where to try next, in steps that the coder heeds."""
    if low >= high:  # an end of the scale
        return crf
    if low in known and high in known:
        share = known[low] / (known[low] - known[high])
        # Kept off the ends, so that a curve that bends still halves the interval in the end.
        guess = low + min(max(share, 0.1), 0.9) * (high - low)
    else:
        guess = crf + known[crf] * codec.crf_per_halving
    steps = round(min(max(guess, low), high) / codec.crf_step)
    return min(max(steps * codec.crf_step, low), high)


def _attempt(
    av: Any, codec: Codec, spool: _Spool, count: int, shape: tuple[int, ...], crf: float
) -> tuple[list[Any], Tally]:
    encoder, tally = new_encoder(av, codec, shape, crf=crf), Tally(codec)
    packets = []
    for at in range(count):
        packets += encoder.encode(spool.get(at))
        tally.frame(shape)
    packets += encoder.encode(None)
    for packet in packets:
        tally.packet(packet)
    return packets, tally


def _decoded(
    av: Any, codec: Codec, packets: list[Any], colour: Colour, shape: tuple[int, ...], count: int
) -> Iterator[Pixels]:
    decoder = new_decoder(av, codec)
    given = 0
    for packet in [*packets, None]:
        for picture in decoder.decode(packet):
            given += 1
            yield colour.to_rgb(picture, shape)
    if given != count:
        raise RuntimeError(f"{codec.name}: {count} frames went in and {given} came out")
