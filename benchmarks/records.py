"""What benchmarks share: bars, the machine's facts, and files in which a run replaces the rows of the one before."""

import contextlib
import csv
import importlib.metadata
import io
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Bar = tuple[str, float]
"""`at most` or `at least`, and the limit."""

Row = dict[str, str]


def machine(packages: Sequence[str]) -> dict[str, str]:
    """What the figures depend on: processor, memory, threads, load, versions."""
    model = platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{memory / 1e9:.0f} GB",
        "threads": f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}",
        "load": f"load {os.getloadavg()[0]:.1f} at the start",
        "software": ", ".join([f"Python {platform.python_version()}", *(_version(name) for name in packages)]),
    }


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


def judged(figures: Mapping[str, float], bars: Mapping[str, Bar]) -> dict[str, dict[str, Any]]:
    """What each bar asks, what was reached, and whether it holds."""
    return {
        name: {"value": figures[name], "bar": f"{sense} {limit:g}", "holds": _holds(figures[name], sense, limit)}
        for name, (sense, limit) in bars.items()
    }


def _holds(value: float, sense: str, limit: float) -> bool:
    return value >= limit if sense == "at least" else value <= limit


def written(value: object) -> str:
    """A figure as files have it: four digits of a float."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rows(path: Path) -> list[Row]:
    """The rows of a CSV file; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def replace(
    found: Sequence[Row], path: Path, columns: Sequence[str], like: Sequence[str], page: Callable[[list[Row]], str]
) -> None:
    """Put a run's rows into a CSV file in place of the rows like them, and write the page of all beside it.

    Args:
        found: The run's rows.
        path: The CSV file; the page has its name with the ending `.md`.
        columns: Of the file.
        like: The columns in which a run's rows are like those of the run that they replace; rows are sorted by them.
        page: All rows to the page's text.
    """
    replaced = {tuple(row[column] for column in like) for row in found}
    others = [row for row in rows(path) if tuple(row[column] for column in like) not in replaced]
    everything = [*found, *others]
    everything.sort(key=lambda row: tuple(row[column] for column in like))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(everything)
    for target, content in ((path, text.getvalue()), (path.with_suffix(".md"), page(everything))):
        target.parent.mkdir(parents=True, exist_ok=True)  # minutes of measuring end here
        temporary = target.with_suffix(".tmp")
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(target)


def table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, its columns aligned so that it reads in a terminal too."""
    widths = [max(len(row[at]) for row in [head, *cells]) for at in range(len(head))]
    numbers = [all(_is_number(row[at]) for row in cells) for at in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numbers, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + (":" if right else "-") for width, right in zip(widths, numbers, strict=True))
    return [line(head), f"|{rule}|", *map(line, cells)]


def _is_number(text: str) -> bool:
    return text.replace(".", "").replace("-", "").replace("+", "").replace("e", "").isdigit() or not text
