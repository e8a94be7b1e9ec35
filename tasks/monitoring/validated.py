"""The validated run's clean clips, described as new footage is: what that is compared with."""

import json
from collections.abc import Mapping
from functools import partial

import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.metrics.requests import requests
from tasks.monitoring import windows
from tasks.monitoring.outputs import SHOWN_SCORE, describe
from tasks.params import Params


def window_s(params: Params, layout: Layout) -> float:
    """How long the windows of both sides are: `footage.window_s`, or less where the run's clips are shorter.

    Raises:
        InputError: params have no section `footage`, or the run no table `frames`.
    """
    if params.footage is None:
        raise InputError("params.yaml has no section `footage`, which says into which windows footage is cut.")
    return windows.length(_scored(params, layout), params.footage.window_s)


def outputs(
    params: Params,
    layout: Layout,
    model: str,
    *,
    window_s: float,
    act: Mapping[int, float | None] | None = None,
    shown: float = SHOWN_SCORE,
) -> pd.DataFrame:
    """What `model` said of the run's clean frames, as `outputs.describe` tells it; one stored part after another.

    Raises:
        InputError: the run has no clean predictions of the model.
    """
    path = layout.predictions / "models.json"
    try:
        names = json.loads(path.read_text(encoding="utf-8"))[model]
    except (OSError, ValueError, KeyError):
        raise InputError(f"Expected what {model} is in {path}: run `stormglass infer` first.") from None
    clean = next((cell for cell in requests(params, layout) if (cell.model, cell.severity) == (model, 0)), None)
    if clean is None or clean.status != "ok":
        raise InputError(f"{layout.predictions} has no clean predictions of {model}: run `stormglass infer` first.")
    tracked = True if params.models[model].tracker is not None else None
    asked = partial(describe, window_s=window_s, names=names, act=act, shown=shown, tracked=tracked)
    told, left = [], _scored(params, layout)
    for file in clean.files:
        part = tables.read("predictions", file)
        here = left["clip_id"].isin(left.loc[left["frame_id"].isin(part["frame_id"]), "clip_id"])
        told.append(asked(part, left[here]))
        left = left[~here]
    if len(left):  # clips in which the model found nothing
        told.append(asked(part.iloc[:0], left))
    return pd.concat(told, ignore_index=True)


def frames(params: Params, layout: Layout) -> pd.DataFrame:
    """The clean frames whose input was measured: clip_id, camera, t_s and a column for each feature.

    Raises:
        InputError: the run did not measure them.
    """
    measured = tables.read("cell_quality", layout.predictions / "quality.parquet")
    clean = measured[measured["severity"] == 0].drop(columns=["corruption", "family", "severity"])
    taken = _scored(params, layout)[["frame_id", "timestamp_s"]].rename(columns={"timestamp_s": "t_s"})
    found = taken.merge(clean, on="frame_id")  # in order of the clips' frames
    return found.assign(camera=found["camera"].fillna("all"))


def inputs(params: Params, layout: Layout, *, window_s: float) -> pd.DataFrame:
    """What the run's clean frames look like, by windows, as `windows.of_frames` tells it.

    Raises:
        InputError: as `frames`.
    """
    return windows.of_frames(frames(params, layout), window_s=window_s)


def _scored(params: Params, layout: Layout) -> pd.DataFrame:
    """The frames that the run has looked at."""
    table = tables.read("frames", layout.tables / "frames.parquet")
    return tables.select(table, split=params.dataset.split, limit=params.dataset.limit)
