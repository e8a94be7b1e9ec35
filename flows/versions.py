"""`stormglass export`, `quantize` and `adapt`: a further version of a model, made from it and named in params."""

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from flows.runtime import Run
from tasks import models, tables
from tasks.data import strata
from tasks.data.frames import FrameReader
from tasks.errors import InputError
from tasks.models import exported, failures, naming, quantized, small_versions, torchvision_versions
from tasks.models.agreement import Agreement, agreement
from tasks.params import Model, editing
from tasks.params.section import NAME

CHECKED: Final = 16
"""Real frames on which a version is compared with what it was made from."""

EXPORTS: Final = {"small": small_versions.export, "torchvision": torchvision_versions.export}
ADAPTS: Final = {"small": small_versions.adapt, "torchvision": torchvision_versions.adapt}
"""By adapter, how versions are made of its models."""

Frames = list[np.ndarray[Any, np.dtype[np.uint8]]]


def export(run: Run, path: Path, name: str, *, form: str, new: str | None) -> list[str]:
    """Write a model's network as `form` and name it in params; lines that say what was written and how far it agrees.

    Args:
        run: whose params describe the model.
        path: the params file, which gets the new version.
        name: the model.
        form: onnx or torchscript.
        new: the new version's name; None: `NAME-FORM`.

    Raises:
        InputError: no such model, one of another adapter, a name that is taken, or a network that says something else
            in its new form (then nothing is written).
    """
    version = _Version(run, path, name, new or f"{name}-{form}")
    write = EXPORTS.get(version.model.adapter)
    if write is None:
        raise InputError(
            f"Models of the adapters {' and '.join(EXPORTS)} can be exported, {name} is one of "
            f"'{version.model.adapter}'; others are exported by the library that they come from."
        )
    target = version.target(exported.ENDINGS[form])
    frames = version.frames((), CHECKED)
    with version.making(target) as made:
        changes = write(version.settled, version.weights, form, made)
        found = version.compare(made, frames, changes)
        if not found.same():
            raise InputError(f"{name} says something else as {form} ({found.told()}): nothing was kept.")
    return version.register(target, found, changes)


def quantize(run: Run, path: Path, name: str, *, calibration: Sequence[str], count: int, new: str | None) -> list[str]:
    """Write the int8 version of a model that runs in onnxruntime and name it in params; lines as `export`.

    Args:
        run: whose params describe the model.
        path: the params file.
        name: the model.
        calibration: attributes of the frames to take calibration frames evenly over, or slices such as
            `time_of_day=night` to take them from; none: params' slices.attributes.
        count: how many calibration frames.
        new: the new version's name; None: `NAME-int8`.

    Raises:
        InputError: no such model, one that does not run in onnxruntime, no such attribute, or a name that is taken.
    """
    version = _Version(run, path, name, new or f"{name}-int8")
    frames = version.frames(calibration or run.params.slices.attributes, count)
    target = version.target(".onnx")
    with version.making(target) as made:
        quantized.write(version.weights, made, version.load(version.weights), frames)
        found = version.compare(made, frames[:CHECKED])
    return version.register(target, found, calibrated=len(frames))


def adapt(run: Run, path: Path, name: str, *, slice_name: str, count: int, new: str | None) -> list[str]:
    """Write a version whose batch norms are fitted to a slice without labels, and name it in params; lines as `export`.

    Args:
        run: whose params describe the model.
        path: the params file.
        name: the model.
        slice_name: such as `time_of_day=night`.
        count: how many frames at most.
        new: the new version's name; None: `NAME-` and the slice's values.

    Raises:
        InputError: no such model or slice, one without batch norms that could be fitted, or a name that is taken.
    """
    values = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part.partition("=")[2].strip()) for part in slice_name.split("&"))
    version = _Version(run, path, name, new or f"{name}-{values}")
    if "=" not in slice_name:
        raise InputError(f"--slice: expected a slice such as time_of_day=night, got '{slice_name}'.")
    write = ADAPTS.get(version.model.adapter)
    if write is None:
        raise InputError(
            f"Batch norms of the adapters {' and '.join(ADAPTS)} can be fitted anew, {name} is one of "
            f"'{version.model.adapter}': adapt what it was exported from, then export that."
        )
    frames = version.frames((slice_name,), count)
    target = version.target(".safetensors")
    with version.making(target) as made:
        write(version.settled, version.weights, made, frames)
        found = version.compare(made, frames[:CHECKED])
    return version.register(target, found, fitted=len(frames))


