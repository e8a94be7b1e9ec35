"""Models of every kind: how they are described, checked and loaded; `registry` knows the kinds."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.class_map import match_kinds, nearest
from tasks.errors import InputError
from tasks.models import naming, recorded
from tasks.models.execution import PLAIN, Execution
from tasks.models.interface import Adapter
from tasks.models.outputs import Description, Output, Predictor
from tasks.models.registry import MODELS
from tasks.params import Model

__all__ = [
    "MODELS",
    "PLAIN",
    "Adapter",
    "Description",
    "Execution",
    "Output",
    "Predictor",
    "check",
    "describe",
    "fingerprint",
    "load",
    "settle",
]

KINDS: Final = ("object", "semantic", "label")

DECISIVE: Final = {"variant", "decoder", "options", "input", "score_threshold", "nms_iou", "nms", "nms_sigma"}
"""Of a model's params, what decides its raw outputs."""


def check(model: Model, *, folder: Path) -> Adapter:
    """The adapter of `model`, after its settings and the presence of its weights are checked.

    Raises:
        InputError: an unknown adapter, settings it cannot follow, or no weights where params say.
    """
    if model.adapter not in MODELS:
        raise InputError(f"There is no adapter '{model.adapter}'{nearest(model.adapter, MODELS)}")
    adapter = MODELS[model.adapter]
    adapter.check(model)
    if adapter.digest is not None:
        return adapter
    if model.weights is None:
        raise InputError(f"Adapter '{model.adapter}' needs weights: the path of a file.")
    weights = folder / model.weights
    if not weights.is_file() and not (adapter.folder and weights.is_dir()):
        raise InputError(f"Expected weights at {weights}, found no file: train the model, or correct models.*.weights.")
    return adapter


def settle(model: Model) -> Model:
    """The model with what its params leave open filled in as its adapter does it."""
    return MODELS[model.adapter].settle(model)


def describe(model: Model, *, folder: Path, classes: pd.DataFrame | None = None) -> Description:
    """The model's own classes and tasks: `{"object": {id: name}, "semantic": ..., "label": ..., "tasks": [...]}`.

    Args:
        model: Its params.
        folder: What a relative path of weights starts from.
        classes: The data set's `classes` table: recorded predictions that name no classes carry its objects' ids.

    Raises:
        InputError: as `check`, or there are more semantic classes than a label map holds.
    """
    adapter = check(model, folder=folder)
    ready = naming.resolved(settle(model), folder=folder)
    described = naming.named(ready, adapter.describe(ready, folder / model.weights_path), folder=folder)
    if model.adapter == recorded.NAME and classes is not None and not described["object"]:
        rows = classes[classes["kind"] == "object"]
        ids = zip(rows["class_id"].tolist(), rows["name"].tolist(), strict=True)
        described = {**described, "object": {int(class_id): str(name) for class_id, name in ids}}
    highest = max(described["semantic"], default=0)
    if highest >= tables.IGNORE:
        raise InputError(
            f"{model.weights}: ids of semantic classes go from 0 to {tables.IGNORE - 1}, for {tables.IGNORE} is what a "
            f"label map ignores; the model's go up to {highest}."
        )
    return described


def load(
    model: Model,
    *,
    folder: Path,
    device: str,
    classes: pd.DataFrame | None = None,
    threads: int | None = None,
    execution: Execution = PLAIN,
) -> Predictor:
    """The model ready to predict.

    Args:
        model: Its params.
        folder: What a relative path of weights starts from.
        device: 'cpu', 'cuda', 'cuda:N', or 'auto' for CUDA where there is one.
        classes: The data set's `classes` table; when given, the class map is checked against it now, not at scoring.
        threads: Threads for one call on the CPU, for libraries with a setting of their own; torch's is the process's
            (`torch.set_num_threads`). Digits repeat for the same number alone.
        execution: How torch runs networks; without effect on adapters whose networks it does not run.

    Raises:
        InputError: an unknown adapter, weights missing or unfit, unknown classes in the class map, no such device.
    """
    adapter = check(model, folder=folder)
    if classes is not None:
        check_class_map(model, describe(model, folder=folder), classes)
    ready = naming.resolved(settle(model), folder=folder)
    weights = folder / model.weights_path
    where = resolve_device(device)
    if adapter.torch:
        execution.check(where)
    steering = {"execution": execution} if adapter.torch else {}
    predictor = adapter.load(ready, weights=weights, device=where, threads=threads, **steering)
    if ready.input.tile is None:
        return predictor
    from tasks.models.tiles import Tiled  # loads torch

    return Tiled(predictor, ready)


def check_class_map(model: Model, description: Description, classes: pd.DataFrame) -> None:
    """Resolve the class map of every kind once, so that a mistake shows before any work.

    Raises:
        InputError: as `tasks.class_map.match_kinds`.
    """
    theirs: dict[str, dict[int, str]] = {
        kind: {
            int(row["class_id"]): str(row["name"]) for row in classes[classes["kind"] == kind].to_dict(orient="records")
        }
        for kind in KINDS
    }
    match_kinds(model, {kind: dict(description[kind]) for kind in KINDS}, theirs)


def fingerprint(model: Model, *, folder: Path) -> dict[str, str | int]:
    """What decides the model's raw outputs: weights, adapter and its version, inference settings as settled, and the
    version of a library that does what is around the network by itself.

    Tracker and class map are left out: both act on stored predictions.
    """
    adapter = check(model, folder=folder)
    settings: dict[str, Any] = settle(model).model_dump(mode="json", include=DECISIVE)
    settings["options"] = {name: value for name, value in settings["options"].items() if name not in adapter.asides}
    weights = (
        _of_files(adapter, folder / model.weights_path) if adapter.digest is None else adapter.digest(model, folder)
    )
    return {
        "adapter": model.adapter,
        "adapter_version": adapter.version,
        "weights_sha256": weights,
        "settings": json.dumps(settings, sort_keys=True),
        **({} if adapter.library is None else {"library": _library(adapter.library)}),
    }


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:  # whoever loads the model says so
        return name


def _of_files(adapter: Adapter, weights: Path) -> str:
    """sha256 of the weights, and of the files beside them where there are any."""
    beside = [] if weights.is_dir() else adapter.beside(weights)
    if not beside:
        return _sha256(weights)
    listed = "".join(f"{file.name} {_sha256(file)}\n" for file in (weights, *beside))
    return hashlib.sha256(listed.encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Of a file's content; of a folder's, the names and contents of all files in it."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listed = "".join(f"{file.relative_to(path).as_posix()} {_sha256(file)}\n" for file in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def resolve_device(device: str) -> str:
    """'auto' as 'cuda' where there is one, else 'cpu'; anything else is checked and returned.

    Raises:
        InputError: not a device, or none of that number here.
    """
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index or "0").isdigit():
        raise InputError(f"run.device: expected auto, cpu, cuda or cuda:N, got '{device}'.")
    if int(index or 0) >= torch.cuda.device_count():
        raise InputError(f"run.device '{device}': this machine shows {torch.cuda.device_count()} CUDA device(s).")
    return device
