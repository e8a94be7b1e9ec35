"""What a model says of one video file, as the tables that a run's predictions and frames are in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.data import video
from tasks.errors import InputError
from tasks.inference.rows import Rows, with_tracks
from tasks.models.outputs import Output, Predictor
from tasks.models.tracking import looks_at_frames
from tasks.params import Tracker

KEPT_BYTES: Final = 2**28
"""Of a clip's masks and label maps; those of later frames are left out: memory does not grow with the clip."""

_PIECE: Final = 256
"""Frames whose rows are put together at once."""


@dataclass(frozen=True)
class Predicted:
    """One clip's predictions.

    Attributes:
        predictions: the table of that name; class ids are the model's own.
        frames: the table of that name: every frame of the clip, `frame_id` counts from 0; `camera` is an attribute.
        whole: whether the masks and label maps of all frames are there.
    """

    predictions: pd.DataFrame
    frames: pd.DataFrame
    whole: bool


def predict(
    path: Path,
    predictor: Predictor,
    *,
    tracker: Tracker | None,
    clip_id: str,
    camera: str,
    batch_size: int,
    done: Callable[[int], None] = lambda count: None,
) -> Predicted:
    """Run a model over all frames of a video, then its tracker over what it found, as `infer` does.

    Args:
        path: The video. It is decoded once, and once more for a tracker that looks at frames.
        predictor: The loaded model.
        tracker: None: no ids.
        clip_id: The clip's.
        camera: The clip's.
        batch_size: Frames at a time.
        done: Hears how many frames were done since it heard last.

    Raises:
        UnreadableFrame: the video does not decode to its end.
        InputError: it holds no frame.
    """
    facts = video.examine(path)
    follows_masks = tracker is not None and tracker.boxes == "masks"
    frames: list[tuple[int, int, int]] = []
    pieces: list[pd.DataFrame] = []
    left = KEPT_BYTES
    told = _told(video.read(path), predictor, batch_size, done)
    while piece := list(islice(told, _PIECE)):
        outputs = [one.output for one in piece]
        if left <= 0:
            masks = [output.masks if follows_masks else None for output in outputs]
            outputs = [replace(one, masks=mask, label_map=None) for one, mask in zip(outputs, masks, strict=True)]
        rows = Rows(range(len(frames), len(frames) + len(piece)))
        rows.add(range(len(piece)), outputs)
        frames += [(*one.size, one.ticks) for one in piece]
        pieces.append(rows.table())
        left -= sum(len(data) for name in ("mask", "label_map") for data in pieces[-1][name] if data is not None)
    if not frames:
        raise InputError(f"The video {path} holds no frame.")
    table = _table(frames, facts, path, clip_id, camera)
    predictions = pd.concat(pieces, ignore_index=True)
    if tracker is not None:
        images = (lambda _: (frame.pixels for frame in video.read(path))) if looks_at_frames(tracker) else None
        predictions = with_tracks(predictions, table, tracker, images=images)
    return Predicted(predictions, table, left > 0)


@dataclass(frozen=True)
class _Told:
    """A frame's height and width, its time, and what the model says of it."""

    size: tuple[int, int]
    ticks: int
    output: Output


def _told(
    stream: Iterator[video.Timed], predictor: Predictor, batch_size: int, done: Callable[[int], None]
) -> Iterator[_Told]:
    while batch := list(islice(stream, batch_size)):
        outputs = predictor.predict([frame.pixels for frame in batch])
        for frame, output in zip(batch, outputs, strict=True):
            height, width = frame.pixels.shape[:2]
            yield _Told((height, width), frame.ticks, output)
        done(len(batch))


def _table(
    frames: list[tuple[int, int, int]], facts: video.Facts, path: Path, clip_id: str, camera: str
) -> pd.DataFrame:
    """The rows of `frames`; times count from the first frame."""
    height, width, ticks = (np.array(column) for column in zip(*frames, strict=True))
    count = np.arange(len(frames))
    nothing = {"split": None, "source_member": None, "label_id": None}
    return pd.DataFrame(
        {
            "frame_id": count,
            "clip_id": clip_id,
            "frame_index": count.astype(np.int32),
            "source_file": path.name,
            "source_index": count.astype(np.int32),
            "width_px": width.astype(np.int32),
            "height_px": height.astype(np.int32),
            "timestamp_s": (ticks - ticks[0]) * float(facts.time_base),
            "camera": camera,
            **nothing,
        }
    )[[*tables.SCHEMAS["frames"].names, "camera"]]
