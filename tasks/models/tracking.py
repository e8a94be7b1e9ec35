"""Tracking over stored detections, by the trackers of the `trackers` package.

A keyed step of its own after inference, so that another tracker or setting runs no network.
"""

import importlib
import itertools
import json
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.errors import InputError
from tasks.params import Tracker

TRACKER_VERSION: Final = 2
"""Rises with every change that can alter an id."""

FRAMES_PER_SECOND: Final = 30.0
"""What the package is told of every clip, whatever its rate: by this number `lost_track_buffer` counts the clip's own
frames, where by another the package would scale it. So a tracker does the same to a clip wherever it runs."""

MINIMUM_SCORE: Final = 0.1
"""Boxes below this (or below a lower threshold of params) never reach the tracker and have no id: ByteTrack's own floor
for its second, low-score association (`det_thresh` 0.1 in the reference implementation). The `trackers` package has no
such floor: without it the many boxes that detectors keep at 0.01 for the precision-recall curve would each be a
candidate for every lost track."""


@dataclass(frozen=True)
class Kind:
    """One tracker of the package.

    Attributes:
        class_name: in the package.
        defaults: its settings where params give none. The thresholds on scores and overlaps of ByteTrack were chosen on
            the validation clips of `crossing` alone: the package's own (0.7, 0.6, 0.1) are for detectors that score
            higher (HOTA 0.43 against 0.65); the others take over what means the same. The rest is the package's.
        pixels: whether it looks at the frames themselves (camera motion).
    """

    class_name: str
    defaults: Mapping[str, float | int]
    pixels: bool = False


TRACKERS: Final[Mapping[str, Kind]] = {
    "bytetrack": Kind(
        "ByteTrackTracker",
        {
            "track_activation_threshold": 0.35,
            "high_conf_det_threshold": 0.35,
            "minimum_iou_threshold": 0.2,
            "minimum_consecutive_frames": 2,
            "lost_track_buffer": 30,
        },
    ),
    "sort": Kind(
        "SORTTracker",
        {
            "track_activation_threshold": 0.35,
            "minimum_iou_threshold": 0.3,
            "minimum_consecutive_frames": 3,
            "lost_track_buffer": 30,
        },
    ),
    "ocsort": Kind(
        "OCSORTTracker",
        {
            "high_conf_det_threshold": 0.35,
            "minimum_iou_threshold": 0.3,
            "minimum_consecutive_frames": 3,
            "lost_track_buffer": 30,
            "direction_consistency_weight": 0.2,
        },
    ),
    "botsort": Kind(
        "BoTSORTTracker",
        {
            "track_activation_threshold": 0.35,
            "high_conf_det_threshold": 0.35,
            "minimum_iou_threshold_first_assoc": 0.2,
            "minimum_iou_threshold_second_assoc": 0.5,
            "minimum_consecutive_frames": 2,
            "lost_track_buffer": 30,
        },
        pixels=True,
    ),
}
"""SORT (Bewley et al. 2016), ByteTrack (Zhang et al. 2022), OC-SORT (Cao et al. 2023) and BoT-SORT (Aharon et al. 2022,
without appearance features, with camera motion by sparse optical flow)."""

Frame = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""One frame's boxes (N, 4) xyxy in pixels, scores (N,) and class ids (N,)."""

Image = npt.NDArray[np.uint8]


def check(tracker: Tracker, tasks: Collection[str]) -> None:
    """Refuse what cannot be done to the output of a model that does `tasks`.

    Raises:
        InputError: a setting that this tracker does not have, or nothing for it to follow.
    """
    settings(tracker)
    if not {"detection", "instance"} & set(tasks):
        raise InputError("tracker: the model gives no boxes, so there is nothing to follow.")
    if tracker.boxes == "masks" and "instance" not in tasks:
        raise InputError("tracker.boxes is 'masks', but the model gives none: use 'model'.")


def settings(tracker: Tracker) -> dict[str, float | int]:
    """All settings of the tracker, those of params before the defaults.

    Raises:
        InputError: a setting that this tracker does not have.
    """
    kind = TRACKERS[tracker.name]
    given = tracker.model_dump(exclude={"name", "boxes", "smooth"}, exclude_none=True)
    for name in given:
        if name not in kind.defaults:
            raise InputError(f"tracker: {tracker.name} has no setting '{name}'; it has {', '.join(kind.defaults)}.")
    return {**kind.defaults, **given}


def starting_score(tracker: Tracker) -> float:
    """The score that a box without a track needs to be shown: that with which one may begin."""
    known = settings(tracker)
    return float(known.get("track_activation_threshold", known.get("high_conf_det_threshold", 0)))


def floor(tracker: Tracker) -> float:
    """The score that a box needs to reach the tracker."""
    known = settings(tracker)
    thresholds = ("track_activation_threshold", "high_conf_det_threshold")
    return min(MINIMUM_SCORE, *(float(known[name]) for name in thresholds if name in known))


