"""What explains a made-up run of `report_factory`: further rows of scores, confusion, reliability and a policy.

Every figure follows from its place by `report_factory.unit`, so a test can compute it anew. Nothing here is measured.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from tasks import tables
from tasks.layout import Layout
from tasks.metrics import DIAGNOSTICS, METRICS
from tasks.params import Params
from tests import report_factory

NOT_REACHED = "fog"
"""The corruption that breaks no model."""
INTERVALS = ("tide_miss", "operating_recall", "coverage", "deta")
"""Metrics whose cells have an interval: 0.02 to either side."""


def value(task: str, model: str, metric: str, corruption: str, severity: int) -> float:
    """The figure of one cell, 0..1; clean is the same for every corruption."""
    place = tables.CLEAN if severity == 0 else corruption
    return round(0.1 + 0.05 * severity + 0.3 * report_factory.unit(task, model, metric, place), 6)


def explained(run: Params, made: pd.DataFrame, *, temperature: bool = True) -> pd.DataFrame:
    """`made` with diagnostics, settings and break points.

    Args:
        run: the params of the run.
        made: from `report_factory.scores`.
        temperature: whether one was found, and what follows from it.
    """
    rows = []
    for task in dict.fromkeys(made["task"]):
        cells = [(tables.CLEAN, tables.CLEAN, 0)]
        cells += [(c.name, c.family, s) for c in run.choices() for s in c.severities(run.severities)]
        for model in run.models:
            blank = {
                **dict.fromkeys(tables.SCHEMAS["scores"].names),
                "model": model,
                "task": task,
                "slice": tables.ALL,
                "class": tables.ALL,
                "status": "ok",
                "n_units": 48,
                "n_frames": 576,
                "n_objects": 3360,
            }
            for corruption, family, severity in cells:
                here = {**blank, "corruption": corruption, "family": family, "severity": severity}
                for metric in (*METRICS[task][1:], *DIAGNOSTICS[task]):
                    rows.append({**here, "metric": metric, **_figure(task, model, metric, corruption, severity)})
                    if not temperature and metric.endswith("_scaled"):
                        rows[-1] |= {"value": None, "status": "not_defined"}
                if severity == 0:
                    for metric in ("operating_threshold", "temperature", "abstain_below"):
                        known = temperature or metric != "temperature"
                        found = {"value": 1.5, "status": "ok"} if known else {"value": None, "status": "not_defined"}
                        rows.append({**here, "metric": metric, **found})
            for choice in run.choices():
                reached = choice.name != NOT_REACHED
                rows.append(
                    {
                        **blank,
                        "corruption": choice.name,
                        "family": choice.family,
                        "metric": "break_point",
                        "strength_unit": report_factory.UNITS.get(choice.name, "strength"),
                        "value": 4.25 if reached else None,
                        "low": 3.5 if reached else None,
                        "high": None,
                        "status": "ok" if reached else "not_reached",
                    }
                )
    rows = [row for row in rows if row["metric"] != "operating_threshold" or row["task"] != "detection"]
    more = pd.DataFrame(rows, columns=made.columns).astype(made.dtypes.to_dict())
    return pd.concat([made, more], ignore_index=True)


def _figure(task: str, model: str, metric: str, corruption: str, severity: int) -> dict[str, Any]:
    found = value(task, model, metric, corruption, severity)
    if metric not in INTERVALS:
        return {"value": found}
    return {"value": found, "low": found - 0.02, "high": found + 0.02}


def confusion(run: Params, tasks: Iterable[str], names: Sequence[str] = report_factory.CLASSES) -> pd.DataFrame:
    """The table `confusion`: every class is mostly itself, and the next one under severity."""
    rows = []
    for task in tasks:
        if task == "tracking":
            continue
        for model, (corruption, family, severity) in _cells(run):
            for place, true in enumerate(names):
                for predicted, count in ((true, 100 - 10 * severity), (names[place - 1], 3 * severity + place)):
                    rows.append((model, task, corruption, family, severity, true, predicted, count))
            if task == "detection":
                rows.append((model, task, corruption, family, severity, names[0], tables.NO_CLASS, 500))
    return pd.DataFrame([row for row in rows if row[-1]], columns=tables.SCHEMAS["confusion"].names)


def reliability(run: Params, tasks: Iterable[str]) -> pd.DataFrame:
    """The table `reliability`: three bins, and one of exactly 1; more confident than right under severity."""
    rows = []
    for task in tasks:
        if task not in tables.CALIBRATED:
            continue
        for model, (corruption, family, severity) in _cells(run):
            for place, (low, high) in enumerate(((0.2, 0.266667), (0.533333, 0.6), (0.933333, 1.0), (1.0, 1.0))):
                count = int(10 ** (place + 1) + 100 * report_factory.unit(model, corruption, place))
                sure = (low + high) / 2
                rows.append((model, task, corruption, family, severity, low, high, count, sure, sure - 0.1 * severity))
    table = pd.DataFrame(rows, columns=tables.SCHEMAS["reliability"].names)
    return table.assign(accuracy=table["accuracy"].clip(lower=0.0))


def _cells(run: Params) -> list[tuple[str, tuple[str, str, int]]]:
    cells = [(tables.CLEAN, tables.CLEAN, 0)]
    cells += [(c.name, c.family, s) for c in run.choices() for s in c.severities(run.severities)]
    return [(model, cell) for model in run.models for cell in cells]


def policy(run: Params) -> dict[str, Any]:
    """scores/policy.json: act, but observe at severity 3 and fall back from 4 on; a class without a threshold."""
    figure = {"value": 0.9, "low": 0.85, "high": 0.95, "status": "ok"}
    level = {"score": 0.356485, "reason": None, "precision": figure, "recall": figure}
    none = {"value": None, "low": None, "high": None, "status": "not_defined"}
    never = {"score": None, "reason": "precision never keeps to 0.9", "precision": none, "recall": none}
    advice = ("act", "act", "act", "observe", "fall_back", "fall_back")
    model = {
        "status": "ok",
        "thresholds": {"car": {"act": level, "observe": level}, "bus": {"act": never, "observe": level}},
        "cells": [
            {"corruption": corruption, "severity": severity, "advice": advice[severity]}
            for _, (corruption, _, severity) in _cells(run)[: 1 + 5 * len(list(run.choices()))]
            if severity
        ],
        "slices": [{"slice": "time_of_day=night", "advice": "observe"}, {"slice": "camera=east", "advice": "act"}],
    }
    rule = {"act_precision": 0.9, "observe_precision": 0.6, "iou": 0.5, "evidence": [3, 5], "mix": {}}
    return {"schema": 1, "rule": rule, "models": dict.fromkeys(run.models, model)}


def write(
    run: Params,
    layout: Layout,
    tasks: Sequence[str],
    *,
    class_name: str = "car",
    classes: Sequence[str] = report_factory.CLASSES,
) -> None:
    """The tables beside `scores`, and the policy, on disk; `class_name` takes the place of the first class."""
    counts = confusion(run, tasks, classes).replace({report_factory.CLASSES[0]: class_name})
    tables.write("confusion", counts, layout.scores / "confusion.parquet")
    tables.write("reliability", reliability(run, tasks), layout.scores / "reliability.parquet")
    text = json.dumps(policy(run)).replace('"car"', json.dumps(class_name))
    (layout.scores / "policy.json").write_text(text, encoding="utf-8")
