"""What a corruption is: its entry in the registry, and what its function is given."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.seeds import Moment, Moments
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

Stage: TypeAlias = Literal["scene", "optics", "sensor", "codec"]
"""Where on the light's way from the scene to the file it acts: the order in which corruptions are composed.

What a camera does to the picture before it is coded (brightness, contrast, pixelate) counts as the sensor's.
"""

STAGES: tuple[Stage, ...] = ("scene", "optics", "sensor", "codec")


@dataclass(frozen=True)
class Level:
    """How strong: every parameter's value and, unless it is the user's own level, the severity it belongs to.

    Attributes:
        items: (parameter, value) pairs. The first one is the physical strength. Parameters in pixels (`..._px`) are
            those of the frame at hand: already scaled, where the run asks for that.
        severity: 1..5, or None.
        pixel_scale: What the parameters in pixels were multiplied by, for sizes that stand in code; 1 by default.
    """

    items: tuple[tuple[str, float], ...]
    severity: int | None
    pixel_scale: float = 1.0

    def __getitem__(self, parameter: str) -> float:
        return dict(self.items)[parameter]

    @property
    def strength(self) -> float:
        """The first parameter's value."""
        return self.items[0][1]

    def scaled(self, factor: float) -> "Level":
        """The same level for frames `factor` times as large: parameters in pixels grow with them."""
        items = tuple((name, value * factor if name.endswith("_px") else value) for name, value in self.items)
        return Level(items, self.severity, self.pixel_scale * factor)


@dataclass(frozen=True)
class Coding:
    """What a clip's function is given beside its frames.

    Attributes:
        seed: 64 bits of (run's seed, corruption, clip).
        first_frame: The first frame's index in its clip.
        record: Takes facts about the clip as it came out, name (unit and all) to value: `{"bitrate_kbps": 812.0}`.
    """

    seed: int
    first_frame: int = 0
    record: Callable[[Mapping[str, float]], None] = lambda _facts: None


BatchFunction: TypeAlias = Callable[[Arrays, Array, Level, Moments], Array]
"""Corrupts uint8 (N, H, W, C), C 3 or 1, on any back end, and leaves its input as it is."""

FrameFunction: TypeAlias = Callable[[Pixels, Level, Moment], Pixels]
"""Corrupts one frame in the host's memory, for what only a library there can do; leaves its input as it is."""

ClipFunction: TypeAlias = Callable[[Iterable[Pixels], Level, Coding], Iterator[Pixels]]
"""Corrupts the frames of one clip, in order, and yields as many, holding a bounded number of them."""


WaveFunction: TypeAlias = Callable[[Level, Moments, int, int], NDArray[np.float64]]
"""How a batch's frames of a height and width are displaced: see `Corruption.waves`."""


@dataclass(frozen=True)
class Part:
    """One of several corruptions that act together, at a severity of its own or, by default, at the cell's."""

    corruption: "Corruption"
    severity: int | None = None

    def level(self, whole: Level) -> Level:
        """Its parameters where the whole is at `whole`."""
        return self.corruption.at(self.severity or round(whole.strength), None)


