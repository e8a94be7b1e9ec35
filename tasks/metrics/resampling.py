"""Intervals: a bootstrap over sampling units whose weights every model, cell and revision shares.

A unit is what was sampled: an image, or a clip of video, whose frames are alike. Each unit gets one random weight a
resample, standard exponential (the Bayesian bootstrap: Rubin, The Annals of Statistics 1981), drawn from a hash of
the unit's id. So a resample is a weighted reduction, differences between models pair by construction, and since no
weight is zero every resample holds every class that the data hold.

A bootstrap of few units is too narrow, the more so for a mean over classes of which one is rare. Both ends are
therefore moved away from the median by what the data can bear, see `Spread`; docs/decisions/0007 has the coverage that
was measured.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints

Replicates = npt.NDArray[np.float32]
"""(resamples,) one metric, computed once for each resample."""


LEAST_WEIGHT: Final = 2.0**-23
"""Stands for a weight of 0, which one draw in 2^23 is: the step of the draws."""

LEAST_UNITS: Final = 2.0
"""Effective units below which a class shows no variance of its own."""


def unit_weights(units: Sequence[str], resamples: int) -> npt.NDArray[np.float32]:
    """(n_units, resamples) positive weights of mean 1; a unit's row depends on its id alone.

    Examples:
        >>> bool((unit_weights(["a", "b"], 4)[1] == unit_weights(["b"], 4)[0]).all())
        True
    """
    found = np.empty((len(units), resamples), dtype=np.float32)
    for place, unit in enumerate(units):
        key = int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=16).digest(), "little")
        np.random.Generator(np.random.Philox(key=key)).standard_exponential(dtype=np.float32, out=found[place])
    return np.maximum(found, np.float32(LEAST_WEIGHT))


class Spread(NamedTuple):
    """How far a bootstrap's ends must move out, from how the truth is spread over units and classes.

    Attributes:
        degrees: of freedom of Student's t, which takes the normal distribution's place.
        inflation: the variance over the one that resampling shows.
    """

    degrees: float
    inflation: float

    @classmethod
    def of(cls, amounts: Floats) -> "Spread | None":
        """The spread of a mean over classes, or of one pooled figure when there is one column.

        A column counts as Kish's effective number of units, n = (sum a)^2 / sum a^2 (Survey Sampling, 1965), for one
        long clip may hold most of a class. Its variance is taken as 1 / n, which resampling shows n / (n - 1) too
        small (Hesterberg, The American Statistician 2015, section 4.1.3); degrees of freedom of the mean by Welch and
        Satterthwaite. A class that rests on less than two units shows no variance of its own: the others' stands in.

        Args:
            amounts: (n_units, n_classes) truth by unit and class: objects, pixels or frames.

        Returns:
            None when no class rests on two units.

        Examples:
            >>> [round(part, 3) for part in Spread.of(np.ones((12, 1)))]
            [11.0, 1.091]
        """
        held = amounts[:, amounts.any(axis=0)].astype(float)
        units = held.sum(axis=0) ** 2 / (held**2).sum(axis=0)
        several, lone = units[units >= LEAST_UNITS], units[units < LEAST_UNITS]
        if not len(several):
            return None
        true = 1 / (several - 1)  # 1 / n, times n / (n - 1)
        degrees = true.sum() ** 2 / (true**2 / (several - 1)).sum()
        return cls(float(degrees), float((true.sum() + (1 / lone).sum()) / (1 / several).sum()))


@dataclass(frozen=True, eq=False)
class Resampler:
    """The units of the scored frames and their weights.

    Attributes:
        unit_of: (n_frames,) position of each frame's unit.
        weights: (n_units, resamples).
        confidence: of every interval, such as 0.95.
        min_units: below so many units no interval is given.
    """

    unit_of: Ints
    weights: npt.NDArray[np.float32]
    confidence: float
    min_units: int

    @property
    def resamples(self) -> int:
        """How many resamples there are."""
        return int(self.weights.shape[1])

    @cached_property
    def by_resample(self) -> Floats:
        """The weights as (resamples, n_units), in the precision that sums are made in."""
        return np.ascontiguousarray(self.weights.T, dtype=np.float64)

    def bears(self, n_units: int, spread: Spread | None) -> bool:
        """Whether so many units, so spread, bear an interval."""
        return n_units >= self.min_units and spread is not None

    def sums(self, by_unit: Floats) -> Floats:
        """Weighted totals of additive counts: (n_units, ...) -> (resamples, ...)."""
        flat = by_unit.reshape(len(by_unit), -1)
        return (self.by_resample @ flat).reshape(self.resamples, *by_unit.shape[1:])

    def by_unit(self, by_frame: Floats | Ints, frames: Bools | None = None) -> Floats:
        """Counts by frame, (n_frames, ...), added up by unit, over the frames chosen: (n_units, ...)."""
        total = np.zeros((len(self.weights), *by_frame.shape[1:]))
        chosen = np.arange(len(by_frame)) if frames is None else np.flatnonzero(frames)
        np.add.at(total, self.unit_of[chosen], by_frame[chosen])
        return total


def interval(
    replicates: npt.NDArray[np.floating], spreads: Sequence[Spread], confidence: float
) -> tuple[Floats, Floats]:
    """Low and high ends of two-sided intervals.

    Args:
        replicates: (N, resamples); NaN where a row is not defined.
        spreads: N of them.
        confidence: between 0 and 1.

    Returns:
        (N,) low and high; NaN for rows that hold a NaN.
    """
    middle, down, up = _shape(replicates, confidence)
    reach = _reach(spreads, confidence)
    return middle - down * reach, middle + up * reach


def open_interval(replicates: Replicates, spread: Spread, confidence: float) -> tuple[float, float]:
    """Ends of the interval of a figure that is infinite in some resamples; NaN where an end is.

    The median cannot carry what is infinite: here the share of resamples outside each end is made smaller instead.
    """
    from scipy.special import ndtr, ndtri

    tail = float(ndtr(_reach([spread], confidence)[0] * ndtri((1 - confidence) / 2)))
    low, high = np.quantile(replicates, [tail, 1 - tail], method="nearest")
    return (float(low) if np.isfinite(low) else math.nan), (float(high) if np.isfinite(high) else math.nan)


def p_value(differences: npt.NDArray[np.floating], spread: Spread, confidence: float) -> float:
    """Two-sided p of no difference, below 1 - confidence just when the interval leaves zero out.

    Replicates that are all zero, of two models that agree everywhere, give 1.
    """
    from scipy.special import ndtri, stdtr

    middle, down, up = (float(part[0]) for part in _shape(differences[None], confidence))
    side = down if middle > 0 else up
    if not middle or math.isnan(middle):
        return 1.0 if not middle else math.nan
    score = -ndtri((1 - confidence) / 2) * abs(middle) / side if side else math.inf
    return float(min(1.0, 2 * stdtr(spread.degrees, -score / math.sqrt(spread.inflation))))


def q_values(p_values: Iterable[float]) -> Floats:
    """False discovery rates (Benjamini and Hochberg, JRSS B 1995); NaN stays NaN and counts as no test.

    Examples:
        >>> q_values([0.01, 0.04, float("nan"), 0.03]).round(3).tolist()
        [0.03, 0.04, nan, 0.04]
    """
    given = np.array(list(p_values), dtype=float)
    found = np.full(len(given), np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(-given[tested], kind="stable")]
    ranks = np.arange(len(order), 0, -1)
    found[order] = np.minimum.accumulate(np.minimum(given[order] * len(order) / ranks, 1.0))
    return found


def _shape(replicates: npt.NDArray[np.floating], confidence: float) -> tuple[Floats, Floats, Floats]:
    """The median of each row (N, resamples), and how far its quantiles at `confidence` lie below and above it."""
    tail = (1 - confidence) / 2
    low, middle, high = np.quantile(replicates, [tail, 0.5, 1 - tail], axis=1)
    return middle.astype(float), (middle - low).astype(float), (high - middle).astype(float)


def _reach(spreads: Sequence[Spread], confidence: float) -> Floats:
    """(N,) by how much the distances to the median grow."""
    from scipy.special import ndtri, stdtrit

    tail = (1 - confidence) / 2
    degrees, inflation = (np.array(part, dtype=float) for part in zip(*spreads, strict=True))
    reach: Floats = stdtrit(degrees, tail) * np.sqrt(inflation) / ndtri(tail)
    return reach
