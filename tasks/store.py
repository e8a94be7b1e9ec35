"""The part store: what one model said of one shard under one corruption, found again by the hash of what decided it.

A part is three files: `<aa>/<key>.parquet` (table `predictions`), `<key>.timings.parquet` (facts of the run that made
it) and `<key>.json`, the record: the table's sha256 and size, in plain words what the key hashed, and what is known of
the clips as a codec left them. The record is written last, so a part without one does not exist; whatever kills a
writer leaves no half part.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import tables
from tasks.errors import InputError

LOGGER = logging.getLogger(__name__)

Coding: TypeAlias = Mapping[str, Mapping[str, float]]
"""By clip: facts (unit in the name, `bitrate_kbps`) to values."""

STALE_S: Final = 3600.0
"""A temporary file this old was left by a killed writer: parts take milliseconds to write."""


_UNFIT: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})
"""What the system says where no try will write a part."""


class DamagedPart(OSError):
    """A part's file does not agree with its record; it has been removed and must be computed again."""


def part_key(decided_by: Mapping[str, Any]) -> str:
    """The key of a part: sha256 (hex) of the canonical JSON of what decides its content.

    Examples:
        >>> part_key({"a": 1, "b": 2}) == part_key({"b": 2, "a": 1})
        True
    """
    text = json.dumps(decided_by, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """Parts below a local folder or any fsspec URL that all workers reach.

    Raises:
        InputError: a local folder that is not there and cannot be made.
    """

    def __init__(self, url: str | Path) -> None:
        text = str(url)
        self.url = text
        local = "://" not in text or text.startswith("file://")
        self._files: _Files = _Local(Path(text.removeprefix("file://"))) if local else _Remote(text)

    def has(self, key: str, *, verify: bool = False) -> bool:
        """Whether the part is here: record and file agree in size and, with `verify`, in sha256.

        A part whose file does not agree is removed, and the log says so.
        """
        try:
            self._checked(key, read=verify)
        except (FileNotFoundError, DamagedPart):
            return False
        return True

    def put(
        self,
        key: str,
        predictions: pd.DataFrame,
        timings: pd.DataFrame,
        decided_by: Mapping[str, Any],
        coding: Coding | None = None,
    ) -> None:
        """Store a part, whole or not at all. Of two writers of one key, the second's work is dropped.

        Args:
            key: `part_key(decided_by)`.
            predictions: the table `predictions`.
            timings: the table `timings`.
            decided_by: what the key hashed; kept in the record for people.
            coding: facts of coded clips; kept in the record.

        Raises:
            InputError: nothing can be written there.
        """
        data = _parquet("predictions", predictions)
        record = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "decided_by": decided_by}
        if coding:
            record["coding"] = coding
        files = {
            _name(key, ".timings.parquet"): _parquet("timings", timings),
            _name(key, ".parquet"): data,
            _name(key, ".json"): json.dumps(record, sort_keys=True, indent=1).encode(),
        }
        self._files.write(files, unless=lambda: self.has(key))

    def get(self, key: str) -> pd.DataFrame:
        """The part's table.

        Raises:
            FileNotFoundError: there is no such part.
            DamagedPart: its file does not agree with its record.
        """
        data, _ = self._checked(key, read=True)
        return tables.from_arrow("predictions", _arrow(data), f"part {key}")

    def timings(self, key: str) -> pd.DataFrame:
        """The part's timings; empty when they are gone."""
        try:
            data = self._files.read(_name(key, ".timings.parquet"))
        except FileNotFoundError:
            return pd.DataFrame(columns=tables.SCHEMAS["timings"].names)
        return tables.from_arrow("timings", _arrow(data), f"timings of part {key}")

    def coding(self, key: str) -> Coding:
        """Facts of the part's clips as a codec left them; empty without a codec, or without the part."""
        try:
            found: Coding = json.loads(self._files.read(_name(key, ".json"))).get("coding", {})
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def keep(self, name: str, key: str, rows: pd.DataFrame) -> None:
        """Store facts that are no part, whole or not at all: the table `name`. What is there under the key stays."""
        file = _name(key, f".{name}.parquet")
        self._files.write({file: _parquet(name, rows)}, unless=lambda: self.kept_arrow(name, key) is not None)

    def kept(self, name: str, key: str) -> pd.DataFrame | None:
        """The facts that were stored under the key; None where there are none, or none that can be read."""
        rows = self.kept_arrow(name, key)
        return None if rows is None else tables.from_arrow(name, rows, f"facts {key}")

    def kept_arrow(self, name: str, key: str) -> pa.Table | None:
        """As `kept`, for those who join many of them."""
        try:
            rows = _arrow(self._files.read(_name(key, f".{name}.parquet")))
        except (FileNotFoundError, pa.ArrowInvalid):
            return None
        return rows if rows.schema.equals(tables.SCHEMAS[name]) else None

    def link(self, key: str, destination: Path) -> None:
        """Put the part's file at `destination`: a hard link where the file system can, else a copy.

        Raises:
            FileNotFoundError: there is no such part.
            DamagedPart: its file does not agree with its record.
        """
        self._checked(key, read=True)
        destination.parent.mkdir(parents=True, exist_ok=True)
        self._files.fetch(_name(key, ".parquet"), destination)

    def _checked(self, key: str, *, read: bool) -> tuple[bytes, dict[str, Any]]:
        """The part's bytes (empty unless `read`) and record, if both agree."""
        try:
            record = json.loads(self._files.read(_name(key, ".json")))
            expected, size = str(record["sha256"]), int(record["bytes"])
        except (ValueError, KeyError, TypeError):
            raise self._damaged(key, "its record is not readable") from None
        data = b""
        try:
            if self._files.size(_name(key, ".parquet")) != size:
                raise self._damaged(key, f"its file does not hold the {size} bytes of its record")
            if read:
                data = self._files.read(_name(key, ".parquet"))
        except FileNotFoundError:
            raise self._damaged(key, "its file is gone") from None
        if read and hashlib.sha256(data).hexdigest() != expected:
            raise self._damaged(key, "its file's sha256 is not that of its record")
        return data, record

    def _damaged(self, key: str, why: str) -> DamagedPart:
        message = f"Part {key[:12]} of the store {self.url} was damaged ({why}): removed, to be computed again."
        LOGGER.warning(message)
        for ending in (".json", ".parquet", ".timings.parquet"):  # the record first: half removed is absent
            self._files.remove(_name(key, ending))
        return DamagedPart(message)


