"""What is fitted to a model's confidences on clean validation frames, for use in every cell unchanged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.metrics import calibration, matching, operation
from tasks.metrics.cell import labels
from tasks.metrics.predictions import ModelFacts, read, with_mask_areas
from tasks.metrics.truth import GroundTruth


@dataclass(frozen=True)
class Fitted:
    """Of one model and task.

    Attributes:
        temperature: of its confidences; NaN without one.
        abstain_below: the confidence below which a classifier says nothing; NaN without one.
    """

    temperature: float = math.nan
    abstain_below: float = math.nan


def fit(files: Sequence[Path], model: ModelFacts, truth: GroundTruth, *, answer_accuracy: float) -> dict[str, Fitted]:
    """Temperatures and the threshold of abstention, by task; of a task without validation truth nothing.

    Args:
        files: the model's parts of the clean validation frames.
        model: what they are of.
        truth: of those frames.
        answer_accuracy: how often a classifier's answers should be right.

    Raises:
        InputError: the predictions are not fit to be scored.
    """
    found = read(files, model, truth)
    fitted = {}
    for task in model.tasks:
        if not truth.has(task):
            continue
        if task == "classification":
            scores, known = labels.read_scores(found, model, truth), truth.labels >= 0
            sure, right = labels.answers(scores, truth)
            fitted[task] = Fitted(
                calibration.temperature(scores, truth.labels),
                operation.answering_threshold(sure[known], right[known], answer_accuracy),
            )
        elif task in ("detection", "instance"):
            masks = task == "instance"
            detections = with_mask_areas(found.detections) if masks else found.detections
            pairs = matching.candidates(truth.of(task), detections, len(truth.names(task)), masks=masks)
            fitted[task] = Fitted(calibration.detection_temperature(matching.match(pairs)))
    return fitted
