"""Rules on latency and memory: the table `latency` says what one device took, on clean frames or in a named cell."""

import math
from collections.abc import Iterator
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.gates import digits
from tasks.metrics import latency
from tasks.metrics.robustness import Figure
from tasks.params import Gate, Params

TASK: Final = "latency"
"""In the place of a task in the rows of gates."""

UNITS: Final = {"ms": "ms", "mb": "MB", "s": "frames/s"}
"""By the end of a metric's name."""


def judge(
    params: Params, table: pd.DataFrame | None, gate: Gate, models: list[str], where: str
) -> Iterator[dict[str, Any]]:
    """A row for each model, as `tasks.gates.evaluate` gives them.

    Args:
        params: of the run.
        table: the table `latency`; None where there is none.
        gate: a rule whose metric is one of `latency.METRICS`.
        models: that it is for.
        where: names the rule in errors.

    Raises:
        InputError: the rule selects what latency does not have, or a cell that is not measured.
    """
    corruption, severity = _place(params, gate, where)
    at = "clean frames" if not severity else f"{corruption} {severity}"
    for model in models:
        rows = None if table is None else latency.cell(table, model, corruption, severity)
        figure, status, reason = _verdict(params, table, gate, model, (corruption, severity))
        yield {
            "rule": f"{_words(params, gate)}, on {at}",
            "task": TASK,
            "metric": gate.metric,
            "model": model,
            "corruption": corruption,
            "family": tables.CLEAN if not severity else _family(params, corruption),
            "severity": severity,
            "slice": tables.ALL,
            "class": tables.ALL,
            "observed": figure.value,
            "threshold": gate.bound,
            "low": _finite(figure.low),
            "high": _finite(figure.high),
            "n_units": 0 if rows is None else rows["frame_id"].nunique(),
            "status": status,
            "reason": reason,
            "ships": status == "pass" or (status == "uncertain" and gate.on_uncertain == "pass"),
        }


def _place(params: Params, gate: Gate, where: str) -> tuple[str, int]:
    """The cell that a rule looks at."""
    if gate.task is not None or gate.family is not None or (gate.slice, gate.class_) != (tables.ALL, tables.ALL):
        raise InputError(f"{where}: {gate.metric} is of whole frames, expected no task, family, slice or class.")
    if gate.max_drop is not None or gate.against == "clean":
        raise InputError(f"{where}: {gate.metric} takes max_ratio with against: baseline, expected no max_drop.")
    wrong, right = ("max", "min") if gate.metric in latency.HIGHER_IS_BETTER else ("min", "max")
    if getattr(gate, wrong) is not None:
        better = "more" if right == "min" else "less"
        raise InputError(f"{where}: of {gate.metric} {better} is better, expected {right}, got {wrong}.")
    if gate.corruption in (None, tables.CLEAN) and gate.severity in (None, 0):
        return tables.CLEAN, 0
    measured = params.latency.asked() if params.latency is not None else ()
    for corruption, severity in measured:
        if (gate.corruption, gate.severity) == (corruption, severity):
            return corruption, severity
    cells = ", ".join(f"{name} {severity}" for name, severity in measured) or "none"
    raise InputError(
        f"{where}: {gate.metric} is measured on clean frames and in latency.cells ({cells}), expected a corruption and"
        f" severity of those, got {gate.corruption} {gate.severity}."
    )


def _family(params: Params, corruption: str) -> str:
    return next(choice.family for choice in params.choices() if choice.name == corruption)


def _verdict(
    params: Params, table: pd.DataFrame | None, gate: Gate, model: str, place: tuple[str, int]
) -> tuple[Figure, str, str]:
    """Observed figure, status, reason."""
    nothing = Figure(math.nan)
    if table is None:
        return nothing, "not_run", f"{latency.reason(table, model)}."
    others = [str(params.baseline)] if gate.max_ratio is not None else []
    if model in others:
        return nothing, "not_run", f"{model} is the baseline and there is no other model to compare."
    for name in (model, *others):
        missing = latency.reason(table, name)
        if missing:
            return nothing, "not_run", f"{name}: {missing}."
    confidence = params.metrics.confidence
    own, *rest = (latency.cell(table, name, *place) for name in (model, *others))
    figure = latency.figure(own, gate.metric, confidence=confidence)
    if figure.status == "not_defined":
        why = "measured on clean frames alone" if place[1] else "it ran on the CPU"
        return nothing, "not_run", f"{model} has no {gate.metric} there: {why}."
    device = f"on {latency.where(own, batch=gate.metric in latency.HIGHER_IS_BETTER)}"
    unit = UNITS[gate.metric.rpartition("_")[2]]
    if rest:
        if rest[0].empty or rest[0]["device"].iloc[0] != own["device"].iloc[0]:
            return nothing, "not_run", f"{others[0]} was not measured on the same device."
        times = latency.ratio(own, rest[0], gate.metric, confidence=confidence)
        theirs = latency.figure(rest[0], gate.metric, confidence=confidence)
        told = f"{_number(figure.value)} {unit} against {_number(theirs.value)} of {others[0]}: "
        told += f"{_number(times.value, gate.bound)} times as bad"
        figure, unit = times, "times"
    else:
        told = f"{_number(figure.value, gate.bound)} {unit}"
    good = figure.value >= gate.bound if gate.min is not None else figure.value <= gate.bound
    sign = (">=" if good else "<") if gate.min is not None else ("<=" if good else ">")
    told += f" {sign} {gate.bound:g}"
    return figure, *_sure(gate, figure, good, f"{told}, {device}", unit, confidence)


def _sure(gate: Gate, figure: Figure, good: bool, told: str, unit: str, confidence: float) -> tuple[str, str]:
    """Status and reason, once the interval is looked at."""
    if figure.status == "insufficient" and gate.max_ratio is not None:
        needed = latency.frames_needed(gate.metric, confidence=confidence)
        return "insufficient", f"{told}, of too few frames for an interval: latency.frames of {needed} would do."
    across = figure.low < gate.bound <= figure.high if gate.min is not None else figure.low <= gate.bound < figure.high
    if not across:
        return ("pass" if good else "fail"), f"{told}."
    places = digits.amount_places(figure.value)
    ends = f"{digits.ends(max(figure.low, 0.0), figure.high, places, gate.bound)} {unit}"
    if math.isinf(figure.high):
        needed = latency.frames_needed(gate.metric, confidence=confidence)
        ends += f" (latency.frames of {needed} would bound it from above)"
    return "uncertain", f"{told}, but its interval {ends} reaches across {gate.bound:g}."


def _words(params: Params, gate: Gate) -> str:
    if gate.max_ratio is not None:
        return f"{gate.metric} at most {gate.max_ratio:g} times as bad as {params.baseline}'s"
    return f"{gate.metric} {'>=' if gate.min is not None else '<='} {gate.bound:g}"


def _number(value: float, bound: float = math.nan) -> str:
    return digits.rounded(value, digits.amount_places(value), bound)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan
