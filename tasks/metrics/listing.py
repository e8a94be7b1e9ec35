"""Predictions as a table for people: one row for each detection and each frame label, with names in place of ids."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.class_map import nearest
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.metrics.predictions import class_maps
from tasks.metrics.requests import Request
from tasks.metrics.requests import requests as requests_of
from tasks.metrics.truth import BOX
from tasks.params import Model, Params

COLUMNS: Final = (
    "model", "corruption", "severity", "strength", "strength_unit", "clip", "frame_index", "frame_id",
    "kind",  # object | label
    "class",  # in the model's own words
    "dataset_class",  # what class_map makes of it; empty: it counts for nothing
    "score",  # of a label: its probability
    *BOX,
    "track_id",
)  # fmt: skip

DIGITS: Final = {"score": 6, **dict.fromkeys(BOX, 3)}
"""Decimals that are shown: a float32 score or coordinate carries no more."""


def cells(
    params: Params,
    layout: Layout,
    *,
    model: str | None = None,
    corruption: str | None = None,
    severity: int | None = None,
) -> list[Request]:
    """The cells of the run that are asked for, in its order; None asks for each. Some may have failed.

    Raises:
        InputError: no cell is of that model, corruption and severity, or `infer` has not run.
    """
    found = requests_of(params, layout)
    for option, asked in (("model", model), ("corruption", corruption), ("severity", severity)):
        known = list(dict.fromkeys(getattr(request, option) for request in found))
        if asked is not None and asked not in known:
            raise InputError(f"--{option} {asked}: the run has no such {option}{nearest(asked, known)}")
        found = [request for request in found if asked is None or getattr(request, option) == asked]
    return found


def listed(params: Params, layout: Layout, requests: Iterable[Request]) -> Iterator[pd.DataFrame]:
    """The rows of `requests`, a part at a time, in the order of the parts; label maps are left out.

    Raises:
        InputError: a table is missing or unreadable.
    """
    described = _described(layout)
    table = tables.read("classes", layout.tables / "classes.parquet")
    classes: dict[str, dict[int, str]] = {kind: {} for kind in ("object", "semantic", "label")}
    for kind, class_id, name in zip(table["kind"], table["class_id"], table["name"], strict=True):
        classes[kind][int(class_id)] = str(name)
    frames = tables.read("frames", layout.tables / "frames.parquet").set_index("frame_id")[["clip_id", "frame_index"]]
    for request in requests:
        names = _Names(params.models[request.model], described.get(request.model, {}), classes)
        for file in request.files:
            part = tables.read("predictions", file)
            strange = part.loc[~part["frame_id"].isin(frames.index), "frame_id"]
            if len(strange):
                raise InputError(f"{file}: frame {strange.iloc[0]} is not in the tables: run `stormglass infer` again.")
            yield _rows(part, frames, request, names)


def with_maps(layout: Layout, models: Iterable[str]) -> list[str]:
    """Those of `models` that give label maps.

    Raises:
        InputError: as `listed`.
    """
    described = _described(layout)
    return [name for name in dict.fromkeys(models) if "semantic" in described.get(name, {}).get("tasks", ())]


def _described(layout: Layout) -> dict[str, Any]:
    path = layout.predictions / "models.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"Expected the models' facts at {path} ({error}): run `stormglass infer` first.") from None
    return found


def write(path: Path, chunks: Iterable[pd.DataFrame]) -> int:
    """Write `chunks` of `listed` to a CSV file as they come, whole or not at all; the number of rows.

    Raises:
        InputError: there is no writing to `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            pd.DataFrame(columns=COLUMNS).to_csv(stream, index=False, lineterminator="\n")
            for chunk in chunks:
                chunk.to_csv(stream, index=False, header=False, lineterminator="\n")
                count += len(chunk)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from None
    finally:
        temporary.unlink(missing_ok=True)
    return count


class _Names:
    """Names of a model's object and label ids, its own and the data set's."""

    def __init__(self, model: Model, description: Mapping[str, Any], classes: Mapping[str, Mapping[int, str]]) -> None:
        self.own, maps = class_maps(model, description, classes)
        self.labels = np.array(sorted(self.own["label"]), dtype=np.int64)
        self.theirs = {
            kind: {key: None if target is None else classes[kind][target] for key, target in found.mapping.items()}
            for kind, found in maps.items()
        }

    def of(self, kind: str, ids: Iterable[int]) -> tuple[list[str | None], list[str | None]]:
        """The model's and the data set's names of `ids`."""
        theirs = self.theirs.get(kind, {})
        pairs = [(self.own[kind].get(key), theirs.get(key)) for key in ids]
        return [own for own, _ in pairs], [their for _, their in pairs]


def _rows(part: pd.DataFrame, frames: pd.DataFrame, request: Request, names: _Names) -> pd.DataFrame:
    labelled = part["probabilities"].notna()
    part = part[part["class_id"].notna() | labelled]
    labelled = labelled[part.index]
    objects = part[~labelled]
    own = pd.Series(index=part.index, dtype=object)
    theirs, score = own.copy(), part["score"].astype("float64")
    own[~labelled], theirs[~labelled] = names.of("object", objects["class_id"].astype(int))
    if labelled.any():
        probabilities = np.stack(part.loc[labelled, "probabilities"].to_list())
        best = probabilities.argmax(axis=1)
        own[labelled], theirs[labelled] = names.of("label", names.labels[best].tolist())
        score[labelled] = probabilities.max(axis=1)
    places = frames.loc[part["frame_id"]]
    found = pd.DataFrame(
        {
            "model": request.model,
            "corruption": request.corruption,
            "severity": request.severity,
            "strength": request.strength,
            "strength_unit": request.strength_unit,
            "clip": places["clip_id"].to_numpy(),
            "frame_index": places["frame_index"].to_numpy(),
            "frame_id": part["frame_id"].to_numpy(),
            "kind": np.where(labelled, "label", "object"),
            "class": own.to_numpy(),
            "dataset_class": theirs.to_numpy(),
            "score": score.to_numpy(),
            **{name: part[name].to_numpy(np.float64) for name in BOX},
            "track_id": part["track_id"].array,
        },
        columns=COLUMNS,
    )
    return found.round(DIGITS)
