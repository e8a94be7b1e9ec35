"""A SQLite file whose every change is whole, on the disk when it is made, and waits for those of other processes.

SQLite undoes what a killed process left half done. No connection outlives its transaction, so that any thread may use
the file, and a process that is forked takes none along. Several machines may share it where their file system keeps
locks between them (NFS 4 does).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tasks.errors import InputError, WorkFailed

FORM: Final = 1
"""Of the file; rises when its tables change."""

WAIT_S: Final = 60.0
"""How long a change waits for another process's, which takes milliseconds."""

_TABLES: Final = (
    # State: open | whole | dropped. A name is never given twice.
    "CREATE TABLE runs (name TEXT PRIMARY KEY, state TEXT NOT NULL, begun_utc TEXT NOT NULL, finished_utc TEXT, "
    "host TEXT NOT NULL, pid INTEGER NOT NULL)",
    # Without a run: new, or given back. `started`: work has begun on it and not ended. `crashes`: how often it so died.
    "CREATE TABLE clips (sha256 TEXT PRIMARY KEY, clip_id TEXT NOT NULL, camera TEXT NOT NULL, file TEXT NOT NULL, "
    "bytes INTEGER NOT NULL, received_utc TEXT NOT NULL, run TEXT REFERENCES runs (name), status TEXT, reason TEXT, "
    "started INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX clips_run ON clips (run)",
    "CREATE INDEX clips_clip_id ON clips (clip_id)",
    # What was read under which name: a file that has not changed is not read again.
    "CREATE TABLE files (place TEXT PRIMARY KEY, size INTEGER NOT NULL, stamp TEXT NOT NULL, sha256 TEXT NOT NULL)",
    "CREATE INDEX files_stamp ON files (stamp, size)",
    "CREATE TABLE history (run TEXT NOT NULL REFERENCES runs (name), camera TEXT NOT NULL, signal TEXT NOT NULL, "
    "value REAL, PRIMARY KEY (run, camera, signal)) WITHOUT ROWID",
)


class Database:
    """One file, made when it is missing.

    Raises:
        InputError: from every use: the file is no ledger of this version, or cannot be written.
        WorkFailed: from every use: another process keeps it locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.changing() as db:
            (form,) = db.execute("PRAGMA user_version").fetchone()
            if form == 0:
                for statement in _TABLES:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {FORM}")
            elif form != FORM:
                raise InputError(f"{path} was written by another version (form {form}, expected {FORM}): move it away.")

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: whole when the block ends, undone when it raises or the process dies."""
        try:
            db = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
            try:
                db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            finally:
                db.close()  # undoes what was not committed
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise WorkFailed(
                    f"{self.path}: another process has kept it locked for {WAIT_S:.0f} s: try again."
                ) from None
            raise InputError(
                f"{self.path} cannot be written ({error}): footage.runs must be a folder of one's own."
            ) from None
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path} is not a readable ledger ({error}): put a copy of it back, or move it away, and "
                "everything in the inbox is new again."
            ) from None
