"""What the page says in numbers: tidy tables taken from `scores`, with nothing computed twice.

Everything here reads rows; the only arithmetic is retained performance (metric / clean) and the mean curve. Figures,
sentences and the CSV files all start from these tables, so that they cannot disagree.
"""

from typing import Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.params import Params

PLACES: Final = 4
"""Decimals of every figure in the text outputs and tables; metrics live in 0..1."""

SMALL_SLICE_UNITS: Final = 10
"""Below so many sampling units (images, or clips of video) a slice's figure is flagged as uncertain."""

_KEYS: Final = ["task", "model", "slice", "class"]


def tasks_of(scores: pd.DataFrame) -> list[str]:
    """The tasks that were scored, in the house's order."""
    found = set(scores["task"])
    return [task for task in tables.TASKS if task in found]


def models_of(params: Params, scores: pd.DataFrame, task: str | None = None) -> list[str]:
    """The models with scores (for one task when given), in the order of params, the baseline first."""
    found = set(scores["model"] if task is None else scores.loc[scores["task"] == task, "model"])
    names = [name for name in params.models if name in found]
    return sorted(names, key=lambda name: name != params.baseline)


def plain(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows that are values of a model, not differences to the baseline."""
    return scores[scores["baseline"].isna()]


def cells(scores: pd.DataFrame, task: str, *, slice_: str = tables.ALL, class_: str = tables.ALL) -> pd.DataFrame:
    """The headline metric of one task by cell: model, corruption, family, severity, strength, unit, value, retained.

    `retained` is value / clean of the same model; NaN where either is missing or clean is 0.
    """
    rows = plain(scores)
    rows = rows[
        (rows["task"] == task)
        & (rows["metric"] == tables.HEADLINE[task])
        & (rows["slice"] == slice_)
        & (rows["class"] == class_)
        & rows["severity"].notna()
    ]
    rows = rows[["model", "corruption", "family", "severity", "strength", "strength_unit", "value", "status"]].copy()
    rows["severity"] = rows["severity"].astype(int)
    clean = rows[rows["severity"] == 0].set_index("model")["value"]
    base = rows["model"].map(clean).astype(float)
    rows["retained"] = np.where(base > 0, rows["value"].astype(float) / base.where(base > 0), np.nan)
    return rows.reset_index(drop=True)


def clean_value(rows: pd.DataFrame, model: str) -> float:
    """The clean value of `model` in a table made by `cells`; NaN when there is none."""
    found = rows.loc[(rows["model"] == model) & (rows["severity"] == 0), "value"]
    return float(found.iloc[0]) if len(found) else float("nan")


def summaries(scores: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    """`metric` (mpc or rpc) of one task over all data: model, corruption, family, value, status."""
    rows = plain(scores)
    rows = rows[
        (rows["task"] == task)
        & (rows["metric"] == metric)
        & rows["severity"].isna()
        & (rows["slice"] == tables.ALL)
        & (rows["class"] == tables.ALL)
    ]
    return rows[["model", "corruption", "family", "value", "status"]].reset_index(drop=True)


def summary(scores: pd.DataFrame, task: str, metric: str) -> dict[tuple[str, str], float]:
    """(model, corruption) -> `metric` over all data; the corruption `all` is the mean over every one of them."""
    rows = summaries(scores, task, metric)
    rows = rows[(rows["corruption"] != tables.ALL) | (rows["family"] == tables.ALL)]
    return {
        (str(m), str(c)): float(v) for m, c, v in zip(rows["model"], rows["corruption"], rows["value"], strict=True)
    }


def overview(params: Params, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per task and model: metric, clean, mpc, rpc, n_units, n_frames and the change of each to the baseline."""
    found = []
    for task in tasks_of(scores):
        rows = cells(scores, task)
        sizes = _whole(scores, task)
        mpc, rpc = summary(scores, task, "mpc"), summary(scores, task, "rpc")
        for model in models_of(params, scores, task):
            found.append(
                {
                    "task": task,
                    "model": model,
                    "metric": tables.HEADLINE[task],
                    "clean": clean_value(rows, model),
                    "mpc": mpc.get((model, tables.ALL), float("nan")),
                    "rpc": rpc.get((model, tables.ALL), float("nan")),
                    "n_units": sizes.get(model, (0, 0))[0],
                    "n_frames": sizes.get(model, (0, 0))[1],
                }
            )
    columns = ["task", "model", "metric", "clean", "mpc", "rpc", "n_units", "n_frames"]
    return pd.DataFrame(found, columns=columns)


def _whole(scores: pd.DataFrame, task: str) -> dict[str, tuple[int, int]]:
    rows = _clean_rows(scores)
    rows = rows[(rows["task"] == task) & (rows["slice"] == tables.ALL) & (rows["class"] == tables.ALL)]
    return {r["model"]: (int(r["n_units"]), int(r["n_frames"])) for r in rows.to_dict("records")}


def _clean_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """The clean headline rows, whatever slice and class."""
    rows = plain(scores)
    return rows[(rows["severity"] == 0) & (rows["metric"] == rows["task"].map(tables.HEADLINE))]


def _one_way(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that divide the data one way only: by slice or by class, not by both."""
    return rows[(rows["slice"] == tables.ALL) | (rows["class"] == tables.ALL)]


def slices(params: Params, scores: pd.DataFrame) -> pd.DataFrame:
    """The slice table: one row per task, model, slice and class.

    Columns: task, metric, model, slice, class, n_units, n_frames, n_objects, clean, mpc, rpc, clean_difference,
    mpc_difference (to the baseline; NaN for the baseline itself), small (too few units), status (the worst of the
    three figures'). Rows whose figure is not defined for every part of the line are left out.
    """
    rows = _one_way(_clean_rows(scores)).drop_duplicates(_KEYS)
    table = rows[[*_KEYS, "metric", "n_units", "n_frames", "n_objects", "value", "status"]].rename(
        columns={"value": "clean"}
    )
    table = table.merge(_summary(plain(scores), "mpc"), on=_KEYS, how="left", suffixes=("", "_mpc"))
    table = table.merge(_summary(plain(scores), "rpc"), on=_KEYS, how="left", suffixes=("", "_rpc"))
    differences = scores[scores["baseline"].notna()]
    clean = differences[
        (differences["severity"] == 0) & (differences["metric"] == differences["task"].map(tables.HEADLINE))
    ]
    table = table.merge(_named(clean, "clean_difference"), on=_KEYS, how="left")
    table = table.merge(
        _summary(differences, "mpc").rename(columns={"mpc": "mpc_difference"})[[*_KEYS, "mpc_difference"]],
        on=_KEYS,
        how="left",
    )
    table["small"] = table["n_units"].astype(int) < SMALL_SLICE_UNITS
    table["status"] = [
        next((s for s in states if isinstance(s, str) and s != "ok"), "ok")
        for states in zip(table["status"], table["status_mpc"], table["status_rpc"], strict=True)
    ]
    nothing = table[["clean", "mpc", "rpc"]].isna().all(axis=1) & table["status"].isin(
        ["not_defined", "not_applicable"]
    )
    table = table[~nothing]
    task_order = {task: i for i, task in enumerate(tables.TASKS)}
    model_order = {model: i for i, model in enumerate(models_of(params, scores))}
    table = table[table["model"].isin(model_order)]
    table = table.sort_values(
        ["task", "model", "slice", "class"],
        key=lambda column: (
            column.map(task_order)
            if column.name == "task"
            else column.map(model_order)
            if column.name == "model"
            else column.map(lambda name: (name != tables.ALL, name))
        ),
    )
    columns = [
        *("task", "metric", "model", "slice", "class", "n_units", "n_frames", "n_objects", "clean", "mpc", "rpc"),
        *("clean_difference", "mpc_difference", "small", "status"),
    ]
    return table[columns].reset_index(drop=True)


def _named(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return rows.drop_duplicates(_KEYS)[[*_KEYS, "value"]].rename(columns={"value": name})


def _summary(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    rows = rows[
        (rows["metric"] == metric)
        & rows["severity"].isna()
        & (rows["corruption"] == tables.ALL)
        & (rows["family"] == tables.ALL)
    ].drop_duplicates(_KEYS)
    return rows[[*_KEYS, "value", "status"]].rename(columns={"value": metric})


def comparison(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a slice table (`slices`) that have a difference to the baseline, regressions first."""
    table = table[table["mpc_difference"].notna() | table["clean_difference"].notna()]
    worst = table[["mpc_difference", "clean_difference"]].min(axis=1)
    return table.assign(worst=worst).sort_values("worst", kind="stable").drop(columns="worst").reset_index(drop=True)


def differences_by_corruption(scores: pd.DataFrame, task: str, model: str) -> pd.DataFrame:
    """Differences to the baseline of each corruption's mPC: slices down, corruptions across; may be empty."""
    rows = scores[
        scores["baseline"].notna()
        & (scores["task"] == task)
        & (scores["model"] == model)
        & (scores["metric"] == "mpc")
        & scores["severity"].isna()
        & (scores["class"] == tables.ALL)
        & (scores["corruption"] != tables.ALL)
    ]
    if rows.empty:
        return pd.DataFrame()
    table = rows.pivot_table(index="slice", columns="corruption", values="value", aggfunc="first", sort=False)
    return table.sort_index(key=lambda names: names.map(lambda name: (name != tables.ALL, name)))


def corruption_order(params: Params, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(family, corruption) pairs of a table made by `cells`, in the order of params; those that params miss go last."""
    found = {(r["family"], r["corruption"]) for r in rows[rows["severity"] > 0].to_dict("records")}
    order = [(choice.family, choice.name) for choice in params.choices() if (choice.family, choice.name) in found]
    return order + sorted(found - set(order))


def mean_curve(rows: pd.DataFrame, model: str) -> list[tuple[int, float]]:
    """The mean over corruptions at each severity that all of them have; NaN where one of them is missing."""
    own = rows[(rows["model"] == model) & (rows["severity"] > 0) & (rows["status"] != "not_applicable")]
    if own.empty:
        return []
    grid = own.pivot_table(index="corruption", columns="severity", values="value", aggfunc="first", dropna=False)
    held = own.groupby("severity")["corruption"].nunique()
    whole = [severity for severity in grid.columns if held[severity] == own["corruption"].nunique()]
    return [(int(severity), float(grid[severity].mean(skipna=False))) for severity in whole]


def curves(scores: pd.DataFrame, task: str) -> pd.DataFrame:
    """One task's degradation curves: model, corruption, severity (0 is clean), strength, value."""
    rows = cells(scores, task)[["model", "corruption", "severity", "strength", "value"]]
    return rows.sort_values(["model", "corruption", "severity"], kind="stable").reset_index(drop=True)
