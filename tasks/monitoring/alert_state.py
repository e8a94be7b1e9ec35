"""The state of alerts on the disk: one JSON file in the folder of runs, read and written under a lock.

A scan leaves what it says in its own folder (alerts.json). `commit` takes that in once the folder is there: the next
state and the alerts that follow from it, in the outbox, become true with one rename. Killed before it, the next commit
takes the scan in; after it, a scan that was taken in is passed over. So nothing is lost and nothing is told twice.
"""

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import WorkFailed
from tasks.monitoring.alert_records import Alert, Signal, State
from tasks.monitoring.alerts import document, step
from tasks.params.alerts import Alerts

LOGGER = logging.getLogger(__name__)

STATE: Final = "alert_state.json"
DOCUMENT: Final = "alerts.json"

WAIT_S: Final = 5.0
"""How long to wait for another process beyond `deliver_s`: it holds the lock while it delivers, at most."""

_KEPT: Final = 200
"""Runs that the state remembers: later names than theirs are new, so this is for clocks that were set back."""

_RUN: Final = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?")


class Book:
    """The state while the lock is held."""

    def __init__(self, path: Path, state: State) -> None:
        self._path = path
        self.state = state

    def write(self, state: State) -> None:
        """Make `state` the one on the disk, whole: it is there when this returns.

        Raises:
            WorkFailed: the disk does not take it.
        """
        if state == self.state:
            return
        temporary = self._path.with_name(f".{self._path.name}.new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(state.model_dump_json())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise WorkFailed(
                f"{self._path} cannot be written ({error.strerror}); alerts wait for the next scan."
            ) from None
        self.state = state


@contextlib.contextmanager
def locked(runs: Path, settings: Alerts) -> Iterator[Book]:
    """The state, for this process alone; the system lets go of the lock when its holder dies.

    Args:
        runs: the folder of runs, on a disk of this machine.
        settings: `footage.alerts` of params.

    Raises:
        WorkFailed: another process does not let go of it.
    """
    wait_s = settings.deliver_s + WAIT_S
    runs.mkdir(parents=True, exist_ok=True)
    handle = os.open(runs / f".{STATE}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise WorkFailed(
                        f"{runs / STATE}: another process has held it for {wait_s:g} s; alerts wait for the next scan."
                    ) from None
                time.sleep(0.02)
        found = _load(runs / STATE)
        if isinstance(found, str):
            _set_aside(runs / STATE, found)
            found = State()
        yield Book(runs / STATE, found)
    finally:
        os.close(handle)


def read(runs: Path) -> State:
    """The state; an empty one where there is none that can be understood.

    Raises:
        WorkFailed: the disk does not give it.
    """
    found = _load(runs / STATE)
    return State() if isinstance(found, str) else found


def _load(path: Path) -> State | str:
    """The state, an empty one without a file; or what is wrong with it, in a few words."""
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise WorkFailed(f"{path} cannot be read ({error.strerror}); alerts wait for the next scan.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])


def _set_aside(path: Path, why: str) -> None:
    aside = path.with_name(f"{path.stem}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
    path.replace(aside)
    LOGGER.warning(
        "%s is damaged (%s): set aside as %s; alerts start afresh, so that what is raised may be told once more, and "
        "what waited to be delivered stands in that file alone.", path, why, aside.name,
    )  # fmt: skip


class _Document(BaseModel):
    """What `commit` reads of a run's alerts.json."""

    model_config = ConfigDict(frozen=True)

    schema_: Literal[1] = Field(alias="schema")
    at_utc: AwareDatetime
    signals: tuple[Signal, ...]


def preview(runs: Path, signals: Sequence[Signal], settings: Alerts, *, run: str, now: datetime) -> dict[str, Any]:
    """The alerts.json of a scan that is not finished yet; the state stays.

    Args:
        runs: the folder of runs.
        signals: of the scan.
        settings: `footage.alerts` of params.
        run: the scan.
        now: with a time zone; to the second.
    """
    now = _second(now)
    after, alerts = step(read(runs), signals, settings, run=run, now=now)
    return document(after, alerts, signals, settings, run=run, now=now)


def commit(runs: Path, settings: Alerts, *, run: str | None = None) -> list[Alert]:
    """Take in every finished scan that was not taken in yet, oldest first.

    With a state that knows of no scan, such as a fresh one, the newest alone: what came before was told, or is too old.

    Args:
        runs: the folder of runs; each holds alerts.json.
        settings: `footage.alerts` of params.
        run: the scan that has just been finished: it counts as new even where the clock was set back.

    Returns:
        The alerts that are now in the outbox.

    Raises:
        WorkFailed: another process holds the state.
    """
    told: list[Alert] = []
    with locked(runs, settings) as book:
        state = book.state
        for name in _pending(runs, state, run):
            found = _document(runs / name / DOCUMENT)
            if found is not None:
                state, alerts = step(state, found.signals, settings, run=name, now=found.at_utc)
                told += alerts
            state = state.model_copy(update={"runs": (*state.runs, name)[-_KEPT:]})
        book.write(state)
    return told


def _second(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(microsecond=0)


def _pending(runs: Path, state: State, run: str | None) -> list[str]:
    finished = sorted((path.name for path in runs.iterdir() if _RUN.fullmatch(path.name)), key=order)
    if not state.runs:
        return [name for name in finished if (runs / name / DOCUMENT).exists()][-1:]
    newest = max(order(name) for name in state.runs)
    new = [name for name in finished if name not in state.runs and (order(name) > newest or name == run)]
    return [name for name in new if (runs / name / DOCUMENT).exists()]


def order(run: str) -> tuple[str, int]:
    """What the names of runs are sorted by.

    Examples:
        >>> sorted(["20261122T031500Z-10", "20261122T031500Z-2", "20261122T031500Z"], key=order)
        ['20261122T031500Z', '20261122T031500Z-2', '20261122T031500Z-10']
    """
    stamp, _, repeat = run.partition("-")
    return stamp, int(repeat or 1)


def _document(path: Path) -> _Document | None:
    try:
        return _Document.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        LOGGER.warning("%s cannot be read (%s): its signals are passed over.", path, type(error).__name__)
        return None


def watch(runs: Path, settings: Alerts, signal: Signal, *, now: datetime) -> list[Alert]:
    """Take in, between scans, that none completes; and tell what was held back and may go out now.

    A value below the limit is left to the next scan: time that passes is no scan that completes.

    Args:
        runs: the folder of runs.
        settings: `footage.alerts` of params.
        signal: `missed_scans`.
        now: with a time zone.

    Returns:
        The alerts that are now in the outbox.

    Raises:
        WorkFailed: another process holds the state.
    """
    with locked(runs, settings) as book:
        run = f"{max(book.state.runs, key=order, default='none')}+watch"
        given = [signal] if signal.over else []
        state, alerts = step(book.state, given, settings, run=run, now=_second(now))
        book.write(state)
    return list(alerts)
