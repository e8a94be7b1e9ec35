"""The rows of scores that every cell has, with what stands behind each: the same for every cell and model."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks import tables
from tasks.metrics import METRICS, classification
from tasks.metrics.instances import Bools
from tasks.metrics.truth import GroundTruth
from tasks.slices import Slice


@dataclass(frozen=True)
class Row:
    """Where a figure stands: its slice, class and metric, and how much data is behind it."""

    slice: str
    class_: str
    metric: str
    n_units: int
    n_frames: int
    n_objects: int


def plan(task: str, truth: GroundTruth) -> list[Row]:
    """The rows of a task: of all data every metric for every class, of a slice the headline alone for each class."""
    rows = []
    names = truth.names(task)
    metrics = METRICS[task]
    if task == "classification" and len(names) <= classification.TOP:
        metrics = tuple(metric for metric in metrics if metric != "top5")
    for item in slices_of(task, truth):
        if task == "tracking" and item.clips is None:
            rows.append(Row(item.name, tables.ALL, metrics[0], 0, 0, 0))
            continue
        frames, objects = _inside(task, item, truth)
        n_units = len(np.unique(truth.clip_of[frames]))
        for kind in (None, *range(len(names))):
            n_objects = _count(task, frames, objects, kind, truth)
            for metric in metrics if kind is None or item.name == tables.ALL else metrics[:1]:
                class_ = tables.ALL if kind is None else names[kind]
                rows.append(Row(item.name, class_, metric, n_units, int(frames.sum()), n_objects))
    return rows


def slices_of(task: str, truth: GroundTruth) -> Iterator[Slice]:
    """The slices that a task has: those of objects are for boxes and masks alone."""
    return (item for item in truth.slices if not item.of_objects or task in ("detection", "instance"))


def _inside(task: str, item: Slice, truth: GroundTruth) -> tuple[Bools, Bools]:
    """The frames and objects that stand behind a slice's figures."""
    boxes = truth.of(task)
    objects = ~boxes.ignored
    if task == "tracking":
        inside = np.zeros(len(truth.clips), dtype=bool) if item.clips is None else item.clips
        frames: Bools = inside[truth.clip_of]
        return frames, objects & truth.tracked & frames[boxes.frame]
    if task == "classification":
        return item.frames & (truth.labels >= 0), objects
    if task == "semantic":
        has = np.zeros(len(truth.frame_ids), dtype=bool)
        has[list(truth.semantic)] = True
        return item.frames & has, objects
    objects = objects & item.frames[boxes.frame]
    if item.objects is not None:
        objects &= item.objects
    if item.area_px2 is not None:
        objects &= (boxes.area_px2 >= item.area_px2[0]) & (boxes.area_px2 <= item.area_px2[1])
    if not item.of_objects:
        return item.frames, objects
    frames = np.zeros(len(truth.frame_ids), dtype=bool)
    frames[boxes.frame[objects]] = True
    return frames, objects


def _count(task: str, frames: Bools, objects: Bools, kind: int | None, truth: GroundTruth) -> int:
    if task == "classification":
        return int((frames if kind is None else frames & (truth.labels == kind)).sum())
    if task == "semantic":
        return int((frames if kind is None else frames & truth.semantic_holds[:, kind]).sum())
    return int((objects if kind is None else objects & (truth.objects.kind == kind)).sum())
