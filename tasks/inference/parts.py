"""What a run is made of: parts, the units that they are computed in, the cells that show them, and the plan of all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.inference.looks import Look
from tasks.inference.shards import Shard
from tasks.layout import Layout
from tasks.params import CorruptionChoice, Params
from tasks.store import Store


@dataclass(frozen=True)
class Part:
    """What one model says of one shard at one severity.

    Attributes:
        model: its name in params.
        severity: 0 for clean, else the place among the levels.
        level: the user's own level; None: the registry's for `severity`.
        detections: key of the outputs as the model gave them.
        tracked: key of the same rows with tracks; None without a tracker.
        detections_by, tracked_by: what these keys hash.
        recorded: the file or folder that the outputs are read from; None: the model is run.
    """

    model: str
    severity: int
    level: float | None
    detections: str
    tracked: str | None
    detections_by: Mapping[str, Any] = field(repr=False)
    tracked_by: Mapping[str, Any] = field(repr=False)
    recorded: Path | None = None

    @property
    def key(self) -> str:
        """The part that `predictions/` shows."""
        return self.tracked or self.detections


@dataclass(frozen=True)
class Unit:
    """The unit of scheduling: one corruption, one shard, every model that still needs it.

    It holds all severities, but for the last units of a run: see `Plan`.

    Attributes:
        looks: those that are left to take of what the models see, or would.
    """

    corruption: str
    shard: Shard = field(repr=False)
    parts: tuple[Part, ...] = field(repr=False)
    looks: tuple[Look, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """For people, unique within a run."""
        severities = self.severities
        alone = f" {severities[0]}" if len(severities) == 1 and severities[0] else ""
        return f"{self.corruption}{alone} {self.shard.name}"

    @property
    def severities(self) -> tuple[int, ...]:
        """Of its parts and looks, each once."""
        found = [part.severity for part in self.parts] + [look.severity for look in self.looks]
        return tuple(dict.fromkeys(found))

    def by_severity(self) -> "list[Unit]":
        """The same work in a unit for each severity."""
        return [
            Unit(
                self.corruption,
                self.shard,
                tuple(part for part in self.parts if part.severity == severity),
                tuple(look for look in self.looks if look.severity == severity),
            )
            for severity in self.severities
        ]


@dataclass(frozen=True)
class Cell:
    """One row of the table `cells`: a part and its place in the run.

    Attributes:
        absent: status and message, where it is known beforehand that there can be no part.
    """

    corruption: str
    family: str
    strength: float | None
    strength_unit: str | None
    shard: str
    part: Part
    absent: tuple[str, str] | None = None


@dataclass
class Plan:
    """All of a run's cells and the units that are left to do.

    Attributes:
        units: what is left, shard by shard, so that a worker's decoded frames serve all corruptions; of several workers
            the last ones, one for each, severity by severity, so that all end at about one time.
        recordings: what is left to be read, by its file or folder: before the units, which may track what it says.
        messages: why the last try at a part or look failed, by its key; filled while units run.
        looks: what sampled frames look like, of every cell that a model is run on: where all predictions are recorded,
            no pixel is read.
        away: the models that run elsewhere.
        settings: by model, what becomes of a frame and of the output, in words.
    """

    params: Params
    layout: Layout
    store: Store
    devices: tuple[str, ...]
    fingerprints: dict[str, dict[str, str | int]]
    descriptions: dict[str, Any]
    cells: list[Cell]
    units: list[Unit]
    recordings: dict[Path, list[tuple[Shard, Part]]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    looks: list[tuple[CorruptionChoice, Shard, Look]] = field(default_factory=list)
    away: frozenset[str] = frozenset()
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def n_parts(self) -> int:
        """Parts that there can be."""
        return len({cell.part.key for cell in self.cells if cell.absent is None})

    @property
    def n_missing(self) -> int:
        """Parts that are left to do."""
        read = [part for parts in self.recordings.values() for _, part in parts if part.tracked is None]
        return len(read) + sum(len(unit.parts) for unit in self.units)
