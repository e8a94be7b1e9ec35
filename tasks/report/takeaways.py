"""One-sentence takeaways, computed from the tables that the page shows."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.report import differences, numbers, wording


def map_takeaway(rows: pd.DataFrame, model: str) -> str:
    """One sentence about a robustness map: the corruption and the cell that cost most."""
    own = rows[(rows["model"] == model) & (rows["severity"] > 0) & rows["retained"].notna()]
    if own.empty:
        return f"{model}: no cell has a figure to compare with the clean one."
    by_name = own.groupby("corruption", sort=False)["retained"].mean()
    worst = _lowest(own, "retained")
    hardest, mildest = str(by_name.idxmin()), str(by_name.idxmax())
    sentence = f"{model} keeps least under {terms.corruption(hardest)}"
    sentence += f" ({wording.percent(by_name[hardest])} of clean on average"
    if len(by_name) > 1:
        sentence += f"; most under {terms.corruption(mildest)}, {wording.percent(by_name[mildest])}"
    return (
        f"{sentence}); its worst cell is {terms.corruption(worst['corruption'])} at severity {int(worst['severity'])}"
        f" with {wording.percent(worst['retained'])}."
    )


def curve_takeaway(rows: pd.DataFrame, name: str, models: list[str]) -> str:
    """One sentence about one corruption's curves: from the clean value to the one at the highest severity."""
    parts = []
    for model in models:
        own = rows[(rows["model"] == model) & (rows["corruption"] == name)].sort_values("severity")
        if own.empty:
            continue
        last = own.iloc[-1]
        parts.append(f"{model} {wording.number(numbers.clean_value(rows, model))} → {wording.number(last['value'])}")
    return ("Clean to highest severity: " + "; ".join(parts) + ".") if parts else "No figure."


def mean_takeaway(rows: pd.DataFrame, models: list[str], count: int) -> str:
    """One sentence about the mean curve: where it ends."""
    ends = {model: points[-1] for model in models if (points := numbers.mean_curve(rows, model))}
    if not ends:
        return "The corruptions share no severity, so there is no mean."
    parts = "; ".join(f"{model} {wording.number(value)}" for model, (_, value) in ends.items())
    severity = next(iter(ends.values()))[0]
    return f"Mean over {count} corruption{'s' if count > 1 else ''} at severity {severity}: {parts}."


def task_takeaway(overview: pd.DataFrame, task: str) -> str:
    """One sentence about a task's curves: what each model keeps, and who keeps most."""
    rows = overview[(overview["task"] == task) & overview["mpc"].notna()]
    if rows.empty:
        return "No model has an mPC: a requested cell is missing or has failed."
    best = _highest(rows, "mpc")
    name = terms.metric(str(best["metric"]))
    if len(rows) == 1:
        return (
            f"{best['model']}: {name} {wording.figure(*numbers.ends(best, 'clean'))} on clean data,"
            f" {wording.figure(*numbers.ends(best, 'mpc'))} averaged over the corruptions:"
            f" {wording.percent(best['rpc'])} is kept."
        )
    others = "; ".join(
        f"{row['model']} {wording.number(row['clean'])} → {wording.figure(*numbers.ends(row, 'mpc'))}"
        f" ({wording.percent(row['rpc'])})"
        for row in rows.to_dict("records")
    )
    return f"{best['model']} holds the highest mean under corruption; {name} clean → mPC (kept): {others}."


def slice_takeaway(table: pd.DataFrame) -> str:
    """One sentence about the slice table: where least is kept."""
    rows = table[(table["slice"] != tables.ALL) & table["rpc"].notna() & ~table["small"]]
    if rows.empty:
        return "No slice is large enough for a figure of its own."
    worst = _lowest(rows, "rpc")
    return (
        f"Least is kept on {wording.slice_name(worst['slice'])}: {worst['model']} keeps"
        f" {wording.percent(worst['rpc'])} of its clean {terms.metric(worst['metric'])} there"
        f" ({wording.number(worst['clean'])} → {wording.figure(*numbers.ends(worst, 'mpc'))},"
        f" {worst['n_units']} units)."
    )


