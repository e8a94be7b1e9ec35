"""What each section of the page holds, as plain values for the templates; the figures go by id."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.gates import budget
from tasks.layout import slug
from tasks.metrics.robustness import Figure
from tasks.params import Params
from tasks.report import figures, heatmaps, numbers, takeaways, verdict, wording

Content = dict[str, Any]

INTERVALS: Final = (
    "An interval in brackets holds at {confidence}: it says how far a figure may move with other clips or images of the"
    " same kind, and nothing about another kind of data."
)


def header(
    params: Params, overview: pd.DataFrame, gates: pd.DataFrame, facts: Content, card: Content, honesty: str
) -> Content:
    """The verdict, how far the figures reach (`honesty`), the models, the run's facts and the figures at a glance."""
    outcomes = verdict.by_model(gates)
    revision = facts.get("commit")
    fields = [
        ("Data set", _data_set(params, card)),
        (
            "Revision",
            None if not revision else f"{str(revision)[:12]}{' + local changes' if facts.get('dirty') else ''}",
        ),
        ("Corrupted", wording.scaling(params.scale_to)),
        ("Seed", str(params.run.seed)),
        ("Device", facts.get("device")),
        ("Date", wording.moment(facts["date"]) if facts.get("date") else None),
        ("Command", facts.get("command")),
    ]
    return {
        "verdict": verdict.verdict(gates),
        "models": [
            {
                "name": name,
                "adapter": " ".join(filter(None, [model.adapter, model.variant, model.decoder])),
                "weights": model.weights_path.name or "no weights",
                "baseline": name == params.baseline,
                "verdict": outcomes.get(name),
            }
            for name, model in params.models.items()
        ],
        "facts": [(label, str(value)) for label, value in fields if value],
        "overview": [
            {
                **row,
                "task_name": terms.TASK_NAMES[row["task"]],
                "metric_name": terms.metric(row["metric"]),
                "clean": wording.figure(*numbers.ends(row, "clean")),
                "mpc": wording.figure(*numbers.ends(row, "mpc")),
                "rpc": wording.share(*numbers.ends(row, "rpc")),
                "status": wording.status(row["status"], row["note"]),
            }
            for row in overview.to_dict("records")
        ],
        "honesty": honesty,
        "intervals": INTERVALS.format(confidence=wording.confidence(params.metrics.confidence)),
    }


def _data_set(params: Params, card: Content) -> str:
    name = card.get("name") or params.dataset.path.name
    split = f", split {params.dataset.split}" if params.dataset.split else ""
    return f"{name}{split}"


def gate_rows(gates: pd.DataFrame) -> list[Content]:
    """The gate table, failures first, each with what it links to."""
    rows = []
    for row in verdict.ordered(gates).to_dict("records"):
        icon, words = verdict.STATUS_WORDS[row["status"]]
        task = str(row["task"])
        specific = isinstance(row["corruption"], str) and row["corruption"] not in (tables.ALL, tables.CLEAN)
        sliced = row["slice"] != tables.ALL or row["class"] != tables.ALL
        query: list[tuple[str, Any]] = [("task", task), ("model", row["model"])]
        if specific:
            query.append(("corruption", row["corruption"]))
        if not pd.isna(row["severity"]):
            query.append(("severity", int(row["severity"])))
        shows = "latency" if task == budget.TASK else "slices" if sliced else "curve"
        curve = curve_id(task, row["corruption"]) if specific else f"curves-{task}"
        rows.append(
            {
                "status": row["status"],
                "icon": icon,
                "words": words,
                "model": row["model"],
                "what": f"{terms.TASK_NAMES.get(task, wording.headline(task))}: {terms.metric(row['metric'])}",
                "where": verdict.where(row),
                "observed": verdict.observed(row),
                "threshold": verdict.bound(row),
                "n": "–" if pd.isna(row["n_units"]) else str(int(row["n_units"])),
                "reason": wording.sentence(row["reason"]),
                "rule": row["rule"],
                "orders": [None if pd.isna(row[name]) else row[name] for name in ("observed", "threshold", "n_units")],
                "evidence": curve if shows == "curve" else shows,
                "shows": shows,
                "slice": row["slice"] if sliced and row["slice"] != tables.ALL else row["class"] if sliced else "",
                "query": query,
                "pictures": [*query, ("slice", row["slice"])] if row["slice"] != tables.ALL else query,
            }
        )
    return rows


