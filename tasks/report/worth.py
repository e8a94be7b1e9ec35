"""What models are worth under corruption against what a frame costs them in time and memory."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tasks import tables, terms
from tasks.metrics import latency
from tasks.metrics.robustness import Figure
from tasks.params import Params
from tasks.report import amounts, by_severity, figures, latency_charts, numbers, wording
from tasks.report.latency_charts import Point

Content = dict[str, Any]


def cards(
    params: Params, scores: pd.DataFrame, rows: Mapping[str, pd.DataFrame], charts: dict[str, figures.Figure]
) -> list[Content]:
    """A card and a chart for each task on which two models or more have a score.

    Args:
        params: of the run.
        scores: the table `scores`.
        rows: by model, those of the table `latency` on clean frames, in the order of the looks.
        charts: the figures go here.
    """
    found = []
    for task in numbers.tasks_of(scores):
        mpc = numbers.summary(scores, task, "mpc")
        points = []
        for place, (model, own) in enumerate(rows.items()):
            kept = mpc.get((model, tables.ALL))
            if kept is not None and not wording.absent(kept.value):
                points.append(_point(place, model, kept, own, params.metrics.confidence))
        if len(points) < 2:
            continue
        key = f"latency-accuracy-{task}"
        metric = f"mPC ({terms.metric(tables.HEADLINE[task])})"
        charts[key] = latency_charts.worth(points, metric)
        found.append(
            {
                "id": key,
                "task": task,
                "name": terms.TASK_NAMES[task],
                "metric": metric,
                "takeaway": _takeaway(points, rows, metric, params.metrics.confidence),
                "height": charts[key]["layout"]["height"],
                "looks": [{"name": point.model, **by_severity.look(point.place)} for point in points],
                "lines": [
                    {
                        "model": point.model,
                        "ms": amounts.amount(point.ms.value, point.ms.low, point.ms.high),
                        "mb": amounts.amount(point.mb.value),
                        "value": wording.figure(point.worth.value, point.worth.low, point.worth.high),
                    }
                    for point in points
                ],
            }
        )
    return found


def _point(place: int, model: str, kept: Figure, own: pd.DataFrame, confidence: float) -> Point:
    """A model's point: of memory the device's, where the model runs on one."""
    ms, host, device = (
        latency.figure(own, metric, confidence=confidence)
        for metric in ("latency_p50_ms", "peak_memory_mb", "peak_device_memory_mb")
    )
    return Point(place=place, model=model, worth=kept, ms=ms, mb=host if math.isnan(device.value) else device)


def _takeaway(points: Sequence[Point], rows: Mapping[str, pd.DataFrame], metric: str, confidence: float) -> str:
    """Which model is the fastest, as far as frame by frame they are told apart, and which the best under corruption."""
    fast, best = min(points, key=lambda p: p.ms.value), max(points, key=lambda p: (_shown(p), -p.ms.value))
    as_fast = [
        point.model
        for point in points
        if not latency.ratio(rows[point.model], rows[fast.model], "latency_p50_ms", confidence=confidence).low > 1
    ]
    costs = [_cost(point) for point in (fast, best)]
    worth = [wording.number(point.worth.value) for point in (fast, best)]
    if len({_shown(point) for point in points}) == 1:
        speed = f"{fast.model} is the fastest" if as_fast == [fast.model] else "none is told apart as faster"
        return f"Under corruption all are worth the same ({metric} {worth[0]}); {speed} ({costs[0]})."
    if best.model not in as_fast:
        return (
            f"{fast.model} is the fastest ({costs[0]}, {metric} {worth[0]}), {best.model} the best under corruption"
            f" ({costs[1]}, {worth[1]})."
        )
    if as_fast == [best.model]:
        return f"{best.model} is both the fastest ({costs[1]}) and the best under corruption ({worth[1]})."
    return f"{best.model} is the best under corruption ({worth[1]}), and none is told apart as faster ({costs[1]})."


def _shown(point: Point) -> float:
    """What it is worth, as far as it is shown."""
    return round(point.worth.value, 3)


def _cost(point: Point) -> str:
    memory = "" if math.isnan(point.mb.value) else f", {amounts.amount(point.mb.value)} MB"
    return f"{amounts.amount(point.ms.value)} ms at p50{memory}"
