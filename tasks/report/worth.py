"""What models are worth under corruption against what a frame costs them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tasks import tables, terms
from tasks.metrics import latency
from tasks.metrics.robustness import Figure
from tasks.params import Params
from tasks.report import amounts, by_severity, figures, latency_charts, numbers, wording

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
                p50 = latency.figure(own, "latency_p50_ms", confidence=params.metrics.confidence)
                points.append((place, model, p50, kept))
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
                "looks": [{"name": model, **by_severity.look(place)} for place, model, *_ in points],
                "lines": [
                    {
                        "model": model,
                        "ms": amounts.amount(p50.value, p50.low, p50.high),
                        "value": wording.figure(kept.value, kept.low, kept.high),
                    }
                    for _, model, p50, kept in points
                ],
            }
        )
    return found


def _takeaway(
    points: Sequence[tuple[int, str, Figure, Figure]],
    rows: Mapping[str, pd.DataFrame],
    metric: str,
    confidence: float,
) -> str:
    """Which model is the fastest, as far as frame by frame they are told apart, and which the best under corruption."""
    fast, best = min(points, key=lambda p: p[2].value), max(points, key=lambda p: p[3].value)
    as_fast = [
        model
        for _, model, *_ in points
        if not latency.ratio(rows[model], rows[fast[1]], "latency_p50_ms", confidence=confidence).low > 1
    ]
    ms = [f"{amounts.amount(p[2].value)} ms" for p in (fast, best)]
    worth = [wording.number(p[3].value) for p in (fast, best)]
    if best[1] not in as_fast:
        return (
            f"{fast[1]} is the fastest ({ms[0]} at p50, {metric} {worth[0]}), {best[1]} the best under corruption"
            f" ({ms[1]}, {worth[1]})."
        )
    if as_fast == [best[1]]:
        return f"{best[1]} is both the fastest ({ms[1]} at p50) and the best under corruption ({worth[1]})."
    return f"{best[1]} is the best under corruption ({worth[1]}), and none is told apart as faster ({ms[1]} at p50)."
