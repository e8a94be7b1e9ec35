"""Average precision of single classes: as it is, and in every resample of the sampling units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.matching import Matches
from tasks.metrics.resampling import Resampler

RECALLS: Final[Floats] = np.linspace(0.0, 1.0, 101)
"""Recall levels at which precision is read (pycocotools, `Params.recThrs`)."""

ABOVE: Final[Bools] = np.arange(101) / 100 < RECALLS
"""The levels that `linspace` puts a hair above their hundredth: pycocotools does not reach them with that recall."""

SLACK: Final = np.float32(1e-3)
"""Room for sums in float32, in levels."""

BLOCK_BYTES: Final = 1 << 24
"""Size of an array while resamples are reduced: small enough for memory, long enough rows for NumPy."""

BATCH_BYTES: Final = 1 << 16
"""Size of such an array up to which several small reductions are made together: NumPy's calls cost more than their
work."""

DENSE: Final = 1024
"""Elements up to which a matrix of counts costs less as it is than SciPy's bookkeeping of a sparse one."""


def average(seen: Ints, n_wanted: int) -> float:
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


@dataclass(frozen=True, eq=False)
class Class:
    """What the resamples of a class need, (N,) of its detections that count, by falling score.

    Attributes:
        kind: the class.
        used: (M,) the units that have such detections.
        units: (N,) of each detection, positions in `used`.
        totals: (resamples,) weight of the truth.
        hit, counted: (10, N) as in `Matches`.
    """

    kind: int
    used: Ints
    units: Ints
    totals: Floats
    hit: Bools
    counted: Bools


def by_class(matches: Matches, resampler: Resampler, frames: Bools | None) -> tuple[Ints, list[Class]]:
    """The classes that have truth, and what resamples need of those of which anything is found.

    Args:
        matches: from `match`.
        resampler: the units and their weights.
        frames: (n_frames,) the frames that count; None for all.
    """
    wanted = matches.wanted if frames is None else matches.wanted[frames[matches.wanted[:, 0]]]
    truth = np.zeros((len(resampler.weights), matches.n_classes))
    np.add.at(truth, (resampler.unit_of[wanted[:, 0]], wanted[:, 1]), 1)
    use, hit = np.asarray(matches.counted.any(axis=0)), np.asarray(matches.hit.any(axis=0))
    if frames is not None:
        use, hit = use & frames[matches.frame], hit & frames[matches.frame]
    known = np.flatnonzero(truth.any(axis=0))
    some = known[np.bincount(matches.kind[hit], minlength=matches.n_classes)[known] > 0]
    totals = np.ascontiguousarray(resampler.sums(truth[:, some]).T)
    found = []
    for kind, total in zip(some, totals, strict=True):
        rows = slice(matches.ends[kind], matches.ends[kind + 1])
        span = np.flatnonzero(use[rows]) + rows.start
        units = resampler.unit_of[matches.frame[span]]
        held = np.zeros(len(resampler.weights), dtype=bool)
        held[units] = True
        places = (np.cumsum(held) - 1)[units]
        hits, counted = matches.hit[:, span], matches.counted[:, span]
        found.append(Class(int(kind), np.flatnonzero(held), places, total, hits, counted))
    return known, found


class _Reduction(NamedTuple):
    """A class at the thresholds `places`, which are alike; `at`: (H,) positions of its hits."""

    of: Class
    places: list[int]
    at: Ints