def looks_at_frames(tracker: Tracker) -> bool:
    """Whether the tracker needs the frames that the detector saw, beside its boxes."""
    return TRACKERS[tracker.name].pixels


def fingerprint(tracker: Tracker) -> dict[str, str | int]:
    """What decides ids and boxes of the tracks of stored detections."""
    own: dict[str, float | int | str] = {**settings(tracker), "minimum_score": floor(tracker), "boxes": tracker.boxes}
    if tracker.smooth:  # parts from before there was smoothing keep their keys
        own["smooth"] = tracker.smooth
    return {
        "tracker": tracker.name,
        "tracker_version": TRACKER_VERSION,
        "library": f"trackers {version('trackers')}",
        "settings": json.dumps(own, sort_keys=True),
    }


def track(
    clips: Sequence[Sequence[Frame]],
    *,
    tracker: Tracker,
    images: Sequence[Iterable[Image]] | None = None,
) -> list[list[pd.arrays.IntegerArray]]:
    """Track ids for the detections of whole clips.

    Every clip starts afresh with ids from 1, in order of appearance. An object keeps its id whatever class its boxes
    are given, as in the originals. What is there in a clip's first frame has its id at once, as in the originals; after
    that an id is given from a track's confirmation on, never in hindsight.

    Args:
        clips: For each clip its frames in order, each (boxes, scores, class ids). Left as they are.
        tracker: The params of the tracker; its `lost_track_buffer` counts frames of the clip, whatever their rate.
        images: For each clip its frames in order, (H, W, 3) RGB, as the detector saw them, for a tracker that looks at
            frames; None: it goes by the boxes alone.

    Returns:
        For each clip and frame a pandas `Int64` array (N,): the id of each detection, null without a confirmed track.

    Raises:
        InputError: the `trackers` package is not installed, or a setting that the tracker does not have.
    """
    shown = [itertools.repeat(None)] * len(clips) if images is None else images
    return [_track_clip(frames, tracker, seen) for frames, seen in zip(clips, shown, strict=True)]


def _track_clip(
    frames: Sequence[Frame], tracker: Tracker, images: Iterable[Image | None]
) -> list[pd.arrays.IntegerArray]:
    online = ClipTracker(tracker)
    return [online.update(frame, image) for frame, image in zip(frames, images, strict=False)]


class ClipTracker:
    """What `track` does to one clip, a frame at a time, as in deployment."""

    def __init__(self, tracker: Tracker) -> None:
        """Arguments and errors as of `track`."""
        self._online = _Online(tracker)
        self._floor = floor(tracker)
        self._numbers: dict[int, int] = {}

    def update(self, frame: Frame, image: Image | None = None) -> pd.arrays.IntegerArray:
        """The ids (N,) of the next frame's detections; `image` for a tracker that looks at frames."""
        boxes, scores, _ = frame
        ids = np.zeros(len(boxes), dtype=np.int64)
        given = np.flatnonzero(scores >= self._floor)
        found = self._online.update(boxes[given], scores[given], image)
        for row, number in sorted((int(given[row]), number) for row, number in found):
            ids[row] = self._numbers.setdefault(number, len(self._numbers) + 1)
        return pd.arrays.IntegerArray(ids, ids == 0)


class _Online:
    """A tracker of the package that gives ids in a clip's first frame.

    The original implementations do that; most of the package's trackers have to see a box a second or third time. So
    they are shown the first frame as often as they ask for, at one and the same time: nothing is predicted in between.
    """

    def __init__(self, tracker: Tracker) -> None:
        try:
            self._supervision: Any = importlib.import_module("supervision")
            package = importlib.import_module("trackers")
        except ImportError:
            raise InputError("Tracking needs the package `trackers`: pip install trackers.") from None
        asked = settings(tracker)
        self._tracker = getattr(package, TRACKERS[tracker.name].class_name)(frame_rate=FRAMES_PER_SECOND, **asked)
        self._showings = 1 + int(asked["minimum_consecutive_frames"])

    def update(
        self, boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], image: Image | None
    ) -> Iterator[tuple[int, int]]:
        """The next frame: row and id of each box that belongs to a confirmed track."""
        detections = self._supervision.Detections(
            xyxy=boxes.astype(np.float64).reshape(-1, 4),
            confidence=scores.astype(np.float64),
            data={"row": np.arange(len(boxes))},  # the tracker reorders
        )
        options = {} if image is None else {"frame": np.ascontiguousarray(image[:, :, ::-1])}
        if self._showings:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*duplicate timestamp")
                for _ in range(self._showings):
                    tracked = self._tracker.update(detections, timestamp=0.0, **options)
            self._showings = 0
        else:
            tracked = self._tracker.update(detections, **options)
        rows = np.asarray(tracked.data.get("row", []), dtype=np.int64)
        pairs = zip(rows.tolist(), np.asarray(tracked.tracker_id).tolist(), strict=True)
        return ((row, number) for row, number in pairs if number >= 0)
