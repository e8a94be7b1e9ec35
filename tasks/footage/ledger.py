"""What became of every content that ever lay in the inbox, and the history of the scans: one SQLite file.

A content is known by its sha256, so that a renamed or copied file is not new and a replaced one is. It belongs to one
run at most; what a run found of it, and the run's lines of the history, count from the moment when the run is `whole`:
one statement turns everything a run did from not having happened into having happened.
"""

import os
import socket
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.footage.database import Database
from tasks.footage.facts import Facts
from tasks.footage.inbox import Arrival, iso, printable
from tasks.footage.remote import CONTENT

Outcome = Literal["ok", "quarantined", "failed"]

_SEEN: Final = "SELECT sha256, run FROM files LEFT JOIN clips USING (sha256) WHERE files.size = ? AND stamp = ?"


@dataclass(frozen=True)
class Clip:
    """A file that a run has claimed.

    Attributes:
        clip_id: The first 16 hex digits of `sha256`.
        sha256: Of the content.
        camera: The folder below the inbox, or `all`.
        file: Its name relative to the inbox.
        path: Where it can be read while the run lasts.
        bytes: Its size.
        received_utc: Since when it lies in the inbox.
        facts: What its headers say.
    """

    clip_id: str
    sha256: str
    camera: str
    file: str
    path: Path
    bytes: int
    received_utc: str
    facts: Facts


@dataclass(frozen=True)
class Backlog:
    """New files that wait for a later scan. `oldest_s`: for how long the first of them has; None where none does."""

    n_files: int
    oldest_s: float | None


