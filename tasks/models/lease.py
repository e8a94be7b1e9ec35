"""What a run started and pays for, written down so that it is stopped even after a `kill -9`.

A lease is a file in the user's state folder, for what costs money belongs to an account and not to a project. Its
content says what is to be stopped; an empty one, that nothing is. Every process that uses the thing holds a shared lock
on the file. The system takes that away with the process, however it ends, so that whoever can have the file for itself
is the last one out, and content that nobody holds was left behind.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tasks.errors import InputError

_HOME: Final = "XDG_STATE_HOME"


class Lease:
    """One file. Opened by `hold` or by asking whether it is `alone`; `leave` closes it."""

    def __init__(self, path: Path) -> None:
        """`path`: of the file, which need not be there yet."""
        self.path = path
        self._file: int | None = None

    @classmethod
    def of(cls, kind: str, name: str) -> "Lease":
        """The lease of the one thing of a kind that has this name."""
        return cls(_folder(kind) / f"{hashlib.sha256(name.encode()).hexdigest()[:20]}.json")

    @classmethod
    def all(cls, kind: str) -> list["Lease"]:
        """Every lease of a kind that this user ever had."""
        return [cls(path) for path in sorted(_folder(kind).glob("*.json"))]

    def hold(self) -> None:
        """Be one of those that use it; waits while the last one out is stopping it.

        Raises:
            InputError: the file cannot be written.
        """
        fcntl.flock(self._opened(), fcntl.LOCK_SH)

    def alone(self) -> bool:
        """Whether no other process uses it. From then on none can until `leave`; where one does, this one no longer.

        Of several that ask at once one is told yes: a shared lock is given up before the other is asked for.
        """
        try:
            fcntl.flock(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Within the block no other process is in its own: of those that use it one at a time looks, and starts it."""
        file = os.open(self.path.with_suffix(".turn"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def read(self) -> dict[str, Any] | None:
        """What is to be stopped; None: nothing. Half a record is from before anything was started."""
        try:
            found = json.loads(os.pread(self._opened(), 1 << 16, 0))
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def write(self, record: dict[str, Any]) -> None:
        """Say what is to be stopped; on the disk when this returns. The file stays the one that is locked."""
        file = self._opened()
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(record).encode(), 0)
        os.fsync(file)

    def clear(self) -> None:
        """Nothing is to be stopped any more. The file stays: another process may be about to lock it."""
        os.ftruncate(self._opened(), 0)

    def leave(self) -> None:
        """Use it no longer."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise InputError(
                    f"{self.path} cannot be written ({error.strerror}); it says what was started and has to be "
                    f"stopped: name a folder for it in the environment variable {_HOME}."
                ) from None
        return self._file


def _folder(kind: str) -> Path:
    given = os.environ.get(_HOME)
    return (Path(given) if given else Path.home() / ".local" / "state") / "stormglass" / kind
