"""Features over windows of clips, and how long a window may be for two sets of clips to compare.

A mean over ten seconds varies less than one over a single second, so distributions compare only where the windows of
both sides are alike. The clips of a data set are often shorter than the windows that one would choose for footage.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from tasks.errors import InputError
from tasks.metrics.instances import Floats, Ints

COLUMNS: Final = ["clip_id", "camera", "t_s", "feature", "value"]
"""Of a table of windows, as `footage_input` and `footage_output`; t_s: where a window starts, from the clip's start."""

_SLACK: Final = 1e-6
"""Of a window: a frame that starts one may lie so far before it, for times are rounded to milliseconds or ticks."""


class Cut(NamedTuple):
    """Which window each frame lies in.

    Attributes:
        window: (n_frames,) position of its window.
        clip: (n_windows,) position, within `clips`, of the clip.
        t_s: (n_windows,) start, from the clip's start.
        clips: ids of the clips, as they first appear.
    """

    window: Ints
    clip: Ints
    t_s: Floats
    clips: list[str]


def times(frames: pd.DataFrame) -> Floats:
    """(n_frames,) seconds: the column `t_s`, or `timestamp_s` as the table `frames` has it; NaN where not known."""
    name = "t_s" if "t_s" in frames.columns else "timestamp_s"
    if name not in frames.columns:
        raise InputError("Expected frames with a column t_s or timestamp_s, found neither: when was each taken?")
    found: Floats = frames[name].to_numpy(np.float64, na_value=np.nan)
    return found


def length(frames: pd.DataFrame, window_s: float) -> float:
    """The longest window, up to `window_s`, that half of the clips fill; 0, a frame by itself, for stills.

    Args:
        frames: clip_id and t_s or timestamp_s; clips without times count as stills.
        window_s: what is wanted.

    Examples:
        >>> length(pd.DataFrame({"clip_id": ["a", "a", "b", "b"], "t_s": [0.0, 0.5, 0.0, 0.5]}), 10.0)
        1.0
    """
    seconds = times(frames)
    by_clip = pd.Series(seconds).groupby(frames["clip_id"].to_numpy()).indices
    lengths = [_duration(seconds[rows]) for rows in by_clip.values()]
    return min(window_s, round(float(np.median(lengths)), 3)) if lengths else window_s


def cut(frames: pd.DataFrame, window_s: float) -> Cut:
    """Cut clips into windows from their first frame on; a rest shorter than half a window joins the one before.

    Args:
        frames: clip_id and t_s or timestamp_s, in order of time within each clip.
        window_s: 0 for windows of one frame; so are the frames of a clip without times, whatever is asked.
    """
    seconds = times(frames)
    codes, clips = pd.factorize(frames["clip_id"])
    order = np.zeros(len(frames), dtype=np.int64)
    start = np.zeros(len(frames))
    for rows in pd.Series(codes).groupby(codes).indices.values():
        since = seconds[rows] - seconds[rows[0]]
        whole = _duration(seconds[rows])
        if not window_s or not whole:
            order[rows] = np.arange(len(rows))
            start[rows] = order[rows] if np.isnan(since).any() else since  # no two windows start together
            continue
        last = max(round(whole / window_s), 1) - 1
        order[rows] = np.clip(np.floor(since / window_s + _SLACK), 0, last).astype(np.int64)
        start[rows] = order[rows] * window_s
    pairs = pd.MultiIndex.from_arrays([codes, order])
    window, _ = pd.factorize(pairs)
    first = np.unique(window, return_index=True)[1]
    return Cut(window.astype(np.int64), codes[first].astype(np.int64), start[first], [str(name) for name in clips])


def of_frames(frames: pd.DataFrame, *, window_s: float) -> pd.DataFrame:
    """Means of per-frame features over windows.

    Args:
        frames: clip_id, camera (null or absent: `all`), t_s or timestamp_s, and a number column for each feature; in
            order of time within each clip. NaN is left out of means.
        window_s: as in `cut`.

    Returns:
        COLUMNS, by window, then feature; what a window does not tell is left out.
    """
    known = {"clip_id", "camera", "t_s", "timestamp_s", "frame_id", "severity"}
    features = [name for name in frames.select_dtypes("number").columns if name not in known]
    found = cut(frames, window_s)
    means = frames[features].astype(np.float64).groupby(found.window).mean()
    return table(found, cameras(frames, found), {name: means[name].to_numpy() for name in features})


def cameras(frames: pd.DataFrame, found: Cut) -> list[str]:
    """The camera of each clip of `found.clips`; `all` where none is given."""
    if "camera" not in frames.columns:
        return ["all"] * len(found.clips)
    of = frames.groupby("clip_id", sort=False)["camera"].first()
    return ["all" if pd.isna(of[name]) else str(of[name]) for name in found.clips]


def table(found: Cut, camera: list[str], values: dict[str, Floats]) -> pd.DataFrame:
    """Features by window, each (n_windows,), as a table of COLUMNS; NaN is left out."""
    n_windows, names = len(found.t_s), list(values)
    wide = np.stack([values[name] for name in names], axis=1) if names else np.zeros((n_windows, 0))
    rows, columns = np.nonzero(~np.isnan(wide))
    clips = np.array(found.clips, dtype=object)
    return pd.DataFrame(
        {
            "clip_id": clips[found.clip[rows]],
            "camera": np.array(camera, dtype=object)[found.clip[rows]],
            "t_s": found.t_s[rows],
            "feature": np.array(names, dtype=object)[columns] if names else np.zeros(0, dtype=object),
            "value": wide[rows, columns],
        }
    )


def blocks(windows: pd.DataFrame, block_s: float) -> pd.DataFrame:
    """The same windows as if every `block_s` of a clip were a clip of its own, named `clip_id#place`."""
    place = np.floor(windows["t_s"].to_numpy() / block_s + _SLACK).astype(np.int64)
    return windows.assign(clip_id=[f"{clip}#{at}" for clip, at in zip(windows["clip_id"], place, strict=True)])


def _duration(seconds: Floats) -> float:
    """From the first frame to the end of the last, which lasts as long as frames do; 0 for one frame, or no times."""
    if len(seconds) < 2 or np.isnan(seconds).any():
        return 0.0
    return float(seconds[-1] - seconds[0] + np.median(np.diff(seconds)))
