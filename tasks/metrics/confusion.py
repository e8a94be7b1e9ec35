"""Which class a detector takes for which: counts of objects by true and detected class."""

from dataclasses import replace
from typing import Final

import numpy as np

from tasks.metrics import matching
from tasks.metrics.instances import Bools, Detections, Ints, Truth, join, overlap
from tasks.metrics.matching import Candidates

IOU: Final = 0.5
"""A detection takes an object that it overlaps by at least this."""


def of_detections(
    truth: Truth,
    detections: Detections,
    n_classes: int,
    threshold: float,
    *,
    frames: Bools | None = None,
    masks: bool = False,
) -> Ints:
    """Which class is taken for which, at an operating threshold.

    By falling score each detection takes the free object of greatest overlap in its frame, of whatever class; the rest
    is background. A detection that takes an ignored object, as none that counts is free, counts for nothing.

    Args:
        truth: what is there.
        detections: of each frame and class the 100 best count.
        n_classes: how many classes there are.
        threshold: detections below this score do not count.
        frames: (n_frames,) the frames that count; None for all.
        masks: overlap is measured between masks.

    Returns:
        (n_classes + 1, n_classes + 1) objects, by true class, then detected class. The last row counts detections on
        background, the last column objects that were not detected.
    """
    matrix = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    kept = detections.score >= threshold
    if frames is not None:
        kept = kept & frames[detections.frame]
    found = matching.candidates(truth, detections.take(kept), n_classes).detections
    found = found.take(np.lexsort((-found.score, found.frame)))
    row, column = join(found.frame, truth.frame)
    iou = overlap(found, truth, row, column, masks=masks)
    near = iou >= IOU
    # One class of all: the matching itself is COCO's.
    alike = replace(found, kind=np.zeros_like(found.kind))
    pairs = Candidates(alike, truth, 1, found.frame, found.frame, row[near], column[near], iou[near])
    partner = matching.assign(pairs, truth.ignored)[0]
    hit = partner >= 0
    hit[hit] = ~truth.ignored[partner[hit]]
    left = ~truth.ignored if frames is None else ~truth.ignored & frames[truth.frame]
    left[partner[hit]] = False
    np.add.at(matrix, (truth.kind[partner[hit]], found.kind[hit]), 1)
    matrix[:-1, -1] = np.bincount(truth.kind[left], minlength=n_classes)
    matrix[-1, :-1] = np.bincount(found.kind[partner < 0], minlength=n_classes)
    return matrix
