"""What the page says in numbers: tidy tables taken from `scores`, with nothing computed twice.

Everything here reads rows; the only arithmetic is retained performance (metric / clean) and the mean curve. Figures,
sentences and the CSV files all start from these tables, so that they cannot disagree. A figure NAME has its interval
in NAME_low and NAME_high, NaN where the status says that there is none.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.metrics.robustness import Figure
from tasks.params import TRIVIAL, Params

PLACES: Final = 4
"""Decimals of every figure in the text outputs and tables; metrics live in 0..1."""

_FIGURES: Final = ("clean", "clean_low", "clean_high", "mpc", "mpc_low", "mpc_high", "rpc", "rpc_low", "rpc_high")

SLICE_COLUMNS: Final = (
    *("task", "metric", "model", "slice", "class", "n_units", "n_frames", "n_objects"),
    *_FIGURES,
    *("clean_difference", "clean_difference_low", "clean_difference_high"),
    *("clean_difference_p_value", "clean_difference_q_value"),
    *("mpc_difference", "mpc_difference_low", "mpc_difference_high"),
    *("mpc_difference_p_value", "mpc_difference_q_value"),
    *("small", "status"),
)
"""Of the table that `slices` makes, and of slices.csv."""

_KEYS: Final = ["task", "model", "slice", "class"]
_FLOATS: Final[dict[str, Any]] = dict.fromkeys(("value", "low", "high"), float)
_TESTS: Final = ("p_value", "q_value")
_NONE: Final = Figure(math.nan, "not_defined")


def ends(row: Mapping[Any, Any], name: str) -> tuple[float, float, float]:
    """The figure `name` of a row with the low and high end of its interval."""
    return float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"])


def worst(states: Iterable[Any]) -> str:
    """The worst of some statuses; `tables.STATUSES` names them from the best on."""
    known = [state for state in states if isinstance(state, str)]
    return max(known, key=tables.STATUSES.index, default="ok")


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
    """The rows that are values of a model, not differences to the baseline nor trivial baselines."""
    return scores[scores["baseline"].isna() & (scores["model"] != TRIVIAL)]


def cells(scores: pd.DataFrame, task: str, *, slice_: str = tables.ALL, class_: str = tables.ALL) -> pd.DataFrame:
    """The headline metric of one task by cell.

    Columns: model, corruption, family, severity, strength, strength_unit, value, low, high, status, retained, which is
    value / clean of the same model; NaN where either is missing or clean is 0.
    """
    rows = plain(scores)
    rows = rows[
        (rows["task"] == task)
        & (rows["metric"] == tables.HEADLINE[task])
        & (rows["slice"] == slice_)
        & (rows["class"] == class_)
        & rows["severity"].notna()
    ]
    place = ["model", "corruption", "family", "severity", "strength", "strength_unit"]
    rows = rows[[*place, "value", "low", "high", "status"]].astype({"severity": int, **_FLOATS})
    clean = rows[rows["severity"] == 0].set_index("model")["value"]
    base = rows["model"].map(clean).astype(float)
    rows["retained"] = np.where(base > 0, rows["value"].astype(float) / base.where(base > 0), np.nan)
    return rows.reset_index(drop=True)


def clean_figure(rows: pd.DataFrame, model: str) -> Figure:
    """The clean figure of `model` in a table made by `cells`; not defined when there is none."""
    found = rows[(rows["model"] == model) & (rows["severity"] == 0)]
    return figure_of(found.to_dict("records")[0]) if len(found) else _NONE


def clean_value(rows: pd.DataFrame, model: str) -> float:
    """The clean value of `model` in a table made by `cells`; NaN when there is none."""
    return clean_figure(rows, model).value


def figure_of(row: Mapping[Any, Any]) -> Figure:
    """A row of scores as a figure."""
    low, high, note = float(row["low"]), float(row["high"]), row.get("note")
    return Figure(float(row["value"]), str(row["status"]), low=low, high=high, note=None if pd.isna(note) else note)


def summary(scores: pd.DataFrame, task: str, metric: str) -> dict[tuple[str, str], Figure]:
    """(model, corruption) -> `metric` (mpc or rpc) over all data; the corruption `all` is the mean over every one."""
    rows = plain(scores)
    rows = rows[
        (rows["task"] == task)
        & (rows["metric"] == metric)
        & rows["severity"].isna()
        & (rows["slice"] == tables.ALL)
        & (rows["class"] == tables.ALL)
    ]
    rows = rows[(rows["corruption"] != tables.ALL) | (rows["family"] == tables.ALL)].astype(_FLOATS)
    return {(str(row["model"]), str(row["corruption"])): figure_of(row) for row in rows.to_dict("records")}


def overview(params: Params, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per task and model: metric; clean, mpc and rpc, each with its ends; n_units, n_frames, status, note."""
    found = []
    for task in tasks_of(scores):
        rows = cells(scores, task)
        sizes = _whole(scores, task)
        mpc, rpc = summary(scores, task, "mpc"), summary(scores, task, "rpc")
        for model in models_of(params, scores, task):
            figures = {
                "clean": clean_figure(rows, model),
                "mpc": mpc.get((model, tables.ALL), _NONE),
                "rpc": rpc.get((model, tables.ALL), _NONE),
            }
            row: dict[str, Any] = {"task": task, "model": model, "metric": tables.HEADLINE[task]}
            for name, figure in figures.items():
                row |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
            n_units, n_frames = sizes.get(model, (0, 0))
            status = worst(figure.status for figure in figures.values())
            note = next((figure.note for figure in figures.values() if figure.status == status), None)
            found.append({**row, "n_units": n_units, "n_frames": n_frames, "status": status, "note": note})
    columns = ["task", "model", "metric", *_FIGURES, "n_units", "n_frames", "status", "note"]
    return pd.DataFrame(found, columns=columns)


