"""Candidates against the baseline, by slice: regressions first, and whether each is told apart from chance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tasks import tables, terms
from tasks.params import Params
from tasks.report import companions, differences, figures, heatmaps, metric_changes, numbers, takeaways, wording

Content = dict[str, Any]


def comparison(
    params: Params, scores: pd.DataFrame, slices: pd.DataFrame, charts: dict[str, figures.Figure]
) -> Content | None:
    """Candidates against the baseline by slice (of the table `slices`); None when there is nothing to compare."""
    table = differences.comparison(slices, params.metrics.confidence)
    if params.baseline is None or table.empty:
        return None
    whole = scores[(scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL)]
    names = numbers.slice_names(scores)
    blocks = []
    changes = []
    for task in numbers.tasks_of(scores):
        own = table[table["task"] == task]
        candidates = [m for m in numbers.models_of(params, scores, task) if m in set(own["model"])]
        if not candidates:
            continue
        key = f"difference-{task}"
        by_slice = slices[(slices["task"] == task) & (slices["class"] == tables.ALL)]
        lines = _by_figure(by_slice, own, params.baseline, candidates)
        maps = [difference_map(key, "Clean and mPC by slice", lines, names, charts)]
        for model in candidates:
            detail = differences.by_corruption(scores, task, model, params.metrics.confidence)
            if detail.empty:
                continue
            order = {choice.name: terms.corruption(choice.name) for choice in params.choices()}
            detail = detail[detail["corruption"].isin(order)].assign(column=detail["corruption"].map(order))
            detail = detail.sort_values("corruption", key=lambda names: names.map(list(order).index), kind="stable")
            title = f"{model}: mean over severities, by corruption and slice"
            maps.append(difference_map(f"difference-{task}-{model}", title, detail, names, charts))
        found = {
            model: metric_changes.changes(whole, task, params.baseline, model, params.metrics.confidence)
            for model in candidates
        }
        changes += [
            {"task": terms.TASK_NAMES[task], "model": model, **metric_changes.line(metric)}
            for model, metrics in found.items()
            for metric in metrics
        ]
        blocks.append(
            {
                "task": task,
                "name": terms.TASK_NAMES[task],
                "metric": terms.metric(tables.HEADLINE[task]),
                "maps": maps,
                "sentences": [
                    takeaways.gain_sentence(own[own["model"] == model], model, params.baseline) for model in candidates
                ],
                "metrics": [(model, metric_changes.sentence(metrics)) for model, metrics in found.items()],
            }
        )
    return {
        "baseline": params.baseline,
        "most_q": f"{1 - params.metrics.confidence:.4g}",
        "candidates": table["model"].nunique(),
        "blocks": blocks,
        "lines": [line(row) for row in table.to_dict("records")],
        "changes": changes,
    }


def line(row: Mapping[Any, Any]) -> Content:
    """A line of the table: the mPC's difference, then the clean one's."""
    found = []
    for name in ("mpc", "clean"):
        key = f"{name}_difference"
        style, words = differences.MARKS[row[f"{name}_outcome"]]
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
        "task": terms.TASK_NAMES[row["task"]],
        "where": wording.place(row),
        "n": row["n_units"],
        "differences": found,
    }


def _by_figure(by_slice: pd.DataFrame, own: pd.DataFrame, baseline: str, candidates: list[str]) -> pd.DataFrame:
    """Clean and mPC as columns of one map, the baseline's own figures beside the differences of all candidates.

    Columns: slice, column; difference and its ends, outcome; of the baseline's columns `own` and its ends instead.
    """
    parts = []
    compared = own.loc[own["class"] == tables.ALL]
    for name, words in (("clean", "clean"), ("mpc", "mPC")):
        figure = {name: "own", f"{name}_low": "own_low", f"{name}_high": "own_high"}
        rows = by_slice.loc[
            (by_slice["model"] == baseline) & by_slice["slice"].isin(compared["slice"]), ["slice", *figure]
        ]
        parts.append(rows.rename(columns=figure).assign(column=f"{words}\n{baseline}", outcome=""))
        for model in candidates:
            key = f"{name}_difference"
            named = {key: "difference", f"{key}_low": "difference_low", f"{key}_high": "difference_high"}
            columns = ["slice", *named, f"{name}_outcome"]
            part = compared.loc[compared["model"] == model, columns]
            part = part.rename(columns=named | {f"{name}_outcome": "outcome"})
            parts.append(part.assign(column=f"Δ {words}\n{model}"))
    return pd.concat(parts, ignore_index=True)


def difference_map(
    key: str,
    title: str,
    lines: pd.DataFrame,
    names: Sequence[str],
    charts: dict[str, figures.Figure],
    called: Callable[[str], str] = wording.slice_name,
) -> Content:
    """A heat map of differences and its data, by slice (or what else `called` names) in the order of `names`."""
    columns = list(dict.fromkeys(lines["column"]))
    figures_of = lines[lines["difference"].notna()]["slice"]
    slices = [name for name in names if name in set(figures_of)]
    charts[key] = heatmaps.difference_map(lines, slices, columns, called)
    # What pointing tells stands in the chart's table already, and is as long as all the rest: the page takes it there.
    del charts[key]["data"][0]["text"]
    charts[key]["layout"]["meta"] = {"told": True}
    known = {(row["slice"], row["column"]): row for row in lines.to_dict("records")}
    return {
        "id": key,
        "title": title,
        "takeaway": takeaways.difference_takeaway(lines, called),
        "height": charts[key]["layout"]["height"],
        "columns": columns,
        "lines": [
            (
                called(name),
                [heatmaps.told(known[name, column]) if (name, column) in known else "–" for column in columns],
            )
            for name in slices
        ],
    }
