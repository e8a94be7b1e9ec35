"""Numbers and names as the page and the summary write them; one-sentence takeaways, computed from the tables."""

import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.report import numbers

TASK_NAMES: Final[Mapping[str, str]] = {
    "classification": "Classification",
    "detection": "Detection",
    "instance": "Instance segmentation",
    "semantic": "Semantic segmentation",
    "tracking": "Tracking",
}

METRIC_NAMES: Final[Mapping[str, str]] = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "map": "mAP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar100": "AR100",
    "mask_map": "mask mAP",
    "mask_ap50": "mask AP50",
    "mask_ap75": "mask AP75",
    "mask_ar100": "mask AR100",
    "miou": "mIoU",
    "dice": "Dice",
    "pixel_accuracy": "pixel accuracy",
    "hota": "HOTA",
    "deta": "DetA",
    "assa": "AssA",
    "loca": "LocA",
    "mota": "MOTA",
    "motp": "MOTP",
    "idf1": "IDF1",
    "mpc": "mPC",
    "rpc": "rPC",
    "mpc_15": "mPC (benchmark of 15)",
    "rpc_15": "rPC (benchmark of 15)",
}

DEFINITIONS: Final[Mapping[str, str]] = {
    "accuracy": "share of frames whose most probable label is the true one (top-1)",
    "map": "COCO AP averaged over box IoU 0.50 to 0.95 in steps of 0.05 and over the classes present in truth",
    "mask_map": "COCO AP averaged over mask IoU 0.50 to 0.95 in steps of 0.05 and over the classes present in truth",
    "miou": "intersection over union of label maps, mean over the classes present in truth, ignored pixels left out",
    "hota": "higher order tracking accuracy (Luiten et al. 2021), 19 localisation thresholds, all classes as one",
}


def metric(name: str) -> str:
    """A metric's id as people write it."""
    return METRIC_NAMES.get(name, name)


def corruption(name: str) -> str:
    """A corruption's id with spaces."""
    return name.replace("_", " ")


def number(value: float | None, places: int = 3) -> str:
    """A figure, or a dash where there is none.

    Examples:
        >>> number(0.12345), number(float("nan"))
        ('0.123', '–')
    """
    return "–" if _absent(value) else f"{float(value or 0.0):.{places}f}"


def percent(value: float | None) -> str:
    """A share as whole percents, or a dash.

    Examples:
        >>> percent(0.5021)
        '50 %'
    """
    return "–" if _absent(value) else f"{100 * float(value or 0.0):.0f} %"


def change(value: float | None, places: int = 3) -> str:
    """A difference with its sign, or a dash.

    Examples:
        >>> change(-0.0214), change(0.0)
        ('−0.021', '±0.000')
    """
    if _absent(value):
        return "–"
    text = f"{abs(float(value or 0.0)):.{places}f}"
    sign = "±" if float(text) == 0 else "+" if float(value or 0.0) > 0 else "−"
    return sign + text


def strength(value: float | None, unit: str | None) -> str:
    """A physical strength with its unit, shortest form.

    Examples:
        >>> strength(30.0, "quality"), strength(2.5, "sigma_px")
        ('quality 30', 'sigma 2.5 px')
    """
    if _absent(value):
        return ""
    text = f"{float(value or 0.0):.4g}"
    if not unit:
        return text
    what, _, measure = unit.rpartition("_")
    if what and measure in _MEASURES:
        return f"{what.replace('_', ' ')} {text} {_MEASURES[measure]}"
    return f"{unit.replace('_', ' ')} {text}"


_MEASURES: Final[Mapping[str, str]] = {"px": "px", "ev": "EV", "db": "dB", "m": "m", "s": "s"}


def axis_unit(unit: str | None) -> str:
    """A strength's unit as the title of an axis.

    Examples:
        >>> axis_unit("sigma_px"), axis_unit("quality")
        ('sigma (px)', 'quality')
    """
    if not unit:
        return "strength"
    what, _, measure = unit.rpartition("_")
    if what and measure in _MEASURES:
        return f"{what.replace('_', ' ')} ({_MEASURES[measure]})"
    return unit.replace("_", " ")


def slice_name(name: str) -> str:
    """A slice as a reader says it.

    Examples:
        >>> slice_name("camera=north & time_of_day=night"), slice_name("all")
        ('camera = north, time of day = night', 'all data')
    """
    if name == tables.ALL:
        return "all data"
    if name.startswith("query:"):
        return f"query “{name.removeprefix('query:')}”"
    parts = []
    for part in name.split(" & "):
        attribute, found, value = part.partition("=")
        parts.append(f"{attribute.replace('_', ' ')} = {value}" if found else part)
    return ", ".join(parts)


