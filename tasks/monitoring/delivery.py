"""Alerts brought to where they are seen: the log, a file of lines, a webhook, and whoever takes Prefect's events.

What the outbox holds is delivered at least once by every way, and struck off only then. Alerts of a camera go their way
in order: behind one that is not delivered yet, later ones wait. A failed delivery is tried again by a later scan, after
a pause that doubles from `PAUSE_S` up to `LONGEST_S` or that the receiver names (Retry-After); the first failure of an
alert that is `give_up_s` old is its last. No failure raises, and all of it takes little more than `deliver_s`.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from tasks.errors import InputError
from tasks.monitoring import alert_state, webhook
from tasks.monitoring.alert_records import INBOX, Alert, Attempts, Item, State, Way
from tasks.monitoring.alerts import EVENT, utc
from tasks.monitoring.webhook import NotDelivered
from tasks.params.alerts import Alerts

LOGGER = logging.getLogger(__name__)

PAUSE_S: Final = 30.0
LONGEST_S: Final = 3600.0

_LEAST_S: Final = 0.2
"""An attempt with less time than this would only look like a receiver that is slow."""

_LEVELS: Final = {None: logging.INFO, "ticket": logging.WARNING, "review": logging.WARNING, "rollback": logging.ERROR}

Emit = Callable[[Alert], object]


@dataclass(frozen=True)
class Delivered:
    """What became of the outbox: deliveries made, alerts that still wait, deliveries given up."""

    sent: int
    waiting: int
    given_up: int


def check(settings: Alerts) -> None:
    """See to it that alerts can be sent as params say, before there are any.

    Raises:
        InputError: an environment variable is missing, or does not hold a URL.
    """
    hook = settings.webhook
    if hook is None:
        return
    try:
        webhook.secret(hook, webhook.address(hook))
    except NotDelivered as error:
        raise InputError(f"footage.alerts.webhook: {error}.") from None


def deliver(runs: Path, settings: Alerts, *, folder: Path, now: datetime, emit: Emit | None = None) -> Delivered:
    """Deliver what waits in the outbox and is due.

    Args:
        runs: the folder of runs, with the state.
        settings: `footage.alerts` of params.
        folder: that of params.yaml, which `file` starts from.
        now: with a time zone.
        emit: takes an alert as an event; None: nobody does, and none waits for it.

    Raises:
        WorkFailed: another process holds the state.
    """
    ways: dict[Way, Callable[[Alert, float], None]] = {}
    if settings.log:
        ways["log"] = lambda alert, _: LOGGER.log(_LEVELS[alert["level"]], "%s", alert["text"])
    if settings.file is not None:
        path = folder / settings.file
        ways["file"] = lambda alert, _: append(path, alert)
    if settings.webhook is not None:
        hook = settings.webhook
        ways["webhook"] = lambda alert, left_s: webhook.post(hook, alert, timeout_s=min(hook.timeout_s, left_s))
    if settings.events and emit is not None:
        ways["event"] = lambda alert, _: _emit(emit, alert)
    with alert_state.locked(runs, settings) as book:
        return _Round(book, settings, ways, now).go()


class _Round:
    """One look at the outbox; the state is written after each step, so that a kill repeats one delivery at most."""

    def __init__(
        self,
        book: alert_state.Book,
        settings: Alerts,
        ways: Mapping[Way, Callable[[Alert, float], None]],
        now: datetime,
    ) -> None:
        self._book, self._settings, self._ways, self._now = book, settings, ways, now
        self._until = time.monotonic() + settings.deliver_s
        self._stuck: set[tuple[str, Way]] = set()  # camera and way behind an alert that waits
        self.sent = self.given_up = 0

    def go(self) -> Delivered:
        for item in self._book.state.outbox:
            for way in item.left:
                self._one(item.alert, way)
        return Delivered(self.sent, len(self._book.state.outbox), self.given_up)

    def _one(self, alert: Alert, way: Way) -> None:
        """Deliver one alert by one way, or leave it, or give it up."""
        item = next(item for item in self._book.state.outbox if item.alert["id"] == alert["id"])
        attempts = item.left[way]
        go = self._ways.get(way)
        if go is None:  # params no longer ask for it
            self._strike(item, way)
            return
        left_s = self._until - time.monotonic()
        if self._waits(attempts) or (alert["camera"], way) in self._stuck or (way == "webhook" and left_s < _LEAST_S):
            self._stuck.add((alert["camera"], way))
            return
        try:
            go(alert, left_s)
        except NotDelivered as error:
            if (self._now - item.utc).total_seconds() > self._settings.give_up_s:
                self._give_up(item, way, error)
            else:
                self._stuck.add((alert["camera"], way))
                self._put_off(item, way, error)
        else:
            self.sent += 1
            self._strike(item, way)

    def _waits(self, attempts: Attempts) -> bool:
        """Whether its next attempt is to come; no pause is longer than the longest, whatever a clock once said."""
        if attempts.next_utc is None:
            return False
        left_s = (attempts.next_utc - self._now).total_seconds()
        return 0 < left_s <= max(LONGEST_S, self._settings.give_up_s)

    def _strike(self, item: Item, way: Way, *, given_up: int = 0) -> None:
        left = {key: value for key, value in item.left.items() if key != way}
        self._replace(item, left, given_up)

    def _give_up(self, item: Item, way: Way, error: NotDelivered) -> None:
        LOGGER.error("Alert %s is given up after %d attempts by %s since %s (the last: %s): %s", item.alert["id"],
                     item.left[way].n + 1, way, utc(item.utc), error, item.alert["text"])  # fmt: skip
        self.given_up += 1
        self._strike(item, way, given_up=1)

    def _put_off(self, item: Item, way: Way, error: NotDelivered) -> None:
        n = item.left[way].n + 1
        pause_s = max(min(PAUSE_S * 2.0 ** min(n - 1, 20), LONGEST_S), min(error.after_s, self._settings.give_up_s))
        again = self._now + timedelta(seconds=pause_s)
        LOGGER.warning("Alert %s is not delivered by %s (attempt %d: %s); tried again after %s.", item.alert["id"],
                       way, n, error, utc(again))  # fmt: skip
        self._replace(item, {**item.left, way: Attempts(n=n, next_utc=again)}, 0)

    def _replace(self, item: Item, left: Mapping[Way, Attempts], given_up: int) -> None:
        state: State = self._book.state
        changed = item.model_copy(update={"left": dict(left)})
        outbox = [changed if other.alert["id"] == item.alert["id"] else other for other in state.outbox]
        outbox = [other for other in outbox if other.left]
        self._book.write(state.model_copy(update={"outbox": tuple(outbox), "given_up": state.given_up + given_up}))


def append(path: Path, alert: Alert) -> None:
    """Append an alert to a file of lines, unless it is the last line already.

    Half a line, left by a kill or a full disk, is taken off first.

    Raises:
        NotDelivered: the file cannot be written.
    """
    line = json.dumps(alert).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            last, whole = _tail(file)
            os.ftruncate(file.fileno(), whole)
            if last == line:
                return
            written = file.write(line)
            os.fsync(file.fileno())
    except OSError as error:
        raise NotDelivered(f"{path} cannot be written ({error.strerror})") from None
    if written != len(line):
        raise NotDelivered(f"{path} took {written} of {len(line)} bytes")


def _tail(file: Any) -> tuple[bytes, int]:
    """The last whole line, and where it ends."""
    size = file.seek(0, os.SEEK_END)
    start, tail = size, b""
    while start > 0 and tail.count(b"\n") < 2:
        step = min(65536, start)
        start -= step
        file.seek(start)
        tail = file.read(step) + tail
    whole = tail.rfind(b"\n") + 1
    return tail[tail.rfind(b"\n", 0, max(whole - 1, 0)) + 1 : whole], start + whole


def _emit(emit: Emit, alert: Alert) -> None:
    try:
        emit(alert)
    except Exception as error:  # whatever a client of events raises, a scan does not fail by it
        raise NotDelivered(f"the event was not taken: {type(error).__name__}") from None


def event(alert: Alert) -> dict[str, Any]:
    """The keyword arguments of Prefect's `emit_event` for an alert; the same alert is the same event.

    Examples:
        >>> alert = {"id": "0" * 32, "camera": "north", "level": "review", "change": "raised", "run": "r"}
        >>> event({**alert, "at_utc": "2026-11-22T03:15:00Z"})["resource"]["prefect.resource.id"]
        'stormglass.camera.north'
    """
    inbox = alert["camera"] == INBOX
    return {
        "event": EVENT,
        "id": UUID(hex=alert["id"]),
        "occurred": datetime.fromisoformat(alert["at_utc"]),
        "resource": {
            "prefect.resource.id": "stormglass.inbox" if inbox else f"stormglass.camera.{alert['camera']}",
            "prefect.resource.name": "inbox" if inbox else alert["camera"],
            "stormglass.level": alert["level"] or "none",
            "stormglass.change": alert["change"],
            "stormglass.run": alert["run"],
        },
        "payload": alert,
    }
