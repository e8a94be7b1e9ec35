"""What goes wrong in a detector: TIDE's six kinds of error, and what fixing each would gain.

Bolya et al., TIDE: A General Toolbox for Identifying Object Detection Errors (ECCV 2020). A detection that found
nothing is of one of five kinds by its overlap with the truth that counts, asked in the order of the authors' tool:

- loc: 0.1 <= IoU < 0.5 with truth of its class;
- cls: IoU >= 0.5 with truth of another class;
- dupe: IoU >= 0.5 with truth of its class, which a better detection has found;
- both: 0.1 <= IoU < 0.5 with truth of another class;
- bkg: IoU < 0.1 with all truth.

Truth that was neither found nor could be, by fixing a cls or a loc, is of the sixth kind, miss. What counts as found
is `matching`'s, so the AP50 that rises is `detection`'s. All of this happens within a frame: a slice, a class or a
resample is a reduction.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.metrics import detection, matching
from tasks.metrics.instances import Bools, Detections, Floats, Ints, Truth, join, overlap
from tasks.metrics.matching import Candidates, Matches
from tasks.metrics.resampling import Resampler

FOREGROUND_IOU: Final = 0.5
BACKGROUND_IOU: Final = 0.1

KINDS: Final = ("cls", "loc", "both", "dupe", "bkg", "miss")
"""A detection's error is one of the first five, a truth object's the last."""

RIGHT: Final = len(KINDS)
"""In place of a kind: the detection found its object."""

UNCOUNTED: Final = len(KINDS) + 1
"""In place of a kind: the detection lies on an ignored region and counts for nothing."""

FIXES: Final = (*KINDS, "fp", "fn")
"""What can be fixed alone: a kind, every false positive (perfect precision), every false negative (perfect recall)."""

METRICS: Final = tuple(f"tide_{fix}" for fix in FIXES)

_CLS, _LOC, _BOTH, _DUPE, _BKG, _MISS = range(len(KINDS))


@dataclass(frozen=True, eq=False)
class Errors:
    """The errors of one cell.

    Attributes:
        truth, detections: the detections are those of `matching.candidates`, 100 at most a frame and class.
        kind: (N,) what each detection is: a position in KINDS, RIGHT or UNCOUNTED.
        target: (N,) the truth object that it found or, for cls, loc and dupe, was meant for; else -1.
        missed: (M,) whether each truth object is missed, beyond what fixing a cls or a loc finds.
        fixed: matches at IoU 0.5 with, by row, nothing fixed, then cls, loc, both, dupe, bkg and fp. A detection that
            changes class stands there twice.
        fixed_miss, fixed_fn: matches with one row, without the truth that was missed, or not found.
    """

    truth: Truth
    detections: Detections
    kind: Ints
    target: Ints
    missed: Bools
    fixed: Matches
    fixed_miss: Matches
    fixed_fn: Matches

    def counts(self, frames: Bools | None = None, kind: int | None = None) -> dict[str, int]:
        """How many errors of each of KINDS there are; of one class, those that detect it and, for miss, that are it.

        Args:
            frames: (n_frames,) the frames that count; None for all.
            kind: position of a class; None for all.
        """
        here, there = np.ones(len(self.kind), dtype=bool), self.missed
        if frames is not None:
            here, there = frames[self.detections.frame], there & frames[self.truth.frame]
        if kind is not None:
            here, there = here & (self.detections.kind == kind), there & (self.truth.kind == kind)
        found = np.bincount(self.kind[here], minlength=UNCOUNTED + 1)
        found[_MISS] = there.sum()
        return {name: int(found[place]) for place, name in enumerate(KINDS)}


@dataclass(frozen=True, eq=False)
class Figures:
    """How much AP50 rises when one of FIXES is fixed alone, by class: (n_classes, 8), 0..1; NaN without truth.

    Each is 0 or more. A class of which no truth is left, for all of it was missed, rises by 0: no precision is known
    that the missed objects would have been found with.
    """

    rises: Floats

    @property
    def defined(self) -> Ints:
        """Positions of the classes that have truth."""
        return np.flatnonzero(~np.isnan(self.rises[:, 0]))

    def metrics(self, kind: int | None = None) -> dict[str, float]:
        """METRICS over the classes that have truth, or of one class."""
        means = _means(self.rises, kind)
        return {name: float(value) for name, value in zip(METRICS, means, strict=True)}


@dataclass(frozen=True, eq=False)
class Replicates:
    """The same in every resample, float32 (n_classes, 8, resamples)."""

    rises: npt.NDArray[np.float32]

    def metrics(self, kind: int | None = None) -> dict[str, npt.NDArray[np.float32]]:
        """As `Figures.metrics`, (resamples,) each."""
        return dict(zip(METRICS, _means(self.rises, kind).astype(np.float32, copy=False), strict=True))


def find(pairs: Candidates, *, masks: bool = False) -> Errors:
    """Tell the errors of a cell's detections and truth, and what each of the fixes makes of them.

    The fixes are TIDE's oracles. cls and loc: the detection becomes right; where its object has been found already, or
    a better detection of that kind is meant for it too, it is dropped. both, dupe, bkg: the detection is dropped. miss:
    the truth is. The authors' tool (tidecv 1.0.1) lets a cls and a loc compete for an object even while one of the two
    kinds is fixed alone, and tells the errors of detections on ignored regions; here neither is so.

    Args:
        pairs: from `matching.candidates`.
        masks: overlap is measured between masks, as it was for `pairs`.
    """
    truth, found = pairs.truth, pairs.detections
    target = matching.assign(pairs, truth.ignored)[0]
    on_ignored = np.zeros(len(found), dtype=bool)
    on_ignored[target >= 0] = truth.ignored[target[target >= 0]]
    kind = np.where(on_ignored, UNCOUNTED, RIGHT).astype(np.int64)
    stray = np.flatnonzero(target < 0)
    kind[stray], target[stray] = _kinds(truth, found, stray, masks=masks)
    taken = np.zeros(len(truth), dtype=bool)
    taken[target[kind == RIGHT]] = True
    meant = np.isin(kind, (_CLS, _LOC))
    missed = ~truth.ignored & ~taken
    missed[target[meant]] = False
    return Errors(truth, found, kind, target, missed, *_fixed(pairs, kind, target, taken, missed))


def _kinds(truth: Truth, found: Detections, stray: Ints, *, masks: bool) -> tuple[Ints, Ints]:
    """The kind of each stray detection, and the truth that cls, loc and dupe were meant for, -1 for the others."""
    there = np.flatnonzero(~truth.ignored)
    row, place = join(found.frame[stray], truth.frame[there])
    column = there[place]
    iou = overlap(found, truth, stray[row], column, masks=masks)
    near = iou >= BACKGROUND_IOU
    row, column, iou = row[near], column[near], iou[near]
    same = found.kind[stray[row]] == truth.kind[column]
    own, own_iou = _best(len(stray), row[same], column[same], iou[same])
    other, other_iou = _best(len(stray), row[~same], column[~same], iou[~same])
    tests = {
        _LOC: (own_iou >= BACKGROUND_IOU) & (own_iou < FOREGROUND_IOU),
        _CLS: other_iou >= FOREGROUND_IOU,
        _DUPE: own_iou >= FOREGROUND_IOU,
        _BOTH: other_iou >= BACKGROUND_IOU,
    }
    kind = np.select(list(tests.values()), list(tests), default=_BKG).astype(np.int64)
    target = np.where(np.isin(kind, (_LOC, _DUPE)), own, np.where(kind == _CLS, other, -1))
    return kind, target


def _best(n: int, row: Ints, column: Ints, iou: Floats) -> tuple[Ints, Floats]:
    """(n,) the column of greatest IoU of each row (of equals the last, as in `matching`), -1 for none, and that IoU."""
    order = np.lexsort((column, iou, row))
    best, best_iou = np.full(n, -1, dtype=np.int64), np.zeros(n)
    best[row[order]], best_iou[row[order]] = column[order], iou[order]  # the last entry of a row stays
    return best, best_iou


def _fixed(
    pairs: Candidates, kind: Ints, target: Ints, taken: Bools, missed: Bools
) -> tuple[Matches, Matches, Matches]:
    """`fixed`, `fixed_miss` and `fixed_fn` of `Errors`."""
    truth, found = pairs.truth, pairs.detections
    moved = _made_right(found, kind == _CLS, target, taken)  # appended once more, in the class of their truth
    rows = np.r_[np.arange(len(found)), moved]
    class_ = np.r_[found.kind, truth.kind[target[moved]]]
    kinds, again = kind[rows], np.arange(len(rows)) >= len(found)
    right = ~again & (kinds == RIGHT)
    counted = ~again & (kinds != UNCOUNTED)
    gained = np.zeros(len(rows), dtype=bool)
    gained[_made_right(found, kind == _LOC, target, taken)] = True
    hits = {_CLS: right | again, _LOC: right | gained}
    dropped = {_CLS: kinds == _CLS, _LOC: (kinds == _LOC) & ~gained}
    hit = [right, *(hits.get(fix, right) for fix in range(_MISS)), right]
    seen = [counted, *(counted & ~dropped.get(fix, kinds == fix) for fix in range(_MISS)), right]
    seen[1 + _CLS] = seen[1 + _CLS] | again
    # COCO's order of accumulation: by class, then falling score, of equals as they stand in their frame.
    order = np.lexsort((rows, found.frame[rows], -found.score[rows], class_))
    wanted = np.column_stack([truth.frame, truth.kind])
    fixed = Matches(
        frame=found.frame[rows][order],
        rank=np.where(again, 0, pairs.rank[rows])[order],
        score=found.score[rows][order],
        ends=np.searchsorted(class_[order], np.arange(pairs.n_classes + 1)).astype(np.int64),
        hit=np.stack(hit)[:, order],
        counted=np.stack(seen)[:, order],
        wanted=wanted[~truth.ignored],
    )
    plain = replace(fixed, hit=fixed.hit[:1], counted=fixed.counted[:1])
    return fixed, replace(plain, wanted=wanted[~truth.ignored & ~missed]), replace(plain, wanted=wanted[taken])


def _made_right(found: Detections, of_kind: Bools, target: Ints, taken: Bools) -> Ints:
    """Which detections of a kind become right when it is fixed: for each object not found the best meant for it."""
    some = np.flatnonzero(of_kind)
    some = some[~taken[target[some]]]
    some = some[np.lexsort((some, -found.score[some], target[some]))]
    return some[np.unique(target[some], return_index=True)[1]]


def figures(errors: Errors, frames: Bools | None = None) -> Figures:
    """How much AP50 rises when one of FIXES is fixed alone, over a set of frames.

    Args:
        errors: from `find`.
        frames: (n_frames,) the frames that count; None for all.
    """
    return Figures(_rises(*(detection.figures(part, frames).precision for part in _parts(errors))))


def resampled(errors: Errors, resampler: Resampler, frames: Bools | None = None) -> Replicates:
    """`figures` in every resample.

    Args:
        errors: from `find`.
        resampler: the units and their weights.
        frames: (n_frames,) the frames that count; None for all.
    """
    rises = _rises(*(detection.precision_resampled(part, resampler, frames) for part in _parts(errors)))
    return Replicates(rises.astype(np.float32))


def _parts(errors: Errors) -> tuple[Matches, Matches, Matches]:
    """The three matches, of miss and fn the classes alone of which they leave out some truth but not all."""
    whole = np.bincount(errors.fixed.wanted[:, 1], minlength=errors.fixed.n_classes)

    def fewer(part: Matches) -> Matches:
        left = np.bincount(part.wanted[:, 1], minlength=part.n_classes)
        return replace(part, wanted=part.wanted[(left < whole)[part.wanted[:, 1]]])

    return errors.fixed, fewer(errors.fixed_miss), fewer(errors.fixed_fn)


def _rises(fixed: npt.NDArray[np.floating], miss: npt.NDArray[np.floating], fn: npt.NDArray[np.floating]) -> Floats:
    """(n_classes, 8, ...) in the order of FIXES from the average precisions with each of them fixed."""
    none = fixed[:, :1]
    miss, fn = (np.where(np.isnan(part), none, part) for part in (miss, fn))  # a class that lost all its truth, or none
    rises: Floats = np.concatenate([fixed[:, 1:-1], miss, fixed[:, -1:], fn], axis=1) - none
    return rises


def _means(rises: npt.NDArray[np.floating], kind: int | None) -> npt.NDArray[np.floating]:
    if kind is not None:
        return np.asarray(rises[kind])
    defined = ~np.isnan(rises.reshape(len(rises), -1)[:, 0])
    if not defined.any():
        return np.full(rises.shape[1:], np.nan)
    return np.asarray(rises[defined].mean(axis=0))
