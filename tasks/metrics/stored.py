"""Headline figures as `score` stored them, with their replicates: what means and differences are made of again."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from tasks import tables
from tasks.metrics.robustness import Figure
from tasks.metrics.study import Key

Cell = tuple[str, int]
"""corruption, severity"""


def figures(scores: pd.DataFrame, replicates: pd.DataFrame, model: str) -> dict[str, dict[Cell, Mapping[Key, Figure]]]:
    """A model's figures by task and cell; replicates were drawn with weights that follow from the units' ids alone.

    Args:
        scores: the table `scores`.
        replicates: the table `replicates` beside it.
        model: whose.
    """
    rows = scores[(scores["model"] == model) & scores["baseline"].isna() & scores["severity"].notna()]
    rows = rows[rows["metric"] == rows["task"].map(dict(tables.HEADLINE))]
    own = replicates[replicates["model"] == model]
    keys = ["task", "corruption", "severity", "slice", "class", "metric"]
    drawn = {
        tuple(key): np.asarray(values, dtype=np.float32)
        for *key, values in own[[*keys, "values"]].itertuples(index=False)
    }
    found: dict[str, dict[Cell, dict[Key, Figure]]] = {}
    for row in rows.to_dict("records"):
        task, at = str(row["task"]), (str(row["corruption"]), int(row["severity"]))
        key = str(row["slice"]), str(row["class"]), str(row["metric"])
        value, low, high = (math.nan if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high"))
        note = None if pd.isna(row["note"]) else str(row["note"])
        figure = Figure(value, str(row["status"]), drawn.get((task, *at, *key)), low, high, note)
        found.setdefault(task, {}).setdefault(at, {})[key] = figure
    return {task: dict(cells) for task, cells in found.items()}
