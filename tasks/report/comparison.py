"""Candidates against the baseline, by slice: regressions first, and whether each is told apart from chance."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.params import Params
from tasks.report import companions, differences, figures, heatmaps, numbers, takeaways, wording

Content = dict[str, Any]

MARKS: Final[Mapping[str, tuple[str, str]]] = {
    differences.REGRESSION: ("regression", "▼ regression"),
    differences.GAIN: ("gain", "▲ gain"),
    differences.SAME: ("same", "not told apart"),
    differences.FEW: ("same", "few units"),
    differences.NONE: ("same", "–"),
}
"""CSS class and words of what a difference comes to."""


def comparison(
    params: Params, scores: pd.DataFrame, slices: pd.DataFrame, charts: dict[str, figures.Figure]
) -> Content | None:
    """Candidates against the baseline by slice (of the table `slices`); None when there is nothing to compare."""
    table = differences.comparison(slices, params.metrics.confidence)
    if params.baseline is None or table.empty:
        return None
    blocks = []
    for task in numbers.tasks_of(scores):
        own = table[table["task"] == task]
        candidates = [m for m in numbers.models_of(params, scores, task) if m in set(own["model"])]
        if not candidates:
            continue
        key = f"difference-{task}"
        maps = [_map(key, "Clean and mPC by slice", _by_figure(own[own["class"] == tables.ALL], candidates), charts)]
        for model in candidates:
            detail = differences.by_corruption(scores, task, model, params.metrics.confidence)
            if detail.empty:
                continue
            order = {choice.name: wording.corruption(choice.name) for choice in params.choices()}
            detail = detail[detail["corruption"].isin(order)].assign(column=detail["corruption"].map(order))
            detail = detail.sort_values("corruption", key=lambda names: names.map(list(order).index), kind="stable")
            title = f"{model}: mean over severities, by corruption and slice"
            maps.append(_map(f"difference-{task}-{model}", title, detail, charts))
        blocks.append(
            {
                "task": task,
                "name": wording.TASK_NAMES[task],
                "metric": wording.metric(tables.HEADLINE[task]),
                "maps": maps,
                "sentences": [
                    takeaways.gain_sentence(own[own["model"] == model], model, params.baseline) for model in candidates
                ],
            }
        )
    return {
        "baseline": params.baseline,
        "most_q": f"{1 - params.metrics.confidence:.4g}",
        "blocks": blocks,
        "lines": [_line(row) for row in table.to_dict("records")],
    }


def _line(row: Mapping[Any, Any]) -> Content:
    """A line of the table: the mPC's difference, then the clean one's."""
    found = []
    for name in ("mpc", "clean"):
        key = f"{name}_difference"
        style, words = MARKS[row[f"{name}_outcome"]]
        p_value, q_value = (companions.field(row[f"{key}_{test}"]) for test in ("p_value", "q_value"))
        found.append(
            {
                "text": wording.difference(*numbers.ends(row, key)),
                "order": companions.field(row[key]),
                "p": wording.probability(row[f"{key}_p_value"]),
                "p_order": p_value,
                "q": wording.probability(row[f"{key}_q_value"]),
                "q_order": q_value,
                "style": style,
                "words": words,
            }
        )
    return {
        "model": row["model"],
        "task": wording.TASK_NAMES[row["task"]],
        "where": wording.place(row),
        "n": row["n_units"],
        "differences": found,
    }


def _by_figure(own: pd.DataFrame, candidates: list[str]) -> pd.DataFrame:
    """Clean and mPC of each candidate as columns of one map: slice, column, difference and its ends, outcome."""
    parts = []
    for model in candidates:
        for name, words in (("clean", "clean"), ("mpc", "mPC")):
            key = f"{name}_difference"
            named = {key: "difference", f"{key}_low": "difference_low", f"{key}_high": "difference_high"}
            columns = ["slice", *named, f"{name}_outcome"]
            part = own.loc[own["model"] == model, columns].rename(columns=named | {f"{name}_outcome": "outcome"})
            parts.append(part.assign(column=f"{model}: {words}"))
    return pd.concat(parts, ignore_index=True)


def _map(key: str, title: str, lines: pd.DataFrame, charts: dict[str, figures.Figure]) -> Content:
    """A heat map of differences and its data, all data first."""
    columns = list(dict.fromkeys(lines["column"]))
    slices = sorted(set(lines["slice"]), key=lambda name: (name != tables.ALL, name))
    charts[key] = heatmaps.difference_map(lines, slices, columns)
    known = {(row["slice"], row["column"]): row for row in lines.to_dict("records")}
    return {
        "id": key,
        "title": title,
        "height": charts[key]["layout"]["height"],
        "columns": columns,
        "lines": [
            (name, [heatmaps.told(known[name, column]) if (name, column) in known else "–" for column in columns])
            for name in slices
        ],
    }
