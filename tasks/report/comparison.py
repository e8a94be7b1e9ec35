"""Candidates against the baseline, by slice: regressions first."""

from typing import Any

import pandas as pd

from tasks import tables
from tasks.params import Params
from tasks.report import companions, figures, heatmaps, numbers, wording

Content = dict[str, Any]


def comparison(
    params: Params, scores: pd.DataFrame, table: pd.DataFrame, charts: dict[str, figures.Figure]
) -> Content | None:
    """Candidates against the baseline by slice; None when there is nothing to compare."""
    if params.baseline is None or table.empty:
        return None
    blocks = []
    for task in numbers.tasks_of(scores):
        own = table[(table["task"] == task) & (table["class"] == tables.ALL)]
        candidates = [m for m in numbers.models_of(params, scores, task) if m in set(own["model"])]
        if not candidates:
            continue
        columns = {}
        for model in candidates:
            here = own[own["model"] == model].set_index("slice")
            columns[f"{model}: clean"] = here["clean_difference"]
            columns[f"{model}: mPC"] = here["mpc_difference"]
        grid = pd.DataFrame(columns).sort_index(key=lambda names: names.map(lambda name: (name != tables.ALL, name)))
        key = f"difference-{task}"
        charts[key] = heatmaps.difference_map(grid)
        maps = [_map(key, "Clean and mPC by slice", grid, charts)]
        for model in candidates:
            detail = numbers.differences_by_corruption(scores, task, model)
            if detail.empty:
                continue
            order = [c.name for c in params.choices() if c.name in detail.columns]
            detail = detail[order].rename(columns=wording.corruption)
            key = f"difference-{task}-{model}"
            charts[key] = heatmaps.difference_map(detail)
            title = f"{model}: mean over severities, by corruption and slice"
            maps.append(_map(key, title, detail, charts))
        blocks.append(
            {
                "task": task,
                "name": wording.TASK_NAMES[task],
                "metric": wording.metric(tables.HEADLINE[task]),
                "maps": maps,
                "takeaway": wording.comparison_takeaway(own, params.baseline),
            }
        )
    return {
        "baseline": params.baseline,
        "takeaway": wording.comparison_takeaway(table, params.baseline),
        "blocks": blocks,
        "lines": [
            {
                "model": row["model"],
                "task": wording.TASK_NAMES[row["task"]],
                "metric": wording.metric(row["metric"]),
                "slice": row["slice"],
                "class": row["class"],
                "n": row["n_units"],
                "small": row["small"],
                "clean": companions.field(row["clean_difference"]),
                "mpc": companions.field(row["mpc_difference"]),
            }
            for row in table.to_dict("records")
        ],
    }


def _map(key: str, title: str, grid: pd.DataFrame, charts: dict[str, figures.Figure]) -> Content:
    return {
        "id": key,
        "title": title,
        "height": charts[key]["layout"]["height"],
        "columns": [str(name) for name in grid.columns],
        "lines": [
            (str(name), [wording.change(value) for value in values])
            for name, values in zip(grid.index, grid.to_numpy(dtype=float).tolist(), strict=True)
        ],
    }
