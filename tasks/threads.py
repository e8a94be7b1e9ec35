"""How many threads the numerical libraries of a process take: read from the environment as they are loaded."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Final

LIBRARIES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextlib.contextmanager
def for_processes(threads: int = 1, others: Mapping[str, str] | None = None) -> Iterator[None]:
    """Processes that are started within have so many threads each.

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
