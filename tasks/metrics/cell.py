"""One cell of one model: every figure of every task, slice and class, and its examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks import tables
from tasks.errors import InputError
from tasks.metrics import THRESHOLD, classification, detection, examples, segmentation, tracking
from tasks.metrics.instances import Bools, Ints, Truth
from tasks.metrics.plan import slices_of
from tasks.metrics.predictions import CellPredictions, ModelFacts, label_maps, read, with_mask_areas
from tasks.metrics.truth import GroundTruth

FALLBACK_THRESHOLD: Final = 0.5
"""What examples use when the clean cell gave no operating threshold."""

Key = tuple[str, str, str]
"""slice, class, metric"""

Values = dict[Key, float]


@dataclass(frozen=True)
class Scored:
    """What one cell came to: by task, its figures and its examples.

    Attributes:
        values: figures by task.
        examples: rows of the table `examples` by task.
        label_scores: (n_frames, n_labels) what `with_classification` makes the figures of classification from.
    """

    values: Mapping[str, Values]
    examples: Mapping[str, examples.Examples]
    label_scores: npt.NDArray[np.float32] | None = None

    def thresholds(self) -> dict[str, float]:
        """The operating thresholds found in this cell, by task."""
        key = (tables.ALL, tables.ALL, THRESHOLD)
        return {task: values[key] for task, values in self.values.items() if key in values}


def score(
    files: Sequence[Path], model: ModelFacts, truth: GroundTruth, thresholds: Mapping[str, float] | None = None
) -> Scored:
    """Measure one cell, but for classification: `with_classification` adds that.

    Args:
        files: its parts.
        model: what is scored.
        truth: what against.
        thresholds: by task, the operating thresholds of the clean cell; None when this is the clean cell, which then
            finds them.

    Raises:
        InputError: the predictions are not fit to be scored.
    """
    found = read(files, model, truth)
    values: dict[str, Values] = {}
    told: dict[str, examples.Examples] = {}
    label_scores = None
    for task in model.tasks:
        if task == "classification":
            label_scores = _label_scores(found, model, truth)
        elif task == "semantic":
            values[task], told[task] = _semantic(found, model, truth)
        elif task == "tracking":
            values[task], told[task] = _tracking(found, truth)
        else:
            values[task], told[task] = _instances(found, task, truth, thresholds)
    return Scored(values, told, label_scores)


def with_classification(scored: Scored, truth: GroundTruth) -> Scored:
    """The same cell with the figures and examples of classification, where the model has that task.

    A step of its own, for the process that gathers the cells: importing torchmetrics takes ten seconds and half a
    gigabyte, which each worker would pay again for a tenth of a second's work.
    """
    scores = scored.label_scores
    if scores is None:
        return scored
    task = "classification"
    names = truth.names(task)
    values: Values = {}
    for item in slices_of(task, truth):
        for metric, figures in classification.figures(scores, truth.labels, item.frames).items():
            for name, value in zip((tables.ALL, *names), figures, strict=True):
                values[item.name, name, metric] = float(value)
    told = examples.of_classification(scores, truth.labels, names)
    return Scored({task: values, **scored.values}, {task: told, **scored.examples})


def _instances(
    found: CellPredictions, task: str, truth: GroundTruth, thresholds: Mapping[str, float] | None
) -> tuple[Values, examples.Examples]:
    names, masks = truth.names(task), task == "instance"
    boxes = truth.of(task)
    detections = with_mask_areas(found.detections) if masks else found.detections
    prefix = "mask_" if masks else ""
    pairs = detection.candidates(boxes, detections, len(names), masks=masks)
    whole = detection.match(pairs)
    values: Values = {}
    for item in truth.slices:
        if item.recall_only:
            figures = detection.figures(detection.match(pairs, inside=item.objects))
        elif item.area_px2 is not None:
            figures = detection.figures(detection.match(pairs, area_px2=item.area_px2))
        else:
            figures = detection.figures(whole, None if item.name == tables.ALL else item.frames)
        for kind in (None, *range(len(names))):
            for metric, value in figures.metrics(kind).items():
                if metric == "ar100" or not item.recall_only:
                    values[item.name, tables.ALL if kind is None else names[kind], prefix + metric] = value
    if thresholds is None:
        threshold = detection.operating_threshold(whole)
        values[tables.ALL, tables.ALL, THRESHOLD] = threshold
    else:
        threshold = thresholds.get(task, float("nan"))
    return values, examples.of_detection(
        boxes,
        detections,
        threshold=threshold if np.isfinite(threshold) else FALLBACK_THRESHOLD,
        names=names,
        n_frames=len(truth.frame_ids),
        tags=truth.tags,
        masks=masks,
    )


def _label_scores(found: CellPredictions, model: ModelFacts, truth: GroundTruth) -> npt.NDArray[np.float32]:
    if found.probabilities is None:
        raise ValueError("expected probabilities")
    places = truth.positions("label")
    reached = [model.maps["label"].mapping[label] for label in model.labels]
    targets = [None if target is None else places[target] for target in reached]
    return classification.in_dataset_classes(found.probabilities, targets, len(places))


def _semantic(found: CellPredictions, model: ModelFacts, truth: GroundTruth) -> tuple[Values, examples.Examples]:
    names, places = truth.names("semantic"), truth.positions("semantic")
    n_classes, mapping = len(names), model.maps["semantic"].mapping
    own = {source: places[target] for source, target in mapping.items() if target is not None}
    truth_positions = segmentation.lookup(places, n_classes)
    predicted_positions = segmentation.lookup(own, n_classes)
    counts = segmentation.Counts.empty(len(truth.frame_ids), n_classes)
    confusions = examples.Confusions(names)
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
            seen.add(frame)
    missing = truth.semantic.keys() - seen
    if missing:
        raise InputError(
            f"{found.files[0].parent}: no label map for frame {truth.frame_ids[min(missing)]}: "
            "run `stormglass infer` again."
        )
    values: Values = {}
    for item in slices_of("semantic", truth):
        for kind in (None, *range(n_classes)):
            for metric, value in segmentation.figures(counts, item.frames, kind=kind).items():
                values[item.name, tables.ALL if kind is None else names[kind], metric] = value
    return values, examples.of_semantic(counts, confusions)


def _tracking(found: CellPredictions, truth: GroundTruth) -> tuple[Values, examples.Examples]:
    names = truth.names("tracking")
    clips = _clips(found, truth)
    evaluator = tracking.Evaluator()
    values: Values = {}
    for kind in (None, *range(len(names))):
        results = {}
        for place, (_, moments) in enumerate(clips):
            chosen = moments if kind is None else [moment.of(kind) for moment in moments]
            if any(len(moment.truth_ids) or len(moment.track_ids) for moment in chosen):
                results[place] = evaluator.clip(chosen)
        for item in slices_of("tracking", truth):
            inside = item.clips
            if inside is None:
                continue
            some = {str(place): result for place, result in results.items() if inside[place]}
            for metric, value in evaluator.figures(some).items():
                values[item.name, tables.ALL if kind is None else names[kind], metric] = value
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
