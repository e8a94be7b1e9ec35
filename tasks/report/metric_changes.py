"""Every metric of one model against another's: both figures on all data, their plain difference, better or worse.

Resamples are stored of each task's headline alone. Of all other metrics the two figures are known but not how they vary
together, so their difference has no interval and nothing is told apart from chance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.metrics import DIAGNOSTICS, LOWER_IS_BETTER, METRICS
from tasks.report import companions, differences, wording

BETTER: Final = "better"
WORSE: Final = "worse"
EQUAL: Final = differences.NONE

MARKS: Final[Mapping[str, tuple[str, str]]] = {
    **differences.MARKS,
    BETTER: ("same", "▲ better"),
    WORSE: ("same", "▼ worse"),
}
"""CSS class and words of what a change comes to, paired or not."""

UNPAIRED: Final = "not paired: no interval"

MOST_NAMED: Final = 3
"""Metrics that a sentence names."""


@dataclass(frozen=True)
class Change:
    """One figure of two models.

    Attributes:
        a: of the first.
        b: of the second.
        low: end of the interval of b - a; NaN where it is not paired.
        high: likewise.
        outcome: as in `differences`; empty where it is not paired.
        cells: how many cells stand behind both.
        asked: how many cells either has.
    """

    a: float
    b: float
    low: float
    high: float
    outcome: str
    cells: int
    asked: int

    @property
    def value(self) -> float:
        """The difference b - a."""
        return self.b - self.a


@dataclass(frozen=True)
class Metric:
    """One metric of two models on all data: on clean frames, and its mean over the corruptions."""

    name: str
    clean: Change
    mean: Change

    @property
    def places(self) -> int:
        """Decimals to show: counts and rates per thousand need fewer than shares."""
        known = [abs(v) for change in (self.clean, self.mean) for v in (change.a, change.b) if not math.isnan(v)]
        return 1 if max(known, default=0.0) >= 10 else 3

    def reads(self, change: Change) -> str:
        """Whether a change is for the better, as far as the decimals shown tell."""
        if math.isnan(change.value) or round(abs(change.value), self.places) == 0:
            return EQUAL
        return BETTER if (change.value > 0) != (self.name in LOWER_IS_BETTER) else WORSE

    def relative(self, change: Change) -> float:
        """The change as a share of the first's figure, negative for the worse; what changes are ordered by."""
        if math.isnan(change.value):
            return 0.0
        return change.value / max(abs(change.a), 1e-3) * (-1 if self.name in LOWER_IS_BETTER else 1)


def changes(scores: pd.DataFrame, task: str, a: str, b: str, confidence: float) -> list[Metric]:
    """All metrics of a task that both models have, the headline first.

    The mean over the corruptions is of each one's mean over its severities, from the cells that both models have.

    Args:
        scores: the `scores` table, with the rows of b minus a where there are such.
        task: whose metrics.
        a: the first model.
        b: the second.
        confidence: of the intervals.
    """
    whole = scores[(scores["task"] == task) & (scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL)]
    own = whole[whole["baseline"].isna() & whole["severity"].notna() & (whole["status"] != "not_applicable")]
    columns = ["model", "metric", "corruption", "severity", "value"]
    found: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
    for model, name, corruption, severity, value in own[columns].itertuples(index=False):
        found.setdefault((model, name), {})[corruption, int(severity)] = math.nan if pd.isna(value) else float(value)
    paired = whole[(whole["model"] == b) & (whole["baseline"] == a)]
    clean = (paired["metric"] == tables.HEADLINE[task]) & (paired["severity"] == 0).fillna(False).astype(bool)
    mean = (paired["metric"] == "mpc") & (paired["corruption"] == tables.ALL) & (paired["family"] == tables.ALL)
    metrics = []
    for name in (*METRICS[task], *DIAGNOSTICS.get(task, ())):
        one, other = found.get((a, name), {}), found.get((b, name), {})
        rows = paired if name == tables.HEADLINE[task] else paired.iloc[:0]
        metric = Metric(
            name,
            _change(_of(one, clean=True), _of(other, clean=True), rows[clean.loc[rows.index]], confidence),
            _change(_of(one, clean=False), _of(other, clean=False), rows[mean.loc[rows.index]], confidence),
        )
        if not (math.isnan(metric.clean.value) and math.isnan(metric.mean.value)):
            metrics.append(metric)
    return metrics


Cells = Mapping[tuple[str, int], float]
"""Figures by corruption and severity."""


def _of(figures: Cells, *, clean: bool) -> Cells:
    return {at: value for at, value in figures.items() if (at[1] == 0) == clean}


def _change(one: Cells, other: Cells, paired: pd.DataFrame, confidence: float) -> Change:
    """The change of a mean over cells, with the interval of the row `paired` where that is the same figure."""
    both = [at for at in one if at in other and not (math.isnan(one[at]) or math.isnan(other[at]))]
    a, b = _mean(one, both), _mean(other, both)
    low, high, outcome = math.nan, math.nan, ""
    if len(paired) == 1:
        row = differences.named(paired, confidence).to_dict("records")[0]
        if math.isclose(row["difference"], b - a, rel_tol=0, abs_tol=1e-9):  # rows of scores are rounded
            low, high, outcome = row["difference_low"], row["difference_high"], row["outcome"]
    return Change(a, b, low, high, outcome, len(both), len({*one, *other}))


def _mean(figures: Cells, cells: Sequence[tuple[str, int]]) -> float:
    """The mean over corruptions of each one's mean over its severities."""
    by_name: dict[str, list[float]] = {}
    for at in cells:
        by_name.setdefault(at[0], []).append(figures[at])
    return fmean(map(fmean, by_name.values())) if by_name else math.nan


def line(metric: Metric) -> dict[str, Any]:
    """A line of the table of all metrics: clean, then the mean over the corruptions."""
    cells = []
    for change in (metric.clean, metric.mean):
        style, words = MARKS[change.outcome or metric.reads(change)]
        cells.append(
            {
                "a": wording.number(change.a, metric.places),
                "b": wording.number(change.b, metric.places),
                "change": wording.difference(change.value, change.low, change.high, metric.places),
                "order": companions.field(metric.relative(change)),
                "style": style,
                "words": words,
                "few": "" if change.cells == change.asked else f"{change.cells} of {change.asked} cells",
            }
        )
    return {
        "metric": terms.metric(metric.name),
        "lower": metric.name in LOWER_IS_BETTER,
        "cells": cells,
        "interval": "paired" if metric.clean.outcome or metric.mean.outcome else "not paired",
    }


def sentence(metrics: Sequence[Metric]) -> str:
    """Where the headline went under corruption, and what went the other way meanwhile, most first."""
    if not metrics:
        return "No metric has figures of both."
    first, *others = metrics
    mean = first.mean
    told = wording.difference(mean.value, mean.low, mean.high)
    text = f"{terms.metric(first.name)} under corruption {wording.number(mean.a)} → {wording.number(mean.b)} ({told})"
    text += f", {mean.outcome or UNPAIRED}."
    way = BETTER if first.reads(mean) == WORSE else WORSE
    found = sorted((m for m in others if m.reads(m.mean) == way), key=lambda m: -abs(m.relative(m.mean)))
    if not found:
        return f"{text} No other metric is {way}."
    named = (
        f"{terms.metric(m.name)} {wording.number(m.mean.a, m.places)} → {wording.number(m.mean.b, m.places)}"
        for m in found[:MOST_NAMED]
    )
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{text} {way.capitalize()} meanwhile (not paired): {'; '.join(named)}{more}."
