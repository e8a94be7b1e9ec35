"""A whole scan with next to no work in it, small videos for it, and what must hold of an inbox and its runs then."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from tasks import tables
from tasks.data import video
from tasks.footage.facts import Facts
from tasks.footage.inbox import listing
from tasks.footage.ledger import Clip
from tasks.footage.runs import Run, Runs

MINUTE = Facts(60.0, 600, 64, 48, 10.0, "h264", 300.0)
NOW = datetime(2026, 11, 22, 3, 15, tzinfo=UTC)


def write_video(path: Path, *, seed: int = 0, frames: int = 10, rate: int = 10) -> Path:
    """A video of 48x64 noise; each seed has its own content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = video.Facts(Fraction(rate), Fraction(1, 12800), None)
    pixels = np.random.default_rng(seed).integers(0, 255, (frames, 48, 64, 3), dtype=np.uint8)
    timed = [video.Timed(frame, at * 12800 // rate) for at, frame in enumerate(pixels)]
    video.write(path, timed, facts, container=path.suffix)
    return path


def minute(path: Path) -> Facts:
    """Facts of anything: it lasts a minute."""
    return MINUTE


def scan(
    inbox: Path | str,
    root: Path,
    *,
    minutes: float = 100.0,
    work: Callable[[Clip], int] = lambda clip: len(clip.path.read_bytes()),
    examine: Callable[[Path], Facts] = minute,
    settle_s: float = 0.0,
    now: datetime = NOW,
    keep_days: float | None = None,
) -> Path | None:
    """Everything that a scan does with the room; the work on a clip is `work`."""
    runs = Runs(root)
    runs.recover()
    found = listing(inbox, settle_s=settle_s)
    with runs.begin(now) as run:
        batch = run.take(found, minutes=minutes, examine=examine)
        sizes = {clip.clip_id: run.process(clip, work) for clip in batch.clips}
        place = run.finish(fill(run, sizes), now=now, keep_folder=not run.table().empty)
    runs.prune(keep_days=keep_days, now=now)
    return place


def fill(run: Run, sizes: Mapping[str, int | None]) -> pd.DataFrame:
    """Write a run's table and a file for each clip that is ok; its lines of the history: clips by camera."""
    table = run.table()
    tables.write("footage_clips", table, run.folder / "clips.parquet")
    (run.folder / "clips").mkdir()
    for clip_id in table.loc[table["status"] == "ok", "clip_id"]:
        (run.folder / "clips" / f"{clip_id}.txt").write_text(f"{sizes[clip_id]} bytes")
    cameras = table.groupby("camera").size()
    return pd.DataFrame({"camera": cameras.index, "signal": "clips", "value": cameras.to_numpy(float)})


def digests(folder: Path) -> set[str]:
    """sha256 of every file in the inbox."""
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def agreement(root: Path, *, removed: bool = False) -> Mapping[str, str]:
    """The final status of each content by its sha256, after all that lies in the folder was found to say the same.

    `removed`: some runs' folders may have been, so that the ledger knows more than they do.
    """
    ledger = Runs(root).ledger
    clips = ledger.clips()
    settled = clips[clips["status"].isin(["ok", "quarantined", "failed"])]
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    there = [tables.read("footage_clips", root / name / "clips.parquet") for name in names]
    rows = pd.concat(there) if there else pd.DataFrame(columns=tables.SCHEMAS["footage_clips"].names)
    for name, table in zip(names, there, strict=True):
        assert set(table["run"]) <= {name}
        done = {path.stem for path in (root / name / "clips").iterdir()}
        assert done == set(table.loc[table["status"] == "ok", "clip_id"])
    ok = rows[rows["status"] == "ok"]
    assert ok["clip_id"].is_unique, "a clip was processed twice"
    counts = rows.groupby(["run", "camera"]).size().rename("value").reset_index()
    history = ledger.history()
    tables.to_arrow("footage_history", history)
    assert not history.duplicated(["run", "camera", "signal"]).any()
    if not removed:
        last = {(clip_id, status, run) for clip_id, status, run in settled[["clip_id", "status", "run"]].to_numpy()}
        assert last <= {
            (clip_id, status, run) for clip_id, status, run in rows[["clip_id", "status", "run"]].to_numpy()
        }
        told = history[["run", "camera", "value"]].sort_values(["run", "camera"], ignore_index=True)
        pd.testing.assert_frame_equal(
            told, counts.sort_values(["run", "camera"], ignore_index=True), check_dtype=False, check_index_type=False
        )
    return dict(zip(settled["sha256"], settled["status"], strict=True))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def leftovers(root: Path) -> set[str]:
    """What lies in the folder of the runs beside whole runs and the ledger."""
    return (
        names(root)
        - {path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."}
        - {"ledger.sqlite"}
    )
