"""Error causes: which kinds of error grow, where figures break, which classes suffer, and who loses a track."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.params import Params
from tasks.report import by_severity, confusions, figures, grids, numbers, wording

Content = dict[str, Any]

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "tide_cls": ("cls: class wrong", "right place, another class"),
    "tide_loc": ("loc: place wrong", "right class, IoU below 0.5"),
    "tide_both": ("both: class and place wrong", "another class, IoU below 0.5"),
    "tide_dupe": ("dupe: found twice", "a better box has found the object"),
    "tide_bkg": ("bkg: nothing there", "a box on background"),
    "tide_miss": ("missed: no box for it", "an object that no box was meant for"),
}
"""TIDE's kinds by metric: what a card is called, and what the kind is."""

ORACLES: Final = ("hota_oracle_association", "hota_oracle_detection")
TRACKING: Final[Mapping[str, str]] = {
    "deta": "DetA",
    "assa": "AssA",
    ORACLES[0]: "HOTA, perfect ids",
    ORACLES[1]: "HOTA, perfect boxes",
}
"""What a tracking chart overlays."""

Charts = dict[str, figures.Figure]


def errors(params: Params, scores: pd.DataFrame, confusion: pd.DataFrame | None, charts: Charts) -> Content:
    """A block for each task: its break points, and what explains its losses.

    Args:
        params: of the run.
        scores: the table `scores`.
        confusion: the table `confusion`; None where scores/ has none.
        charts: the figures go here.
    """
    tasks = numbers.tasks_of(scores)
    blocks: list[Content] = []
    for task in tasks:
        models = numbers.models_of(params, scores, task)
        order = [name for _, name in numbers.corruption_order(params, numbers.cells(scores, task))]
        blocks.append(
            {
                "task": task,
                "name": terms.TASK_NAMES[task],
                "metric": terms.metric(tables.HEADLINE[task]),
                "kinds": _kinds(scores, task, models, order, charts),
                "classes": _classes(scores, models, order, charts) if task == "semantic" else None,
                "tracking": _tracking(scores, models, order, charts) if task == "tracking" else None,
                "matrices": _matrices(scores, confusion, models, charts) if task == "classification" else None,
                "breaks": _breaks(params, scores, task, models, order),
            }
        )
    every = numbers.models_of(params, scores)
    return {
        "corruptions": by_severity.corruptions(params, scores),
        "blocks": blocks,
        "confusions": None if confusion is None else confusions.listed(confusion, tasks, every),
        "most": confusions.MOST_COMMON,
    }


def _kinds(
    scores: pd.DataFrame, task: str, models: Sequence[str], order: Sequence[str], charts: Charts
) -> Content | None:
    """TIDE's error kinds as bars; None for a task without them."""
    prefix = {"detection": "", "instance": "mask_"}.get(task)
    if prefix is None:
        return None
    found = by_severity.by_metric(scores, task, [prefix + metric for metric in KINDS])
    if not found:
        return None
    names = {prefix + metric: (name, "AP50 it costs") for metric, (name, _) in KINDS.items()}
    group = by_severity.group(f"kinds-{task}", found, names, models, order, charts, bars=True)
    words = {metric: names[metric][0].split(":")[0] for metric in found}
    return {**group, "takeaways": [_costliest(found, words, model) for model in models]}


def _costliest(found: Mapping[str, by_severity.Points], names: Mapping[str, str], model: str) -> str:
    """One sentence: the kind of error that costs most on clean frames and at the highest severity."""
    parts: list[str] = []
    reached = [s for points in found.values() for m, name, s in points if (m, name) == (model, by_severity.MEAN)]
    for severity, words in ((0, "on clean frames"), (max(reached, default=0), "at severity {}, mean of corruptions,")):
        costs = {
            metric: points[model, by_severity.MEAN, severity].value
            for metric, points in found.items()
            if not wording.absent(points.get((model, by_severity.MEAN, severity), by_severity.NOTHING).value)
        }
        if costs and (severity or not parts):
            worst = max(costs, key=lambda metric: costs[metric])
            parts.append(f"{words.format(severity)} {names[worst]} costs most ({wording.number(costs[worst])} AP50)")
    return f"{model}: {'; '.join(parts)}." if parts else f"{model}: no error kinds are known."