def _name(key: str, ending: str) -> str:
    return f"{key[:2]}/{key}{ending}"


def _parquet(name: str, table: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(tables.to_arrow(name, table, "a part"), sink, compression="zstd", use_dictionary=False)
    return bytes(sink.getvalue())


def _arrow(data: bytes) -> pa.Table:
    # Parts are small: `read_table`, which looks for a data set and starts threads, takes twice as long.
    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)


class _Condition(Protocol):
    def __call__(self) -> bool: ...


class _Files(Protocol):
    """What the store asks of a place: names are relative, `read`, `size` and `fetch` raise FileNotFoundError."""

    def read(self, name: str) -> bytes: ...
    def size(self, name: str) -> int: ...
    def write(self, files: Mapping[str, bytes], *, unless: _Condition) -> None: ...
    def remove(self, name: str) -> None: ...
    def fetch(self, name: str, destination: Path) -> None: ...


class _Local:
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
        try:
            return (self._root / name).read_bytes()
        except NotADirectoryError as error:  # something lies where the folder was
            raise FileNotFoundError(*error.args) from None

    def size(self, name: str) -> int:
        return (self._root / name).stat().st_size

    def write(self, files: Mapping[str, bytes], *, unless: _Condition) -> None:
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
        (self._root / name).unlink(missing_ok=True)

    def fetch(self, name: str, destination: Path) -> None:
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


class _Remote:
    """Object stores put a file whole or not at all; where two writers mix, the checksum finds it."""

    def __init__(self, url: str) -> None:
        import fsspec  # heavy for the local case, which needs none of it

        self._system, self._root = fsspec.core.url_to_fs(url)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes:
        return bytes(self._system.cat_file(self._path(name)))

    def size(self, name: str) -> int:
        self._system.invalidate_cache(self._system._parent(self._path(name)))
        return int(self._system.size(self._path(name)))

    def write(self, files: Mapping[str, bytes], *, unless: _Condition) -> None:
        if unless():
            return
        for name, data in files.items():
            path = self._path(name)
            self._system.makedirs(self._system._parent(path), exist_ok=True)
            self._system.pipe_file(path, data)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._path(name))

    def fetch(self, name: str, destination: Path) -> None:
        destination.write_bytes(self.read(name))
