"""The slice table as the page shows it and exports it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pandas as pd

from tasks import terms
from tasks.params import Params
from tasks.report import companions, numbers, takeaways, wording

_CLEAN: Final = ("clean_difference", "clean_difference_low", "clean_difference_high")
_MPC: Final = ("mpc_difference", "mpc_difference_low", "mpc_difference_high")

SLICE_HEADS: Final[Mapping[str, tuple[str, ...]]] = {
    "Task": ("task",),
    "Metric": ("metric",),
    "Model": ("model",),
    "Slice": ("slice",),
    "Class": ("class",),
    "Units": ("n_units",),
    "Frames": ("n_frames",),
    "Objects": ("n_objects",),
    "Clean": ("clean", "clean_low", "clean_high"),
    "mPC": ("mpc", "mpc_low", "mpc_high"),
    "rPC": ("rpc", "rpc_low", "rpc_high"),
    "Δ clean": (*_CLEAN, "clean_difference_p_value", "clean_difference_q_value"),
    "Δ mPC": (*_MPC, "mpc_difference_p_value", "mpc_difference_q_value"),
    "Status": ("small", "status"),
}
"""The columns of the page's slice table, each with those of slices.csv that it exports, in the order of the file."""

_SHOWN: Final[Mapping[str, Callable[[Any], str]]] = {
    "Task": lambda name: terms.TASK_NAMES[name],
    "Metric": terms.metric,
    "Clean": wording.number,
    "rPC": wording.percent,
    "Δ clean": wording.change,
    "Δ mPC": wording.change,
}


def slice_table(params: Params, table: pd.DataFrame) -> dict[str, Any]:
    """The slice table as the page shows it, each cell with what it exports and, for figures, what it sorts by."""
    tops = table.groupby("task")["mpc_high"].max()  # one scale for the intervals drawn in the lines of a task
    lines = []
    for row in table.to_dict("records"):
        line = []
        for head, columns in SLICE_HEADS.items():
            first = row[columns[0]]
            cell: dict[str, Any] = {"text": companions.field(first), "csv": None, "order": None, "ends": None}
            exported = companions.line(row[column] for column in columns)
            if isinstance(first, float):
                cell["order"] = companions.field(first)
            if head == "mPC":
                cell["text"] = wording.figure(*numbers.ends(row, "mpc"))
                cell["ends"] = _on_scale(*numbers.ends(row, "mpc"), top=tops[row["task"]])
            elif head in _SHOWN:
                cell["text"] = _SHOWN[head](first)
            elif head == "Status":
                cell["text"] = wording.status(row["status"])
            elif head == "Slice":
                cell["link"] = [(name, row[name]) for name in ("task", "model", "slice")]
            if exported != companions.line([cell["text"]]):
                cell["csv"] = exported
            line.append(cell)
        lines.append(line)
    return {
        "heads": list(SLICE_HEADS.items()),
        "lines": lines,
        "takeaway": takeaways.slice_takeaway(table),
        "baseline": params.baseline,
        "few": params.metrics.min_units,
        "confidence": wording.confidence(params.metrics.confidence),
    }


def _on_scale(value: float, low: float, high: float, *, top: float) -> tuple[str, str, str] | None:
    """Low end, figure and high end as percents of a scale from 0 to `top`; None without an interval."""
    if any(pd.isna(part) for part in (value, low, high, top)) or top <= 0:
        return None
    first, middle, last = (f"{100 * min(max(part / top, 0.0), 1.0):.1f}%" for part in (low, value, high))
    return first, middle, last