def _classes(scores: pd.DataFrame, models: Sequence[str], order: Sequence[str], charts: Charts) -> list[Content]:
    """Class by severity for each model: IoU, in the mean over the corruptions and under each."""
    rows = by_severity.rows_of(scores, "semantic", [tables.HEADLINE["semantic"]])
    rows = rows[rows["class"] != tables.ALL]
    known = {str(name): by_severity.points(own) for name, own in rows.groupby("class", sort=False)}
    if not known:
        return []
    across = sorted(set(rows["severity"]))
    heads = ["clean" if severity == 0 else str(severity) for severity in across]
    found = []
    for model in models:
        choices, whole = {}, {}
        for name in (by_severity.MEAN, *order):
            points = [[own.get((model, name, s), by_severity.NOTHING) for s in across] for own in known.values()]
            values = [[point.value for point in line] for line in points]
            texts = [[wording.number(value, 2) for value in line] for line in values]
            choices[name] = grids.choice(values, texts, limit=1.0, title=by_severity.across_title(name))
            whole[name] = (values, texts)
        key = f"classes-{model}"
        values, texts = whole[by_severity.MEAN]
        title = by_severity.across_title(by_severity.MEAN)
        chart = grids.grid(values, texts, across=heads, down=list(known), x_title=title)
        charts[key] = grids.with_choices(chart, choices)
        found.append(
            {
                "id": key,
                "title": model,
                "takeaway": _worst_class(known, model, across[-1]),
                "height": chart["layout"]["height"],
                "columns": heads,
                "table": by_severity.table(known, [model], order),
            }
        )
    return found


def _worst_class(known: Mapping[str, by_severity.Points], model: str, end: int) -> str:
    """One sentence: the class that loses most from clean to the highest severity, in the mean over the corruptions."""
    losses = {}
    for name, points in known.items():
        first, final = (points.get((model, by_severity.MEAN, s), by_severity.NOTHING).value for s in (0, end))
        if not (wording.absent(first) or wording.absent(final)):
            losses[name] = (first - final, first, final)
    if not losses or end == 0:
        return f"{model}: no class has a mean over the corruptions to compare with its clean IoU."
    name = max(losses, key=lambda each: losses[each])
    _, first, final = losses[name]
    return (
        f"{model} loses most on {name}: IoU {wording.number(first)} on clean frames, {wording.number(final)} at"
        f" severity {end}, mean of all corruptions."
    )


def _tracking(scores: pd.DataFrame, models: Sequence[str], order: Sequence[str], charts: Charts) -> Content | None:
    """DetA, AssA and HOTA with one of detector and tracker perfect, a chart for each model."""
    known = by_severity.by_metric(scores, "tracking", TRACKING)
    if not known:
        return None
    cards = []
    for model in models:
        series = [
            by_severity.Series(TRACKING[metric], model, by_severity.look(place), known[metric])
            for place, metric in enumerate(TRACKING)
            if metric in known
        ]
        key = f"tracking-{model}"
        charts[key] = by_severity.chart(
            series, order, title="DetA, AssA, HOTA", tops=dict.fromkeys((by_severity.MEAN, *order), 1.04)
        )
        cards.append({"id": key, "name": model, "takeaway": attribution(known, model), "height": by_severity.HEIGHT})
    return {
        "legend": [{"name": TRACKING[m], **by_severity.look(i)} for i, m in enumerate(TRACKING) if m in known],
        "cards": cards,
        "table": by_severity.table({TRACKING[metric]: points for metric, points in known.items()}, models, order),
    }


def attribution(known: Mapping[str, by_severity.Points], model: str) -> str:
    """One sentence: whether the detector or the association loses more, at the highest severity.

    By the oracles where they are known: with perfect ids what is missing to 1 is the detector's, with perfect boxes the
    tracker's. Else by the falls of DetA and AssA.
    """
    end = max((s for points in known.values() for m, name, s in points if (m, name) == (model, "")), default=0)
    where = f"at severity {end}, mean of all corruptions" if end else "on clean frames"

    def at(metric: str, severity: int) -> float:
        points = known.get(metric, {})
        return points.get((model, by_severity.MEAN, severity), by_severity.NOTHING).value

    falls = [at(metric, 0) - at(metric, end) for metric in ("deta", "assa")]
    told = ""
    if end and not any(map(wording.absent, falls)):
        told = f" DetA changes by {wording.change(-falls[0])} from clean, AssA by {wording.change(-falls[1])}."
    lost = [1 - at(metric, end) for metric in ORACLES]
    if not any(map(wording.absent, lost)):
        boxes, ids = (wording.number(value) for value in lost)
        return (
            f"{_more(*lost)} {where}: with perfect ids its boxes still lose {boxes} of HOTA, with perfect boxes its"
            f" tracker loses {ids}.{told}"
        )
    if not told:
        return f"{model}: too little is known to tell detector from association."
    return f"{_more(*falls)} {where}.{told} No HOTA with perfect ids or boxes is known."


