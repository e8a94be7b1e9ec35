"""What a corruption is: its entry in the registry, and what its function is given."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError

Pixels: TypeAlias = NDArray[np.uint8]
"""One frame: uint8 RGB (H, W, 3)."""

SEVERITIES = (1, 2, 3, 4, 5)

Temporal: TypeAlias = Literal["constant", "fresh", "clip", "falling", "coded"]
"""How a corruption behaves from frame to frame.

constant: nothing random, each frame alone; fresh: drawn anew for each frame (noise); clip: drawn once for a clip, so
that it stays put (a dirty lens, a motion's direction, fog); falling: the wind belongs to the clip, the drops or flakes
to the frame; coded: each frame depends on the ones before it.
"""

Stage: TypeAlias = Literal["scene", "lens", "sensor", "processing", "coding"]
"""Where on the light's way from the scene to the file it acts; the order in which corruptions would be composed."""

STAGES: tuple[Stage, ...] = ("scene", "lens", "sensor", "processing", "coding")


@dataclass(frozen=True)
class Level:
    """How strong: the physical strength and, unless it is the user's own level, the severity it belongs to."""

    strength: float
    severity: int | None


@dataclass(frozen=True)
class Moment:
    """Which frame: 32-bit seeds that depend on (run's seed, corruption, clip) and (..., frame), never on the severity.

    The same seeds for all severities give the same random field for all of them, so that curves are smooth.
    """

    clip_seed: int
    frame_seed: int
    frame_index: int


FrameFunction: TypeAlias = Callable[[Pixels, Level, Moment], Pixels]
"""Corrupts one frame and leaves its input as it is."""

ClipFunction: TypeAlias = Callable[[Iterable[Pixels], Level], Iterator[Pixels]]
"""Corrupts the frames of one clip, in order, and yields as many, holding a bounded number of them."""


@dataclass(frozen=True)
class Corruption:
    """An entry of the registry.

    Attributes:
        name: What users write in params.yaml.
        family: The family that it belongs to by default; a user's params may group otherwise.
        parameter: The name of its physical strength, unit and all (`radius_px`), as users write it for own levels.
        measure: What that strength is counted in, in words.
        levels: The strength at severity 1, 2, 3, 4, 5.
        version: Raised by one whenever its pixels change: stored results of another version are not reused.
        temporal: What it does from frame to frame.
        stage: Where on the way of the light it acts.
        source: Where its definition comes from.
        frame: Its function, where it works frame by frame.
        clip: Its function, where it needs the whole clip.
        bounds: The lowest and highest level that a user may give; None where only severities are defined.
        whole_levels: Levels are whole numbers.
        moves_pixels: It displaces what is seen, so that the truth is a little off: reports footnote it.
        benchmark: Its part of the published benchmark: the 15 "common" ones, or the 4 "validation" ones.
        note: What a reader of results should know.
    """

    name: str
    family: str
    parameter: str
    measure: str
    levels: tuple[float, float, float, float, float]
    version: int
    temporal: Temporal
    stage: Stage
    source: str
    frame: FrameFunction | None = None
    clip: ClipFunction | None = None
    bounds: tuple[float, float] | None = None
    whole_levels: bool = False
    moves_pixels: bool = False
    benchmark: Literal["common", "validation"] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if (self.frame is None) == (self.clip is None):
            raise ValueError(f"corruption '{self.name}': expected one of frame and clip")
        if len(self.levels) != len(SEVERITIES):
            raise ValueError(f"corruption '{self.name}': expected {len(SEVERITIES)} levels, got {len(self.levels)}")
        if self.bounds is not None and not all(self.bounds[0] <= level <= self.bounds[1] for level in self.levels):
            raise ValueError(f"corruption '{self.name}': its levels {self.levels} leave its bounds {self.bounds}")

    @property
    def unit(self) -> str:
        """What tables carry beside the strength: the parameter's name, which has the unit in it (`radius_px`)."""
        return self.parameter

    @property
    def whole_clip(self) -> bool:
        """It needs all frames of a clip, in order: a slice of the clip alone comes out otherwise."""
        return self.clip is not None

    @property
    def accepts_levels(self) -> bool:
        """Users may give levels of their own."""
        return self.bounds is not None

    def at(self, severity: int | None, level: float | None) -> Level:
        """The strength at a severity 1..5, or at an own level.

        Raises:
            InputError: not exactly one of the two; a severity outside 1..5 (0 is the clean frame); an own level where
                the corruption has none, or outside its bounds.
        """
        if (severity is None) == (level is None):
            raise InputError(f"{self.name}: expected exactly one of severity and level, got {severity=} and {level=}.")
        if level is not None:
            return Level(self._own(level), None)
        if isinstance(severity, bool) or severity not in SEVERITIES:
            hint = " (severity 0 is the clean frame, which is no corruption)" if severity == 0 else ""
            raise InputError(f"{self.name}: expected a severity from 1 to 5, got {severity!r}{hint}.")
        place = int(severity)
        return Level(float(self.levels[place - 1]), place)

    def _own(self, level: float) -> float:
        if self.bounds is None:
            raise InputError(f"{self.name} has no levels of its own, only severities 1 to 5; got level {level!r}.")
        low, high = self.bounds
        value = float(level)
        if not low <= value <= high:
            raise InputError(f"{self.name}: expected {self.parameter} between {low:g} and {high:g}, got {level!r}.")
        if self.whole_levels and value != int(value):
            raise InputError(f"{self.name}: expected a whole number for {self.parameter}, got {level!r}.")
        return value
