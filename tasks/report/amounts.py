"""Milliseconds, megabytes and frames a second as the page writes them."""

import math
from collections.abc import Mapping
from typing import Any

from tasks.gates import digits
from tasks.gates.budget import TASK, UNITS


def unit(metric: str) -> str:
    """What a metric is in."""
    return UNITS[metric.rpartition("_")[2]]


def amount(value: float, low: float = math.nan, high: float = math.nan, bound: float = math.nan) -> str:
    """A figure to three digits or whole, with its interval, where there is one; ∞ is an end that nothing bounds.

    Where rounding would hide on which side of `bound` a number is, it has more digits.

    Examples:
        >>> amount(12.345), amount(0.7512, 0.71, 0.79), amount(1234.5), amount(float("nan"))
        ('12.3', '0.75 [0.71, 0.79]', '1234', '–')
        >>> amount(12.345, 11.9, float("inf"))
        '12.3 [11.9, ∞]'
    """
    if math.isnan(value):
        return "–"
    places = digits.amount_places(value)
    text = digits.rounded(value, places, bound)
    if not (math.isnan(low) or math.isnan(high)):
        text += f" {digits.ends(max(low, 0.0), high, places, bound)}"
    return text.replace("-", "−")


def of_gate(row: Mapping[Any, Any]) -> tuple[str, str] | None:
    """What a rule on latency or memory observed, and its threshold; None for a rule on scores."""
    if row["task"] != TASK:
        return None
    observed = amount(*(float(row[name]) for name in ("observed", "low", "high", "threshold")))
    if "times as bad" in str(row["rule"]):
        return observed if observed == "–" else f"× {observed}", f"≤ × {row['threshold']:g}"
    sign = "≤" if "<=" in str(row["rule"]) else "≥"
    of = unit(str(row["metric"]))
    figure, bracket, ends = observed.partition(" [")
    return observed if observed == "–" else f"{figure} {of}{bracket}{ends}", f"{sign} {row['threshold']:g} {of}"
