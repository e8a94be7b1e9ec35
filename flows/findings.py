"""What a scan found: its tables, what follows from them, its page, and what Prefect shows of it."""

import datetime
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flows.runtime import Run
from flows.shipped import Look, Shipped
from tasks import tables, terms
from tasks.exports import annotated
from tasks.footage import adoption, inbox, oddness, runs
from tasks.inference import facts
from tasks.inference.workers import devices
from tasks.monitoring import alert_state, delivery, drift, signals, windows
from tasks.monitoring.alert_records import INBOX, Alert, Signal
from tasks.params import Footage
from tasks.report import footage as page

DRIFTED: Final = 24
"""Pictures of the most drifted windows of a scan."""

LISTED: Final = 100
"""Files that were left alone in Prefect's table, at most; left.parquet has all."""

HISTORY_DAYS: Final = 90
"""Of the history on a scan's page."""


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that a scan knows when it has looked at all clips.

    Attributes:
        run: the validated one.
        section: `footage` of params.
        new: the scan's own.
        clips: the table `footage_clips`.
        batch: what it took, what waits for the next scan, and what is left alone.
        looks: of the clips that are ok.
        ready: what they were looked at with; None where nothing had arrived.
        missed: whether scans before this one were missed.
        started: when the scan began.
        finished: when all clips had been looked at.
    """

    run: Run
    section: Footage
    new: runs.Run
    clips: pd.DataFrame
    batch: runs.Batch
    looks: Sequence[Look]
    ready: Shipped | None
    missed: Signal
    started: datetime.datetime
    finished: datetime.datetime

    def write(self, kept: runs.Runs) -> tuple[pd.DataFrame, bool]:
        """Write the scan's folder.

        Args:
            kept: the scans before it.

        Returns:
            The scan's lines of the history (camera, signal, value), and whether it changes an alert or one of the inbox
            is raised: then there is something to say of it even if nothing had arrived.

        Raises:
            InputError: a table of the validated run does not fit.
        """
        folder, name = self.new.folder, self.new.name
        for table, rows in self._tables.items():
            tables.write(f"footage_{table}", rows, folder / f"{table}.parquet")
        said = self._signals
        told = alert_state.preview(kept.root, said, self.section.alerts, run=name, now=self.finished)
        _dump(told, folder / alert_state.DOCUMENT)
        _dump(self._facts(), folder / "run.json")
        annotated.keep(folder, self._thumbs())
        lines = pd.DataFrame(self._lines(), columns=["camera", "signal", "value"])
        own = lines.assign(run=name, finished_utc=_utc(self.finished))
        history = pd.concat([kept.ledger.history(days=HISTORY_DAYS, now=self.finished), own], ignore_index=True)
        adoptions = adoption.earlier(self.run.params.resolve(self.section.adopted))
        page.write(folder, history=history, gallery=self.run.layout.gallery, adoptions=adoptions)
        return lines, bool(told["alerts"]) or any(one["camera"] == INBOX for one in told["raised"])

    @cached_property
    def _drift(self) -> drift.Drift:
        """Of what is looked at, from what was validated; without rows where nothing had arrived."""
        if self.ready is None or not self.looks:
            return drift.Drift(tables.SCHEMAS["footage_drift"].empty_table().to_pandas(), {})
        frames = pd.concat([look.frames for look in self.looks], ignore_index=True)
        new = {
            "input": windows.of_frames(frames, window_s=self.ready.window_s),
            "output": pd.concat([look.alike for look in self.looks], ignore_index=True),
        }
        return drift.compare(new, self.ready.reference, min_units=self.run.params.metrics.min_units)

    @cached_property
    def _tables(self) -> Mapping[str, pd.DataFrame]:
        found = {
            "input": [
                look.observed.windows.assign(clip_id=look.clip.clip_id, camera=look.clip.camera) for look in self.looks
            ],
            "output": [look.output for look in self.looks],
            "forecast": [look.expected for look in self.looks],
            "nearest": [look.nearest for look in self.looks],
            "decisions": [look.decisions for look in self.looks],
        }
        joined = {name: _joined(f"footage_{name}", rows) for name, rows in found.items()}
        validation = {} if self.ready is None else {"validation": self.ready.forecaster.validation}
        left = pd.DataFrame(
            sorted((one.name, one.why, one.since_utc) for one in self.batch.left),
            columns=tables.SCHEMAS["footage_left"].names,
        )
        return {"clips": self.clips, "left": left, **joined, "drift": self._drift.table, **validation}

    @cached_property
    def _signals(self) -> list[Signal]:
        names = ("clips", "input", "drift", "forecast", "nearest", "decisions")
        scan = signals.Scan(
            **{name: self._tables[name] for name in names},
            waiting_files=self.batch.backlog.n_files,
            waiting_s=self.batch.backlog.oldest_s,
        )
        gathered = signals.gather(
            scan,
            self.section.alerts,
            gates=signals.bounds(self.run.params),
            clean_abstention={} if self.ready is None else self.ready.clean_abstention,
        )
        return [*gathered, self.missed]

    def _facts(self) -> dict[str, Any]:
        """run.json."""
        machine = facts.gather(devices=devices(self.run.params.run.device, 1), folder=self.run.params.folder)
        oldest_s = self.batch.backlog.oldest_s
        return {
            "run": self.new.name,
            "started_utc": _utc(self.started),
            "finished_utc": _utc(self.finished),
            "scan_s": round((self.finished - self.started).total_seconds(), 1),
            "model": self.section.model,
            "inbox": self.section.inbox,
            "waiting_files": self.batch.backlog.n_files,
            "waiting_minutes": None if oldest_s is None else round(oldest_s / 60, 1),
            "window_s": self.section.window_s,
            "drift_window_s": None if self.ready is None else self.ready.window_s,
            "reference": self._drift.reference,
            "against": {look.clip.clip_id: look.against for look in self.looks},
            "problems": [
                f"Of {look.clip.file} the masks and label maps of later frames were left out: they outgrow the memory."
                for look in self.looks
                if not look.whole
            ],
            **{name: machine[name] for name in ("device", "commit", "versions")},
        }

    def _thumbs(self) -> Iterator[annotated.Thumb]:
        """The most drifted windows of all clips, then an ordinary frame of each."""
        shown = {
            (look.clip.clip_id, round(one.window_s, 3)): one for look in self.looks for one in look.observed.thumbnails
        }
        odd = oddness.of(self._tables["input"], self._drift.table)
        odd = odd[odd["drift"] > 0].head(DRIFTED)
        for clip_id, camera, start_s, amount, why in odd.itertuples(index=False):
            one = shown.get((clip_id, round(start_s, 3)))
            if one is not None:
                yield annotated.Thumb(clip_id, camera, one.t_s, one.webp, drift=amount, why=why)
        for look in self.looks:
            middle = look.observed.thumbnails[len(look.observed.thumbnails) // 2]
            yield annotated.Thumb(look.clip.clip_id, look.clip.camera, middle.t_s, middle.webp, kind="sample")

    def _lines(self) -> Iterator[tuple[str, str, float | None]]:
        """Camera, signal and value: what alerts go by, what is expected, and how much there was."""
        yield from ((signal.camera, signal.name, signal.value) for signal in self._signals)
        expected = self._tables["forecast"]
        told = expected[expected["status"] == "ok"]
        for (camera, metric), rows in told.groupby(["camera", "metric"]):
            yield str(camera), f"expected_{metric}", float(rows["value"].mean())
        for camera, rows in self.clips[self.clips["status"] == "ok"].groupby("camera"):
            yield str(camera), "footage_minutes", float(rows["duration_s"].sum() / 60)
        for status in ("ok", "quarantined", "failed"):
            yield INBOX, f"files_{status}", float((self.clips["status"] == status).sum())
        yield INBOX, "files_waiting", float(self.batch.backlog.n_files)
        yield INBOX, "scan_s", (self.finished - self.started).total_seconds()


def told(clips: pd.DataFrame, batch: runs.Batch, place: Path | None) -> Iterator[str]:
    """What came of a scan, in a few lines."""
    count = clips["status"].value_counts()
    counted = ", ".join(f"{count[status]} {status}" for status in ("ok", "quarantined", "failed") if status in count)
    waiting = f", {batch.backlog.n_files} for a later scan" if batch.backlog.n_files else ""
    yield f"scan: {counted or 'nothing new'}{waiting}{_left(batch.left)}"
    for clip in clips[clips["status"] != "ok"].to_dict("records"):
        yield f"scan: {clip['file']} {clip['status']}: {clip['reason']}"
    if place is not None:
        yield f"scan: {place / page.PAGE}"


def _left(files: Sequence[inbox.Left]) -> str:
    """How many files were left alone, by reason; nothing where none was."""
    kinds = Counter(one.kind for one in files).most_common()
    return f", {len(files)} left alone ({', '.join(f'{n} {kind}' for kind, n in kinds)})" if kinds else ""


def artifacts(place: Path | None, left: Sequence[inbox.Left], *, root: Path) -> None:
    """Show a finished scan in Prefect, under stable keys: each scan is a new version of the same three artifacts.

    Args:
        place: its folder; None where it has none: files that were left alone are then put to those of the newest one.
        left: files that were left alone.
        root: the folder of runs.
    """
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    rows: list[dict[str, object]] = []
    if place is not None:
        alerts = json.loads((place / alert_state.DOCUMENT).read_text(encoding="utf-8"))
        lines = [f"- **{alert['level'] or 'all clear'}** {alert['text']}" for alert in alerts["alerts"]]
        standing = [f"- {one['camera']}: {one['level']}" for one in alerts["raised"]]
        raised = ["", "Raised now:", *standing] if standing else []
        text = [f"# Scan {place.name}", *(lines or ["No alert."]), *raised]
        create_markdown_artifact("\n".join(text), key="stormglass-footage", description="Alerts of the newest scan")
        create_link_artifact((place / page.PAGE).resolve().as_uri(), link_text=page.PAGE, key="stormglass-footage-page")
    elif not left:
        return
    newest = place or max((path.parent for path in root.glob("[0-9]*/clips.parquet")), default=None)
    if newest is not None:
        clips = tables.read("footage_clips", newest / "clips.parquet")
        expected = tables.read("footage_forecast", newest / "forecast.parquet")
        nearest = tables.read("footage_nearest", newest / "nearest.parquet")
        rows = [_clip(clip, expected, nearest) for clip in clips.to_dict("records")]
    rows += [
        {"camera": inbox.camera_of(one.name), "file": one.name, "status": "left alone", "reason": one.why}
        for one in left[:LISTED]
    ]
    create_table_artifact(
        rows,
        key="stormglass-footage-clips",
        description=f"What became of each file{_left(left)}, and the accuracy to expect: a proxy, not accuracy",
    )


def _clip(clip: Mapping[Any, Any], expected: pd.DataFrame, nearest: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = {name: clip[name] for name in ("camera", "file", "status", "reason")}
    first = nearest[(nearest["clip_id"] == clip["clip_id"]) & (nearest["rank"] == 1)]
    row["looks like"] = "" if first.empty else terms.cell(first["corruption"].iloc[0], first["severity"].iloc[0])
    for one in expected[expected["clip_id"] == clip["clip_id"]].to_dict("records"):
        figure = (
            f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" if one["status"] == "ok" else one["status"]
        )
        row[f"expected {terms.metric(one['metric'])}"] = figure
    return row


def emit(alert: Alert) -> None:
    """An alert as an event of Prefect's, for automations."""
    from prefect.events import emit_event

    emit_event(**delivery.event(alert))


def _joined(name: str, pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows, in the columns of the schema `name`."""
    empty = tables.SCHEMAS[name].empty_table().to_pandas()
    there = [rows for rows in pieces if len(rows)]
    return pd.concat(there, ignore_index=True)[list(empty.columns)] if there else empty


def _dump(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _utc(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
