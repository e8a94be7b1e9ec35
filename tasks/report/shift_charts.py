"""What a shift costs and what corruption costs by severity, in one chart for each task."""

from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go

from tasks import tables, terms
from tasks.report import figures
from tasks.report.by_severity import Point
from tasks.report.shift_rows import Known

Content = dict[str, Any]

HEIGHT: Final = 230


def chart(known: Known, task: str, models: Sequence[str], kind: str) -> Content:
    """What is lost by severity of the corruptions, and what the shift costs across as a line in its interval's band.

    Without a corruption to compare with: what the shift costs, by model.
    """
    figure = go.Figure()
    metric = figures.escaped(terms.metric(tables.HEADLINE[task]))
    like = known.like()
    if not like:
        points = [known.point("real_drop", task=task, model=model) for model in models]
        for place, (model, point) in enumerate(zip(models, points, strict=True)):
            look = figures.style(place)
            figure.add_trace(
                go.Scatter(
                    name=figures.escaped(model),
                    x=[figures.escaped(model)],
                    y=[figures.rounded(point.value)],
                    error_y=_bars([point]),
                    mode="markers",
                    marker={"symbol": look["marker"], "size": 9, "color": look["hue"]},
                    text=[point.told],
                    hovertemplate=f"{metric} lost: %{{text}}",
                )
            )
        return _laid_out(figure, f"{metric} lost", {"type": "category"})
    last = max(severity for corruption in like for severity in known.severities(corruption))
    bands, lines = [], []
    for place, model in enumerate(models):
        look = figures.style(place)
        real = known.point("real_drop", task=task, model=model)
        low, high = figures.rounded(real.low), figures.rounded(real.high)
        if low is not None and high is not None:
            bands.append(
                go.Scatter(
                    x=[0, last, last, 0],
                    y=[high, high, low, low],
                    mode="lines",
                    line={"width": 0},
                    fill="toself",
                    fillcolor=figures.translucent(look["hue"]),
                    hoverinfo="skip",
                )
            )
        across = list(range(last + 1))
        lines.append(
            go.Scatter(
                name=figures.escaped(f"{model}, {kind}"),
                x=across,
                y=[figures.rounded(real.value)] * len(across),
                mode="lines",
                line={"color": look["hue"], "dash": look["dash"], "width": 1.5},
                text=[real.told] * len(across),
                hovertemplate="%{text}",
            )
        )
        for corruption in like:
            severities = known.severities(corruption)
            points = [Point(0.0), *(_simulated(known, task, model, corruption, severity) for severity in severities)]
            words = figures.escaped(terms.corruption(corruption))
            lines.append(
                go.Scatter(
                    name=figures.escaped(f"{model}, ") + words,
                    x=[0, *severities],
                    y=figures.rounded_all(point.value for point in points),
                    error_y=_bars(points),
                    mode="lines+markers+text" if len(like) > 1 else "lines+markers",
                    line={"color": look["hue"], "dash": look["dash"], "width": 2},
                    marker={"symbol": look["marker"], "size": 7},
                    text=[*[""] * len(severities), words] if len(like) > 1 else None,
                    textposition="top left",
                    hovertemplate="%{y:.3f}",
                    connectgaps=False,
                )
            )
    figure.add_traces([*bands, *lines])
    names = " or ".join(terms.corruption(name) for name in like)
    title = figures.escaped(f"severity, {names}")
    axis = {"title": {"text": title}, "tickmode": "linear", "dtick": 1, "zeroline": False}
    return _laid_out(figure, f"{metric} lost", axis)


def _simulated(known: Known, task: str, model: str, corruption: str, severity: int) -> Point:
    return known.point("simulated_drop", task=task, model=model, corruption=corruption, severity=severity)


def _bars(points: Sequence[Point]) -> Content:
    return {
        "type": "data",
        "symmetric": False,
        "thickness": 1,
        "width": 3,
        "array": figures.rounded_all(point.high - point.value for point in points),
        "arrayminus": figures.rounded_all(point.value - point.low for point in points),
    }


def _laid_out(figure: go.Figure, title: str, across: Content) -> Content:
    figure.update_layout(
        showlegend=False,
        height=HEIGHT,
        margin={"l": 48, "r": 10, "t": 8, "b": 40},
        hovermode="x unified",
        xaxis=across,
        yaxis={"title": {"text": title}, "zeroline": True},
    )
    return figures.plain(figure)
