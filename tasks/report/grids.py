"""Heat maps of shares: what is taken for what, and classes over severity. The numbers stand in the cells."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from tasks.report import figures, heatmaps

Lines = Sequence[Sequence[float]]
"""Figures of 0..1 row by row, NaN where there is none."""

ROW_PX: Final = 26


def grid(
    values: Lines,
    texts: Sequence[Sequence[str]],
    *,
    across: Sequence[str],
    down: Sequence[str],
    x_title: str = "",
    limit: float = 1.0,
    hovers: Sequence[Sequence[str]] | None = None,
) -> figures.Figure:
    """A heat map of figures with a text in each cell: two traces.

    Args:
        values: what the colours show.
        texts: what the cells say.
        across: the columns' names.
        down: the rows' names.
        x_title: of the x axis, which lies above; nothing where long names need the room.
        limit: the figure at the light end of the colours.
        hovers: what pointing at a cell says; None for what it says itself.
    """
    x, y = ([figures.escaped(str(name)) for name in names] for names in (across, down))
    figure = go.Figure(
        go.Heatmap(
            z=[figures.rounded_all(line) for line in values],
            x=x,
            y=y,
            text=texts if hovers is None else hovers,
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
            colorscale=heatmaps.SCALE,
            zmin=0,
            zmax=limit,
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[name for _ in y for name in x],
            y=[name for name in y for _ in x],
            text=[text for line in texts for text in line],
            mode="text",
            textfont={"size": 11, "color": _inks(values, limit)},
            hoverinfo="skip",
        )
    )
    figure.update_layout(
        dragmode=False,
        showlegend=False,
        height=70 + ROW_PX * len(y),
        margin={"l": 8, "r": 8, "t": 30, "b": 8},
        xaxis={
            "type": "category",
            "side": "top",
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
            "title": {"text": x_title},
        },
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False, "fixedrange": True, "ticks": ""},
    )
    return figures.plain(figure)


def choice(values: Lines, texts: Sequence[Sequence[str]], *, limit: float, title: str) -> dict[str, Any]:
    """The same of other figures, as `by_severity` has it: what changes of each of the two traces."""
    flat = [text for line in texts for text in line]
    return {
        "z": [[figures.rounded_all(line) for line in values], None],
        "text": [texts, flat],
        "textfont.color": [None, _inks(values, limit)],
        "title": title,
    }


def with_choices(figure: figures.Figure, choices: Mapping[str, Any]) -> figures.Figure:
    """The figure with what can be chosen."""
    return {**figure, "layout": {**figure["layout"], "meta": {"choices": dict(choices)}}}


def _inks(values: Lines, limit: float) -> list[str]:
    return [heatmaps.ink_on_scale(math.nan if math.isnan(v) else v / limit) for line in values for v in line]
