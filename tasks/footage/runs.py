"""The runs of the scans: what each takes from the inbox, what became of it, and the moment when it all counts.

The steps of `Run.finish`: the history's lines are written, the folder's files are brought to the disk, the folder gets
its name, the ledger says `whole`. Whoever finds the run of a dead process completes it when the folder has its name,
and gives it up otherwise; so it has happened altogether or not at all.
"""

import hashlib
import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

import pandas as pd

from tasks import tables
from tasks.data.frames import UnreadableFrame
from tasks.errors import InputError
from tasks.footage import remote
from tasks.footage.facts import Facts
from tasks.footage.facts import examine as examine_headers
from tasks.footage.folders import Folders
from tasks.footage.inbox import Arrival, Left, Listing, iso, stamp_of
from tasks.footage.ledger import Backlog, Clip, Ledger, Outcome, clip_id_of
from tasks.footage.wholeness import unfinished

LOGGER = logging.getLogger(__name__)

T = TypeVar("T")

CRASHES: Final = 3
"""A clip that killed its process so often is quarantined: the others wait behind it."""


@dataclass(frozen=True)
class Batch:
    """What a run took, oldest first; what waits for the next; and what the inbox holds that is left alone."""

    clips: tuple[Clip, ...]
    backlog: Backlog
    left: tuple[Left, ...]


class Runs:
    """The folder in which scans write, and its ledger; both made when missing.

    Raises:
        InputError: the folder cannot be made or written, or its ledger is not readable.
    """

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"footage.runs: the folder {root} cannot be made ({error.strerror}).") from None
        self.root = root
        self.ledger = Ledger(root / "ledger.sqlite")
        self._folders = Folders(root)

    def recover(self) -> list[str]:
        """Complete or give up the runs of dead scans, and remove what they left behind; the names of those runs.

        A scan calls it first. Runs of living scans, on whatever machine, are left alone.
        """
        seen = self._folders.unfinished()  # before asking which are open: what begins meanwhile is not in it
        completed, dropped = self.ledger.recover(
            dead=lambda run: not self._folders.held(run), whole=lambda run: self._folders.whole(run).is_dir()
        )
        for run in seen - set(self.ledger.runs("open")):
            self._folders.tidy(run)
        remote.sweep(self.root / ".cache")
        return completed + dropped

    def under_way(self) -> datetime | None:
        """Since when the oldest of the living scans is at work; None where none is."""
        living = [run for run in self.ledger.runs("open") if self._folders.held(run)]
        return datetime.strptime(min(living).partition("-")[0], "%Y%m%dT%H%M%S%z") if living else None

    def begin(self, now: datetime | None = None) -> "Run":
        """A new run, to be used in `with`: left without `finish`, nothing of it has happened."""
        held: list[int] = []

        def free(run: str) -> bool:
            if self._folders.whole(run).exists():
                return False
            held.append(self._folders.hold(run))
            return True

        name = self.ledger.begin(now or datetime.now(UTC), free=free)
        lock = held.pop()
        try:
            self._folders.hidden(name).mkdir()
        except OSError as error:
            os.close(lock)
            raise InputError(f"footage.runs: no folder can be made in {self.root} ({error.strerror}).") from None
        return Run(name, self.ledger, self._folders, lock)

    def prune(self, *, keep_days: float | None, now: datetime | None = None) -> list[str]:
        """Remove the folders of whole runs that finished longer ago; their names. None: none are.

        A folder that is not the ledger's stays. The ledger forgets nothing, so old clips do not come back.
        """
        if keep_days is None:
            return []
        limit = iso(((now or datetime.now(UTC)) - timedelta(days=keep_days)).timestamp())
        finished = self.ledger.runs("whole")
        old = sorted(run for run in self._folders.names() if run in finished and str(finished[run]) < limit)
        for run in old:
            self._folders.remove(run)
        return old