def gain_sentence(table: pd.DataFrame, model: str, baseline: str) -> str:
    """Whether a model's mPC differs from the baseline's: over all data, then over how many slices and classes.

    Args:
        table: rows of `differences.comparison` of one task and model.
        model: their model.
        baseline: what the differences are to.
    """
    whole = table[(table["slice"] == tables.ALL) & (table["class"] == tables.ALL)]
    if whole.empty or wording.absent(whole.iloc[0]["mpc_difference"]):
        told = f"{model} has no mPC over all data to compare with {baseline}'s."
    else:
        row = whole.to_dict("records")[0]
        told = f"{_compared(row, 'mpc', f'mPC of {model} minus {baseline}')}."
        if not wording.absent(row["clean_difference"]):
            told += f" {_compared(row, 'clean', 'On clean data')}."
    for words, rows in (
        ("slices of the data", table[(table["slice"] != tables.ALL) & (table["mpc_outcome"] != differences.NONE)]),
        ("classes", table[(table["class"] != tables.ALL) & (table["mpc_outcome"] != differences.NONE)]),
    ):
        if len(rows):
            counts = differences.tally(rows["mpc_outcome"])
            parts = [f"{count} {_COUNTED[name][count > 1]}" for name, count in counts.items() if count]
            told += f" mPC on {len(rows)} {words}: {', '.join(parts)}."
    return told


def difference_takeaway(lines: pd.DataFrame, called: Callable[[str], str] = wording.slice_name) -> str:
    """One sentence about a map of differences: what its cells come to, and the lowest of them.

    Args:
        lines: slice, column, difference and outcome; a figure of the baseline's own is no difference.
        called: how a slice's name is told.
    """
    rows = lines[lines["difference"].notna()]
    if "own" in rows:
        rows = rows[rows["own"].isna()]
    if rows.empty:
        return "No difference is known."
    counts = differences.tally(rows["outcome"])
    parts = [f"{count} {_COUNTED[name][count > 1]}" for name, count in counts.items() if count and name in _COUNTED]
    lowest = _lowest(rows, "difference")
    column = str(lowest["column"]).replace("\n", " ")
    told = f"lowest {wording.change(lowest['difference'])} ({called(str(lowest['slice']))}; {column})"
    return f"{len(rows)} differences: {', '.join([*parts, told])}."


_COUNTED: Final[Mapping[str, tuple[str, str]]] = {
    differences.REGRESSION: ("regression", "regressions"),
    differences.GAIN: ("gain", "gains"),
    differences.SAME: ("not told apart", "not told apart"),
    differences.FEW: ("of too few units", "of too few units"),
}
"""One, several."""


def _compared(row: Mapping[Any, Any], name: str, what: str) -> str:
    """One difference in words: its figure, interval, p, and whether it is told apart from zero."""
    text = f"{what}: {wording.difference(*numbers.ends(row, f'{name}_difference'))}"
    p_value = row[f"{name}_difference_p_value"]
    if not wording.absent(p_value):
        told = wording.probability(p_value)
        text += f", p {told}" if told.startswith("<") else f", p = {told}"
    return text + {
        differences.REGRESSION: ", a regression told apart from zero",
        differences.GAIN: ", a gain told apart from zero",
        differences.SAME: ", not told apart from zero",
        differences.FEW: f", of {row['n_units']} units: too few to tell",
    }.get(row[f"{name}_outcome"], "")


def _lowest(rows: pd.DataFrame, column: str) -> dict[Any, Any]:
    """The row with the lowest figure, the first of equals."""
    return rows.sort_values(column, kind="stable").to_dict("records")[0]


def _highest(rows: pd.DataFrame, column: str) -> dict[Any, Any]:
    """The row with the highest figure, the first of equals."""
    return rows.sort_values(column, ascending=False, kind="stable").to_dict("records")[0]
