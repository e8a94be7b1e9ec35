"""What scans learn of each camera: what it usually shows, and what its first clips looked like.

What a scan learns it writes into its own folder, and it counts when that folder is whole: `settle` moves it to where
the next scans look. So each clip is learnt once, whenever a scan is killed; of one that is given back, nothing is.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Final

import pandas as pd

from tasks import tables
from tasks.data.frames import UnreadableFrame
from tasks.errors import InputError
from tasks.layout import slug
from tasks.monitoring.observe import Observed, observe
from tasks.quality import VERSION
from tasks.quality.tampering import TAMPERING, THRESHOLD, Background

STAGED: Final = ".learnt"
"""In the folder of a scan: what it has learnt and `settle` has not moved yet."""

FIRST_FRAMES: Final = 600
"""Of a camera's first clips so many sampled frames are its reference: five minutes at two a second."""

_BACKGROUNDS: Final = "backgrounds"
_FIRST: Final = f"first-{VERSION}"
_GIVEN: Final = f"given-{VERSION}"


class Memory:
    """What earlier scans have learnt, and this one so far; all of it may be deleted, and is learnt anew.

    Args:
        kept: the folder of what counts.
        staged: the folder of what this scan learns.
    """

    def __init__(self, kept: Path, staged: Path) -> None:
        self._kept = kept
        self._staged = staged

    def background(self, camera: str) -> Background | None:
        """What a camera has long shown; None where nothing is known."""
        name = f"{_BACKGROUNDS}/{slug(camera)}.npz"
        for folder in (self._staged, self._kept):
            if (folder / name).exists():
                try:
                    return Background.load(folder / name)
                except InputError:  # damaged: the next clip begins a new one
                    continue
        return None

    def first(self, camera: str) -> pd.DataFrame:
        """The frames of a camera's first clips, table `footage_first`, in the order in which those were received."""
        found, name = [], f"{_FIRST}/{slug(camera)}/*.parquet"
        for path in (*self._kept.glob(name), *self._staged.glob(name)):
            try:
                found.append(tables.read("footage_first", path))
            except InputError:  # damaged, or another scan has just moved it
                continue
        if not found:
            return pd.DataFrame(columns=tables.SCHEMAS["footage_first"].names)
        frames: pd.DataFrame = pd.concat(found).drop_duplicates(["clip_id", "t_s"])
        return frames.sort_values(["received_utc", "clip_id", "t_s"], ignore_index=True).head(FIRST_FRAMES)

    def learn(self, camera: str, seen: Observed) -> None:
        """The camera's usual picture goes on from a clip."""
        seen.background.save(self._staged / _BACKGROUNDS / f"{slug(camera)}.npz")

    def learn_first(self, clip_id: str, camera: str, received_utc: str, seen: Observed) -> None:
        """A clip's frames join those of the camera's first clips, until there are `FIRST_FRAMES`."""
        room = FIRST_FRAMES - len(self.first(camera))
        if room > 0:
            path = self._staged / _FIRST / slug(camera) / f"{clip_id}.parquet"
            tables.write("footage_first", _rows(seen.frames.head(room), clip_id, camera, received_utc), path)

    def given(
        self, path: Path, *, camera: str, received_utc: str, stamp: str, sample_per_s: float, window_s: float
    ) -> pd.DataFrame:
        """The sampled frames of a clip that somebody knows to be good, table `footage_first`; measured once.

        Args:
            path: of the clip.
            camera: of the clip.
            received_utc: of the clip.
            stamp: changes when the clip may have.
            sample_per_s: as in `observe`.
            window_s: likewise.

        Raises:
            InputError: the clip is broken.
        """
        key = hashlib.sha256(f"{path}\n{stamp}\n{sample_per_s:g}".encode(errors="surrogateescape")).hexdigest()[:16]
        kept = self._kept / _GIVEN / f"{key}.parquet"
        try:
            return tables.read("footage_first", kept)
        except InputError:  # not measured yet, or damaged
            pass
        try:
            seen = observe(path, sample_per_s=sample_per_s, window_s=window_s)
        except UnreadableFrame as error:
            raise InputError(f"footage.reference: {error} Put a whole clip there, or take this one away.") from None
        found = _rows(seen.frames, key, camera, received_utc)
        tables.write("footage_first", found, kept)
        return found


def _rows(frames: pd.DataFrame, clip_id: str, camera: str, received_utc: str) -> pd.DataFrame:
    """The table `footage_first` of one clip's frames."""
    rows = frames.assign(clip_id=clip_id, camera=camera, received_utc=received_utc)
    return tables.from_arrow("footage_first", tables.to_arrow("footage_first", rows))


def untouched(seen: Observed) -> bool:
    """Whether a clip is whole and nothing was done to its camera, as far as pixels tell."""
    scores = seen.windows[seen.windows["feature"].isin(TAMPERING)]
    over = scores["value"] >= scores["feature"].map(dict(THRESHOLD)).astype(float)
    return seen.facts.error is None and not seen.facts.n_damaged and not over.any()


def settle(root: Path, kept: Path) -> None:
    """What whole scans have learnt counts from now on; those that died before they had moved it are no exception.

    Args:
        root: the folder of runs.
        kept: as of `Memory`.
    """
    for staged in sorted(root.glob(f"[0-9]*/{STAGED}")):
        for path in sorted(path for path in staged.rglob("*") if path.is_file()):
            target = kept / path.relative_to(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.replace(target)
            except FileNotFoundError:  # another scan was first
                continue
        shutil.rmtree(staged, ignore_errors=True)