class Run:
    """One scan's run: `name` says when it began, `folder` is where it writes until it is finished."""

    def __init__(self, name: str, ledger: Ledger, folders: Folders, lock: int) -> None:
        self.name = name
        self.folder = folders.hidden(name)
        self._ledger = ledger
        self._folders = folders
        self._lock = lock
        self._settled = False
        self._arrivals: dict[str, Arrival] = {}
        self._facts: dict[str, Facts] = {}

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if not self._settled:
                self._ledger.drop(self.name)
                self._folders.tidy(self.name)
        finally:
            os.close(self._lock)

    def take(self, found: Listing, *, minutes: float, examine: Callable[[Path], Facts] = examine_headers) -> Batch:
        """Claim new files, oldest first, until they last so many minutes; one at least, however long it is.

        A file is fetched and hashed only when its turn comes, and not again unless it changed. One that is broken is
        quarantined, and so is one that killed its process `CRASHES` times; both are in `table` and not in the batch.

        Args:
            found: What the inbox holds.
            minutes: Of footage.
            examine: Facts of a file; its UnreadableFrame says why the file is broken.

        Raises:
            InputError: the runs lie inside the inbox.
        """
        clips: list[Clip] = []
        left: list[Left] = list(found.left)
        waiting: list[Arrival] = []
        seconds = 0.0
        for arrival, sha256 in self._ledger.unseen(found.arrivals):
            if waiting or (clips and seconds >= minutes * 60):
                waiting.append(arrival)
                continue
            try:
                clip = self._claim(arrival, sha256, found.settle_s, examine)
            except FileNotFoundError:
                left.append(Left(arrival.name, "gone since it was listed", arrival.received_utc))
                continue
            except OSError as error:
                left.append(Left(arrival.name, f"not readable: {error.strerror or error}", arrival.received_utc))
                continue
            if isinstance(clip, Left):
                left.append(clip)
            elif clip is not None and clips and seconds + clip.facts.duration_s > minutes * 60:
                self._give_back(clip.sha256)
                waiting.append(arrival)
            elif clip is not None:
                clips.append(clip)
                seconds += clip.facts.duration_s
        ages = [arrival.unchanged_s for arrival in waiting if math.isfinite(arrival.unchanged_s)]
        backlog = Backlog(len(waiting), max(ages, default=0.0 if waiting else None))
        return Batch(tuple(clips), backlog, tuple(left))

    def process(self, clip: Clip, work: Callable[[Clip], T]) -> T | None:
        """Work on a clip and keep what became of it; the result, or None unless that is `ok`.

        `quarantined` is what raises UnreadableFrame, `failed` what raises anything else but InputError, which is about
        the settings and ends the scan. A file that vanished or changed meanwhile is given back, whatever came of it.
        """
        self._ledger.work(self.name, clip.sha256, begins=True)
        result: T | None = None
        status: Outcome = "ok"
        reason = None
        try:
            result = work(clip)
        except UnreadableFrame as error:
            status, reason = "quarantined", self._told(error, clip.path, clip.file)
        except InputError:
            raise
        except Exception as error:
            LOGGER.exception("%s: work on the clip %s failed.", self.name, clip.file)
            status, reason = "failed", self._told(error, clip.path, clip.file)
        if not self._unchanged(self._arrivals[clip.sha256]):
            LOGGER.warning("%s: %s changed or vanished while it was read: left for a later scan.", self.name, clip.file)
            self._give_back(clip.sha256)
            return None
        self._ledger.outcome(self.name, clip.sha256, status, reason)
        return result if status == "ok" else None

    def table(self) -> pd.DataFrame:
        """The table `footage_clips` of the run so far, in the order in which it took them."""
        rows = self._ledger.of_run(self.name).set_index("sha256")
        order = [sha256 for sha256 in self._arrivals if sha256 in rows.index]
        known = pd.DataFrame([asdict(self._facts[one]) if one in self._facts else {} for one in order], index=order)
        names = tables.SCHEMAS["footage_clips"].names
        table = rows.loc[order].join(known).reindex(columns=names).reset_index(drop=True)
        return table.astype(dict.fromkeys(("n_frames", "width_px", "height_px"), "Int64"))

    def finish(self, signals: pd.DataFrame, *, now: datetime | None = None, keep_folder: bool = True) -> Path | None:
        """Let everything count that the run did, and give its folder its name; where it is.

        Clips without an outcome are given back.

        Args:
            signals: The run's lines of the history: camera, signal, value; each signal of a camera once.
            now: The time at which it is finished; the clock's where not given.
            keep_folder: False for a scan that found nothing: its lines count, and there is no folder.

        Raises:
            InputError: `signals` does not fit.
            ValueError: there are outcomes, which need a folder.
        """
        if not keep_folder and not self._ledger.of_run(self.name).empty:
            raise ValueError(f"{self.name}: a run that has clips keeps its folder")
        self._ledger.prepare(self.name, signals, now or datetime.now(UTC))
        place = self._folders.publish(self.name) if keep_folder else None
        self._settled = True  # from here on only forward, by the next scan if not by this one
        self._ledger.complete(self.name)
        self._folders.tidy(self.name)
        for arrival in self._arrivals.values():
            if arrival.remote:
                remote.cached(arrival, self._cache).unlink(missing_ok=True)
        return place

    @property
    def _cache(self) -> Path:
        return self._folders.root / ".cache"

    def _claim(
        self, arrival: Arrival, sha256: str | None, settle_s: float, examine: Callable[[Path], Facts]
    ) -> Clip | Left | None:
        """The file as a clip of this run; why it is left alone; None where it is not new, or in quarantine now.

        Raises:
            OSError: it is gone or not readable.
        """
        if not arrival.remote and Path(arrival.place).resolve().is_relative_to(self._folders.root.resolve()):
            raise InputError(f"footage.runs: {self._folders.root} lies in footage.inbox: name a folder outside it.")
        path = remote.fetch(arrival, self._cache) if arrival.remote else Path(arrival.place)
        if why := unfinished(path, unchanged_s=arrival.unchanged_s, settle_s=settle_s):
            return Left(arrival.name, why, arrival.received_utc)
        if sha256 is None:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not self._unchanged(arrival):
            why = "still being written: it changed while it was read"
            return Left(arrival.name, why, arrival.received_utc)
        crashes = self._ledger.claim(self.name, sha256, arrival)
        if crashes is None:
            return None
        self._arrivals[sha256] = arrival
        try:
            if crashes >= CRASHES:
                raise UnreadableFrame(f"The process that worked on {path} was killed {crashes} times.")
            self._facts[sha256] = known = examine(path)
        except UnreadableFrame as error:
            self._ledger.outcome(self.name, sha256, "quarantined", self._told(error, path, arrival.name))
            return None
        self._ledger.work(self.name, sha256, begins=False)
        return Clip(
            clip_id_of(sha256), sha256, arrival.camera, arrival.name, path, arrival.size, arrival.received_utc, known
        )

    def _give_back(self, sha256: str) -> None:
        self._ledger.give_back(self.name, sha256)
        del self._arrivals[sha256]

    @staticmethod
    def _unchanged(arrival: Arrival) -> bool:
        """Whether what was read is what was listed; a fetched copy is nobody's to change."""
        try:
            return arrival.remote or stamp_of(Path(arrival.place).stat()) == arrival.stamp
        except OSError:
            return False

    @staticmethod
    def _told(error: Exception, path: Path, name: str) -> str:
        """An error's message on one line, with the file's name in the inbox in the place of its path."""
        return " ".join(str(error).replace(str(path), name).split()) or type(error).__name__