class _Version:
    """A version in the making: what it is made from, where it goes, what it is called."""

    def __init__(self, run: Run, path: Path, name: str, new: str) -> None:
        if not re.fullmatch(NAME, new):
            raise InputError(
                f"--as names a model and its file: expected letters, digits, dots and dashes, got '{new}'."
            )
        if name not in run.params.models:
            raise InputError(f"There is no model '{name}' in params; there is: {', '.join(run.params.models)}.")
        if new in run.params.models:
            raise InputError(f"There is a model '{new}' already: give the version another name with --as.")
        editing.with_model(path, name, new, {})  # refused now, if it is, and not when the work is done
        self._run, self._path, self._name, self._new = run, path, name, new
        self.model = run.params.models[name]
        models.describe(self.model, folder=run.params.folder)  # whatever params say wrongly of it is said now
        self.weights = run.params.folder / self.model.weights_path
        self.settled = naming.resolved(models.settle(self.model), folder=run.params.folder)

    def target(self, ending: str) -> Path:
        """Beside the weights that it is made from.

        Raises:
            InputError: there is such a file already.
        """
        target = self.weights.with_name(f"{self._new}{ending}")
        if target.exists():
            raise InputError(f"{target} is there already: remove it, or give the version another name with --as.")
        return target

    @contextlib.contextmanager
    def making(self, target: Path) -> Iterator[Path]:
        """Where to write `target` and try it: it gets its name when all is well, however the block ends otherwise."""
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}.") as folder:
            made = Path(folder) / target.name
            yield made
            made.replace(target)

    def frames(self, wanted: Sequence[str], count: int) -> Frames:
        """Clean frames of the validation split, evenly over attributes, from within slices.

        Raises:
            InputError: there are no tables yet, or no such attribute or slice.
        """
        params, layout = self._run.params, self._run.layout
        table = tables.read("frames", layout.tables / "frames.parquet")
        chosen = table[table["split"] == params.dataset.validation]
        if chosen.empty:
            chosen = tables.select(table, split=params.dataset.split)
        for name in wanted:
            if "=" in name:
                chosen = strata.matching(chosen, name)
        rows = strata.even(chosen, [name for name in wanted if "=" not in name], count)
        return FrameReader(params.resolve(params.dataset.path)).read(rows)

    def load(self, weights: Path, changes: Mapping[str, Any] | None = None) -> models.Predictor:
        """The model with these weights, its params changed; None: one that goes."""
        said = {**self.model.model_dump(exclude_unset=True), **(changes or {}), "weights": weights}
        changed = Model.model_validate({key: value for key, value in said.items() if value is not None})
        return models.load(changed, folder=self._run.params.folder, device="cpu")

    def compare(self, target: Path, frames: Frames, changes: Mapping[str, Any] | None = None) -> Agreement:
        """The version against what it was made from."""
        sizes = [frame.shape[:2] for frame in frames]
        with failures.named(self._name, "real frames"):
            before = self.load(self.weights).predict(frames)
        with failures.named(self._new, "real frames"):
            after = self.load(target, changes).predict(frames)
        return agreement(before, after, sizes=sizes)

    def register(
        self, target: Path, found: Agreement, changes: Mapping[str, Any] | None = None, **counts: int
    ) -> list[str]:
        """Name the version in params.yaml, right after what it was made from; lines for the user."""
        folder = self._run.params.folder
        weights = target.relative_to(folder) if target.is_relative_to(folder) else target
        try:
            said = editing.add_model(
                self._path, self._name, self._new, {**(changes or {}), "weights": weights.as_posix()}
            )
        except BaseException:
            target.unlink()  # what params do not name would be in the way of another try
            raise
        extra = "".join(f" {what.capitalize()} on {number} frames." for what, number in counts.items())
        sizes = " against ".join(f"{file.stat().st_size / 1e6:.2f} MB" for file in (target, self.weights))
        return [
            f"Wrote {target} ({sizes}).{extra}",
            f"Against {self._name} on real frames: {found.told()}.",
            f"Named in {self._path}: {said}",
            f"Next: `stormglass check`, then run; with DVC add {weights} to the deps of its stage infer.",
        ]
