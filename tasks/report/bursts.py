"""Bursts: a corruption's figures before, during and after the frames that it acts on, beside the clean ones there."""

from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.params import Params
from tasks.report import numbers, wording

PARTS: Final = ("before", "during", "after")


def bursts(params: Params, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """A block for each task: lines by corruption, severity and model; for each part figure and share of clean.

    A corruption of several bursts has a line for each. Empty where no corruption comes in bursts.
    """
    found = []
    plain = numbers.plain(scores)
    for task in numbers.tasks_of(scores) if params.bursts else ():
        own = plain[(plain["task"] == task) & (plain["metric"] == tables.HEADLINE[task]) & plain["severity"].notna()]
        own = own[own["class"] == tables.ALL]
        rows = {
            (row["model"], row["corruption"], int(row["severity"]), row["slice"]): row for row in own.to_dict("records")
        }
        lines = [
            {
                "corruption": terms.corruption(choice.name),
                "interval": f"{start} to {stop - 1}",
                "severity": severity,
                "model": model,
                "parts": [_part(rows, model, choice.name, severity, f"burst {start}:{stop}={part}") for part in PARTS],
            }
            for choice in params.choices()
            for start, stop in choice.bursts
            for severity in choice.severities(params.severities)
            for model in numbers.models_of(params, scores, task)
        ]
        metric = terms.metric(tables.HEADLINE[task])
        found.append({"task": task, "name": terms.TASK_NAMES[task], "metric": metric, "lines": lines})
    return found


def _part(rows: dict[Any, Any], model: str, corruption: str, severity: int, slice_: str) -> dict[str, str]:
    row = rows.get((model, corruption, severity, slice_))
    if row is None:  # no frame of the data set lies there
        return {"text": "–", "kept": ""}
    if pd.isna(row["value"]):
        return {"text": wording.status(str(row["status"]), row["note"]), "kept": ""}
    clean = rows.get((model, tables.CLEAN, 0, slice_), {}).get("value")
    kept = "" if clean is None or pd.isna(clean) or not clean else wording.percent(float(row["value"]) / float(clean))
    return {"text": wording.figure(row["value"], row["low"], row["high"]), "kept": f"{kept} of clean" if kept else ""}
