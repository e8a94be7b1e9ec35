"""The gates judged on two revisions: which pass no longer, and which pass now."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from tasks import gates as rules
from tasks import terms
from tasks.errors import InputError
from tasks.report import verdict, wording
from tasks.report.shared import Revision

_KEYS: Final = ("rule", "task", "metric", "corruption", "family", "severity", "slice", "class")

LOST: Final = "no longer passes"
CHANGED: Final = "changed"
WON: Final = "passes now"
SAME: Final = "as before"
ALONE: Final = "judged in one alone"
ORDER: Final = (LOST, CHANGED, WON, ALONE, SAME)


def gate_changes(
    a: Revision, b: Revision, pairs: Sequence[tuple[str, str]], names: Sequence[str]
) -> tuple[list[dict[str, Any]], str]:
    """The rules of B on the scores of both, changed ones first; and a sentence on how they were judged.

    Args:
        a: the first revision.
        b: the second.
        pairs: their models.
        names: what the page calls each pair.
    """
    if not b.params.gates:
        return [], f"The params of {b.name} set no gates."
    to_a = {of_b: of_a for of_a, of_b in pairs}
    shown = {of_b: name for (_, of_b), name in zip(pairs, names, strict=True)}
    try:
        after = rules.evaluate(b.params, b.whole)
    except InputError as error:
        return [], f"The gates could not be judged on {b.name}: {error}"
    told = f"The rules of {b.name} on the scores of both, each against the baseline of its own revision."
    if a.params.gates != b.params.gates:
        told += f" The rules of {a.name} are others."
    named = [
        gate.model_copy(update={"model": to_a.get(gate.model, gate.model)}) if gate.model else gate
        for gate in b.params.gates
    ]
    try:
        before = rules.evaluate(a.params.model_copy(update={"gates": tuple(named)}), a.whole)
    except InputError as error:
        before = after.iloc[:0]
        told += f" They could not be judged on {a.name}: {error}"
    known = {(row["model"], *_place(row)): row for row in before.to_dict("records")}
    lines = []
    for row in after[after["model"].isin(list(to_a))].to_dict("records"):
        other = known.get((to_a[row["model"]], *_place(row)))
        lines.append(_line(row, other, shown[row["model"]]))
    places = {status: place for place, status in enumerate(verdict.ORDER)}
    lines.sort(key=lambda line: (ORDER.index(line["change"]), places[line["b"]["status"]]))
    return lines, told


def _place(row: Any) -> tuple[Any, ...]:
    return tuple(None if pd.isna(row[name]) else row[name] for name in _KEYS)


def _line(row: dict[Any, Any], other: dict[Any, Any] | None, model: str) -> dict[str, Any]:
    statuses = [None if side is None else side["status"] for side in (other, row)]
    change = ALONE if other is None else SAME if statuses[0] == statuses[1] else CHANGED
    if change == CHANGED and "pass" in statuses:
        change = LOST if statuses[0] == "pass" else WON
    return {
        "change": change,
        "model": model,
        "what": f"{terms.TASK_NAMES.get(row['task'], row['task'])}: {terms.metric(row['metric'])}",
        "where": verdict.where(row),
        "threshold": verdict.bound(row),
        "a": _side(other),
        "b": _side(row),
    }


def _side(row: dict[Any, Any] | None) -> dict[str, str]:
    if row is None:
        return {"status": "not_run", "icon": "–", "words": "not judged", "observed": "", "reason": ""}
    icon, words = verdict.STATUS_WORDS[row["status"]]
    observed = verdict.observed(row)
    return {
        "status": row["status"],
        "icon": icon,
        "words": words,
        "observed": observed,
        "reason": wording.sentence(row["reason"]),
    }
