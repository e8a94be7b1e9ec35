"""When somebody is told: signals of scans go in, alerts come out, on changes of a camera's state alone.

A signal is raised by `raise_after` scans in a row that reach its limit (by the first, where `at_once` names it), and
cleared by `clear_after` in a row below `clear_share` of it; a scan that says nothing of it counts neither way. A
camera's state is the set of its raised signals and the level that follows from them. It is told when it differs from
what was told last, though at most once in `cooldown_s`: then it waits, and what changed meanwhile is counted. A higher
level than any told in that time, `review` at least, does not wait.

Everything here is a function of its arguments; tasks/monitoring/alert_state.py keeps the state on the disk.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tasks.monitoring.alert_records import (
    INBOX,
    ROUNDING,
    SCHEMA,
    Alert,
    Attempts,
    Camera,
    Change,
    Item,
    Raised,
    Signal,
    State,
    Told,
    Watched,
    Way,
)
from tasks.params.alerts import LEVELS, Alerts, Level, SignalName, Together

EVENT: Final = "stormglass.alert"


def level_of(raised: Collection[SignalName], settings: Alerts) -> Level | None:
    """The level of signals that are raised together; None without any.

    Examples:
        >>> level_of({"backlog"}, Alerts()), level_of({"forecast"}, Alerts())
        ('ticket', 'review')
        >>> level_of({"forecast", "output_drift", "backlog"}, Alerts())
        'rollback'
    """
    rules: Mapping[Level, Together] = {"rollback": settings.rollback, "review": settings.review}
    for level, together in rules.items():
        if any(set(names) <= set(raised) for names in together):
            return level
    return "ticket" if raised else None


def step(
    state: State, signals: Iterable[Signal], settings: Alerts, *, run: str, now: datetime
) -> tuple[State, tuple[Alert, ...]]:
    """Take in what a scan says.

    Args:
        state: as it was; it stays.
        signals: at most one of a name and camera; cameras and names that are left out stay as they were.
        settings: `footage.alerts` of params.
        run: the scan's name: with camera, signals, level and change it decides an alert's id.
        now: with a time zone.

    Returns:
        The state with the alerts in its outbox, and these, by camera: docs/footage.md says what an alert holds.

    Raises:
        ValueError: a signal of a camera stands twice.
    """
    given: dict[str, dict[SignalName, Signal]] = {}
    for signal in signals:
        if signal.name in given.setdefault(signal.camera, {}):
            raise ValueError(f"signal {signal.name} of camera {signal.camera} stands twice in run {run}")
        given[signal.camera][signal.name] = signal
    cameras, alerts = {}, []
    for name in sorted({*state.cameras, *given}):
        after, alert = _camera(name, state.cameras.get(name, Camera()), given.get(name, {}), settings, run, now)
        if alert is not None:
            alerts.append(alert)
        if after != Camera():
            cameras[name] = after
    ways = {way: Attempts() for way in ways_of(settings)}
    waiting = {item.alert["id"] for item in state.outbox}
    new = [Item(alert=alert, utc=now, left=ways) for alert in alerts if ways and alert["id"] not in waiting]
    outbox = (*state.outbox, *new)
    return state.model_copy(update={"cameras": cameras, "outbox": outbox}), tuple(alerts)


def ways_of(settings: Alerts) -> tuple[Way, ...]:
    """How alerts are told."""
    asked: Mapping[Way, object] = {
        "log": settings.log,
        "file": settings.file,
        "webhook": settings.webhook,
        "event": settings.events,
    }
    return tuple(way for way, wanted in asked.items() if wanted)


def _camera(
    name: str,
    before: Camera,
    given: Mapping[SignalName, Signal],
    settings: Alerts,
    run: str,
    now: datetime,
) -> tuple[Camera, Alert | None]:
    """One camera's next state, and the alert that it causes."""
    watched = dict(before.signals)
    for signal in given.values():
        watched[signal.name] = _watch(watched.get(signal.name), signal, settings, now)
    watched = {key: value for key, value in watched.items() if value.raised or value.streak}
    cooldown = timedelta(seconds=settings.cooldown_s)
    # abs: a clock that was wrong and is right again must not silence a camera.
    told = tuple(item for item in before.told if abs(now - item.utc) < cooldown)
    after = before.model_copy(update={"signals": watched, "told": told})
    level = level_of(after.raised, settings)
    if (after.raised, level) == (before.told_signals, before.told_level) or not _may_tell(level, told):
        held = int(after.raised != before.raised)
        return after.model_copy(update={"held_back": before.held_back + held}), None
    alert = _alert(name, before, after, level, run, now)
    updates = {
        "told_signals": after.raised,
        "told_level": level,
        "told": (*told, Told(utc=now, level=level)),
        "held_back": 0,
    }
    return after.model_copy(update=updates), alert


