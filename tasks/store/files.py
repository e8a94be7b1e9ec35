"""Where the store's files lie: a local folder, or an object store or another place that fsspec reaches."""

import contextlib
import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from tasks.errors import InputError

STALE_S: Final = 3600.0
"""A temporary file this old was left by a killed writer: parts take milliseconds to write."""

_UNFIT: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})
"""What the system says where no try will write a part."""


class Files(Protocol):
    """What the store asks of a place. Names are relative paths."""

    def read(self, name: str) -> bytes:
        """A file's content; raises FileNotFoundError."""

    def size(self, name: str) -> int:
        """Its bytes; raises FileNotFoundError."""

    def write(self, files: Mapping[str, bytes], *, unless: Callable[[], bool]) -> None:
        """Write `files` in their order, each whole or not at all, unless that holds at the end."""

    def remove(self, name: str) -> None:
        """Remove a file, where it is there."""

    def fetch(self, name: str, destination: Path) -> None:
        """Put a file at `destination`; raises FileNotFoundError."""


class Local:
    """A folder.

    Raises:
        InputError: it is not there and cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        there = next(place for place in (root, *root.absolute().parents) if place.exists())
        if there != root and not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise InputError(f"run.store: cannot make the folder {root} in {there}: name another place for the parts.")
        for stale in root.glob("*/.*.part") if root.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - stale.stat().st_mtime > STALE_S:
                    stale.unlink()

    def read(self, name: str) -> bytes:
        """As `Files`."""
        try:
            return (self._root / name).read_bytes()
        except NotADirectoryError as error:  # something lies where the folder was
            raise FileNotFoundError(*error.args) from None

    def size(self, name: str) -> int:
        """As `Files`."""
        return (self._root / name).stat().st_size

    def write(self, files: Mapping[str, bytes], *, unless: Callable[[], bool]) -> None:
        """As `Files`; raises InputError where no try will write there."""
        temporary = {}
        try:
            for name, data in files.items():
                final = self._root / name
                final.parent.mkdir(parents=True, exist_ok=True)
                path = final.with_name(f".{final.name}.{uuid.uuid4().hex}.part")
                path.write_bytes(data)
                temporary[path] = final
            with self._locked():  # else two writers of a key could leave one's file beside the other's record
                if not unless():
                    for path, final in temporary.items():
                        path.replace(final)
        except OSError as error:
            if error.errno not in _UNFIT:
                raise
            raise InputError(
                f"run.store: cannot write parts to {self._root} ({error.strerror}): name another folder or change its "
                "rights."
            ) from None
        finally:
            for path in temporary:
                path.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """As `Files`."""
        (self._root / name).unlink(missing_ok=True)

    def fetch(self, name: str, destination: Path) -> None:
        """As `Files`: a hard link where the file system can, else a copy."""
        try:
            destination.hardlink_to(self._root / name)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(self._root / name, destination)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Held for the milliseconds of a few renames; the system lets go of it when its holder dies."""
        handle = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


class Remote:
    """Object stores put a file whole or not at all; where two writers mix, the checksum finds it."""

    def __init__(self, url: str) -> None:
        import fsspec  # heavy for the local case, which needs none of it

        self._system, self._root = fsspec.core.url_to_fs(url)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes:
        """As `Files`."""
        return bytes(self._system.cat_file(self._path(name)))

    def size(self, name: str) -> int:
        """As `Files`."""
        self._system.invalidate_cache(self._system._parent(self._path(name)))
        return int(self._system.size(self._path(name)))

    def write(self, files: Mapping[str, bytes], *, unless: Callable[[], bool]) -> None:
        """As `Files`."""
        if unless():
            return
        for name, data in files.items():
            path = self._path(name)
            self._system.makedirs(self._system._parent(path), exist_ok=True)
            self._system.pipe_file(path, data)

    def remove(self, name: str) -> None:
        """As `Files`."""
        with contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._path(name))

    def fetch(self, name: str, destination: Path) -> None:
        """As `Files`."""
        destination.write_bytes(self.read(name))
