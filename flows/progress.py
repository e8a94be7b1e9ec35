"""What a long stage shows on stderr: a bar on a terminal, else a line for about every tenth of the work."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def parts(title: str, total: int, kind: str = "parts") -> Iterator[Callable[[object], None]]:
    """Show `total` parts, or what else is counted, being done; the function given counts one, from any thread."""
    show = _bar if sys.stderr.isatty() else _lines
    with show(title, total, kind) as advance:
        yield advance


@contextmanager
def _bar(title: str, total: int, kind: str) -> Iterator[Callable[[object], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as Left
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:.1f} {kind}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(kind), Rate(), Left())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda part: progress.advance(task)


@contextmanager
def _lines(title: str, total: int, kind: str) -> Iterator[Callable[[object], None]]:
    lock = threading.Lock()
    start = time.monotonic()
    done = 0

    def advance(part: object) -> None:
        nonlocal done
        with lock:
            done += 1
            if done * 10 // total > (done - 1) * 10 // total:
                rate = done / max(time.monotonic() - start, 1e-9)
                left = f"{(total - done) / rate:.0f} s left" if done < total else "done"
                print(f"{title}: {done} of {total} {kind}, {rate:.1f} {kind}/s, {left}", file=sys.stderr, flush=True)

    yield advance
