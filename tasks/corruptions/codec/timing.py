"""Frames that come too late or not at all: the one before stands still while the scene, and its truth, go on."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from tasks.corruptions.interface import Coding, Level, Pixels
from tasks.corruptions.seeds import uniform

FREEZE_EVERY = 50
"""Frames among which there is one freeze: 2 s at the rate that codecs are told."""

Stands: TypeAlias = Callable[[int], bool]
"""Whether the frame of this index shows the one before."""


def frame_drop(frames: Iterable[Pixels], level: Level, coding: Coding) -> Iterator[Pixels]:
    """Each frame is dropped by itself, `dropped_percent` of 100 on average, and the one before is shown again.

    The first frame given is always shown. Recorded: frames_dropped.
    """

    def stands(index: int) -> bool:
        return _number(coding.seed, index) < level.strength / 100

    return _held(frames, stands, coding, "frames_dropped")


def frame_freeze(frames: Iterable[Pixels], level: Level, coding: Coding) -> Iterator[Pixels]:
    """Once in every 50 frames the picture stands still, `frozen_frames` long, at a seeded place.

    A freeze at one level lies within the one at each higher level. The first frame of every 50 is always shown, and so
    is the first frame given. Recorded: frames_frozen.
    """

    def stands(index: int) -> bool:
        stretch, place = divmod(index, FREEZE_EVERY)
        length = round(level.strength)
        first = 1 + int(_number(coding.seed, stretch) * (FREEZE_EVERY - length))
        return first <= place < first + length

    return _held(frames, stands, coding, "frames_frozen")


def _held(frames: Iterable[Pixels], stands: Stands, coding: Coding, fact: str) -> Iterator[Pixels]:
    shown: Pixels | None = None
    held = 0
    for index, frame in enumerate(frames, start=coding.first_frame):
        if shown is None or not stands(index):
            shown = frame
        else:
            held += 1
        yield shown.copy()
    if shown is not None:
        coding.record({fact: held})


def _number(seed: int, index: int) -> float:
    """One in [0, 1) for each index: the same at every level."""
    return float(uniform(np.array([seed], np.uint64), stream=index)[0])
