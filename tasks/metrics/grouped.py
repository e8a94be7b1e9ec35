"""The headline figures of groups of clips in every cell of a model, from what is stored: no model runs.

The same figures as those of slices (`tasks.slices`), without their intervals, classes and diagnostics: what tells how
far figures differ from one stretch of footage to the next.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from tasks import displacement, tables
from tasks.layout import Layout
from tasks.metrics import detection, matching, moments, segmentation, tracking
from tasks.metrics.cell import labels
from tasks.metrics.hota import fast_hota
from tasks.metrics.instances import Bools
from tasks.metrics.moved import moved
from tasks.metrics.predictions import CellPredictions, ModelFacts, label_maps, read, with_mask_areas
from tasks.metrics.requests import Request, requests
from tasks.metrics.score import model_facts
from tasks.metrics.truth import GroundTruth, load
from tasks.params import Params


def figures(params: Params, layout: Layout, model: str, groups: Mapping[str, str]) -> pd.DataFrame:
    """The headline of each task, cell and group of clips.

    Args:
        params: the run's choices.
        layout: where its tables and predictions lie.
        model: whose predictions are measured.
        groups: clip_id -> the name of its group; other clips are in none.

    Returns:
        Columns task, metric, corruption, severity, group, value: NaN where a group has no truth for the task. Cells
        that are not there have no rows.

    Raises:
        InputError: tables or predictions are missing or broken.
    """
    truth = load(params.model_copy(update={"slices": type(params.slices)()}), layout.tables)
    facts = model_facts(params, layout, truth)[model]
    group_of = np.array([groups.get(clip, "") for clip in truth.clips], dtype=object)
    inside = {name: np.asarray(group_of == name, dtype=bool) for name in dict.fromkeys(groups.values())}
    rows = []
    for request in requests(params, layout):
        if request.model != model or request.status != "ok":
            continue
        for task, found in _cell(request, facts, truth, layout, inside):
            rows += [
                (task, tables.HEADLINE[task], request.corruption, request.severity, name, value)
                for name, value in found.items()
            ]
    return pd.DataFrame(rows, columns=["task", "metric", "corruption", "severity", "group", "value"])


def _cell(
    request: Request, model: ModelFacts, truth: GroundTruth, layout: Layout, inside: Mapping[str, Bools]
) -> Iterator[tuple[str, dict[str, float]]]:
    waves = displacement.read(layout.predictions, request.corruption, request.severity)
    truth = moved(truth, waves) if waves else truth
    found = read(request.files, model, truth)
    frames = {name: clips[truth.clip_of] for name, clips in inside.items()}
    for task in model.tasks:
        if task == "classification":
            yield task, _accuracy(found, model, truth, frames)
        elif task == "semantic":
            counts = _counts(found, model, truth)
            yield task, {name: segmentation.figures(counts, own)["miou"] for name, own in frames.items()}
        elif task == "tracking":
            yield task, _hota(found, truth, inside)
        else:
            masks = task == "instance"
            boxes = with_mask_areas(found.detections) if masks else found.detections
            pairs = matching.candidates(truth.of(task), boxes, len(truth.names(task)), masks=masks)
            whole = matching.match(pairs)
            yield task, {name: detection.figures(whole, own).metrics(None)["map"] for name, own in frames.items()}


def _accuracy(
    found: CellPredictions, model: ModelFacts, truth: GroundTruth, frames: Mapping[str, Bools]
) -> dict[str, float]:
    _, right = labels.answers(labels.read_scores(found, model, truth), truth)
    chosen = {name: own & (truth.labels >= 0) for name, own in frames.items()}
    return {name: float(right[own].mean()) if own.any() else float("nan") for name, own in chosen.items()}


def _counts(found: CellPredictions, model: ModelFacts, truth: GroundTruth) -> segmentation.Counts:
    places, n_classes = truth.positions("semantic"), len(truth.names("semantic"))
    own = {source: places[to] for source, to in model.maps["semantic"].mapping.items() if to is not None}
    true_at, read_at = segmentation.lookup(places, n_classes), segmentation.lookup(own, n_classes)
    counts = segmentation.Counts.empty(len(truth.frame_ids), n_classes)
    for file in found.files:
        for frame, predicted in label_maps(file, truth):
            if frame in truth.semantic:
                true = tables.decode_label_map(truth.semantic[frame])
                pixels = segmentation.confusion(
                    true, predicted, truth_positions=true_at, predicted_positions=read_at, n_classes=n_classes
                )
                counts.put(frame, pixels)
    return counts


def _hota(found: CellPredictions, truth: GroundTruth, inside: Mapping[str, Bools]) -> dict[str, float]:
    metric = fast_hota()
    held = moments.clips(found.detections.take(found.tracked), found.tracks[found.tracked], truth)
    by_clip = [metric.eval_sequence(tracking.sequence(there)) for _, there in held]
    values = {}
    for name, clips in inside.items():
        together = metric.combine_sequences({str(place): by_clip[place] for place in np.flatnonzero(clips)})
        some = together["HOTA_TP"][0] + together["HOTA_FN"][0] > 0
        values[name] = float(np.mean(together["HOTA"])) if some else float("nan")
    return values
