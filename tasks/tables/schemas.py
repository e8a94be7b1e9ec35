"""The columns of every table.

Here stand those of what models said and of what it is worth; the data set's and new footage's have files of their own.
"""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from tasks.tables import dataset, footage
from tasks.tables.dataset import BOX, field

_CELL = [
    field("corruption", pa.string()),
    field("family", pa.string()),
]
_OUTCOME = [  # of one model in one task of one cell
    field("model", pa.string()),
    field("task", pa.string()),
    *_CELL,
    field("severity", pa.int16()),
]
_COUNTS = pa.schema(
    [
        *_OUTCOME,
        field("true_class", pa.string()),
        field("predicted_class", pa.string()),
        field("count", pa.int64()),
    ]
)

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    **dataset.SCHEMAS,
    # A part's rows: instances carry class_id, score and box; a frame's own outputs (label_map, probabilities) are one
    # further row with those null. Ordered by frame as in `frames`, then by descending score.
    "predictions": pa.schema(
        [
            field("prediction_id", pa.int64()),
            field("frame_id", pa.int64()),
            field("class_id", pa.int32(), null=True),  # the model's own
            # float64: networks give float32, but other systems' files hold more, and pycocotools compares it all.
            field("score", pa.float64(), null=True),
            *[field(name, pa.float64(), null=True) for name in BOX],
            field("mask", pa.binary(), null=True),
            field("track_id", pa.int64(), null=True),
            field("label_map", pa.binary(), null=True),
            field("probabilities", pa.list_(pa.float32()), null=True),
        ]
    ),
    # Beside the predictions, in no digest.
    "timings": pa.schema(
        [
            field("frame_id", pa.int64()),  # the first of the batch
            field("n_frames", pa.int32()),
            field("stage", pa.string()),  # decode | corrupt | infer | track
            field("ms", pa.float64()),
        ]
    ),
    # What single frames cost a deployed model, and what running it takes: facts of one machine, in no digest of a part.
    # One row per frame and fact: decode_ms, preprocess_ms, infer_ms, postprocess_ms, track_ms and output_ms, idle_ms,
    # wall_ms, detections; per batch, apart from those: batch_ms; per model: peak_memory_mb and the like. MB are 10^6 B.
    "latency": pa.schema(
        [
            field("model", pa.string()),
            *_CELL,
            field("severity", pa.int16()),
            field("device", pa.string(), null=True),
            field("threads", pa.int32(), null=True),
            field("batch_size", pa.int32(), null=True),
            field("frame_id", pa.int64(), null=True),  # null: a fact of a batch, or of all frames
            field("fact", pa.string()),  # its unit in the name
            field("value", pa.float64(), null=True),
            field("status", pa.string()),  # ok | not_applicable | failed
            field("note", pa.string(), null=True),  # why there is no value
        ]
    ),
    # Facts of clips as a codec left them, whatever the model: bitrate_kbps, bits_per_pixel, qp_mean and the like.
    "coding": pa.schema(
        [
            *_CELL,
            field("severity", pa.int16()),
            field("clip_id", pa.string()),
            field("fact", pa.string()),  # its unit in the name
            field("value", pa.float64()),
        ]
    ),
    # By which waves corruptions moved the rows of frames sideways: the truth follows (tasks/displacement.py).
    "displacement": pa.schema(
        [
            *_CELL,
            field("severity", pa.int16()),
            field("frame_id", pa.int64()),
            field("amplitude_px", pa.float64()),
            field("period_px", pa.float64()),
            field("phase_rad", pa.float64()),
        ]
    ),
    # What `infer` was asked for and what became of it: one row per model, corruption, severity and shard.
    "cells": pa.schema(
        [
            field("model", pa.string()),
            *_CELL,
            field("severity", pa.int16()),
            field("strength", pa.float64(), null=True),
            field("strength_unit", pa.string(), null=True),
            field("shard", pa.string()),
            field("part", pa.string(), null=True),  # the file, relative to predictions/
            field("status", pa.string()),  # ok | failed | not_applicable
            field("message", pa.string(), null=True),
        ]
    ),
    # Long and tidy: the contract between measuring and publishing.
    "scores": pa.schema(
        [
            field("model", pa.string()),
            field("baseline", pa.string(), null=True),  # set: value is model minus baseline
            field("task", pa.string()),
            *_CELL,
            field("severity", pa.int16(), null=True),  # 0 clean; null for summaries
            field("strength", pa.float64(), null=True),
            field("strength_unit", pa.string(), null=True),
            field("slice", pa.string()),
            field("class", pa.string()),
            field("metric", pa.string()),
            field("value", pa.float64(), null=True),
            field("low", pa.float64(), null=True),
            field("high", pa.float64(), null=True),
            field("p_value", pa.float64(), null=True),
            field("q_value", pa.float64(), null=True),
            field("n_units", pa.int32()),
            field("n_frames", pa.int32()),
            field("n_objects", pa.int32()),
            field("status", pa.string()),
            field("note", pa.string(), null=True),  # of a status: `74 of 75 cells`
        ]
    ),
    # What really shifted data cost and what corruptions that imitate the shift cost, by task and model: docs/scores.md.
    "shifts": pa.schema(
        [
            field("shift", pa.string()),
            field("figure", pa.string()),
            field("task", pa.string(), null=True),  # null: of the data alone
            field("model", pa.string(), null=True),  # null: of the data, or of all models together
            field("corruption", pa.string(), null=True),
            field("severity", pa.int16(), null=True),
            field("side", pa.string(), null=True),  # shifted | reference
            field("value", pa.float64(), null=True),
            field("low", pa.float64(), null=True),
            field("high", pa.float64(), null=True),
            field("n_units", pa.int32(), null=True),  # of the smaller side that enters
            field("status", pa.string()),
            field("note", pa.string(), null=True),
        ]
    ),
    # The headline of each cell, slice (or class) in every resample: what paired differences are made from, also with
    # another revision's, for the weights follow from the ids of the sampling units alone.
    "replicates": pa.schema(
        [
            *_OUTCOME,
            field("slice", pa.string()),
            field("class", pa.string()),
            field("metric", pa.string()),
            field("values", pa.list_(pa.float32())),
        ]
    ),
    # What is taken for what: objects (a detector's at its operating threshold and IoU 0.5), pixels or labelled frames.
    "confusion": _COUNTS,
    # As `confusion`, of labelled frames, when a classifier says "Unknown" below the confidence `abstain_below`.
    "answers": _COUNTS,
    # How often a confidence is right: frames by that of their label, detections by their score (right: an object at IoU
    # 0.5), in 15 equal bins that hold their lower edge, and one for exactly 1. Empty bins are left out.
    "reliability": pa.schema(
        [
            *_OUTCOME,
            field("low", pa.float64()),
            field("high", pa.float64()),
            field("count", pa.int64()),
            field("confidence", pa.float64()),  # their mean
            field("accuracy", pa.float64()),  # share that is right
        ]
    ),
    # What matching found, so that any reader can reduce it again: one row for each detection that counts at all (COCO's
    # 100 best of a frame and class), by class, then falling score (COCO's order), and one for each object missed as
    # TIDE means it: neither found nor meant by a box of another class or place.
    "matches": pa.schema(
        [
            *_OUTCOME,
            field("frame_id", pa.int64()),
            field("class_id", pa.int32()),  # the data set's
            field("score", pa.float64(), null=True),  # null: an object that was missed
            field("hits", pa.int8(), null=True),  # at how many of the thresholds .50:.05:.95 it found an object
            field("hit_bits", pa.int16(), null=True),  # at which: bit 0 is 0.50
            field("counted_bits", pa.int16(), null=True),  # at which it counts: not where it met an ignored region
            field("error_kind", pa.string()),  # found | ignored | cls | loc | both | dupe | bkg | miss, at IoU 0.5
            field("object_id", pa.int64(), null=True),  # what it found or was meant for; the object missed
        ]
    ),
    # Identity switches one by one, as CLEAR counts them over all classes.
    "switches": pa.schema(
        [
            *_OUTCOME,
            field("clip_id", pa.string()),
            field("frame_id", pa.int64()),
            field("true_track", pa.int64()),  # the track_id of `objects`
            field("track_before", pa.int64()),  # the track_id of `predictions`
            field("track_now", pa.int64()),
            field("class", pa.string()),
            field("circumstance", pa.string()),  # re_entry | crossing | occlusion | missed | none
        ]
    ),
    # What the gallery picks from: one row per model, task, cell and frame.
    "examples": pa.schema(
        [
            *_OUTCOME,
            field("frame_id", pa.int64()),
            field("score", pa.float64(), null=True),  # 0..1, 1 is best
            field("error_kind", pa.string(), null=True),
            field("evidence", pa.string(), null=True),  # one sentence
        ]
    ),
    # The pictures of the report.
    "gallery": pa.schema(
        [
            field("example_id", pa.string()),
            *_OUTCOME,
            field("strength", pa.float64(), null=True),
            field("strength_unit", pa.string(), null=True),
            field("frame_id", pa.int64()),
            field("clip_id", pa.string()),
            field("frame_index", pa.int32()),
            field("pick", pa.string()),  # worst | random | strip | same_frame (picked for another model or task)
            field("score", pa.float64(), null=True),
            field("error_kind", pa.string(), null=True),
            field("evidence", pa.string(), null=True),
            field("clean_file", pa.string()),  # relative to gallery/
            field("corrupted_file", pa.string()),
            field("truth_file", pa.string(), null=True),  # semantic: coloured label maps
            field("prediction_file", pa.string(), null=True),
            field("difference_file", pa.string(), null=True),
            field("width_px", pa.int32()),  # of the pictures as stored
            field("height_px", pa.int32()),
            field("overlay", pa.string()),  # JSON: boxes of truth and prediction in picture pixels, or labels
        ]
    ),
    **footage.SCHEMAS,
}

OPEN: Final = frozenset({"frames", "objects"})

MAY_LACK: Final = frozenset({("frames", "timestamp_s")})
"""Columns that a table may do without, as if they were empty: earlier versions wrote none."""
