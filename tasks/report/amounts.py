"""Milliseconds, megabytes and frames a second as the page writes them."""

import math
from collections.abc import Mapping
from typing import Any

from tasks.gates.budget import TASK, UNITS
from tasks.report import wording


def unit(metric: str) -> str:
    """What a metric is in."""
    return UNITS[metric.rpartition("_")[2]]


def amount(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A figure to three digits or whole, with its interval, where there is one; ∞ is an end that nothing bounds.

    Examples:
        >>> amount(12.345), amount(0.7512, 0.71, 0.79), amount(1234.5), amount(float("nan"))
        ('12.3', '0.75 [0.71, 0.79]', '1234', '–')
        >>> amount(12.345, 11.9, float("inf"))
        '12.3 [11.9, ∞]'
    """
    if math.isnan(value):
        return "–"
    places = 0 if value >= 100 else 1 if value >= 10 else 2
    if math.isnan(low) or math.isnan(high):
        return wording.number(value, places)
    ends = (("∞" if math.isinf(end) else wording.number(end, places)) for end in (max(low, 0.0), high))
    return f"{wording.number(value, places)} [{', '.join(ends)}]"


def of_gate(row: Mapping[Any, Any]) -> tuple[str, str] | None:
    """What a rule on latency or memory observed, and its threshold; None for a rule on scores."""
    if row["task"] != TASK:
        return None
    observed = amount(*(float(row[name]) for name in ("observed", "low", "high")))
    if "times as bad" in str(row["rule"]):
        return observed if observed == "–" else f"× {observed}", f"≤ × {amount(row['threshold'])}"
    sign = "≤" if "<=" in str(row["rule"]) else "≥"
    of = unit(str(row["metric"]))
    figure, bracket, ends = observed.partition(" [")
    return observed if observed == "–" else f"{figure} {of}{bracket}{ends}", f"{sign} {row['threshold']:g} {of}"
