"""The folders of runs: written hidden, renamed when whole, and a lock for each that its writer's death lets go of.

The lock knows nothing of process ids that were given again, or of clocks. A process that was forked off holds it too,
and keeps the run open where it outlives its parent.
"""

import fcntl
import os
import re
import shutil
from pathlib import Path
from typing import Final

from tasks.errors import InputError

_NAME: Final = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


class Folders:
    """Below `root`: `<run>/` whole, `.<run>/` being written or removed, `.<run>.lock` held by its writer."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def whole(self, run: str) -> Path:
        """Where a run's folder is once it is whole."""
        return self.root / run

    def hidden(self, run: str) -> Path:
        """Where it is until then."""
        return self.root / f".{run}"

    def hold(self, run: str) -> int:
        """Take the lock of a new run; the file descriptor that holds it.

        Raises:
            InputError: the file system keeps no locks.
        """
        file = os.open(self._lock(run), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            raise InputError(
                f"footage.runs: {self.root} keeps no locks ({error.strerror}): name a folder on a local disk, or on a "
                "shared one with locks such as NFS 4."
            ) from None
        return file

    def held(self, run: str) -> bool:
        """Whether somebody holds the run's lock, on this machine or another that shares the disk."""
        try:
            file = os.open(self._lock(run), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: several may ask at once
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def publish(self, run: str) -> Path:
        """Bring everything in a run's hidden folder to the disk, then give it its name, which is returned."""
        hidden, whole = self.hidden(run), self.whole(run)
        for folder, _, files in os.walk(hidden):
            for name in files:
                _to_disk(Path(folder) / name)
            _to_disk(Path(folder))
        hidden.rename(whole)
        _to_disk(self.root)
        return whole

    def remove(self, run: str) -> None:
        """Remove what there is of a run that nobody writes. Seen from outside, its folder goes all at once."""
        if self.whole(run).is_dir():
            self.whole(run).rename(self.hidden(run))
        self.tidy(run)

    def tidy(self, run: str) -> None:
        """Remove a run's hidden folder and lock, and leave what is whole."""
        shutil.rmtree(self.hidden(run), ignore_errors=True)  # what another process removes meanwhile is gone as well
        self._lock(run).unlink(missing_ok=True)

    def names(self) -> set[str]:
        """Runs that have a whole folder."""
        return {path.name for path in self.root.iterdir() if _NAME.fullmatch(path.name)}

    def unfinished(self) -> set[str]:
        """Runs that have a hidden folder or a lock."""
        found = {path.name.removeprefix(".").removesuffix(".lock") for path in self.root.glob(".*")}
        return {name for name in found if _NAME.fullmatch(name)}

    def _lock(self, run: str) -> Path:
        return self.root / f".{run}.lock"


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
