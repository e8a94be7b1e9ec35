"""The schema of every table, checked at each read and write.

Tables are Parquet files named `<table>.parquet`. A table may be *open*: then further columns, one per attribute that
the data set carries (strings, numbers or booleans), follow the declared ones. Boxes are 0-based, half-open xyxy pixels.
A number that could not be computed is NaN and its row's `status` says why; ids that do not exist are null, never -1.
"""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import InputError
from tasks.tables.schemas import MAY_LACK, OPEN
from tasks.tables.schemas import SCHEMAS as SCHEMAS

CLEAN: Final = "clean"
"""The corruption and family of severity 0."""

VALIDATION: Final = "validation"
"""In `cells` alone, in the place of a corruption: clean frames of the validation split, for fitting, not for scores.

It is no cell of a run, so who looks cells up by their corruption never meets it; a column for the split would have to
be thought of by every reader.
"""

CROWDED: Final = "crowded"
"""In `latency` alone, in the place of a corruption: clean frames with the most objects, apart from those spread evenly.

As above: percentiles are of the cell that they are asked for, and never meet these.
"""

ALL: Final = "all"
"""`slice`, `class`, and in summaries `corruption` and `family`, for the whole."""

IGNORE: Final = 255
"""The semantic class id of pixels that count for nothing."""

NO_CLASS: Final = "none"
"""In `confusion`: the background of objects, and classes outside the data set's."""

UNKNOWN: Final = "Unknown"
"""In `answers`: what a classifier says of a frame from which it abstains."""

TASKS: Final = ("classification", "detection", "instance", "semantic", "tracking")

CALIBRATED: Final = ("classification", "detection", "instance")
"""Tasks whose confidences a temperature is fitted to."""

HEADLINE: Final[Mapping[str, str]] = {
    "classification": "accuracy",
    "detection": "map",
    "instance": "mask_map",
    "semantic": "miou",
    "tracking": "hota",
}
"""The metric of each task that mPC and rPC summarise."""

WRITERS: Final[Mapping[str, str]] = {
    "tables": "prepare",
    "predictions": "infer",
    "latency": "infer",
    "scores": "score",
    "realtime": "realtime",
    "gallery": "gallery",
}
"""The folders of a run, and the stage that makes each."""

STATUSES: Final = ("ok", "not_reached", "insufficient", "not_defined", "not_applicable", "incomplete", "failed")


def attributes(name: str, table: pd.DataFrame) -> list[str]:
    """The columns of an open table beyond its declared ones, in order."""
    return [column for column in table.columns if column not in SCHEMAS[name].names]


GALLERY_FORM: Final = 2
"""Of gallery/about.json; rises when the page reads something in it that earlier ones lack."""


def select(frames: pd.DataFrame, *, split: str | None = None, limit: int | None = None) -> pd.DataFrame:
    """The rows of `frames` that a run works on: one split, then the first whole clips that hold `limit` frames.

    Raises:
        InputError: nothing is left; the message names the splits there are.
    """
    chosen = frames if split is None else frames[frames["split"] == split]
    if chosen.empty:
        known = ", ".join(sorted(str(name) for name in frames["split"].dropna().unique())) or "none"
        raise InputError(f"dataset.split '{split}' holds no frame; splits of this data set: {known}.")
    if limit is not None:
        sizes = chosen.groupby("clip_id", sort=False).size()
        kept = sizes.index[(sizes.cumsum() - sizes) < limit]
        chosen = chosen[chosen["clip_id"].isin(kept)]
    return chosen.reset_index(drop=True)


def write(name: str, table: pd.DataFrame, path: Path) -> None:
    """Check `table` against the schema `name` and write it to `path`, whole or not at all.

    Rows are written in the order given; the same rows give the same bytes.

    Raises:
        InputError: a column is missing, unknown, of another type, or null where it may not be.
    """
    arrow = to_arrow(name, table, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        pq.write_table(arrow, temporary, compression="zstd")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def stream(name: str, path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Write the table `name` piece by piece, for tables that memory should not hold whole; all of it, or nothing.

    Yields:
        What appends rows, checked as `write` checks them.

    Raises:
        InputError: as `write`; from the call that appends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        with pq.ParquetWriter(temporary, SCHEMAS[name], compression="zstd") as writer:
            yield lambda rows: writer.write_table(to_arrow(name, rows, str(path)))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(name: str, path: Path, **only: str) -> pd.DataFrame:
    """Read the table `name` from `path` and check it against its schema.

    `only` names columns and the value that rows must have there to be read: memory holds no others.

    Nullable integer columns come as pandas' `Int32`/`Int64`, text as `object` with None for null.

    Raises:
        InputError: the file is missing or unreadable, or does not fit the schema.
    """
    if not path.exists():
        stage = WRITERS.get(path.parent.name)
        first = f"`stormglass {stage}`" if stage else "the stage that writes it"
        raise InputError(f"Expected the table '{name}' at {path}, found no file: run {first} first.")
    try:
        arrow = pq.read_table(path, filters=[(column, "=", value) for column, value in only.items()] or None)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} is not a readable Parquet file ({error}): delete it and run its stage again."
        ) from None
    return from_arrow(name, arrow, str(path))


