"""The tables that cells give rows of, written as the cells come: memory holds a few thousand rows of each."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.metrics.cell import Scored
from tasks.metrics.requests import Request

TABLES: Final = ("answers", "confusion", "examples", "matches", "reliability", "replicates", "switches")

HELD: Final = 10_000
"""From so many rows on a table's are written: of a cell alone there may be two, and each piece costs milliseconds."""


@contextmanager
def streams(folder: Path) -> Iterator[Callable[[Request, Scored], None]]:
    """Write TABLES into `folder`, all of them when the block ends without an error, else none.

    Yields:
        What takes a scored cell. Rows lie in the order of the calls, then of the tasks.
    """
    new = not folder.exists()
    try:
        with ExitStack() as stack:
            held = {
                name: _Held(stack.enter_context(tables.stream(name, folder / f"{name}.parquet"))) for name in TABLES
            }
            yield lambda request, scored: _put(held, request, scored)
            for rows in held.values():
                rows.write()
    except BaseException:
        if new:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise


class _Held:
    """The rows of a table that are still to be written, and where they stand."""

    def __init__(self, writer: Callable[[pd.DataFrame], None]) -> None:
        self._writer = writer
        self._rows: list[pd.DataFrame] = []
        self._places: list[tuple[str, Request]] = []

    def put(self, rows: pd.DataFrame, task: str, request: Request) -> None:
        self._rows.append(rows)
        self._places.append((task, request))
        if sum(map(len, self._rows)) >= HELD:
            self.write()

    def write(self) -> None:
        if not self._rows:
            return
        of = np.repeat(np.arange(len(self._rows)), [len(rows) for rows in self._rows])
        places = pd.DataFrame(
            [(task, r.model, r.corruption, r.family, r.severity) for task, r in self._places],
            columns=["task", "model", "corruption", "family", "severity"],
        )
        rows = pd.concat(self._rows, ignore_index=True)
        self._writer(pd.concat([rows, places.take(of).reset_index(drop=True)], axis=1))
        self._rows, self._places = [], []


def _put(held: dict[str, _Held], request: Request, scored: Scored) -> None:
    for task in scored.figures:
        for name, rows in {**scored.rows.get(task, {}), "replicates": _replicates(scored, task)}.items():
            if len(rows):
                held[name].put(rows, task, request)


def _replicates(scored: Scored, task: str) -> pd.DataFrame:
    found = [(*key, figure.replicates) for key, figure in scored.figures[task].items() if figure.replicates is not None]
    return pd.DataFrame(found, columns=["slice", "class", "metric", "values"])
