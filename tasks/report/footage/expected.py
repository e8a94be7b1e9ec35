"""The accuracy to expect of each clip and camera, and how far such forecasts were off."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from tasks import tables, terms
from tasks.report import figures, wording
from tasks.report.footage.scan import Content, Scan

OUTSIDE: Final = "outside everything validated"

MOST_CHARTED: Final = 60
"""Clips in one chart; of more there is the table alone."""

HEIGHT: Final = 260

WAYS: Final[Mapping[str, str]] = {
    "held_out_clips": "clips held out",
    "left_out_corruption": "a corruption left out",
    "left_out_camera": "a camera left out",
    "unknown_camera": "a camera that is not known",
    "unknown_camera_and_corruption": "neither camera nor corruption known",
}


def metrics(scan: Scan) -> list[str]:
    """The metrics that were forecast, in the house's order of tasks."""
    found = list(dict.fromkeys(scan.table("forecast")["metric"]))
    known = list(tables.HEADLINE.values())
    return sorted(found, key=lambda name: known.index(name) if name in known else len(known))


def first_metric(scan: Scan) -> str | None:
    """The metric that stands for all at a glance: detection's where there is one."""
    found = metrics(scan)
    return tables.HEADLINE["detection"] if tables.HEADLINE["detection"] in found else next(iter(found), None)


def by_camera(scan: Scan) -> list[Content]:
    """For each camera and metric the mean of its clips' forecasts by length, or that no clip has one.

    The ends are the means of the clips' ends: wider than the interval of a mean, for clips of one camera may all be off
    the same way.
    """
    seconds = dict(zip(scan.clips["clip_id"], scan.clips["duration_s"].fillna(1.0), strict=True))
    found = []
    for metric in metrics(scan):
        rows = scan.table("forecast")
        rows = rows[rows["metric"] == metric]
        for camera in scan.cameras:
            own = rows[rows["camera"] == camera]
            if own.empty:
                continue
            told = own[own["status"] == "ok"]
            outside = int((own["status"] == "outside_validated").sum())
            row: Content = {"camera": camera, "metric": metric, "clips": len(own), "outside": outside}
            for name in ("value", "low", "high", "naive"):
                known = (own if name == "naive" else told)[["clip_id", name]].dropna()
                weights = known["clip_id"].map(seconds).astype(float)
                total = float(weights.sum())
                row[name] = float((known[name] * weights).sum() / total) if total else math.nan
            row["told"] = wording.figure(row["value"], row["low"], row["high"])
            row["rest"] = f"{outside} of {len(own)} clips outside" if outside else ""
            found.append(row)
    return found


def expected(scan: Scan, charts: dict[str, figures.Figure]) -> Content:
    """The section: a block for each metric with its chart, lines and sentence, and the forecast's own errors."""
    rows = scan.table("forecast")
    means = by_camera(scan)
    blocks = []
    for place, metric in enumerate(metrics(scan)):
        own = rows[rows["metric"] == metric].to_dict("records")
        order = {clip_id: i for i, clip_id in enumerate(scan.clips["clip_id"])}
        own.sort(key=lambda row: order.get(row["clip_id"], len(order)))
        key = f"expected-{place}"
        charted = len(own) <= MOST_CHARTED and any(row["status"] == "ok" for row in own)
        if charted:
            charts[key] = _chart(scan, own, metric)
        top = max((row["high"] for row in own if not wording.absent(row["high"])), default=math.nan)
        blocks.append(
            {
                "id": key,
                "metric": terms.metric(metric),
                "height": HEIGHT if charted else None,
                "takeaway": _takeaway(own, terms.metric(metric)),
                "groups": [
                    {
                        **mean,
                        "shown_naive": wording.number(mean["naive"]),
                        "change": wording.change(mean["value"] - mean["naive"]),
                        "lines": [_line(scan, row, top) for row in own if row["camera"] == mean["camera"]],
                    }
                    for mean in means
                    if mean["metric"] == metric
                ],
                "count": len(own),
            }
        )
    return {"blocks": blocks, "validation": validation(scan)}


