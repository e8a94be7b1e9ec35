"""What each section of the page holds, as plain values for the templates; the figures go by id."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.params import Params
from tasks.report import companions, figures, heatmaps, numbers, verdict, wording

Content = dict[str, Any]

HONESTY: Final = (
    "Synthetic corruption only: these figures are a stress test on corrupted copies of the data set, not a forecast of"
    " the accuracy in the field. Figures carry no confidence intervals yet: small differences may be chance."
)

SLICE_HEADS: Final[Mapping[str, str]] = {
    "task": "Task",
    "metric": "Metric",
    "model": "Model",
    "slice": "Slice",
    "class": "Class",
    "n_units": "Units",
    "n_frames": "Frames",
    "n_objects": "Objects",
    "clean": "Clean",
    "mpc": "mPC",
    "rpc": "rPC",
    "clean_difference": "Δ clean",
    "mpc_difference": "Δ mPC",
    "small": "Small",
    "status": "Status",
}


def header(params: Params, overview: pd.DataFrame, gates: pd.DataFrame, facts: Content, card: Content) -> Content:
    """The verdict, the models, the run's facts and the figures at a glance."""
    outcomes = verdict.by_model(gates)
    revision = facts.get("commit")
    fields = [
        ("Data set", _data_set(params, card)),
        (
            "Revision",
            None if not revision else f"{str(revision)[:12]}{' + local changes' if facts.get('dirty') else ''}",
        ),
        ("Seed", str(params.run.seed)),
        ("Device", facts.get("device")),
        ("Date", facts.get("date")),
        ("Command", facts.get("command")),
    ]
    return {
        "verdict": verdict.verdict(gates),
        "models": [
            {
                "name": name,
                "adapter": model.adapter,
                "weights": model.weights.name,
                "baseline": name == params.baseline,
                "verdict": outcomes.get(name),
            }
            for name, model in params.models.items()
        ],
        "facts": [(label, str(value)) for label, value in fields if value],
        "overview": [
            {
                **row,
                "task_name": wording.TASK_NAMES[row["task"]],
                "metric_name": wording.metric(row["metric"]),
                "clean": wording.number(row["clean"]),
                "mpc": wording.number(row["mpc"]),
                "rpc": wording.percent(row["rpc"]),
            }
            for row in overview.to_dict("records")
        ],
        "honesty": HONESTY,
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
        evidence = "slices" if sliced else curve_id(task, row["corruption"]) if specific else f"curves-{task}"
        rows.append(
            {
                "status": row["status"],
                "icon": icon,
                "words": words,
                "model": row["model"],
                "what": f"{wording.TASK_NAMES.get(task, task)}: {wording.metric(row['metric'])}",
                "where": verdict.where(row),
                "observed": wording.number(row["observed"]),
                "threshold": verdict.bound(row),
                "n": "–" if pd.isna(row["n_units"]) else str(int(row["n_units"])),
                "reason": row["reason"],
                "rule": row["rule"],
                "evidence": evidence,
                "slice": row["slice"] if sliced and row["slice"] != tables.ALL else row["class"] if sliced else "",
                "query": query,
            }
        )
    return rows


def curve_id(task: str, corruption: str) -> str:
    """The anchor of one small multiple."""
    return f"curve-{task}-{corruption.replace(' ', '')}"


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
            charts[key] = heatmaps.robustness_map(rows, model, order, metric=tables.HEADLINE[task])
            maps.append(
                {
                    "id": key,
                    "model": model,
                    "takeaway": wording.map_takeaway(rows, model),
                    "mpc": wording.number(mpc.get((model, tables.ALL))),
                    "rpc": wording.percent(rpc.get((model, tables.ALL))),
                    "height": charts[key]["layout"]["height"],
                    "table": _map_table(rows, model, order, mpc, rpc),
                }
            )
        metric = wording.metric(tables.HEADLINE[task])
        found.append({"task": task, "name": wording.TASK_NAMES[task], "metric": metric, "maps": maps})
    return found


def _map_table(
    rows: pd.DataFrame,
    model: str,
    order: Sequence[tuple[str, str]],
    mpc: Mapping[tuple[str, str], float],
    rpc: Mapping[tuple[str, str], float],
) -> Content:
    own = rows[(rows["model"] == model) & (rows["severity"] > 0)]
    severities = sorted(int(s) for s in own["severity"].unique())
    lines = []
    for family, name in order:
        line: list[Content] = []
        for severity in severities:
            cell = own[(own["corruption"] == name) & (own["severity"] == severity)]
            if cell.empty:
                line.append({"text": ""})
                continue
            row = cell.iloc[0]
            ok = row["status"] == "ok"
            text = f"{wording.number(row['value'])} ({wording.percent(row['retained'])})" if ok else str(row["status"])
            line.append({"text": text, "severity": severity, "strength": _strength(row)})
        lines.append(
            {
                "family": family.replace("_", " "),
                "corruption": name,
                "name": wording.corruption(name),
                "cells": line,
                "mpc": wording.number(mpc.get((model, name))),
                "rpc": wording.percent(rpc.get((model, name))),
            }
        )
    return {"severities": severities, "lines": lines}


def _strength(row: Any) -> str:
    return wording.strength(row["strength"], row["strength_unit"])


def degradation(
    params: Params, scores: pd.DataFrame, overview: pd.DataFrame, charts: dict[str, figures.Figure]
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
        values = [float(v) for v in rows["value"] if not pd.isna(v)]
        values += [value for lines in floors.values() for _, value in lines]
        top = min(1.0, 1.08 * max(values)) if values and max(values) > 0 else 1.0
        mean_key = f"curve-{task}-mean"
        charts[mean_key] = figures.mean_curve(rows, models, metric=metric, top=top)
        multiples = [
            {
                "id": mean_key,
                "name": "Mean of all corruptions",
                "takeaway": wording.mean_takeaway(rows, models, len(order)),
                "corruption": None,
            }
        ]
        for _, name in order:
            key = curve_id(task, name)
            charts[key] = figures.curve(rows, name, models, metric=metric, top=top, floors=floors[name])
            multiples.append(
                {
                    "id": key,
                    "name": wording.corruption(name).capitalize(),
                    "takeaway": wording.curve_takeaway(rows, name, models),
                    "corruption": name,
                }
            )
        found.append(
            {
                "task": task,
                "name": wording.TASK_NAMES[task],
                "metric": wording.metric(metric),
                "takeaway": wording.task_takeaway(overview, task),
                "models": [{"name": m, **figures.style(i)} for i, m in enumerate(models)],
                "multiples": multiples,
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
            "severity": "0",
            "strength": "",
            "values": [wording.number(numbers.clean_value(rows, model)) for model in models],
        }
    ]
    for _, name in order:
        own = rows[rows["corruption"] == name]
        for severity in sorted(int(s) for s in own["severity"].unique()):
            here = own[own["severity"] == severity].set_index("model")
            values = [wording.number(here["value"].get(model)) for model in models]
            line = {"corruption": wording.corruption(name), "severity": str(severity), "values": values}
            lines.append({**line, "strength": _strength(here.iloc[0])})
    return {"models": list(models), "lines": lines}


def slice_table(params: Params, table: pd.DataFrame) -> Content:
    """The slice table as the page shows and exports it: each cell's text, and its CSV text where that differs."""
    lines = []
    for row in table.to_dict("records"):
        line = []
        for column in SLICE_HEADS:
            text = companions.field(row[column])
            shown = text
            if column == "task":
                shown = wording.TASK_NAMES[text]
            elif column == "metric":
                shown = wording.metric(text)
            elif column == "small":
                shown = f"n < {numbers.SMALL_SLICE_UNITS}" if row[column] else ""
            elif column == "status" and text == "ok":
                shown = ""
            line.append({"text": shown, "csv": text if text != shown else None, "column": column})
        lines.append(line)
    return {
        "heads": list(SLICE_HEADS.items()),
        "lines": lines,
        "takeaway": wording.slice_takeaway(table),
        "baseline": params.baseline,
        "small": numbers.SMALL_SLICE_UNITS,
    }
