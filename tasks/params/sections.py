"""The sections of params.yaml."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="letters, digits, dot, dash, underscore")
]


class Section(BaseModel):
    """A part of params.yaml: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class ModelInput(Section):
    """How a frame becomes a network's input."""

    size: tuple[int, int] | None = None  # height, width
    resize: Literal["none", "stretch", "letterbox", "letterbox_top_left", "shorter_side"] = "none"
    shorter_side: int | None = Field(None, ge=1)  # with that resize: pixels of the shorter side
    longer_side_at_most: int | None = Field(None, ge=1)  # and a bound on the longer one, where there is any
    crop: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None  # after it, from the centre
    antialias: bool = False  # smooth before making smaller
    channels: Literal["rgb", "bgr"] = "rgb"
    scale: float = Field(1.0, gt=0)  # multiplies uint8 values
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad: int = Field(114, ge=0, le=255)
    # Each frame as overlapping tiles of this height and width, each of them put through all of the above on its own.
    tile: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None = None
    overlap: float = Field(0.2, ge=0, lt=1)  # of neighbouring tiles at least, as a share of their side


class Tracker(Section):
    """Tracking over a model's stored boxes; omitted settings are the tracker's own."""

    name: Literal["bytetrack", "sort", "ocsort", "botsort"] = "bytetrack"
    boxes: Literal["model", "masks"] = "model"  # masks: the boxes around a model's masks
    # Of the boxes of a track: how much of each is the one before, already smoothed; 0: they stay as they are.
    smooth: float = Field(0, ge=0, lt=1)
    track_activation_threshold: float | None = Field(None, ge=0, le=1)
    high_conf_det_threshold: float | None = Field(None, ge=0, le=1)
    minimum_iou_threshold: float | None = Field(None, ge=0, le=1)
    minimum_iou_threshold_first_assoc: float | None = Field(None, ge=0, le=1)
    minimum_iou_threshold_second_assoc: float | None = Field(None, ge=0, le=1)
    minimum_consecutive_frames: int | None = Field(None, ge=1)
    lost_track_buffer: int | None = Field(None, ge=0)
    direction_consistency_weight: float | None = Field(None, ge=0)


class Model(Section):
    """One model version."""

    adapter: Name
    # A file; of the adapter 'recorded' also a folder with a file for each cell, of 'python' python:module:function.
    weights: Path | None = None
    variant: Name | None = None  # which of the adapter's networks, or which of its methods
    decoder: Name | None = None
    classes: tuple[str, ...] | str | None = None  # the names of its classes by rising id: a list, a file or a known set
    options: dict[Name, bool | int | float | str | tuple[float, ...]] = {}  # what this adapter alone knows
    # The name of a built-in map, or model class -> data-set class (null drops it); omitted: the same names or ids.
    class_map: Name | dict[int | str, int | str | None] | None = None
    input: ModelInput = ModelInput()
    score_threshold: float = Field(0.01, ge=0, le=1)
    nms_iou: float = Field(0.65, gt=0, le=1)
    # Between boxes of one class, between all, or lowering the scores of what overlaps (soft, Gaussian of nms_sigma).
    nms: Literal["class_wise", "agnostic", "soft"] = "class_wise"
    nms_sigma: float = Field(0.5, gt=0)
    tracker: Tracker | None = None

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        listed = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        if value is not None and not isinstance(value, str) and not listed:
            raise ValueError(f"expected a list of names, a text file with one a line or a known set, got {value!r}")
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        for name, one in value.items() if isinstance(value, dict) else ():
            numbers = isinstance(one, list | tuple) and all(isinstance(number, int | float) for number in one)
            if not isinstance(one, bool | int | float | str) and not numbers:
                raise ValueError(f"options.{name}: expected a number, a word, true, false or numbers, got {one!r}")
        return value

    @property
    def weights_path(self) -> Path:
        """The weights; of a model that needs none the empty path, which is the folder it is resolved against."""
        return self.weights or Path()


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
    query: dict[str, str] = {}
    shifted: dict[Name, Shift] = {}

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
    mix: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}  # class -> share to come; empty: as here

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
    latency_ms: Annotated[float, Field(ge=0)] | dict[Name, Annotated[float, Field(ge=0)]] | None = None
    percentile: Literal[50, 95, 99] = 50  # of what was measured
    frames_per_s: float | None = Field(None, gt=0)  # at which frames arrive; null: as timestamp_s says
    keep_newest: bool = False  # of the frames that arrive while a model is busy, the newest waits; else all are skipped


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
    """How the work is done; nothing here but seed and precision changes a result."""

    device: str = "auto"  # auto | cpu | cuda | cuda:N
    workers: int | Literal["auto"] = "auto"  # processes on the CPU; one per device on GPUs
    batch_size: int | Literal["auto"] = "auto"
    precision: Literal["float32"] = "float32"
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
