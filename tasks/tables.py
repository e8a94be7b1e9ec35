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

CLEAN: Final = "clean"
"""The corruption and family of severity 0."""

VALIDATION: Final = "validation"
"""In `cells` alone, in the place of a corruption: clean frames of the validation split, for fitting, not for scores.

It is no cell of a run, so who looks cells up by their corruption never meets it; a column for the split would have to
be thought of by every reader.
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

STATUSES: Final = ("ok", "not_reached", "insufficient", "not_defined", "not_applicable", "incomplete", "failed")


def _field(name: str, kind: pa.DataType, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null)


_BOX = ("x0_px", "y0_px", "x1_px", "y1_px")
_CELL = [
    _field("corruption", pa.string()),
    _field("family", pa.string()),
]

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    # One row per frame of the data set; a still is a clip of one frame. Ordered by clip, then frame_index.
    "frames": pa.schema(
        [
            _field("frame_id", pa.int64()),
            _field("clip_id", pa.string()),
            _field("frame_index", pa.int32()),
            _field("split", pa.string(), null=True),
            _field("source_file", pa.string()),  # relative to the data set's folder
            _field("source_member", pa.string(), null=True),  # a file inside a tar
            _field("source_index", pa.int32(), null=True),  # a frame inside a video
            _field("width_px", pa.int32()),
            _field("height_px", pa.int32()),
            _field("label_id", pa.int32(), null=True),
            _field("timestamp_s", pa.float64(), null=True),
        ]
    ),
    # Truth, one row per annotated object.
    "objects": pa.schema(
        [
            _field("object_id", pa.int64()),
            _field("frame_id", pa.int64()),
            _field("class_id", pa.int32()),
            *[_field(name, pa.float64()) for name in _BOX],
            _field("area_px", pa.float64()),  # as annotated: COCO's size ranges go by it
            _field("mask", pa.binary(), null=True),  # COCO's compressed RLE at the frame's size
            _field("track_id", pa.int64(), null=True),
            _field("crowd", pa.bool_()),
            _field("ignore", pa.bool_()),
            _field("occlusion", pa.float32(), null=True),  # hidden share, 0..1
            _field("truncation", pa.float32(), null=True),  # share outside the frame, 0..1
        ]
    ),
    # Semantic truth, one row per frame that has it.
    "semantic": pa.schema([_field("frame_id", pa.int64()), _field("label_map", pa.binary())]),
    # What each frame looks like (tasks/quality.py, where the units are), one row per frame in the order of `frames`.
    # Null: the frame is too small to tell.
    "quality": pa.schema(
        [
            _field("frame_id", pa.int64()),
            _field("brightness", pa.float64()),  # mean luma, grey levels 0..255
            _field("contrast", pa.float64()),  # standard deviation of luma, grey levels
            _field("sharpness", pa.float64(), null=True),  # variance of the Laplacian, squared grey levels
            _field("noise", pa.float64(), null=True),  # sigma, grey levels
            _field("blockiness", pa.float64(), null=True),  # ratio, about 1 without blocks
            _field("crowding", pa.int32()),  # objects annotated in the frame, without crowds and ignored ones
        ]
    ),
    # What ids mean. kind: object | semantic | label.
    "classes": pa.schema([_field("kind", pa.string()), _field("class_id", pa.int32()), _field("name", pa.string())]),
    # A part's rows: instances carry class_id, score and box; a frame's own outputs (label_map, probabilities) are one
    # further row with those null. Ordered by frame as in `frames`, then by descending score.
    "predictions": pa.schema(
        [
            _field("prediction_id", pa.int64()),
            _field("frame_id", pa.int64()),
            _field("class_id", pa.int32(), null=True),  # the model's own
            # float64: networks give float32, but other systems' files hold more, and pycocotools compares it all.
            _field("score", pa.float64(), null=True),
            *[_field(name, pa.float64(), null=True) for name in _BOX],
            _field("mask", pa.binary(), null=True),
            _field("track_id", pa.int64(), null=True),
            _field("label_map", pa.binary(), null=True),
            _field("probabilities", pa.list_(pa.float32()), null=True),
        ]
    ),
    # Beside the predictions, in no digest.
    "timings": pa.schema(
        [
            _field("frame_id", pa.int64()),  # the first of the batch
            _field("n_frames", pa.int32()),
            _field("stage", pa.string()),  # decode | corrupt | infer | track
            _field("ms", pa.float64()),
        ]
    ),
    # What `infer` was asked for and what became of it: one row per model, corruption, severity and shard.
    "cells": pa.schema(
        [
            _field("model", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("strength", pa.float64(), null=True),
            _field("strength_unit", pa.string(), null=True),
            _field("shard", pa.string()),
            _field("part", pa.string(), null=True),  # the file, relative to predictions/
            _field("status", pa.string()),  # ok | failed | not_applicable
            _field("message", pa.string(), null=True),
        ]
    ),
    # Long and tidy: the contract between measuring and publishing.
    "scores": pa.schema(
        [
            _field("model", pa.string()),
            _field("baseline", pa.string(), null=True),  # set: value is model minus baseline
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16(), null=True),  # 0 clean; null for summaries
            _field("strength", pa.float64(), null=True),
            _field("strength_unit", pa.string(), null=True),
            _field("slice", pa.string()),
            _field("class", pa.string()),
            _field("metric", pa.string()),
            _field("value", pa.float64(), null=True),
            _field("low", pa.float64(), null=True),
            _field("high", pa.float64(), null=True),
            _field("p_value", pa.float64(), null=True),
            _field("q_value", pa.float64(), null=True),
            _field("n_units", pa.int32()),
            _field("n_frames", pa.int32()),
            _field("n_objects", pa.int32()),
            _field("status", pa.string()),
            _field("note", pa.string(), null=True),  # of a status: `74 of 75 cells`
        ]
    ),
    # The headline of each cell, slice (or class) in every resample: what paired differences are made from, also with
    # another revision's, for the weights follow from the ids of the sampling units alone.
    "replicates": pa.schema(
        [
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("slice", pa.string()),
            _field("class", pa.string()),
            _field("metric", pa.string()),
            _field("values", pa.list_(pa.float32())),
        ]
    ),
    # What is taken for what: objects (a detector's at its operating threshold and IoU 0.5), pixels or labelled frames.
    "confusion": pa.schema(
        [
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("true_class", pa.string()),
            _field("predicted_class", pa.string()),
            _field("count", pa.int64()),
        ]
    ),
    # As `confusion`, of labelled frames, when a classifier says "Unknown" below the confidence `abstain_below`.
    "answers": pa.schema(
        [
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("true_class", pa.string()),
            _field("predicted_class", pa.string()),
            _field("count", pa.int64()),
        ]
    ),
    # How often a confidence is right: frames by that of their label, detections by their score (right: an object at IoU
    # 0.5), in 15 equal bins that hold their lower edge, and one for exactly 1. Empty bins are left out.
    "reliability": pa.schema(
        [
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("low", pa.float64()),
            _field("high", pa.float64()),
            _field("count", pa.int64()),
            _field("confidence", pa.float64()),  # their mean
            _field("accuracy", pa.float64()),  # share that is right
        ]
    ),
    # What matching found, so that any reader can reduce it again: one row for each detection that counts at all (COCO's
    # 100 best of a frame and class), by class, then falling score (COCO's order), and one for each object missed.
    "matches": pa.schema(
        [
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("frame_id", pa.int64()),
            _field("class_id", pa.int32()),  # the data set's
            _field("score", pa.float64(), null=True),  # null: an object that was missed
            _field("hits", pa.int8(), null=True),  # at how many of the thresholds .50:.05:.95 it found an object
            _field("hit_bits", pa.int16(), null=True),  # at which: bit 0 is 0.50
            _field("counted_bits", pa.int16(), null=True),  # at which it counts: not where it met an ignored region
            _field("error_kind", pa.string()),  # found | ignored | cls | loc | both | dupe | bkg | miss, at IoU 0.5
            _field("object_id", pa.int64(), null=True),  # what it found or was meant for; the object missed
        ]
    ),
    # Identity switches one by one, as CLEAR counts them over all classes.
    "switches": pa.schema(
        [
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("clip_id", pa.string()),
            _field("frame_id", pa.int64()),
            _field("true_track", pa.int64()),  # the track_id of `objects`
            _field("track_before", pa.int64()),  # the track_id of `predictions`
            _field("track_now", pa.int64()),
            _field("class", pa.string()),
            _field("circumstance", pa.string()),  # re_entry | crossing | occlusion | missed | none
        ]
    ),
    # What the gallery picks from: one row per model, task, cell and frame.
    "examples": pa.schema(
        [
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("frame_id", pa.int64()),
            _field("score", pa.float64(), null=True),  # 0..1, 1 is best
            _field("error_kind", pa.string(), null=True),
            _field("evidence", pa.string(), null=True),  # one sentence
        ]
    ),
    # The pictures of the report.
    "gallery": pa.schema(
        [
            _field("example_id", pa.string()),
            _field("model", pa.string()),
            _field("task", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("strength", pa.float64(), null=True),
            _field("strength_unit", pa.string(), null=True),
            _field("frame_id", pa.int64()),
            _field("clip_id", pa.string()),
            _field("frame_index", pa.int32()),
            _field("pick", pa.string()),  # worst | random | strip | same_frame (picked for another model or task)
            _field("score", pa.float64(), null=True),
            _field("error_kind", pa.string(), null=True),
            _field("evidence", pa.string(), null=True),
            _field("clean_file", pa.string()),  # relative to gallery/
            _field("corrupted_file", pa.string()),
            _field("truth_file", pa.string(), null=True),  # semantic: coloured label maps
            _field("prediction_file", pa.string(), null=True),
            _field("difference_file", pa.string(), null=True),
            _field("width_px", pa.int32()),  # of the pictures as stored
            _field("height_px", pa.int32()),
            _field("overlay", pa.string()),  # JSON: boxes of truth and prediction in picture pixels, or labels
        ]
    ),
}

_OPEN: Final = frozenset({"frames", "objects"})

_MAY_LACK: Final = frozenset({("frames", "timestamp_s")})
"""Columns that a table may do without, as if they were empty: earlier versions wrote none."""


def attributes(name: str, table: pd.DataFrame) -> list[str]:
    """The columns of an open table beyond its declared ones, in order."""
    return [column for column in table.columns if column not in SCHEMAS[name].names]


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


def read(name: str, path: Path) -> pd.DataFrame:
    """Read the table `name` from `path` and check it against its schema.

    Nullable integer columns come as pandas' `Int32`/`Int64`, text as `object` with None for null.

    Raises:
        InputError: the file is missing or unreadable, or does not fit the schema.
    """
    if not path.exists():
        raise InputError(f"Expected the table '{name}' at {path}, found no file: run the stage that writes it first.")
    try:
        arrow = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} is not a readable Parquet file ({error}): delete it and run its stage again."
        ) from None
    return from_arrow(name, arrow, str(path))


def to_arrow(name: str, table: pd.DataFrame, where: str = "memory") -> pa.Table:
    """`table` as Arrow under the schema `name`; `where` names it in errors."""
    schema = SCHEMAS[name]
    lacking = [column for of, column in _MAY_LACK if of == name and column not in table.columns]
    if lacking:
        table = table.assign(**dict.fromkeys(lacking))
    missing = [field.name for field in schema if field.name not in table.columns]
    if missing:
        raise InputError(f"{where}: table '{name}' lacks the column(s) {', '.join(missing)}.")
    extra = attributes(name, table)
    if extra and name not in _OPEN:
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
    for of, column in _MAY_LACK:
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
