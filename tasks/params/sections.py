"""The sections of params.yaml."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tasks.params.section import Name, Section


class Crossing(Section):
    """The embedded data set. Only `stormglass crossing` reads this."""

    seed: int = 0
    classes: tuple[Name, ...] = ("car", "bus", "cyclist", "pedestrian")
    train_clips: int = Field(24, ge=1)
    train_frames: int = Field(40, ge=2)
    validation_clips: int = Field(6, ge=1)
    validation_frames: int = Field(16, ge=2)
    test_clips: int = Field(36, ge=1)  # balanced over camera x time of day x traffic
    unseen_clips: int = Field(12, ge=0)  # test clips of a camera that training never saw
    test_frames: int = Field(12, ge=2)
    footage_frames: int = Field(40, ge=2)  # of each of the three clips of new footage


class Dataset(Section):
    """Which data set, and which part of it, is scored."""

    path: Path = Path("data/crossing")
    split: str | None = None  # null: every frame
    # Whose clean frames temperatures and the threshold of abstention are fitted on; null, or a split that the data set
    # lacks: none are.
    validation: str | None = "validation"
    limit: int | None = Field(None, ge=1)  # the first clips that hold at least this many frames, of either split


class Mix(Section):
    """Shares of training samples that `crossing-v2` sees augmented; the rest stay clean."""

    light: float = Field(0.6, ge=0, le=1)
    heavy: float = Field(0.15, ge=0, le=1)

    @model_validator(mode="after")
    def _at_most_one(self) -> "Mix":
        if self.light + self.heavy > 1:
            raise ValueError(f"light + heavy must be at most 1, got {self.light + self.heavy:g}")
        return self


class Train(Section):
    """Training of the embedded models."""

    epochs: int = Field(9, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(8e-3, gt=0)
    seed: int = 0
    mix: Mix = Mix()


class CorruptionChoice(Section):
    """One corruption of the run: its family, name and, where the user gave them, levels."""

    family: str
    name: str
    parameter: str | None = None
    levels: tuple[float, ...] | None = None

    @property
    def bursts(self) -> tuple[tuple[int, int], ...]:
        """The intervals of frames that the name restricts it to: from the first index on, before the second.

        Example:
            >>> CorruptionChoice(family="any", name="low_light + fog during 4:8").bursts
            ((4, 8),)
        """
        return tuple((int(start), int(stop)) for start, stop in re.findall(r" during (\d+):(\d+)", self.name))

    def severities(self, declared: Iterable[int]) -> tuple[int, ...]:
        """The severities to run: the declared ones, or the 1-based places of the user's own levels."""
        return tuple(range(1, len(self.levels) + 1)) if self.levels is not None else tuple(declared)


def spaced(name: str) -> str:
    """A corruption's name, put together of several maybe, with one space around each `+` and between words."""
    return " ".join(name.replace("+", " + ").split())


class Shift(Section):
    """Frames that are really shifted, not corrupted: by night, from a new camera."""

    where: str  # a query over `frames` and measurements, as in slices.query
    like: tuple[str, ...] = ()  # corruptions of the run that are meant to imitate it
    reference: str | None = None  # what it is compared with, a query; null: the frames outside every shift

    @field_validator("like")
    @classmethod
    def _spaced(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(spaced(name) for name in names))


class Slices(Section):
    """Which subsets of the data get figures of their own."""

    attributes: tuple[str, ...] = ()
    crossed: tuple[tuple[str, ...], ...] = ()
    # By thirds of a measurement of the clean frames; a clip lies in one third, by its mean.
    derived: tuple[Literal["brightness", "contrast", "sharpness", "noise", "blockiness", "crowding"], ...] = ()
    object: tuple[str, ...] = ()
    query: dict[str, str] = Field(default={})
    shifted: dict[Name, Shift] = Field(default={})

    @model_validator(mode="after")
    def _named(self) -> "Slices":
        if "none" in self.shifted:
            raise ValueError("shifted: 'none' names the frames outside every shift, expected another name")
        return self


class Metrics(Section):
    """Intervals of every score."""

    resamples: int = Field(1000, ge=100)
    confidence: float = Field(0.95, gt=0, lt=1)
    break_at: float = Field(0.5, gt=0, lt=1)  # share of the clean figure below which a model counts as broken
    answer_accuracy: float = Field(0.95, gt=0, le=1)  # of the answers on clean validation frames, by abstaining
    min_units: int = Field(10, ge=2)  # fewer images, or clips of video, than this give a number without an interval


class Policy(Section):
    """How a deployed model's boxes are used: `reports/policy.json` says what that gives."""

    act_precision: float = Field(0.9, gt=0, lt=1)  # an event may rest on a box: precision on clean frames
    observe_precision: float = Field(0.6, gt=0, lt=1)  # somebody should look; below it a model falls back
    evidence: tuple[int, int] = (3, 5)  # [M, N]: an event needs a track's box in M of the last N frames
    # Class -> share to come; empty: as here.
    mix: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default={})

    @model_validator(mode="after")
    def _in_order(self) -> "Policy":
        if self.observe_precision > self.act_precision:
            raise ValueError(
                f"observe_precision must be at most act_precision, got {self.observe_precision:g} > "
                f"{self.act_precision:g}"
            )
        needed, window = self.evidence
        if not 1 <= needed <= window:
            raise ValueError(f"evidence is [M, N] frames with 1 <= M <= N, got [{needed}, {window}]")
        if self.mix and not sum(self.mix.values()) > 0:
            raise ValueError("mix has shares of 0 alone; give some class more, or leave mix empty")
        return self