def _watch(before: Watched | None, signal: Signal, settings: Alerts, now: datetime) -> Watched:
    """One signal's next state."""
    was = before or Watched(since_utc=now, value=0, limit=signal.limit, evidence="")
    if signal.value is None:
        return was
    shown = {"value": signal.value, "limit": signal.limit, "evidence": signal.evidence} if signal.over else {}
    if was.raised:
        speaks = signal.value < settings.clear_share * signal.limit - ROUNDING
        needed = settings.clear_after
    else:
        speaks = signal.over
        needed = 1 if signal.name in settings.at_once else settings.raise_after
    streak = was.streak + 1 if speaks else 0
    if streak >= needed:
        return was.model_copy(update={**shown, "raised": not was.raised, "streak": 0, "since_utc": now})
    return was.model_copy(update={**shown, "streak": streak})


def rank(level: Level | None) -> int:
    """0 for None, then rising."""
    return 0 if level is None else 1 + LEVELS.index(level)


def _may_tell(level: Level | None, told: Sequence[Told]) -> bool:
    """Whether an alert may go out, after those of the last `cooldown_s`."""
    urgent = rank(level) >= rank("review")
    return not told or (urgent and all(rank(level) > rank(item.level) for item in told))


def _alert(name: str, before: Camera, after: Camera, level: Level | None, run: str, now: datetime) -> Alert:
    change = _change(before.told_level, level)
    key = json.dumps([run, name, after.raised, level, change])
    added = [signal for signal in after.raised if signal not in before.told_signals]
    cleared = [signal for signal in before.told_signals if signal not in after.raised]
    return {
        "schema": SCHEMA,
        "id": hashlib.sha256(key.encode()).hexdigest()[:32],
        "event": EVENT,
        "change": change,
        "camera": name,
        "level": level,
        "level_before": before.told_level,
        "run": run,
        "at_utc": utc(now),
        "signals": raised(after),
        "added": added,
        "cleared": cleared,
        "held_back": before.held_back,
        "text": _text(name, before, after, level, change, cleared),
    }


def _change(before: Level | None, level: Level | None) -> Change:
    if level is None:
        return "resolved"
    if before is None:
        return "raised"
    return "changed" if level == before else "escalated" if rank(level) > rank(before) else "lowered"


def raised(camera: Camera) -> list[Raised]:
    """The signals that are raised, in plain values, with the evidence of the last scan that reached the limit."""
    return [
        {
            "name": name,
            "value": camera.signals[name].value,
            "limit": camera.signals[name].limit,
            "evidence": camera.signals[name].evidence,
            "since_utc": utc(camera.signals[name].since_utc),
        }
        for name in camera.raised
    ]


def _text(name: str, before: Camera, after: Camera, level: Level | None, change: Change, cleared: Sequence[str]) -> str:
    place = "inbox" if name == INBOX else f"camera {name}"
    parts = [after.signals[signal].evidence.rstrip(".") for signal in after.raised]
    if cleared:
        parts.append(f"no longer: {', '.join(cleared)}")
    if before.held_back:
        parts.append(f"changes since the last alert that were held back: {before.held_back}")
    moved = f" ({change}, was {before.told_level})" if change in ("escalated", "lowered") else f" ({change})"
    return f"{place}: {level or 'all clear'}{moved}: {'; '.join(parts)}."


def document(
    state: State,
    alerts: Sequence[Alert],
    signals: Iterable[Signal],
    settings: Alerts,
    *,
    run: str,
    now: datetime,
) -> dict[str, Any]:
    """The content of alerts.json: what is told of this scan, what is raised now, and what the scan said.

    Args:
        state: after the scan's step.
        alerts: what that step returned.
        signals: what it was given.
        settings: of that step.
        run: the scan.
        now: of the step.
    """
    standing = [
        {
            "camera": name,
            "level": level_of(camera.raised, settings),
            "told": camera.raised == camera.told_signals,
            "since_utc": min(item["since_utc"] for item in raised(camera)),
            "signals": raised(camera),
        }
        for name, camera in sorted(state.cameras.items())
        if camera.raised
    ]
    return {
        "schema": SCHEMA,
        "run": run,
        "at_utc": utc(now),
        "alerts": list(alerts),
        "raised": standing,
        "signals": [signal.model_dump() for signal in signals],
    }


def utc(time: datetime) -> str:
    """ISO 8601 to the second, with Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
