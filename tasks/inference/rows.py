"""From a model's outputs to the rows of a part, and from a part's rows to tracks."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.models.outputs import Output
from tasks.models.smoothing import smoothed
from tasks.models.tracking import Image, looks_at_frames, track
from tasks.params import Tracker

ROWS_PER_FRAME: Final = 2**16
"""prediction_id = frame_id * this + place within the frame: unique within a cell, whatever the shards and batches."""

_BOX: Final = ["x0_px", "y0_px", "x1_px", "y1_px"]


class Rows:
    """The rows of one part, gathered in any order of frames."""

    def __init__(self, frame_ids: Sequence[int]) -> None:
        self._frame_ids = list(frame_ids)
        self._frames: dict[int, dict[str, Any]] = {}
        self._timings: list[tuple[int, int, str, float]] = []

    def add(self, places: Sequence[int], outputs: Sequence[Output]) -> None:
        """Take the outputs for the frames at `places` of the shard."""
        if len(outputs) != len(places):
            raise RuntimeError(f"the model gave {len(outputs)} outputs for {len(places)} frames")
        for place, output in zip(places, outputs, strict=True):
            self._frames[place] = _frame_rows(self._frame_ids[place], output)

    def time(self, places: Sequence[int], stages_ms: dict[str, float]) -> None:
        """Note what each stage of a batch took."""
        first = self._frame_ids[places[0]]
        self._timings.extend((first, len(places), stage, ms) for stage, ms in stages_ms.items())

    def table(self) -> pd.DataFrame:
        """The table `predictions`: by frame as in the shard, then by descending score, a frame's own outputs last."""
        absent = [frame_id for place, frame_id in enumerate(self._frame_ids) if place not in self._frames]
        if absent:
            raise RuntimeError(f"no output for frame(s) {absent[:5]}")
        frames = [self._frames[place] for place in range(len(self._frame_ids))]
        columns: dict[str, Any] = {name: np.concatenate([frame[name] for frame in frames]) for name in _NUMBERS}
        own = np.concatenate([frame["own"] for frame in frames])
        columns["class_id"] = pd.arrays.IntegerArray(columns["class_id"].astype(np.int32), own)
        untracked = np.concatenate([frame["untracked"] for frame in frames])
        columns["track_id"] = pd.arrays.IntegerArray(columns["track_id"], untracked)
        for name in ("mask", "label_map", "probabilities"):
            columns[name] = pd.Series([value for frame in frames for value in frame[name]], dtype=object)
        return pd.DataFrame({name: columns[name] for name in tables.SCHEMAS["predictions"].names})

    def timings(self) -> pd.DataFrame:
        """The table `timings`."""
        return pd.DataFrame(self._timings, columns=tables.SCHEMAS["timings"].names)


_NUMBERS: Final = ["prediction_id", "frame_id", "class_id", "score", "track_id", *_BOX]


def _frame_rows(frame_id: int, output: Output) -> dict[str, Any]:
    n = len(output.scores)
    whole = int(output.label_map is not None or output.probabilities is not None)
    if n + whole > ROWS_PER_FRAME:
        raise InputError(f"frame {frame_id}: {n} predictions, more than {ROWS_PER_FRAME}: raise score_threshold.")
    order = np.argsort(-output.scores, kind="stable")
    gap = [np.nan] * whole
    tracks = np.zeros(n, np.int64) if output.track_ids is None else output.track_ids[order]
    rows: dict[str, Any] = {
        "prediction_id": frame_id * ROWS_PER_FRAME + np.arange(n + whole, dtype=np.int64),
        "frame_id": np.full(n + whole, frame_id, np.int64),
        "class_id": np.concatenate([output.class_ids[order], [0] * whole]).astype(np.int64),
        "score": np.concatenate([output.scores[order], gap]).astype(np.float64),
        "own": np.concatenate([np.zeros(n, bool), np.ones(whole, bool)]),
        "track_id": np.concatenate([tracks, [0] * whole]).astype(np.int64),
        "untracked": np.concatenate([np.full(n, output.track_ids is None), np.ones(whole, bool)]),
        "mask": [None if output.masks is None else output.masks[place] for place in order] + [None] * whole,
        "label_map": [None] * n,
        "probabilities": [None] * n,
    }
    boxes = output.boxes.reshape(-1, 4)[order]
    for column, name in enumerate(_BOX):
        rows[name] = np.concatenate([boxes[:, column], gap]).astype(np.float64)
    if whole:
        rows["label_map"].append(None if output.label_map is None else tables.encode_label_map(output.label_map))
        rows["probabilities"].append(output.probabilities)
    return rows


