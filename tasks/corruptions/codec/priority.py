"""How the machine shares its processors out among our threads: coders must not change it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")
ONE_AT_A_TIME = threading.Lock()


@contextmanager
def kept() -> Iterator[None]:
    """Give every thread of this process its scheduling back at the end, and new ones that of the thread that asked.

    SVT-AV1 puts its own threads and the one that opens it under SCHED_FIFO at priority 99 where it runs as root, as in
    most containers. Processes started later inherit that, and one of them that waits in a loop stops everything else.
    """
    if not THREADS.is_dir():
        yield
        return
    # Two at once would take the other's raised threads for threads that were so before.
    with ONE_AT_A_TIME:
        mine = _scheduling(0)
        before = {thread: _scheduling(thread) for thread in _threads()}
        try:
            yield
        finally:
            for thread in _threads():
                # A thread may have ended since.
                with suppress(ProcessLookupError):
                    wanted = before.get(thread, mine)
                    if wanted is not None and _scheduling(thread) != wanted:
                        os.sched_setscheduler(thread, wanted[0], os.sched_param(wanted[1]))


def _threads() -> list[int]:
    return [int(entry.name) for entry in THREADS.iterdir()]


def _scheduling(thread: int) -> tuple[int, int] | None:
    try:
        return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority
    except ProcessLookupError:
        return None
