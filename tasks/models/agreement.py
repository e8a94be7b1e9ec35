"""How far two versions of a model say the same of the same frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from tasks.models.outputs import Output

COUNTS_FROM: Final = 0.3
"""Boxes of the first version that score less are not asked after: near the threshold any digit decides."""

SAME_IOU: Final = 0.5

SAME_MASK_IOU: Final = 0.95

ALIKE_IOU: Final = 0.99
ALIKE_SCORE: Final = 1e-3

FLIPPED: Final = 0.02
"""Share of boxes that last digits may decide otherwise: a runner-up of suppression, a candidate at a list's end."""

MASKS_FLIPPED: Final = 0.05
"""Likewise of masks, whose pixels at the threshold are many where a network is unsure."""

ALIKE_PX: Final = 1e-3
"""Boxes no farther apart are one, whatever their area."""


@dataclass(frozen=True)
class Agreement:
    """Of the second version with the first; NaN where neither gives such outputs.

    Attributes:
        boxes: how many boxes of the first were asked after.
        found: share of them for which the second has a box of the class with IoU of at least 0.5, one for each.
        alike: share of them whose pair has an IoU of at least 0.99 and a score within 0.001.
        new: how many boxes of the second the first has nothing of the kind for.
        least_iou: smallest IoU of the pairs.
        score_error: largest difference of score of the pairs.
        masks: share of the pairs whose masks have an IoU of at least 0.95.
        pixels: share of pixels with the same class.
        probability_error: largest difference of a label's probability.
    """

    boxes: int
    found: float
    alike: float
    new: int
    least_iou: float
    score_error: float
    masks: float
    pixels: float
    probability_error: float

    def same(self) -> bool:
        """Whether the two are the same network but for the last digits."""
        differences = (
            (1 - self.alike, FLIPPED),
            (self.new / max(self.boxes, 1), FLIPPED),
            (1 - self.masks, MASKS_FLIPPED),
            (self.probability_error, 1e-3),
            (1 - self.pixels, 1e-4),
        )
        return not any(difference > bound for difference, bound in differences)  # NaN: nothing to compare

    def told(self) -> str:
        """In words, what there is of it."""
        parts = []
        masks = "" if np.isnan(self.masks) else f", {self.masks:.1%} of masks with IoU >= {SAME_MASK_IOU}"
        if self.boxes:
            parts.append(
                f"{self.found:.1%} of {self.boxes} boxes found again (least IoU {self.least_iou:.3f}, scores within "
                f"{self.score_error:.2g}{masks})"
            )
        if self.new:
            parts.append(f"{self.new} boxes are new")
        if not np.isnan(self.pixels):
            parts.append(f"{self.pixels:.2%} of pixels in the same class")
        if not np.isnan(self.probability_error):
            parts.append(f"probabilities within {self.probability_error:.2g}")
        return ", ".join(parts) or "nothing to compare: no box scores enough"


def agreement(
    first: Sequence[Output], second: Sequence[Output], *, sizes: Sequence[Sequence[int]] | None = None
) -> Agreement:
    """Compare two versions' outputs for the same frames.

    Args:
        first: of the version that is asked after.
        second: of the other.
        sizes: height and width in px of each frame, without which masks are not compared.
    """
    asked, new = 0, 0
    overlaps: list[float] = []
    scores: list[float] = []
    masks, pixels, probabilities = [], [], []
    for frame, (one, other) in enumerate(zip(first, second, strict=True)):
        asked += int((one.scores >= COUNTS_FROM).sum())
        new += int((other.scores >= COUNTS_FROM).sum()) - len(_pairs(other, one))
        for place, at, iou in _pairs(one, other):
            overlaps.append(iou)
            scores.append(abs(float(one.scores[place] - other.scores[at])))
            if sizes is not None and one.masks is not None and other.masks is not None:
                masks.append(_mask_iou(one.masks[place], other.masks[at], sizes[frame]))
        if one.label_map is not None or other.label_map is not None:
            both = one.label_map is not None and other.label_map is not None
            pixels.append(float(np.mean(one.label_map == other.label_map)) if both else 0.0)
        if one.probabilities is not None or other.probabilities is not None:
            both = one.probabilities is not None and other.probabilities is not None
            apart = np.abs(one.probabilities - other.probabilities).max() if both else math.inf  # type: ignore[operator]
            probabilities.append(math.inf if np.isnan(apart) else float(apart))
    nothing = float("nan")
    return Agreement(
        boxes=asked,
        found=len(overlaps) / asked if asked else nothing,
        alike=sum(map(_alike, overlaps, scores)) / asked if asked else nothing,
        new=new,
        least_iou=min(overlaps, default=nothing),
        score_error=max(scores, default=nothing),
        masks=float(np.mean(np.array(masks) >= SAME_MASK_IOU)) if masks else nothing,
        pixels=float(np.mean(pixels)) if pixels else nothing,
        probability_error=max(probabilities, default=nothing),
    )


def _alike(iou: float, score_error: float) -> bool:
    return iou >= ALIKE_IOU and score_error <= ALIKE_SCORE


def _pairs(one: Output, other: Output) -> list[tuple[int, int, float]]:
    """(place in `one`, place in `other`, IoU) of the boxes of `one` that score enough, each with another of `other`."""
    chosen = np.flatnonzero(one.scores >= COUNTS_FROM)
    iou = np.nan_to_num(box_iou(torch.as_tensor(one.boxes[chosen]), torch.as_tensor(other.boxes)).numpy())
    alike = np.isclose(one.boxes[chosen][:, None], other.boxes[None], rtol=0, atol=ALIKE_PX).all(axis=2)
    iou = np.where(alike, 1, iou)  # those without an area, too
    iou = np.where(one.class_ids[chosen][:, None] == other.class_ids[None, :], iou, 0)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return [
        (int(chosen[row]), int(column), float(iou[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if iou[row, column] >= SAME_IOU
    ]


def _mask_iou(one: bytes, other: bytes, size: Sequence[int]) -> float:
    """Of two masks in COCO's RLE; that of two empty ones is 1."""
    from pycocotools import mask as coco_mask  # not on every machine that infers

    runs = [{"size": list(size), "counts": counts} for counts in (one, other)]
    if not coco_mask.area(runs).any():
        return 1.0
    return float(coco_mask.iou(runs[:1], runs[1:], [0])[0, 0])
