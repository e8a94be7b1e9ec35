"""Detection and instance segmentation: COCO's average precision and recall.

Matching is done once for each frame, class and ignore rule (all objects, an area range, a tag); every slice of frames,
class and metric is then a reduction over the stored matches. Equal to pycocotools' COCOeval, whose steps are cited.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Detections, Floats, Ints, Truth, box_iou, join, mask_iou

THRESHOLDS: Final[Floats] = np.linspace(0.5, 0.95, 10)
"""IoU thresholds .50:.05:.95 (pycocotools, `Params.iouThrs`)."""

RECALLS: Final[Floats] = np.linspace(0.0, 1.0, 101)
"""Recall levels at which precision is read (pycocotools, `Params.recThrs`)."""

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


@dataclass(frozen=True, eq=False)
class Figures:
    """Average precision and greatest recall by class and IoU threshold, (n_classes, 10); NaN without truth."""

    precision: Floats
    recall: Floats

    def metrics(self, kind: int | None = None) -> dict[str, float]:
        """map, ap50, ap75 and ar100 over the classes that have truth, or of one class."""
        rows = slice(None) if kind is None else slice(kind, kind + 1)
        precision, recall = self.precision[rows], self.recall[rows]
        return {
            "map": _mean(precision),
            "ap50": _mean(precision[:, 0]),
            "ap75": _mean(precision[:, 5]),
            "ar100": _mean(recall),
        }


def candidates(truth: Truth, detections: Detections, n_classes: int, *, masks: bool = False) -> Candidates:
    """The pairs that may match: the same frame and class, and an overlap of at least the lowest threshold."""
    kept = detections.take(np.lexsort((-detections.score, detections.frame, detections.kind)))
    key = kept.kind * (1 << 40) + kept.frame
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(key)) - np.repeat(starts, np.diff(np.r_[starts, len(key)]))
    best = rank < MAX_DETECTIONS
    kept, key, rank = kept.take(best), key[best], rank[best]
    row, column = join(key, truth.kind * (1 << 40) + truth.frame)
    if masks:
        iou = mask_iou(kept, truth, row, column)
    else:
        iou = box_iou(kept.boxes[row], truth.boxes[column], truth.crowd[column])
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


def figures(matches: Matches, frames: Bools | None = None, *, max_detections: int = MAX_DETECTIONS) -> Figures:
    """Average precision and recall by class over a set of frames (COCOeval.accumulate).

    Args:
        matches: from `match`.
        frames: (n_frames,) the frames that count; None for all.
        max_detections: best detections of each frame and class that count, at most MAX_DETECTIONS.
    """
    wanted = matches.wanted if frames is None else matches.wanted[frames[matches.wanted[:, 0]]]
    n_wanted = np.bincount(wanted[:, 1], minlength=matches.n_classes)
    use = matches.rank < max_detections
    if frames is not None:
        use &= frames[matches.frame]
    precision = np.full((matches.n_classes, len(THRESHOLDS)), np.nan)
    recall = precision.copy()
    for kind in np.flatnonzero(n_wanted):
        span = np.flatnonzero(use[matches.ends[kind] : matches.ends[kind + 1]]) + matches.ends[kind]
        hit, counted = matches.hit[:, span], matches.counted[:, span]
        if counted.all():  # no ignored region met: every threshold counts the same detections
            seen = np.broadcast_to(np.arange(1, len(span) + 1), counted.shape)
        else:
            seen = np.cumsum(counted, axis=1)
        for place in range(len(THRESHOLDS)):
            at = np.flatnonzero(hit[place])
            precision[kind, place] = _average(seen[place, at], int(n_wanted[kind]))
            recall[kind, place] = len(at) / n_wanted[kind]
    return Figures(precision, recall)


def _average(seen: Ints, n_wanted: int) -> float:
    """Mean interpolated precision over RECALLS, given how many detections were seen at each hit.

    Precision only falls between hits, so its envelope and the places where recall reaches a level are all hits.
    """
    if not len(seen):
        return 0.0
    hits = np.arange(1, len(seen) + 1)
    envelope = np.maximum.accumulate((hits / (seen + np.spacing(1.0)))[::-1])[::-1]
    places = np.searchsorted(hits / n_wanted, RECALLS, side="left")
    reached = places < len(seen)
    return float(envelope[places[reached]].sum() / len(RECALLS))


def operating_threshold(matches: Matches) -> float:
    """The score at which F1 at IoU 0.5 over all classes together is best; NaN without truth or detections.

    Of equal F1 the highest score is taken.
    """
    counted = matches.counted[0]
    score, hit = matches.score[counted], matches.hit[0][counted]
    if not len(score) or not len(matches.wanted) or not hit.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    score, found = score[order], np.cumsum(hit[order])
    f1 = 2 * found / (np.arange(1, len(score) + 1) + len(matches.wanted))
    last = np.r_[score[1:] != score[:-1], True]  # a threshold takes all detections of a score or none
    f1[~last] = -1.0
    return float(score[int(np.argmax(f1))])


def summary(matches: Mapping[str, Matches]) -> dict[str, float]:
    """COCO's twelve numbers under pycocotools' names, from the matches for `all`, `small`, `medium`, `large`."""
    whole = figures(matches["all"])
    numbers = {"AP": _mean(whole.precision), "AP50": _mean(whole.precision[:, 0]), "AP75": _mean(whole.precision[:, 5])}
    sizes = {size[0]: figures(matches[size]) for size in ("small", "medium", "large")}
    numbers |= {f"AP{letter}": _mean(found.precision) for letter, found in sizes.items()}
    numbers |= {f"AR{n}": _mean(figures(matches["all"], max_detections=n).recall) for n in (1, 10, 100)}
    numbers |= {f"AR{letter}": _mean(found.recall) for letter, found in sizes.items()}
    return numbers


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
