"""Features of each camera over its footage, in the bands of the reference, and the table of how far they drifted."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from tasks.report import figures, wording
from tasks.report.footage import features
from tasks.report.footage.scan import Content, Scan

HEIGHT: Final = 190

GREY: Final = "#7d8794"
"""Of lines between clips: at least 3:1 on white and on the dark page."""

FEW_CAMERAS: Final = 4
MOST_CHARTS: Final = (12, 6)
"""Charts of one camera, for up to FEW_CAMERAS and for more; the drifted features first."""

STATISTICS: Final[Mapping[str, str]] = {"psi": "PSI", "ks": "KS", "wasserstein": "Wasserstein"}

JUDGE: Final = "wasserstein"
"""The statistic whose verdict counts, as it does for the signals of alerts."""

STATES: Final[Mapping[str, tuple[str, str, str]]] = {
    "outside": ("fail", "▲", "drifted"),
    "inside": ("none", "=", "not told apart"),
    "insufficient": ("insufficient", "?", "too little footage"),
    "no_reference": ("none", "–", "no reference"),
}

KINDS: Final[Mapping[str, str]] = {"input": "frames", "output": "model"}

_ORDER: Final = {status: place for place, status in enumerate(STATES)}


def drift(scan: Scan) -> list[Content]:
    """A line for each camera and feature, the most drifted first."""
    rows = scan.table("drift")
    found = []
    for (camera, kind, feature), own in rows.groupby(["camera", "kind", "feature"], sort=False):
        known = own.set_index("statistic").to_dict("index")
        judge = known.get(JUDGE, next(iter(known.values())))
        status, q_value = judge["status"], judge["q_value"]
        first = own.iloc[0]
        values = {name: known.get(name, {}).get("value", math.nan) for name in STATISTICS}
        found.append(
            {
                "camera": camera,
                "kind": kind,
                "feature": feature,
                "words": features.explain(str(kind), str(feature)).label,
                "status": status,
                "state": STATES.get(status, ("none", "?", status)),
                "values": [(_short(v), None if wording.absent(v) else v) for v in values.values()],
                "psi": values["psi"],
                "q": wording.probability(q_value),
                "q_order": None if wording.absent(q_value) else q_value,
                "low": first["low"],
                "high": first["high"],
                "band": band(first["low"], first["high"]),
                "share": first["share_outside"],
                "shown_share": wording.percent(first["share_outside"]),
                "n": int(first["n"]),
            }
        )
    return sorted(found, key=_oddest)


def _oddest(line: Content) -> tuple[Any, ...]:
    share = 0.0 if wording.absent(line["share"]) else float(line["share"])
    psi = 0.0 if wording.absent(line["psi"]) else float(line["psi"])
    return _ORDER.get(line["status"], 9), -share, -psi, line["camera"], line["kind"], line["feature"]


def takeaway(lines: Sequence[Content], cameras: Sequence[str]) -> str:
    """How many features of each camera drifted, and which most."""
    parts = []
    for camera in cameras:
        own = [line for line in lines if line["camera"] == camera and line["status"] in ("inside", "outside")]
        out = [line for line in own if line["status"] == "outside"]
        if not own:
            parts.append(f"{camera}: nothing can be told")
        elif out:
            parts.append(f"{camera}: {len(out)} of {len(own)}, most {', '.join(line['words'] for line in out[:3])}")
        else:
            parts.append(f"{camera}: none of {len(own)}")
    return "Features that drifted: " + "; ".join(parts) + "." if parts else "Nothing was compared."


def over_time(scan: Scan, lines: Sequence[Content], charts: dict[str, figures.Figure]) -> list[Content]:
    """A block for each camera: its features over its footage in small charts, the most drifted first."""
    windows = pd.concat([scan.table(kind).assign(kind=kind) for kind in KINDS], ignore_index=True)
    most = MOST_CHARTS[len(scan.cameras) > FEW_CAMERAS]
    blocks = []
    for place, camera in enumerate(scan.cameras):
        own = windows[(windows["camera"] == camera) & windows["value"].notna()]
        if own.empty:
            continue
        clips = scan.scanned[scan.scanned["camera"] == camera]
        starts, seconds = _laid_out(clips, own)
        told = {(line["kind"], line["feature"]): line for line in lines if line["camera"] == camera}
        there = list(dict.fromkeys(zip(own["kind"], own["feature"], strict=True)))
        order = {key: i for i, key in enumerate(told)}
        there.sort(key=lambda key: order.get(key, len(order)))
        shown = there[:most]
        multiples = []
        for turn, (kind, feature) in enumerate(shown):
            key = f"series-{place}-{turn}"
            rows = own[(own["kind"] == kind) & (own["feature"] == feature)]
            line = told.get((kind, feature))
            charts[key] = _chart(scan, rows, line, starts, seconds)
            multiples.append(
                {
                    "id": key,
                    "name": features.explain(kind, feature).label,
                    "unit": features.explain(kind, feature).unit,
                    "kind": kind,
                    "height": HEIGHT,
                    "takeaway": _sentence(rows, line),
                }
            )
        blocks.append(
            {
                "camera": camera,
                "id": f"camera-{place}",
                "multiples": multiples,
                "rest": len(there) - len(shown),
                "clips": len(clips),
                "reference": (scan.facts.get("reference") or {}).get(camera, ""),
                "table": _table(scan, own, shown),
            }
        )
    return blocks


def _laid_out(clips: pd.DataFrame, windows: pd.DataFrame) -> tuple[dict[str, float], float]:
    """Where each clip of a camera starts when they stand one after the other, and where the last ends, in seconds."""
    starts, at = {}, 0.0
    last = windows.groupby("clip_id")["t_s"].max()
    for row in clips.to_dict("records"):
        starts[row["clip_id"]] = at
        known = row["duration_s"]
        at += float(last.get(row["clip_id"], 0.0)) + 1.0 if wording.absent(known) else float(known)
    return starts, at


def _chart(
    scan: Scan, rows: pd.DataFrame, line: Content | None, starts: Mapping[str, float], seconds: float
) -> figures.Figure:
    """Window means over the camera's footage, a line a clip; the reference's band behind, points outside it marked."""
    figure = go.Figure()
    unit, scale = ("s", 1.0) if seconds < 180 else ("min", 60.0)
    banded = line is not None and not wording.absent(line["low"]) and not wording.absent(line["high"])
    if line is not None and banded:
        low, high = _digits(line["low"]), _digits(line["high"])
        end = _digits(seconds / scale)
        figure.add_trace(
            go.Scatter(
                x=[0, end, end, 0],
                y=[low, low, high, high],
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor="rgba(0,153,136,0.22)",
                hoverinfo="skip",
            )
        )
    x: list[float | None] = []
    y: list[float | None] = []
    said: list[str] = []
    for clip_id, start in starts.items():
        own = rows[rows["clip_id"] == clip_id].sort_values("t_s")
        x += [_digits((start + t) / scale) for t in own["t_s"]] + [None]
        y += [_digits(value) for value in own["value"]] + [None]
        name = figures.shortened(figures.escaped(scan.clip(clip_id)), 28)
        said += [f"{name}, {t:.0f} s" for t in own["t_s"]] + [""]
        if start:
            edge = _digits(start / scale)
            figure.add_shape(
                type="line",
                x0=edge,
                x1=edge,
                yref="paper",
                y0=0,
                y1=1,
                line={"color": GREY, "width": 1, "dash": "dot"},
            )
    outside = [banded and line is not None and v is not None and not line["low"] <= v <= line["high"] for v in y]
    figure.add_trace(
        go.Scatter(
            x=x[:-1],
            y=y[:-1],
            text=said[:-1],
            mode="lines+markers",
            cliponaxis=False,
            line={"color": figures.HUES[0], "width": 1.5},
            marker={
                "size": [8 if out else 5 for out in outside[:-1]],
                "symbol": ["diamond" if out else "circle" for out in outside[:-1]],
                "color": [figures.HUES[1] if out else figures.HUES[0] for out in outside[:-1]],
            },
            connectgaps=False,
            hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
        )
    )
    figure.update_layout(
        showlegend=False,
        height=HEIGHT,
        margin={"l": 44, "r": 8, "t": 8, "b": 36},
        xaxis={"title": {"text": f"footage ({unit})"}, "zeroline": False, "rangemode": "tozero"},
        yaxis={"zeroline": False, "nticks": 5, "exponentformat": "e"},
    )
    return figures.plain(figure)


def _sentence(rows: pd.DataFrame, line: Content | None) -> str:
    if line is None or wording.absent(line["low"]):
        values = rows["value"]
        return f"{_short(values.min())} to {_short(values.max())}; no reference."
    out = int((~rows["value"].between(line["low"], line["high"])).sum())
    psi = "" if wording.absent(line["psi"]) else f"; PSI {wording.number(line['psi'], 2)}"
    count = f"{out or 'none'} of {len(rows)} window{'' if len(rows) == 1 else 's'}"
    return f"{wording.headline(count)} outside {line['band']}{psi}: {line['state'][2]}."


def _table(scan: Scan, own: pd.DataFrame, shown: Sequence[tuple[str, str]]) -> Content:
    """The charts' data: a line for each window, a column for each chart."""
    known = {(row["clip_id"], row["t_s"], row["kind"], row["feature"]): row["value"] for row in own.to_dict("records")}
    times = own[["clip_id", "t_s"]].drop_duplicates()
    order = {clip_id: i for i, clip_id in enumerate(scan.scanned["clip_id"])}
    times = times.assign(_place=times["clip_id"].map(order)).sort_values(["_place", "t_s"])
    return {
        "heads": [features.explain(*key).label for key in shown],
        "lines": [
            {
                "clip": scan.clip(clip_id),
                "t": f"{t:.1f}",
                "cells": [_short(known.get((clip_id, t, *key), math.nan)) for key in shown],
            }
            for clip_id, t in zip(times["clip_id"], times["t_s"], strict=True)
        ],
    }


