"""One cell of one model: every figure of every task, slice and class, and its examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks import tables
from tasks.errors import InputError
from tasks.metrics import (
    THRESHOLD,
    calibration,
    classification,
    detection,
    errors,
    examples,
    matching,
    operation,
    segmentation,
    tracking,
)
from tasks.metrics.instances import Bools, Ints, Truth
from tasks.metrics.plan import slices_of
from tasks.metrics.predictions import CellPredictions, ModelFacts, label_maps, read, with_mask_areas
from tasks.metrics.resampling import Resampler
from tasks.metrics.robustness import Figure
from tasks.metrics.study import Key, Study, Values
from tasks.metrics.truth import GroundTruth

FALLBACK_THRESHOLD: Final = 0.5
"""What examples use when the clean cell gave no operating threshold."""


@dataclass(frozen=True)
class Scored:
    """What one cell came to: by task, its figures and its examples.

    Attributes:
        figures: by task and key; replicates stay with the headline of slices and of classes alone.
        examples: rows of the table `examples` by task.
        confusions: by task, counts by true and predicted class: of objects (n + 1, n + 1) with the background last, of
            pixels (n, n + 1) with any other class last, of labelled frames (n, n).
        label_scores: (n_frames, n_labels) what `with_classification` makes the figures of classification from.
    """

    figures: Mapping[str, Mapping[Key, Figure]]
    examples: Mapping[str, examples.Examples]
    confusions: Mapping[str, Ints]
    label_scores: npt.NDArray[np.float32] | None = None

    def thresholds(self) -> dict[str, float]:
        """The operating thresholds found in this cell, by task."""
        key = (tables.ALL, tables.ALL, THRESHOLD)
        return {task: figures[key].value for task, figures in self.figures.items() if key in figures}


def score(
    files: Sequence[Path], model: ModelFacts, study: Study, thresholds: Mapping[str, float] | None = None
) -> Scored:
    """Measure one cell, but for classification: `with_classification` adds that.

    Args:
        files: its parts.
        model: what is scored.
        study: what against.
        thresholds: by task, the operating thresholds of the clean cell; None when this is the clean cell, which then
            finds them.

    Raises:
        InputError: the predictions are not fit to be scored.
    """
    found = read(files, model, study.truth)
    figures: dict[str, dict[Key, Figure]] = {}
    told: dict[str, examples.Examples] = {}
    confusions: dict[str, Ints] = {}
    label_scores = None
    for task in model.tasks:
        if task == "classification":
            label_scores = _label_scores(found, model, study.truth)
            continue
        if task == "semantic":
            values, told[task], confusions[task] = _semantic(found, model, study)
        elif task == "tracking":
            values, told[task] = _tracking(found, study)
        else:
            values, told[task], confusions[task] = _instances(found, task, study, thresholds)
        figures[task] = study.figures(task, values)
    return Scored(figures, told, confusions, label_scores)


def with_classification(scored: Scored, study: Study) -> Scored:
    """The same cell with the figures and examples of classification, where the model has that task.

    A step of its own, for the process that gathers the cells: importing torchmetrics takes ten seconds and half a
    gigabyte, which each worker would pay again for a tenth of a second's work.
    """
    scores = scored.label_scores
    if scores is None:
        return scored
    task, truth = "classification", study.truth
    names = truth.names(task)
    values = Values()
    for item in slices_of(task, truth):
        points = classification.figures(scores, truth.labels, item.frames)
        resampled = classification.resampled(scores, truth.labels, study.resampler, item.frames)
        for place, name in enumerate((tables.ALL, *names)):
            values.put(
                item.name,
                name,
                {metric: float(found[place]) for metric, found in points.items()},
                {metric: rows[place] for metric, rows in resampled.items()},
            )
    labelled = truth.labels >= 0
    sure, right = scores.max(axis=1), scores.argmax(axis=1) == truth.labels
    values.put(
        tables.ALL,
        tables.ALL,
        {
            "ece": calibration.ece(sure[labelled], right[labelled]),
            "aurc": operation.aurc(sure[labelled], right[labelled]),
        },
        {"aurc": operation.aurc_resampled(sure, right, study.resampler, labelled)},
    )
    told = examples.of_classification(scores, truth.labels, names)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (truth.labels[labelled], scores[labelled].argmax(axis=1)), 1)
    return Scored(
        {task: study.figures(task, values), **scored.figures},
        {task: told, **scored.examples},
        {task: confusion, **scored.confusions},
    )


def _instances(
    found: CellPredictions, task: str, study: Study, thresholds: Mapping[str, float] | None
) -> tuple[Values, examples.Examples, Ints]:
    truth = study.truth
    names, masks = truth.names(task), task == "instance"
    boxes = truth.of(task)
    detections = with_mask_areas(found.detections) if masks else found.detections
    prefix = "mask_" if masks else ""
    pairs = matching.candidates(boxes, detections, len(names), masks=masks)
    whole = matching.match(pairs)
    values = Values()
    for item in truth.slices:
        if item.recall_only:
            matches = matching.match(pairs, inside=item.objects)
        elif item.area_px2 is not None:
            matches = matching.match(pairs, area_px2=item.area_px2)
        else:
            matches = whole
        frames = None if item.of_objects or item.name == tables.ALL else item.frames
        points = detection.figures(matches, frames)
        resampled = detection.resampled(matches, study.resampler, frames, recall_only=item.recall_only)
        for kind in (None, *range(len(names))):
            values.put(
                item.name,
                tables.ALL if kind is None else names[kind],
                {prefix + m: v for m, v in points.metrics(kind).items() if m == "ar100" or not item.recall_only},
                {prefix + metric: rows for metric, rows in resampled.metrics(kind).items()},
            )
    if thresholds is None:
        threshold = detection.operating_threshold(whole)
        values.point[tables.ALL, tables.ALL, THRESHOLD] = threshold
    else:
        threshold = thresholds.get(task, float("nan"))
    _diagnose(values, pairs, whole, threshold, names, study.resampler, masks=masks)
    if not np.isfinite(threshold):
        threshold = FALLBACK_THRESHOLD
    told = examples.of_detection(
        boxes,
        detections,
        threshold=threshold,
        names=names,
        n_frames=len(truth.frame_ids),
        tags=truth.tags,
        masks=masks,
    )
    return values, told, errors.confusion(boxes, detections, len(names), threshold, masks=masks)


def _diagnose(
    values: Values,
    pairs: matching.Candidates,
    whole: matching.Matches,
    threshold: float,
    names: Sequence[str],
    resampler: Resampler,
    *,
    masks: bool,
) -> None:
    """Enter what explains a detector's figures: error kinds, the operating point, calibration."""
    prefix = "mask_" if masks else ""
    found = errors.find(pairs, masks=masks)
    rises, again = errors.figures(found), errors.resampled(found, resampler)
    for kind, name in ((None, tables.ALL), *enumerate(names)):
        point = rises.metrics(kind) | {"d_ece": calibration.d_ece(whole, kind=kind)}
        resampled = dict(again.metrics(kind))
        at = operation.precision_recall_at(whole, threshold, kind=kind)
        at_again = operation.precision_recall_resampled(whole, threshold, resampler, kind=kind)
        point |= {f"operating_{metric}": value for metric, value in at.items()}
        resampled |= {f"operating_{metric}": rows for metric, rows in at_again.items()}
        values.put(
            tables.ALL,
            name,
            {prefix + metric: value for metric, value in point.items()},
            {prefix + metric: rows for metric, rows in resampled.items()},
        )


