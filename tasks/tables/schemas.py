"""The columns of every table."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from tasks.tables import footage


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
    # What each frame looks like (tasks/quality/luma.py, where the units are), one row per frame in the order of
    # `frames`. Null: the frame is too small to tell.
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
    # What single frames cost a deployed model, and what running it takes: facts of one machine, in no digest of a part.
    # One row per frame and fact: decode_ms, preprocess_ms, infer_ms, postprocess_ms, track_ms and output_ms, idle_ms,
    # wall_ms, detections; per batch, apart from those: batch_ms; per model: peak_memory_mb and the like. MB are 10^6 B.
    "latency": pa.schema(
        [
            _field("model", pa.string()),
            *_CELL,
            _field("severity", pa.int16()),
            _field("device", pa.string(), null=True),
            _field("threads", pa.int32(), null=True),
            _field("batch_size", pa.int32(), null=True),
            _field("frame_id", pa.int64(), null=True),  # null: a fact of a batch, or of all frames
            _field("fact", pa.string()),  # its unit in the name
            _field("value", pa.float64(), null=True),
            _field("status", pa.string()),  # ok | not_applicable | failed
            _field("note", pa.string(), null=True),  # why there is no value
        ]
    ),
    # Facts of clips as a codec left them, whatever the model: bitrate_kbps, bits_per_pixel, qp_mean and the like.
    "coding": pa.schema(
        [
            *_CELL,
            _field("severity", pa.int16()),
            _field("clip_id", pa.string()),
            _field("fact", pa.string()),  # its unit in the name
            _field("value", pa.float64()),
        ]
    ),
    # By which waves corruptions moved the rows of frames sideways: the truth follows (tasks/displacement.py).
    "displacement": pa.schema(
        [
            *_CELL,
            _field("severity", pa.int16()),
            _field("frame_id", pa.int64()),
            _field("amplitude_px", pa.float64()),
            _field("period_px", pa.float64()),
            _field("phase_rad", pa.float64()),
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
    # What really shifted data cost and what corruptions that imitate the shift cost, by task and model: docs/scores.md.
    "shifts": pa.schema(
        [
            _field("shift", pa.string()),
            _field("figure", pa.string()),
            _field("task", pa.string(), null=True),  # null: of the data alone
            _field("model", pa.string(), null=True),  # null: of the data, or of all models together
            _field("corruption", pa.string(), null=True),
            _field("severity", pa.int16(), null=True),
            _field("side", pa.string(), null=True),  # shifted | reference
            _field("value", pa.float64(), null=True),
            _field("low", pa.float64(), null=True),
            _field("high", pa.float64(), null=True),
            _field("n_units", pa.int32(), null=True),  # of the smaller side that enters
            _field("status", pa.string()),
            _field("note", pa.string(), null=True),
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
    # 100 best of a frame and class), by class, then falling score (COCO's order), and one for each object missed as
    # TIDE means it: neither found nor meant by a box of another class or place.
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
    **footage.SCHEMAS,
}

OPEN: Final = frozenset({"frames", "objects"})

MAY_LACK: Final = frozenset({("frames", "timestamp_s")})
"""Columns that a table may do without, as if they were empty: earlier versions wrote none."""