def cut(scan: Scan) -> str:
    """Where the reference's windows are shorter than those shown over time, that it is so, and what it means."""
    shown, compared = scan.facts.get("window_s"), scan.facts.get("drift_window_s")
    if wording.absent(shown) or wording.absent(compared) or float(compared or 0) >= float(shown or 0):
        return ""
    of = f"windows of {float(compared):.3g} s" if compared else "single frames"
    return (
        f"Bands and drift are of {of}, for the clips of the validated run are no longer; the points over time are of "
        f"windows of up to {float(shown or 0):.3g} s. Longer windows vary less, so fewer of them lie outside a band."
    )


def definitions(scan: Scan) -> list[tuple[str, str]]:
    """What the features mean that were measured, by name."""
    found = {(kind, str(name).partition(":")[0]) for kind in KINDS for name in scan.table(kind)["feature"]}
    known = {features.explain(*one) for one in found}
    return sorted((one.label, one.text) for one in known if one.text)


def band(low: float, high: float) -> str:
    """A reference band in words; a dash where there is none."""
    return "–" if wording.absent(low) or wording.absent(high) else f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    """A figure to three digits, whole where it is large."""
    if wording.absent(value):
        return "–"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")


def _digits(value: float) -> float:
    """As the charts carry it."""
    return float(f"{value:.4g}")