def _label_scores(found: CellPredictions, model: ModelFacts, truth: GroundTruth) -> npt.NDArray[np.float32]:
    if found.probabilities is None:
        raise ValueError("expected probabilities")
    places = truth.positions("label")
    reached = [model.maps["label"].mapping[label] for label in model.labels]
    targets = [None if target is None else places[target] for target in reached]
    return classification.in_dataset_classes(found.probabilities, targets, len(places))


def _semantic(found: CellPredictions, model: ModelFacts, study: Study) -> tuple[Values, examples.Examples, Ints]:
    truth = study.truth
    names, places = truth.names("semantic"), truth.positions("semantic")
    n_classes, mapping = len(names), model.maps["semantic"].mapping
    own = {source: places[target] for source, target in mapping.items() if target is not None}
    truth_positions = segmentation.lookup(places, n_classes)
    predicted_positions = segmentation.lookup(own, n_classes)
    counts = segmentation.Counts.empty(len(truth.frame_ids), n_classes)
    confusions = examples.Confusions(names)
    total = np.zeros((n_classes, n_classes + 1), dtype=np.int64)
    seen = set()
    for file in found.files:
        for frame, predicted in label_maps(file, truth):
            if frame not in truth.semantic:
                continue
            true = tables.decode_label_map(truth.semantic[frame])
            if true.shape != predicted.shape:
                raise InputError(
                    f"{file}: the label map of frame {truth.frame_ids[frame]} is {predicted.shape}, its truth "
                    f"{true.shape} (height, width): a model's maps come at the frame's size."
                )
            pixels = segmentation.confusion(
                true,
                predicted,
                truth_positions=truth_positions,
                predicted_positions=predicted_positions,
                n_classes=n_classes,
            )
            counts.put(frame, pixels)
            confusions.put(frame, pixels)
            total += pixels
            seen.add(frame)
    missing = truth.semantic.keys() - seen
    if missing:
        raise InputError(
            f"{found.files[0].parent}: no label map for frame {truth.frame_ids[min(missing)]}: "
            "run `stormglass infer` again."
        )
    values = Values()
    for item in slices_of("semantic", truth):
        together, by_class = segmentation.resampled(counts, study.resampler, item.frames)
        for kind in (None, *range(n_classes)):
            points = segmentation.figures(counts, item.frames, kind=kind)
            name, resampled = (tables.ALL, together) if kind is None else (names[kind], by_class[kind])
            values.put(item.name, name, points, resampled)
    return values, examples.of_semantic(counts, confusions), total


