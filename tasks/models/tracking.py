"""Tracking over stored detections: ByteTrack (Zhang et al. 2022) from the `trackers` package.

A keyed step of its own after inference, so that another tracker or setting runs no network.
"""

import json
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.errors import InputError
from tasks.params import Tracker

TRACKER_VERSION: Final = 1
"""Rises with every change that can alter an id."""

MINIMUM_SCORE: Final = 0.1
"""Boxes below this never reach the tracker and have no id: ByteTrack's own floor for its second, low-score association
(`det_thresh` 0.1 in the reference implementation). The `trackers` package has no such floor: without it the many boxes
that detectors keep at 0.01 for the precision-recall curve would each be a candidate for every lost track."""

DEFAULTS: Final[dict[str, float | int]] = {
    "track_activation_threshold": 0.35,
    "high_conf_det_threshold": 0.35,
    "minimum_iou_threshold": 0.2,
    "minimum_consecutive_frames": 2,
    "lost_track_buffer": 30,
}
"""Settings where params give none. The three thresholds were chosen on the validation clips of `crossing` alone: the
package's own (0.7, 0.6, 0.1) are for detectors that score higher (HOTA 0.43 against 0.65). The rest is its own."""

Frame = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""One frame's boxes (N, 4) xyxy in pixels, scores (N,) and class ids (N,)."""


def settings(tracker: Tracker) -> dict[str, float | int]:
    """All settings of the tracker, those of params before the defaults."""
    given = tracker.model_dump(exclude={"name"}, exclude_none=True)
    return {**DEFAULTS, **given}


def fingerprint(tracker: Tracker) -> dict[str, str | int]:
    """What decides the ids that `track` gives to stored detections, beside the frame rate."""
    return {
        "tracker": tracker.name,
        "tracker_version": TRACKER_VERSION,
        "settings": json.dumps({**settings(tracker), "minimum_score": MINIMUM_SCORE}, sort_keys=True),
    }


def track(
    clips: Sequence[Sequence[Frame]], *, tracker: Tracker, frame_rate: float = 30.0
) -> list[list[pd.arrays.IntegerArray]]:
    """Track ids for the detections of whole clips.

    Every clip starts afresh with ids from 1, in order of appearance. An object keeps its id whatever class its boxes
    are given, as in the original. An id is given from a track's confirmation on, never in hindsight.

    Args:
        clips: For each clip its frames in order, each (boxes, scores, class ids). Left as they are.
        tracker: The params of the tracker.
        frame_rate: Frames per second; `lost_track_buffer` counts frames at 30 per second.

    Returns:
        For each clip and frame a pandas `Int64` array (N,): the id of each detection, null without a confirmed track.

    Raises:
        InputError: the `trackers` package is not installed.
    """
    return [_track_clip(frames, tracker, frame_rate) for frames in clips]


def _track_clip(frames: Sequence[Frame], tracker: Tracker, frame_rate: float) -> list[pd.arrays.IntegerArray]:
    try:
        import supervision
        from trackers import ByteTrackTracker
    except ImportError:
        raise InputError("Tracking needs the package `trackers`: pip install trackers.") from None
    online = ByteTrackTracker(frame_rate=frame_rate, **settings(tracker))
    numbers: dict[int, int] = {}
    result = []
    for boxes, scores, _ in frames:
        ids = np.zeros(len(boxes), dtype=np.int64)
        given = np.flatnonzero(scores >= MINIMUM_SCORE)
        detections = supervision.Detections(
            xyxy=boxes[given].astype(np.float64).reshape(-1, 4),
            confidence=scores[given].astype(np.float64),
            data={"row": given},  # the tracker reorders
        )
        tracked = online.update(detections)
        rows = np.asarray(tracked.data.get("row", []), dtype=np.int64)
        raw = dict(zip(rows.tolist(), np.asarray(tracked.tracker_id).tolist(), strict=True))
        for row in sorted(raw):
            if raw[row] >= 0:
                ids[row] = numbers.setdefault(raw[row], len(numbers) + 1)
        result.append(pd.arrays.IntegerArray(ids, ids == 0))
    return result
