"""From the figures of single cells to the table `scores`: summaries, differences, order."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks import tables
from tasks.metrics import DIGITS, SETTINGS, cell, robustness
from tasks.metrics.plan import Row, of_policy
from tasks.metrics.predictions import ModelFacts
from tasks.metrics.requests import Request
from tasks.metrics.resampling import interval, open_interval, p_value, q_values
from tasks.metrics.robustness import UNDEFINED, Figure
from tasks.metrics.study import Key
from tasks.params import TRIVIAL, Params


class Place(NamedTuple):
    """The columns of scores that say which cell a row is of."""

    corruption: str
    family: str
    severity: int | None
    strength: float | None
    strength_unit: str | None


class Line(NamedTuple):
    """A row of scores, in the order of its columns."""

    model: str
    baseline: str | None
    task: str
    corruption: str
    family: str
    severity: int | None
    strength: float | None
    strength_unit: str | None
    slice: str
    class_: str
    metric: str
    value: float
    low: float
    high: float
    p_value: float
    q_value: float
    n_units: int
    n_frames: int
    n_objects: int
    status: str
    note: str | None


def scores(
    params: Params,
    models: Mapping[str, ModelFacts],
    requests: list[Request],
    scored: Mapping[Request, cell.Scored],
    rows: Mapping[str, list[Row]],
    floors: Mapping[str, Mapping[Key, Figure]],
) -> pd.DataFrame:
    """The table `scores`: by model its own figures, then their differences to the baseline's; last `floors`.

    Args:
        params: the run's choices.
        models: by name.
        requests: every cell that params name.
        scored: those that are there.
        rows: of each cell, by task.
        floors: from `trivial.figures`: on clean frames, the headline alone.
    """
    found: list[Line] = []
    base: dict[str, dict[tuple[Place, Row], Figure]] = {}
    figures: dict[str, dict[str, dict[tuple[Place, Row], Figure]]] = {}
    for name, model in models.items():
        own = [request for request in requests if request.model == name]
        figures[name] = {task: _figures(task, own, scored, rows[task], params) for task in model.tasks}
        if name == params.baseline:
            base = figures[name]
    for name, model in models.items():
        for task in model.tasks:
            for (place, row), figure in figures[name][task].items():
                found.append(_line(name, None, task, place, row, figure))
        if params.baseline is None or name == params.baseline:
            continue
        for task in model.tasks:
            found += _differences(name, task, figures[name][task], base.get(task, {}), params)
            found += _relative_errors(name, task, figures[name][task], base.get(task, {}), params)
    clean = Place(tables.CLEAN, tables.CLEAN, 0, None, None)
    for task, reached in floors.items():
        for row in (row for row in rows[task] if row.metric == tables.HEADLINE[task]):
            figure = reached.get((row.slice, row.class_, row.metric), UNDEFINED)
            found.append(_line(TRIVIAL, None, task, clean, row, figure))
    columns = dict(zip(tables.SCHEMAS["scores"].names, zip(*found, strict=True), strict=True))
    kinds = {"severity": "Int16", **dict.fromkeys(("n_units", "n_frames", "n_objects"), "int64")}
    kinds |= dict.fromkeys(("value", "low", "high", "p_value", "q_value", "strength"), "float64")
    table = pd.DataFrame({name: pd.Series(columns[name], dtype=kinds.get(name, object)) for name in columns})
    for column in ("value", "low", "high", "p_value", "q_value"):
        table[column] = table[column].round(DIGITS) + 0.0  # no negative zero
    return table


def _differences(
    model: str,
    task: str,
    figures: Mapping[tuple[Place, Row], Figure],
    base: Mapping[tuple[Place, Row], Figure],
    params: Params,
) -> list["Line"]:
    """Rows of the headline's and the summaries' differences to the baseline, with p, and q over slices and classes."""
    pairs = []
    for (place, row), figure in figures.items():
        other = base.get((place, row))
        summed = row.metric == tables.HEADLINE[task] or row.metric in robustness.METRICS
        if other is not None and summed and tables.ALL in (row.slice, row.class_):
            pairs.append((place, row, robustness.difference(figure, other)))
    ended = _with_intervals([(row, figure) for _, row, figure in pairs], params)
    found: list[Line] = []
    families: dict[tuple[Place, str], list[int]] = {}
    for (place, row, _), figure in zip(pairs, ended, strict=True):
        line = _line(model, params.baseline, task, place, row, figure)
        if figure.replicates is not None and row.spread is not None:
            line = line._replace(p_value=p_value(figure.replicates, row.spread, params.metrics.confidence))
        if (row.slice, row.class_) != (tables.ALL, tables.ALL):
            families.setdefault((place, row.metric), []).append(len(found))
        found.append(line)
    for members in families.values():  # the slices and classes of one figure are one family of tests
        for at, q_value in zip(members, q_values(found[at].p_value for at in members), strict=True):
            found[at] = found[at]._replace(q_value=float(q_value))
    return found


def _with_intervals(figures: Sequence[tuple[Row, Figure]], params: Params) -> list[Figure]:
    """The same figures, those with replicates with their interval."""
    found = [figure for _, figure in figures]
    given = [
        (place, row.spread, figure.replicates)
        for place, (row, figure) in enumerate(figures)
        if row.spread is not None and figure.replicates is not None
    ]
    if given:
        places, spreads, replicates = zip(*given, strict=True)
        low, high = interval(np.stack(replicates), spreads, params.metrics.confidence)
        for place, a, b in zip(places, low, high, strict=True):
            found[place] = replace(found[place], low=float(a), high=float(b))
    return found


def _figures(
    task: str, requests: list[Request], scored: Mapping[Request, cell.Scored], rows: list[Row], params: Params
) -> dict[tuple[Place, Row], Figure]:
    """Every figure of one model and task: cell by cell, then the summaries of the headline metric."""
    found: dict[tuple[Place, Row], Figure] = {}
    for request in requests:
        place = Place(request.corruption, request.family, request.severity, request.strength, request.strength_unit)
        values = scored[request].figures[task] if request in scored else None
        for row in rows:
            found[place, row] = _figure(values, row, request)
        for metric in SETTINGS.get(task, ()) if request.severity == 0 else ():
            first = rows[0]
            row = Row(tables.ALL, tables.ALL, metric, first.n_units, first.n_frames, first.n_objects)
            found[place, row] = _figure(values, row, request)
        for row in of_policy(rows, mix=bool(params.policy.mix)) if request.severity == 0 else ():
            found[place, row] = _figure(values, row, request)
    headline = tables.HEADLINE[task]
    places = dict(zip(requests, _places(requests), strict=True))
    for row in rows:
        if row.metric != headline or tables.ALL not in (row.slice, row.class_):
            continue
        clean = next(found[places[request], row] for request in requests if request.severity == 0)
        cells = [
            robustness.Cell(
                request.corruption, request.family, request.severity, found[places[request], row], request.strength
            )
            for request in requests
            if request.severity != 0
        ]
        summaries = robustness.summaries(clean, cells)
        ended = _with_intervals([(row, item.figure) for item in summaries], params)
        for summary, figure in zip(summaries, ended, strict=True):
            place = Place(summary.corruption, summary.family, None, None, None)
            most = math.inf if summary.metric.startswith("rpc") else 1.0
            found[place, row._replace(metric=summary.metric)] = _held(figure, most)
        if row.class_ == tables.ALL:
            found |= _curves(row, clean, cells, requests, params)
    return found


def _curves(
    row: Row, clean: Figure, cells: Sequence[robustness.Cell], requests: Sequence[Request], params: Params
) -> dict[tuple[Place, Row], Figure]:
    """By corruption, where its curve breaks and the area under it."""
    found = {}
    for name, (family, unit) in {r.corruption: (r.family, r.strength_unit) for r in requests if r.severity}.items():
        levels = [cell for cell in cells if cell.corruption == name]
        point = robustness.break_point(clean, levels, params.metrics.break_at)
        if point.replicates is not None and row.spread is not None:
            low, high = open_interval(point.replicates, row.spread, params.metrics.confidence)
            point = replace(point, low=low, high=high)
        found[Place(name, family, None, None, unit), row._replace(metric="break_point")] = point
        (area,) = _with_intervals([(row, robustness.curve_area(levels))], params)
        found[Place(name, family, None, None, unit), row._replace(metric="curve_area")] = _held(area, math.inf)
    return found


def _held(figure: Figure, most: float) -> Figure:
    """The interval within what the figure can be: no headline metric, and so no mean of them, lies below 0."""
    return replace(figure, low=float(np.maximum(figure.low, 0.0)), high=float(np.minimum(figure.high, most)))


def _relative_errors(
    model: str,
    task: str,
    figures: Mapping[tuple[Place, Row], Figure],
    base: Mapping[tuple[Place, Row], Figure],
    params: Params,
) -> list["Line"]:
    """Rows of corruption errors with the reference model in the column `baseline`."""
    by_row: dict[Row, list[tuple[Place, Figure, Figure]]] = {}
    for (place, row), figure in figures.items():
        at_headline = row.metric == tables.HEADLINE[task] and row.class_ == tables.ALL and place.severity is not None
        if at_headline and (place, row) in base:
            by_row.setdefault(row, []).append((place, figure, base[place, row]))
    found = []
    for row, cells in by_row.items():
        clean = [(figure, reference) for place, figure, reference in cells if place.severity == 0]
        if not clean:
            continue
        own, other = [], []
        for place, figure, reference in cells:
            if place.severity:
                own.append(robustness.Cell(place.corruption, place.family, place.severity, figure))
                other.append(robustness.Cell(place.corruption, place.family, place.severity, reference))
        summaries = robustness.relative_errors(clean[0][0], own, clean[0][1], other)
        ended = _with_intervals([(row, item.figure) for item in summaries], params)
        for summary, figure in zip(summaries, ended, strict=True):
            place = Place(summary.corruption, summary.family, None, None, None)
            found.append(_line(model, params.baseline, task, place, row._replace(metric=summary.metric), figure))
    return found


def _places(requests: Iterable[Request]) -> Iterator[Place]:
    return (Place(r.corruption, r.family, r.severity, r.strength, r.strength_unit) for r in requests)


def _figure(values: Mapping[Key, Figure] | None, row: Row, request: Request) -> Figure:
    if values is None:
        return Figure(math.nan, "not_applicable" if request.status == "not_applicable" else "failed")
    return values.get((row.slice, row.class_, row.metric), UNDEFINED)


def _line(model: str, baseline: str | None, task: str, place: Place, row: Row, figure: Figure) -> Line:
    slice_, class_, metric, n_units, n_frames, n_objects, _ = row
    ends = figure.value, figure.low, figure.high, math.nan, math.nan
    amounts = n_units, n_frames, n_objects
    return Line(model, baseline, task, *place, slice_, class_, metric, *ends, *amounts, figure.status, figure.note)