def _line(scan: Scan, row: Mapping[Any, Any], top: float) -> Content:
    ok = row["status"] == "ok"
    ends = None
    if ok and not any(wording.absent(row[name]) for name in ("value", "low", "high")) and top > 0:
        ends = [f"{100 * min(max(row[name] / top, 0.0), 1.0):.1f}%" for name in ("low", "value", "high")]
    told = wording.figure(row["value"], row["low"], row["high"]) if ok else OUTSIDE
    if row["status"] == "not_applicable":
        told = "not applicable"
    return {
        "camera": row["camera"],
        "clip": scan.clip(row["clip_id"]),
        "told": told,
        "ends": ends,
        "naive": wording.number(row["naive"]),
        "change": wording.change(row["value"] - row["naive"]) if ok else "–",
        "note": wording.sentence(str(row["note"] or "")),
    }


def _takeaway(rows: list[dict[Any, Any]], metric: str) -> str:
    told = [row for row in rows if row["status"] == "ok"]
    outside = sum(row["status"] == "outside_validated" for row in rows)
    parts = []
    if told:
        worst = min(told, key=lambda row: row["value"] - row["naive"])
        below = sum(row["high"] < row["naive"] for row in told)
        ends = [wording.number(end(row["value"] for row in told)) for end in (min, max)]
        where = f"{below or 'None'} of {len(told)} intervals {'lies' if below <= 1 else 'lie'} below it."
        if len(told) == 1:
            where = "The interval lies below it." if below else "The interval reaches it."
        parts.append(
            f"{metric} is expected at {' to '.join(dict.fromkeys(ends))}; the clean score is "
            f"{wording.number(worst['naive'])}. {where}"
        )
    if outside:
        parts.append(f"Of {outside} of {len(rows)} clips nothing can be expected: they lie {OUTSIDE}.")
    return " ".join(parts) or "No clip has a forecast."


def _chart(scan: Scan, rows: list[dict[Any, Any]], metric: str) -> figures.Figure:
    """What is expected of each clip with its interval, camera by camera; across, the clean score."""
    figure = go.Figure()
    words = figures.escaped(terms.metric(metric))
    places = list(range(len(rows)))
    naive = [figures.rounded(row["naive"]) for row in rows]
    figure.add_trace(
        go.Scatter(
            name="clean score",
            x=places,
            y=naive,
            mode="lines",
            line={"color": figures.HUES[2], "dash": "dot", "width": 1.5, "shape": "hvh"},
            hovertemplate="clean score %{y:.3f}<extra></extra>",
        )
    )
    for turn, camera in enumerate(scan.cameras):
        own = [at for at in places if rows[at]["camera"] == camera and rows[at]["status"] == "ok"]
        if not own:
            continue
        look = figures.style(turn)
        ends = [
            [figures.rounded(sign * (rows[at][end] - rows[at]["value"])) for at in own]
            for sign, end in ((1, "high"), (-1, "low"))
        ]
        figure.add_trace(
            go.Scatter(
                name=figures.escaped(camera),
                x=own,
                y=[figures.rounded(rows[at]["value"]) for at in own],
                error_y={"type": "data", "symmetric": False, "array": ends[0], "arrayminus": ends[1], "width": 3},
                mode="markers",
                marker={"symbol": look["marker"], "size": 9, "color": look["hue"]},
                text=[figures.escaped(f"{camera}, {scan.clip(rows[at]['clip_id'])}") for at in own],
                customdata=[wording.figure(*(rows[at][name] for name in ("value", "low", "high"))) for at in own],
                hovertemplate=f"%{{text}}<br>{words} %{{customdata}}<extra></extra>",
            )
        )
    outside = [at for at in places if rows[at]["status"] == "outside_validated"]
    if outside:
        figure.add_trace(
            go.Scatter(
                name=OUTSIDE,
                x=outside,
                y=[0.0] * len(outside),
                mode="markers",
                marker={"symbol": "x-thin-open", "size": 10, "color": figures.HUES[1], "line": {"width": 2}},
                text=[figures.escaped(f"{rows[at]['camera']}, {scan.clip(rows[at]['clip_id'])}") for at in outside],
                hovertemplate=f"%{{text}}<br>{OUTSIDE}<extra></extra>",
            )
        )
    labels = [figures.shortened(figures.escaped(scan.clip(row["clip_id"])), 22) for row in rows]
    known = [value for row in rows for value in (row["high"], row["naive"]) if not wording.absent(value)]
    top = 1.08 * max(known, default=1.0)
    figure.update_layout(
        showlegend=False,
        height=HEIGHT,
        margin={"l": 48, "r": 10, "t": 8, "b": 30},
        xaxis={
            "tickmode": "array",
            "tickvals": places,
            "ticktext": labels,
            "zeroline": False,
            "range": [-0.6, len(rows) - 0.4],
        },
        yaxis={"title": {"text": words}, "range": [-0.04 * top, top], "zeroline": False},
    )
    return figures.plain(figure)


