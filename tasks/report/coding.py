"""What codecs made of the clips: achieved bit rate, bits per pixel and QP at each severity, as a chart and a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from tasks import terms
from tasks.report import figures

NAMES: Final[Mapping[str, str]] = {
    "bitrate_kbps": "bit rate (kbit/s)",
    "bits_per_pixel": "bits per pixel",
    "qp_mean": "mean QP",
    "crf_mean": "mean rate factor",
    "tier_met": "share of clips within 10 % of the tier",
}
"""Facts as people write them; others by their id."""

CHARTED: Final = ("bitrate_kbps", "qp_mean")
"""The left axis (logarithmic) and the right one."""

Coding = Mapping[str, Mapping[str, Sequence[float]]]
"""fact -> severity -> mean, lowest and highest over the clips, as about.json has it."""


def chart(coding: Coding) -> figures.Figure | None:
    """Bit rate and QP over severity: the mean of all clips, with bars from the lowest clip to the highest.

    None where no bit rate is known, or all severities have the same: then what they do comes after coding.
    """
    means = [ends[0] for ends in coding.get(CHARTED[0], {}).values()]
    if not means or min(means) <= 0 or max(means) < 1.05 * min(means):
        return None
    low = min(max(ends[1], 1e-3) for ends in coding[CHARTED[0]].values())
    high = max(ends[2] for ends in coding[CHARTED[0]].values())
    figure = go.Figure()
    for place, fact in enumerate(fact for fact in CHARTED if fact in coding):
        points = sorted((int(severity), ends) for severity, ends in coding[fact].items())
        look = figures.style(place)
        figure.add_trace(
            go.Scatter(
                name=name(fact),
                x=[severity for severity, _ in points],
                y=[figures.rounded(mean) for _, (mean, _, _) in points],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [figures.rounded(high - mean) for _, (mean, _, high) in points],
                    "arrayminus": [figures.rounded(mean - low) for _, (mean, low, _) in points],
                    "thickness": 1,
                },
                mode="lines+markers",
                line={"color": look["hue"], "dash": look["dash"], "width": 2},
                marker={"symbol": look["marker"], "size": 7},
                yaxis="y" if place == 0 else "y2",
                hovertemplate=f"severity %{{x}}<br>{name(fact)} %{{y:.4g}}<extra></extra>",
            )
        )
    figure.update_layout(
        showlegend=False,
        height=200,
        margin={"l": 56, "r": 48, "t": 8, "b": 40},
        xaxis={"title": {"text": "severity"}, "tickmode": "linear", "dtick": 1, "zeroline": False},
        yaxis={
            "type": "log",
            "title": {"text": name(CHARTED[0])},
            "range": [math.log10(low / 1.25), math.log10(high * 1.25)],
            "tickvals": _ticks(low / 1.25, high * 1.25),
        },
        yaxis2={
            "title": {"text": name(CHARTED[1])},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "range": [0, 64],  # x264 and x265 count to 51, SVT-AV1 to 63
            "tickvals": [0, 20, 40, 60],
        },
    )
    return figures.plain(figure)


def table(coding: Coding) -> list[dict[str, Any]]:
    """A line for each fact: its name, and a text for each severity in order."""
    return [
        {
            "name": name(fact),
            "values": [_told(coding[fact][str(s)]) if str(s) in coding[fact] else "–" for s in severities(coding)],
        }
        for fact in coding
    ]


def severities(coding: Coding) -> list[int]:
    """The severities that anything is known of, in order."""
    return sorted({int(severity) for by_severity in coding.values() for severity in by_severity})


def name(fact: str) -> str:
    """A fact as people write it.

    Examples:
        >>> name("bitrate_kbps"), name("packets_lost")
        ('bit rate (kbit/s)', 'packets lost')
    """
    return NAMES.get(fact, terms.corruption(fact))


def _told(ends: Sequence[float]) -> str:
    mean, low, high = (f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}" for value in ends)
    return mean if low == high else f"{mean} ({low} to {high})"


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten in a range; beyond two of these powers alone.

    Examples:
        >>> _ticks(30.0, 450.0), _ticks(5.0, 2000.0)
        ([50.0, 100.0, 200.0], [10.0, 100.0, 1000.0])
    """
    steps = (1, 2, 5) if high / low < 100 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [float(tick) for power in powers for step in steps if low <= (tick := step * 10.0**power) <= high]
