"""What a model's boxes do from frame to frame: how long tracks last, how often they break, and how boxes flicker.

Rates are per second that a track is there and could go on, as a discrete-time hazard: each box of a track, in any
frame but its clip's last, either goes on in the next frame, breaks off to come back later, or ends. Breaking off is
what CLEAR MOT calls a fragmentation, here of the tracks themselves, as there is no truth that they could be held
against. The inverse of the rate of ends is the maximum likelihood estimate of the mean life under an exponential law
when lives are cut off by the clip's end (Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data). So
short clips and long ones compare, though no life that is seen in a clip of a second is longer than that. What breaks
off shortly before a clip's end counts as an end, for nobody sees it come back.

Flicker is our own definition: of the boxes that two frames both have (same class, IoU at least 0.5), with one frame in
between, the share for which the frame in between has no box of that class at IoU 0.5 with their mean. Tracks bridge
such a loss, so it is counted of the boxes.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.metrics.instances import Bools, Floats, Ints, box_iou, join
from tasks.monitoring.windows import Cut

BOX: Final = ["x0_px", "y0_px", "x1_px", "y1_px"]

SAME_IOU: Final = 0.5
"""From which overlap on two boxes are of one thing: the least that average precision asks for."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames that a model saw, (n_frames,) each.

    Attributes:
        window: position of the window.
        n_windows: how many windows there are.
        follows: whether the row before is the same clip's frame before.
        step_s: seconds to the same clip's next frame; NaN for its last, and where times are not known.
    """

    window: Ints
    n_windows: int
    follows: Bools
    step_s: Floats

    @classmethod
    def of(cls, found: Cut, seconds: Floats) -> "Timeline":
        """From windows and the time of each frame."""
        clip = found.clip[found.window]
        follows = np.r_[False, clip[1:] == clip[:-1]][: len(clip)]
        step_s = np.full(len(clip), np.nan)
        later = np.flatnonzero(follows)
        step_s[later - 1] = seconds[later] - seconds[later - 1]
        return cls(found.window, len(found.t_s), follows, step_s)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Instances, (N,) each: position of the frame, the model's class, score, and xyxy in px (N, 4)."""

    frame: Ints
    kind: Ints
    score: Floats
    box: Floats

    @classmethod
    def of(cls, predictions: pd.DataFrame, place: Ints) -> "Boxes":
        """The rows of `predictions` that are instances; `place` is the position of each row's frame."""
        chosen = predictions["class_id"].notna().to_numpy(bool)
        rows = predictions[chosen]
        return cls(
            frame=place[chosen],
            kind=rows["class_id"].to_numpy(np.int64),
            score=rows["score"].to_numpy(np.float64),
            box=rows[BOX].to_numpy(np.float64).reshape(-1, 4),
        )

    def select(self, chosen: Bools) -> "Boxes":
        """The instances chosen."""
        return Boxes(self.frame[chosen], self.kind[chosen], self.score[chosen], self.box[chosen])


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """Part by whole, NaN where there is no whole."""
    found = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole != 0)
    return found


def of_tracks(boxes: Boxes, tracks: Ints, time: Timeline) -> dict[str, Floats]:
    """Tracks a frame, and the rates at which tracks end, break off and change class; (n_windows,) each.

    Args:
        boxes: those that have a track.
        tracks: (N,) their ids, unique within a clip.
        time: the frames.
    """
    clip = np.cumsum(~time.follows)[boxes.frame]
    order = np.lexsort((boxes.frame, tracks, clip))
    clip, tracks, frame, kind = clip[order], tracks[order], boxes.frame[order], boxes.kind[order]
    window, n_windows = time.window[frame], time.n_windows
    goes_on = np.zeros(len(order), dtype=bool)  # there is a later box of the track
    goes_on[:-1] = (clip[1:] == clip[:-1]) & (tracks[1:] == tracks[:-1])
    after = np.minimum(np.arange(len(order)) + 1, max(len(order) - 1, 0))
    last = np.r_[~time.follows[1:], True][: len(time.follows)]  # of its clip
    could = ~last[frame]
    spent = np.bincount(window[could], time.step_s[frame[could]], minlength=n_windows)
    happened = {
        "track_end_rate": could & ~goes_on,
        "track_gap_rate": goes_on & (frame[after] > frame + 1),
        "class_switch_rate": goes_on & (kind[after] != kind),
    }
    found = {name: ratio(np.bincount(window, rows, minlength=n_windows), spent) for name, rows in happened.items()}
    there = np.bincount(window, minlength=n_windows)
    return {"tracks_per_frame": ratio(there, np.bincount(time.window, minlength=n_windows)), **found}


def flicker(boxes: Boxes, time: Timeline) -> Floats:
    """(n_windows,) share of boxes in the frames before and after that the frame in between lacks."""
    kind = np.unique(boxes.kind, return_inverse=True)[1].astype(np.int64)
    n_kinds = int(kind.max()) + 1 if len(kind) else 1
    key = boxes.frame * n_kinds + kind
    n_frames = len(time.window)
    middle = np.zeros(n_frames + 2, dtype=bool)  # has a frame before and one after, in its clip
    middle[1 : max(n_frames - 1, 1)] = time.follows[1:-1] & time.follows[2:]
    early = np.flatnonzero(middle[boxes.frame + 1])
    before, after = join(key[early] + 2 * n_kinds, key)
    before = early[before]
    overlap = box_iou(boxes.box[before], boxes.box[after])
    best = np.lexsort((-overlap, before))  # of several, the one that overlaps most
    best = best[np.unique(before[best], return_index=True)[1]]
    best = best[overlap[best] >= SAME_IOU]
    held, mean = before[best], (boxes.box[before[best]] + boxes.box[after[best]]) / 2
    of, between = join(key[held] + n_kinds, key)
    kept = np.zeros(len(held), dtype=bool)
    kept[of[box_iou(mean[of], boxes.box[between]) >= SAME_IOU]] = True
    window = time.window[boxes.frame[held] + 1]
    lost = np.bincount(window, ~kept, minlength=time.n_windows)
    return ratio(lost, np.bincount(window, minlength=time.n_windows))