def curve_id(task: str, corruption: str) -> str:
    """The anchor of one small multiple."""
    return f"curve-{task}-{slug(corruption)}"


def robustness(params: Params, scores: pd.DataFrame, charts: dict[str, figures.Figure]) -> list[Content]:
    """The robustness maps by task: one heat map for each model, its takeaway and its data."""
    found = []
    for task in numbers.tasks_of(scores):
        rows = numbers.cells(scores, task)
        order = numbers.corruption_order(params, rows)
        if not order:
            continue
        maps = []
        mpc, rpc = numbers.summary(scores, task, "mpc"), numbers.summary(scores, task, "rpc")
        for model in numbers.models_of(params, scores, task):
            key = f"map-{task}-{model}"
            summed = {name: (mpc[model, name], rpc[model, name]) for _, name in order if (model, name) in mpc}
            charts[key] = heatmaps.robustness_map(rows, model, order, summed=summed)
            maps.append(
                {
                    "id": key,
                    "model": model,
                    "takeaway": takeaways.map_takeaway(rows, model),
                    "mpc": _summed(mpc, model, tables.ALL, wording.figure),
                    "rpc": _summed(rpc, model, tables.ALL, wording.share),
                    "height": charts[key]["layout"]["height"],
                    "table": _map_table(rows, model, order, mpc, rpc),
                }
            )
        metric = terms.metric(tables.HEADLINE[task])
        found.append({"task": task, "name": terms.TASK_NAMES[task], "metric": metric, "maps": maps})
    return found


Summary = Mapping[tuple[str, str], Figure]


def _summed(summary: Summary, model: str, corruption: str, form: Callable[[float, float, float], str]) -> str:
    found = summary.get((model, corruption))
    return "–" if found is None else form(found.value, found.low, found.high)


def _map_table(rows: pd.DataFrame, model: str, order: Sequence[tuple[str, str]], mpc: Summary, rpc: Summary) -> Content:
    own = rows[(rows["model"] == model) & (rows["severity"] > 0)]
    severities = sorted(int(s) for s in own["severity"].unique())
    cells = {(row["corruption"], row["severity"]): row for row in own.to_dict("records")}
    lines = []
    for family, name in order:
        line: list[Content] = []
        for severity in severities:
            row = cells.get((name, severity))
            if row is None:
                line.append({"text": ""})
                continue
            told = wording.figure(row["value"], row["low"], row["high"])
            kept = wording.percent(row["retained"])
            known = not pd.isna(row["value"])
            line.append(
                {
                    "text": told if known else wording.status(row["status"]),
                    "kept": f"{kept} of clean" if known else "",
                    "severity": severity,
                    "strength": _strength(row),
                }
            )
        lines.append(
            {
                "family": family.replace("_", " "),
                "corruption": name,
                "name": terms.corruption(name),
                "cells": line,
                "mpc": _summed(mpc, model, name, wording.figure),
                "rpc": _summed(rpc, model, name, wording.share),
            }
        )
    return {"severities": severities, "lines": lines}


def _strength(row: Any) -> str:
    return wording.strength(row["strength"], row["strength_unit"])


