"""Two revisions of a run side by side: paired differences from what both have stored, model by model.

A revision's replicates were drawn with weights that follow from the ids of the sampling units alone. So when both were
scored on the same frames against the same truth, B minus A is formed in each resample as a difference to a baseline
is, by the very functions that do so within a run; only what both have enters, summaries included.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.metrics import assemble, cell, robustness
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
        differences: rows of `scores` with B's model as `model` and A's as `baseline`, and what each comes to (`outcome`
            as in `differences`).
        left_out: what is not comparable, in sentences.
        fallen: the example whose score fell most: rows of `examples` joined (score_a, evidence_a, score_b ...).
        shared: how many cells both have, clean frames included.
    """

    pairs: Sequence[tuple[str, str]]
    differences: pd.DataFrame
    left_out: Sequence[str]
    fallen: Mapping[str, Any] | None
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
    found = [_pair(a, b, pair, cells, rows, left_out) for pair in pairs]
    table = pd.concat(found, ignore_index=True)
    if table.empty:
        raise InputError(f"{a.name} and {b.name} have no figure in common that could be compared.")
    return Comparison(pairs, table, left_out, _fallen(a, b, pairs, cells), len(cells))


def _pair(
    a: Revision,
    b: Revision,
    pair: tuple[str, str],
    cells: Sequence[Place],
    rows: Mapping[str, list[Row]],
    left_out: list[str],
) -> pd.DataFrame:
    """The differences of one pair of models, by the functions that give those to a baseline."""
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
    table = table[(table["baseline"] == A) & table["metric"].isin(wanted)]
    table = table.assign(model=pair[1], baseline=pair[0])
    lost = table[(table["slice"] == tables.ALL) & (table["class"] == tables.ALL) & table["value"].isna()]
    lost = lost[lost["severity"].notna()]
    if len(lost):
        places = ", ".join(
            f"{row.task} under {row.corruption} {row.severity} ({row.status})" for row in lost.head(4).itertuples()
        )
        more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
        left_out.append(f"{told}: no difference for {places}{more}.")
    return table.assign(outcome=_outcomes(table, params.metrics.confidence)).reset_index(drop=True)


def _figures(
    found: Revision, model: str, cells: Sequence[Place]
) -> dict[str, dict[tuple[str, int], dict[Key, Figure]]]:
    """The stored headline figures of a model by task and cell, with their replicates."""
    scores = found.scores
    rows = scores[(scores["model"] == model) & scores["severity"].notna()]
    rows = rows[rows["metric"] == rows["task"].map(dict(tables.HEADLINE))]
    known = {(place[0], place[2]) for place in cells}
    own = found.replicates[found.replicates["model"] == model]
    keys = ["task", "corruption", "severity", "slice", "class", "metric"]
    replicates = {
        tuple(key): np.asarray(values, dtype=np.float32)
        for *key, values in own[[*keys, "values"]].itertuples(index=False)
    }
    result: dict[str, dict[tuple[str, int], dict[Key, Figure]]] = {}
    for row in rows.to_dict("records"):
        at = str(row["corruption"]), int(row["severity"])
        if at not in known:
            continue
        key = str(row["slice"]), str(row["class"]), str(row["metric"])
        value, low, high = (math.nan if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high"))
        note = None if pd.isna(row["note"]) else str(row["note"])
        figure = Figure(value, str(row["status"]), replicates.get((row["task"], *at, *key)), low, high, note)
        result.setdefault(str(row["task"]), {}).setdefault(at, {})[key] = figure
    return result


def _outcomes(table: pd.DataFrame, confidence: float) -> list[str]:
    named = {"value": "difference", **{c: f"difference_{c}" for c in ("low", "high", "p_value", "q_value")}}
    rows = table.rename(columns=named).assign(small=table["status"] == "insufficient").to_dict("records")
    return [differences.outcome(row, "difference", confidence) for row in rows]


def _fallen(
    a: Revision, b: Revision, pairs: Sequence[tuple[str, str]], cells: Sequence[Place]
) -> dict[str, Any] | None:
    """The frame whose stored score fell most from A to B in one cell; None where none fell."""
    known = {(place[0], place[2]) for place in cells}
    on = ["task", "corruption", "family", "severity", "frame_id"]
    best: dict[str, Any] | None = None
    for of_a, of_b in pairs:
        one = a.examples[a.examples["model"] == of_a].drop(columns="model")
        other = b.examples[b.examples["model"] == of_b]
        both = one.merge(other, on=on, suffixes=("_a", "_b"))
        shared = [place in known for place in zip(both["corruption"], both["severity"].astype(int), strict=True)]
        both = both[pd.Series(shared, index=both.index, dtype=bool)]
        fall = (both["score_b"] - both["score_a"]).astype(float)
        if fall.notna().any() and fall.min() < 0:
            row = both.iloc[int(fall.argmin())].to_dict() | {"fall": float(fall.min()), "model_a": of_a}
            if best is None or row["fall"] < best["fall"]:
                best = {str(name): value for name, value in row.items()}
    if best is None:
        return None
    frame = b.truth.frames.set_index("frame_id").loc[best["frame_id"]]
    return best | {"clip_id": frame["clip_id"], "frame_index": int(frame["frame_index"])}


def changed_params(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What differs between two params.yaml as read, by dotted key: (key, before, after); None where there is no such.

    Examples:
        >>> changed_params({"train": {"epochs": 9, "seed": 0}}, {"train": {"epochs": 12, "seed": 0}, "baseline": "v1"})
        [('baseline', None, 'v1'), ('train.epochs', 9, 12)]
    """
    before, after = _flat(one), _flat(other)
    keys = sorted({*before, *after})
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{key}.")
        else:
            found[key] = value
    return found
