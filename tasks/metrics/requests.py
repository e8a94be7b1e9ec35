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
    """Every cell that params name, in their order, clean first; what `cells` does not list has failed."""
    listed = tables.read("cells", layout.predictions / "cells.parquet")
    by_cell = dict(iter(listed.groupby(["model", "corruption", "severity"])))
    asked = [(tables.CLEAN, tables.CLEAN, 0)]
    for choice in params.choices():
        asked += [(choice.name, choice.family, severity) for severity in choice.severities(params.severities)]
    found = []
    for model in params.models:
        for corruption, family, severity in asked:
            rows = by_cell.get((model, corruption, severity))
            found.append(_request(model, corruption, family, severity, rows, layout))
    return found


def _request(
    model: str, corruption: str, family: str, severity: int, rows: pd.DataFrame | None, layout: Layout
) -> Request:
    if rows is None:
        return Request(model, corruption, family, severity, None, None, "failed", ())
    first = rows.iloc[0]
    strength = None if pd.isna(first["strength"]) else float(first["strength"])
    states = set(rows["status"])
    files: tuple[Path, ...] = ()
    if states == {"not_applicable"}:
        status = "not_applicable"
    elif states == {"ok"}:
        files = tuple(layout.predictions / part for part in rows.sort_values("shard")["part"])
        status = "ok" if all(file.exists() for file in files) else "failed"
    else:
        status = "failed"
    unit = first["strength_unit"]
    return Request(model, corruption, family, severity, strength, unit, status, files if status == "ok" else ())
