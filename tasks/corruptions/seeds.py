"""Randomness by counting: every random number is a hash of what it belongs to, so that no order of work matters.

A key is 64 bits of (run's seed, corruption, clip) or (..., frame); the numbers under a key are splitmix64's: the
finaliser of Stafford's variant 13 over key + n x 0x9E3779B97F4A7C15 (Steele, Lea and Flood 2014). Severities have no
part in a key: all of them find the same field, so that curves are smooth.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""The constants of splitmix64: each array back end runs it on its own integers."""


@dataclass(frozen=True)
class Moment:
    """Which frame: 64-bit seeds of (run's seed, corruption, clip) and of (run's seed, corruption, clip, frame)."""

    clip_seed: int
    frame_seed: int
    frame_index: int


@dataclass(frozen=True)
class Moments:
    """Which frames: one entry for each of a batch of N.

    Attributes:
        clip_seeds: uint64 (N,): (run's seed, corruption, clip).
        frame_seeds: uint64 (N,): (run's seed, corruption, clip, frame).
        frame_indices: int64 (N,): the frame's place in its clip.
    """

    clip_seeds: NDArray[np.uint64]
    frame_seeds: NDArray[np.uint64]
    frame_indices: NDArray[np.int64]

    @classmethod
    def of(cls, moments: list[Moment]) -> "Moments":
        """A batch of single moments."""
        return cls(
            np.array([moment.clip_seed for moment in moments], dtype=np.uint64),
            np.array([moment.frame_seed for moment in moments], dtype=np.uint64),
            np.array([moment.frame_index for moment in moments], dtype=np.int64),
        )


def moment(name: str, seed: int, clip: str, frame_index: int) -> Moment:
    """The seeds of a frame, by SHA-256.

    Example:
        >>> first, later = moment("fog", 0, "north", 0), moment("fog", 0, "north", 7)
        >>> first.clip_seed == later.clip_seed, first.frame_seed == later.frame_seed
        (True, False)
    """
    return Moment(
        clip_seed=digest(seed, name, clip),
        frame_seed=digest(seed, name, clip, frame_index),
        frame_index=frame_index,
    )


def digest(*words: int | str) -> int:
    """64 bits of SHA-256 over some words."""
    # repr keeps the words apart: ("a", "bc") and ("ab", "c") differ.
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:8], "little")


def streams(seeds: NDArray[np.uint64], stream: int) -> NDArray[np.uint64]:
    """Keys of another, independent field under the same seeds.

    Example:
        >>> seeds = np.array([7], dtype=np.uint64)
        >>> int(streams(seeds, 0)[0]) == int(streams(seeds, 1)[0])
        False
    """
    return mixed(mixed(seeds) + np.uint64((stream * FIRST + SECOND) % 2**64))


def mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(SECOND)
    return state ^ (state >> np.uint64(31))


def uniform(seeds: NDArray[np.uint64], stream: int) -> NDArray[np.float64]:
    """One number in [0, 1) for each seed.

    Example:
        >>> values = uniform(np.arange(1000, dtype=np.uint64), stream=3)
        >>> bool(0 <= values.min() and values.max() < 1 and abs(values.mean() - 0.5) < 0.03)
        True
    """
    return (streams(seeds, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53
