"""What a scan says of everything that alerts watch, each with one sentence of evidence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pandas as pd

from tasks import tables, terms
from tasks.metrics.deployment import FALL_BACK
from tasks.monitoring import drift
from tasks.monitoring.alert_records import INBOX, Signal
from tasks.monitoring.alerts import utc
from tasks.monitoring.policy import ABSTAIN, OUTSIDE
from tasks.params import Params
from tasks.params.alerts import Alerts, SignalName
from tasks.quality import tampering

_NAMED: Final = 3
"""Features, files or windows that a sentence names before it counts the rest."""

_LONGEST: Final = 120
"""Characters of a file's reason in a sentence."""


@dataclass(frozen=True)
class Bound:
    """What gates allow of a metric under corruption: `floors` for it, `drops` below clean; the strictest counts."""

    floors: tuple[float, ...] = ()
    drops: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scan:
    """What a scan has found, tables of all its cameras; an empty one: nothing was measured.

    Attributes:
        clips: `footage_clips`, with the files that could not be read.
        input: `footage_input`.
        drift: `footage_drift`.
        forecast: `footage_forecast`.
        nearest: `footage_nearest`.
        decisions: `footage_decisions`.
        waiting_files: that wait for a later scan.
        waiting_s: for how long the oldest of them has.
    """

    clips: pd.DataFrame
    input: pd.DataFrame
    drift: pd.DataFrame
    forecast: pd.DataFrame
    nearest: pd.DataFrame
    decisions: pd.DataFrame
    waiting_files: int = 0
    waiting_s: float | None = None


def bounds(params: Params) -> dict[str, Bound]:
    """What the gates of params say of the headline metrics of whole frames under corruption, for the shipped model."""
    found: dict[str, Bound] = {}
    model = params.footage.model if params.footage is not None else None
    for gate in params.gates:
        whole = gate.slice == tables.ALL and gate.class_ == tables.ALL and gate.model in (None, model)
        corrupted = gate.severity != 0 and gate.corruption != tables.CLEAN
        if not (whole and corrupted and gate.metric in tables.HEADLINE.values()):
            continue
        before = found.get(gate.metric, Bound())
        if gate.min is not None:
            found[gate.metric] = Bound((*before.floors, gate.min), before.drops)
        elif gate.against == "clean" and gate.max_drop is not None:
            found[gate.metric] = Bound(before.floors, (*before.drops, gate.max_drop))
    return found


def gather(
    scan: Scan, settings: Alerts, *, gates: Mapping[str, Bound], clean_abstention: Mapping[str, float]
) -> list[Signal]:
    """The signals of a scan: those of each camera that sent files, and the backlog of the inbox.

    Args:
        scan: what it found.
        settings: `footage.alerts` of params.
        gates: from `bounds`.
        clean_abstention: from `policy.clean_abstention`.
    """
    found = [_backlog(scan, settings)]
    shares = drift.signals(scan.drift) if len(scan.drift) else {}
    for camera in sorted(scan.clips["camera"].unique()):
        found.append(_quarantined(scan.clips[scan.clips["camera"] == camera], camera, settings))
        if not scan.clips.loc[scan.clips["camera"] == camera, "status"].eq("ok").any():
            continue
        for name in ("input_drift", "output_drift"):
            share = shares.get(camera, {}).get(name)
            found.append(_drift(_of(scan.drift, camera), camera, name, share, settings))
        found.append(_tampering(_of(scan.input, camera), camera, settings))
        forecast = _of(scan.forecast, camera).merge(scan.clips[["clip_id", "duration_s"]], on="clip_id", how="left")
        forecast["weight"] = forecast["duration_s"].fillna(0).clip(lower=1e-3)  # a clip without a length still counts
        found.append(_forecast(forecast, _of(scan.nearest, camera), camera, gates, settings))
        found.append(_outside(forecast, camera, settings))
        reference = clean_abstention.get(camera, clean_abstention.get(tables.ALL))
        found.append(_abstention(_of(scan.decisions, camera), camera, reference, settings))
    return found


