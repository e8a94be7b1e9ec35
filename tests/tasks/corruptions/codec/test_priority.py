"""Coding leaves the scheduling of the process alone."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from tasks.corruptions.codec import priority
from tasks.corruptions.codec.coding import AV1, H264, H265, Codec, by_crf
from tasks.corruptions.interface import Coding, Level

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells of threads so")


def policies() -> set[int]:
    return {os.sched_getscheduler(int(entry.name)) for entry in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize("codec", [H264, H265, AV1], ids=lambda codec: codec.name)
def test_no_coder_makes_its_threads_or_ours_go_first(codec: Codec) -> None:
    # What could not be seen unless one is root, whom SVT-AV1 takes for the owner of the machine.
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), np.uint8)
    assert policies() == {os.SCHED_OTHER}
    seen = [policies() for _ in by_crf(codec)(iter(frames), Level((("crf", 30.0),), None), Coding(0))]
    assert len(seen) == 4
    assert set.union(*seen, policies()) == {os.SCHED_OTHER}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the scheduling")
def test_every_thread_gets_its_own_scheduling_back() -> None:
    release, found = threading.Event(), {}

    def waiting(name: str) -> threading.Thread:
        thread = threading.Thread(target=release.wait)
        thread.start()
        found[name] = thread.native_id
        return thread

    first = waiting("before")
    os.sched_setscheduler(found["before"], os.SCHED_BATCH, os.sched_param(0))
    try:
        with priority.kept():
            second = waiting("new")
            for thread in (0, *found.values()):
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        assert {name: os.sched_getscheduler(thread) for name, thread in found.items()} == {
            "before": os.SCHED_BATCH,
            "new": os.SCHED_OTHER,
        }
    finally:
        release.set()
        first.join()
        second.join()
