"""Detection and instance segmentation: COCO's average precision and recall, reduced from stored matches."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tasks.metrics import METRICS
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.matching import MAX_DETECTIONS, Matches
from tasks.metrics.precision import average, by_class, distinct, weighted
from tasks.metrics.resampling import Resampler


@dataclass(frozen=True, eq=False)
class Figures:
    """Average precision and greatest recall by class and IoU threshold, (n_classes, 10); NaN without truth."""

    precision: Floats
    recall: Floats

    @property
    def defined(self) -> Ints:
        """Positions of the classes that have truth."""
        return np.flatnonzero(~np.isnan(self.recall[:, 0]))

    def metrics(self, kind: int | None = None) -> dict[str, float]:
        """map, ap50, ap75 and ar100 over the classes that have truth, or of one class."""
        if kind is not None:
            precision, recall = self.precision[kind], self.recall[kind]
            found = precision.mean(), precision[0], precision[5], recall.mean()
            return dict(zip(METRICS["detection"], map(float, found), strict=True))
        return {
            "map": _mean(self.precision),
            "ap50": _mean(self.precision[:, 0]),
            "ap75": _mean(self.precision[:, 5]),
            "ar100": _mean(self.recall),
        }


@dataclass(frozen=True, eq=False)
class Replicates:
    """The same in every resample, float32 (n_classes, 10, resamples)."""

    precision: npt.NDArray[np.float32]
    recall: npt.NDArray[np.float32]

    def metrics(self, kind: int | None = None) -> dict[str, npt.NDArray[np.float32]]:
        """As `Figures.metrics`, (resamples,) each."""
        if kind is not None:
            precision, recall = self._over_thresholds
            found = precision[kind], self.precision[kind, 0], self.precision[kind, 5], recall[kind]
            return dict(zip(METRICS["detection"], found, strict=True))
        defined = ~np.isnan(self.recall[:, 0, 0])
        if not defined.any():
            nothing = np.full(self.precision.shape[-1], np.nan, dtype=np.float32)
            return dict.fromkeys(METRICS["detection"], nothing)
        precision, recall = self.precision[defined], self.recall[defined]
        return {
            "map": precision.mean(axis=(0, 1)),
            "ap50": precision[:, 0].mean(axis=0),
            "ap75": precision[:, 5].mean(axis=0),
            "ar100": recall.mean(axis=(0, 1)),
        }

    @cached_property
    def _over_thresholds(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Means of precision and recall, (n_classes, resamples)."""
        return self.precision.mean(axis=1), self.recall.mean(axis=1)


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
        recall[kind] = hit.sum(axis=1) / n_wanted[kind]
        for places in distinct(hit, counted):
            precision[kind, places] = average(seen[places[0], hit[places[0]]], int(n_wanted[kind]))
    return Figures(precision, recall)


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
    known, classes = by_class(matches, resampler, frames)
    shape = (matches.n_classes, len(matches.hit), resampler.resamples)
    recall = np.full(shape, np.nan, dtype=np.float32)
    recall[known] = 0
    for own in classes:
        place, at = own.hit.nonzero()
        hits = np.bincount(own.units[at] * shape[1] + place, minlength=len(own.used) * shape[1])
        sums = resampler.by_resample[:, own.used] @ hits.reshape(-1, shape[1]).astype(float)
        recall[own.kind] = (sums / own.totals[:, None]).T
    if recall_only:
        return Replicates(np.full(shape, np.nan, dtype=np.float32), recall)
    return Replicates(weighted(known, classes, shape, resampler), recall)


def precision_resampled(matches: Matches, resampler: Resampler, frames: Bools | None = None) -> npt.NDArray[np.float32]:
    """The precision of `resampled` alone."""
    shape = (matches.n_classes, len(matches.hit), resampler.resamples)
    return weighted(*by_class(matches, resampler, frames), shape, resampler)


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
