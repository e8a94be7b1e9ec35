"""params.yaml as frozen, typed models: unknown keys are refused, with the nearest known key named.

Relative paths in params.yaml are resolved against the folder of the file itself (`Params.folder`).
"""

import difflib
import fnmatch
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from tasks.errors import InputError

Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="letters, digits, dot, dash, underscore")
]


TRIVIAL: Final = "trivial"
"""In the place of a model in `scores`: what takes no look at the pictures; no model may be called so."""


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
    resize: Literal["none", "stretch", "letterbox", "letterbox_top_left"] = "none"
    channels: Literal["rgb", "bgr"] = "rgb"
    scale: float = Field(1.0, gt=0)  # multiplies uint8 values
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad: int = Field(114, ge=0, le=255)


class Tracker(Section):
    """Tracking over a model's stored boxes; omitted settings are the tracker's own."""

    name: Literal["bytetrack"] = "bytetrack"
    track_activation_threshold: float | None = Field(None, ge=0, le=1)
    high_conf_det_threshold: float | None = Field(None, ge=0, le=1)
    minimum_iou_threshold: float | None = Field(None, ge=0, le=1)
    minimum_consecutive_frames: int | None = Field(None, ge=1)
    lost_track_buffer: int | None = Field(None, ge=0)


class Model(Section):
    """One model version."""

    adapter: Name
    weights: Path  # a file; of the adapter 'recorded' also a folder with a file for each cell
    decoder: Name | None = None
    # The name of a built-in map, or model class -> data-set class (null drops it); omitted: the same names or ids.
    class_map: Name | dict[int | str, int | str | None] | None = None
    input: ModelInput = ModelInput()
    score_threshold: float = Field(0.01, ge=0, le=1)
    nms_iou: float = Field(0.65, gt=0, le=1)
    tracker: Tracker | None = None


class CorruptionChoice(Section):
    """One corruption of the run: its family, name and, where the user gave them, levels."""

    family: str
    name: str
    parameter: str | None = None
    levels: tuple[float, ...] | None = None

    def severities(self, declared: Iterable[int]) -> tuple[int, ...]:
        """The severities to run: the declared ones, or the 1-based places of the user's own levels."""
        return tuple(range(1, len(self.levels) + 1)) if self.levels is not None else tuple(declared)


class Slices(Section):
    """Which subsets of the data get figures of their own."""

    attributes: tuple[str, ...] = ()
    crossed: tuple[tuple[str, ...], ...] = ()
    # By thirds of a measurement of the clean frames; a clip lies in one third, by its mean.
    derived: tuple[Literal["brightness", "contrast", "sharpness", "noise", "blockiness", "crowding"], ...] = ()
    object: tuple[str, ...] = ()
    query: dict[str, str] = {}


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
    mix: dict[Name, Annotated[float, Field(ge=0)]] = {}  # class -> share to come; empty: as in the data

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


