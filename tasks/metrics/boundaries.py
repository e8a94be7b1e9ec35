"""Boundary F-score of semantic label maps: how well outlines lie, from pixel counts kept by frame.

A boundary pixel of a class is one of its own pixels that touches a pixel of another class above, below, left or right
of it (the inner boundary, 4-connected). The frame's edge makes none, nor does what truth says to ignore, and what is
predicted there is left out. It is matched when the other map has a boundary pixel of the same class within a tolerance,
measured between pixel centres. Precision is the matched share of predicted boundary pixels, recall that of true ones
(Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013). They average over images; here
counts are added up over frames, so that every slice and resample is a sum.
"""

import math
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.resampling import Replicates, Resampler

TOLERANCE: Final = 0.0075
"""Share of the frame's diagonal within which boundaries match (Csurka et al.), rounded up to whole pixels as the
benchmark of DAVIS does (Perazzi et al., CVPR 2016)."""

Map = npt.NDArray[np.uint8]

_BITS: Final = 8
"""Classes handled at once, one in each bit of a byte."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Boundary pixels by frame and class, (n_frames, n_classes) each.

    Attributes:
        predicted: of the predicted map.
        predicted_matched: those of them with a true one within the tolerance.
        truth: of the true map.
        truth_matched: those of them with a predicted one within the tolerance.
    """

    predicted: Ints
    predicted_matched: Ints
    truth: Ints
    truth_matched: Ints

    @classmethod
    def empty(cls, n_frames: int, n_classes: int) -> "Counts":
        """No pixel in any frame."""
        return cls(*(np.zeros((n_frames, n_classes), dtype=np.int64) for _ in fields(cls)))

    def put(self, frame: int, counted: Ints) -> None:
        """Enter what `count` gave for a frame."""
        self.predicted[frame], self.predicted_matched[frame], self.truth[frame], self.truth_matched[frame] = counted


def tolerance_px(height: int, width: int) -> int:
    """The tolerance in a frame of this size, in whole pixels, at least 1.

    Examples:
        >>> tolerance_px(192, 320), tolerance_px(1024, 2048)
        (3, 18)
    """
    return math.ceil(TOLERANCE * math.hypot(height, width))


