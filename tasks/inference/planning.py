"""What a run asks for, and which of it the store does not hold yet: cells, parts, units of work."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import models, tables
from tasks.corruptions import Corruption, check_choice, find, strength
from tasks.errors import InputError
from tasks.inference import looks, shards
from tasks.inference.looks import Look
from tasks.inference.parts import Cell, Part, Plan, Unit
from tasks.inference.shards import Shard
from tasks.layout import Layout, slug
from tasks.models import elsewhere, recorded, tracking
from tasks.models.wording import settings
from tasks.params import CorruptionChoice, Model, Params, Tracker
from tasks.store import Store, part_key

PART_FORMAT: Final = 2
"""Rises when what is written of the same outputs changes: order of rows, ids, encoding."""

VALIDATION: Final = CorruptionChoice(family=tables.CLEAN, name=tables.VALIDATION)
"""Stands for the clean frames of the validation split. Their parts are keyed as those of any clean frames."""


def make(params: Params, layout: Layout, *, devices: tuple[str, ...]) -> Plan:
    """Cut the data set into shards, key every part and look up which are missing.

    Args:
        params: what to run.
        layout: where `prepare` left its tables.
        devices: one a worker, as `workers.devices` gives them; all of one kind.

    Raises:
        InputError: an unknown corruption or parameter, a model that cannot be used, a frame's file that is gone.
            What recorded predictions say is checked when they are read.
    """
    store = Store(_store_url(params))
    _check_choices(params.choices())
    classes = tables.read("classes", layout.tables / "classes.parquet")
    descriptions, fingerprints = {}, {}
    for name, model in params.models.items():
        try:
            descriptions[name] = _described(model, params.folder, classes)
            fingerprints[name] = models.fingerprint(model, folder=params.folder)
        except InputError as error:
            raise InputError(f"models.{name}: {error}") from None
    elsewhere.check(params.models)
    device = devices[0].split(":")[0]
    made_by = {"seed": params.run.seed, "device": device}
    run_by = {name: _execution(model, params, device).decisive for name, model in params.models.items()}
    files = {
        name: recorded.cells(params.folder / model.weights_path)
        for name, model in params.models.items()
        if model.adapter == recorded.NAME
    }
    digests = _Digests()
    planned: set[str] = set()
    cells, units = [], []
    recordings: dict[Path, list[tuple[Shard, Part]]] = {}
    taken: list[tuple[CorruptionChoice, Shard, Look]] = []
    asked = _asked(params, layout)
    step = looks.every(sum(len(shard.frames) for shard, choice in asked if choice.name == tables.CLEAN))
    for shard, choice in asked:
        parts, own = [], []
        places = looks.sample(shard.frames, step) if choice != VALIDATION and len(files) < len(params.models) else ()
        for severity, level in levels_of(choice, params):
            amount, unit = _strength(choice, severity, level)
            corrupted_by = _corrupted_by(choice, severity, level, params.scale_to)
            if places:
                seen_by = {"corruption": corrupted_by, "seed": made_by["seed"], "device": made_by["device"]}
                own.append(looks.make(severity, level, places, shard=shard.digest, decided_by=seen_by))
            for name, model in params.models.items():
                if choice == VALIDATION and not _fitted(descriptions[name], files.get(name)):
                    continue
                path = absent = None
                if name in files:
                    path = files[name].get((choice.name, severity) if severity else recorded.CLEAN)
                    absent = None if path else _absent(model, files[name], choice.name, severity)
                    decided_by = _recorded_by(path, shard, descriptions[name], digests)
                else:
                    decided_by = {"model": fingerprints[name], "corruption": corrupted_by, **made_by, **run_by[name]}
                detections_by = {"format": PART_FORMAT, "shard": shard.digest, **decided_by}
                tracker = None if choice == VALIDATION else model.tracker  # no track is fitted to
                part = _part(name, tracker, severity, level, detections_by, path)
                cells.append(Cell(choice.name, choice.family, amount, unit, shard.name, part, absent))
                if absent is None:
                    parts.append(part)
        # Two names may stand for one model, and recorded cells may say the same.
        unique = {part.key: part for part in parts if part.key not in planned}.values()
        missing = [part for part in unique if not store.has(part.key, verify=True)]
        for part in missing:
            planned.add(part.key)
            if part.recorded is not None and not store.has(part.detections, verify=True):
                recordings.setdefault(part.recorded, []).append((shard, part))
        work = tuple(part for part in missing if part.recorded is None or part.tracked is not None)
        taken += [(choice, shard, look) for look in own]
        unseen = tuple(look for look in own if store.kept_arrow(looks.TABLE, look.key) is None)
        if work or unseen:
            units.append(Unit(choice.name, shard, work, unseen))
    if len(devices) > 1:
        last = [piece for unit in units[-len(devices) :] for piece in unit.by_severity()]
        units = [*units[: -len(devices)], *last]
    away = frozenset(name for name, model in params.models.items() if elsewhere.is_there(model))
    return Plan(
        params,
        layout,
        store,
        devices,
        fingerprints,
        descriptions,
        cells,
        units,
        recordings,
        looks=taken,
        away=away,
        settings={name: settings(model, descriptions[name]) for name, model in params.models.items()},
    )


def _asked(params: Params, layout: Layout) -> list[tuple[Shard, CorruptionChoice]]:
    """What to corrupt how: the scored frames shard by shard, then clean ones of the validation split, if it has any."""
    dataset_dir = params.resolve(params.dataset.path)
    frames = tables.read("frames", layout.tables / "frames.parquet")
    scored = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    choices = [CorruptionChoice(family=tables.CLEAN, name=tables.CLEAN), *params.choices()]
    asked = [(shard, choice) for shard in shards.cut(scored, dataset_dir) for choice in choices]
    other = params.on_validation()
    if other is not None and (frames["split"] == other.dataset.split).any():
        held_out = tables.select(frames, split=other.dataset.split, limit=other.dataset.limit)
        asked += [(shard, VALIDATION) for shard in shards.cut(held_out, dataset_dir)]
    return asked


def _fitted(description: Mapping[str, Any], found: Mapping[recorded.Cell, Path] | None) -> bool:
    """Whether a model has confidences to fit to and, recorded, clean predictions at all."""
    return not set(tables.CALIBRATED).isdisjoint(description["tasks"]) and (found is None or recorded.CLEAN in found)


def _execution(model: Model, params: Params, device: str) -> models.Execution:
    """How a model is run; one that torch does not run has its precision from its file, whatever params say.

    Raises:
        InputError: the device cannot do it.
    """
    if not models.MODELS[model.adapter].torch:
        return models.PLAIN
    execution = models.Execution.of(params.run)
    execution.check(device)
    return execution


def _described(model: Model, folder: Path, classes: pd.DataFrame) -> models.Description:
    """The model's classes and tasks.

    Raises:
        InputError: it cannot be used, its class map names what is not there, or its tracker cannot follow it.
    """
    description = models.describe(model, folder=folder, classes=classes)
    models.check_class_map(model, description, classes)
    if model.tracker is not None:
        tracking.check(model.tracker, description["tasks"])
    return description


def _store_url(params: Params) -> str:
    return params.run.store if "://" in params.run.store else str(params.resolve(params.run.store))


def levels_of(choice: CorruptionChoice, params: Params) -> list[tuple[int, float | None]]:
    """The severities of a corruption that a run asks for, each with the user's own level where it is one."""
    if choice.name in (tables.CLEAN, tables.VALIDATION):
        return [(0, None)]
    places = choice.severities(params.severities)
    return [(place, choice.levels[place - 1] if choice.levels is not None else None) for place in places]