@dataclass(frozen=True)
class Corruption:
    """An entry of the registry.

    Attributes:
        name: What users write in params.yaml.
        family: The family that it belongs to by default; a user's params may group otherwise.
        table: Every parameter's value at severity 1, 2, 3, 4, 5. The first is the physical strength, which tables and
            plots carry and users give as own levels; names have the unit in them (`radius_px`).
        measure: What the strength is counted in, in words.
        bounds: The lowest and highest strength that a user may give.
        version: Raised by one whenever its pixels change: stored results of another version are not reused.
        temporal: What it does from frame to frame.
        stage: Where on the way of the light it acts.
        source: Where its definition comes from.
        batch: Its function, where array operations can do it; or
        frame: its function, where it takes a library in the host's memory; or
        clip: its function, where it needs the whole clip; or
        parts: the corruptions that it is composed of, in physical order.
        whole_levels: Own levels are whole numbers.
        moves_pixels: It displaces what is seen, so that the truth is a little off: reports footnote it.
        rises: Mean distortion is meant to rise with severity.
        benchmark: Its part of the published benchmark: the 15 "common" ones, or the 4 "validation" ones.
        note: What a reader of results should know.
        waves: Where it moves rows sideways by a known amount, which: (N, 3) for the frames of a batch, amplitude_px,
            period_px and phase_rad: row y goes amplitude sin(2 pi y / period + phase) to the right. The truth that
            models are scored against goes with it.
        during: It acts on the frames of a clip from the first index on and before the second alone: a burst.
    """

    name: str
    family: str
    table: Mapping[str, tuple[float, ...]]
    measure: str
    bounds: tuple[float, float]
    version: int
    temporal: Temporal
    stage: Stage
    source: str
    batch: BatchFunction | None = None
    frame: FrameFunction | None = None
    clip: ClipFunction | None = None
    parts: tuple[Part, ...] = ()
    whole_levels: bool = False
    moves_pixels: bool = False
    rises: bool = True
    benchmark: Literal["common", "validation"] | None = None
    note: str = ""
    waves: WaveFunction | None = None
    during: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if sum(bool(function) for function in (self.batch, self.frame, self.clip, self.parts)) != 1:
            raise ValueError(f"corruption '{self.name}': expected one of batch, frame, clip and parts")
        for parameter, values in self.table.items():
            if len(values) != len(SEVERITIES):
                raise ValueError(
                    f"corruption '{self.name}': expected {len(SEVERITIES)} values of {parameter}, got {len(values)}"
                )
        if not all(self.bounds[0] <= level <= self.bounds[1] for level in self.levels):
            raise ValueError(f"corruption '{self.name}': its levels {self.levels} leave its bounds {self.bounds}")

    @property
    def parameter(self) -> str:
        """The name of its physical strength, unit and all (`radius_px`)."""
        return next(iter(self.table))

    @property
    def levels(self) -> tuple[float, ...]:
        """The strength at severity 1, 2, 3, 4, 5."""
        return self.table[self.parameter]

    @property
    def whole_clip(self) -> bool:
        """It needs all frames of a clip, in order: a slice of the clip alone comes out otherwise."""
        return self.clip is not None or any(part.corruption.whole_clip for part in self.parts)

    @property
    def moves_truth(self) -> bool:
        """By how much it displaces rows is known, so that the truth is displaced with it."""
        return self.waves is not None or any(part.corruption.moves_truth for part in self.parts)

    @property
    def seeded_as(self) -> str:
        """The name that its randomness hangs on: a burst of rain is that rain."""
        return self.name.partition(" during ")[0]

    def at(self, severity: int | None, level: float | None) -> Level:
        """The parameters at a severity 1..5, or at an own strength.

        At an own strength the other parameters lie on straight lines between those of the severities next to it;
        beyond the table they are those of its end. Of severities with equal strength the first one counts.

        Raises:
            InputError: not exactly one of the two; a severity outside 1..5 (0 is the clean frame); a level that is out
                of bounds.

        Example:
            >>> from tasks.corruptions import find
            >>> find("motion_blur").at(None, 4).items
            (('sigma_px', 4.0), ('radius_px', 12.5))
        """
        if (severity is None) == (level is None):
            raise InputError(f"{self.name}: expected exactly one of severity and level, got {severity=} and {level=}.")
        if level is not None:
            return Level(tuple(self._between(self._own(level)).items()), None)
        if isinstance(severity, bool) or severity not in SEVERITIES:
            hint = " (severity 0 is the clean frame, which is no corruption)" if severity == 0 else ""
            raise InputError(f"{self.name}: expected a severity from 1 to 5, got {severity!r}{hint}.")
        place = int(severity)
        return Level(tuple((name, float(values[place - 1])) for name, values in self.table.items()), place)

    def _own(self, level: float) -> float:
        low, high = self.bounds
        value = float(level)
        if not low <= value <= high:
            raise InputError(f"{self.name}: expected {self.parameter} between {low:g} and {high:g}, got {level!r}.")
        if self.whole_levels and value != int(value):
            raise InputError(f"{self.name}: expected a whole number for {self.parameter}, got {level!r}.")
        return value

    def _between(self, strength: float) -> dict[str, float]:
        known = sorted({value: place for place, value in reversed(list(enumerate(self.levels)))}.items())
        places = [place for _, place in known]
        values = {self.parameter: strength}
        for name, row in self.table.items():
            if name != self.parameter:
                values[name] = float(np.interp(strength, [value for value, _ in known], [row[at] for at in places]))
        return values
