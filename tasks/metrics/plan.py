"""The rows of scores that every cell has, with what stands behind each: the same for every cell and model."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tasks import tables
from tasks.metrics import (
    DIAGNOSTICS,
    MEANS_OVER_CLASSES,
    METRICS,
    MIX,
    OF_SLICES,
    POLICY_THRESHOLDS,
    POOLED_ONLY,
    classification,
)
from tasks.metrics.instances import Bools, Floats
from tasks.metrics.resampling import Spread
from tasks.metrics.truth import GroundTruth
from tasks.slices import Slice


class Row(NamedTuple):
    """Where a figure stands: its slice, class and metric, and how much data is behind it.

    Attributes:
        n_units: sampling units, of one class those that hold it.
        spread: of the truth over them; None where that bears no interval.
    """

    slice: str
    class_: str
    metric: str
    n_units: int
    n_frames: int
    n_objects: int
    spread: Spread | None = None


def plan(task: str, truth: GroundTruth) -> list[Row]:
    """The rows of a task: of all data every metric for every class, of a slice the headline alone for each class."""
    rows = []
    names = truth.names(task)
    metrics = METRICS[task]
    if task == "classification" and len(names) <= classification.TOP:
        metrics = tuple(metric for metric in metrics if metric != "top5")
    for item in slices_of(task, truth):
        if task == "tracking" and item.clips is None and not item.stretch:
            rows.append(Row(item.name, tables.ALL, metrics[0], 0, 0, 0))
            continue
        frames, objects = _inside(task, item, truth)
        n_units, n_frames = len(np.unique(truth.clip_of[frames])), int(frames.sum())
        held, amounts = _amounts(task, frames, objects, truth)
        pooled, by_class = Spread.of(amounts.sum(axis=1, keepdims=True)), Spread.of(amounts)
        n_objects = int(held.sum()) if task in ("detection", "instance", "tracking") else n_frames
        diagnostics = (DIAGNOSTICS if item.name == tables.ALL else OF_SLICES).get(task, ())
        for metric in (*metrics, *diagnostics):
            spread = by_class if metric in MEANS_OVER_CLASSES else pooled
            rows.append(Row(item.name, tables.ALL, metric, n_units, n_frames, n_objects, spread))
        for kind, name in enumerate(names):
            own = amounts[:, kind : kind + 1]
            units, spread = int(np.count_nonzero(own)), Spread.of(own)
            own_metrics = (*metrics, *diagnostics) if item.name == tables.ALL else metrics[:1]
            for metric in (metric for metric in own_metrics if metric not in POOLED_ONLY):
                rows.append(Row(item.name, name, metric, units, n_frames, int(held[kind]), spread))
    return rows


def of_policy(rows: Sequence[Row], *, mix: bool) -> list[Row]:
    """The rows of the policy's thresholds, of the clean cell alone, from a task's other rows; of boxes alone.

    Args:
        rows: from `plan`.
        mix: with those of another mix of classes.
    """
    found = []
    for row in rows:
        if row.slice != tables.ALL or row.metric != "act_precision":
            continue
        found += [row._replace(metric=metric) for metric in (*POLICY_THRESHOLDS, *(MIX if mix else ()))]
    return [row for row in found if row.class_ != tables.ALL or not row.metric.endswith("_threshold")]


def slices_of(task: str, truth: GroundTruth, *, once: bool = False) -> Iterator[Slice]:
    """The slices that a task has: those of objects are for boxes and masks alone.

    Args:
        task: what is measured.
        truth: with the slices.
        once: leave out those that hold what another one holds (`GroundTruth.twins`).
    """
    twins = truth.twins if once else {}
    boxes = task in ("detection", "instance")
    return (item for item in truth.slices if (boxes or not item.of_objects) and item.name not in twins)


def _inside(task: str, item: Slice, truth: GroundTruth) -> tuple[Bools, Bools]:
    """The frames and objects that stand behind a slice's figures."""
    boxes = truth.of(task)
    objects = ~boxes.ignored
    if task == "tracking":
        if item.stretch:
            frames: Bools = item.frames
        else:
            inside = np.zeros(len(truth.clips), dtype=bool) if item.clips is None else item.clips
            frames = inside[truth.clip_of]
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


def _amounts(task: str, frames: Bools, objects: Bools, truth: GroundTruth) -> tuple[Floats, Floats]:
    """Truth inside by class: how many objects or frames, and (n_units, n_classes) how much in each unit."""
    amounts = np.zeros((len(truth.clips), len(truth.names(task))))
    if task == "semantic":
        np.add.at(amounts, truth.clip_of[frames], truth.semantic_pixels[frames])
        return (truth.semantic_pixels[frames] > 0).sum(axis=0).astype(float), amounts
    if task == "classification":
        np.add.at(amounts, (truth.clip_of[frames], truth.labels[frames]), 1)
    else:
        np.add.at(amounts, (truth.clip_of[truth.objects.frame[objects]], truth.objects.kind[objects]), 1)
    return amounts.sum(axis=0), amounts