def count(truth: Map, predicted: Map, n_classes: int, radius_px: int) -> Ints:
    """Boundary pixels of one frame by class, (4, n_classes), in the order of `Counts`.

    All classes of a frame are handled together, each in a bit of its own: "is there a boundary pixel of my class within
    the tolerance" is then one bitwise or over a disk of shifted maps, whatever the number of classes.

    Args:
        truth: (H, W) positions of classes, n_classes for what is ignored.
        predicted: (H, W) likewise, n_classes for a class outside the data set's: it bounds others and has no row.
        n_classes: at most 255.
        radius_px: the tolerance.
    """
    height, width = truth.shape
    valid = truth.reshape(-1) < n_classes
    at, kinds = [], []
    for positions in (predicted, truth):
        places = np.flatnonzero(_outline(positions, None if valid.all() else valid))
        kinds.append(positions.reshape(-1)[places])
        at.append(places + places // width * radius_px)  # in rows as `_spread` has them
    held = [np.bincount(kind, minlength=n_classes + 1)[:n_classes] for kind in kinds]
    shared = np.flatnonzero((held[0] > 0) & (held[1] > 0))
    hits = [np.zeros(len(kind), dtype=bool) for kind in kinds]
    for start in range(0, len(shared), _BITS):
        some = shared[start : start + _BITS]
        bit = np.zeros(n_classes + 1, dtype=np.uint8)
        bit[some] = 1 << np.arange(len(some))
        bits = [bit[kind] for kind in kinds]
        for side, other in ((0, 1), (1, 0)):
            near = _spread(at[other], bits[other], height, width + radius_px, radius_px)
            hits[side] |= (near[at[side]] & bits[side]) > 0
    found = [np.bincount(kind[hit], minlength=n_classes + 1)[:n_classes] for kind, hit in zip(kinds, hits, strict=True)]
    return np.array([held[0], found[0], held[1], found[1]], dtype=np.int64)


def _outline(positions: Map, valid: Bools | None) -> Bools:
    """(H * W,) whether a pixel touches one of another class; both must be valid where that is not None.

    Rows stand end to end here and in `_spread`: a shift is then one pass over memory, which is twice as fast.
    """
    width, flat = positions.shape[1], positions.reshape(-1)
    found = np.zeros(len(flat), dtype=bool)
    for step, across in ((1, True), (width, False)):
        differs = flat[step:] != flat[:-step]
        if across:
            differs[width - 1 :: width] = False  # the end of a row and the start of the next
        if valid is not None:
            differs &= valid[step:] & valid[:-step]
        found[step:] |= differs
        found[:-step] |= differs
    return found


def _spread(at: npt.NDArray[np.intp], bits: Map, height: int, stride: int, radius_px: int) -> Map:
    """(height * stride,) the bits of every pixel within the radius, joined.

    The disk's rows are runs that only grow towards its middle: each is the one before it, widened.

    Args:
        at: places of pixels where rows stand end to end.
        bits: theirs; elsewhere there are none.
        height: rows.
        stride: columns, the last `radius_px` of which are empty, so that nothing reaches another row.
        radius_px: of the disk.
    """
    reach, size, edge = 0, height * stride, radius_px * stride
    wide = np.zeros(size + 2 * (edge + radius_px), dtype=np.uint8)
    wide[edge + radius_px + at] = bits
    length = size + 2 * edge
    run = wide[radius_px : radius_px + length].copy()
    found = np.zeros(size, dtype=np.uint8)
    for step in range(radius_px, -1, -1):
        half = math.isqrt(radius_px**2 - step**2)
        for shift in range(reach + 1, half + 1):
            run |= wide[radius_px - shift : radius_px - shift + length]
            run |= wide[radius_px + shift : radius_px + shift + length]
        reach = half
        for row in {edge - step * stride, edge + step * stride}:
            found |= run[row : row + size]
    return found


def figures(counts: Counts, frames: Bools | None = None, *, kind: int | None = None) -> dict[str, float]:
    """boundary_f1 over the frames chosen, the mean over the classes that have a boundary in truth, or of one class.

    A class without a true boundary is NaN and in no mean; one that is never matched is 0.
    """
    chosen = slice(None) if frames is None else frames
    score = _f1(*(getattr(counts, part.name)[chosen].sum(axis=0).astype(float) for part in fields(counts)))
    own = score if kind is None else score[kind : kind + 1]
    own = own[~np.isnan(own)]
    return {"boundary_f1": float(own.mean()) if len(own) else math.nan}


def resampled(
    counts: Counts, resampler: Resampler, frames: Bools | None = None
) -> tuple[dict[str, Replicates], list[dict[str, Replicates]]]:
    """`figures` in every resample: of all classes, and of each; a class without a true boundary has none."""
    parts = (resampler.sums(resampler.by_unit(getattr(counts, part.name), frames)) for part in fields(counts))
    score = _f1(*parts)
    defined: Bools = np.asarray(~np.isnan(score).any(axis=0))
    by_class = [
        {"boundary_f1": score[:, kind].astype(np.float32)} if defined[kind] else {} for kind in range(score.shape[1])
    ]
    together = {"boundary_f1": score[:, defined].mean(axis=1).astype(np.float32)} if defined.any() else {}
    return together, by_class


def _f1(predicted: Floats, predicted_matched: Floats, truth: Floats, truth_matched: Floats) -> Floats:
    """Harmonic mean of precision and recall, 2 p t / (p T + t P); NaN without truth. Nothing is matched on one side
    alone, so where the denominator is 0 there was nothing to find it with.
    """
    twice = predicted_matched * truth + truth_matched * predicted
    score = np.divide(2 * predicted_matched * truth_matched, twice, out=np.zeros(twice.shape), where=twice > 0)
    found: Floats = np.where(truth > 0, score, np.nan)
    return found
