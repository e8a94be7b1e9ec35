"""Policy: from which score on a detector's boxes are acted on or observed, class by class, and what to expect of that.

The threshold of a class is the lowest score at which the precision at IoU 0.5 reaches a target and has stayed there for
all scores above. Fewer than 1 / (1 - target) boxes miss the target with a single error among them: they show nothing,
so the precision is asked for from so many boxes on, and a threshold rests on as many at least.

Another mix of classes is label shift: what a model makes of an object of a class stays, how often the class comes
changes (Saerens et al., Neural Computation 2002; Lipton et al., ICML 2018). There are as many objects a frame as
before; a box weighs as much as the class of the object that it found or was meant for, one on background as before.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.metrics.errors import Errors
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.matching import Matches
from tasks.metrics.resampling import Resampler

LEVELS: Final = ("act", "observe")
"""What a box is good for: an event may rest on it, or somebody should look."""

_ROUNDING: Final = 1e-9
"""How far a product of a share and a count may lie from a whole number that it is meant to be."""


def least_boxes(target: float) -> int:
    """How many boxes it takes to show a precision: that many reach it with one error among them, fewer do not.

    Examples:
        >>> least_boxes(0.9), least_boxes(0.6)
        (10, 3)
    """
    return math.ceil(1 / (1 - target) - _ROUNDING)


def threshold(
    score: npt.NDArray[np.floating], hit: Bools, target: float, weight: npt.NDArray[np.floating] | None = None
) -> float:
    """The lowest score from which on precision reaches `target`; NaN where it never does.

    Args:
        score: (N,) of the boxes that count.
        hit: (N,) whether each found an object.
        target: 0 < target < 1.
        weight: (N,) of each box; None: 1 each.

    Examples:
        >>> threshold(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, True, True, False, False]), 0.75)
        0.6
    """
    order = np.argsort(-score, kind="stable")
    score, hit = score[order], hit[order]
    share = np.ones(len(score)) if weight is None else weight[order]
    seen, found = np.cumsum(share), np.cumsum(share * hit)
    asked = np.r_[score[1:] != score[:-1], np.ones(min(len(score), 1), dtype=bool)]  # all boxes of a score or none
    asked &= (np.arange(1, len(score) + 1) >= least_boxes(target)) & (seen > 0)
    places = np.flatnonzero(asked)
    reached = found[places] >= target * seen[places] - _ROUNDING
    kept = int(np.argmin(np.r_[reached, False]))  # places before the first at which the precision is too low
    return float(score[places[kept - 1]]) if kept else float("nan")


def thresholds(matches: Matches, target: float, weight: Floats | None = None) -> Floats:
    """`threshold` of each class, (n_classes,).

    Args:
        matches: from `matching.match`, of clean frames.
        target: 0 < target < 1.
        weight: (N,) of each detection, from `shifted`; None: 1 each.
    """
    found = np.full(matches.n_classes, np.nan)
    for kind in range(matches.n_classes):
        rows = np.arange(matches.ends[kind], matches.ends[kind + 1])
        rows = rows[matches.counted[0, rows]]
        own = None if weight is None else weight[rows]
        found[kind] = threshold(matches.score[rows], matches.hit[0, rows], target, own)
    return found


def shifted(errors: Errors, order: Ints, counts: Floats, mix: Floats) -> tuple[Floats, Floats]:
    """How much detections and objects weigh when the classes come in another mix.

    Args:
        errors: from `errors.find`: it tells which object a detection found or was meant for.
        order: `Candidates.order`: the detections are put into the order of `Matches`.
        counts: (n_classes,) objects of each class in the data.
        mix: (n_classes,) shares to come, of any sum above 0.

    Returns:
        (N,) weights of detections and (n_classes,) of objects; NaN throughout where the mix has a class that the data
        lack.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(mix > 0, (mix / mix.sum()) / (counts / counts.sum()), 0.0)
    if not np.isfinite(weight).all():
        weight = np.full(len(mix), np.nan)
    origin = np.full(len(errors.target), len(mix), dtype=np.int64)
    meant = errors.target >= 0
    origin[meant] = errors.truth.kind[errors.target[meant]]
    background = 1.0 if np.isfinite(weight).all() else float("nan")
    return np.r_[weight, background][origin[order]], weight


def tally(
    matches: Matches,
    limits: Floats,
    resampler: Resampler,
    frames: Bools | None = None,
    weights: tuple[Floats, Floats] | None = None,
) -> Floats:
    """Hits, boxes kept and objects wanted by unit and class: (n_units, n_classes, 3).

    Args:
        matches: from `matching.match`; a match does not depend on boxes that score less, so none is matched again.
        limits: (n_classes,) thresholds; none of the boxes of a class without one (NaN) is kept.
        resampler: the units.
        frames: (n_frames,) the frames that count; None for all.
        weights: from `shifted`; None: 1 each.
    """
    n_units, n_classes = len(resampler.weights), matches.n_classes
    kind = matches.kind
    kept = matches.counted[0] & (matches.score >= limits[kind])
    wanted = matches.wanted
    if frames is not None:
        kept &= frames[matches.frame]
        wanted = wanted[frames[wanted[:, 0]]]
    hits = kept & matches.hit[0]
    box, thing = weights if weights is not None else (np.ones(len(kept)), np.ones(n_classes))
    rows = [
        (matches.frame[hits], kind[hits], box[hits]),
        (matches.frame[kept], kind[kept], box[kept]),
        (wanted[:, 0], wanted[:, 1], thing[wanted[:, 1]]),
    ]
    counts = [
        np.bincount(resampler.unit_of[frame] * n_classes + of, weights=weight, minlength=n_units * n_classes)
        for frame, of, weight in rows
    ]
    return np.stack(counts, axis=-1).reshape(n_units, n_classes, 3).astype(float)


def rates(counts: Floats) -> dict[str, Floats]:
    """Precision and recall from (..., 3) hits, boxes and objects; NaN without boxes, or without objects."""
    hits, kept, wanted = np.moveaxis(counts, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"precision": hits / kept, "recall": hits / wanted}
