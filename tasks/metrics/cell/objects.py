"""Detection and instance segmentation of one cell."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tasks import tables
from tasks.metrics import (
    TEMPERATURE,
    THRESHOLD,
    calibration,
    confusion,
    detection,
    errors,
    examples,
    fragments,
    matching,
    operation,
)
from tasks.metrics.cell import deployed
from tasks.metrics.cell.matches import match_rows
from tasks.metrics.cell.measured import Measured, confusion_rows, reliability_rows
from tasks.metrics.plan import slices_of
from tasks.metrics.predictions import CellPredictions, with_mask_areas
from tasks.metrics.resampling import Resampler
from tasks.metrics.study import Study, Values

FALLBACK_THRESHOLD: Final = 0.5
"""What examples use when the clean cell gave no operating threshold."""


def measure(
    found: CellPredictions,
    task: str,
    study: Study,
    thresholds: Mapping[str, float] | None,
    limits: deployed.Limits | None,
    *,
    temperature: float = math.nan,
) -> Measured:
    """Boxes, or masks for the task `instance`.

    Args:
        found: the cell's predictions.
        task: detection or instance.
        study: what against.
        thresholds: by task, the operating thresholds of the clean cell; None when this is it.
        limits: the policy's thresholds of the clean cell; None when this is it, or when it has none.
        temperature: fitted on clean validation frames; NaN without any.
    """
    truth = study.truth
    names, masks = truth.names(task), task == "instance"
    boxes = truth.of(task)
    detections = with_mask_areas(found.detections) if masks else found.detections
    prefix = "mask_" if masks else ""
    pairs = matching.candidates(boxes, detections, len(names), masks=masks)
    whole = matching.match(pairs)
    values = Values()
    if masks:
        limits = None
    elif thresholds is None:
        limits = deployed.find(values, whole, study)
    elif limits is None:
        limits = deployed.nothing(study)
    for item in slices_of(task, truth, once=True):
        if item.recall_only:
            matches = matching.match(pairs, inside=item.objects)
        elif item.area_px2 is not None:
            matches = matching.match(pairs, area_px2=item.area_px2)
        else:
            matches = whole
        frames = None if item.of_objects or item.name == tables.ALL else item.frames
        points = detection.figures(matches, frames)
        resampled = detection.resampled(matches, study.resampler, frames, recall_only=item.recall_only)
        for kind in (None, *points.defined):
            values.put(
                item.name,
                tables.ALL if kind is None else names[kind],
                {prefix + m: v for m, v in points.metrics(kind).items() if m == "ar100" or not item.recall_only},
                {prefix + metric: rows for metric, rows in resampled.metrics(kind).items()},
            )
        if limits is not None:
            deployed.expect(values, item, matches, limits, study, frames)
    values.share(truth.twins)
    if thresholds is None:
        threshold = detection.operating_threshold(whole)
        values.point[tables.ALL, tables.ALL, THRESHOLD] = threshold
    else:
        threshold = thresholds.get(task, float("nan"))
    values.point[tables.ALL, tables.ALL, TEMPERATURE] = temperature
    mistakes = errors.find(pairs, masks=masks)
    if limits is not None and thresholds is None:
        deployed.mix(values, whole, mistakes, pairs.order, limits, study)
    scaled = calibration.with_temperature(whole, temperature)
    _diagnose(values, mistakes, whole, scaled, threshold, names, study.resampler, masks=masks)
    operating = bool(np.isfinite(threshold))
    if masks and operating:
        split = fragments.of_masks(boxes, pairs.detections, threshold, len(truth.frame_ids), len(names))
        fragments.put(values, split, names, study.resampler, prefix)
    told = examples.of_detection(
        boxes,
        detections,
        threshold=threshold if operating else FALLBACK_THRESHOLD,
        names=names,
        n_frames=len(truth.frame_ids),
        tags=truth.tags,
        masks=masks,
    )
    counted = calibration.counted(whole)
    rows = {
        "matches": match_rows(pairs, whole, mistakes, truth),
        "reliability": reliability_rows(whole.score[counted], whole.hit[0, counted]),
    }
    if operating:
        counts = confusion.of_detections(boxes, detections, len(names), threshold, masks=masks)
        rows["confusion"] = confusion_rows(counts, [*names, tables.NO_CLASS])
    return Measured(values, told, rows, limits)


def _diagnose(
    values: Values,
    found: errors.Errors,
    whole: matching.Matches,
    scaled: matching.Matches,
    threshold: float,
    names: Sequence[str],
    resampler: Resampler,
    *,
    masks: bool,
) -> None:
    """Enter what explains a detector's figures: error kinds, the operating point, calibration."""
    prefix = "mask_" if masks else ""
    rises, again = errors.figures(found), errors.resampled(found, resampler)
    for kind in (None, *rises.defined):
        values.put(
            tables.ALL,
            tables.ALL if kind is None else names[kind],
            {prefix + metric: value for metric, value in rises.metrics(kind).items()},
            {prefix + metric: rows for metric, rows in again.metrics(kind).items()},
        )
    at = operation.precision_recall_at(whole, threshold)
    at_again = operation.precision_recall_resampled(whole, threshold, resampler)
    point = {f"operating_{metric}": by_class for metric, by_class in at.items()}
    point |= {"d_ece": calibration.d_ece(whole), "d_ece_scaled": calibration.d_ece(scaled)}
    for place, name in enumerate((tables.ALL, *names)):
        values.put(
            tables.ALL,
            name,
            {prefix + metric: float(by_class[place]) for metric, by_class in point.items()},
            {f"{prefix}operating_{metric}": by_class[place] for metric, by_class in at_again.items()},
        )
