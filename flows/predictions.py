"""`stormglass predictions`: what the models said, as a CSV file for people."""

from pathlib import Path

from flows.runtime import Run
from tasks.metrics import listing


def write(run: Run, path: Path, *, model: str | None, corruption: str | None, severity: int | None) -> str:
    """Write the cells that are asked for to `path`; a line that says what is in it.

    Raises:
        InputError: there are no such cells, or no writing to `path`.
    """
    cells = listing.cells(run.params, run.layout, model=model, corruption=corruption, severity=severity)
    there = [cell for cell in cells if cell.status == "ok"]
    count = listing.write(path, listing.listed(run.params, run.layout, there))
    left_out = (
        f"; {len(cells) - len(there)} cell(s) without predictions are left out" if len(there) < len(cells) else ""
    )
    maps = listing.with_maps(run.layout, [cell.model for cell in there])
    unlisted = f"; label maps have no rows, so those of {', '.join(maps)} are left out" if maps else ""
    return f"Wrote {count} rows of {len(there)} cell(s) to {path}{left_out}{unlisted}."
