"""Frames taken evenly over the conditions of a data set, not at random: the rare ones are there, too."""

import hashlib
from collections.abc import Sequence

import pandas as pd

from tasks.errors import InputError


def even(frames: pd.DataFrame, attributes: Sequence[str], count: int) -> pd.DataFrame:
    """At most `count` frames, by turns from each combination of the attributes' values, within it from each clip.

    Which ones is fixed by the frames' ids alone.

    Args:
        frames: rows of the table `frames`.
        attributes: columns of it; none: by clips alone.
        count: how many.

    Raises:
        InputError: there is no such column.
    """
    for name in attributes:
        if name not in frames.columns:
            raise InputError(f"The frames have no attribute '{name}' to take them evenly over.")
    order = frames["frame_id"].map(lambda frame_id: hashlib.sha256(str(frame_id).encode()).hexdigest())
    drawn = frames.assign(_order=order).sort_values("_order")
    drawn["_in_clip"] = drawn.groupby("clip_id").cumcount()
    keys = list(attributes) or ["clip_id"]
    drawn = drawn.sort_values(["_in_clip", "_order"])
    drawn["_turn"] = drawn.groupby(keys, dropna=False).cumcount()
    chosen = drawn.sort_values(["_turn", "_order"]).head(count).index
    return frames.loc[sorted(chosen)]


def matching(frames: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frames of a slice that attributes cut: `time_of_day=night`, or `camera=north & time_of_day=night`.

    Raises:
        InputError: not of that form, no such attribute, or no such frame.
    """
    chosen = frames
    for part in name.split("&"):
        column, equals, value = (text.strip() for text in part.partition("="))
        if not equals or column not in frames.columns:
            raise InputError(
                f"Expected a slice such as time_of_day=night by a column of the frames, got '{name}'; "
                f"columns: {', '.join(frames.columns)}."
            )
        chosen = chosen[chosen[column].astype(str) == value]
    if chosen.empty:
        raise InputError(f"No frame lies in the slice '{name}' of this split.")
    return chosen