class Gate(Section):
    """One rule: a floor or ceiling (`min`, `max`), or a bound on the loss against the baseline (`max_drop`).

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

    @model_validator(mode="after")
    def _one_bound(self) -> "Gate":
        bounds = [name for name in ("min", "max", "max_drop") if getattr(self, name) is not None]
        if len(bounds) != 1:
            raise ValueError(f"a gate has exactly one of min, max, max_drop, got {', '.join(bounds) or 'none'}")
        if (self.max_drop is None) != (self.against is None):
            raise ValueError("max_drop and against go together")
        if self.corruption is not None and self.family is not None:
            raise ValueError("a gate selects by corruption or by family, not both")
        return self


class Report(Section):
    """The page."""

    pictures: int = Field(240, ge=0)  # at most this many pictures in the file
    title: str | None = None


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


class Params(Section):
    """All of params.yaml."""

    crossing: Crossing = Crossing()
    dataset: Dataset = Dataset()
    train: Train = Train()
    models: dict[Name, Model] = Field(min_length=1)
    baseline: Name | None = None
    corruptions: dict[str, tuple[str | dict[str, dict[str, tuple[float, ...]]], ...]] = {}
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1, 2, 3, 4, 5)
    slices: Slices = Slices()
    metrics: Metrics = Metrics()
    policy: Policy = Policy()
    gates: tuple[Gate, ...] = ()
    report: Report = Report()
    run: Run = Run()

    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from: that of the file."""
        return self._folder

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        if TRIVIAL in self.models:
            raise ValueError(
                f"models: '{TRIVIAL}' is kept for the rows of trivial baselines in the scores, expected another name"
            )
        if self.baseline is not None and self.baseline not in self.models:
            raise ValueError(f"baseline '{self.baseline}' is not among the models: {', '.join(self.models)}")
        names = [choice.name for choice in self.choices()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"corruptions: {', '.join(twice)} stands twice; each name may appear once")
        if list(self.severities) != sorted(set(self.severities)):
            raise ValueError(f"severities must rise without repeats, got {list(self.severities)}")
        for gate in self.gates:
            if gate.against == "baseline" and self.baseline is None:
                raise ValueError("a gate with against: baseline needs a baseline")
            if gate.model is not None and gate.model not in self.models:
                raise ValueError(f"gates: model '{gate.model}' is not among the models: {', '.join(self.models)}")
        return self

    def choices(self) -> tuple[CorruptionChoice, ...]:
        """The corruptions in the order given."""
        return tuple(self._choices())

    def _choices(self) -> Iterator[CorruptionChoice]:
        for family, entries in self.corruptions.items():
            for entry in entries:
                if isinstance(entry, str):
                    yield CorruptionChoice(family=family, name=entry)
                    continue
                for name, levels in entry.items():
                    if len(levels) != 1:
                        raise ValueError(
                            f"corruptions.{family}.{name}: expected one parameter with its levels, got {levels}"
                        )
                    ((parameter, values),) = levels.items()
                    if not values:
                        raise ValueError(f"corruptions.{family}.{name}.{parameter}: expected at least one level")
                    yield CorruptionChoice(family=family, name=name, parameter=parameter, levels=values)

    def resolve(self, path: Path | str) -> Path:
        """`path`, taken from the folder of params.yaml when relative."""
        return self._folder / path

    def only(self, pattern: str | None) -> "Params":
        """The same params with the corruptions alone whose name or family matches the glob `pattern`."""
        if pattern is None:
            return self
        kept: dict[str, Any] = {}
        for choice in self.choices():
            if fnmatch.fnmatch(choice.name, pattern) or fnmatch.fnmatch(choice.family, pattern):
                entry = choice.name if choice.levels is None else {choice.name: {choice.parameter: choice.levels}}
                kept.setdefault(choice.family, []).append(entry)
        if not kept:
            raise InputError(
                f"--only '{pattern}' matches no corruption of params: {', '.join(c.name for c in self.choices())}."
            )
        changed = self.model_copy(update={"corruptions": {family: tuple(names) for family, names in kept.items()}})
        changed._folder = self._folder
        return changed

    def on_validation(self) -> "Params | None":
        """The same params on the validation split and without slices; None where no such split is set apart.

        What is fitted on frames that are scored would flatter the scores: so when every frame is scored, or that very
        split is, there is none.
        """
        chosen = self.dataset
        if chosen.split is None or chosen.validation is None or chosen.validation == chosen.split:
            return None
        dataset = chosen.model_copy(update={"split": chosen.validation})
        changed = self.model_copy(update={"dataset": dataset, "slices": Slices()})
        changed._folder = self._folder
        return changed

    def limited(self, frames: int | None) -> "Params":
        """The same params on the first clips alone that hold at least `frames` frames."""
        if frames is None:
            return self
        changed = self.model_copy(update={"dataset": self.dataset.model_copy(update={"limit": frames})})
        changed._folder = self._folder
        return changed


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        InputError: no such file, not YAML, or a key or value that does not belong; the message names the key's full
            path and, for an unknown key, the nearest known one.
    """
    if not path.is_file():
        raise InputError(f"Expected a params file at {path}, found none: `stormglass init` writes one.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected sections such as models and corruptions, got {type(data).__name__}.")
    params = parse(data, str(path))
    params._folder = path.resolve().parent
    return params


def parse(data: dict[str, Any], where: str = "params") -> Params:
    """`data` as params; `where` names its source in errors."""
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        told = "; ".join(_explain(item) for item in error.errors())
        raise InputError(f"{where}: {told}{'' if told.endswith('?') else '.'}") from None


def _explain(item: Any) -> str:
    place = [str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-"))]
    path = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = _known_keys(Params, place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key '{path}'; {hint}"
    message = item["msg"].removeprefix("Value error, ")
    shown = "" if item["type"] in ("missing", "value_error") else f", got {item['input']!r}"
    return f"'{path}': {message}{shown}" if path else f"{message}{shown}"


def _known_keys(section: type[BaseModel], place: list[str]) -> list[str]:
    current: Any = section
    for part in place:
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            break
        if current is Params and part == "models":
            current = Model
            continue
        if current is Params and part == "gates":
            current = Gate
            continue
        field = current.model_fields.get(part)
        if field is None:
            continue  # the name of a model or the place in a list
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), current)
    return [field.alias or name for name, field in current.model_fields.items()]
