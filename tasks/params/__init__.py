"""params.yaml as frozen, typed models: unknown keys are refused, with the nearest known key named.

Relative paths in params.yaml are resolved against the folder of the file itself (`Params.folder`).
"""

import difflib
import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import Field, PrivateAttr, ValidationError, model_validator

from tasks.errors import InputError
from tasks.params.explain import explain
from tasks.params.footage import Footage
from tasks.params.models import Model, ModelInput, Tracker
from tasks.params.section import Name, Section
from tasks.params.sections import (
    CorruptionChoice,
    Crossing,
    Dataset,
    FailureRule,
    Gate,
    Latency,
    Metrics,
    Mix,
    Policy,
    Realtime,
    Report,
    Run,
    Shift,
    Slices,
    Train,
    spaced,
)

__all__ = [
    "TRIVIAL",
    "CorruptionChoice",
    "Crossing",
    "FailureRule",
    "Footage",
    "Gate",
    "Latency",
    "Mix",
    "Model",
    "ModelInput",
    "Params",
    "Policy",
    "Realtime",
    "Shift",
    "Slices",
    "Tracker",
    "Train",
    "load",
    "parse",
]

TRIVIAL: Final = "trivial"
"""In the place of a model in `scores`: what takes no look at the pictures; no model may be called so."""


class Params(Section):
    """All of params.yaml."""

    crossing: Crossing = Crossing()
    dataset: Dataset = Dataset()
    train: Train = Train()
    models: dict[Name, Model] = Field(min_length=1)
    baseline: Name | None = None
    corruptions: dict[str, tuple[str | dict[str, dict[str, tuple[float, ...]]], ...]] = Field(default={})
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1, 2, 3, 4, 5)
    # The shorter side that the corruptions' parameters in px are meant for; null: they are in the frames' own pixels.
    scale_to: int | None = Field(None, ge=1)
    slices: Slices = Slices()
    metrics: Metrics = Metrics()
    policy: Policy = Policy()
    latency: Latency | None = None  # null: not measured
    realtime: Realtime | None = None  # null: not computed
    gates: tuple[Gate, ...] = ()
    failures: dict[Name, FailureRule] = Field(default={})
    report: Report = Report()
    footage: Footage | None = None  # null: no new footage is looked at
    run: Run = Run()

    _folder: Path = PrivateAttr(default=Path())
    _declared: "Params | None" = PrivateAttr(default=None)

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from: that of the file."""
        return self._folder

    @property
    def declared(self) -> "Params":
        """The params before `only` narrowed them: a rule on what it left out is known, and not run."""
        return self._declared or self

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
        for name, shift in self.slices.shifted.items():
            for like in shift.like:
                if like not in names:
                    near = difflib.get_close_matches(like, names, n=1, cutoff=0.5)
                    hint = f"; did you mean '{near[0]}'?" if near else ""
                    raise ValueError(
                        f"slices.shifted.{name}.like: '{like}' is not among the corruptions: "
                        f"{', '.join(names) or 'none'}{hint}"
                    )
        if self.footage is not None and self.footage.model not in self.models:
            raise ValueError(f"footage.model: '{self.footage.model}' is not among the models: {', '.join(self.models)}")
        if self.latency is not None:
            self._check_latency(self.latency)
        if self.realtime is not None and isinstance(self.realtime.latency_ms, dict):
            for name in self.realtime.latency_ms.keys() - self.models.keys():
                raise ValueError(f"realtime.latency_ms: '{name}' is not among the models: {', '.join(self.models)}")
        for name, rule in self.failures.items():
            if rule.model is not None and rule.model not in self.models:
                raise ValueError(
                    f"failures.{name}: model '{rule.model}' is not among the models: {', '.join(self.models)}"
                )
        return self

    def _check_latency(self, latency: Latency) -> None:
        """Its cells are cells of the run."""
        levels = {choice.name: choice.severities(self.severities) for choice in self.choices()}
        some = next((f"{name} {severities[-1]}" for name, severities in levels.items()), "fog 3")
        for cell, (name, severity) in zip(latency.cells, latency.asked(), strict=True):
            if severity not in levels.get(name, ()):
                raise ValueError(
                    "latency.cells: expected a corruption of the run and one of its severities, "
                    f"such as '{some}', got '{cell}'"
                )

    def choices(self) -> tuple[CorruptionChoice, ...]:
        """The corruptions in the order given."""
        return tuple(self._choices())

    def _choices(self) -> Iterator[CorruptionChoice]:
        for family, entries in self.corruptions.items():
            for entry in entries:
                if isinstance(entry, str):
                    yield CorruptionChoice(family=family, name=spaced(entry))
                    continue
                for name, levels in entry.items():
                    if len(levels) != 1:
                        raise ValueError(
                            f"corruptions.{family}.{name}: expected one parameter with its levels, got {levels}"
                        )
                    ((parameter, values),) = levels.items()
                    if not values:
                        raise ValueError(f"corruptions.{family}.{name}.{parameter}: expected at least one level")
                    yield CorruptionChoice(family=family, name=spaced(name), parameter=parameter, levels=values)

    @property
    def bursts(self) -> tuple[tuple[int, int], ...]:
        """The intervals of frames that some corruption is restricted to, in order, each once."""
        return tuple(sorted({interval for choice in self.choices() for interval in choice.bursts}))

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
        changed._declared = self.declared
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

    def on_labelled(self, path: Path, model: str) -> "Params":
        """The same params for one model on every frame of another data set as it is, by camera."""
        only = self.models[model].model_copy(update={"tracker": None})  # sampled frames follow nothing
        changed = self.model_copy(
            update={
                "dataset": Dataset(path=path, split=None, validation=None),
                "models": {model: only},
                "slices": Slices(attributes=("camera",)),
                "corruptions": {},
                "baseline": None,
                "latency": None,
                "realtime": None,
                "gates": (),
                "failures": {},
            }
        )
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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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
        told = "; ".join(
            explain(item, Params, {"models": Model, "gates": Gate, "failures": FailureRule}) for item in error.errors()
        )
        raise InputError(f"{where}: {told}{'' if told.endswith('?') else '.'}") from None