def weighted(
    known: Ints, classes: list[Class], shape: tuple[int, ...], resampler: Resampler
) -> npt.NDArray[np.float32]:
    """Average precision in every resample, float32 of `shape` (n_classes, 10, resamples); NaN without truth.

    Thresholds between which nothing changes up to their last hit are reduced once.

    Args:
        known: the classes that have truth.
        classes: those of which anything is found, as `by_class` gives them.
        shape: of what is given.
        resampler: the units and their weights.
    """
    found = np.full(shape, np.nan, dtype=np.float32)
    found[known] = 0
    reductions = []
    for own in classes:
        for places in distinct(own.hit, own.counted):
            at = np.flatnonzero(own.hit[places[0]])
            if len(at):
                reductions.append(_Reduction(own, places, at))
    # Those too large to be made with another come first, class by class; then the others by falling size.
    room = BATCH_BYTES // (4 * resampler.resamples)
    reductions.sort(key=lambda item: -min(len(item.at), room // 2 + 1))
    weights = _Weights(resampler)
    start = 0
    while start < len(reductions):
        batch = reductions[start : start + max(1, room // len(reductions[start].at))]
        start += len(batch)
        for (own, places, _), values in zip(batch, _weighted_precision(weights, batch), strict=True):
            for place in places:
                found[own.kind, place] = values
    return found


class _Weights:
    """The weights of the units of a class; the last are kept, for its thresholds follow one another."""

    def __init__(self, resampler: Resampler) -> None:
        self._weights = resampler.weights
        self._last: tuple[Class | None, slice | None] = None, None
        self._kept = self._weights
        self.resamples = resampler.resamples

    def of(self, own: Class, part: slice) -> npt.NDArray[np.float32]:
        """(M, resamples in `part`) of `own.used`."""
        if self._last != (own, part):
            self._last, self._kept = (own, part), self._weights[:, part][own.used]
        return self._kept


def distinct(hit: Bools, counted: Bools) -> list[list[int]]:
    """The rows of `hit` and `counted`, (10, N), grouped by what they hold up to their last hit."""
    if not hit.size or len(hit) == 1:
        return [list(range(len(hit)))]
    ends = np.where(hit.any(axis=1), hit.shape[1] - np.argmax(hit[:, ::-1], axis=1), 0)
    found: dict[bytes, list[int]] = {}
    for place, end in enumerate(ends):
        found.setdefault(hit[place, :end].tobytes() + counted[place, :end].tobytes(), []).append(place)
    return list(found.values())


def _weighted_precision(weights: _Weights, batch: list[_Reduction]) -> npt.NDArray[np.float32]:
    """Average precision of each reduction, (len(batch), resamples).

    Precision is read at hits alone, so what is seen between two of them is added up unit by unit before it is weighted.

    Args:
        weights: of the units.
        batch: those with most hits first.
    """
    found = np.empty((len(batch), weights.resamples), dtype=np.float32)
    heights = np.array([len(item.at) for item in batch])
    steps = []
    for own, places, at in batch:
        seen = np.flatnonzero(own.counted[places[0], : at[-1] + 1])
        between = np.searchsorted(at, seen)  # which hit each detection comes before, or is
        steps.append(_counts(between, own.units[seen], (len(at), len(own.used))))
    beyond = np.arange(heights[0]) >= heights[:, None]
    block = max(1, BLOCK_BYTES // (4 * int(heights[0]) * len(batch)))
    for start in range(0, weights.resamples, block):
        part = slice(start, min(start + block, weights.resamples))
        totals = np.stack([item.of.totals[part] for item in batch]).astype(np.float32)
        parts = []
        for step, (own, _, at) in zip(steps, batch, strict=True):
            used = weights.of(own, part)
            parts.append((step @ used, used[own.units[at]]))
        passed, hits = (_stacked(given, heights[0]) for given in zip(*parts, strict=True))
        _accumulate(passed)
        _accumulate(hits)
        envelope = hits / passed
        for row in range(heights[0] - 2, -1, -1):
            np.maximum(envelope[:, row], envelope[:, row + 1], out=envelope[:, row])
        envelope[beyond] = 0
        # Each hit settles the precision at the recall levels between the hit before it and itself.
        hits /= totals[:, None]
        level = _levels(hits)
        settled = np.einsum("phr,phr->pr", envelope, level)
        settled -= np.einsum("phr,phr->pr", envelope[:, 1:], level[:, :-1])
        found[:, part] = (settled + envelope[:, 0]) / len(RECALLS)
    return found


def _stacked(parts: Sequence[npt.NDArray[np.float32]], height: int) -> npt.NDArray[np.float32]:
    """Arrays (H, resamples) as one, (len(parts), height, resamples), zeros below the lower ones."""
    if len(parts) == 1:
        return parts[0][None]
    found = np.zeros((len(parts), height, parts[0].shape[1]), dtype=np.float32)
    for row, part in zip(found, parts, strict=True):
        row[: len(part)] = part
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


def _accumulate(rows: npt.NDArray[np.float32]) -> None:
    """The running sum over the middle axis, in place; NumPy's own goes down columns, which costs ten times as much."""
    for row in range(1, rows.shape[1]):
        rows[:, row] += rows[:, row - 1]
