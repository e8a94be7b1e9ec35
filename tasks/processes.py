"""Processes that work side by side: their threads and environment, and how they start and end."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, Final, TypeVar

LIBRARIES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

FRESH: Final = multiprocessing.get_context("spawn")
"""Processes in which nothing has run before: forking this one goes with neither its threads nor CUDA."""

_FORKED: Final = multiprocessing.get_context("forkserver")

MODULES: Final = "STORMGLASS_AHEAD"
"""Environment variable of the process that others are forked from: what it loads, for `tasks.settled`."""

Result = TypeVar("Result")

_ahead: bool | None = None  # None: not yet


@contextlib.contextmanager
def for_processes(threads: int = 1, others: Mapping[str, str] | None = None) -> Iterator[None]:
    """Processes that are started within have so many threads each: libraries read it as they are loaded.

    One is right for those that work side by side: more get into each other's way, and add up in another order.

    Args:
        threads: for each process.
        others: further variables of their environment.
    """
    values = {**dict.fromkeys(LIBRARIES, str(threads)), **(others or {})}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def ahead(modules: Sequence[str]) -> Iterator[None]:
    """Meanwhile a process of its own loads `modules`, which takes seconds: those of `context` are forked from it.

    It runs nothing else, with one thread, and ends with this process, which has one once: what it has loaded may be out
    of date later.
    """
    global _ahead
    if _ahead is None:
        _FORKED.set_forkserver_preload(["tasks.settled"])
        with for_processes(others={MODULES: " ".join(modules)}), interrupts_held():
            forkserver.ensure_running()
        _ahead = True
    try:
        yield
    finally:
        _ahead = False


def context() -> BaseContext:
    """Where processes of one thread and no GPU come from: forked with their libraries loaded, `ahead`, or else fresh.

    A forked one has the environment of the beginning: hand it this process's own, and let it `adopt` that.
    """
    return _FORKED if _ahead else FRESH


def adopt(environment: Mapping[str, str]) -> None:
    """Make `environment` that of this process."""
    os.environ.clear()
    os.environ.update(environment)


@contextlib.contextmanager
def pool(workers: int, prepare: Callable[..., None], *given: Any) -> Iterator[ProcessPoolExecutor]:
    """So many processes of one thread each, in each of which `prepare(*given)` has run; after an error, what waits is
    not begun.
    """
    with for_processes():
        executor = ProcessPoolExecutor(
            workers,
            mp_context=context(),
            initializer=_prepared,
            initargs=(dict(os.environ), prepare, given),
        )
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)


def apart(function: Callable[..., Result], *given: Any) -> Result:
    """What `function(*given)` returns, from a process forked with its libraries loaded, `ahead`: this one need not load
    them. Where there is none, from this process.
    """
    if not _ahead:
        return function(*given)
    with pool(1, _nothing) as executor:
        return executor.submit(function, *given).result()


def _nothing() -> None:
    pass


def _prepared(environment: Mapping[str, str], prepare: Callable[..., None], given: tuple[Any, ...]) -> None:
    adopt(environment)
    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the work under way; Python's would begin what is next
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    prepare(*given)


def end_with_parent() -> None:
    """Wait for the parent's end, then end: one that was killed cannot stop its workers. To be run in a thread."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """A process started within never sees Ctrl-C, which reaches a whole process group: the parent decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
