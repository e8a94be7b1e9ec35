"""What a tracker made of one video: boxes by frame with their states, MOTChallenge's text, a JSON document."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

Detections = tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]], npt.NDArray[np.int64]]
"""One frame's boxes (N, 4) xyxy in pixels, scores (N,) and class ids (N,)."""

STATES: Final[Mapping[str, str]] = {
    "new": "a track's first box",
    "followed": "its track had a box in the frame before",
    "found again": "its track had none in the frame before",
    "lost": "a track without a box, shown at its last place",
    "no track": "a box that belongs to no confirmed track",
}
"""What can be said of a box in a frame; `lost` is said of a track."""


@dataclass(frozen=True)
class Box:
    """A detection with what the tracker made of it.

    Attributes:
        row: its place among the frame's detections.
        box: x0, y0, x1, y1 in pixels, half-open.
        track: the id; None without a confirmed track.
        state: a key of `STATES`.
    """

    row: int
    class_id: int
    score: float
    box: tuple[float, float, float, float]
    track: int | None
    state: str


def boxes(
    detections: Sequence[Detections], ids: Sequence[pd.arrays.IntegerArray], *, least_score: float
) -> list[list[Box]]:
    """The boxes of each frame: those with a track, and those without that score at least `least_score`.

    Args:
        detections: of each frame.
        ids: for each frame the id of each detection, as `tasks.models.tracking.track` gives them.
        least_score: 0..1.
    """
    seen: dict[int, int] = {}
    found = []
    for frame, ((places, scores, class_ids), of_frame) in enumerate(zip(detections, ids, strict=True)):
        here = []
        for row, number in enumerate(of_frame):
            track = None if pd.isna(number) else int(number)
            score = float(scores[row])
            if track is None:
                if score < least_score:
                    continue
                state = "no track"
            elif track not in seen:
                state = "new"
            else:
                state = "followed" if seen[track] == frame - 1 else "found again"
            if track is not None:
                seen[track] = frame
            x0, y0, x1, y1 = (float(value) for value in places[row])
            here.append(Box(row, int(class_ids[row]), score, (x0, y0, x1, y1), track, state))
        found.append(here)
    return found


def lost(frames: Sequence[Sequence[Box]], *, for_frames: int) -> list[list[Box]]:
    """For each frame the tracks without a box in it that had one up to `for_frames` frames before, as it was then."""
    last: dict[int, tuple[int, Box]] = {}
    found = []
    for frame, here in enumerate(frames):
        last |= {box.track: (frame, box) for box in here if box.track is not None}
        found.append(
            [
                Box(box.row, box.class_id, box.score, box.box, track, "lost")
                for track, (when, box) in last.items()
                if 0 < frame - when <= for_frames
            ]
        )
    return found


def mot(frames: Sequence[Sequence[Box]]) -> str:
    """MOTChallenge's result format: frame from 1, id, left, top, width, height, score, -1, -1, -1; tracks alone."""
    lines = []
    for number, here in enumerate(frames, start=1):
        for box in sorted((box for box in here if box.track is not None), key=lambda box: box.track or 0):
            x0, y0, x1, y1 = box.box
            place = f"{x0:.2f},{y0:.2f},{x1 - x0:.2f},{y1 - y0:.2f}"
            lines.append(f"{number},{box.track},{place},{box.score:.4f},-1,-1,-1\n")
    return "".join(lines)


def document(frames: Sequence[Sequence[Box]], classes: Mapping[int, str]) -> dict[str, Any]:
    """The tracks: id, class (the most frequent of its boxes), first and last frame (from 0), boxes, mean score.

    Args:
        frames: from `boxes`.
        classes: names by the model's class id.
    """
    by_track: dict[int, list[tuple[int, Box]]] = {}
    for frame, here in enumerate(frames):
        for box in here:
            if box.track is not None:
                by_track.setdefault(box.track, []).append((frame, box))
    tracks = [
        {
            "id": track,
            "class": classes[Counter(box.class_id for _, box in held).most_common(1)[0][0]],
            "first_frame": held[0][0],
            "last_frame": held[-1][0],
            "n_boxes": len(held),
            "gaps": sum(box.state == "found again" for _, box in held),
            "mean_score": round(float(np.mean([box.score for _, box in held])), 4),
        }
        for track, held in sorted(by_track.items())
    ]
    return {"tracks": tracks}


def log(frames: Sequence[Sequence[Box]], classes: Mapping[int, str]) -> dict[str, Any]:
    """The association log: what was made of each box in each frame (from 0); arguments as of `document`."""
    said = [[_said(box, classes) for box in here] for here in frames]
    return {"log": [{"frame": frame, "boxes": here} for frame, here in enumerate(said)]}


def _said(box: Box, classes: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": box.track,
        "state": box.state,
        "class": classes[box.class_id],
        "score": round(box.score, 4),
        "box": [round(value, 2) for value in box.box],
    }
