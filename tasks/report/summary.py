"""summary.md: the verdict, the failing gates and the worst slices, for a pull request or a chat."""

import re
from typing import Final

import pandas as pd

from tasks import tables
from tasks.params import Params
from tasks.report import numbers, verdict, wording

LIMIT: Final = 60_000
"""Characters; code hosts cut a comment off at 65,536."""

WORST_SLICES: Final = 5


def summary(params: Params, overview: pd.DataFrame, slices: pd.DataFrame, gates: pd.DataFrame) -> str:
    """The summary as Markdown, shorter than LIMIT whatever the run.

    Args:
        params: Of the run.
        overview: As `numbers.overview` gives it.
        slices: As `numbers.slices` gives it.
        gates: As `tasks.gates.evaluate` gives it.
    """
    outcome = verdict.verdict(gates)
    blocks = [
        f"# {outcome.icon} {outcome.text}",
        f"{outcome.detail} Synthetic corruption only: a stress test, no forecast of the field.",
        *_overview(overview),
        *_gates(gates),
        *_slices(params, slices),
    ]
    text = "\n\n".join(blocks) + "\n"
    if len(text) >= LIMIT:
        note = "\n\n… cut here; the page has the rest.\n"
        text = text[: text.rindex("\n", 0, LIMIT - len(note) - 1)] + note
    return text


def _overview(overview: pd.DataFrame) -> list[str]:
    rows = [
        [
            wording.TASK_NAMES[row["task"]],
            row["model"],
            wording.metric(row["metric"]),
            wording.number(row["clean"]),
            wording.number(row["mpc"]),
            wording.percent(row["rpc"]),
        ]
        for row in overview.to_dict("records")
    ]
    return ["## Models", _table(["Task", "Model", "Metric", "Clean", "mPC", "rPC"], rows)]


def _gates(gates: pd.DataFrame) -> list[str]:
    rows = verdict.ordered(gates)
    rows = rows[rows["status"] != "pass"]
    if rows.empty:
        return []
    lines = [
        [
            " ".join(verdict.STATUS_WORDS[row["status"]]),
            row["model"],
            f"{wording.TASK_NAMES.get(row['task'], row['task'])}: {wording.metric(row['metric'])}",
            verdict.where(row),
            wording.number(row["observed"]),
            verdict.bound(row),
        ]
        for row in rows.to_dict("records")
    ]
    head = ["Gate", "Model", "Metric", "Where", "Observed", "Threshold"]
    return [f"## Gates that do not pass ({len(rows)} of {len(gates)})", _table(head, lines)]


def _slices(params: Params, slices: pd.DataFrame) -> list[str]:
    rows = slices[(slices["slice"] != tables.ALL) & slices["rpc"].notna() & ~slices["small"]]
    rows = rows.sort_values("rpc", kind="stable").head(WORST_SLICES)
    if rows.empty:
        return []
    lines = [
        [
            wording.slice_name(row["slice"]),
            row["model"],
            wording.TASK_NAMES[row["task"]],
            str(row["n_units"]),
            wording.number(row["clean"]),
            wording.number(row["mpc"]),
            wording.percent(row["rpc"]),
            wording.change(row["mpc_difference"]),
        ]
        for row in rows.to_dict("records")
    ]
    against = f"ΔmPC to {params.baseline}" if params.baseline else "ΔmPC"
    head = ["Slice", "Model", "Task", "n", "Clean", "mPC", "rPC", against]
    small = f"Slices under {numbers.SMALL_SLICE_UNITS} sampling units are left out."
    return [f"## The {len(lines)} slices that keep least", _table(head, lines), small]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text that stays text in a Markdown table, whatever a class or a slice is called."""
    flat = re.sub(r"\s+", " ", text)
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", flat).replace("@", "@\u200b")
