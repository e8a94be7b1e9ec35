"""Noise, fresh on each frame: what comes out of a pixel is drawn from the 256 distributions of its 256 codes.

A noise is described by its cumulative probabilities, P(code out <= k) for each code in and each k. Inverted once per
level into a table over 2^14 equal shares of probability, a draw is one look-up with one hashed number: exact but for
shares below 1/16384, and the same on every device. Definitions: imagecorruptions 1.1.2, which cuts to whole codes.
"""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import reference
from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import BatchFunction, Corruption, Level
from tasks.corruptions.seeds import Moments, streams

SHARE_BITS = 14

Distribution = Callable[[Level], NDArray[np.float64]]
"""The probabilities P(code out <= k | code in), (256 in, 256 k), the last of each row 1."""


def drawn_from(distribution: Distribution) -> BatchFunction:
    """The corruption that draws every value of a frame (each channel on its own) from its code's distribution."""

    @functools.lru_cache(maxsize=8)  # 4 MB each
    def table(arrays: Arrays, level: Level) -> Array:
        return arrays.array(inverse(distribution(level)))

    def batch(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
        words = arrays.field(streams(moments.frame_seeds, 0), tuple(frames.shape[1:]))
        return arrays.lut2(frames, words >> (16 - SHARE_BITS), table(arrays, level))

    return batch


def added_from(distribution: Distribution) -> BatchFunction:
    """`drawn_from` for noise that is added to a code whatever the code is, and held in 0..255: one table for all."""

    @functools.lru_cache(maxsize=8)
    def table(arrays: Arrays, level: Level) -> Array:
        return arrays.array(np.repeat(added(distribution(level)), 2 ** (16 - SHARE_BITS)))

    def batch(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
        words = arrays.field(streams(moments.frame_seeds, 0), tuple(frames.shape[1:]))
        return arrays.add_codes(frames, arrays.lut(words, table(arrays, level)))

    return batch


def added(probabilities: NDArray[np.float64]) -> NDArray[np.int16]:
    """What is added at each share of probability, int16 (2^14,): black shows what is above 0, white what is below."""
    black, white = inverse(probabilities[[0, -1]]).astype(np.int16)
    return np.asarray(black + white - 255)


def inverse(probabilities: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The code at each share of probability (i + 0.5) / 2^14, uint8 (codes in, 2^14)."""
    shares = 2**SHARE_BITS
    reached = np.clip(np.rint(probabilities * shares), 0, shares).astype(np.int64)
    reached[:, -1] = shares
    counts = np.diff(np.maximum.accumulate(reached, axis=1), axis=1, prepend=0)
    codes = np.tile(np.arange(256, dtype=np.uint8), len(counts))
    return np.repeat(codes, counts.ravel()).reshape(len(counts), shares)


_CODES = np.arange(256.0)


def _room() -> NDArray[np.float64]:
    """How much noise, in codes, keeps a code in (row) from coming out above k (column): sums are cut to whole codes."""
    return _CODES[None] + 1 - _CODES[:, None] - 1e-6  # none at all leaves a code as it is


def gaussian(level: Level) -> NDArray[np.float64]:
    """Additive: x + N(0, sigma), x in 0..1."""
    from scipy.special import ndtr

    return np.asarray(ndtr(_room() / max(255 * level["sigma"], 1e-9)))


def speckle(level: Level) -> NDArray[np.float64]:
    """Multiplicative: x + x N(0, sigma), x in 0..1."""
    from scipy.special import ndtr

    return np.asarray(ndtr(_room() / np.maximum(_CODES[:, None] * level["sigma"], 1e-9)))


def shot(level: Level) -> NDArray[np.float64]:
    """Poisson: white is a count of `photons`. Fewer photons, more noise."""
    from scipy.special import pdtr

    photons = level["photons"]
    # Count n gives code floor(255 n / photons): at most k where n < (k + 1) photons / 255.
    counts = np.ceil(np.round((_CODES + 1) * photons / 255, 9)) - 1
    return np.asarray(pdtr(counts[None], _CODES[:, None] / 255 * photons))


def impulse(level: Level) -> NDArray[np.float64]:
    """Salt and pepper: the share `amount` of all values becomes 0 or 255, half of it each."""
    kept = (_CODES[None] >= _CODES[:, None]) * (1 - level["amount"])
    return np.asarray(level["amount"] / 2 + kept)


ENTRIES = (
    Corruption(
        name="gaussian_noise",
        family="noise",
        table={"sigma": (0.08, 0.12, 0.18, 0.26, 0.38)},
        measure="share of white",
        bounds=(0.0, 10.0),
        version=2,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        batch=added_from(gaussian),
    ),
    Corruption(
        name="shot_noise",
        family="noise",
        table={"photons": (60, 25, 12, 5, 3)},
        measure="photons at white",
        bounds=(0.1, 1e6),
        version=2,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        batch=drawn_from(shot),
        note="lower is worse",
    ),
    Corruption(
        name="impulse_noise",
        family="noise",
        table={"amount": (0.03, 0.06, 0.09, 0.17, 0.27)},
        measure="share of values",
        bounds=(0.0, 1.0),
        version=2,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        batch=added_from(impulse),
    ),
    Corruption(
        name="speckle_noise",
        family="noise",
        table={"sigma": (0.15, 0.2, 0.35, 0.45, 0.6)},
        measure="share of the value",
        bounds=(0.0, 10.0),
        version=2,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="validation",
        batch=drawn_from(speckle),
    ),
)
