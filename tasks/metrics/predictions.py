"""One cell's predictions, read from its parts into the data set's classes and checked on the way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tasks import tables
from tasks.class_map import ClassMap, match_kinds
from tasks.errors import InputError
from tasks.metrics.instances import Bools, Detections, Floats, Ints, mask_areas
from tasks.metrics.truth import BOX, KINDS, GroundTruth
from tasks.params import Model


@dataclass(frozen=True)
class ModelFacts:
    """What scoring knows of a model without loading it.

    Attributes:
        name: in params.
        tasks: that are scored: the model's, where there is truth.
        maps: by kind of class, the model's classes in the data set's.
        labels: the model's label ids, in the order of its probabilities.
    """

    name: str
    tasks: tuple[str, ...]
    maps: Mapping[str, ClassMap]
    labels: tuple[int, ...]


def facts(name: str, model: Model, description: Mapping[str, Any], truth: GroundTruth) -> ModelFacts:
    """A model's tasks and class maps, from its entry in predictions/models.json.

    Raises:
        InputError: its class map names a class that neither side knows.
    """
    own, maps = class_maps(model, description, truth.classes)
    able = set(description["tasks"])
    if model.tracker is not None and "detection" in able:
        able.add("tracking")
    tasks = tuple(task for task in tables.TASKS if task in able and KINDS[task] in maps and truth.has(task))
    return ModelFacts(name, tasks, maps, tuple(sorted(own["label"])))


def class_maps(
    model: Model, description: Mapping[str, Any], classes: Mapping[str, Mapping[int, str]]
) -> tuple[dict[str, dict[int, str]], dict[str, ClassMap]]:
    """By kind, the model's own classes and, where the data set has such classes too, how they meet.

    Args:
        model: its params.
        description: its entry in predictions/models.json.
        classes: kind -> id -> name, the data set's.

    Raises:
        InputError: as `tasks.class_map.match_kinds`.
    """
    own = {kind: {int(k): str(v) for k, v in description.get(kind, {}).items()} for kind in classes}
    return own, match_kinds(model, own, classes)


@dataclass(frozen=True, eq=False)
class CellPredictions:
    """All instances of a cell, (N,) each, in the order of frames and falling score.

    Attributes:
        detections: in the data set's classes; what maps to none is left out.
        tracks: (N,) track id; meaningless where `tracked` is False.
        tracked: (N,) has a track id.
        probabilities: (n_frames, K) over the model's own labels, NaN where there are none.
        files: the parts that hold label maps.
    """

    detections: Detections
    tracks: Ints
    tracked: Bools
    probabilities: npt.NDArray[np.float32] | None
    files: tuple[Path, ...]


def read(files: Sequence[Path], model: ModelFacts, truth: GroundTruth) -> CellPredictions:
    """A cell's parts, without their label maps (`label_maps` reads those, a part at a time).

    Raises:
        InputError: a part is unreadable or holds a score or box that is no number, a class that the model does not
            declare, or no output for a frame of a task of the model.
    """
    instance = "instance" in model.tasks
    columns = ["frame_id", "class_id", "score", *BOX, "track_id", "probabilities", *(["mask"] if instance else [])]
    collected: list[dict[str, npt.NDArray[Any]]] = []
    labels: np.ndarray[Any, Any] | None = None
    if "classification" in model.tasks:
        labels = np.full((len(truth.frame_ids), len(model.labels)), np.nan, dtype=np.float32)
    for file in files:
        table = _part(file, columns)
        frame_id = table["frame_id"].to_numpy()
        place = np.minimum(np.searchsorted(truth.frame_ids, frame_id), len(truth.frame_ids) - 1)
        scored = truth.frame_ids[place] == frame_id
        if labels is not None:
            rows = np.flatnonzero(table["probabilities"].is_valid().to_numpy() & scored)
            given = table["probabilities"].take(rows).to_pylist()
            if any(len(item) != len(model.labels) for item in given):
                raise InputError(f"{file}: expected {len(model.labels)} probabilities a frame, as models.json says.")
            if given:
                labels[place[rows]] = np.array(given, dtype=np.float32)
        rows = np.flatnonzero(table["class_id"].is_valid().to_numpy() & scored)
        some = table.take(rows)
        tracked = some["track_id"].is_valid().to_numpy()
        part = {
            "frame": place[rows].astype(np.int64),
            "class_id": some["class_id"].to_numpy().astype(np.int64),
            "score": some["score"].to_numpy().astype(np.float64),
            "boxes": np.column_stack([some[name].to_numpy().astype(np.float64) for name in BOX]).reshape(-1, 4),
            "tracked": tracked,
            "tracks": some["track_id"].fill_null(0).to_numpy().astype(np.int64),
        }
        _check(part, file, rows, frame_id)
        if instance:
            part["mask"] = np.array([*some["mask"].to_pylist(), None], dtype=object)[:-1]
        collected.append(part)
    if labels is not None and np.isnan(labels[truth.labels >= 0]).any():
        missing = truth.frame_ids[np.isnan(labels).any(axis=1) & (truth.labels >= 0)]
        raise InputError(f"{files[0].parent}: no probabilities for frame {missing[0]}: run `stormglass infer` again.")
    return _assemble(collected, labels, tuple(files), model, truth)


def label_maps(file: Path, truth: GroundTruth) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """The predicted label maps of one part, as (position of the frame, uint8 (H, W) of the model's ids)."""
    table = _part(file, ["frame_id", "label_map"])
    rows = np.flatnonzero(table["label_map"].is_valid().to_numpy())
    frame_id = table["frame_id"].to_numpy()[rows]
    place = np.minimum(np.searchsorted(truth.frame_ids, frame_id), len(truth.frame_ids) - 1)
    column = table["label_map"]
    for row, frame, position in zip(rows, frame_id, place, strict=True):
        if truth.frame_ids[position] == frame:
            yield int(position), tables.decode_label_map(column[int(row)].as_py())


def _part(file: Path, columns: list[str]) -> Any:
    try:
        with pq.ParquetFile(file) as part:
            table = part.read(columns=columns, use_threads=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file} is not a readable part ({reason}): run `stormglass infer` again.") from None
    schema = tables.SCHEMAS["predictions"]
    for name in columns:
        if name not in table.column_names or table.schema.field(name).type != schema.field(name).type:
            raise InputError(f"{file}: expected a column '{name}' of type {schema.field(name).type}.")
    return table.combine_chunks()


def _check(part: Mapping[str, npt.NDArray[Any]], file: Path, rows: Ints, frame_id: Ints) -> None:
    bad = ~np.isfinite(part["score"])
    for wrong, what in (
        (bad, "a score that is no number"),
        (~np.isfinite(part["boxes"]).all(axis=1), "a box that is no number"),
    ):
        if wrong.any():
            row = int(rows[np.flatnonzero(wrong)[0]])
            raise InputError(f"{file}: {what} in row {row} (frame {frame_id[row]}): the model's output is broken.")


def _assemble(
    parts: list[dict[str, npt.NDArray[Any]]],
    probabilities: npt.NDArray[np.float32] | None,
    files: tuple[Path, ...],
    model: ModelFacts,
    truth: GroundTruth,
) -> CellPredictions:
    if not parts:
        raise ValueError("expected at least one part")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if "object" not in model.maps:
        kind = np.full(len(joined["frame"]), -1, dtype=np.int64)
    else:
        kind = _kinds(joined["class_id"], model, truth, files[0].parent)
    kept = np.flatnonzero(kind >= 0)
    boxes: Floats = joined["boxes"][kept]
    frame: Ints = joined["frame"][kept]
    masks = None
    area_px2 = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if "mask" in joined:
        heights, widths = (truth.frames[name].to_numpy(int) for name in ("height_px", "width_px"))
        given = joined["mask"][kept]
        if any(data is None for data in given):
            raise InputError(f"{files[0].parent}: an instance without a mask from a model that declares masks.")
        masks = [
            {"size": [int(heights[place]), int(widths[place])], "counts": data}
            for place, data in zip(frame, given, strict=True)
        ]
    return CellPredictions(
        detections=Detections(frame, kind[kept], boxes, joined["score"][kept], area_px2, masks),
        tracks=joined["tracks"][kept],
        tracked=joined["tracked"][kept].astype(bool),
        probabilities=probabilities,
        files=files,
    )


def with_mask_areas(found: Detections) -> Detections:
    """The same detections, sized by their masks: COCO's ranges of masks go by those."""
    return Detections(found.frame, found.kind, found.boxes, found.score, mask_areas(found.masks or []), found.masks)


def _kinds(class_id: Ints, model: ModelFacts, truth: GroundTruth, where: Path) -> Ints:
    mapping, places = model.maps["object"].mapping, truth.positions("object")
    own, inverse = np.unique(class_id, return_inverse=True)
    unknown = [int(i) for i in own if int(i) not in mapping]
    if unknown:
        raise InputError(
            f"{where}: predictions of class id(s) {unknown[:5]}, which models.json does not declare for {model.name}."
        )
    targets = [mapping[int(i)] for i in own]
    positions = np.array([-1 if target is None else places[target] for target in targets], dtype=np.int64)
    return positions[inverse] if len(own) else np.zeros(0, dtype=np.int64)
