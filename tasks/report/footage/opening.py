"""What the page opens with: the verdict of the alerts, what was scanned, and a line for each camera."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.report import wording
from tasks.report.footage import expected
from tasks.report.footage.scan import INBOX, Content, Scan

HONESTY: Final = (
    "A proxy, not accuracy: nothing here was labelled. Expected figures are a forecast from what the frames look like, "
    "learned from corrupted frames of the validated run; drift says that something is other than it was, not that it "
    "is wrong. Only labels tell; stormglass adopt draws a sample for them."
)

LEVELS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "rollback": ("hold", "■", "Roll back", "fail"),
    "review": ("open", "!", "Review", "uncertain"),
    "ticket": ("open", "i", "Ticket", "insufficient"),
}
"""Level, gravest first -> style and sign of the header, its words, style of a badge."""

CHANGES: Final[Mapping[str, str]] = {
    "raised": "▲ raised",
    "escalated": "▲ escalated",
    "changed": "◆ changed",
    "lowered": "▼ lowered",
    "resolved": "✓ resolved",
}

STATES: Final[Mapping[str, tuple[str, str, str]]] = {
    "ok": ("pass", "✓", "scanned"),
    "quarantined": ("fail", "✕", "quarantined"),
    "failed": ("uncertain", "!", "failed"),
}

MOST_LEFT: Final = 200
"""Files that were left alone that the page lists; left.parquet has all."""

_LISTED: Final = frozenset({
    "run", "started_utc", "finished_utc", "model", "inbox", "waiting_files", "waiting_minutes", "window_s",
    "drift_window_s",
})  # fmt: skip


def header(scan: Scan) -> Content:
    """Verdict, what was scanned and the plain words about it."""
    standing = scan.alerts.get("raised", [])
    levels = [one["level"] for one in standing]
    gravest = next((level for level in LEVELS if level in levels), None)
    if gravest is None:
        verdict = {"key": "ship", "icon": "✓", "text": "No alert stands"}
    else:
        style, icon, told, _ = LEVELS[gravest]
        count = _counted(len(standing), "alert stands", "alerts stand")
        verdict = {"key": style, "icon": icon, "text": f"{told}: {count}"}
    if "signals" not in scan.alerts:
        verdict = {"key": "none", "icon": "?", "text": "No alerts were computed"}
    return {"verdict": verdict | {"detail": _detail(scan)}, "honesty": HONESTY}


def _detail(scan: Scan) -> str:
    parts = []
    if scan.scanned.empty:
        parts.append("No new clip was scanned")
    else:
        clips, cameras = _counted(len(scan.scanned), "clip", "clips"), _counted(len(scan.cameras), "camera", "cameras")
        parts.append(f"{clips} of {cameras} scanned, {minutes(scan.scanned['duration_s'])}")
    for status, told in (("quarantined", "quarantined"), ("failed", "failed")):
        if count := int((scan.clips["status"] == status).sum()):
            parts.append(f"{count} {told}")
    rows = scan.table("forecast")
    if outside := rows.loc[rows["status"] == "outside_validated", "clip_id"].nunique():
        parts.append(f"{outside} outside everything validated")
    return "; ".join([*parts, _waiting(scan)]) + "."


def _waiting(scan: Scan) -> str:
    files = scan.facts.get("waiting_files")
    if files is None:
        return "what waits was not counted"
    if not files:
        return "nothing waits"
    known = scan.facts.get("waiting_minutes")
    told = "" if wording.absent(known) else f" (the oldest for {wording.number(known, 0)} min)"
    return f"{_counted(int(files), 'file waits', 'files wait')} for a later scan{told}"


def facts(scan: Scan) -> list[tuple[str, Any]]:
    """The list "This scan": when, what with, and every further plain fact of run.json."""
    found = [("Scan", scan.facts.get("run", scan.folder.name)), ("Model", scan.facts.get("model", "–"))]
    for key, name in (("started_utc", "Started"), ("finished_utc", "Finished")):
        if key in scan.facts:
            found.append((name, wording.moment(str(scan.facts[key]).replace("Z", "+00:00"))))
    found.append(("Inbox", scan.facts.get("inbox", "–")))
    for key, value in scan.facts.items():
        if key not in _LISTED and isinstance(value, str | int | float) and not isinstance(value, bool):
            found.append((wording.headline(words(key)), value))
    versions = scan.facts.get("versions")
    if isinstance(versions, dict) and versions:
        told = [f"{name} {versions[name]}" for name in ("stormglass", "torch") if name in versions]
        found.append(("Versions", ", ".join([*told, "others in run.json"])))
    return found


def lines(scan: Scan) -> list[Content]:
    """At a glance: a line for each camera."""
    drift, nearest = scan.table("drift"), scan.table("nearest")
    standing = scan.alerts.get("raised", [])
    metric = expected.first_metric(scan)
    means = expected.by_camera(scan)
    found = []
    for camera in scan.cameras:
        own = scan.scanned[scan.scanned["camera"] == camera]
        here = drift[drift["camera"] == camera]
        told = here[here["status"].isin(("inside", "outside"))]
        outside = told.loc[told["status"] == "outside", ["kind", "feature"]].drop_duplicates()
        first = nearest[(nearest["camera"] == camera) & (nearest["rank"] == 1)]
        mean = next((row for row in means if row["camera"] == camera and row["metric"] == metric), None)
        found.append(
            {
                "camera": camera,
                "clips": len(own),
                "minutes": minutes(own["duration_s"]),
                "expected": mean["told"] if mean else "–",
                "rest": mean["rest"] if mean else "",
                "clean": wording.number(mean["naive"]) if mean else "–",
                "nearest": _most(first),
                "outside": f"{len(outside)} of {len(told[['kind', 'feature']].drop_duplicates())}"
                if len(told)
                else "not told",
                "alerts": [LEVELS[one["level"]][3] for one in standing if one["camera"] == camera],
                "levels": [one["level"] for one in standing if one["camera"] == camera],
            }
        )
    return found


def _most(first: pd.DataFrame) -> str:
    """What most clips look like most."""
    if first.empty:
        return "–"
    counts = first["corruption"].value_counts()
    name = str(counts.index[0])
    rest = f" ({counts.iloc[0]} of {len(first)} clips)" if len(counts) > 1 else ""
    return ("clean frames" if name == tables.CLEAN else terms.corruption(name)) + rest


def alerts(scan: Scan) -> Content:
    """What changed in this scan, what stands, and every signal behind it."""
    document = scan.alerts
    changed = [
        {
            "change": CHANGES.get(one["change"], one["change"]),
            "level": one["level"],
            "style": LEVELS[one["level"]][3] if one["level"] in LEVELS else "pass",
            "camera": place(one["camera"]),
            "text": wording.sentence(str(one["text"])),
        }
        for one in document.get("alerts", [])
    ]
    standing = [
        {
            "level": one["level"],
            "style": LEVELS[one["level"]][3],
            "camera": place(one["camera"]),
            "since": wording.moment(str(one["since_utc"]).replace("Z", "+00:00")),
            "signals": [
                f"{words(signal['name'])} {_value(signal['value'])} (limit {_value(signal['limit'])})"
                for signal in one["signals"]
            ],
        }
        for one in sorted(document.get("raised", []), key=lambda one: list(LEVELS).index(one["level"]))
    ]
    signals = [
        {
            "name": words(one["name"]),
            "camera": place(one["camera"]),
            "value": one["value"],
            "shown": _value(one["value"]),
            "limit": _value(one["limit"]),
            "over": not wording.absent(one["value"]) and one["value"] >= one["limit"],
            "evidence": wording.sentence(str(one.get("evidence") or "")),
        }
        for one in document.get("signals", [])
    ]
    return {"changed": changed, "standing": standing, "signals": signals, "takeaway": _told(changed, standing)}


def _told(changed: Sequence[Content], standing: Sequence[Content]) -> str:
    news = _counted(len(changed), "alert changed", "alerts changed") if changed else "No alert changed"
    rest = f"{len(standing)} now {'stands' if len(standing) == 1 else 'stand'}" if standing else "none stands"
    return f"{news} in this scan; {rest}."


def files(scan: Scan) -> Content:
    """Every file that the scan took, those that were refused first."""
    rows = []
    order = {status: i for i, status in enumerate(("quarantined", "failed", "ok"))}
    for row in sorted(scan.clips.to_dict("records"), key=lambda row: order.get(row["status"], 9)):
        size = None if wording.absent(row["width_px"]) else f"{int(row['width_px'])}x{int(row['height_px'])}"
        style, icon, state = STATES.get(row["status"], ("none", "?", row["status"]))
        rows.append(
            {
                **row,
                "state": (style, icon, state),
                "received": wording.moment(str(row["received_utc"]).replace("Z", "+00:00")),
                "shown": wording.number(row["duration_s"], 1),
                "order": None if wording.absent(row["duration_s"]) else row["duration_s"],
                "size": size or "–",
                "rate": "–" if wording.absent(row["frame_rate"]) else f"{float(row['frame_rate']):.4g}",
                "codec": row["codec"] or "–",
                "bitrate": wording.number(row["bitrate_kbps"], 0),
                "megabytes": wording.number(row["bytes"] / 1e6, 1),
                "reason": row["reason"] or "",
            }
        )
    refused = [row for row in rows if row["status"] != "ok"]
    return {"lines": rows, "refused": refused, "takeaway": _detail(scan)}


def left(scan: Scan) -> Content:
    """Files of the inbox that the scan left alone: how many by reason, and the first of them by name."""
    rows = scan.table("left")
    if rows.empty:
        return {"lines": [], "rest": 0, "takeaway": ""}
    kinds = rows["reason"].str.partition(":")[0].value_counts()
    lines = [
        {
            "file": row["file"],
            "reason": row["reason"],
            "since": "–" if row["since_utc"] is None else wording.moment(str(row["since_utc"]).replace("Z", "+00:00")),
        }
        for row in rows.head(MOST_LEFT).to_dict("records")
    ]
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return {
        "lines": lines,
        "rest": len(rows) - len(lines),
        "takeaway": f"{_counted(len(rows), 'file was', 'files were')} left alone: {told}.",
    }


def place(camera: str | None) -> str:
    """Where an alert or a signal belongs."""
    return "the inbox" if camera in (None, INBOX) else str(camera)


def words(name: str) -> str:
    """A signal's or a fact's name as people write it.

    Examples:
        >>> words("outside_validated"), words("scan_s")
        ('outside validated', 'scan (s)')
    """
    return (f"{name.removesuffix('_s')} (s)" if name.endswith("_s") else name).replace("_", " ")


def minutes(durations: pd.Series) -> str:
    """The sum of durations in seconds as minutes, short ones as seconds."""
    total = float(durations.fillna(0).sum())
    return f"{total:.0f} s" if total < 90 else f"{total / 60:.1f} min"


def _value(value: float | None) -> str:
    return "–" if wording.absent(value) else f"{float(value or 0.0):.3g}".replace("-", "−")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
