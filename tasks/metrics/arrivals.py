"""When frames arrive, which of them a model takes that is busy for a while with each, and what there is to show."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.params import Realtime

SLACK_S: Final = 1e-6
"""What ends within a microsecond of an arrival ends with it: seconds since 1970 hold no more than that."""


def seconds(clip: pd.DataFrame, frames_per_s: float | None) -> Floats:
    """(n,) when each frame arrives, from the first one on.

    Args:
        clip: its rows of the table `frames`, in time order.
        frames_per_s: the rate at which `frame_index` counts; None: as `timestamp_s` says.

    Returns:
        NaN where the table does not say; a clip of one frame needs no time.
    """
    if len(clip) == 1:
        return np.zeros(1)
    if frames_per_s is not None:
        found = clip["frame_index"].to_numpy(float) / frames_per_s
    else:
        found = clip["timestamp_s"].to_numpy(float, na_value=np.nan)
    since: Floats = found - found[0]
    return since


def schedule(arrival_s: Floats, latency_s: float, *, keep_newest: bool = False) -> tuple[Bools, Ints]:
    """What a model that works on one frame at a time makes of a clip as it comes in.

    A frame that arrives while the model is busy is skipped: the next one to arrive is taken, or with `keep_newest` the
    newest that has arrived, at once. What counts at a frame is the newest output that is finished before the next frame
    arrives; the last frame stands for as long as the median one. So a model that keeps up loses nothing, and an output
    is never shown before it is there. Streaming accuracy (Li et al., Towards Streaming Perception, ECCV 2020) takes the
    newest frame too, but judges at the moment of arrival, by when no model has seen the frame: at best one frame late.

    Args:
        arrival_s: (n,) of the frames, rising.
        latency_s: from taking a frame to its output, the same for all, at least 0.
        keep_newest: whether the newest of the frames that arrive in between waits.

    Returns:
        (n,) whether a frame is taken, and (n,) whose output counts there, -1 before the first is finished.

    Examples:
        >>> [part.tolist() for part in schedule(np.arange(6.0), 1.2)]
        [[True, False, True, False, True, False], [-1, 0, 0, 2, 2, 4]]
        >>> [part.tolist() for part in schedule(np.arange(6.0), 1.2, keep_newest=True)]
        [[True, True, True, True, True, True], [-1, 0, 1, 2, 3, 4]]
    """
    taken: list[int] = []
    finished: list[float] = []
    frame, free = 0, 0.0
    while frame < len(arrival_s):
        free = max(float(arrival_s[frame]), free) + latency_s
        taken.append(frame)
        finished.append(free)
        newest = int(np.searchsorted(arrival_s, free + SLACK_S, side="right")) - 1
        after = newest if keep_newest else int(np.searchsorted(arrival_s, free - SLACK_S, side="left"))
        frame = max(frame + 1, after)
    processed = np.zeros(len(arrival_s), dtype=bool)
    processed[taken] = True
    last_s = float(np.median(np.diff(arrival_s))) if len(arrival_s) > 1 else np.inf
    until = np.append(arrival_s[1:], arrival_s[-1:] + last_s)
    done = np.searchsorted(np.array(finished), until + SLACK_S, side="right") - 1
    own = np.cumsum(processed) - 1  # no frame shows what comes after it, not even of a model that takes no time
    place = np.minimum(done, own)
    return processed, np.where(place >= 0, np.array([*taken, 0])[place], -1)


@dataclass(frozen=True, eq=False)
class Timetable:
    """What becomes of the frames of all clips.

    Attributes:
        processed: (n,) whether each is taken.
        source: (n,) the place of the frame whose output counts there, -1 for none.
        frames_per_s: at which they arrive, the median over clips; NaN where each clip is one frame.
    """

    processed: Bools
    source: Ints
    frames_per_s: float

    @property
    def whole(self) -> bool:
        """Whether each frame has its own output in time."""
        return bool((self.source == np.arange(len(self.source))).all())


def timetable(frames: pd.DataFrame, latency_s: float, wanted: Realtime) -> Timetable:
    """What becomes of every frame.

    Args:
        frames: of the table `frames`, by clip and time; such that `untimed` finds nothing.
        latency_s: of a frame.
        wanted: the section of params.
    """
    processed, source, steps = np.zeros(len(frames), dtype=bool), np.full(len(frames), -1, dtype=np.int64), []
    for rows in frames.groupby("clip_id", sort=False).indices.values():
        arrival_s = seconds(frames.iloc[rows], wanted.frames_per_s)
        processed[rows], shown = schedule(arrival_s, latency_s, keep_newest=wanted.keep_newest)
        source[rows] = np.where(shown >= 0, rows[shown], -1)
        if len(rows) > 1:
            steps.append(float(np.median(np.diff(arrival_s))))
    return Timetable(processed, source, 1 / float(np.median(steps)) if steps else math.nan)


def untimed(frames: pd.DataFrame, wanted: Realtime) -> str | None:
    """Why frames have no time to arrive at; None where they have. The arguments are those of `timetable`."""
    for name, clip in frames.groupby("clip_id", sort=False):
        since = seconds(clip, wanted.frames_per_s)
        if not np.isfinite(since).all():
            return f"clip {name} has frames without timestamp_s; realtime.frames_per_s in params would state a rate"
        if (np.diff(since) <= 0).any():
            return f"the times of clip {name} do not rise; realtime.frames_per_s in params would state a rate"
    return None