def _more(detector: float, association: float) -> str:
    if wording.number(detector) == wording.number(association):
        return "Detector and association lose alike"
    return f"The {'detector' if detector > association else 'association'} loses more"


def _matrices(
    scores: pd.DataFrame, confusion: pd.DataFrame | None, models: Sequence[str], charts: Charts
) -> Content | None:
    """A classifier's confusion matrices; None without counts."""
    if confusion is None:
        return None
    names = confusions.classes(confusion, scores, "classification")
    counts = confusions.pooled(confusion, "classification")
    return {
        "maps": confusions.matrices(counts, models, names, charts),
        "too_many": len(names) if len(names) > confusions.MOST_CLASSES else None,
    }


def _breaks(params: Params, scores: pd.DataFrame, task: str, models: Sequence[str], order: Sequence[str]) -> Content:
    """Break points: the strength at which the headline falls below `metrics.break_at` of clean, by corruption."""
    rows = numbers.plain(scores)
    rows = rows[(rows["task"] == task) & (rows["slice"] == tables.ALL) & (rows["class"] == tables.ALL)]
    found = rows[rows["metric"] == "break_point"]
    known = {(row["model"], row["corruption"]): row for row in found.to_dict("records")}
    cells = rows[(rows["metric"] == tables.HEADLINE[task]) & rows["severity"].notna() & rows["strength"].notna()]
    levels: dict[str, list[float]] = {}
    for row in cells.sort_values("severity", kind="stable").to_dict("records"):
        levels.setdefault(row["corruption"], []).append(float(row["strength"]))
    takeaways = []
    for model in models:
        broken = [name for name in order if not wording.absent(known.get((model, name), {}).get("value"))]
        told = ", ".join(terms.corruption(name) for name in broken)
        takeaways.append(
            f"{model} falls below {wording.percent(params.metrics.break_at)} of clean under {len(broken) or 'none'} of"
            f" {len(order)} corruptions{f': {told}' if broken else ''}."
        )
    return {
        "known": bool(known),
        "share": wording.percent(params.metrics.break_at),
        "models": list(models),
        "takeaways": takeaways,
        "lines": [
            (name, [break_point(known.get((model, name)), levels.get(name, [])) for model in models]) for name in order
        ],
    }


def break_point(row: Mapping[Any, Any] | None, levels: Sequence[float]) -> str:
    """A break point in its unit with its interval; an open end is one that was not reached.

    Args:
        row: of scores; None where it has none.
        levels: the corruption's strengths, the mildest first.

    Examples:
        >>> row = {"value": 5.333, "low": 4.9, "high": None, "strength_unit": "sigma_px", "status": "ok"}
        >>> break_point(row, [2.0, 6.0])
        'sigma 5.33 px [4.9, not reached]'
        >>> break_point({**row, "value": None, "low": None, "status": "not_reached"}, [2.0, 6.0])
        'not reached by sigma 6 px'
        >>> break_point({**row, "value": 2.0, "low": 2.0, "high": 2.0}, [2.0, 6.0])
        'sigma 2 px, the mildest level'
    """
    if row is None:
        return "–"
    value, low, high, unit = (row[name] for name in ("value", "low", "high", "strength_unit"))
    if wording.absent(value):
        if row["status"] == "not_reached" and len(levels):
            return f"not reached by {wording.strength(levels[-1], unit)}"
        return wording.status(row["status"]) or "–"
    told = wording.strength(float(f"{value:.3g}"), unit)
    if len(levels) and math.isclose(value, levels[0]):
        told += ", the mildest level"
        if low == high:
            return told
    if wording.absent(low) and wording.absent(high):
        return f"{told} ({wording.status(row['status'])})" if wording.status(row["status"]) else told
    return f"{told} [{', '.join('not reached' if wording.absent(end) else f'{end:.3g}' for end in (low, high))}]"
