"""The tables that cells give rows of, written as the cells come: memory holds one cell of them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.metrics.cell import Scored
from tasks.metrics.requests import Request

TABLES: Final = ("answers", "confusion", "examples", "matches", "reliability", "replicates", "switches")


@contextmanager
def streams(folder: Path) -> Iterator[Callable[[Request, Scored], None]]:
    """Write TABLES into `folder`, all of them when the block ends without an error, else none.

    Yields:
        What takes a scored cell. Rows lie in the order of the calls, then of the tasks.
    """
    new = not folder.exists()
    try:
        with ExitStack() as stack:
            writers = {name: stack.enter_context(tables.stream(name, folder / f"{name}.parquet")) for name in TABLES}
            yield lambda request, scored: _put(writers, request, scored)
    except BaseException:
        if new:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise


def _put(writers: Mapping[str, Callable[[pd.DataFrame], None]], request: Request, scored: Scored) -> None:
    place: dict[str, Any] = {
        "model": request.model,
        "corruption": request.corruption,
        "family": request.family,
        "severity": request.severity,
    }
    for task in scored.figures:
        for name, rows in {**scored.rows.get(task, {}), "replicates": _replicates(scored, task)}.items():
            if len(rows):
                writers[name](rows.assign(task=task, **place))


def _replicates(scored: Scored, task: str) -> pd.DataFrame:
    found = [(*key, figure.replicates) for key, figure in scored.figures[task].items() if figure.replicates is not None]
    return pd.DataFrame(found, columns=["slice", "class", "metric", "values"])
