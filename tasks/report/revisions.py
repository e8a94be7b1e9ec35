"""Two revisions of a run side by side: paired differences from what both have stored, model by model.

A revision's replicates were drawn with weights that follow from the ids of the sampling units alone. So when both were
scored on the same frames against the same truth, B minus A is formed in each resample as a difference to a baseline
is, by the very functions that do so within a run; only what both have enters, summaries included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.metrics import assemble, cell, robustness, stored
from tasks.metrics.plan import Row
from tasks.metrics.predictions import ModelFacts
from tasks.metrics.requests import Request
from tasks.metrics.robustness import Figure
from tasks.metrics.study import Key
from tasks.report import differences, shared
from tasks.report.shared import Place, Revision

A: Final = "A"
B: Final = "B"


@dataclass(frozen=True, eq=False)
class Comparison:
    """B minus A.

    Attributes:
        pairs: models of A and of B.
        scores: of each pair a table in the form of `scores`, as if one run had scored both: figures of both and the
            differences, of what both have; the models bear their labels.
        labels: of each pair, the names of its two models in `scores`.
        differences: rows of `scores` with B's model as `model` and A's as `baseline`, and what each comes to (`outcome`
            as in `differences`).
        left_out: what is not comparable, in sentences.
        fallen: the examples whose score fell: rows of `examples` joined (score_a, evidence_a, score_b ...), the deepest
            fall first.
        shared: how many cells both have, clean frames included.
    """

    pairs: Sequence[tuple[str, str]]
    scores: Sequence[pd.DataFrame]
    labels: Sequence[tuple[str, str]]
    differences: pd.DataFrame
    left_out: Sequence[str]
    fallen: pd.DataFrame
    shared: int


def compare(a: Revision, b: Revision, models: Sequence[tuple[str, str]] = ()) -> Comparison:
    """B minus A for the models of the same name, or for the pairs given.

    Raises:
        InputError: they were not scored on the same frames and truth with as many resamples, or have nothing in common.
    """
    shared.same_data(a, b)
    left_out: list[str] = []
    pairs = shared.pairs(a, b, models, left_out)
    cells = shared.cells(a, b, left_out)
    rows = shared.rows(a, b, left_out)
    tables_of = [_pair(a, b, pair, cells, rows, left_out) for pair in pairs]
    parts = [
        _differences(found, pair, b.params.metrics.confidence) for found, pair in zip(tables_of, pairs, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise InputError(f"{a.name} and {b.name} have no figure in common that could be compared.")
    labels = [(label(of_a, a.name), label(of_b, b.name)) for of_a, of_b in pairs]
    scores = [
        _labelled(found, _others(a, b, pair, cells), names)
        for found, pair, names in zip(tables_of, pairs, labels, strict=True)
    ]
    return Comparison(pairs, scores, labels, table, left_out, _fallen(a, b, pairs, cells), len(cells))


def label(model: str, revision: str) -> str:
    """A model of a revision by name; a whole hash is shortened.

    Examples:
        >>> label("small", "HEAD~1"), label("small", "0123456789abcdef0123456789abcdef01234567")
        ('small (HEAD~1)', 'small (0123456789)')
    """
    return f"{model} ({shortened(revision)})"


def shortened(revision: str) -> str:
    """A revision's name, of a whole hash the first digits."""
    return revision[:10] if len(revision) == 40 and set(revision) <= set("0123456789abcdef") else revision


def _pair(
    a: Revision,
    b: Revision,
    pair: tuple[str, str],
    cells: Sequence[Place],
    rows: Mapping[str, list[Row]],
    left_out: list[str],
) -> pd.DataFrame:
    """The figures of one pair as models A and B, and their differences, by the functions that make those of a run."""
    figures = {A: _figures(a, pair[0], cells), B: _figures(b, pair[1], cells)}
    tasks = tuple(task for task in rows if all(task in found for found in figures.values()))
    alone = sorted({task for found in figures.values() for task in found} - set(tasks))
    told = pair[1] if pair[0] == pair[1] else f"{pair[0]} and {pair[1]}"
    if alone:
        left_out.append(f"{told}: only one revision has {', '.join(alone)}.")
    facts = {side: ModelFacts(side, tasks, {}, ()) for side in (A, B)}
    requests = [Request(side, *place, "ok", ()) for side in (A, B) for place in cells]
    scored = {
        request: cell.Scored(
            {task: figures[request.model][task].get((request.corruption, request.severity), {}) for task in tasks}, {}
        )
        for request in requests
    }
    params = b.params.model_copy(update={"baseline": A})
    table = assemble.scores(params, facts, requests, scored, {task: rows[task] for task in tasks}, {})
    wanted = {*tables.HEADLINE.values(), *robustness.METRICS}
    table = table[table["metric"].isin(wanted)].reset_index(drop=True)
    lost = table[(table["slice"] == tables.ALL) & (table["class"] == tables.ALL) & table["value"].isna()]
    lost = lost[lost["severity"].notna() & (lost["baseline"] == A)]
    if len(lost):
        places = ", ".join(
            f"{row.task} under {row.corruption} {row.severity} ({row.status})" for row in lost.head(4).itertuples()
        )
        more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
        left_out.append(f"{told}: no difference for {places}{more}.")
    return table


