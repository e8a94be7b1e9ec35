"""Which cells params name, and what became of each in `infer`."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tasks import tables
from tasks.layout import Layout
from tasks.params import Params


@dataclass(frozen=True)
class Request:
    """One cell of one model to be scored; `status` ok or why it is not."""

    model: str
    corruption: str
    family: str
    severity: int
    strength: float | None
    strength_unit: str | None
    status: str
    files: tuple[Path, ...]


def requests(params: Params, layout: Layout) -> list[Request]:
    """Every cell that params name, in their order, clean first; what `cells` does not list has failed.

    Raises:
        InputError: there is no table of cells.
    """
    listed = tables.read("cells", layout.predictions / "cells.parquet")
    by_cell = dict(iter(listed.groupby(["model", "corruption", "severity"])))
    # A cell that one model lacks altogether has the strength that it has for another.
    by_level = dict(iter(listed.groupby(["corruption", "severity"])))
    asked = [(tables.CLEAN, tables.CLEAN, 0)]
    for choice in params.choices():
        asked += [(choice.name, choice.family, severity) for severity in choice.severities(params.severities)]
    found = []
    for model in params.models:
        for corruption, family, severity in asked:
            rows = by_cell.get((model, corruption, severity))
            strength, unit = _strength(by_level.get((corruption, severity)))
            status, files = _state(rows, layout)
            found.append(Request(model, corruption, family, severity, strength, unit, status, files))
    return found


def validation(params: Params, layout: Layout) -> dict[str, tuple[Path, ...]]:
    """By model the parts of its predictions on the clean frames of the validation split.

    A model without them, or of which one failed, is left out: what it would be fitted to is not there.

    Raises:
        InputError: there is no table of cells.
    """
    if params.on_validation() is None:
        return {}
    listed = tables.read("cells", layout.predictions / "cells.parquet")
    listed = listed[listed["corruption"] == tables.VALIDATION]
    states = {name: _state(rows, layout) for name, rows in listed.groupby("model", sort=False)}
    return {str(name): files for name, (status, files) in states.items() if status == "ok"}


def _strength(rows: pd.DataFrame | None) -> tuple[float | None, str | None]:
    if rows is None:
        return None, None
    first = rows.iloc[0]
    return None if pd.isna(first["strength"]) else float(first["strength"]), first["strength_unit"]


def _state(rows: pd.DataFrame | None, layout: Layout) -> tuple[str, tuple[Path, ...]]:
    if rows is None:
        return "failed", ()
    states = set(rows["status"])
    if states == {"not_applicable"}:
        return "not_applicable", ()
    if states != {"ok"}:
        return "failed", ()
    files = tuple(layout.predictions / part for part in rows.sort_values("shard")["part"])
    return ("ok", files) if all(file.exists() for file in files) else ("failed", ())
