"""The page's charts: plotly figures built in Python, handed to the page as JSON; the template is stored once.

Names of models, classes, slices and corruptions are data: plotly reads tags in text, so every name is escaped here.
"""

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from tasks import tables, terms
from tasks.report import numbers, wording

HUES: Final = ("#0077BB", "#CC3311", "#009988", "#EE3377")
"""Each at least 3:1 on white and on the dark page."""
DASHES: Final = ("solid", "dash", "dot", "dashdot")
MARKERS: Final = ("circle", "diamond", "square", "triangle-up")

Figure = dict[str, Any]


def style(place: int) -> dict[str, str]:
    """Hue, dash and marker of the model at `place`; with more than four models, combinations repeat one at a time."""
    return {
        "hue": HUES[place % 4],
        "dash": DASHES[(place + place // 4) % 4],
        "marker": MARKERS[(place + place // 4) % 4],
    }


def paired_style(place: int) -> dict[str, str]:
    """Of models in pairs, before and after: the hue and marker say which pair, the dash is of what came after."""
    pair, after = divmod(place, 2)
    return {"hue": HUES[pair % 4], "dash": DASHES[after], "marker": MARKERS[pair % 4]}


def templates() -> dict[str, Figure]:
    """The light and the dark template, stored once in the page and given to every chart as it is drawn."""
    return {
        "light": _template(ink="#1b2330", soft="#5a6675", grid="#dde3ea"),
        "dark": _template(ink="#e8edf3", soft="#a3b0bf", grid="#323d4b"),
    }


def _template(*, ink: str, soft: str, grid: str) -> Figure:
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zerolinecolor": grid,
        "tickcolor": grid,
        "tickfont": {"color": soft},
        "title": {"font": {"color": soft}, "standoff": 8},
        "automargin": True,
    }
    layout = {
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": ink},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {"font": {"family": "system-ui, sans-serif", "size": 12}},
        "colorway": list(HUES),
    }
    return {"layout": layout}


def curve(
    rows: pd.DataFrame,
    name: str,
    models: Sequence[str],
    *,
    metric: str,
    top: float,
    floors: Iterable[tuple[str, float]] = (),
    styled: Callable[[int], Mapping[str, str]] = style,
) -> Figure:
    """The degradation curves of one corruption, all models overlaid, each from its clean value (severity 0).

    A band behind each curve holds the intervals of its points, where they have one. All bands come before the first
    curve, so that none covers one.

    Args:
        rows: A table made by `numbers.cells`.
        name: The corruption.
        models: In the order of their styles.
        metric: The headline metric's id.
        top: The upper end of y, the same for all corruptions of a task.
        floors: (label, value) of gates to draw across.
        styled: gives hue, dash and marker of the model at a place.

    Both x axes travel in `layout.meta`: the page switches between severity and physical strength.
    """
    figure = go.Figure()
    own = rows[rows["corruption"] == name].sort_values("severity")
    units = [unit for unit in own["strength_unit"] if isinstance(unit, str)]
    bands, lines = [], []
    strengths: list[list[float | None]] = []
    band_strengths: list[list[float | None]] = []
    for place, model in enumerate(models):
        look = styled(place)
        start = numbers.clean_figure(rows, model)
        clean = start.value
        mine = own[own["model"] == model]
        if mine.empty:
            continue
        levels = [wording.strength(r["strength"], r["strength_unit"]) for r in mine.to_dict("records")]
        strengths.append([None, *(None if pd.isna(s) else float(f"{s:.6g}") for s in mine["strength"].astype(float))])
        severities = [0, *(int(s) for s in mine["severity"])]
        points = [(start.value, start.low, start.high), *zip(mine["value"], mine["low"], mine["high"], strict=True)]
        outline = _outline([low for _, low, _ in points], [high for *_, high in points])
        if outline:
            bands.append(
                go.Scatter(
                    name=escaped(model),
                    x=[None if at is None else severities[at] for at, _ in outline],
                    y=[end for _, end in outline],
                    mode="lines",
                    line={"width": 0},
                    fill="toself",
                    fillcolor=translucent(look["hue"]),
                    hoverinfo="skip",
                )
            )
            band_strengths.append([None if at is None else strengths[-1][at] for at, _ in outline])
        lines.append(
            go.Scatter(
                name=escaped(model),
                x=severities,
                y=[rounded(clean), *rounded_all(mine["value"])],
                customdata=[
                    "clean",
                    *(f"severity {s}, {escaped(t)}" for s, t in zip(mine["severity"], levels, strict=True)),
                ],
                text=[wording.figure(*point) for point in points],
                hovertemplate="%{customdata}<br>" + escaped(terms.metric(metric)) + " %{text}",
                mode="lines+markers",
                line={"color": look["hue"], "dash": look["dash"], "width": 2},
                marker={"symbol": look["marker"], "size": 7},
                connectgaps=False,
            )
        )
        if not math.isnan(clean):
            figure.add_shape(
                type="line",
                xref="paper",
                x0=0,
                x1=1,
                y0=clean,
                y1=clean,
                line={"color": look["hue"], "width": 1, "dash": "dot"},
                opacity=0.6,
            )
    for label, floor in floors:
        figure.add_shape(
            type="line",
            xref="paper",
            x0=0,
            x1=1,
            y0=floor,
            y1=floor,
            line={"color": "#CC3311", "width": 1.5, "dash": "longdash"},
        )
        figure.add_annotation(
            xref="paper",
            x=1,
            xanchor="right",
            y=floor,
            yanchor="bottom",
            text=escaped(label),
            showarrow=False,
            font={"size": 11, "color": "#CC3311"},
        )
    figure.add_traces([*bands, *lines])
    known = [s for line in strengths for s in line if s is not None]
    first = [s for s in strengths[0] if s is not None] if strengths else []
    figure.update_layout(
        template=None,
        showlegend=False,
        height=230,
        margin={"l": 44, "r": 10, "t": 8, "b": 40},
        hovermode="x unified",
        xaxis={"title": {"text": "severity"}, "tickmode": "linear", "dtick": 1, "zeroline": False},
        yaxis={"range": [-0.03 * top, top], "title": {"text": escaped(terms.metric(metric))}, "zeroline": False},
        meta={
            "strength": [*band_strengths, *strengths] if known else None,
            "unit": escaped(wording.axis_unit(units[0] if units else None)),
            # Milder stands left, whichever way the parameter runs (JPEG quality falls as the picture gets worse).
            "falling": len(first) > 1 and first[0] > first[-1],
        },
    )
    return plain(figure)


def mean_curve(
    rows: pd.DataFrame,
    models: Sequence[str],
    *,
    metric: str,
    top: float,
    styled: Callable[[int], Mapping[str, str]] = style,
) -> Figure:
    """The mean over all corruptions at each severity, all models overlaid; no row of scores holds its interval."""
    parts = []
    for model in models:
        points = numbers.mean_curve(rows, model)
        parts += [
            {
                "model": model,
                "corruption": tables.ALL,
                "severity": s,
                "strength": None,
                "strength_unit": None,
                "value": v,
                "low": math.nan,
                "high": math.nan,
                "status": "ok",
            }
            for s, v in points
        ]
    columns = ["model", "corruption", "severity", "strength", "strength_unit", "value", "low", "high", "status"]
    clean = rows.loc[rows["severity"] == 0, columns]
    mean = pd.DataFrame(parts, columns=clean.columns)
    shown = pd.concat([clean, mean]) if len(mean) else clean
    return curve(shown, tables.ALL, models, metric=metric, top=top, styled=styled)


def _outline(low: Sequence[float], high: Sequence[float]) -> list[tuple[int | None, float | None]]:
    """The outline of a band as (place of the point, y): each unbroken run there and back; (None, None) between runs.

    Examples:
        >>> _outline([0.1, 0.2], [0.3, 0.4])
        [(0, 0.3), (1, 0.4), (1, 0.2), (0, 0.1)]
    """
    runs: list[list[int]] = [[]]
    for place, (a, b) in enumerate(zip(low, high, strict=True)):
        if math.isnan(a) or math.isnan(b):
            runs.append([])
        else:
            runs[-1].append(place)
    found: list[tuple[int | None, float | None]] = []
    for run in runs:
        if len(run) > 1:  # a single point has no width to shade
            found += [(None, None)] * bool(found)
            found += [(at, rounded(high[at])) for at in run] + [(at, rounded(low[at])) for at in reversed(run)]
    return found


def translucent(hue: str) -> str:
    """A hue as the fill of a band, pale enough for another to show through.

    Examples:
        >>> translucent("#0077BB")
        'rgba(0,119,187,0.18)'
    """
    red, green, blue = (int(hue[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def plain(figure: go.Figure) -> Figure:
    """The figure as plain lists and numbers, without the template; long names on the axes of a heat map are cut."""
    made = figure.to_plotly_json()
    made["layout"].pop("template", None)
    for trace in made["data"]:
        for axis, most in LONGEST.items() if trace["type"] == "heatmap" else ():
            names = list(trace[axis])
            short = [shortened(name, most) for name in names]
            if short != names:
                made["layout"][f"{axis}axis"] |= {"tickmode": "array", "tickvals": names, "ticktext": short}
    return {"data": made["data"], "layout": made["layout"]}


LONGEST: Final = {"x": 24, "y": 40}
"""Characters of a name on an axis: longer ones would leave no room for the cells."""


def shortened(name: str, most: int) -> str:
    """An escaped name, each of its lines cut in the middle where it is longer than `most` characters.

    Examples:
        >>> shortened("a &lt; b", 5), shortened("release-candidate-of-november", 12)
        ('a &lt; b', 'releas…ember')
    """
    if "<br>" in name:  # escaped names hold no other tag
        return "<br>".join(shortened(line, most) for line in name.split("<br>"))
    text = html.unescape(name)
    return name if len(text) <= most else escaped(f"{text[: most // 2]}…{text[most // 2 + 1 - most :]}")


def escaped(name: str) -> str:
    """A name as plotly shows it: as text, whatever tags it holds."""
    return html.escape(name, quote=False)


def rounded(value: float) -> float | None:
    """A figure as the charts carry it; None where there is none."""
    return None if value is None or pd.isna(value) else round(float(value), numbers.PLACES)


def rounded_all(values: Iterable[float]) -> list[float | None]:
    """Each figure as `rounded` gives it."""
    return [rounded(value) for value in values]
