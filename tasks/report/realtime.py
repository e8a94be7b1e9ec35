"""Real time: what tracking is worth to who has to wait for it, beside the HOTA that waits for every frame."""

from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.metrics import FRAMES_PROCESSED, REALTIME
from tasks.metrics.realtime import ARRIVING, LATENCY_MS
from tasks.metrics.realtime_compared import NAMES
from tasks.metrics.robustness import Figure
from tasks.params import Params
from tasks.report import amounts, differences, numbers, wording

HOTA: Final = tables.HEADLINE["tracking"]

Content = dict[str, Any]


def realtime(params: Params, scores: pd.DataFrame, table: pd.DataFrame | None) -> Content | None:
    """A line for each model, the baseline first; None without figures of that kind.

    Args:
        params: of the run.
        scores: the table `scores`.
        table: what `realtime` wrote; None without it.
    """
    if params.realtime is None or table is None or table.empty:
        return None
    waiting = scores[(scores["task"] == "tracking") & (scores["class"] == tables.ALL)]
    waiting, live = (rows[rows["slice"] == tables.ALL] for rows in (waiting, table))
    lines, told = [], []
    names = numbers.models_of(params, table)
    for model in names:
        theirs, rows = (numbers.plain(part[part["model"] == model]) for part in (waiting, live))
        line = {name: _figure(rows, metric, tables.CLEAN) for name, metric in _SHOWN.items()}
        figures = [_figure(part, metric, at) for at in _PLACES for part, metric in _both(theirs, rows, at)]
        lines.append(
            {
                "model": model,
                "latency": amounts.amount(line["latency"].value),
                "arriving": amounts.amount(line["arriving"].value),
                "processed": wording.percent(line["processed"].value),
                "values": [wording.figure(found.value, found.low, found.high) for found in figures],
            }
        )
        told.append(_sentence(model, line, figures[0]))
    compared = [
        _difference(params, model, waiting, live, at)
        for model in names
        for at in _PLACES
        if params.baseline in names and model != params.baseline
    ]
    return {
        "lines": lines,
        "told": told + [found["told"] for found in compared if found["told"]],
        "baseline": params.baseline,
        "differences": compared,
        "stated": params.realtime.latency_ms is not None,
        "choice": params.realtime,
    }


_PLACES: Final = {tables.CLEAN: HOTA, "corrupted": "mpc"}
"""Where models are shown, and what `scores` calls the figure there."""

_SHOWN: Final = {"latency": LATENCY_MS, "arriving": ARRIVING, "processed": FRAMES_PROCESSED, "hota": REALTIME[HOTA]}


def _sentence(model: str, line: dict[str, Figure], base: Figure) -> str:
    if not line["hota"].known:
        failed = line["hota"].status == "failed"
        why = "its cell of clean frames failed or is missing" if failed else "its clean frames have no HOTA"
        return f"{model}: {line['hota'].note or why}."
    latency, rate = amounts.amount(line["latency"].value), amounts.amount(line["arriving"].value)
    share = line["processed"].value
    start = f"{model} takes {latency} ms a frame, and {rate} frames/s arrive: "
    if share == 1 and line["hota"].value == base.value:
        return f"{start}it keeps up, on clean frames nothing is lost."
    lost = base.value - line["hota"].value
    by = f"{'loses' if lost >= 0 else 'gains'} {wording.number(abs(lost))} HOTA on clean frames"
    return f"{start}it processes {wording.percent(share)} of them, and {by} by that."


def _both(waiting: pd.DataFrame, live: pd.DataFrame, at: str) -> tuple[tuple[pd.DataFrame, str], ...]:
    """The rows and what they call the figure at a place: of tracking that waits for every frame, and that does not."""
    return (waiting, _PLACES[at]), (live, NAMES[_PLACES[at]])


def _rows(rows: pd.DataFrame, metric: str, at: str) -> pd.DataFrame:
    """Those of a figure at a place."""
    rows = rows[rows["metric"] == metric]
    if at == tables.CLEAN:
        return rows[rows["severity"] == 0]
    return rows[(rows["corruption"] == tables.ALL) & (rows["family"] == tables.ALL)]


def _figure(rows: pd.DataFrame, metric: str, at: str) -> Figure:
    found = _rows(rows, metric, at).to_dict("records")
    return numbers.figure_of(found[0]) if found else Figure(float("nan"), "not_defined")


def _difference(params: Params, model: str, waiting: pd.DataFrame, live: pd.DataFrame, at: str) -> Content:
    """A model minus the baseline at a place: when frames wait, and when they do not."""
    cells, outcomes = [], []
    for part, metric in _both(waiting, live, at):
        own = part[(part["model"] == model) & (part["baseline"] == params.baseline)]
        rows = differences.named(_rows(own, metric, at), params.metrics.confidence).to_dict("records")
        outcomes.append(rows[0]["outcome"] if rows else differences.NONE)
        style, words = differences.MARKS[outcomes[-1]]
        text = wording.difference(*numbers.ends(rows[0], "difference")) if rows else "–"
        p_value = wording.probability(rows[0]["difference_p_value"]) if rows else ""
        cells.append({"text": text, "p": p_value, "style": style, "words": words})
    return {"model": model, "at": at, "cells": cells, "told": _turned(model, params.baseline, at, *outcomes)}


def _turned(model: str, baseline: str | None, at: str, waiting: str, live: str) -> str | None:
    """A sentence where real time decides otherwise than frames that wait."""
    if waiting == live or not {waiting, live} <= _TELLS.keys():
        return None
    return f"On {at} frames {model} is {_TELLS[waiting]} {baseline} if frames wait, but {_TELLS[live]} it in real time."


_TELLS: Final = {
    differences.REGRESSION: "worse than",
    differences.GAIN: "better than",
    differences.SAME: "not told apart from",
}