def validation(scan: Scan) -> Content | None:
    """How far the forecast was off where the truth is known, beside the clean score taken as the forecast."""
    rows = scan.table("validation")
    if rows.empty:
        return None
    lines: list[Content] = []
    tried: dict[str, list[Content]] = {terms.metric(name): [] for name in metrics(scan)}
    for row in rows.to_dict("records"):
        whole = row["corruption"] is None or row["corruption"] == tables.ALL
        line = {
            "way": WAYS.get(row["validation"], str(row["validation"]).replace("_", " ")),
            "metric": terms.metric(row["metric"]),
            "corruption": "all" if whole else terms.corruption(row["corruption"]),
            "n": row["n"],
            "error": wording.number(row["error"]),
            "naive": wording.number(row["naive_error"]),
            "beats": None if wording.absent(row["error"]) else row["error"] < row["naive_error"],
            "share": row["coverage"],
            "coverage": wording.percent(row["coverage"]),
            "holds": None if wording.absent(row["coverage"]) else _holds(row["coverage"], row["confidence"]),
            "outside": wording.percent(row["outside"]),
            "first": wording.percent(row["named_first"]),
        }
        lines.append(line)
        if whole:
            tried.setdefault(line["metric"], []).append(line)
    groups = [(metric, own) for metric, own in tried.items() if own]
    nominal = wording.confidence(rows["confidence"].iloc[0])
    every = [line for _, own in groups for line in own]
    return {"lines": lines, "groups": groups, "nominal": nominal, "takeaway": _off(every, nominal)}


def _holds(coverage: float, confidence: float) -> bool:
    """Whether intervals hold as many figures as they promise, in whole percents as the page shows them."""
    return round(100 * coverage) >= round(100 * confidence)


def _off(lines: Sequence[Content], nominal: str) -> str:
    """Whether the forecast is better than the clean score, and whether its intervals hold what they promise."""
    known = [line["beats"] for line in lines if line["beats"] is not None]
    covered = [line for line in lines if line["holds"] is not None]
    if not known or not covered:
        return "The forecast gave no figure where it was tried, so how far it is off is not known."
    better, short = sum(known), sum(not line["holds"] for line in covered)
    ends = dict.fromkeys(wording.number(100 * end(line["share"] for line in covered), 0) for end in (min, max))
    nearer = f"in {better} of {len(known)} lines" if 0 < better < len(known) else "wherever it was tried"
    told = f"The forecast is {'nearer' if better else 'no nearer'} than the clean score {nearer}"
    kept = f"{'fewer than' if short else 'as many as'} they promise"
    kept += f" in {short} of {len(covered)} lines" if 0 < short < len(covered) else ""
    return f"{told}; its {nominal} intervals hold {' to '.join(ends)} % of the figures, {kept}."
