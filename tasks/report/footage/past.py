"""What came before this scan: signals over all scans, and forecasts that labels were later set against."""

from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from tasks import terms
from tasks.report import figures, wording
from tasks.report.footage.opening import place, words
from tasks.report.footage.scan import Content, Scan

HEIGHT: Final = 200

MOST_CHARTS: Final = 12

MOST_RUNS: Final = 200
"""Scans that the charts and the table show: the newest."""

MOST_LINES: Final = 8
"""Cameras in one chart; of more, those that moved most."""

FIRST: Final = ("forecast", "expected", "drift", "abst", "outside", "quarantine")
"""Parts of the names of signals that stand first."""


def history(scan: Scan, rows: pd.DataFrame | None, charts: dict[str, figures.Figure]) -> Content | None:
    """A small chart for each signal, a line for each camera; None without a history.

    Args:
        scan: the run.
        rows: the table `footage_history`.
        charts: the figures go here.
    """
    if rows is None or rows.empty:
        return None
    rows = rows[rows["value"].notna()].sort_values(["finished_utc", "run"], kind="stable")
    kept = list(dict.fromkeys(rows["run"]))[-MOST_RUNS:]
    rows = rows[rows["run"].isin(kept)]
    cameras = sorted(set(rows["camera"]))
    styles = {camera: figures.style(turn) for turn, camera in enumerate(cameras)}
    signals = sorted(set(rows["signal"]), key=lambda name: (_rank(name), name))
    multiples = []
    for turn, signal in enumerate(signals[:MOST_CHARTS]):
        own = rows[rows["signal"] == signal]
        spread = own.groupby("camera")["value"].agg(lambda values: values.max() - values.min())
        drawn = set(spread.sort_values(ascending=False, kind="stable").index[:MOST_LINES])
        key = f"history-{turn}"
        charts[key] = _chart(own, [camera for camera in cameras if camera in drawn], styles)
        multiples.append(
            {"id": key, "name": wording.headline(_called(signal)), "height": HEIGHT, "takeaway": _sentence(scan, own)}
        )
    runs = rows[["run", "finished_utc"]].drop_duplicates("run")
    known = {(r["run"], r["camera"], r["signal"]): r["value"] for r in rows.to_dict("records")}
    pairs = rows[["run", "camera"]].drop_duplicates()
    lines = [
        {
            "when": wording.moment(str(when).replace("Z", "+00:00")),
            "camera": place(camera),
            "cells": [_value(known.get((run, camera, signal))) for signal in signals[:MOST_CHARTS]],
        }
        for run, when in runs.itertuples(index=False)
        for camera in pairs.loc[pairs["run"] == run, "camera"]
    ]
    return {
        "runs": len(kept),
        "legend": [{"name": place(camera), **styles[camera]} for camera in cameras],
        "multiples": multiples,
        "rest": [_called(signal) for signal in signals[MOST_CHARTS:]],
        "heads": [_called(signal) for signal in signals[:MOST_CHARTS]],
        "lines": lines[::-1],
    }


def _called(signal: str) -> str:
    """A signal's name as people write it.

    Examples:
        >>> _called("expected_map"), _called("files_waiting")
        ('expected mAP', 'files waiting')
    """
    name, _, metric = signal.partition("_")
    return f"{name} {terms.metric(metric)}" if name == "expected" else words(signal)


def _rank(signal: str) -> int:
    return next((i for i, part in enumerate(FIRST) if part in signal), len(FIRST))


def _chart(rows: pd.DataFrame, cameras: list[str], styles: dict[str, dict[str, str]]) -> figures.Figure:
    figure = go.Figure()
    times = pd.to_datetime(rows["finished_utc"], utc=True)
    # A single moment has no span of its own.
    ends = [(times.min() + pd.Timedelta(minutes=by)).strftime("%Y-%m-%dT%H:%M:%SZ") for by in (-30, 30)]
    span = {"range": ends} if times.nunique() == 1 else {}
    for camera in cameras:
        own = rows[rows["camera"] == camera]
        look = styles[camera]
        name = figures.escaped(place(camera))
        figure.add_trace(
            go.Scatter(
                name=name,
                x=list(own["finished_utc"]),
                y=[float(f"{value:.4g}") for value in own["value"]],
                mode="lines+markers",
                cliponaxis=False,
                line={"color": look["hue"], "dash": look["dash"], "width": 1.5},
                marker={"symbol": look["marker"], "size": 6},
                hovertemplate=f"{figures.shortened(name, 24)}: %{{y:.4g}}<extra></extra>",
            )
        )
    figure.update_layout(
        showlegend=False,
        height=HEIGHT,
        margin={"l": 44, "r": 8, "t": 8, "b": 30},
        hovermode="x unified",
        xaxis={"type": "date", "zeroline": False, "nticks": 4, "tickangle": 0, "tickformat": "%H:%M\n%d %b"} | span,
        yaxis={"zeroline": False, "nticks": 5, "rangemode": "tozero", "exponentformat": "e"},
    )
    return figures.plain(figure)


def _sentence(scan: Scan, rows: pd.DataFrame) -> str:
    """Where this scan stands among all."""
    now = rows[rows["run"] == scan.facts.get("run")]
    before = rows[rows["run"] != scan.facts.get("run")]
    told = "; ".join(f"{place(row['camera'])} {_value(row['value'])}" for row in now.head(3).to_dict("records"))
    if len(now) > 3:
        told += f" and {len(now) - 3} more"
    if before.empty:
        return f"{told or 'No value'}: the first scan that has it."
    low, high = _value(before["value"].min()), _value(before["value"].max())
    return f"Now {told or 'none'}; before, {low} to {high}."


def _value(value: Any) -> str:
    if wording.absent(value):
        return "–"
    return f"{float(value):.3g}".replace("-", "−")


def adopted(rows: pd.DataFrame | None) -> list[Content]:
    """Predicted against actual, a line for each adoption, camera and metric; none where nothing was adopted."""
    if rows is None:
        return []
    return [
        {
            "run": row["run"],
            "camera": row["camera"],
            "metric": terms.metric(row["metric"]),
            "frames": int(row["n_frames"]),
            "predicted": wording.figure(row["predicted"], row["predicted_low"], row["predicted_high"]),
            "naive": wording.number(row["naive"]),
            "actual": wording.figure(row["actual"], row["actual_low"], row["actual_high"]),
            "error": wording.change(row["predicted"] - row["actual"])
            if not (wording.absent(row["predicted"]) or wording.absent(row["actual"]))
            else "–",
            "inside": "–" if pd.isna(row["inside"]) else "✓ inside" if row["inside"] else "✕ outside",
            "note": "" if pd.isna(row["note"]) else wording.sentence(str(row["note"])),
        }
        for row in rows.sort_values(["run", "metric", "camera"], kind="stable").to_dict("records")
    ]
