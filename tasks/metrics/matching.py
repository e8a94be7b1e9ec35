"""Which detection found which object: COCO's matching, once for each frame, class and ignore rule.

An ignore rule is all objects, an area range or a tag. Every slice of frames, class, metric and resample is then a
reduction over the stored matches (`detection`). Equal to pycocotools' COCOeval, whose steps are cited.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Detections, Floats, Ints, Truth, join, overlap

THRESHOLDS: Final[Floats] = np.linspace(0.5, 0.95, 10)
"""IoU thresholds .50:.05:.95 (pycocotools, `Params.iouThrs`)."""

MAX_DETECTIONS: Final = 100
"""A frame's best detections of a class that count."""

ANY_AREA_PX2: Final = (0.0, 1e5**2)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of a detection and a truth object of one frame and class that overlap enough to match.

    Attributes:
        detections: the MAX_DETECTIONS best of each frame and class, by class, then frame, then falling score.
        rank: (N,) place within frame and class, 0 the best.
        order: (N,) the same detections by class, then falling score: COCO's order of accumulation.
        row, column, iou: (P,) the pairs: position in `detections`, position in the truth, overlap.
    """

    detections: Detections
    truth: Truth
    n_classes: int
    rank: Ints
    order: Ints
    row: Ints
    column: Ints
    iou: Floats


@dataclass(frozen=True, eq=False)
class Matches:
    """What each detection came to under one ignore rule, in COCO's order of accumulation.

    Attributes:
        frame, rank, score: (N,) by class, then falling score.
        ends: (n_classes + 1,) where each class starts and the last ends.
        hit: (10, N) whether the detection found an object that counts, by IoU threshold.
        counted: (10, N) whether the detection counts at all.
        wanted: (M, 2) frame and class of each truth object that counts.
    """

    frame: Ints
    rank: Ints
    score: Floats
    ends: Ints
    hit: Bools
    counted: Bools
    wanted: Ints

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.ends) - 1

    @cached_property
    def kind(self) -> Ints:
        """(N,) the class of each detection."""
        return np.repeat(np.arange(self.n_classes), np.diff(self.ends))


def candidates(
    truth: Truth, detections: Detections, n_classes: int, *, masks: bool = False, best: int = MAX_DETECTIONS
) -> Candidates:
    """The pairs that may match: the same frame and class, and an overlap of at least the lowest threshold."""
    kept = detections.take(np.lexsort((-detections.score, detections.frame, detections.kind)))
    key = kept.kind * (1 << 40) + kept.frame
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(key)) - np.repeat(starts, np.diff(np.r_[starts, len(key)]))
    chosen = rank < best
    kept, key, rank = kept.take(chosen), key[chosen], rank[chosen]
    row, column = join(key, truth.kind * (1 << 40) + truth.frame)
    iou = overlap(kept, truth, row, column, masks=masks)
    near = iou >= THRESHOLDS[0]
    # A stable sort by falling score over all frames, as `accumulate` sorts the concatenated scores with mergesort.
    order = np.lexsort((-kept.score, kept.kind))
    return Candidates(
        kept, truth, n_classes, rank.astype(np.int64), order.astype(np.int64), row[near], column[near], iou[near]
    )


def match(pairs: Candidates, *, inside: Bools | None = None, area_px2: tuple[float, float] = ANY_AREA_PX2) -> Matches:
    """Assign detections to truth as COCOeval.evaluateImg does, under one ignore rule.

    Args:
        pairs: from `candidates`.
        inside: (n_truth,) truth that counts; the rest is ignored. Then only recall has a meaning.
        area_px2: truth outside is ignored, and so is a detection outside that matches nothing.
    """
    truth, found = pairs.truth, pairs.detections
    ignored = truth.ignored | (truth.area_px2 < area_px2[0]) | (truth.area_px2 > area_px2[1])
    if inside is not None:
        ignored = ignored | ~inside
    partner = assign(pairs, ignored)
    matched = partner >= 0
    hit = matched & ~ignored[partner] if len(truth) else matched
    outside = (found.area_px2 < area_px2[0]) | (found.area_px2 > area_px2[1])
    counted = hit | ~(matched | outside)
    order = pairs.order
    wanted = np.column_stack([truth.frame[~ignored], truth.kind[~ignored]])
    return Matches(
        frame=found.frame[order],
        rank=pairs.rank[order],
        score=found.score[order],
        ends=np.searchsorted(found.kind[order], np.arange(pairs.n_classes + 1)).astype(np.int64),
        hit=hit[:, order],
        counted=counted[:, order],
        wanted=wanted,
    )


def assign(pairs: Candidates, ignored: Bools) -> npt.NDArray[np.int64]:
    """(10, n_detections) the truth object that each detection takes at each threshold, -1 for none.

    By falling score within frame and class each detection takes the free object of greatest overlap, one that counts
    before one that is ignored, of equals the last (evaluateImg's loop); a crowd is never used up. The detections of
    one place in all the frames and classes are handled at once, for they cannot want the same object.
    """
    partner = np.full((len(THRESHOLDS), len(pairs.detections)), -1, dtype=np.int64)
    if not len(pairs.row):
        return partner
    # Within a detection's pairs the best comes last.
    order = np.lexsort((pairs.column, pairs.iou, ~ignored[pairs.column], pairs.row))
    row, column, iou = pairs.row[order], pairs.column[order], pairs.iou[order]
    reached = iou[None, :] >= np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    lengths = np.diff(np.r_[starts, len(row)])
    owner = row[starts]
    # Each candidate's turn within its frame and class.
    group = pairs.detections.kind[owner] * (1 << 40) + pairs.detections.frame[owner]
    group_starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    turn = np.arange(len(owner)) - np.repeat(group_starts, np.diff(np.r_[group_starts, len(owner)]))
    crowd = pairs.truth.crowd
    taken = np.zeros((len(THRESHOLDS), len(pairs.truth)), dtype=bool)
    by_turn = np.argsort(turn, kind="stable")
    for members in np.split(by_turn, np.flatnonzero(np.diff(turn[by_turn])) + 1):
        counts = lengths[members]
        offsets = np.cumsum(counts) - counts
        places = np.repeat(starts[members] - offsets, counts) + np.arange(int(counts.sum()))
        wanted = column[places]
        free = reached[:, places] & (~taken[:, wanted] | crowd[wanted])
        best = np.maximum.reduceat(np.where(free, np.arange(len(places)), -1), offsets, axis=1)
        threshold, member = np.nonzero(best >= 0)
        chosen = wanted[best[threshold, member]]
        taken[threshold, chosen] = True
        partner[threshold, owner[members[member]]] = chosen
    return partner
