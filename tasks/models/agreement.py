"""How far two versions of a model say the same of the same frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torchvision.ops import box_iou

from tasks.models.outputs import Output

COUNTS_FROM: Final = 0.3
"""Boxes of the first version that score less are not asked after: near the threshold any digit decides."""

SAME_IOU: Final = 0.5


@dataclass(frozen=True)
class Agreement:
    """Of the second version with the first; NaN where neither gives such outputs.

    Attributes:
        boxes: how many boxes of the first were asked after.
        found: share of them for which the second has a box of the class with IoU of at least 0.5.
        least_iou: smallest IoU of those pairs.
        score_error: largest difference of score of those pairs.
        pixels: share of pixels with the same class.
        probability_error: largest difference of a label's probability.
    """

    boxes: int
    found: float
    least_iou: float
    score_error: float
    pixels: float
    probability_error: float

    def same(self) -> bool:
        """Whether the two are the same network but for the last digits."""
        differences = (
            (1 - self.found, 0.0),
            (1 - self.least_iou, 0.01),
            (self.score_error, 1e-3),
            (self.probability_error, 1e-3),
            (1 - self.pixels, 1e-4),
        )
        return not any(difference > bound for difference, bound in differences)  # NaN: nothing to compare

    def told(self) -> str:
        """In words, what there is of it."""
        parts = []
        if self.boxes:
            parts.append(
                f"{self.found:.1%} of {self.boxes} boxes found again (least IoU {self.least_iou:.3f}, scores within "
                f"{self.score_error:.2g})"
            )
        if not np.isnan(self.pixels):
            parts.append(f"{self.pixels:.2%} of pixels in the same class")
        if not np.isnan(self.probability_error):
            parts.append(f"probabilities within {self.probability_error:.2g}")
        return ", ".join(parts) or "nothing to compare: no box scores enough"


def agreement(first: Sequence[Output], second: Sequence[Output]) -> Agreement:
    """Compare two versions' outputs for the same frames."""
    found, overlaps, scores, pixels, probabilities = 0, [1.0], [0.0], [], []
    asked = 0
    for one, other in zip(first, second, strict=True):
        chosen = np.flatnonzero(one.scores >= COUNTS_FROM)
        asked += len(chosen)
        iou = box_iou(torch.as_tensor(one.boxes[chosen]), torch.as_tensor(other.boxes)).numpy()
        iou = np.where(one.class_ids[chosen][:, None] == other.class_ids[None, :], iou, 0)
        for row, place in enumerate(chosen):
            best = int(iou[row].argmax()) if iou.shape[1] else -1
            if best >= 0 and iou[row, best] >= SAME_IOU:
                found += 1
                overlaps.append(float(iou[row, best]))
                scores.append(abs(float(one.scores[place] - other.scores[best])))
        if one.label_map is not None and other.label_map is not None:
            pixels.append(float((one.label_map == other.label_map).mean()))
        if one.probabilities is not None and other.probabilities is not None:
            probabilities.append(float(np.abs(one.probabilities - other.probabilities).max()))
    nothing = float("nan")
    return Agreement(
        asked,
        found / asked if asked else nothing,
        min(overlaps) if found else nothing,
        max(scores) if found else nothing,
        float(np.mean(pixels)) if pixels else nothing,
        max(probabilities) if probabilities else nothing,
    )
