"""Distances between footage and reference, and how far they would lie apart without drift.

Windows of one clip are alike, so a test that takes them as independent finds drift everywhere. The unit is therefore
the clip: its windows count together as much as those of any other, and p-values come from permutation, whole clips
changing sides (Good, Permutation, Parametric and Bootstrap Tests of Hypotheses). Whatever the dependence within clips,
that is exact when the clips of both sides are drawn alike. A clip of the footage may be longer than those of the
reference. The distances are convex in the footage's distribution, so a longer clip's is on average no larger than a
short one's, and the test errs on the side of no alarm.

One unit against n cannot have a p below 1 / (n + 1) by permutation alone. A Wasserstein distance that exceeds all of
the permuted ones is therefore also judged by how many times the greatest of them it is: among draws from a Pareto
distribution of index a, the greatest is x times the next or more with probability x^-a (Renyi, Acta Mathematica
Hungarica 1953, on order statistics), whatever their number and scale. Lighter tails come as far less often. The other
statistics have a ceiling, which tells nothing of that kind; nor does a reference whose windows are all the same.

False alarms at 0.05 and 0.01, of 2,000 trials without drift (`tests/tasks/monitoring/test_permutation.py`), by the
Wasserstein distance: one unit against 12 normal clips 4.7 % and 0.2 %, against 48 3.8 % and 0.2 %; against 12 lognormal
ones, whose tail is heavier than assumed, 6.8 % and 3.4 %, against 48 4.2 % and 1.5 %. Four clips against 12, each its
own unit: 3.8 to 4.6 % and 0.6 to 0.9 %. SciPy's test of all windows, as if independent: 43 to 61 % and 29 to 46 %.
"""

import math
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from tasks.metrics.instances import Bools, Floats, Ints

STATISTICS: Final = ("psi", "ks", "wasserstein")

DECILES: Final = np.arange(1, 10) / 10
"""Where the bins of the population stability index end: ten that hold a tenth of the reference each."""

LEAST_SHARE: Final = 0.001
"""Stands for a share of 0 in the index, which takes its logarithm."""

GRID: Final = 256
"""How many values permuted distributions are compared at; the distances that are told use every value."""

TAIL_INDEX: Final = 3.0
"""Of the distances among clips: how heavy their tail may be, here as that of Student's t with 3 degrees of freedom."""

_ROUNDING: Final = 1e-9
"""How far sums of shares that are meant to be equal may lie apart."""


class Distances(NamedTuple):
    """(N,) each, of N pairs of distributions."""

    psi: Floats
    ks: Floats
    wasserstein: Floats


def distances(new: Floats, old: Floats, at: Floats) -> Distances:
    """Distances between pairs of distributions on the same values.

    Args:
        new: (N, K) cumulative shares of the footage at each value.
        old: (N, K) of the reference.
        at: (K,) the values, rising.

    Returns:
        psi: the population stability index (Siddiqi, Credit Risk Scorecards, 2006), the sum of (p - q) ln(p / q) over
        bins that end at the deciles of `old`; equal deciles make one bin. ks: Kolmogorov's and Smirnov's, 0..1.
        wasserstein: of order 1, in the values' unit.
    """
    apart = np.abs(new - old)
    ends = (old[:, None, :] >= DECILES[None, :, None] - _ROUNDING).argmax(axis=2)  # (N, 9) where each is reached
    p, q = (
        np.maximum(np.diff(np.take_along_axis(side, ends, axis=1), axis=1, prepend=0.0, append=1.0), LEAST_SHARE)
        for side in (new, old)
    )
    return Distances(((p - q) * np.log(p / q)).sum(axis=1), apart.max(axis=1), apart[:, :-1] @ np.diff(at))


class Sample(NamedTuple):
    """One feature's windows, (N,) each: values, the position of the clip, and weights that make clips count alike."""

    values: Floats
    clip: Ints
    weights: Floats

    @classmethod
    def of(cls, values: Floats, clip: Ints) -> "Sample":
        """From windows and what tells their clips apart, NaN left out; weights sum to 1."""
        known = ~np.isnan(values)
        clip = np.unique(clip[known], return_inverse=True)[1].astype(np.int64)
        size = np.bincount(clip)
        return cls(values[known], clip, 1 / size[clip] / max(len(size), 1))

    @property
    def n_clips(self) -> int:
        """How many clips the windows come from."""
        return int(self.clip.max()) + 1 if len(self.clip) else 0

    def by_clip(self, at: Floats) -> Floats:
        """(n_clips, K) the share of each clip's windows up to each of the values `at`, which reach the greatest."""
        counts = np.zeros((self.n_clips, len(at)))
        np.add.at(counts, (self.clip, np.searchsorted(at, self.values, side="left")), 1.0)
        windows: Floats = np.bincount(self.clip).astype(np.float64)
        return np.asarray(counts.cumsum(axis=1) / windows[:, None], dtype=np.float64)

    def together(self, at: Floats) -> Floats:
        """(1, K) the mean of `by_clip`."""
        place = np.searchsorted(at, self.values, side="left")
        found: Floats = np.minimum(np.bincount(place, self.weights, minlength=len(at)).cumsum(), 1.0)
        return found[None]

    def quantiles(self, places: list[float]) -> list[float]:
        """Weighted quantiles, each one of the values."""
        found = np.quantile(self.values, places, weights=self.weights, method="inverted_cdf")
        return [float(value) for value in found]

    def mean(self) -> float:
        """The weighted mean; 0 without windows."""
        return float(self.weights @ self.values)

    def spread(self) -> float:
        """The weighted standard deviation."""
        return math.sqrt(float(self.weights @ (self.values - self.mean()) ** 2))


def measure(new: Sample, old: Sample) -> dict[str, float]:
    """The statistics of two samples; wasserstein in standard deviations of `old`, NaN where it has none."""
    at = np.unique(np.r_[new.values, old.values])
    found = distances(new.together(at), old.together(at), at)
    values = {name: float(of[0]) for name, of in zip(STATISTICS, found, strict=True)}
    if len(at) > 1:
        spread = old.spread() if np.ptp(old.values) > 0 else 0.0
        values["wasserstein"] = values["wasserstein"] / spread if spread else math.nan
    return values


def p_values(
    new: Sample, old: Sample, *, one_unit: bool, permutations: int, rng: np.random.Generator
) -> tuple[dict[str, float], int]:
    """How often the statistics come as large when clips change sides at random.

    Args:
        new: the footage.
        old: the reference.
        one_unit: the footage's clips change sides together.
        permutations: drawn where there are more than so many.
        rng: draws them.

    Returns:
        p of each statistic, NaN where all windows of both sides have one value; and how many permutations tell it.
    """
    pooled = np.r_[new.values, old.values]
    at = np.unique(pooled)
    if len(at) > GRID:
        at = np.unique(np.quantile(pooled, np.linspace(0, 1, GRID)))
    units = new.by_clip(at)
    n_new = 1 if one_unit else len(units)
    units = np.concatenate([units.mean(axis=0, keepdims=True) if one_unit else units, old.by_clip(at)])
    sides, complete = _sides(len(units), n_new, permutations, rng)
    own = int(not complete)  # what is seen counts as one permutation; of all that there are, it is one
    if len(at) == 1:
        return dict.fromkeys(STATISTICS, math.nan), len(sides) + own
    sides = np.concatenate([np.arange(len(units))[None] < n_new, sides])
    first = sides.astype(np.float64) @ units
    found = distances(first / n_new, (units.sum(axis=0) - first) / (len(units) - n_new), at)
    told = {}
    for name, (seen, *others) in zip(STATISTICS, found, strict=True):
        permuted = np.array(others)
        reached = permuted >= seen * (1 - _ROUNDING)
        told[name] = (int(reached.sum()) + own) / (len(permuted) + own)
        if name == "wasserstein" and reached.sum() + own == 1 and np.ptp(old.values) > 0:
            told[name] *= float(permuted[~reached].max() / seen) ** TAIL_INDEX
    return told, len(sides) - 1 + own


def _sides(n_units: int, n_new: int, permutations: int, rng: np.random.Generator) -> tuple[Bools, bool]:
    """(N, n_units) which units are the footage in each permutation; and whether those are all there are."""
    complete = math.comb(n_units, n_new) <= permutations + 1
    if complete:
        chosen = np.array(list(combinations(range(n_units), n_new)))
    else:
        chosen = rng.permuted(np.tile(np.arange(n_units), (permutations, 1)), axis=1)[:, :n_new]
    sides = np.zeros((len(chosen), n_units), dtype=bool)
    np.put_along_axis(sides, chosen, True, axis=1)
    return sides, complete