def _differences(table: pd.DataFrame, pair: tuple[str, str], confidence: float) -> pd.DataFrame:
    found = table[table["baseline"] == A]
    return found.assign(model=pair[1], baseline=pair[0], outcome=differences.named(found, confidence)["outcome"])


def _others(a: Revision, b: Revision, pair: tuple[str, str], cells: Sequence[Place]) -> pd.DataFrame:
    """Rows of all data of the metrics that are not the headline, of the cells that both have, as models A and B."""
    parts = []
    for side, found, model in ((A, a, pair[0]), (B, b, pair[1])):
        rows = found.scores
        rows = rows[(rows["model"] == model) & (rows["slice"] == tables.ALL) & (rows["class"] == tables.ALL)]
        rows = rows[rows["severity"].notna() & (rows["metric"] != rows["task"].map(dict(tables.HEADLINE)))]
        parts.append(rows[_within(rows, cells)].assign(model=side))
    return pd.concat(parts)


def _within(rows: pd.DataFrame, cells: Sequence[Place]) -> pd.Series:
    """Which rows are of one of the cells."""
    known = {(place[0], place[2]) for place in cells}
    at = zip(rows["corruption"], rows["severity"].astype(int), strict=True)
    return pd.Series([place in known for place in at], index=rows.index, dtype=bool)


def _labelled(table: pd.DataFrame, others: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    called = dict(zip((A, B), names, strict=True))
    whole = pd.concat([table, others.astype(table.dtypes.to_dict())], ignore_index=True)
    return whole.assign(model=whole["model"].map(called), baseline=whole["baseline"].map(called))


def _figures(found: Revision, model: str, cells: Sequence[Place]) -> dict[str, dict[stored.Cell, Mapping[Key, Figure]]]:
    """The stored headline figures of a model by task and cell, with their replicates."""
    known = {(place[0], place[2]) for place in cells}
    by_task = stored.figures(found.scores, found.replicates, model)
    within = {task: {at: own for at, own in cells_of.items() if at in known} for task, cells_of in by_task.items()}
    return {task: own for task, own in within.items() if own}


def _fallen(a: Revision, b: Revision, pairs: Sequence[tuple[str, str]], cells: Sequence[Place]) -> pd.DataFrame:
    """The frames whose stored score fell from A to B in a cell, the deepest fall first."""
    on = ["task", "corruption", "family", "severity", "frame_id"]
    found = []
    for of_a, of_b in pairs:
        one = a.examples[a.examples["model"] == of_a].drop(columns="model")
        other = b.examples[b.examples["model"] == of_b]
        both = one.merge(other, on=on, suffixes=("_a", "_b"))
        both["fall"] = (both["score_b"] - both["score_a"]).astype(float)
        both = both[both["fall"] < 0]
        found.append(both[_within(both, cells)].assign(model_a=of_a))
    frames = b.truth.frames[["frame_id", "clip_id", "frame_index"]]
    fallen = pd.concat(found).merge(frames, on="frame_id", how="left")
    return fallen.sort_values("fall", kind="stable").reset_index(drop=True)


def changed_params(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What differs between two params.yaml as read, by dotted key: (key, before, after); None where there is no such.

    Examples:
        >>> changed_params({"train": {"epochs": 9, "seed": 0}}, {"train": {"epochs": 12, "seed": 0}, "baseline": "v1"})
        [('baseline', None, 'v1'), ('train.epochs', 9, 12)]
        >>> changed_params({"gates": [{"metric": "map", "min": 0.2}]}, {"gates": [{"metric": "map", "min": 0.3}]})
        [('gates.1.min', 0.2, 0.3)]
    """
    before, after = _flat(one), _flat(other)
    keys = sorted({*before, *after})
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{above}{name}"
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            value = {str(place): item for place, item in enumerate(value, 1)}  # a list of rules: which of them
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{key}.")
        else:
            found[key] = value
    return found
