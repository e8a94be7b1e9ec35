"""Classification of one cell's frames."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.metrics import ABSTAIN_BELOW, TEMPERATURE, calibration, classification, examples, operation
from tasks.metrics.cell.measured import Measured, confusion_rows, reliability_rows
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.plan import slices_of
from tasks.metrics.predictions import CellPredictions, ModelFacts
from tasks.metrics.study import Study, Values
from tasks.metrics.truth import GroundTruth


def read_scores(found: CellPredictions, model: ModelFacts, truth: GroundTruth) -> npt.NDArray[np.float32]:
    """(n_frames, n_labels) the model's probabilities in the data set's classes."""
    if found.probabilities is None:
        raise ValueError("expected probabilities")
    places = truth.positions("label")
    reached = [model.maps["label"].mapping[label] for label in model.labels]
    targets = [None if target is None else places[target] for target in reached]
    return classification.in_dataset_classes(found.probabilities, targets, len(places))


def answers(scores: npt.NDArray[np.float32], truth: GroundTruth) -> tuple[npt.NDArray[np.float32], Bools]:
    """(n_frames,) how sure each frame's label is, and whether it is the true one."""
    best = classification.answered(scores)
    return scores.max(axis=1), (best == truth.labels) & (best >= 0)


def measure(
    scores: npt.NDArray[np.float32], study: Study, *, temperature: float = math.nan, abstain_below: float = math.nan
) -> Measured:
    """Classification.

    Args:
        scores: from `read_scores`.
        study: what against.
        temperature: fitted on clean validation frames; NaN without any.
        abstain_below: the confidence below which the model says nothing, fitted likewise.
    """
    task, truth = "classification", study.truth
    names = truth.names(task)
    values = Values()
    for item in slices_of(task, truth, once=True):
        points = classification.figures(scores, truth.labels, item.frames)
        resampled = classification.resampled(scores, truth.labels, study.resampler, item.frames)
        _put(values, item.name, names, points, resampled)
    values.share(truth.twins)
    labelled = truth.labels >= 0
    sure, right = answers(scores, truth)
    values.put(
        tables.ALL,
        tables.ALL,
        {
            "ece": calibration.ece(sure[labelled], right[labelled]),
            "ece_scaled": calibration.ece_scaled(scores[labelled], right[labelled], temperature),
            "aurc": operation.aurc(sure[labelled], right[labelled]),
            TEMPERATURE: temperature,
            ABSTAIN_BELOW: abstain_below,
        },
        {"aurc": operation.aurc_resampled(sure, right, study.resampler, labelled)},
    )
    points, resampled = operation.abstention(sure, right, truth.labels, len(names), abstain_below, study.resampler)
    _put(values, tables.ALL, names, points, resampled)
    told = examples.of_classification(scores, truth.labels, names)
    true, said = truth.labels[labelled], classification.answered(scores[labelled])
    said = np.where(said < 0, len(names), said)
    rows = {
        "confusion": _confusion(true, said, [*names, tables.NO_CLASS]),
        "reliability": reliability_rows(sure[labelled], right[labelled]),
    }
    if not math.isnan(abstain_below):
        said = np.where(sure[labelled] >= abstain_below, said, len(names) + 1)
        rows["answers"] = _confusion(true, said, [*names, tables.NO_CLASS, tables.UNKNOWN])
    return Measured(values, told, rows)


def _put(
    values: Values, slice_: str, names: Sequence[str], points: Mapping[str, Floats], resampled: Mapping[str, Any]
) -> None:
    """Enter metrics of one slice, whose first row is of all classes together and the others of each."""
    for place, name in enumerate((tables.ALL, *names)):
        values.put(
            slice_,
            name,
            {metric: float(found[place]) for metric, found in points.items()},
            {metric: rows[place] for metric, rows in resampled.items()},
        )


def _confusion(true: Ints, said: Ints, names: list[str]) -> pd.DataFrame:
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (true, said), 1)
    return confusion_rows(counts, names)
