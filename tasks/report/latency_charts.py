"""Charts of latency: where a frame's time goes, and what a model is worth against what it costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from tasks.metrics import latency as measured
from tasks.metrics.robustness import Figure
from tasks.report import amounts, by_severity, figures, wording

Content = dict[str, Any]

GREY: Final = "#7d8794"
"""Of marks that belong to no stage: at least 3:1 on white and on the dark page."""

DISC_PX: Final = 40
"""Across the disc of the model that takes most memory: seen beside a point of 9 px when a tenth of that."""


def bars(
    names: Sequence[str],
    stages: Sequence[Mapping[str, float]],
    late: Sequence[Figure],
    budgets: Sequence[tuple[str, float]],
) -> figures.Figure:
    """Milliseconds by stage, stacked, a bar for each model and cell; p95 with its interval; budgets across.

    Args:
        names: of the bars.
        stages: by bar its mean milliseconds by stage.
        late: by bar its p95.
        budgets: (label, ms) of ceilings.
    """
    figure = go.Figure()
    names = [figures.escaped(name) for name in names]
    for place, stage in enumerate(measured.STAGES):
        look = by_severity.look(place)
        figure.add_trace(
            go.Bar(
                name=stage,
                orientation="h",
                y=names,
                x=[figures.rounded(one.get(stage, float("nan"))) for one in stages],
                marker={
                    "color": look["hue"],
                    "pattern": {"shape": look["pattern"], "size": 6},
                    "line": {"color": look["hue"]},
                },
                hovertemplate=f"{stage} %{{x:.2f}} ms",
            )
        )
    ends = [
        (p.high - p.value if p.status == "ok" else None, p.value - p.low if p.status == "ok" else None) for p in late
    ]
    figure.add_trace(
        go.Scatter(
            name="p95",
            y=names,
            x=[figures.rounded(point.value) for point in late],
            error_x={
                "type": "data",
                "symmetric": False,
                "thickness": 1.5,
                "array": [high for high, _ in ends],
                "arrayminus": [low for _, low in ends],
            },
            mode="markers",
            marker={"symbol": "diamond-open", "size": 11, "color": GREY, "line": {"width": 2}},
            hovertemplate="p95 %{x:.2f} ms",
        )
    )
    for place, (label, at) in enumerate(budgets):
        figure.add_shape(
            type="line", yref="paper", y0=0, y1=1, x0=at, x1=at, line={"color": GREY, "width": 2, "dash": "longdash"}
        )
        figure.add_annotation(
            x=at, yref="paper", y=1, yanchor="bottom", yshift=14 * place, text=label, showarrow=False, xanchor="right"
        )
    last = max([*(at for _, at in budgets), *(p.high if p.status == "ok" else p.value for p in late)])
    figure.update_layout(
        barmode="stack",
        showlegend=False,
        height=70 + 44 * len(names) + 14 * len(budgets),
        margin={"l": 10, "r": 10, "t": 12 + 14 * len(budgets), "b": 40},
        xaxis={"title": {"text": "ms a frame"}, "range": [0, round(1.05 * last, 3)], "zeroline": False},
        yaxis={"autorange": "reversed"},
        bargap=0.35,
    )
    return figures.plain(figure)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model: what it is worth and what it costs.

    Attributes:
        place: of its look.
        worth: its mPC.
        ms: p50 latency.
        mb: memory; not defined where it was not measured.
    """

    place: int
    model: str
    worth: Figure
    ms: Figure
    mb: Figure


def worth(points: Sequence[Point], metric: str) -> figures.Figure:
    """MPC against p50 latency, a point with its intervals for each model, in a disc whose area is its memory.

    Args:
        points: of the models.
        metric: the title of the y axis.
    """
    figure = go.Figure()
    looks = [figures.style(point.place) for point in points]
    taken = [0.0 if math.isnan(point.mb.value) else point.mb.value for point in points]
    figure.add_trace(
        go.Scatter(
            name="memory",
            x=[figures.rounded(point.ms.value) for point in points],
            y=[figures.rounded(point.worth.value) for point in points],
            mode="markers",
            marker={
                "color": [look["hue"] for look in looks],
                "size": [round(DISC_PX * math.sqrt(mb / (max(taken) or 1)), 1) for mb in taken],
                "opacity": 0.2,
            },
            hoverinfo="skip",
        )
    )
    for point, look in zip(points, looks, strict=True):
        mb = "" if math.isnan(point.mb.value) else f", {amounts.amount(point.mb.value)} MB"
        figure.add_trace(
            go.Scatter(
                name=figures.escaped(point.model),
                x=[figures.rounded(point.ms.value)],
                y=[figures.rounded(point.worth.value)],
                error_x=_ends(point.ms),
                error_y=_ends(point.worth),
                mode="markers",
                marker={"color": look["hue"], "symbol": look["marker"], "size": 9},
                hovertemplate="%{x:.2f} ms, %{y:.3f}" + mb,
            )
        )
    high = max(point.ms.high if point.ms.status == "ok" else point.ms.value for point in points)
    top = max(point.worth.value if wording.absent(point.worth.high) else point.worth.high for point in points)
    figure.update_layout(
        showlegend=False,
        height=240,
        margin={"l": 44, "r": 10, "t": 8, "b": 40},
        xaxis={"title": {"text": "p50 latency, ms a frame"}, "range": [0, round(1.1 * high, 3)], "zeroline": False},
        yaxis={"title": {"text": figures.escaped(metric)}, "range": [0, round(min(1.04, 1.1 * top), 4) or 1]},
    )
    return figures.plain(figure)


def _ends(point: Figure) -> Content:
    """Error bars of one point; none where an end is missing."""
    known = point.status == "ok" and not wording.absent(point.low) and not wording.absent(point.high)
    return {
        "type": "data",
        "symmetric": False,
        "thickness": 1,
        "array": [figures.rounded(point.high - point.value)] if known else [],
        "arrayminus": [figures.rounded(point.value - point.low)] if known else [],
    }
