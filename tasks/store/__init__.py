"""The part store: what one model said of one shard under one corruption, found again by the hash of what decided it.

A part is three files: `<aa>/<key>.parquet` (table `predictions`), `<key>.timings.parquet` (facts of the run that made
it) and `<key>.json`, the record: the table's sha256 and size, in plain words what the key hashed, and what is known of
the clips as a codec left them. The record is written last, so a part without one does not exist; whatever kills a
writer leaves no half part.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import tables
from tasks.store.files import Files, Local, Remote

LOGGER = logging.getLogger(__name__)

Coding: TypeAlias = Mapping[str, Mapping[str, float]]
"""By clip: facts (unit in the name, `bitrate_kbps`) to values."""


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
        self._files: Files = Local(Path(text.removeprefix("file://"))) if local else Remote(text)

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