def with_tracks(
    predictions: pd.DataFrame,
    frames: pd.DataFrame,
    tracker: Tracker,
    *,
    images: Callable[[pd.DataFrame], Iterable[Image]] | None = None,
) -> pd.DataFrame:
    """The same rows with `track_id` filled, clip by clip, and the boxes of tracks smoothed if the tracker is to.

    Args:
        predictions: a part's table.
        frames: the shard's rows of the table `frames`: whole clips.
        tracker: its settings.
        images: for the rows of a clip its frames as the model saw them; for a tracker that looks at frames.

    Raises:
        InputError: the tracker is to follow boxes around masks, and there are detections without a mask.
    """
    score = predictions["score"].to_numpy(np.float32)
    class_id = predictions["class_id"].to_numpy(np.int64, na_value=0)
    by_masks = tracker.boxes == "masks"
    box = _mask_boxes(predictions, frames) if by_masks else predictions[_BOX].to_numpy(np.float32)
    own = predictions[_BOX].to_numpy(np.float64).copy()
    instance = predictions["class_id"].notna().to_numpy()
    frame_id = predictions["frame_id"].to_numpy(np.int64)
    edges = [0, *(np.flatnonzero(np.diff(frame_id)) + 1), len(frame_id)]
    places = {int(frame_id[a]): np.arange(a, b) for a, b in itertools.pairwise(edges) if a < b}
    ids = np.zeros(len(predictions), np.int64)
    absent = np.ones(len(predictions), bool)
    for _, clip in frames.groupby("clip_id", sort=False):
        rows = [places.get(int(frame), np.empty(0, np.int64)) for frame in clip["frame_id"]]
        rows = [of_frame[instance[of_frame]] for of_frame in rows]
        shown = None if images is None else [images(clip)]
        (tracks,) = track([[(box[r], score[r], class_id[r]) for r in rows]], tracker=tracker, images=shown)
        for of_frame, of_objects in zip(rows, tracks, strict=True):
            ids[of_frame] = of_objects.to_numpy(np.int64, na_value=0)
            absent[of_frame] = of_objects.isna()
        if tracker.smooth:
            for of_frame, drawn in zip(rows, smoothed([own[r] for r in rows], tracks, tracker.smooth), strict=True):
                own[of_frame] = drawn
    filled = predictions.copy()
    if tracker.smooth:
        filled[_BOX] = own
    filled["track_id"] = pd.arrays.IntegerArray(np.where(absent, 0, ids), absent)
    return filled


def replayed(
    predictions: pd.DataFrame,
    frames: pd.DataFrame,
    tracker: Tracker,
    *,
    images: Callable[[pd.DataFrame], Iterable[Image]],
) -> pd.DataFrame:
    """`with_tracks` over stored rows; `images` are asked for by a tracker that looks at frames alone.

    Raises:
        InputError: the tracker smooths boxes, or as `with_tracks`.
    """
    if tracker.smooth:
        raise InputError("The boxes of tracks are stored smoothed over all frames, not as the detector gave them.")
    return with_tracks(predictions, frames, tracker, images=images if looks_at_frames(tracker) else None)


def _mask_boxes(predictions: pd.DataFrame, frames: pd.DataFrame) -> npt.NDArray[np.float32]:
    """(N, 4) the boxes around the masks of a part's rows, as `mask_boxes`; those of a frame's own row stay."""
    boxes = predictions[_BOX].to_numpy(np.float32).copy()
    rows = np.flatnonzero(predictions["class_id"].notna())
    sizes = frames.set_index("frame_id").loc[predictions["frame_id"].iloc[rows], ["height_px", "width_px"]]
    boxes[rows] = mask_boxes(boxes[rows], predictions["mask"].iloc[rows].tolist(), sizes.to_numpy().tolist())
    return boxes


def followed(output: Output, tracker: Tracker, *, size: Sequence[int]) -> npt.NDArray[np.float32]:
    """(N, 4) the boxes of one frame that the tracker is given: the model's own, or those around its masks.

    Args:
        output: what the model says of the frame.
        tracker: its settings.
        size: height and width of the frame in px.

    Raises:
        InputError: the tracker is to follow boxes around masks, and the model gives none.
    """
    boxes = output.boxes.astype(np.float32)
    return mask_boxes(boxes, output.masks, [size] * len(boxes)) if tracker.boxes == "masks" else boxes


def mask_boxes(
    boxes: npt.NDArray[np.float32], masks: Sequence[bytes | None] | None, sizes: Sequence[Sequence[int]]
) -> npt.NDArray[np.float32]:
    """(N, 4) the boxes around masks; an empty mask keeps the model's own box.

    Args:
        boxes: (N, 4) xyxy, the model's own; left as they are.
        masks: COCO's compressed RLE.
        sizes: height and width in px of each mask's frame.

    Raises:
        InputError: a detection has no mask.
    """
    from pycocotools import mask as coco_mask  # not on every machine that infers

    found = boxes.copy()
    if not len(boxes):
        return found
    if masks is None or any(one is None for one in masks):
        raise InputError("tracker.boxes is 'masks', but the model gives detections without masks: use 'model'.")
    around = coco_mask.toBbox([{"size": size, "counts": one} for size, one in zip(sizes, masks, strict=True)])  # xywh
    there = around[:, 2:].all(axis=1)
    found[there] = np.hstack([around[:, :2], around[:, :2] + around[:, 2:]])[there]
    return found
