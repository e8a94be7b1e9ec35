"""Trivial baselines as rows of `scores`, of the model `trivial` on clean frames: what takes no look at the pictures.

Two know the training data alone; a model that is no better than they are has learned nothing, and where they are good
the data set asks little.

- classification: the shares of the labels, for every frame the same. The accuracy is that of the most common label.
- detection: in every frame the mean box of each class, in shares of the frame; its score: the class's share of frames.

Two are told the truth of the frame before, which no model is. They say how alike frames are: where motion is slow, what
a model of video does not beat is worth no more than an answer that is one frame old.

- semantic: the map of the frame before. The first frame of a clip, and so every still, is all of the most common class;
  so is what the frame before ignores.
- tracking: the boxes of the frame before with their ids: perfect detection and association, one frame late.

Instance segmentation has none. What is common and the mean boxes come from the split `train` where that has such truth,
else from the scored frames themselves; the rows' notes say which.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.metrics import classification, detection, matching, moments, segmentation
from tasks.metrics.cell.tracks import score_clips
from tasks.metrics.instances import Detections, Floats, Ints
from tasks.metrics.plan import slices_of
from tasks.metrics.robustness import Figure
from tasks.metrics.study import Key, Study, Values
from tasks.metrics.truth import BOX, GroundTruth

TRAIN: Final = "train"
"""The split that may be learned from."""

Sources = Mapping[str, pd.DataFrame]
"""Frames to learn from, by what they are called, the best first."""

Found = TypeVar("Found")


def figures(folder: Path, study: Study, tasks: Iterable[str]) -> dict[str, dict[Key, Figure]]:
    """The headline of every slice and class by task, with intervals as a model's.

    Args:
        folder: of the tables that `prepare` wrote.
        study: the scored frames.
        tasks: those that are scored.

    Returns:
        Nothing for a task of which no truth counts, of ignored objects alone, say.
    """
    frames = tables.read("frames", folder / "frames.parquet")
    sources = {f"the split {TRAIN}": frames[frames["split"] == TRAIN], "the scored frames": study.truth.frames}
    measures: dict[str, Callable[[Path, Study, Sources], tuple[Values, str] | None]] = {
        "classification": _classification,
        "detection": _detection,
        "semantic": _semantic,
        "tracking": _tracking,
    }
    found: dict[str, dict[Key, Figure]] = {}
    for task in tasks:
        if task in measures:
            measured = measures[task](folder, study, sources)
            if measured is None:
                found[task] = {}
                continue
            values, note = measured
            found[task] = {
                key: replace(figure, note=note)
                for key, figure in study.figures(task, values).items()
                if key[2] == tables.HEADLINE[task]
            }
    return found


def _first(sources: Sources, learn: Callable[[pd.DataFrame], Found | None], what: str) -> tuple[Found, str] | None:
    """What the first source that has such truth teaches, and in words what it is and where from; None if none has."""
    for name, frames in sources.items():
        found = learn(frames)
        if found is not None:
            return found, f"{what} of {name}"
    return None


def _classification(folder: Path, study: Study, sources: Sources) -> tuple[Values, str] | None:
    truth, places = study.truth, study.truth.positions("label")

    def learn(frames: pd.DataFrame) -> Floats | None:
        held = np.array([places[int(i)] for i in frames["label_id"].dropna()], dtype=np.int64)
        return np.bincount(held, minlength=len(places)) / len(held) if len(held) else None

    learned = _first(sources, learn, "most common label")
    if learned is None:
        return None
    shares, note = learned
    scores = np.tile(shares.astype(np.float32), (len(truth.frame_ids), 1))
    values = Values()
    for item in slices_of("classification", truth):
        points = classification.figures(scores, truth.labels, item.frames)["accuracy"]
        again = classification.resampled(scores, truth.labels, study.resampler, item.frames)["accuracy"]
        for place, name in enumerate((tables.ALL, *truth.names("classification"))):
            values.put(item.name, name, {"accuracy": float(points[place])}, {"accuracy": again[place]})
    return values, note


def _detection(folder: Path, study: Study, sources: Sources) -> tuple[Values, str] | None:
    truth = study.truth
    table = tables.read("objects", folder / "objects.parquet")
    table = table[~(table["crowd"] | table["ignore"])]
    learned = _first(sources, lambda frames: _mean_boxes(table, frames, truth), "mean boxes")
    if learned is None:
        return None
    (kinds, boxes, shares), note = learned
    sizes = truth.frames[["width_px", "height_px", "width_px", "height_px"]].to_numpy(np.float64)
    frame = np.repeat(np.arange(len(sizes)), len(kinds)).astype(np.int64)
    given = (boxes[None] * sizes[:, None]).reshape(-1, 4)
    found = _detections(frame, np.tile(kinds, len(sizes)), given, np.tile(shares, len(sizes)))
    names = truth.names("detection")
    pairs = matching.candidates(truth.objects, found, len(names))
    values = Values()
    for item in truth.slices:
        if item.recall_only:  # a tag of objects has no average precision
            continue
        matches = matching.match(pairs, area_px2=item.area_px2 or matching.ANY_AREA_PX2)
        frames = None if item.of_objects else item.frames
        points = detection.figures(matches, frames)
        again = detection.resampled(matches, study.resampler, frames)
        for kind, name in ((None, tables.ALL), *enumerate(names)):
            values.put(item.name, name, points.metrics(kind), again.metrics(kind))
    return values, note


def _mean_boxes(objects: pd.DataFrame, frames: pd.DataFrame, truth: GroundTruth) -> tuple[Ints, Floats, Floats] | None:
    """By class that occurs: its position, its mean box (4,) in shares of the frame, and its share of the frames."""
    inside = objects.merge(frames[["frame_id", "width_px", "height_px"]], on="frame_id")
    if inside.empty:
        return None
    places = truth.positions("object")
    kind = np.array([places[int(i)] for i in inside["class_id"]], dtype=np.int64)
    relative = inside[BOX].to_numpy(np.float64) / inside[["width_px", "height_px"] * 2].to_numpy(np.float64)
    kinds = np.unique(kind)
    boxes = np.stack([relative[kind == place].mean(axis=0) for place in kinds])
    held = [inside["frame_id"][kind == place].nunique() for place in kinds]
    return kinds, boxes, np.array(held) / len(frames)


def _semantic(folder: Path, study: Study, sources: Sources) -> tuple[Values, str] | None:
    truth = study.truth
    names, places = truth.names("semantic"), truth.positions("semantic")
    table = tables.read("semantic", folder / "semantic.parquet").set_index("frame_id")["label_map"]

    def learn(frames: pd.DataFrame) -> int | None:
        pixels = np.zeros(256, dtype=np.int64)
        for data in table[table.index.isin(frames["frame_id"])]:
            pixels += np.bincount(tables.decode_label_map(data).reshape(-1), minlength=256)
        held = pixels[list(places)]
        return int(held.argmax()) if held.any() else None

    learned = _first(sources, learn, "the frame before; first frames: the most common class")
    if learned is None:
        return None
    common, note = learned
    true_places, read_places = segmentation.lookup(places, len(names)), segmentation.lookup(places, common)
    counts = segmentation.Counts.empty(len(truth.frame_ids), len(names))
    for frames in moments.in_time(truth):
        before: npt.NDArray[np.uint8] | None = None
        for frame in (int(frame) for frame in frames if frame in truth.semantic):
            true = tables.decode_label_map(truth.semantic[frame])
            if before is None or before.shape != true.shape:
                before = np.full(true.shape, tables.IGNORE, dtype=np.uint8)
            pixels = segmentation.confusion(
                true, before, truth_positions=true_places, predicted_positions=read_places, n_classes=len(names)
            )
            counts.put(frame, pixels)
            before = true
    values = Values()
    for item in slices_of("semantic", truth):
        together, by_class = segmentation.resampled(counts, study.resampler, item.frames)
        for kind, name in ((None, tables.ALL), *enumerate(names)):
            points = segmentation.figures(counts, item.frames, kind=kind)
            values.put(item.name, name, points, together if kind is None else by_class[kind])
    return values, note


def _tracking(folder: Path, study: Study, sources: Sources) -> tuple[Values, str]:
    truth, boxes = study.truth, study.truth.objects
    after = np.full(len(truth.frame_ids), -1, dtype=np.int64)
    for frames in moments.in_time(truth):
        after[frames[:-1]] = frames[1:]
    kept = np.flatnonzero(truth.tracked & ~boxes.ignored & (after[boxes.frame] >= 0))
    found = _detections(after[boxes.frame[kept]], boxes.kind[kept], boxes.boxes[kept], np.ones(len(kept)))
    clips = [inside for _, inside in moments.clips(found, truth.tracks[kept], truth)]
    values, _ = score_clips(clips, study)
    return values, "the true boxes of the frame before"


def _detections(frame: Ints, kind: Ints, boxes: Floats, score: Floats) -> Detections:
    area_px2 = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Detections(frame, kind, boxes, score, area_px2)
