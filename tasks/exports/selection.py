"""Which failures are exported: rows of the table `examples`, worst first, within what was asked for."""

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from tasks import query, tables
from tasks.errors import InputError
from tasks.gallery.picks import order_key
from tasks.layout import Layout
from tasks.params import Params

CELL: Final = ("corruption", "severity")

CLEAN_IMAGE: Final = ("frame_id",)
CORRUPTED_IMAGE: Final = ("frame_id", *CELL)
ANSWER: Final = ("model", *CELL, "frame_id")
"""What counts as one: a frame, a frame in a cell, or what one model made of that."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for; None and () leave open.

    Attributes:
        model: its name.
        task: such as detection.
        corruption: a glob of names and families; `clean` for clean frames.
        severities: 0 is clean.
        where: a pandas query over the columns of `examples`, `frames` and `quality`.
        worst: how many to take at most.
    """

    model: str | None = None
    task: str | None = None
    corruption: str | None = None
    severities: tuple[int, ...] = ()
    where: str | None = None
    worst: int | None = None

    def told(self) -> dict[str, Any]:
        """What was asked for, without what was left open."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items() if v not in (None, ())}


def failures(params: Params, layout: Layout, *, right_too: bool = False) -> pd.DataFrame:
    """The rows of `examples` with something wrong, of the cells that params name, worst first.

    With the columns of `frames` and `quality` beside them. Scores of different tasks do not compare (a label is right
    or wrong, a map is 60 % right), so the worst of each task come first, then the second worst; equal ones are ordered
    by a hash of the frame, or the first clip would fill the list.

    Args:
        params: of the run.
        layout: of the run.
        right_too: rows with nothing wrong as well, after all others.

    Raises:
        InputError: a table is missing.
    """
    examples = tables.read("examples", layout.scores / "examples.parquet")
    frames = tables.read("frames", layout.tables / "frames.parquet")
    frames = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    cells = {(tables.CLEAN, 0)}
    cells |= {(choice.name, level) for choice in params.choices() for level in choice.severities(params.severities)}
    named = [cell in cells for cell in zip(examples["corruption"], examples["severity"].astype(int), strict=True)]
    found = examples[pd.Series(named, index=examples.index, dtype=bool) & examples["model"].isin(list(params.models))]
    score = found["score"].astype(float)
    found = found[found["frame_id"].isin(frames["frame_id"]) & (score.notna() if right_too else score < 1)]
    quality = layout.tables / "quality.parquet"
    if quality.exists():
        measured = tables.read("quality", quality)
        frames = frames.merge(measured[["frame_id", *measured.columns.difference(frames.columns)]], how="left")
    own = ["frame_id", *frames.columns.difference(found.columns, sort=False)]
    found = found.merge(frames[own], on="frame_id", how="left")
    keys = {int(frame): order_key(params.run.seed, int(frame)) for frame in found["frame_id"].unique()}
    found = found.assign(_key=found["frame_id"].map(keys), score=found["score"].astype(float))
    found = found.sort_values(["score", "_key", "model", *CELL], kind="stable")
    found = found.assign(_rank=found.groupby("task").cumcount())
    found = found.sort_values(["_rank", "score", "task"], kind="stable")
    return found.drop(columns=["_key", "_rank"]).reset_index(drop=True)


def choose(found: pd.DataFrame, wanted: Wanted, unit: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """The rows of `failures` that were asked for, and how many there were before `worst` cut them.

    Args:
        found: from `failures`.
        wanted: what was asked for.
        unit: the columns that make one thing to export; all rows of one that is taken are kept.

    Raises:
        InputError: it names what there is none of, the query does not evaluate, or nothing is left.
    """
    for column in ("model", "task"):
        name = getattr(wanted, column)
        if name is not None:
            _known(column, name, found[column])
            found = found[found[column] == name]
    if wanted.corruption is not None:
        given = wanted.corruption
        kept = found["corruption"].map(lambda name: fnmatch.fnmatch(name, given))
        kept |= found["family"].map(lambda name: fnmatch.fnmatch(name, given))
        if not kept.any():
            _known("corruption", given, found["corruption"])
        found = found[kept.astype(bool)]
    if wanted.severities:
        for severity in wanted.severities:
            _known("severity", str(severity), found["severity"].astype(str))
        found = found[found["severity"].isin(wanted.severities)]
    if wanted.where is not None:
        found = found[query.rows(wanted.where, found, "--where")]
    if found.empty:
        raise InputError("Nothing to export: no frame that was asked for has anything wrong with it.")
    codes = found.groupby(list(unit), sort=False).ngroup()
    kept = codes < (len(found) if wanted.worst is None else wanted.worst)
    return found[kept].reset_index(drop=True), int(codes.max()) + 1


def _known(option: str, given: str, values: Iterable[Any]) -> None:
    known = list(dict.fromkeys(str(value) for value in values))
    if given in known:
        return
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(sorted(known)) or "none"
    raise InputError(f"--{option} {given}: no failure of that; those asked for are of: {listed}{hint}")
