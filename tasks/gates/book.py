"""The figures that rules look at, found in the scores by where they stand."""

import math
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.metrics import REALTIME, REALTIME_MEAN, robustness
from tasks.metrics.robustness import Cell, Figure
from tasks.params import Gate, Params

_MEANS: Final = dict.fromkeys(tables.HEADLINE.values(), "mpc") | {REALTIME[tables.HEADLINE["tracking"]]: REALTIME_MEAN}
"""The rows that are a metric's mean over severities."""

TOLERANCE: Final = 1e-9
"""Scores are rounded: a figure this close to its bound has reached it."""


@dataclass(frozen=True)
class Selected:
    """One place that a rule looks at; None for the mean over what is declared."""

    corruption: str | None
    family: str | None
    severity: int | None
    slice: str
    class_: str


class Book:
    """The models' own figures, found by where they stand, and the intervals of their differences to the baseline.

    `cut_away` are slices that the data set has and this run's frames do not hold.
    """

    def __init__(self, params: Params, scores: pd.DataFrame, cut_away: frozenset[str] = frozenset()) -> None:
        self.cut_away = cut_away
        own = scores[scores["baseline"].isna()]
        self.models = list(params.models)
        self.families = {choice.name: choice.family for choice in params.choices()}
        self.levels = {choice.name: choice.severities(params.severities) for choice in params.choices()}
        self.slices = list(dict.fromkeys(own["slice"]))
        self.tasks = [task for task in tables.TASKS if (own["task"] == task).any()]
        self.classes = {
            task: list(dict.fromkeys(own.loc[own["task"] == task, "class"])) for task in dict.fromkeys(own["task"])
        }
        self._scored = set(own["corruption"])
        self._figures = _figures(own)
        self._differences = _figures(scores[scores["baseline"] == params.baseline])
        keys = ["model", "task", "metric", "slice", "class", "n_units"]
        self._n_units = {tuple(key): int(n) for *key, n in own[keys].itertuples(index=False)}

    def value(self, model: str, task: str, metric: str, at: Selected) -> Figure | None:
        """The figure of one model, a mean where a selector is open; None when the scores have no such row."""
        base = (model, task, metric, at.slice, at.class_)
        if metric in robustness.METRICS:
            family = self.families[at.corruption] if at.corruption else at.family or tables.ALL
            return self._figures.get((*base, at.corruption or tables.ALL, family, None))
        if at.severity == 0 or at.corruption == tables.CLEAN:
            return self.clean(model, task, metric, at)
        cells = []
        for name, levels in self.levels.items():
            if at.corruption not in (None, name) or at.family not in (None, self.families[name]):
                continue
            for level in levels if at.severity is None else [at.severity] if at.severity in levels else []:
                figure = self._figures.get((*base, name, self.families[name], level))
                if figure is None:
                    return None
                cells.append(Cell(name, self.families[name], level, figure))
        return robustness.mean_over(cells) if cells else None

    def lacking(self, at: Selected) -> list[str]:
        """Declared corruptions that a place takes in and the scores have no cell of: the run was narrowed."""
        if at.severity == 0 or at.corruption == tables.CLEAN:
            return []
        return [
            name
            for name, family in self.families.items()
            if name not in self._scored
            and at.corruption in (None, name)
            and at.family in (None, family)
            and (at.severity is None or at.severity in self.levels[name])
        ]

    def clean(self, model: str, task: str, metric: str, at: Selected) -> Figure | None:
        """The figure on clean data."""
        return self._figures.get((model, task, metric, at.slice, at.class_, tables.CLEAN, tables.CLEAN, 0))

    def interval(self, gate: Gate, model: str, task: str, at: Selected, observed: float) -> tuple[float, float]:
        """The ends of what a rule observes, where that is one row of the scores; else NaN.

        A drop against the baseline is the negative of a row of differences; one against clean is no row.
        """
        row = self._row(task, gate.metric, at)
        found = None
        if row is not None:
            metric, *place = row
            key = (model, task, metric, at.slice, at.class_, *place)
            if gate.max_drop is None:
                found = self._figures.get(key)
            elif gate.against == "baseline" and (difference := self._differences.get(key)) is not None:
                found = Figure(-difference.value, difference.status, low=-difference.high, high=-difference.low)
        # A row that states another figure (declared levels that the scores lack, say) lends it no interval.
        if found is None or not math.isclose(found.value, observed, rel_tol=0, abs_tol=TOLERANCE):
            return math.nan, math.nan
        return found.low, found.high

    def _row(self, task: str, metric: str, at: Selected) -> tuple[str, str, str, int | None] | None:
        """Metric, corruption, family and severity of the one row that a rule's figure is; None for other means."""
        if metric not in robustness.METRICS:
            if at.severity == 0 or at.corruption == tables.CLEAN:
                return metric, tables.CLEAN, tables.CLEAN, 0
            if at.severity is not None:
                names = [
                    name
                    for name, family in self.families.items()
                    if at.corruption in (None, name)
                    and at.family in (None, family)
                    and at.severity in self.levels[name]
                ]
                return (metric, names[0], self.families[names[0]], at.severity) if len(names) == 1 else None
            if metric not in _MEANS:
                return None
            metric = _MEANS[metric]
        family = self.families[at.corruption] if at.corruption else at.family or tables.ALL
        return metric, at.corruption or tables.ALL, family, None

    def n_units(self, model: str, task: str, metric: str, at: Selected) -> int:
        """How many sampling units stand behind a figure."""
        return self._n_units.get((model, task, metric, at.slice, at.class_), 0)


def _figures(rows: pd.DataFrame) -> dict[tuple[Any, ...], Figure]:
    """By model, task, metric, slice, class, corruption, family and severity (None for a summary)."""
    keys = ["model", "task", "metric", "slice", "class", "corruption", "family"]
    numbers = (rows[name].astype(float) for name in ("value", "low", "high"))
    columns = [*(rows[key] for key in keys), rows["severity"].astype("Int64"), rows["status"], rows["note"], *numbers]
    return {
        (*key, None if pd.isna(severity) else int(severity)): Figure(value, status, low=low, high=high, note=note)
        for *key, severity, status, note, value, low, high in zip(*columns, strict=True)
    }
