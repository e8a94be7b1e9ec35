"""Detection and instance segmentation: COCO's average precision and recall, reduced from stored matches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.matching import MAX_DETECTIONS, Matches
from tasks.metrics.resampling import Resampler

RECALLS: Final[Floats] = np.linspace(0.0, 1.0, 101)
"""Recall levels at which precision is read (pycocotools, `Params.recThrs`)."""

ABOVE: Final[Bools] = np.arange(101) / 100 < RECALLS
"""The levels that `linspace` puts a hair above their hundredth: pycocotools does not reach them with that recall."""

SLACK: Final = np.float32(1e-3)
"""Room for sums in float32, in levels."""

BLOCK_BYTES: Final = 1 << 24
"""Size of an array while resamples are reduced: small enough for memory, long enough rows for NumPy."""

DENSE: Final = 1024
"""Elements up to which a matrix of counts costs less as it is than SciPy's bookkeeping of a sparse one."""


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


@dataclass(frozen=True, eq=False)
class Replicates:
    """The same in every resample, float32 (n_classes, 10, resamples)."""

    precision: npt.NDArray[np.float32]
    recall: npt.NDArray[np.float32]

    def metrics(self, kind: int | None = None) -> dict[str, npt.NDArray[np.float32]]:
        """As `Figures.metrics`, (resamples,) each."""
        rows = slice(None) if kind is None else slice(kind, kind + 1)
        defined = ~np.isnan(self.recall[rows, 0, 0])
        if not defined.any():
            nothing = np.full(self.precision.shape[-1], np.nan, dtype=np.float32)
            return dict.fromkeys(("map", "ap50", "ap75", "ar100"), nothing)
        precision, recall = self.precision[rows][defined], self.recall[rows][defined]
        return {
            "map": precision.mean(axis=(0, 1)),
            "ap50": precision[:, 0].mean(axis=0),
            "ap75": precision[:, 5].mean(axis=0),
            "ar100": recall.mean(axis=(0, 1)),
        }


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
    precision = np.full((matches.n_classes, len(matches.hit)), np.nan)
    recall = precision.copy()
    for kind in np.flatnonzero(n_wanted):
        span = np.flatnonzero(use[matches.ends[kind] : matches.ends[kind + 1]]) + matches.ends[kind]
        hit, counted = matches.hit[:, span], matches.counted[:, span]
        if counted.all():  # no ignored region met: every threshold counts the same detections
            seen = np.broadcast_to(np.arange(1, len(span) + 1), counted.shape)
        else:
            seen = np.cumsum(counted, axis=1)
        for place in range(len(hit)):
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


def resampled(
    matches: Matches, resampler: Resampler, frames: Bools | None = None, *, recall_only: bool = False
) -> "Replicates":
    """`figures` in every resample: each detection and truth object weighs as much as its frame's unit.

    Args:
        matches: from `match`.
        resampler: the units and their weights.
        frames: (n_frames,) the frames that count; None for all.
        recall_only: leave precision NaN.
    """
    shape = (matches.n_classes, len(matches.hit), resampler.resamples)
    precision, recall = (np.full(shape, np.nan, dtype=np.float32) for _ in range(2))
    wanted = matches.wanted if frames is None else matches.wanted[frames[matches.wanted[:, 0]]]
    by_class = np.zeros((matches.n_classes, len(resampler.weights)))
    np.add.at(by_class, (wanted[:, 1], resampler.unit_of[wanted[:, 0]]), 1)
    for kind in np.flatnonzero(by_class.any(axis=1)):
        rows = slice(matches.ends[kind], matches.ends[kind + 1])
        use = matches.counted[:, rows].any(axis=0)
        if frames is not None:
            use &= frames[matches.frame[rows]]
        span = np.flatnonzero(use) + rows.start
        hit, units = matches.hit[:, span], resampler.unit_of[matches.frame[span]]
        totals = resampler.sums(by_class[kind])
        hits = _by_unit(units, np.ones((len(span), 1)) * hit.T, len(by_class[kind]))
        recall[kind] = (resampler.sums(hits) / totals[:, None]).T
        if not recall_only:
            precision[kind] = _weighted_precision(resampler, units, totals, hit, matches.counted[:, span])
    return Replicates(precision, recall)


def _by_unit(units: Ints, rows: Floats, n_units: int) -> Floats:
    found = np.zeros((n_units, rows.shape[1]))
    np.add.at(found, units, rows)
    return found


def _weighted_precision(resampler: Resampler, units: Ints, totals: Floats, hit: Bools, counted: Bools) -> Floats:
    """Average precision of one class, (10, resamples).

    Precision is read at hits alone, so what is seen between two of them is added up unit by unit before it is weighted.

    Args:
        resampler: the units and their weights.
        units: (N,) of each detection, by falling score.
        totals: (resamples,) weight of the truth.
        hit: (10, N) as in `Matches`.
        counted: (10, N) likewise.
    """
    found = np.zeros((len(hit), resampler.resamples))
    places = np.flatnonzero(hit.any(axis=1))
    if not len(places):
        return found
    used, units = np.unique(units, return_inverse=True)
    by_unit = resampler.weights[used]
    steps = {}
    for place in places:
        at = np.flatnonzero(hit[place])
        seen = np.flatnonzero(counted[place, : at[-1] + 1])
        between = np.searchsorted(at, seen)  # which hit each detection comes before, or is
        steps[place] = at, _counts(between, units[seen], (len(at), len(used)))
    block = max(1, BLOCK_BYTES // (4 * max(len(at) for at, _ in steps.values())))
    for start in range(0, resampler.resamples, block):
        part = np.s_[start : start + block]
        weights = np.ascontiguousarray(by_unit[:, part])  # once for all thresholds: SciPy would copy it for each
        for place, (at, step) in steps.items():
            passed, hits = _accumulate(step @ weights), _accumulate(weights[units[at]])
            envelope: npt.NDArray[np.float32] = hits / passed
            for row in range(len(envelope) - 2, -1, -1):
                np.maximum(envelope[row], envelope[row + 1], out=envelope[row])
            # Each hit settles the precision at the recall levels between the hit before it and itself.
            hits /= totals[part].astype(np.float32)
            level = _levels(hits)
            settled = np.einsum("hr,hr->r", envelope, level) - np.einsum("hr,hr->r", envelope[1:], level[:-1])
            found[place, part] = (settled + envelope[0]) / len(RECALLS)
    return found


def _counts(rows: Ints, columns: Ints, shape: tuple[int, int]) -> Any:
    """How often each pair of row and column occurs, float32 of `shape`; sparse where that is worth its overhead."""
    height, width = shape
    if height * width <= DENSE:
        return np.bincount(rows * width + columns, minlength=height * width).reshape(shape).astype(np.float32)
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape).tocsr()


def _levels(recall: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The last recall level that each recall reaches, a recall of exactly k / 100 as pycocotools would; in place."""
    recall *= len(RECALLS) - 1
    recall += SLACK
    level = np.floor(recall)
    recall -= level
    flat, on_level = level.reshape(-1), np.flatnonzero(recall < 2 * SLACK)
    reached = flat[on_level]
    flat[on_level] = reached - ABOVE[np.minimum(reached, len(RECALLS) - 1).astype(np.intp)]
    return level


def _accumulate(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The running sum over the first axis, in place; NumPy's own goes down columns, which costs ten times as much."""
    for row in range(1, len(rows)):
        rows[row] += rows[row - 1]
    return rows


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
