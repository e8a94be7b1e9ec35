"""The columns of the tables that say what new footage was like: what a scan writes, and what `infer` measures for it.

Times are UTC, ISO 8601 with Z; `t_s` is seconds from a clip's start; `run` names a scan by its time, and `clip_id` is
the first 16 hex digits of a file's sha256.
"""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int64(), pa.float64()


def _schema(columns: Mapping[str, pa.DataType], *, null: frozenset[str] = frozenset()) -> pa.Schema:
    """A schema whose columns named in `null` may be empty."""
    return pa.schema([pa.field(name, kind, nullable=name in null) for name, kind in columns.items()])


_CLIP = {"clip_id": _TEXT, "camera": _TEXT}
_FEATURES = _schema(
    {**_CLIP, "t_s": _NUMBER, "feature": _TEXT, "value": _NUMBER},  # t_s: where the window starts
    null=frozenset({"value"}),  # what the window does not tell
)

_FRAME = dict.fromkeys(
    (
        "brightness", "contrast", "sharpness", "noise", "blockiness", "blur", "detail", "haze", "dark_share",
        "bright_share", "entropy", "cast_a", "cast_b", "colourfulness", "grain", "impulses", "edge_density",
        "local_contrast", "anisotropy", "flat_share",
    ),
    _NUMBER,
)  # fmt: skip
"""What a frame looks like (tasks/quality/frame.py, where the units are). Null: the frame is too small to tell."""

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    # What became of each file that a scan took.
    "footage_clips": _schema(
        {
            "run": _TEXT,
            **_CLIP,
            "file": _TEXT,  # as listed
            "bytes": _WHOLE,
            "received_utc": _TEXT,
            "status": _TEXT,  # ok | quarantined | failed
            "reason": _TEXT,  # of a status other than ok
            "duration_s": _NUMBER,
            "n_frames": _WHOLE,
            "width_px": pa.int32(),
            "height_px": pa.int32(),
            "frame_rate": _NUMBER,
            "codec": _TEXT,
            "bitrate_kbps": _NUMBER,
        },
        null=frozenset(
            {"reason", "duration_s", "n_frames", "width_px", "height_px", "frame_rate", "codec", "bitrate_kbps"}
        ),
    ),
    # Files of the inbox that the scan left alone, and why.
    "footage_left": _schema(
        {"file": _TEXT, "reason": _TEXT, "since_utc": _TEXT},  # since_utc: it lies there as it is
        null=frozenset({"since_utc"}),  # not known
    ),
    # Sampled frames of clips from when all was well with a camera, as far as is known: its reference.
    "footage_first": _schema({**_CLIP, "received_utc": _TEXT, "t_s": _NUMBER, **_FRAME}, null=frozenset(_FRAME)),
    # Means over windows of a clip: of what its frames and stream look like, and of what the model says of them.
    "footage_input": _FEATURES,
    "footage_output": _FEATURES,
    # How far each feature of a camera's footage lies from the validated run's.
    "footage_drift": _schema(
        {
            "camera": _TEXT,
            "kind": _TEXT,  # input | output
            "feature": _TEXT,
            "statistic": _TEXT,  # psi | ks | wasserstein
            "value": _NUMBER,
            "p_value": _NUMBER,
            "q_value": _NUMBER,  # corrected for the number of tests
            "low": _NUMBER,  # the band of the reference's window means
            "high": _NUMBER,
            "share_outside": _NUMBER,  # of the footage's windows
            "n": _WHOLE,  # windows
            "status": _TEXT,  # inside | outside | insufficient | no_reference
        },
        null=frozenset({"value", "p_value", "q_value", "low", "high", "share_outside"}),
    ),
    # The accuracy to expect of each clip, by what cells that look like it scored.
    "footage_forecast": _schema(
        {
            **_CLIP,
            "metric": _TEXT,  # of `scores`
            "value": _NUMBER,
            "low": _NUMBER,
            "high": _NUMBER,
            "naive": _NUMBER,  # the clean score
            "status": _TEXT,  # ok | outside_validated | not_applicable
            "note": _TEXT,
        },
        null=frozenset({"value", "low", "high", "naive", "note"}),
    ),
    # How far such forecasts were off where the truth is known.
    "footage_validation": _schema(
        {
            # held_out_clips | left_out_corruption | left_out_camera | unknown_camera | unknown_camera_and_corruption
            "validation": _TEXT,
            "metric": _TEXT,
            "corruption": _TEXT,  # null: all
            "n": _WHOLE,
            "error": _NUMBER,  # mean of |forecast - actual|
            "naive_error": _NUMBER,  # the same of the clean score taken as the forecast
            "coverage": _NUMBER,  # share of actual figures inside their intervals
            "width": _NUMBER,  # mean of high - low
            "confidence": _NUMBER,  # nominal
            "outside": _NUMBER,  # share said to lie outside everything validated
            "named_first": _NUMBER,  # share whose nearest corruption is the true one
        },
        null=frozenset({"corruption", "error", "naive_error", "coverage", "width", "outside", "named_first"}),
    ),
    # The cells that each clip looks most like.
    "footage_nearest": _schema(
        {
            **_CLIP,
            "rank": pa.int16(),  # 1 is nearest
            "corruption": _TEXT,
            "severity": pa.int16(),
            "similarity": _NUMBER,  # 0..1
            "distance": _NUMBER,
        }
    ),
    # How often reports/policy.json says to do what.
    "footage_decisions": _schema(
        {**_CLIP, "advice": _TEXT, "n_frames": _WHOLE, "n_boxes": _WHOLE, "share": _NUMBER},
        null=frozenset({"share"}),
    ),  # advice: act | observe | nothing_seen (frames without boxes that are taken at their word) | abstain | fall_back
    # A few figures of every scan, appended once for each.
    "footage_history": _schema(
        {"run": _TEXT, "finished_utc": _TEXT, "camera": _TEXT, "signal": _TEXT, "value": _NUMBER},
        null=frozenset({"value"}),
    ),
    # Which frames of a scan were put up for labelling, and why.
    "footage_sample": _schema(
        {
            "run": _TEXT,
            **_CLIP,
            "t_s": _NUMBER,  # where the frame's window starts
            "frame_index": _WHOLE,  # in its clip, from 0
            "stratum": _TEXT,  # a camera and a decile of one of the following
            "drift": _NUMBER,
            "forecast": _NUMBER,  # a share of the clean score
            "confidence": _NUMBER,
            "image_id": _WHOLE,
            "file_name": _TEXT,
        },
        null=frozenset({"drift", "forecast", "confidence"}),
    ),
    # What was forecast of labelled frames against what the labels say; camera `all`: all of them.
    "footage_adoption": _schema(
        {
            "run": _TEXT,
            "camera": _TEXT,
            "metric": _TEXT,
            "n_frames": _WHOLE,
            "n_clips": _WHOLE,
            "predicted": _NUMBER,
            "predicted_low": _NUMBER,
            "predicted_high": _NUMBER,
            "naive": _NUMBER,  # the clean score
            "actual": _NUMBER,
            "actual_low": _NUMBER,
            "actual_high": _NUMBER,
            "inside": pa.bool_(),  # whether the actual figure lies in the predicted interval
            "note": _TEXT,
        },
        null=frozenset(
            {"predicted", "predicted_low", "predicted_high", "naive", "actual", "actual_low", "actual_high"}
            | {"inside", "note"}
        ),
    ),
    # What sampled frames of every cell look like, clean ones (severity 0) included: predictions/quality.parquet.
    "cell_quality": _schema(
        {
            "corruption": _TEXT,
            "family": _TEXT,
            "severity": pa.int16(),
            "clip_id": _TEXT,
            "camera": _TEXT,
            "frame_id": _WHOLE,
            **_FRAME,
        },
        null=frozenset({"camera", *_FRAME}),
    ),
    # The same of one shard and severity, as the part store keeps it.
    "frame_quality": _schema({"frame_id": _WHOLE, **_FRAME}, null=frozenset(_FRAME)),
}