def degradation(
    params: Params,
    scores: pd.DataFrame,
    overview: pd.DataFrame,
    charts: dict[str, figures.Figure],
    styled: Callable[[int], Mapping[str, str]] = figures.style,
) -> list[Content]:
    """The degradation curves by task: a mean over all corruptions, then one small multiple for each."""
    found = []
    for task in numbers.tasks_of(scores):
        rows = numbers.cells(scores, task)
        order = numbers.corruption_order(params, rows)
        if not order:
            continue
        metric = tables.HEADLINE[task]
        models = numbers.models_of(params, scores, task)
        floors = {name: _floors(params, task, metric, family, name) for family, name in order}
        values = [float(v) for v in (*rows["value"], *rows["high"]) if not pd.isna(v)]
        values += [value for lines in floors.values() for _, value in lines]
        # A little more than 1, or a marker at 1 would be cut in half.
        top = min(1.04, 1.08 * max(values)) if values and max(values) > 0 else 1.0
        mean_key = f"curve-{task}-mean"
        charts[mean_key] = figures.mean_curve(rows, models, metric=metric, top=top, styled=styled)
        charts[mean_key]["layout"]["meta"]["pictures"] = {"task": task, "corruption": ""}
        multiples = [
            {
                "id": mean_key,
                "name": "Mean of all corruptions",
                "takeaway": takeaways.mean_takeaway(rows, models, len(order)),
                "corruption": None,
            }
        ]
        for _, name in order:
            key = curve_id(task, name)
            charts[key] = figures.curve(rows, name, models, metric=metric, top=top, floors=floors[name], styled=styled)
            charts[key]["layout"]["meta"]["pictures"] = {"task": task, "corruption": name}
            multiples.append(
                {
                    "id": key,
                    "name": wording.headline(terms.corruption(name)),
                    "takeaway": takeaways.curve_takeaway(rows, name, models),
                    "corruption": name,
                }
            )
        found.append(
            {
                "task": task,
                "name": terms.TASK_NAMES[task],
                "metric": terms.metric(metric),
                "takeaway": takeaways.task_takeaway(overview, task),
                "models": [{"name": m, **styled(i)} for i, m in enumerate(models)],
                "multiples": multiples,
                "gated": any(floors.values()),
                "table": _curve_table(rows, models, order),
            }
        )
    return found


def _floors(params: Params, task: str, metric: str, family: str, name: str) -> list[tuple[str, float]]:
    """Absolute floors that gates set for one corruption's curve of the headline metric, whole data."""
    found = []
    for gate in params.gates:
        if gate.min is None or gate.metric != metric or (gate.task is not None and gate.task != task):
            continue
        if gate.slice != tables.ALL or gate.class_ != tables.ALL:
            continue
        if gate.corruption in (name, "*") or (gate.corruption is None and gate.family in (family, "*")):
            at = "" if gate.severity is None else f" at severity {'any' if gate.severity == '*' else gate.severity}"
            scope = "family mean " if gate.corruption is None and gate.family is not None else ""
            found.append((f"gate: {scope}≥ {gate.min:g}{at}", gate.min))
    return found


def _curve_table(rows: pd.DataFrame, models: Sequence[str], order: Sequence[tuple[str, str]]) -> Content:
    lines: list[Content] = [
        {
            "corruption": "clean",
            "name": tables.CLEAN,
            "severity": "0",
            "strength": "",
            "values": [
                wording.figure(found.value, found.low, found.high)
                for found in (numbers.clean_figure(rows, model) for model in models)
            ],
        }
    ]
    means = {model: dict(numbers.mean_curve(rows, model)) for model in models}
    lines += [
        {
            "corruption": "mean of all corruptions",
            "name": "",
            "severity": str(severity),
            "strength": "",
            "values": [wording.number(points.get(severity)) for points in means.values()],
        }
        for severity in sorted({severity for points in means.values() for severity in points} - {0})
    ]
    for _, name in order:
        own = rows[rows["corruption"] == name]
        for severity in sorted(int(s) for s in own["severity"].unique()):
            here = {row["model"]: row for row in own[own["severity"] == severity].to_dict("records")}
            values = [
                wording.figure(*(here[model][end] for end in ("value", "low", "high"))) if model in here else "–"
                for model in models
            ]
            line = {"corruption": terms.corruption(name), "severity": str(severity), "values": values}
            lines.append({**line, "name": name, "strength": _strength(next(iter(here.values())))})
    return {"models": list(models), "lines": lines}
