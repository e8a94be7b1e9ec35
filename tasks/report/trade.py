"""What a change gives under corruption and costs on clean frames: differences of mPC over those of the clean figure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from tasks import tables, terms
from tasks.report import figures, numbers, wording

CORNERS: Final = (
    (1, 1, "right", "top", "better at both"),
    (0, 1, "left", "top", "robustness<br>for clean accuracy"),
    (1, 0, "right", "bottom", "clean accuracy<br>for robustness"),
    (0, 0, "left", "bottom", "worse at both"),
)
"""Corners of the chart: x and y of the paper, anchors, words."""


def trade(rows: Sequence[Mapping[Any, Any]]) -> figures.Figure:
    """Δ mPC over Δ clean, a numbered point with its intervals for each task and model; the table says whose it is.

    Args:
        rows: of `differences.comparison`, on all data, with `shown`, the model's name to show.
    """
    figure = go.Figure()
    models = list(dict.fromkeys(row["shown"] for row in rows))
    for place, row in enumerate(rows):
        look = figures.style(models.index(row["shown"]))
        (x, *x_ends), (y, *y_ends) = (numbers.ends(row, f"{name}_difference") for name in ("clean", "mpc"))
        words = terms.TASK_NAMES[row["task"]] + (f", {row['shown']}" if len(models) > 1 else "")
        told = [wording.difference(value, low, high) for value, (low, high) in ((x, x_ends), (y, y_ends))]
        figure.add_trace(
            go.Scatter(
                name=figures.escaped(words),
                x=[figures.rounded(x)],
                y=[figures.rounded(y)],
                error_x=_arms(x, *x_ends),
                error_y=_arms(y, *y_ends),
                mode="markers+text",
                text=["" if _none(row) else str(place + 1)],  # names would lie over each other
                textposition=("top right", "bottom right", "top left", "bottom left")[place % 4],
                marker={"color": look["hue"], "size": 9, "symbol": look["marker"]},
                hovertemplate=figures.escaped(f"{words}<br>").replace("&lt;br&gt;", "<br>")
                + f"Δ clean {told[0]}<br>Δ mPC {told[1]}<extra></extra>",
            )
        )
    reach = {name: max((_reach(row, name) for row in rows), default=0.0) * 1.15 or 0.01 for name in ("clean", "mpc")}
    for x, y, xanchor, yanchor, words in CORNERS:
        figure.add_annotation(
            xref="paper", yref="paper", x=x, y=y, xanchor=xanchor, yanchor=yanchor, text=words, showarrow=False
        )
    figure.update_layout(
        template=None,
        showlegend=False,
        height=380,
        margin={"l": 60, "r": 14, "t": 14, "b": 48},
        xaxis={"range": [-reach["clean"], reach["clean"]], "zerolinewidth": 2, "title": {"text": "Δ clean"}},
        yaxis={"range": [-reach["mpc"], reach["mpc"]], "zerolinewidth": 2, "title": {"text": "Δ mPC"}},
    )
    return figures.plain(figure)


def _arms(value: float, low: float, high: float) -> dict[str, Any] | None:
    if any(wording.absent(end) for end in (value, low, high)):
        return None
    arms = {"array": [figures.rounded(high - value)], "arrayminus": [figures.rounded(value - low)]}
    return {"type": "data", "symmetric": False, "thickness": 1, "width": 3, **arms}


def _reach(row: Mapping[Any, Any], name: str) -> float:
    return max((abs(end) for end in numbers.ends(row, f"{name}_difference") if not pd.isna(end)), default=0.0)


def takeaway(rows: Sequence[Mapping[Any, Any]]) -> str:
    """What each task gains or loses under corruption and on clean frames, as far as it is told apart."""
    many = len({row["shown"] for row in rows}) > 1
    parts = [
        f"{terms.TASK_NAMES[row['task']]}{' of ' + row['shown'] if many else ''}: "
        f"{row['mpc_outcome'] or 'no figure'} under corruption, {row['clean_outcome'] or 'no figure'} on clean frames"
        for row in rows
        if not _none(row)
    ]
    if not parts:
        return "No difference at all." if rows else "No task has both figures in both revisions."
    same = len(rows) - len(parts)
    return "; ".join(parts) + "." + (f" No difference at all: {same} of {len(rows)} points, at zero." if same else "")


def _none(row: Mapping[Any, Any]) -> bool:
    """Whether nothing changed: the same predictions give the same figures to the last digit."""
    return bool(row["clean_difference"] == 0 and row["mpc_difference"] == 0)


def whole(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows of all data of a table of `differences.comparison`, in the order of tasks and models."""
    rows = table[(table["slice"] == tables.ALL) & (table["class"] == tables.ALL)]
    return rows.sort_values(
        ["task", "shown"], key=lambda c: c.map(tables.TASKS.index) if c.name == "task" else c
    ).to_dict("records")