def to_arrow(name: str, table: pd.DataFrame, where: str = "memory") -> pa.Table:
    """`table` as Arrow under the schema `name`; `where` names it in errors."""
    schema = SCHEMAS[name]
    lacking = [column for of, column in MAY_LACK if of == name and column not in table.columns]
    if lacking:
        table = table.assign(**dict.fromkeys(lacking))
    missing = [field.name for field in schema if field.name not in table.columns]
    if missing:
        raise InputError(f"{where}: table '{name}' lacks the column(s) {', '.join(missing)}.")
    extra = attributes(name, table)
    if extra and name not in OPEN:
        raise InputError(f"{where}: table '{name}' has no column(s) {', '.join(extra)}.")
    arrays, fields = [], []
    for field in schema:
        try:
            array = pa.array(table[field.name], type=field.type, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError) as error:
            raise InputError(f"{where}: column '{field.name}' of '{name}' is not {field.type}: {error}") from None
        if array.null_count and not field.nullable:
            row = int(np.flatnonzero(np.asarray(array.is_null()))[0])
            raise InputError(f"{where}: column '{field.name}' of '{name}' is empty in row {row}, which it may not be.")
        arrays.append(array)
        fields.append(field)
    for column in extra:
        try:
            array = pa.array(table[column], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(f"{where}: attribute '{column}' of '{name}' mixes types: {error}") from None
        if pa.types.is_null(array.type) or pa.types.is_large_string(array.type):
            array = array.cast(pa.string())
        arrays.append(array)
        fields.append(pa.field(column, array.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def from_arrow(name: str, arrow: pa.Table, where: str = "memory") -> pd.DataFrame:
    """The pandas form of an Arrow table after the check against the schema `name`."""
    schema = SCHEMAS[name]
    for of, column in MAY_LACK:
        if of == name and column not in arrow.column_names:
            place = schema.get_field_index(column)
            empty = pa.nulls(arrow.num_rows, schema.field(column).type)
            arrow = arrow.add_column(min(place, arrow.num_columns), schema.field(column), empty)
    for field in schema:
        if field.name not in arrow.column_names:
            raise InputError(
                f"{where}: table '{name}' lacks the column {field.name}: made by another version? Run again."
            )
        found = arrow.schema.field(field.name).type
        if found != field.type:
            raise InputError(f"{where}: column '{field.name}' of '{name}' is {found}, expected {field.type}.")
    data = {}
    for column in arrow.column_names:
        values = arrow[column]
        kind = values.type
        if pa.types.is_integer(kind) and (column not in schema.names or schema.field(column).nullable):
            data[column] = values.to_pandas(
                types_mapper={
                    pa.int64(): pd.Int64Dtype(),
                    pa.int32(): pd.Int32Dtype(),
                    pa.int16(): pd.Int16Dtype(),
                    pa.int8(): pd.Int8Dtype(),
                }.get
            )
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            data[column] = pd.Series(values.to_pylist(), dtype=object)
        else:
            data[column] = values.to_pandas()
    return pd.DataFrame(data)


def encode_label_map(label_map: npt.NDArray[np.uint8]) -> bytes:
    """A semantic map, uint8 (H, W), as lossless bytes: two little-endian uint16 (H, W), then zstd.

    Examples:
        >>> decode_label_map(encode_label_map(np.full((2, 3), 7, np.uint8))).tolist()
        [[7, 7, 7], [7, 7, 7]]
    """
    if label_map.ndim != 2 or label_map.dtype != np.uint8:
        raise ValueError(f"expected a uint8 map (H, W), got {label_map.dtype} {label_map.shape}")
    head = np.array(label_map.shape, dtype="<u2").tobytes()
    return head + bytes(pa.compress(np.ascontiguousarray(label_map), codec="zstd", asbytes=True))


def decode_label_map(data: bytes) -> npt.NDArray[np.uint8]:
    """The inverse of `encode_label_map`: uint8 (H, W)."""
    height, width = (int(n) for n in np.frombuffer(data[:4], dtype="<u2"))
    raw = pa.decompress(data[4:], decompressed_size=height * width, codec="zstd", asbytes=True)
    return np.frombuffer(raw, dtype=np.uint8).reshape(height, width)