class Latency(Section):
    """What is measured of single frames in deployment: stages, memory, and frames/s apart."""

    frames: int = Field(72, ge=16)  # about so many, spread over the scored clips, in runs of consecutive frames
    cells: tuple[str, ...] = ()  # corrupted frames beside clean ones, such as "rain 5": a corruption and its severity
    threads: int = Field(1, ge=1)  # on the CPU
    take: int = 1  # another number measures again, on the same frames

    def asked(self) -> tuple[tuple[str, int], ...]:
        """`cells` as corruption and severity.

        Example:
            >>> Latency(cells=("low_light 2+rain 5",)).asked()
            (('low_light 2 + rain', 5),)
        """
        split = (spaced(cell).rpartition(" ") for cell in self.cells)
        return tuple((name, int(severity) if severity.isdecimal() else 0) for name, _, severity in split)


class Realtime(Section):
    """Tracking of models that have to keep up with their clips."""

    # What a frame takes, for all models or by name; null, and models not named: as `latency` measured it.
    latency_ms: float | dict[Name, float] | None = None
    percentile: Literal[50, 95, 99] = 50  # of what was measured
    frames_per_s: float | None = Field(None, gt=0)  # at which frames arrive; null: as timestamp_s says
    keep_newest: bool = False  # of the frames that arrive while a model is busy, the newest waits; else all are skipped

    @field_validator("latency_ms", mode="before")
    @classmethod
    def _milliseconds(cls, value: object) -> object:
        for one in value.values() if isinstance(value, dict) else () if value is None else [value]:
            if isinstance(one, bool) or not isinstance(one, int | float) or not 0 <= one < math.inf:
                raise ValueError(f"expected milliseconds, 0 or more, or {{model: milliseconds}}, got {one!r}")
        return value


class Gate(Section):
    """One rule: a floor or ceiling (`min`, `max`), or a bound on the loss against the baseline: a difference
    (`max_drop`) or, of latency and memory, how many times as bad it may be (`max_ratio`).

    A selector that is omitted means the mean over the declared corruptions; `*` means each one.
    """

    metric: str
    task: str | None = None
    model: str | None = None
    corruption: str | None = None
    family: str | None = None
    severity: int | Literal["*"] | None = None
    slice: str = "all"
    class_: str = Field("all", alias="class")
    min: float | None = None
    max: float | None = None
    against: Literal["baseline", "clean"] | None = None
    max_drop: float | None = None
    max_ratio: float | None = Field(None, gt=0)
    on_uncertain: Literal["pass", "fail"] = "fail"  # where the figure's interval reaches across the bound

    @model_validator(mode="after")
    def _one_bound(self) -> "Gate":
        bounds = [name for name in ("min", "max", "max_drop", "max_ratio") if getattr(self, name) is not None]
        if len(bounds) != 1:
            given = ", ".join(bounds) or "none"
            raise ValueError(f"a gate has exactly one of min, max, max_drop, max_ratio, got {given}")
        if (bounds[0] in ("max_drop", "max_ratio")) != (self.against is not None):
            raise ValueError(f"{bounds[0] if self.against is None else 'max_drop'} and against go together")
        if self.max_ratio is not None and self.against != "baseline":
            raise ValueError("max_ratio is against: baseline")
        if self.corruption is not None and self.family is not None:
            raise ValueError("a gate selects by corruption or by family, not both")
        return self

    @property
    def bound(self) -> float:
        """The one bound that it has."""
        return next(v for v in (self.min, self.max, self.max_drop, self.max_ratio) if v is not None)


class FailureRule(Section):
    """A kind of failure to list in failure_cases.md: an example with something wrong that meets every condition."""

    task: Literal["classification", "detection", "instance", "semantic", "tracking"] | None = None
    model: str | None = None
    error_kind: str | None = None
    max_score: float = Field(1.0, ge=0, le=1)
    corruption: str = "*"  # a glob of names and families; `clean` for clean frames
    severity: tuple[Annotated[int, Field(ge=0)], ...] = ()  # none: every one, clean frames too

    @field_validator("severity", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, int) else value


class Report(Section):
    """The page."""

    form: Literal["file", "directory"] = "file"  # directory: a folder with the pictures beside the page as well
    pictures: int = Field(240, ge=0)  # at most this many pictures in the file
    directory_pictures: int = Field(2000, ge=0)  # and this many in the folder, those of the file among them
    title: str | None = None

    @property
    def folder_pictures(self) -> int:
        """At most this many pictures in the folder: never fewer than in the file."""
        return max(self.pictures, self.directory_pictures)


class Run(Section):
    """How the work is done; nothing here but seed, precision and compile changes a result."""

    device: str = "auto"  # auto | cpu | cuda | cuda:N
    workers: int | Literal["auto"] = "auto"  # processes on the CPU; one per device on GPUs
    batch_size: int | Literal["auto"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of networks that torch runs; by autocast
    compile: bool = False  # such networks through torch.compile
    unit_limit_s: float = Field(1800.0, gt=0)  # a unit of work that runs longer is killed and tried again
    retries: int = Field(2, ge=0)
    prefect: bool = True
    strict: bool = False  # a corrupt image among good ones stops the run
    seed: int = 0
    store: str = ".stormglass/parts"

    @field_validator("workers", "batch_size")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"expected 'auto' or at least 1, got {value}")
        return value
