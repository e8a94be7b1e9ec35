"""Boxes and masks as arrays: truth, detections, and which of them overlap by how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """Annotated objects, (N,) each.

    Attributes:
        frame: position of the frame; ascending.
        kind: position of the class.
        boxes: (N, 4) half-open xyxy in pixels.
        area_px2: as annotated; the size ranges go by it.
        crowd: a region of many: overlap is measured against the detection alone, and any number may match.
        ignored: counts neither as found nor as missed; includes every crowd.
        masks: compressed RLE by object, or None when masks are not scored.
    """

    frame: Ints
    kind: Ints
    boxes: Floats
    area_px2: Floats
    crowd: Bools
    ignored: Bools
    masks: Sequence[dict[str, object]] | None = None

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, eq=False)
class Detections:
    """A model's detections in the data set's classes, (N,) each; `score` ascends nowhere in particular."""

    frame: Ints
    kind: Ints
    boxes: Floats
    score: Floats
    area_px2: Floats
    masks: Sequence[dict[str, object]] | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, chosen: npt.NDArray[np.bool_] | Ints) -> "Detections":
        """The detections chosen by a mask or by positions, in that order."""
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return Detections(
            frame=self.frame[rows],
            kind=self.kind[rows],
            boxes=self.boxes[rows],
            score=self.score[rows],
            area_px2=self.area_px2[rows],
            masks=None if self.masks is None else [self.masks[row] for row in rows],
        )


def join(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Positions (i, j) of every pair with left[i] == right[j], ordered by i, then j.

    Examples:
        >>> [a.tolist() for a in join(np.array([5, 7, 5]), np.array([7, 5, 5]))]
        [[0, 0, 1, 2, 2], [1, 2, 0, 1, 2]]
    """
    order = np.argsort(right, kind="stable")
    ordered = right[order]
    first = np.searchsorted(ordered, left, side="left")
    counts = np.searchsorted(ordered, left, side="right") - first
    rows = np.repeat(np.arange(len(left)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows.astype(np.int64), order[np.repeat(first, counts) + within].astype(np.int64)


def box_iou(left: Floats, right: Floats, crowd: Bools | None = None) -> Floats:
    """Intersection over union of boxes pair by pair; against a crowd, over the left box's own area.

    Computed from x, y, width and height in the order of pycocotools' `bbIou` (maskApi.c), so that an overlap that lies
    exactly on a threshold falls on the same side.

    Args:
        left: (N, 4) xyxy, detections.
        right: (N, 4) xyxy, truth.
        crowd: (N,) whether the right one is a crowd.

    Returns:
        (N,) in 0..1; boxes without area overlap nothing.

    Examples:
        >>> box_iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2]])).round(3).tolist()
        [0.333]
    """
    left_wh, right_wh = left[:, 2:] - left[:, :2], right[:, 2:] - right[:, :2]
    ends = np.minimum(left[:, :2] + left_wh, right[:, :2] + right_wh)
    overlap = np.clip(ends - np.maximum(left[:, :2], right[:, :2]), 0, None)
    shared = overlap[:, 0] * overlap[:, 1]
    own = left_wh[:, 0] * left_wh[:, 1]
    union = own + right_wh[:, 0] * right_wh[:, 1] - shared
    whole = union if crowd is None else np.where(crowd, own, union)
    iou: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)
    return iou


def mask_iou(detections: Detections, truth: Truth, rows: Ints, columns: Ints) -> Floats:
    """Intersection over union of masks for the pairs (rows, columns), by pycocotools.

    Args:
        detections: with masks.
        truth: with masks.
        rows: (P,) positions of detections, calls are fewest when equal ones stand together.
        columns: (P,) positions of truth.
    """
    from pycocotools import mask as coco_mask

    if detections.masks is None or truth.masks is None:
        raise ValueError("expected masks on both sides")
    found = np.zeros(len(rows))
    starts: Ints = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]][: len(rows)])
    for start, end in pairwise([*starts, len(rows)]):
        others = columns[start:end]
        found[start:end] = coco_mask.iou(
            [detections.masks[rows[start]]],
            [truth.masks[other] for other in others],
            [int(truth.crowd[other]) for other in others],
        )[0]
    return found


def overlap(detections: Detections, truth: Truth, rows: Ints, columns: Ints, *, masks: bool) -> Floats:
    """(P,) intersection over union of the pairs (rows, columns): of their masks, or of their boxes.

    Args:
        detections: with masks, if these are asked for.
        truth: likewise. Against a crowd it is over the detection's own area.
        rows: (P,) positions of detections, of masks fastest when equal ones stand together.
        columns: (P,) positions of truth.
        masks: of masks, not boxes.
    """
    if masks:
        return mask_iou(detections, truth, rows, columns)
    return box_iou(detections.boxes[rows], truth.boxes[columns], truth.crowd[columns])


def mask_areas(masks: Sequence[dict[str, object]]) -> Floats:
    """(N,) area of compressed RLE masks in square pixels."""
    from pycocotools import mask as coco_mask

    # One by one: pycocotools 2.0.11 keeps the length of a list in a uint8, so NumPy 2 refuses more than 255 masks.
    return np.array([float(coco_mask.area(mask)) for mask in masks])
