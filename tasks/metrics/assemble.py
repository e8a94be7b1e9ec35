"""From the figures of single cells to the tables `scores` and `examples`: summaries, differences, order."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.metrics import THRESHOLD, cell, robustness
from tasks.metrics.plan import Row
from tasks.metrics.predictions import ModelFacts
from tasks.metrics.requests import Request
from tasks.metrics.robustness import Figure
from tasks.metrics.truth import GroundTruth
from tasks.params import Params

DIGITS: Final = 12
"""Scores are rounded to this many decimals: sums may come in another order on another machine, digests should not."""


@dataclass(frozen=True)
class Place:
    """The columns of scores that say which cell a row is of."""

    corruption: str
    family: str
    severity: int | None
    strength: float | None
    strength_unit: str | None


def scores(
    params: Params,
    models: Mapping[str, ModelFacts],
    requests: list[Request],
    scored: Mapping[Request, cell.Scored],
    rows: Mapping[str, list[Row]],
) -> pd.DataFrame:
    """The table `scores`: by model its own figures, then their differences to the baseline's."""
    found: list[dict[str, Any]] = []
    base: dict[str, dict[tuple[Place, Row], Figure]] = {}
    figures: dict[str, dict[str, dict[tuple[Place, Row], Figure]]] = {}
    for name, model in models.items():
        own = [request for request in requests if request.model == name]
        figures[name] = {task: _figures(task, own, scored, rows[task]) for task in model.tasks}
        if name == params.baseline:
            base = figures[name]
    for name, model in models.items():
        for task in model.tasks:
            for (place, row), figure in figures[name][task].items():
                found.append(_line(name, None, task, place, row, figure))
        if params.baseline is None or name == params.baseline:
            continue
        for task in model.tasks:
            headline = tables.HEADLINE[task]
            for (place, row), figure in figures[name][task].items():
                other = base.get(task, {}).get((place, row))
                summed = row.metric == headline or row.metric in robustness.METRICS
                if other is None or not summed or tables.ALL not in (row.slice, row.class_):
                    continue
                found.append(_line(name, params.baseline, task, place, row, robustness.difference(figure, other)))
    table = pd.DataFrame(found, columns=tables.SCHEMAS["scores"].names)
    for column in ("value", "low", "high", "p_value", "q_value", "strength"):
        table[column] = table[column].astype("float64")
    table["severity"] = table["severity"].astype("Int16")
    table["value"] = table["value"].round(DIGITS) + 0.0  # no negative zero
    return table


def _figures(
    task: str, requests: list[Request], scored: Mapping[Request, cell.Scored], rows: list[Row]
) -> dict[tuple[Place, Row], Figure]:
    """Every figure of one model and task: cell by cell, then the summaries of the headline metric."""
    found: dict[tuple[Place, Row], Figure] = {}
    for request in requests:
        place = Place(request.corruption, request.family, request.severity, request.strength, request.strength_unit)
        values = scored[request].values[task] if request in scored else None
        for row in rows:
            found[place, row] = _figure(values, row, request)
        if request.severity == 0 and task in ("detection", "instance"):
            first = rows[0]
            row = Row(tables.ALL, tables.ALL, THRESHOLD, first.n_units, first.n_frames, first.n_objects)
            found[place, row] = _figure(values, row, request)
    headline = tables.HEADLINE[task]
    places = dict(zip(requests, _places(requests), strict=True))
    for row in rows:
        if row.metric != headline or tables.ALL not in (row.slice, row.class_):
            continue
        clean = next(found[places[request], row] for request in requests if request.severity == 0)
        cells = [
            robustness.Cell(request.corruption, request.family, request.severity, found[places[request], row])
            for request in requests
            if request.severity != 0
        ]
        for summary in robustness.summaries(clean, cells):
            place = Place(summary.corruption, summary.family, None, None, None)
            behind = Row(row.slice, row.class_, summary.metric, row.n_units, row.n_frames, row.n_objects)
            found[place, behind] = summary.figure
    return found


def _places(requests: Iterable[Request]) -> Iterator[Place]:
    return (Place(r.corruption, r.family, r.severity, r.strength, r.strength_unit) for r in requests)


def _figure(values: cell.Values | None, row: Row, request: Request) -> Figure:
    if values is None:
        return Figure(math.nan, "not_applicable" if request.status == "not_applicable" else "failed")
    return Figure.of(values.get((row.slice, row.class_, row.metric), math.nan))


def _line(model: str, baseline: str | None, task: str, place: Place, row: Row, figure: Figure) -> dict[str, Any]:
    return {
        "model": model,
        "baseline": baseline,
        "task": task,
        "corruption": place.corruption,
        "family": place.family,
        "severity": place.severity,
        "strength": place.strength,
        "strength_unit": place.strength_unit,
        "slice": row.slice,
        "class": row.class_,
        "metric": row.metric,
        "value": figure.value,
        "low": None,
        "high": None,
        "p_value": None,
        "q_value": None,
        "n_units": row.n_units,
        "n_frames": row.n_frames,
        "n_objects": row.n_objects,
        "status": figure.status,
    }


def examples(truth: GroundTruth, requests: list[Request], scored: Mapping[Request, cell.Scored]) -> pd.DataFrame:
    """The table `examples`, in the order of the cells, then of tasks and frames."""
    found = []
    for request in requests:
        if request not in scored:
            continue
        for task, told in scored[request].examples.items():
            order = np.argsort(np.array(told.frame, dtype=np.int64), kind="stable")
            found.append(
                pd.DataFrame(
                    {
                        "model": request.model,
                        "task": task,
                        "corruption": request.corruption,
                        "family": request.family,
                        "severity": request.severity,
                        "frame_id": truth.frame_ids[np.array(told.frame, dtype=np.int64)[order]],
                        "score": np.round(np.array(told.score, dtype=float)[order], DIGITS),
                        "error_kind": pd.Series([told.error_kind[place] for place in order], dtype=object),
                        "evidence": pd.Series([told.evidence[place] for place in order], dtype=object),
                    }
                )
            )
    if not found:
        return pd.DataFrame({name: [] for name in tables.SCHEMAS["examples"].names})
    return pd.concat(found, ignore_index=True)
