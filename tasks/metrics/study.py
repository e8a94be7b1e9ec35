"""What a cell is measured against, and how its numbers become figures with intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tasks import tables
from tasks.metrics import NOT_NEGATIVE, UNBOUNDED, WITHOUT_INTERVAL
from tasks.metrics.plan import Row
from tasks.metrics.resampling import Replicates, Resampler, Spread, interval
from tasks.metrics.robustness import UNDEFINED, Figure
from tasks.metrics.truth import GroundTruth
from tasks.params import Policy

Key = tuple[str, str, str]
"""slice, class, metric"""


@dataclass
class Values:
    """The figures of one task, and the same in every resample where that is defined."""

    point: dict[Key, float] = field(default_factory=dict)
    resampled: dict[Key, Replicates] = field(default_factory=dict)

    def put(self, slice_: str, class_: str, point: Mapping[str, float], resampled: Mapping[str, Replicates]) -> None:
        """Enter the metrics of one slice and class."""
        for metric, value in point.items():
            key = (slice_, class_, metric)
            self.point[key] = value
            if metric in resampled and math.isfinite(value):
                self.resampled[key] = resampled[metric]

    def share(self, twins: Mapping[str, str]) -> None:
        """Enter for each slice of `twins` what was entered for the one that holds the same."""
        for name, other in twins.items():
            for slice_, class_, metric in [key for key in self.point if key[0] == other]:
                self.point[name, class_, metric] = self.point[slice_, class_, metric]
                if (slice_, class_, metric) in self.resampled:
                    self.resampled[name, class_, metric] = self.resampled[slice_, class_, metric]


@dataclass(frozen=True, eq=False)
class Study:
    """What every cell is measured against.

    Attributes:
        truth: the scored frames.
        resampler: their sampling units.
        rows: by task, what stands behind each figure.
        policy: what thresholds and alarms are to reach.
    """

    truth: GroundTruth
    resampler: Resampler
    rows: Mapping[str, Mapping[Key, Row]]
    policy: Policy

    def figures(self, task: str, values: Values) -> dict[Key, Figure]:
        """Figures with their intervals and states; of too few units the number stands, without an interval."""
        rows, resampler = self.rows[task], self.resampler
        firm = [key for key in values.resampled if key in rows and resampler.bears(rows[key].n_units, rows[key].spread)]
        ends: dict[Key, tuple[float, float]] = {}
        if firm:
            spreads = [spread for key in firm if (spread := rows[key].spread)]
            replicates = np.stack([values.resampled[key] for key in firm])
            low, high = interval(replicates, spreads, resampler.confidence)
            for key, spread, a, b in zip(firm, spreads, low, high, strict=True):
                ends[key] = _bounded(key, values.point[key], float(a), float(b), spread, resampler)
        found = {}
        for key, value in values.point.items():
            if not math.isfinite(value):
                found[key] = UNDEFINED
            elif key in ends or key not in rows or self._stands_alone(key, value, rows[key]):
                kept = key[2] == tables.HEADLINE[task] and tables.ALL in key[:2]
                found[key] = Figure(value, "ok", values.resampled.get(key) if kept else None, *ends.get(key, ()))
            else:
                found[key] = Figure(value, "insufficient")
        return found

    def _stands_alone(self, key: Key, value: float, row: Row) -> bool:
        """Whether a figure stands without an interval: one that has none, or a rate of nothing among enough units."""
        if key[2] in WITHOUT_INTERVAL:
            return True
        return value == 0 and key[2] in NOT_NEGATIVE and self.resampler.bears(row.n_units, row.spread)


def _bounded(key: Key, value: float, low: float, high: float, spread: Spread, study: Resampler) -> tuple[float, float]:
    """Ends within the metric's range. Where every unit is at a bound, resampling shows nothing: then what the exact
    binomial interval (Clopper and Pearson 1934) says of units that are not.
    """
    if key[2] in UNBOUNDED:
        return low, high
    if key[2] in NOT_NEGATIVE:
        return max(low, 0.0), high
    if low == high == value and value in (0, 1):
        share = ((1 - study.confidence) / 2) ** (1 / (spread.degrees + 1))
        return (share, 1.0) if value else (0.0, 1 - share)
    return max(low, 0.0), min(high, 1.0)