def missed(
    last_completed: datetime | None, now: datetime, *, since: datetime, interval_s: float, missed_scans: int
) -> Signal:
    """Whether scans fail to come: how many intervals have passed since one completed.

    Args:
        last_completed: when the last scan did; None: none ever.
        now: with a time zone.
        since: counts in its place where it is later: scans are due since then, or could not complete before.
        interval_s: between the starts of two scans.
        missed_scans: `footage.missed_scans` of params.
    """
    start = since if last_completed is None else max(since, last_completed)
    intervals = max((now - start).total_seconds(), 0.0) / interval_s
    last = "none has ever" if last_completed is None else f"the last did at {utc(last_completed)}"
    told = f"no scan has completed for {intervals:.1f} intervals of {interval_s:g} s: {last}"
    return Signal(name="missed_scans", camera=INBOX, value=intervals, limit=missed_scans, evidence=told)


def _of(table: pd.DataFrame, camera: str) -> pd.DataFrame:
    return table[table["camera"] == camera] if len(table) else table


def _unknown(name: SignalName, camera: str, limit: float, status: str, why: str) -> Signal:
    return Signal(name=name, camera=camera, value=None, limit=limit, status=status, evidence=why)


def _listed(items: Iterable[str]) -> str:
    """The first few of several, and how many more there are."""
    found = list(items)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _backlog(scan: Scan, settings: Alerts) -> Signal:
    minutes = (scan.waiting_s or 0.0) / 60
    told = f"{scan.waiting_files} files wait for a later scan, the oldest for {minutes:.0f} min"
    return Signal(name="backlog", camera=INBOX, value=minutes, limit=settings.limits.backlog_minutes, evidence=told)


def _quarantined(clips: pd.DataFrame, camera: str, settings: Alerts) -> Signal:
    bad = clips[clips["status"] != "ok"]
    reasons = [f"{row.file} ({str(row.reason)[:_LONGEST]})" for row in bad.itertuples()]
    told = f"{len(bad)} of {len(clips)} files could not be used{': ' if reasons else ''}{_listed(reasons)}"
    return Signal(name="quarantined", camera=camera, value=len(bad), limit=settings.limits.quarantined, evidence=told)


def _drift(rows: pd.DataFrame, camera: str, name: SignalName, share: float | None, settings: Alerts) -> Signal:
    kind = name.removesuffix("_drift")
    limit = settings.limits.input_drift if kind == "input" else settings.limits.output_drift
    if share is None:
        return _unknown(name, camera, limit, "insufficient", f"there is too little footage to tell of the {kind}")
    told = rows[(rows["kind"] == kind) & (rows["statistic"] == "wasserstein")]
    outside = told[told["status"] == "outside"].sort_values("share_outside", ascending=False, kind="stable")
    features = [
        f"{row.feature} ({row.share_outside:.0%} of windows outside {row.low:.3g} to {row.high:.3g})"
        for row in outside.itertuples()
    ]
    judged = int(told["status"].isin(["inside", "outside"]).sum())
    words = f"{len(outside)} of {judged} features of the {kind} differ from the reference"
    return Signal(
        name=name,
        camera=camera,
        value=share,
        limit=limit,
        evidence=f"{words}{': ' if features else ''}{_listed(features)}",
    )


def _tampering(rows: pd.DataFrame, camera: str, settings: Alerts) -> Signal:
    limit = settings.limits.tampering
    rows = rows[rows["feature"].isin(tampering.THRESHOLD)] if len(rows) else rows
    if rows.empty:
        why = "no background of the camera is known yet"
        return _unknown("tampering", camera, limit, "no_reference", why)
    over = rows[rows["value"] >= rows["feature"].map(tampering.THRESHOLD)]
    n, n_over = (len(part.groupby(["clip_id", "t_s"])) for part in (rows, over))
    worst = over.sort_values("value", ascending=False, kind="stable")
    seen = [f"{row.feature} {row.value:.2f} at {row.t_s:.0f} s of clip {row.clip_id}" for row in worst.itertuples()]
    told = f"{n_over} of {n} windows look tampered with{': ' if seen else ''}{_listed(seen)}"
    return Signal(name="tampering", camera=camera, value=n_over / n, limit=limit, evidence=told)


