"""Several processes that scan one inbox at the same time."""

import multiprocessing
import os
import signal
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tasks import tables
from tasks.footage.ledger import Clip
from tasks.footage.runs import Runs
from tests.footage_scans import agreement, digests, leftovers, scan

N_FILES = 12
SCANS = 4


def length(clip: Clip) -> int:
    return len(clip.path.read_bytes())


def deadly(clip: Clip) -> int:
    """Work that somebody kills at one of the clips."""
    if clip.path.read_bytes() == b"film 5":
        os.kill(os.getpid(), signal.SIGKILL)
    return length(clip)


def scans(inbox: Path, root: Path, together: Barrier, killed: bool) -> None:
    Runs(root)
    together.wait(60)
    for _ in range(SCANS):
        scan(inbox, root, minutes=2, work=deadly if killed else length)


@pytest.mark.parametrize("killed", [False, True], ids=["both live", "one is killed"])
def test_two_processes(tmp_path: Path, killed: bool) -> None:
    inbox, root = tmp_path / "inbox", tmp_path / "runs"
    inbox.mkdir()
    for at in range(N_FILES):
        (inbox / f"{at}.mp4").write_bytes(f"film {at}".encode())
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    both = [context.Process(target=scans, args=(inbox, root, together, kill)) for kill in (False, killed)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    ends = [process.exitcode for process in both]
    assert ends[0] == 0
    assert ends[1] in ((0, -9) if killed else (0,))  # the other one may have come to that clip first
    taken = [len(tables.read("footage_clips", path)) for path in root.glob("*/clips.parquet")]
    assert len(taken) > N_FILES // 2 - SCANS
    assert max(taken) <= 2
    for _ in range(SCANS):
        scan(inbox, root)
    assert agreement(root) == dict.fromkeys(digests(inbox), "ok")
    assert leftovers(root) == set()
