"""Thirds of what clean frames measure: how slices such as `brightness=low` are cut, and where."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.errors import InputError

Mask = npt.NDArray[np.bool_]

UNITS: Final[Mapping[str, str]] = {
    "brightness": " grey levels",
    "contrast": " grey levels",
    "sharpness": " squared grey levels",
    "noise": " grey levels",
    "crowding": " objects a frame",
}
"""Of measurements that are cut into thirds; blockiness is a ratio."""


def measured(quality: pd.DataFrame | None, frames: pd.DataFrame) -> pd.DataFrame:
    """The measurements of `frames`, row by row under their index; no column where there are none."""
    if quality is None:
        return pd.DataFrame(index=frames.index)
    found = quality.set_index("frame_id")
    missing = frames.loc[~frames["frame_id"].isin(found.index), "frame_id"]
    if not missing.empty:
        raise InputError(
            f"The table quality has no row of frame {missing.iloc[0]}, expected one of each frame: run "
            "`stormglass prepare` again."
        )
    return found.loc[frames["frame_id"]].set_axis(frames.index)


def column_of(measured: pd.DataFrame, column: str) -> pd.Series:
    """One measurement.

    Raises:
        InputError: the tables do not have it.
    """
    if column not in measured.columns:
        raise InputError(
            f"slices.derived: '{column}' needs the table quality, which these tables lack: run `stormglass prepare` "
            "again."
        )
    return measured[column].astype(float)


def cut(values: pd.Series, clips: pd.Series) -> list[tuple[str, Mask]]:
    """The frames by thirds of a measurement, as (name, mask); whole clips, each by the mean of its frames.

    Equal values stay together, in the third where the middle of their ranks lies; so counts are equal only as far as
    ties and the lengths of clips allow. Where these leave two thirds, they are low and high; where one, there is none:
    it would be all frames. A frame without a value, in a clip without one, is in no third.
    """
    means = values.groupby(clips).transform("mean")
    n = int(means.notna().sum())
    # rank - 1/2 is the middle of a value's places 0..n; twice that is whole, so that the cut is exact.
    place = (means.rank(method="average") * 2 - 1) * 3 // (2 * n) if n else means
    parts = sorted(place.dropna().unique())
    names = {1: (), 2: ("low", "high"), 3: ("low", "mid", "high")}.get(len(parts), ())
    return [(name, np.asarray(place == part, dtype=bool)) for name, part in zip(names, parts, strict=False)]


def bounds(columns: Sequence[str], frames: pd.DataFrame, quality: pd.DataFrame | None) -> tuple[str, ...]:
    """Where measurements are cut, a sentence for each: `brightness: low below 71.2, high from 103 grey levels`.

    Args:
        columns: the measurements; one that has no thirds, being the same everywhere, is left out.
        frames: rows of the table `frames`, those that are scored.
        quality: the table `quality`; None where the data were prepared without it.

    Raises:
        InputError: a measurement that the tables do not have.
    """
    known = measured(quality, frames)
    found = []
    for column in columns:
        values = column_of(known, column)
        means = values.groupby(frames["clip_id"]).transform("mean")
        cuts = [f"{means[mask].min():.4g}" for _, mask in cut(values, frames["clip_id"])[1:]]
        if cuts:
            found.append(f"{column}: low below {cuts[0]}, high from {cuts[-1]}{UNITS.get(column, '')}")
    return tuple(found)