def allowed(metric: str, naive: float, gates: Mapping[str, Bound], settings: Alerts) -> tuple[float, str]:
    """How far a metric may be expected to lie below its clean score, and who says so.

    Examples:
        >>> allowed("map", 0.5, {"map": Bound(floors=(0.25, 0.3))}, Alerts())
        (0.2, 'gates')
        >>> allowed("map", 0.5, {}, Alerts(floors={"map": 0.4}))[1], allowed("hota", 0.5, {}, Alerts())
        ('alerts.floors', (0.1, 'alerts.limits'))
    """
    bound = gates.get(metric, Bound())
    if metric in settings.floors:
        drops, source = [naive - settings.floors[metric]], "alerts.floors"
    else:
        drops, source = [*bound.drops, *(naive - floor for floor in bound.floors)], "gates"
    above = [drop for drop in drops if drop > 0]  # a floor that clean frames miss allows no drop: it tells nothing
    return (min(above), source) if above else (settings.limits.forecast_drop, "alerts.limits")


def _forecast(
    rows: pd.DataFrame, nearest: pd.DataFrame, camera: str, gates: Mapping[str, Bound], settings: Alerts
) -> Signal:
    known = rows[rows["status"].eq("ok") & rows["value"].notna() & rows["naive"].notna()]
    if known.empty:
        outside = rows["status"].eq(OUTSIDE).any()
        why = "the footage looks like nothing that was validated" if outside else "nothing could be expected"
        status = OUTSIDE if outside else "not_applicable"
        return _unknown("forecast", camera, settings.limits.forecast_drop, status, why)
    found = []
    for metric, part in known.groupby("metric"):
        value, low, high, naive = (
            float(np.average(part[name], weights=part["weight"])) for name in ("value", "low", "high", "naive")
        )
        limit, source = allowed(str(metric), naive, gates, settings)
        told = (
            f"expected {terms.metric(str(metric))} {value:.3f} [{low:.3f}, {high:.3f}], {naive - value:.3f} below "
            f"clean {naive:.3f}, where {limit:.3f} is allowed by {source}{_like(nearest)}"
        )
        found.append((
            (naive - value) / limit,
            Signal(name="forecast", camera=camera, value=naive - value, limit=limit, evidence=told),
        ))  # fmt: skip
    return max(found, key=lambda pair: pair[0])[1]


def _like(nearest: pd.DataFrame) -> str:
    """What most clips look like, as the end of a sentence."""
    first = nearest[nearest["rank"] == 1] if len(nearest) else nearest
    if first.empty:
        return ""
    cells = pd.Series(map(terms.cell, first["corruption"], first["severity"]))
    return f"; it looks most like {cells.mode()[0]}"


def _outside(rows: pd.DataFrame, camera: str, settings: Alerts) -> Signal:
    limit = settings.limits.outside_validated
    clips = rows[rows["status"].isin(["ok", OUTSIDE])].copy()
    if clips.empty:
        why = "nothing could be expected"
        return _unknown("outside_validated", camera, limit, "not_applicable", why)
    clips["outside"] = clips["status"].eq(OUTSIDE)
    notes = clips.loc[clips["outside"], "note"].dropna().unique()
    each = clips.groupby("clip_id").agg(outside=("outside", "any"), weight=("weight", "first"))
    share = float(np.average(each["outside"], weights=each["weight"]))
    told = f"{share:.0%} of the footage looks like nothing that was validated{': ' if len(notes) else ''}"
    return Signal(
        name="outside_validated", camera=camera, value=share, limit=limit, evidence=f"{told}{'; '.join(notes[:1])}"
    )


def _abstention(rows: pd.DataFrame, camera: str, reference: float | None, settings: Alerts) -> Signal:
    limit = settings.limits.abstention
    total = int(rows["n_frames"].sum()) if len(rows) else 0
    if not total or reference is None:
        why = "no policy for boxes applies" if not total else "the reference has no frames"
        return _unknown("abstention", camera, limit, "not_applicable", why)
    share = float(rows.loc[rows["advice"].isin([ABSTAIN, FALL_BACK]), "n_frames"].sum()) / total
    told = (
        f"nothing may rest on {share:.0%} of {total} frames; on clean ones of the validated run it is {reference:.0%}"
    )
    return Signal(name="abstention", camera=camera, value=share - reference, limit=limit, evidence=told)
