"""summary.md: the verdict, the failing gates and the worst slices, for a pull request or a chat."""

import re
from collections.abc import Sequence
from typing import Final

import pandas as pd

from tasks import tables, terms
from tasks.params import Params
from tasks.report import differences, numbers, shift, takeaways, verdict, wording

LIMIT: Final = 60_000
"""Characters; code hosts cut a comment off at 65,536."""

WORST_SLICES: Final = 5


def summary(
    params: Params,
    overview: pd.DataFrame,
    slices: pd.DataFrame,
    gates: pd.DataFrame,
    honesty: str = shift.SYNTHETIC,
) -> str:
    """The summary as Markdown, shorter than LIMIT whatever the run.

    Args:
        params: Of the run.
        overview: As `numbers.overview` gives it.
        slices: As `numbers.slices` gives it.
        gates: As `tasks.gates.evaluate` gives it.
        honesty: How far the figures reach, as `shift.honesty` gives it.
    """
    outcome = verdict.verdict(gates)
    blocks = [
        f"# {outcome.icon} {outcome.text}",
        f"{outcome.detail} {honesty}",
        f"Corrupted {wording.scaling(params.scale_to)}.",
        *_overview(params, overview),
        *_comparison(params, slices),
        *_gates(gates),
        *_slices(params, slices),
    ]
    text = "\n\n".join(blocks) + "\n"
    if len(text) >= LIMIT:
        note = "\n\n… cut here; the page has the rest.\n"
        text = text[: text.rindex("\n", 0, LIMIT - len(note) - 1)] + note
    return text


def _overview(params: Params, overview: pd.DataFrame) -> list[str]:
    rows = [
        [
            terms.TASK_NAMES[row["task"]],
            row["model"],
            terms.metric(row["metric"]),
            wording.figure(*numbers.ends(row, "clean")),
            wording.figure(*numbers.ends(row, "mpc")),
            wording.share(*numbers.ends(row, "rpc")),
            ": ".join(filter(None, (str(row["n_units"]), wording.status(row["status"], row["note"])))),
        ]
        for row in overview.to_dict("records")
    ]
    head = ["Task", "Model", "Metric", "Clean", "mPC", "rPC", "Units"]
    note = f"In brackets the {wording.confidence(params.metrics.confidence)} interval; a unit is an image or a clip."
    return ["## Models", markdown_table(head, rows), note]


def _comparison(params: Params, slices: pd.DataFrame) -> list[str]:
    """A sentence by task and model, then what regressed for certain; nothing without a baseline."""
    table = differences.comparison(slices, params.metrics.confidence)
    if params.baseline is None or table.empty:
        return []
    lines = [
        f"- **{terms.TASK_NAMES[task]}.** {markdown_text(takeaways.gain_sentence(rows, model, params.baseline))}"
        for task in tables.TASKS
        for model in params.models
        if len(rows := table[(table["task"] == task) & (table["model"] == model)])
    ]
    blocks = [f"## Against {markdown_text(params.baseline)}", "\n".join(lines)]
    rows = table[(table["mpc_outcome"] == differences.REGRESSION) | (table["clean_outcome"] == differences.REGRESSION)]
    if rows.empty:
        return blocks
    shown = [
        [
            wording.place(row),
            row["model"],
            terms.TASK_NAMES[row["task"]],
            str(row["n_units"]),
            *(
                f"{wording.difference(*numbers.ends(row, f'{name}_difference'))} {row[f'{name}_outcome']}"
                for name in ("mpc", "clean")
            ),
        ]
        for row in rows.head(WORST_SLICES).to_dict("records")
    ]
    head = ["Where", "Model", "Task", "Units", "ΔmPC", "Δclean"]
    title = f"Regressions that are told apart from chance ({len(shown)} of {len(rows)} lines):"
    return [*blocks, title, markdown_table(head, shown)]


def _gates(gates: pd.DataFrame) -> list[str]:
    rows = verdict.ordered(gates)
    rows = rows[rows["status"] != "pass"]
    if rows.empty:
        return []
    lines = [
        [
            " ".join(verdict.STATUS_WORDS[row["status"]]),
            row["model"],
            f"{terms.TASK_NAMES.get(row['task'], wording.headline(row['task']))}: {terms.metric(row['metric'])}",
            verdict.where(row),
            verdict.observed(row),
            verdict.bound(row),
        ]
        for row in rows.to_dict("records")
    ]
    head = ["Gate", "Model", "Metric", "Where", "Observed", "Threshold"]
    return [f"## Gates that do not pass ({len(rows)} of {len(gates)})", markdown_table(head, lines)]


def _slices(params: Params, slices: pd.DataFrame) -> list[str]:
    rows = slices[(slices["slice"] != tables.ALL) & slices["rpc"].notna() & ~slices["small"]]
    rows = rows.sort_values("rpc", kind="stable").head(WORST_SLICES)
    if rows.empty:
        return []
    lines = [
        [
            wording.slice_name(row["slice"]),
            row["model"],
            terms.TASK_NAMES[row["task"]],
            str(row["n_units"]),
            wording.number(row["clean"]),
            wording.figure(*numbers.ends(row, "mpc")),
            wording.percent(row["rpc"]),
            wording.difference(*numbers.ends(row, "mpc_difference")),
        ]
        for row in rows.to_dict("records")
    ]
    against = f"ΔmPC to {params.baseline}" if params.baseline else "ΔmPC"
    head = ["Slice", "Model", "Task", "Units", "Clean", "mPC", "rPC", against]
    small = f"Slices of fewer than {params.metrics.min_units} units are left out."
    return [f"## The {len(lines)} slices that keep least", markdown_table(head, lines), small]


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A table; texts stay text.

    Args:
        head: the columns' titles.
        rows: as many texts each.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(markdown_text(text) for text in line) + " |" for line in lines)


def markdown_text(text: str) -> str:
    """Text that stays text in a Markdown table, whatever a class or a slice is called; intervals keep their brackets.

    Examples:
        >>> print(markdown_text("a|b 0.5 [0.43, 0.57]"), markdown_text("[1, 2](x)"))
        a\\|b 0.5 [0.43, 0.57] \\[1, 2\\](x)
    """
    flat = re.sub(r"\s+", " ", text)
    parts = re.split(r"(\[[+−]?[\d.]+, [+−]?[\d.]+\](?![(\[:]))", flat)  # every second part is an interval
    parts[::2] = [re.sub(r"([\\`*\[\]<>|])", r"\\\1", part).replace("@", "@\u200b") for part in parts[::2]]
    return "".join(parts)


def markdown_code(lines: Sequence[str]) -> str:
    """A block of code, whose fence is longer than any run of backticks in it.

    Examples:
        >>> print(markdown_code(["a ``` b"]))
        ````
        a ``` b
        ````
    """
    text = "\n".join(lines)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}\n{text}\n{fence}"
