"""Means of real-time HOTA over corruptions and its paired differences to the baseline, made as those of HOTA are."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import pandas as pd

from tasks import tables
from tasks.layout import Layout
from tasks.metrics import REALTIME, REALTIME_MEAN, assemble, cell, stored
from tasks.metrics.plan import plan
from tasks.metrics.predictions import ModelFacts
from tasks.metrics.replay import Reached
from tasks.metrics.requests import Request
from tasks.metrics.robustness import Figure
from tasks.metrics.study import Key
from tasks.metrics.truth import load
from tasks.params import Params

TASK: Final = "tracking"
HEADLINE: Final = tables.HEADLINE[TASK]

NAMES: Final = {HEADLINE: REALTIME[HEADLINE], "mpc": REALTIME_MEAN}
"""What rows are called here by what they are called in `scores`."""


def rows(
    params: Params, layout: Layout, scores: pd.DataFrame, cells: Mapping[Request, Reached | str | None]
) -> pd.DataFrame:
    """Rows like those of `scores`: each model's means over corruptions, and all differences to the baseline.

    Args:
        params: the run's choices.
        layout: where its tables lie.
        scores: the table `scores`.
        cells: of each that has tracking, what the tracker came to when it ran again, why there is no figure, or None
            where what was scored holds.

    Raises:
        InputError: tables are missing or broken.
    """
    truth = load(params, layout.tables)
    places = [row for row in plan(TASK, truth) if row.metric == HEADLINE and row.class_ == tables.ALL]
    own = scores[(scores["task"] == TASK) & (scores["class"] == tables.ALL)]
    drawn = tables.read("replicates", layout.scores / "replicates.parquet", task=TASK, **{"class": tables.ALL})
    models = [name for name in params.models if any(request.model == name for request in cells)]
    was = {name: stored.figures(own, drawn, name).get(TASK, {}) for name in models}
    keys = [(row.slice, row.class_, row.metric) for row in places]
    scored = {}
    for request, found in cells.items():
        if request.status == "ok":
            before = was[request.model].get((request.corruption, request.severity), {})
            scored[request] = cell.Scored({TASK: _figures(found, before, keys)}, {})
    facts = {name: ModelFacts(name, (TASK,), {}, ()) for name in models}
    table = assemble.scores(params, facts, list(cells), scored, {TASK: places}, {})
    table = table[table["metric"].isin(NAMES) & (table["baseline"].notna() | table["severity"].isna())]
    table = table[table["value"].notna() | (table["slice"] == tables.ALL)]  # why there is none is said once
    return table.assign(metric=table["metric"].map(NAMES))


def _figures(found: Reached | str | None, before: Mapping[Key, Figure], keys: Iterable[Key]) -> Mapping[Key, Figure]:
    """A cell's real-time HOTA in the place of its HOTA."""
    if found is None:
        return before
    if isinstance(found, str):
        return dict.fromkeys(keys, Figure(math.nan, "not_defined", note=found))
    return {key: found[key[0], REALTIME[key[2]]] for key in keys if (key[0], REALTIME[key[2]]) in found}
