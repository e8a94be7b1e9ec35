"""Heat maps: corruption by severity for one model, and differences to the baseline by slice."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import find_intermediate_color, hex_to_rgb, sample_colorscale, unlabel_rgb

from tasks import terms
from tasks.metrics.robustness import Figure
from tasks.report import differences, figures, numbers, wording

SCALE: Final = "Cividis"
"""Even steps of lightness, readable with any colour vision."""

DIVERGING: Final = ("#b2182b", "#ef8a62", "#f7f7f7", "#67a9cf", "#2166ac")
"""Red is worse, blue is better; the sign stands in every cell as well."""

_LAYOUT: Final = {
    "template": None,
    "dragmode": False,
    "showlegend": False,
    "margin": {"l": 8, "r": 8, "t": 30, "b": 8},
    "yaxis": {"autorange": "reversed", "type": "category", "showgrid": False, "fixedrange": True, "ticks": ""},
}
_XAXIS: Final = {"type": "category", "side": "top", "showgrid": False, "zeroline": False, "fixedrange": True}


def robustness_map(
    rows: pd.DataFrame,
    model: str,
    order: Sequence[tuple[str, str]],
    *,
    summed: Mapping[str, tuple[Figure, Figure]] | None = None,
) -> figures.Figure:
    """Corruption x severity for one model: retained performance, then, hidden at first, the metric itself.

    Each of the two is a heat map and its numbers, so the figure has four traces. The last column is the mean over the
    severities (mPC of that corruption, and its share of clean).

    Args:
        rows: a table made by `numbers.cells`.
        model: whose map.
        order: (family, corruption) down.
        summed: by corruption its mPC and rPC, whose intervals the last column tells.
    """
    own = rows[(rows["model"] == model) & (rows["severity"] > 0)]
    severities = sorted(int(s) for s in own["severity"].unique())
    names = [name for _, name in order]
    columns: list[int | str] = [*severities, "mean"]
    figure = go.Figure()
    top = max([float(v) for v in own["value"].astype(float) if not math.isnan(v)], default=0.0)
    cells = {(row["corruption"], row["severity"]): row for row in own.to_dict("records")}
    for column, shown, form, limit in (
        ("retained", True, wording.percent, 1.0),
        ("value", False, wording.number, max(top, 1e-6)),
    ):
        grid = own.pivot_table(index="corruption", columns="severity", values=column, aggfunc="first", dropna=False)
        grid = grid.reindex(index=names, columns=severities).astype(float)
        # Own levels leave places of the common grid empty: those are outside the mean, a missing cell is not.
        means = []
        for name in names:
            asked = [int(s) for s in own.loc[own["corruption"] == name, "severity"]]
            means.append(float(np.mean(grid.loc[[name], asked].to_numpy())) if asked else math.nan)
        values = grid.assign(mean=means).to_numpy().tolist()
        texts = [[form(v) for v in line] for line in values]
        x = [str(c) for c in columns]
        y = [figures.escaped(terms.corruption(name)) for name in names]
        figure.add_trace(
            go.Heatmap(
                z=[figures.rounded_all(line) for line in values],
                x=x,
                y=y,
                text=[
                    [
                        *(_hover(cells.get((name, severity))) for severity in severities),
                        _mean_hover(line[-1], (summed or {}).get(name)),
                    ]
                    for name, line in zip(names, texts, strict=True)
                ],
                hovertemplate="<b>%{y}</b> %{customdata[2]}<br>%{text}<extra></extra>",
                # What a click follows, and what pointing tells of a cell of any model.
                customdata=[[[name, str(c), _place(cells.get((name, c)), c)] for c in columns] for name in names],
                colorscale=SCALE,
                zmin=0,
                zmax=limit,
                xgap=2,
                ygap=2,
                showscale=False,
                visible=shown,
            )
        )
        colours = [[ink_on_scale(v / limit) for v in line] for line in values]
        figure.add_trace(_numbers(x, y, texts, colours, visible=shown))
    figure.update_layout(**_LAYOUT, height=70 + 30 * len(names), xaxis={**_XAXIS, "title": {"text": "severity"}})
    return figures.plain(figure)


def difference_map(
    lines: pd.DataFrame,
    slices: Sequence[str],
    columns: Sequence[str],
    called: Callable[[str], str] = wording.slice_name,
) -> figures.Figure:
    """Differences to the baseline; zero in the middle, figures in brackets where they are not told apart from it.

    Args:
        lines: slice, column (a model's figure or a corruption), difference, its ends, outcome; a figure of the
            baseline's own has `own` and its ends instead and stands on the colour of no difference.
        slices: down.
        columns: across.
        called: what a line is called.
    """
    known = {(row["slice"], row["column"]): row for row in lines.to_dict("records")}
    cells = [[known.get((name, column)) for column in columns] for name in slices]
    values = [[math.nan if cell is None else _coloured(cell) for cell in line] for line in cells]
    reach = max([abs(v) for line in values for v in line if not math.isnan(v)], default=0.0) or 1e-6
    x = [figures.escaped(str(name)).replace("\n", "<br>") for name in columns]
    y = [figures.escaped(called(str(name))) for name in slices]
    figure = go.Figure(
        go.Heatmap(
            z=[figures.rounded_all(line) for line in values],
            x=x,
            y=y,
            text=[["–" if cell is None else told(cell) for cell in line] for line in cells],
            hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
            colorscale=[[i / 4, colour] for i, colour in enumerate(DIVERGING)],
            zmin=-reach,
            zmax=reach,
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    colours = [[_on_diverging((v / reach + 1) / 2) for v in line] for line in values]
    texts = [["–" if cell is None else _short(cell) for cell in line] for line in cells]
    figure.add_trace(_numbers(x, y, texts, colours))
    figure.update_layout(**_LAYOUT, height=60 + 26 * len(y), xaxis=_XAXIS)
    return figures.plain(figure)


def _coloured(cell: Mapping[Any, Any]) -> float:
    return float(cell["difference"]) if wording.absent(cell.get("own")) else 0.0


def _short(cell: Mapping[Any, Any]) -> str:
    if not wording.absent(cell.get("own")):
        return wording.number(cell["own"])
    text = wording.change(cell["difference"])
    return f"({text})" if cell["outcome"] in (differences.SAME, differences.FEW) else text


def told(cell: Mapping[Any, Any]) -> str:
    """A difference with its interval and what it comes to; of the baseline its own figure."""
    if not wording.absent(cell.get("own")):
        return wording.figure(*numbers.ends(cell, "own"))
    text = wording.difference(*numbers.ends(cell, "difference"))
    return f"{text}, {cell['outcome']}" if cell["outcome"] else text


def _numbers(
    x: Sequence[str], y: Sequence[str], texts: Sequence[Sequence[str]], colours: Sequence[Sequence[str]], **more: Any
) -> go.Scatter:
    """The numbers in the cells; a heat map's own text has one colour for all, which is unreadable on middle tones."""
    return go.Scatter(
        x=[column for _ in y for column in x],
        y=[line for line in y for _ in x],
        text=[text for line in texts for text in line],
        mode="text",
        textfont={"size": 11, "color": [colour for line in colours for colour in line]},
        hoverinfo="skip",
        **more,
    )


def ink_on_scale(place: float) -> str:
    """The ink for a cell at `place` (0..1) of SCALE."""
    if math.isnan(place):
        return "#8a94a0"
    return _ink_at(round(100 * min(max(place, 0.0), 1.0)))


@cache
def _ink_at(percent: int) -> str:
    return ink(*(v / 255 for v in unlabel_rgb(sample_colorscale(SCALE, [percent / 100])[0])))


def _on_diverging(place: float) -> str:
    """The ink for a cell at `place` (0..1) of DIVERGING."""
    if math.isnan(place):
        return "#8a94a0"
    step = min(int(place * 4), 3)
    low, high = hex_to_rgb(DIVERGING[step]), hex_to_rgb(DIVERGING[step + 1])
    return ink(*(v / 255 for v in find_intermediate_color(low, high, place * 4 - step)))


def ink(red: float, green: float, blue: float) -> str:
    """Black or white, whichever has more contrast on an sRGB colour (0..1): at least 4.5:1 on any.

    WCAG 2.2, relative luminance and contrast ratio.

    Examples:
        >>> ink(1.0, 1.0, 0.9), ink(0.0, 0.1, 0.4)
        ('#000000', '#ffffff')
    """
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"


def _place(cell: Mapping[Any, Any] | None, column: int | str) -> str:
    if column == "mean":
        return "mean of severities"
    level = "" if cell is None else wording.strength(cell["strength"], cell["strength_unit"])
    return f"{column} ({figures.escaped(level)})" if level else str(column)


def _mean_hover(text: str, mean: tuple[Figure, Figure] | None) -> str:
    if mean is None:
        return text
    mpc, rpc = (form(f.value, f.low, f.high) for form, f in zip((wording.figure, wording.share), mean, strict=True))
    return f"{mpc}, {rpc} of clean"


def _hover(cell: Mapping[Any, Any] | None) -> str:
    if cell is None:
        return "not asked for"
    if math.isnan(cell["value"]):
        return figures.escaped(wording.status(cell["status"]))
    value, kept = wording.figure(cell["value"], cell["low"], cell["high"]), wording.percent(cell["retained"])
    few = "<br>too few units for an interval" if cell["status"] == "insufficient" else ""
    return f"{value}, {kept} of clean{few}"
