"""The stage `realtime`: HOTA of models that have to keep up with their clips.

Frames come at their clip's own rate, and a model is busy for its latency with each that it takes; `arrivals` says which
are skipped and what counts instead. Where each frame has its own output in time, what was scored holds, figure by
figure. Elsewhere the tracker runs again over the stored detections of the frames that were taken, for its state depends
on them, and what there is to show is scored as `score` does it.

The figures rest on a latency, which another machine or another moment measures differently: so they stand apart from
the scores. A stated one gives the same figures always.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.layout import Layout
from tasks.metrics import DIGITS, FRAMES_PROCESSED, REALTIME, latency, realtime_compared
from tasks.metrics.arrivals import Timetable, timetable, untimed
from tasks.metrics.replay import Job, Reached, Replay, run
from tasks.metrics.requests import Request
from tasks.metrics.requests import requests as requests_of
from tasks.params import Params, Realtime

FILE: Final = "realtime.parquet"

LATENCY_MS: Final = "realtime_latency_ms"
ARRIVING: Final = "realtime_frames_per_s"
"""Rows of each cell beside its figures: what they rest on."""

HEADLINE: Final = tables.HEADLINE["tracking"]

KNOWN: Final = ("ok", "insufficient")
"""States of figures that have a number."""


def measure(params: Params, layout: Layout, *, replay: Replay, workers: int = 1) -> None:
    """Write realtime/realtime.parquet, with the columns of `scores`; without a row where params have no `realtime`.

    A cell that has no figures has one row, of `hota_realtime`, that says why.

    Args:
        params: the run's choices.
        layout: where its tables lie.
        replay: gives boxes of stored detections their track ids.
        workers: processes.

    Raises:
        InputError: tables are missing or broken, predictions are unfit.
    """
    table = tables.SCHEMAS["scores"].empty_table().to_pandas()
    if params.realtime is not None:
        scores = tables.read("scores", layout.scores / "scores.parquet")
        cells = list(_cells(params, params.realtime, layout, scores, replay, workers))
        parts = [table, *(rows for _, rows, _ in cells)]
        if cells:
            parts.append(realtime_compared.rows(params, layout, scores, {request: to for request, _, to in cells}))
        table = pd.concat(parts, ignore_index=True)
    tables.write("scores", table, layout.realtime / FILE)


def _cells(
    params: Params, wanted: Realtime, layout: Layout, scores: pd.DataFrame, replay: Replay, workers: int
) -> Iterator[tuple[Request, pd.DataFrame, Reached | str | None]]:
    """Each cell that has tracking, in the order of params: its rows, and what `realtime_compared.rows` is to know."""
    own = scores["baseline"].isna() & (scores["task"] == "tracking") & (scores["class"] == tables.ALL)
    own &= scores["metric"].isin(REALTIME) & scores["severity"].notna()
    by_cell = dict(iter(scores[own].groupby(["model", "corruption", "severity"], sort=False)))
    frames = tables.read("frames", layout.tables / "frames.parquet")
    frames = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    frames = frames.sort_values(["clip_id", "frame_index"], kind="stable").reset_index(drop=True)
    measured = layout.latency / "latency.parquet"
    facts = tables.read("latency", measured) if measured.exists() else None
    why = untimed(frames, wanted)
    made: dict[float, Timetable] = {}
    cells: list[tuple[Request, pd.DataFrame, float, Timetable | str]] = []
    jobs: dict[int, Job] = {}
    for request in requests_of(params, layout):
        if (request.model, request.corruption, request.severity) not in by_cell:
            continue
        ms, reason = latency_ms(wanted, facts, request, confidence=params.metrics.confidence)
        reason = reason or why
        if reason is None:
            if ms not in made:
                made[ms] = timetable(frames, ms / 1e3, wanted)
            tracker = params.models[request.model].tracker
            if request.status == "ok" and not made[ms].whole:
                if tracker is None:
                    reason = "frames are skipped, and how recorded tracks would change by that is not known"
                else:
                    jobs[len(cells)] = Job(request, tracker, made[ms])
        rows = by_cell[request.model, request.corruption, request.severity]
        cells.append((request, rows, ms, made[ms] if reason is None else reason))
    reached = dict(zip(jobs, run(params, layout, frames, list(jobs.values()), replay, workers), strict=True))
    for place, (request, rows, ms, found) in enumerate(cells):
        again = reached.get(place)
        if isinstance(found, str) or isinstance(again, str):
            why = found if isinstance(found, str) else str(again)
            yield request, _absent(rows, why, ms, None if isinstance(found, str) else found), why
        else:
            yield request, _figures(rows, ms, found, again), again


def latency_ms(
    wanted: Realtime, facts: pd.DataFrame | None, request: Request, *, confidence: float
) -> tuple[float, str | None]:
    """What a frame takes in a cell: as params state it, else as measured there, else on clean frames.

    Args:
        wanted: the section of params.
        facts: the table `latency`; None without one.
        request: the cell.
        confidence: of the intervals.

    Returns:
        Milliseconds and None; or NaN and why there is no figure.
    """
    stated = wanted.latency_ms
    stated = stated.get(request.model) if isinstance(stated, dict) else stated
    if stated is not None:
        return stated, None
    why = latency.reason(facts, request.model)
    if facts is None or why is not None:
        return math.nan, f"{why}; realtime.latency_ms in params would state one"
    rows = latency.cell(facts, request.model, request.corruption, request.severity)
    rows = rows if len(rows) else latency.cell(facts, request.model)
    return latency.figure(rows, f"latency_p{wanted.percentile}_ms", confidence=confidence).value, None


def _absent(rows: pd.DataFrame, why: str, ms: float, found: Timetable | None) -> pd.DataFrame:
    """Why there is no figure; beside it what is known without one."""
    whole = rows[(rows["slice"] == tables.ALL) & (rows["metric"] == HEADLINE)]
    blank = dict.fromkeys(("value", "low", "high"), math.nan)
    absent = whole.assign(**blank, metric=REALTIME[HEADLINE], note=why)
    absent = absent.assign(status=whole["status"].mask(whole["status"].isin(KNOWN), "not_defined"))
    if found is None:
        return absent
    share = whole.assign(
        metric=FRAMES_PROCESSED, value=found.processed.mean(), low=math.nan, high=math.nan, status="ok"
    )
    return pd.concat([absent, share, *_settings(whole, ms, found)], ignore_index=True)


def _settings(whole: pd.DataFrame, ms: float, found: Timetable) -> list[pd.DataFrame]:
    """What a cell's figures rest on."""
    whole, rate = whole.assign(low=math.nan, high=math.nan, note=None), found.frames_per_s
    return [
        whole.assign(metric=LATENCY_MS, value=ms, status="ok"),
        whole.assign(metric=ARRIVING, value=rate, status="ok" if math.isfinite(rate) else "not_defined"),
    ]


def _figures(rows: pd.DataFrame, ms: float, found: Timetable, again: Reached | None) -> pd.DataFrame:
    """A cell's rows of `scores` under other names and, where the tracker ran again, with the figures of that."""
    heads = rows[rows["metric"] == HEADLINE]
    known = heads["status"].isin(KNOWN)
    shares = heads.assign(metric=FRAMES_PROCESSED, value=np.where(known, 1.0, np.nan), low=math.nan, high=math.nan)
    shares["status"] = heads["status"].mask(known, "ok")
    settings = _settings(heads[heads["slice"] == tables.ALL], ms, found)
    table = pd.concat([rows.assign(metric=rows["metric"].map(REALTIME)), shares, *settings], ignore_index=True)
    if again is None:
        return table
    figures = [again.get(key) for key in zip(table["slice"], table["metric"], strict=True)]
    for column in ("value", "low", "high", "status", "note"):
        pairs = zip(table[column], figures, strict=True)
        table[column] = [old if figure is None else getattr(figure, column) for old, figure in pairs]
    return table.round({"value": DIGITS, "low": DIGITS, "high": DIGITS})
