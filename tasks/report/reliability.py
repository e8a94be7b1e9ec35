"""Reliability diagrams: how often a confidence is right, and how many samples stand behind each bin."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from tasks import tables
from tasks.report import figures, wording

Content = dict[str, Any]

HEIGHT: Final = 340

ALIKE: Final = 0.02
"""Mean confidence and the share that is right are called alike within this."""


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Bins of several cells together: low, high, count, and confidence and accuracy weighted by their counts."""
    sums = rows.assign(
        confidence=rows["confidence"] * rows["count"],
        accuracy=rows["accuracy"] * rows["count"],
    )
    found = sums.groupby(["low", "high"], as_index=False)[["count", "confidence", "accuracy"]].sum()
    found["confidence"] /= found["count"]
    found["accuracy"] /= found["count"]
    return found


def parts(table: pd.DataFrame, task: str, model: str) -> dict[str, pd.DataFrame]:
    """The bins of one model's clean frames and of all its cells of the highest severity together, by what to call them.

    Args:
        table: the table `reliability`.
        task: its rows.
        model: its rows.
    """
    own = table[(table["task"] == task) & (table["model"] == model)]
    found = {tables.CLEAN: pooled(own[own["severity"] == 0])}
    worst = own[own["severity"] > 0]
    if len(worst):
        end = int(worst["severity"].max())
        found[f"severity {end}"] = pooled(worst[worst["severity"] == end])
    return {name: bins for name, bins in found.items() if len(bins)}


def diagram(found: Mapping[str, pd.DataFrame]) -> figures.Figure:
    """Share that is right over mean confidence by bin, the diagonal of perfect calibration, and counts below.

    Args:
        found: from `parts`.
    """
    figure = go.Figure()
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": "#8a94a0", "width": 1, "dash": "dot"})
    width = 0.4 / 15  # of a bar: two stand in each of the 15 bins
    for place, (name, bins) in enumerate(found.items()):
        look = figures.style(place)
        counts = [f"{count:,}" for count in bins["count"]]
        figure.add_trace(
            go.Scatter(
                name=name,
                x=figures.rounded_all(bins["confidence"]),
                y=figures.rounded_all(bins["accuracy"]),
                text=counts,
                hovertemplate=f"{name}<br>confidence %{{x:.3f}}<br>right %{{y:.3f}} of %{{text}}<extra></extra>",
                mode="lines+markers",
                line={"color": look["hue"], "dash": look["dash"], "width": 2},
                marker={"symbol": look["marker"], "size": 7},
            )
        )
        figure.add_trace(
            go.Bar(
                name=name,
                # The bin of exactly 1 has no width: it stands at its edge.
                x=[figures.rounded((low + high) / 2) for low, high in zip(bins["low"], bins["high"], strict=True)],
                y=[int(count) for count in bins["count"]],
                width=width,
                offset=(place - 1) * width,
                marker={
                    "color": look["hue"],
                    "line": {"color": look["hue"], "width": 0.5},
                    "pattern": {"shape": "/" if place else "", "size": 4},
                },
                hovertemplate=f"{name}: %{{y:,}}<extra></extra>",
                yaxis="y2",
            )
        )
    most = max(int(bins["count"].max()) for bins in found.values())
    figure.update_layout(
        showlegend=False,
        height=HEIGHT,
        margin={"l": 56, "r": 10, "t": 8, "b": 40},
        barmode="overlay",
        xaxis={"range": [-0.03, 1.03], "title": {"text": "confidence"}, "anchor": "y2", "zeroline": False},
        yaxis={"range": [-0.03, 1.03], "domain": [0.34, 1], "title": {"text": "share right"}, "zeroline": False},
        yaxis2={
            "type": "log",
            "domain": [0, 0.24],
            "range": [-0.3, math.log10(most) + 0.3],
            "title": {"text": "samples"},
            "dtick": max(1, math.ceil(math.log10(most) / 3)),
        },
    )
    return figures.plain(figure)


def sentence(found: Mapping[str, pd.DataFrame], *, least: float = 0.0) -> str:
    """How sure the model is on the whole and how often it is right, on each of the parts.

    Args:
        found: from `parts`.
        least: bins from this confidence on; the many boxes that nobody uses would outweigh all others.
    """
    told = []
    edge = 1.0
    for name, bins in found.items():
        used = bins[bins["low"] >= least]
        where = "on clean frames" if name == tables.CLEAN else f"at {name}, all corruptions together,"
        total = used["count"].sum()
        if not total:
            told.append(f"{where} no sample")
            continue
        edge = min(edge, float(used["low"].min()))
        sure, right = (float((used[column] * used["count"]).sum() / total) for column in ("confidence", "accuracy"))
        verdict = "about as sure as it is right"
        if abs(sure - right) >= ALIKE:
            verdict = "too sure" if sure > right else "not sure enough"
        told.append(f"{where} mean confidence {wording.number(sure)}, {wording.number(right)} right: {verdict}")
    text = "; ".join(told)
    if least > 0:
        return f"Of boxes that score {wording.number(edge)} or more, the bins above the operating threshold: {text}."
    return f"{text[:1].upper()}{text[1:]}."


def lines(found: Mapping[str, pd.DataFrame]) -> list[Content]:
    """The diagram's data: a line for each bin, with samples, mean confidence and share right of each part."""
    known = {name: {(row["low"], row["high"]): row for row in bins.to_dict("records")} for name, bins in found.items()}
    return [
        {
            "bin": "1" if low == high else f"{low:.3f} to {high:.3f}",
            "values": [value for bins in known.values() for value in _told(bins.get((low, high)))],
        }
        for low, high in sorted({edges for bins in known.values() for edges in bins})
    ]


def _told(row: Mapping[Any, Any] | None) -> Sequence[str]:
    if row is None:
        return "0", "–", "–"
    return f"{int(row['count']):,}", wording.number(row["confidence"]), wording.number(row["accuracy"])
