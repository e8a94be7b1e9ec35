"""The columns of the tables that say what is in a data set and what is true of it: what `prepare` writes."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa


def field(name: str, kind: pa.DataType, *, null: bool = False) -> pa.Field:
    """A column, which may be empty only where `null` says so."""
    return pa.field(name, kind, nullable=null)


BOX: Final = ("x0_px", "y0_px", "x1_px", "y1_px")
"""The columns of a box."""

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    # One row per frame of the data set; a still is a clip of one frame. Ordered by clip, then frame_index.
    "frames": pa.schema(
        [
            field("frame_id", pa.int64()),
            field("clip_id", pa.string()),
            field("frame_index", pa.int32()),
            field("split", pa.string(), null=True),
            field("source_file", pa.string()),  # relative to the data set's folder
            field("source_member", pa.string(), null=True),  # a file inside a tar
            field("source_index", pa.int32(), null=True),  # a frame inside a video
            field("width_px", pa.int32()),
            field("height_px", pa.int32()),
            field("label_id", pa.int32(), null=True),
            field("timestamp_s", pa.float64(), null=True),
        ]
    ),
    # Truth, one row per annotated object.
    "objects": pa.schema(
        [
            field("object_id", pa.int64()),
            field("frame_id", pa.int64()),
            field("class_id", pa.int32()),
            *[field(name, pa.float64()) for name in BOX],
            field("area_px", pa.float64()),  # as annotated: COCO's size ranges go by it
            field("mask", pa.binary(), null=True),  # COCO's compressed RLE at the frame's size
            field("track_id", pa.int64(), null=True),
            field("crowd", pa.bool_()),
            field("ignore", pa.bool_()),
            field("occlusion", pa.float32(), null=True),  # hidden share, 0..1
            field("truncation", pa.float32(), null=True),  # share outside the frame, 0..1
        ]
    ),
    # Semantic truth, one row per frame that has it.
    "semantic": pa.schema([field("frame_id", pa.int64()), field("label_map", pa.binary())]),
    # What each frame looks like (tasks/quality/luma.py, where the units are), one row per frame in the order of
    # `frames`. Null: the frame is too small to tell.
    "quality": pa.schema(
        [
            field("frame_id", pa.int64()),
            field("brightness", pa.float64()),  # mean luma, grey levels 0..255
            field("contrast", pa.float64()),  # standard deviation of luma, grey levels
            field("sharpness", pa.float64(), null=True),  # variance of the Laplacian, squared grey levels
            field("noise", pa.float64(), null=True),  # sigma, grey levels
            field("blockiness", pa.float64(), null=True),  # ratio, about 1 without blocks
            field("crowding", pa.int32()),  # objects annotated in the frame, without crowds and ignored ones
        ]
    ),
    # What ids mean. kind: object | semantic | label.
    "classes": pa.schema([field("kind", pa.string()), field("class_id", pa.int32()), field("name", pa.string())]),
}
