"""What sampled frames of every cell look like: chosen by the data set alone, and measured once, whatever the models."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import quality
from tasks.store import part_key

TABLE: Final = "frame_quality"
"""Under which name the part store keeps what was measured."""

MOST_FRAMES: Final = 200
"""Of a cell, about, and half of that at least where there are so many: a small share of what inference costs."""


@dataclass(frozen=True)
class Look:
    """What sampled frames of one shard look like at one severity; `key` finds it in the store.

    Attributes:
        severity, level: as of a part.
        places: of the frames within their shard, rising.
    """

    severity: int
    level: float | None
    places: tuple[int, ...]
    key: str


def make(
    severity: int, level: float | None, places: tuple[int, ...], *, shard: str, decided_by: Mapping[str, Any]
) -> Look:
    """A look at the shard of digest `shard`, keyed by all that decides it, which is no model.

    `decided_by` is corruption, seed and kind of device, as parts have them.
    """
    key = part_key({"features": quality.VERSION, "shard": shard, "places": places, **decided_by})
    return Look(severity, level, places, key)


def every(n_frames: int) -> int:
    """Of how many frames one is taken, where a cell has `n_frames`: a power of two, so that it seldom changes.

    Examples:
        >>> every(200), every(201), every(401), every(5000)
        (1, 2, 4, 32)
    """
    step = 1
    while n_frames > MOST_FRAMES * step:
        step *= 2
    return step


def sample(frames: pd.DataFrame, step: int) -> tuple[int, ...]:
    """Every `step`-th frame of each clip of a shard, by its place; from where on, a hash of the clip's id says.

    A clip shorter than that gives a frame or none, so that stills and short clips are sampled as evenly; and no clip's
    sample depends on which other clips there are.
    """
    within = frames.groupby("clip_id", sort=False).cumcount().to_numpy()
    starts = {
        clip: int(hashlib.sha256(str(clip).encode()).hexdigest()[:8], 16) % step for clip in frames["clip_id"].unique()
    }
    return tuple(np.flatnonzero(within % step == frames["clip_id"].map(starts).to_numpy()).tolist())


class Eye:
    """Measures the frames of a look while batches of its shard pass by."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._rows: dict[int, quality.Features] = {}

    def see(self, places: Sequence[int], frames: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Measure those of `frames`, each uint8 RGB, whose places in the shard are the look's."""
        wanted = set(self._look.places).intersection(places)
        self._rows |= {
            place: quality.features(frame) for place, frame in zip(places, frames, strict=True) if place in wanted
        }

    def table(self, shard: pd.DataFrame) -> pd.DataFrame:
        """The table `frame_quality` of the frames seen, in the shard's order."""
        rows = pd.DataFrame([self._rows[place] for place in self._look.places], columns=list(quality.FEATURES))
        rows.insert(0, "frame_id", shard["frame_id"].iloc[list(self._look.places)].to_numpy())
        return rows