def _tracking(found: CellPredictions, study: Study) -> tuple[Values, examples.Examples]:
    truth = study.truth
    names = truth.names("tracking")
    clips = _clips(found, truth)
    evaluator = tracking.Evaluator()
    values = Values()
    for kind in (None, *range(len(names))):
        results = {}
        for place, (_, moments) in enumerate(clips):
            chosen = moments if kind is None else [moment.of(kind) for moment in moments]
            if any(len(moment.truth_ids) or len(moment.track_ids) for moment in chosen):
                results[place] = evaluator.clip(chosen)
        sums = tracking.by_clip(results, len(clips))
        for item in slices_of("tracking", truth):
            inside = item.clips
            if inside is None:
                continue
            some = {str(place): result for place, result in results.items() if inside[place]}
            points, resampled = evaluator.figures(some), tracking.resampled(sums, study.resampler, inside)
            values.put(item.name, tables.ALL if kind is None else names[kind], points, resampled)
    return values, examples.of_tracking(clips, names)


def _clips(found: CellPredictions, truth: GroundTruth) -> list[tuple[Ints, list[tracking.Moment]]]:
    """Each clip's frames in time order, with truth and tracks; truth without a track id is an ignored region."""
    objects, n_frames = truth.objects, len(truth.frame_ids)
    tracked = found.detections.take(found.tracked)
    tracks = found.tracks[found.tracked]
    order = np.argsort(tracked.frame, kind="stable")
    tracked, tracks = tracked.take(order), tracks[order]
    track_ends = np.searchsorted(tracked.frame, np.arange(n_frames + 1))
    truth_ends = np.searchsorted(objects.frame, np.arange(n_frames + 1))
    frame_index = truth.frames["frame_index"].to_numpy(np.int64)
    ignored = objects.ignored | ~truth.tracked
    clips = []
    for clip, name in enumerate(truth.clips):
        frames = np.flatnonzero(truth.clip_of == clip)
        frames = frames[np.argsort(frame_index[frames], kind="stable")]
        moments = []
        for frame in frames:
            theirs = slice(track_ends[frame], track_ends[frame + 1])
            there = slice(truth_ends[frame], truth_ends[frame + 1])
            none = np.zeros(theirs.stop - theirs.start, dtype=bool)
            given = tracking.Boxes(tracks[theirs], tracked.kind[theirs], tracked.boxes[theirs], none, none)
            true = _true_boxes(objects, truth.tracks, ignored, there)
            for side, ids in (("truth", true.ids[~true.ignored]), ("predictions", given.ids)):
                if len(np.unique(ids)) != len(ids):
                    raise InputError(
                        f"The {side} of clip {name}, frame {truth.frame_ids[frame]}, hold a track id twice: "
                        "an id names one object of a frame."
                    )
            moments.append(tracking.moment(true, given))
        clips.append((frames, moments))
    return clips


def _true_boxes(objects: Truth, tracks: Ints, ignored: Bools, at: slice) -> tracking.Boxes:
    return tracking.Boxes(tracks[at], objects.kind[at], objects.boxes[at], objects.crowd[at], ignored[at])