class Ledger:
    """One file, made when it is missing.

    Raises: as `Database` from every method.
    """

    def __init__(self, path: Path) -> None:
        self._db = Database(path)

    def begin(self, now: datetime, *, free: Callable[[str], bool]) -> str:
        """A new run, named by the time; `-2`, `-3` ... follows where that name was given before.

        Args:
            now: With its time zone.
            free: Called within the transaction with a name that no run has; True takes it. What it does happens before
                any other process can see the run, and before any can begin another.
        """
        base = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        with self._db.changing() as db:
            name, count = base, 1
            while db.execute("SELECT 1 FROM runs WHERE name = ?", (name,)).fetchone() or not free(name):
                count += 1
                name = f"{base}-{count}"
            owner = (socket.gethostname(), os.getpid())  # for people who look: what counts is the run's lock
            db.execute("INSERT INTO runs VALUES (?, 'open', ?, NULL, ?, ?)", (name, iso(now.timestamp()), *owner))
        return name

    def recover(self, *, dead: Callable[[str], bool], whole: Callable[[str], bool]) -> tuple[list[str], list[str]]:
        """Settle the runs of processes that died: their names, first those completed, then those given up.

        Args:
            dead: Of an open run's name: whether nobody works on it.
            whole: Of a dead run's name: whether its folder was finished.
        """
        completed, dropped = [], []
        with self._db.changing() as db:
            for (run,) in db.execute("SELECT name FROM runs WHERE state = 'open' ORDER BY name").fetchall():
                if not dead(run):
                    continue
                if whole(run):
                    _complete(db, run)
                    completed.append(run)
                else:
                    _drop(db, run, killed=True)
                    dropped.append(run)
        return completed, dropped

    def drop(self, run: str) -> None:
        """Give up an open run: its clips are new again."""
        with self._db.changing() as db:
            _drop(db, run, killed=False)

    def prepare(self, run: str, signals: pd.DataFrame, now: datetime) -> None:
        """Write a run's lines of the history (columns camera, signal, value), which `complete` makes count.

        Raises:
            InputError: a column is missing or empty, or a camera's signal is there twice.
        """
        lines = signals.assign(run=run, finished_utc=iso(now.timestamp()))
        tables.to_arrow("footage_history", lines, f"history of {run}")
        twice = lines[lines.duplicated(["camera", "signal"])]
        if not twice.empty:
            camera, signal = twice.iloc[0][["camera", "signal"]]
            raise InputError(
                f"history of {run}: expected each signal of a camera once, got '{signal}' of '{camera}' twice."
            )
        rows = [
            (run, str(camera), str(signal), None if pd.isna(value) else float(value))
            for camera, signal, value in lines[["camera", "signal", "value"]].itertuples(index=False)
        ]
        with self._db.changing() as db:
            db.execute("UPDATE runs SET finished_utc = ? WHERE name = ?", (iso(now.timestamp()), run))
            db.executemany("INSERT INTO history VALUES (?, ?, ?, ?)", rows)

    def complete(self, run: str) -> None:
        """From now on everything that a run did counts; what it claimed without an outcome is given back."""
        with self._db.changing() as db:
            _complete(db, run)

    def claim(self, run: str, sha256: str, arrival: Arrival) -> int | None:
        """Make a content this run's, with work on it begun; how often work on it killed its process.

        None where it is another's or was seen before. Remembers the file in any case.
        """
        facts = (clip_id_of(sha256), arrival.camera, arrival.name, arrival.size, arrival.received_utc, run)
        with self._db.changing() as db:
            _remember(db, sha256, arrival)
            taken = db.execute(
                "INSERT INTO clips (sha256, clip_id, camera, file, bytes, received_utc, run, started) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (sha256) DO UPDATE SET camera = excluded.camera, "
                "file = excluded.file, received_utc = excluded.received_utc, run = excluded.run, started = 1 "
                "WHERE run IS NULL",
                (sha256, *facts),
            ).rowcount
            if not taken:
                return None
            (crashes,) = db.execute("SELECT crashes FROM clips WHERE sha256 = ?", (sha256,)).fetchone()
        return int(crashes)

    def work(self, run: str, sha256: str, *, begins: bool) -> None:
        """Work on a clip begins, or pauses: should the process die in between, the clip is what it died of."""
        with self._db.changing() as db:
            db.execute("UPDATE clips SET started = ? WHERE run = ? AND sha256 = ?", (begins, run, sha256))

    def outcome(self, run: str, sha256: str, status: Outcome, reason: str | None = None) -> None:
        """What became of a clip; counts once the run is whole."""
        with self._db.changing() as db:
            change = "UPDATE clips SET status = ?, reason = ?, started = 0 WHERE run = ? AND sha256 = ?"
            db.execute(change, (status, reason, run, sha256))

    def give_back(self, run: str, sha256: str) -> None:
        """A clip that the run claimed is new again."""
        with self._db.changing() as db:
            db.execute("UPDATE clips SET run = NULL, started = 0 WHERE run = ? AND sha256 = ?", (run, sha256))

    def of_run(self, run: str) -> pd.DataFrame:
        """The clips of a run that have an outcome: the columns of `footage_clips` that the ledger keeps, and sha256."""
        query = "SELECT run, sha256, clip_id, camera, file, bytes, received_utc, status, reason FROM clips"
        with self._db.changing() as db:
            rows = db.execute(f"{query} WHERE run = ? AND status IS NOT NULL", (run,)).fetchall()
        return pd.DataFrame(rows, columns=["run", "sha256", *tables.SCHEMAS["footage_clips"].names[1:8]]).astype(
            {"reason": object}
        )

    def unseen(self, arrivals: Sequence[Arrival]) -> list[tuple[Arrival, str | None]]:
        """Those of `arrivals` that may be new, in their order, each with its sha256 where that is known."""
        found = []
        with self._db.changing() as db:
            for arrival in arrivals:
                key = (arrival.size, arrival.stamp)
                row = db.execute(f"{_SEEN} AND place = ?", (*key, printable(arrival.place))).fetchone()
                if row is None and arrival.stamp.startswith(CONTENT):  # under another name: known without fetching it
                    row = db.execute(_SEEN, key).fetchone()
                sha256, run = row or (None, None)
                if run is None:
                    found.append((arrival, sha256))
        return found

    def clips(self, *, status: str | None = None) -> pd.DataFrame:
        """Every content, oldest first: sha256, clip_id, camera, file, bytes, received_utc, status, reason, run.

        `status`: ok, quarantined, failed; claimed (a scan has it in hand); open (new again). Of one only where given.
        """
        query = (
            "SELECT sha256, clip_id, camera, file, bytes, received_utc, CASE WHEN run IS NULL THEN 'open' "
            "WHEN state = 'open' THEN 'claimed' ELSE status END AS status, "
            "CASE WHEN state = 'whole' THEN reason END AS reason, run "
            "FROM clips LEFT JOIN runs ON runs.name = clips.run ORDER BY received_utc, file"
        )
        with self._db.changing() as db:
            cursor = db.execute(query)
            found = pd.DataFrame(cursor.fetchall(), columns=[name for name, *_ in cursor.description])
        return found if status is None else found[found["status"] == status].reset_index(drop=True)

    def retry(self, clip_ids: Sequence[str]) -> int:
        """Make quarantined and failed clips (16 hex digits each) new again for the next scan; how many those were."""
        count = 0
        with self._db.changing() as db:
            for clip_id in clip_ids:
                count += db.execute(
                    "UPDATE clips SET run = NULL, status = NULL, reason = NULL, crashes = 0 WHERE clip_id = ? "
                    "AND status IN ('quarantined', 'failed') AND run IN (SELECT name FROM runs WHERE state = 'whole')",
                    (clip_id,),
                ).rowcount
        return count

    def history(self, *, days: float | None = None, now: datetime | None = None) -> pd.DataFrame:
        """The table `footage_history` of the whole runs, oldest first; of the last `days` where given."""
        since = "" if days is None else iso(((now or datetime.now(UTC)) - timedelta(days=days)).timestamp())
        query = (
            "SELECT run, finished_utc, camera, signal, value FROM history JOIN runs ON runs.name = history.run "
            "WHERE state = 'whole' AND finished_utc >= ? ORDER BY finished_utc, run, camera, signal"
        )
        with self._db.changing() as db:
            rows = db.execute(query, (since,)).fetchall()
        return pd.DataFrame(rows, columns=tables.SCHEMAS["footage_history"].names).astype({"value": float})

    def last_completed(self) -> str | None:
        """When the newest whole run was finished."""
        with self._db.changing() as db:
            (when,) = db.execute("SELECT max(finished_utc) FROM runs WHERE state = 'whole'").fetchone()
        return when if when is None else str(when)

    def runs(self, state: Literal["open", "whole", "dropped"]) -> dict[str, str | None]:
        """The names of runs in a state, and when they were finished."""
        with self._db.changing() as db:
            return dict(db.execute("SELECT name, finished_utc FROM runs WHERE state = ?", (state,)).fetchall())


def clip_id_of(sha256: str) -> str:
    """The name of a content in tables and folders: the first 16 of its 64 hex digits."""
    return sha256[:16]


def _remember(db: sqlite3.Connection, sha256: str, arrival: Arrival) -> None:
    row = (printable(arrival.place), arrival.size, arrival.stamp, sha256)
    db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)


def _complete(db: sqlite3.Connection, run: str) -> None:
    db.execute("UPDATE clips SET run = NULL, started = 0 WHERE run = ? AND status IS NULL", (run,))
    db.execute("UPDATE runs SET state = 'whole' WHERE name = ?", (run,))


def _drop(db: sqlite3.Connection, run: str, *, killed: bool) -> None:
    db.execute("UPDATE clips SET crashes = crashes + 1 WHERE run = ? AND started AND ?", (run, killed))
    db.execute("UPDATE clips SET run = NULL, status = NULL, reason = NULL, started = 0 WHERE run = ?", (run,))
    db.execute("UPDATE runs SET state = 'dropped' WHERE name = ?", (run,))
