"""Shards: whole clips, cut by the data set alone, so that workers and batches change no part."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from tasks.errors import InputError

MIN_FRAMES: Final = 16
"""Fewer than this and opening files, writing the part and scheduling weigh as much as the work itself."""

MIN_PIXELS: Final = 8_000_000
"""Frames of a small format come by the dozen: some seconds of work for each corruption, a few hundred parts a run."""

_IDENTITY = ["frame_id", "clip_id", "frame_index", "source_member", "source_index", "width_px", "height_px"]


@dataclass(frozen=True, eq=False)
class Shard:
    """Some whole clips.

    Attributes:
        name: its place in the data set, `shard-0000` and so on: the file name of its parts.
        frames: rows of the table `frames`.
        digest: sha256 of everything about the frames that decides their clean pixels and their corruption.
    """

    name: str
    frames: pd.DataFrame
    digest: str


def cut(frames: pd.DataFrame, dataset_dir: Path) -> list[Shard]:
    """The shards of `frames`: clips in order, a shard closed once it holds enough frames and enough pixels.

    Args:
        frames: the table `frames`, each clip's rows together and in order.
        dataset_dir: the data set's folder; every source file is read once, for its sha256.

    Raises:
        InputError: a source file is gone.
    """
    digests = _source_digests(frames, dataset_dir)
    groups: list[list[pd.DataFrame]] = [[]]
    n_frames = n_pixels = 0
    for _, clip in frames.groupby("clip_id", sort=False):
        if n_frames >= MIN_FRAMES and n_pixels >= MIN_PIXELS:
            groups.append([])
            n_frames = n_pixels = 0
        groups[-1].append(clip)
        n_frames += len(clip)
        n_pixels += int((clip["width_px"].astype("int64") * clip["height_px"].astype("int64")).sum())
    shards = []
    for place, clips in enumerate(groups):
        rows = pd.concat(clips, ignore_index=True)
        shards.append(Shard(name=f"shard-{place:04d}", frames=rows, digest=_digest(rows, digests)))
    return shards


def _source_digests(frames: pd.DataFrame, dataset_dir: Path) -> dict[str, str]:
    digests = {}
    for source in frames["source_file"].unique():
        path = dataset_dir / source
        try:
            with path.open("rb") as file:
                digests[str(source)] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(
                f"Expected the frames' file {path}, which tables/frames.parquet names, but cannot read it "
                f"({error.strerror}): put it back, or run `stormglass prepare` again."
            ) from None
    return digests


def _digest(rows: pd.DataFrame, sources: dict[str, str]) -> str:
    facts = json.loads(rows[_IDENTITY].to_json(orient="values"))
    for fact, source in zip(facts, rows["source_file"], strict=True):
        fact.append(sources[source])
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()