def map_takeaway(rows: pd.DataFrame, model: str) -> str:
    """One sentence about a robustness map: the corruption and the cell that cost most."""
    own = rows[(rows["model"] == model) & (rows["severity"] > 0) & rows["retained"].notna()]
    if own.empty:
        return f"{model}: no cell has a figure to compare with the clean one."
    by_name = own.groupby("corruption", sort=False)["retained"].mean()
    worst = _lowest(own, "retained")
    hardest, mildest = str(by_name.idxmin()), str(by_name.idxmax())
    sentence = f"{model} keeps least under {corruption(hardest)} ({percent(by_name[hardest])} of clean on average"
    if len(by_name) > 1:
        sentence += f"; most under {corruption(mildest)}, {percent(by_name[mildest])}"
    return (
        f"{sentence}); its worst cell is {corruption(worst['corruption'])} at severity {int(worst['severity'])}"
        f" with {percent(worst['retained'])}."
    )


def curve_takeaway(rows: pd.DataFrame, name: str, models: list[str]) -> str:
    """One sentence about one corruption's curves: from the clean value to the one at the highest severity."""
    parts = []
    for model in models:
        own = rows[(rows["model"] == model) & (rows["corruption"] == name)].sort_values("severity")
        if own.empty:
            continue
        last = own.iloc[-1]
        parts.append(f"{model} {number(numbers.clean_value(rows, model))} → {number(last['value'])}")
    return ("Clean to highest severity: " + "; ".join(parts) + ".") if parts else "No figure."


def mean_takeaway(rows: pd.DataFrame, models: list[str], count: int) -> str:
    """One sentence about the mean curve: where it ends."""
    ends = {model: points[-1] for model in models if (points := numbers.mean_curve(rows, model))}
    if not ends:
        return "The corruptions share no severity, so there is no mean."
    parts = "; ".join(f"{model} {number(value)}" for model, (_, value) in ends.items())
    severity = next(iter(ends.values()))[0]
    return f"Mean over {count} corruption{'s' if count > 1 else ''} at severity {severity}: {parts}."


def task_takeaway(overview: pd.DataFrame, task: str) -> str:
    """One sentence about a task's curves: what each model keeps, and who keeps most."""
    rows = overview[(overview["task"] == task) & overview["mpc"].notna()]
    if rows.empty:
        return "No model has an mPC: a requested cell is missing or has failed."
    best = _highest(rows, "mpc")
    name = metric(str(best["metric"]))
    if len(rows) == 1:
        return (
            f"{best['model']}: {name} {number(best['clean'])} on clean data, {number(best['mpc'])} averaged over the"
            f" corruptions: {percent(best['rpc'])} is kept."
        )
    others = "; ".join(
        f"{row['model']} {number(row['clean'])} → {number(row['mpc'])} ({percent(row['rpc'])})"
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
        f"Least is kept on {slice_name(worst['slice'])}: {worst['model']} keeps {percent(worst['rpc'])} of its clean"
        f" {metric(worst['metric'])} there ({number(worst['clean'])} → {number(worst['mpc'])})."
    )


def comparison_takeaway(table: pd.DataFrame, baseline: str) -> str:
    """One sentence about a comparison: how many slices got worse and which most."""
    rows = table[table["mpc_difference"].notna()]
    if rows.empty:
        return f"No figure to compare with {baseline}."
    worse = rows[rows["mpc_difference"] < 0]
    if worse.empty:
        return f"No slice or class loses mPC against {baseline} ({len(rows)} compared)."
    worst = _lowest(worse, "mpc_difference")
    where = slice_name(worst["slice"]) if worst["slice"] != tables.ALL else f"class {worst['class']}"
    where = "all data" if worst["slice"] == tables.ALL and worst["class"] == tables.ALL else where
    return (
        f"{len(worse)} of {len(rows)} compared lines lose mPC against {baseline}; most: {worst['model']},"
        f" {TASK_NAMES[worst['task']].lower()}, {where} ({change(worst['mpc_difference'])})."
    )


def _lowest(rows: pd.DataFrame, column: str) -> dict[Any, Any]:
    """The row with the lowest figure, the first of equals."""
    return rows.sort_values(column, kind="stable").to_dict("records")[0]


def _highest(rows: pd.DataFrame, column: str) -> dict[Any, Any]:
    """The row with the highest figure, the first of equals."""
    return rows.sort_values(column, ascending=False, kind="stable").to_dict("records")[0]


def _absent(value: float | None) -> bool:
    return value is None or pd.isna(value) or math.isinf(float(value))