def _whole(scores: pd.DataFrame, task: str) -> dict[str, tuple[int, int]]:
    rows = _clean_rows(scores)
    rows = rows[(rows["task"] == task) & (rows["slice"] == tables.ALL) & (rows["class"] == tables.ALL)]
    return {r["model"]: (int(r["n_units"]), int(r["n_frames"])) for r in rows.to_dict("records")}


def _clean_rows(scores: pd.DataFrame, *, of: pd.DataFrame | None = None) -> pd.DataFrame:
    """The clean headline rows, whatever slice and class; of the models' own rows unless others are given."""
    rows = plain(scores) if of is None else of
    return rows[(rows["severity"] == 0) & (rows["metric"] == rows["task"].map(tables.HEADLINE))]


def _one_way(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that divide the data one way only: by slice or by class, not by both."""
    return rows[(rows["slice"] == tables.ALL) | (rows["class"] == tables.ALL)]


def slice_names(scores: pd.DataFrame) -> list[str]:
    """The slices in the order of params, which keeps low, mid, high and small, medium, large; all data first."""
    return sorted(dict.fromkeys(scores["slice"]), key=lambda name: name != tables.ALL)


def slices(params: Params, scores: pd.DataFrame) -> pd.DataFrame:
    """The slice table: one row per task, model, slice and class, with the columns SLICE_COLUMNS.

    Differences are to the baseline (NaN for the baseline itself), with p, and q over the slices and classes of the
    figure. `small`: too few units for an interval. `status`: the worst of the three figures'. Rows whose figure is not
    defined for every part of the line are left out.
    """
    rows = _one_way(_clean_rows(scores)).drop_duplicates(_KEYS)
    table = rows[[*_KEYS, "metric", "n_units", "n_frames", "n_objects"]]
    differences = scores[scores["baseline"].notna()]
    for name, found in (
        ("clean", _clean_rows(scores)),
        ("mpc", _overall(plain(scores), "mpc")),
        ("rpc", _overall(plain(scores), "rpc")),
        ("clean_difference", _clean_rows(scores, of=differences)),
        ("mpc_difference", _overall(differences, "mpc")),
    ):
        table = table.merge(_named(found, name), on=_KEYS, how="left")
    states = table[["clean_status", "mpc_status", "rpc_status"]]
    table["small"] = (states == "insufficient").any(axis=1)
    table["status"] = [worst(line) for line in states.itertuples(index=False)]
    nothing = table[["clean", "mpc", "rpc"]].isna().all(axis=1) & table["status"].isin(
        ["not_defined", "not_applicable"]
    )
    table = table[~nothing]
    task_order = {task: i for i, task in enumerate(tables.TASKS)}
    model_order = {model: i for i, model in enumerate(models_of(params, scores))}
    slice_order = {name: i for i, name in enumerate(slice_names(scores))}
    table = table[table["model"].isin(model_order)]
    table = table.sort_values(
        ["task", "model", "slice", "class"],
        key=lambda column: (
            column.map(task_order)
            if column.name == "task"
            else column.map(model_order)
            if column.name == "model"
            else column.map(slice_order)
            if column.name == "slice"
            else column.map(lambda name: (name != tables.ALL, name))
        ),
    )
    return table[list(SLICE_COLUMNS)].reset_index(drop=True)


def _named(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows' figures under the columns NAME, NAME_low, NAME_high, NAME_p_value, NAME_q_value, NAME_status."""
    columns = {"value": name, **{c: f"{name}_{c}" for c in ("low", "high", "p_value", "q_value", "status")}}
    kept = rows.drop_duplicates(_KEYS)[[*_KEYS, *columns]].astype(_FLOATS | dict.fromkeys(_TESTS, float))
    return kept.rename(columns=columns)


def _overall(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a summary over all corruptions."""
    return rows[
        (rows["metric"] == metric)
        & rows["severity"].isna()
        & (rows["corruption"] == tables.ALL)
        & (rows["family"] == tables.ALL)
    ]


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
    """One task's degradation curves: model, corruption, severity (0 is clean), strength, value, low, high."""
    rows = cells(scores, task)[["model", "corruption", "severity", "strength", "value", "low", "high"]]
    return rows.sort_values(["model", "corruption", "severity"], kind="stable").reset_index(drop=True)