def _strength(choice: CorruptionChoice, severity: int, level: float | None) -> tuple[float | None, str | None]:
    if severity == 0:
        return None, None
    amount, unit = strength(choice.name, severity=severity) if level is None else strength(choice.name, level=level)
    return float(amount), str(unit)


def _check_choices(choices: Sequence[CorruptionChoice]) -> None:
    """Each corruption is one, and no two are the same or would lie in the same place."""
    places: dict[str, str] = {}
    for choice in choices:
        check_choice(choice)
        place = slug(find(choice.name).name)
        if place in places:
            raise InputError(
                f"corruptions: '{places[place]}' and '{choice.name}' are the same or named too much alike; "
                "each may appear once."
            )
        places[place] = choice.name


def _corrupted_by(choice: CorruptionChoice, severity: int, level: float | None, scale_to: int | None) -> dict[str, Any]:
    """What decides the pixels: a level by its value, so that a level put before it keeps its part."""
    if severity == 0:
        return {"name": tables.CLEAN}
    place = {"severity": severity} if level is None else {"level": float(level)}
    scale = {} if scale_to is None else {"scale_to": scale_to}
    corruption = find(choice.name)
    return {"name": corruption.name, **_versions(corruption), **place, **scale}


def _versions(corruption: Corruption) -> dict[str, Any]:
    if not corruption.parts:
        return {"version": corruption.version}
    return {"versions": [part.corruption.version for part in corruption.parts]}


class _Digests(dict[Path, str]):
    """sha256 by file, each of which is read once."""

    def __missing__(self, path: Path) -> str:
        with path.open("rb") as file:
            self[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self[path]


def _recorded_by(path: Path | None, shard: Shard, description: dict[str, Any], digests: _Digests) -> dict[str, Any]:
    """What decides a recorded part: the files' content, wherever they lie, and what may be in it."""
    clips = shard.frames["clip_id"].unique().tolist()
    return {
        "recorded": {
            "version": recorded.VERSION,
            "sha256": [] if path is None else [digests[file] for file in recorded.files(path, clips)],
            "classes": sorted(description["object"]),
            "tasks": description["tasks"],
        }
    }


def _absent(model: Model, found: Mapping[recorded.Cell, Path], corruption: str, severity: int) -> tuple[str, str]:
    if found.keys() == {recorded.CLEAN}:
        return "not_applicable", f"{model.weights} holds predictions on clean frames alone"
    cell = corruption if (corruption, severity) == recorded.CLEAN else f"{corruption} {severity}"
    return "failed", f"no recorded predictions for {cell} in {model.weights}"


def _part(
    name: str,
    tracker: Tracker | None,
    severity: int,
    level: float | None,
    detections_by: dict[str, Any],
    path: Path | None,
) -> Part:
    detections = part_key(detections_by)
    if tracker is None:
        return Part(name, severity, level, detections, None, detections_by, {}, path)
    tracked_by = {
        "format": PART_FORMAT,
        "detections": detections,
        "tracker": tracking.fingerprint(tracker),
    }
    return Part(name, severity, level, detections, part_key(tracked_by), detections_by, tracked_by, path)
