"""policy.json: from which scores on a model's boxes are acted on, what to expect of that, and where to fall back.

Made from the table `scores` alone. docs/policy.md says what each key means.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.metrics import EVENTS, policy
from tasks.params import Params

SCHEMA: Final = 1
"""Rises when a key changes its meaning or goes."""

IOU: Final = 0.5

PLACES: Final = 4
"""Decimals of figures; those of thresholds are SCORE_PLACES, cut off so that no box that reaches one is lost."""

SCORE_PLACES: Final = 6

ACT: Final = "act"
OBSERVE: Final = "observe"
FALL_BACK: Final = "fall_back"

_KEYS: Final = ["model", "corruption", "severity", "slice", "class", "metric"]


def check_mix(params: Params, names: list[str]) -> None:
    """See to it that the mix of params names classes of objects.

    Raises:
        InputError: it names another.
    """
    unknown = [name for name in params.policy.mix if name not in names]
    if unknown:
        raise InputError(
            f"policy.mix: '{unknown[0]}' is not an object class of the data set; its classes: {', '.join(names)}."
        )


def document(params: Params, scores: pd.DataFrame) -> dict[str, Any]:
    """The content of policy.json: plain values, null where a number is not defined.

    Args:
        params: the run's choices.
        scores: the table `scores`.
    """
    settings = params.policy
    own = scores[scores["baseline"].isna() & scores["task"].isin(["detection", "tracking"])]
    return {
        "schema": SCHEMA,
        "rule": {
            "act_precision": settings.act_precision,
            "observe_precision": settings.observe_precision,
            "iou": IOU,
            "evidence": list(settings.evidence),
            "mix": dict(settings.mix),
            "confidence": params.metrics.confidence,
        },
        "models": {name: _model(_Book(own[own["model"] == name]), params) for name in params.models},
    }


class _Book:
    """One model's rows, found by where they stand."""

    def __init__(self, rows: pd.DataFrame) -> None:
        rows = rows[rows["severity"].notna()]
        self.clean = rows[(rows["severity"] == 0) & (rows["task"] == "detection")]
        self.cells = rows[rows["metric"].eq("act_precision") & rows["slice"].eq(tables.ALL)]
        self.cells = self.cells[self.cells["class"].eq(tables.ALL) & (self.cells["severity"] != 0)]
        keys = zip(*(rows[key].to_numpy(object) for key in _KEYS[1:]), strict=True)
        values = zip(*(rows[key].tolist() for key in ("value", "low", "high", "status")), strict=True)
        self._figures = dict(zip(keys, values, strict=True))

    def figure(
        self,
        metric: str,
        *,
        corruption: str = tables.CLEAN,
        severity: int = 0,
        slice_: str = tables.ALL,
        class_: str = tables.ALL,
    ) -> dict[str, Any]:
        """value, low, high and status; null for what is no number."""
        nothing = (None, None, None, "not_defined")
        *numbers, status = self._figures.get((corruption, severity, slice_, class_, metric), nothing)
        shown = [None if (found := number(v)) is None else round(found, PLACES) for v in numbers]
        return {**dict(zip(("value", "low", "high"), shown, strict=True)), "status": status}

    def score(self, metric: str, class_: str) -> float | None:
        """A threshold."""
        value = number(self._figures.get((tables.CLEAN, 0, tables.ALL, class_, metric), (None,))[0])
        return None if value is None else math.floor(value * 10**SCORE_PLACES) / 10**SCORE_PLACES

    def expected(self, level: str, **place: Any) -> dict[str, Any]:
        """Precision and recall at one level."""
        return {metric: self.figure(f"{level}_{metric}", **place) for metric in ("precision", "recall")}


def number(value: Any) -> float | None:
    """A finite float, else None: JSON has no NaN."""
    return None if value is None or pd.isna(value) or not math.isfinite(value) else float(value)


def advice(precision: Mapping[str, Any], floor: float) -> tuple[str, str]:
    """What to do under a condition, and why, from the precision that boxes at `act` have there.

    Args:
        precision: value, low, high and status.
        floor: `policy.observe_precision`.

    Returns:
        act: all of the interval is at `floor` or above; fall_back: all of it is below, or no box scores enough;
        observe: it holds `floor`, or there is none.
    """
    value, low, high = (precision[key] for key in ("value", "low", "high"))
    if precision["status"] in ("failed", "not_applicable"):
        return OBSERVE, f"the cell is {precision['status'].replace('_', ' ')}: nothing is known"
    if value is None:
        return FALL_BACK, "no box scores enough to act on"
    if low is None or high is None:
        return OBSERVE, "too few units for an interval"
    if high < floor:
        return FALL_BACK, f"precision {value:.3f} [{low:.3f}, {high:.3f}] is below {floor:g}"
    if low < floor:
        return OBSERVE, f"precision {value:.3f} [{low:.3f}, {high:.3f}] may be below {floor:g}"
    return ACT, f"precision {value:.3f} [{low:.3f}, {high:.3f}] is at least {floor:g}"


def _model(book: _Book, params: Params) -> dict[str, Any]:
    whole = book.clean[book.clean["slice"].eq(tables.ALL) & book.clean["metric"].eq("act_precision")]
    if whole.empty:
        return {"status": "not_applicable", "reason": "no boxes are scored, or none on clean frames"}
    together = whole[whole["class"] == tables.ALL].iloc[0]
    cells, slices = _cells(book, params, unknown=together["status"] == "failed"), _slices(book, params)
    return {
        "status": "ok",
        "chosen_on": {
            "data": "the clean frames that are scored: what is expected of them is therefore a little too good",
            "split": params.dataset.split,
            **{key: int(together[key]) for key in ("n_units", "n_frames", "n_objects")},
        },
        "thresholds": {
            row["class"]: {level: _threshold(book, level, row, params) for level in policy.LEVELS}
            for row in whole.to_dict("records")
            if row["class"] != tables.ALL
        },
        "expected": {level: book.expected(level) for level in policy.LEVELS},
        "events": {metric: book.figure(metric) for metric in EVENTS},
        "mix": _mix(book, whole, params),
        "slices": slices,
        "cells": cells,
        "abstain": [item for item in (*slices, *cells) if item["advice"] != ACT],
    }


def _threshold(book: _Book, level: str, row: Mapping[Any, Any], params: Params) -> dict[str, Any]:
    score = book.score(f"{level}_threshold", row["class"])
    target = params.policy.act_precision if level == ACT else params.policy.observe_precision
    reason = None
    if score is None:
        short = f"precision on clean frames never keeps to {target:g} from {policy.least_boxes(target)} boxes on"
        reason = short if row["n_objects"] else "the data have no object of this class"
        if row["status"] == "failed":
            reason = "the clean cell has failed"
    return {"score": score, "reason": reason, **book.expected(level, class_=row["class"])}


def _mix(book: _Book, whole: pd.DataFrame, params: Params) -> dict[str, Any] | None:
    """What another mix of classes would make of the thresholds; None where params name none."""
    if not params.policy.mix:
        return None
    classes = [name for name in whole["class"] if name != tables.ALL]
    return {
        "shares": dict(params.policy.mix),
        "expected": book.expected("mix"),
        "thresholds": {
            name: {
                "score": {level: book.score(f"mix_{level}_threshold", name) for level in policy.LEVELS},
                **book.expected("mix", class_=name),
            }
            for name in classes
        },
    }


def _slices(book: _Book, params: Params) -> list[dict[str, Any]]:
    """Every slice of the clean frames; one of objects has a recall alone, from which follows little."""
    found = []
    rows = book.clean[book.clean["metric"].eq("act_precision") & book.clean["slice"].ne(tables.ALL)]
    recalls = book.clean[book.clean["metric"].eq("act_recall") & book.clean["slice"].ne(tables.ALL)]
    empty = set(recalls.loc[recalls["value"].isna() & recalls["status"].ne("failed"), "slice"])
    for row in rows.to_dict("records"):
        name = row["slice"]
        expected = book.expected(ACT, slice_=name)
        told, why = advice(expected["precision"], params.policy.observe_precision)
        if name in empty:
            told, why = OBSERVE, "the slice has no object"
        elif expected["recall"]["value"] is not None and book.figure("map", slice_=name)["value"] is None:
            seen = expected["recall"]["value"] > 0
            told = ACT if seen else OBSERVE
            why = "of objects alone only recall is defined" if seen else "none of these objects is found at act"
        found.append({"slice": name, "n_units": int(row["n_units"]), **expected, "advice": told, "reason": why})
    return found


def _cells(book: _Book, params: Params, *, unknown: bool) -> list[dict[str, Any]]:
    """Every corruption and severity; `unknown`: the thresholds, for want of a clean cell."""
    found = []
    for row in book.cells.to_dict("records"):
        severity = int(row["severity"])
        expected = book.expected(ACT, corruption=row["corruption"], severity=severity)
        told, why = advice(expected["precision"], params.policy.observe_precision)
        if unknown and expected["precision"]["status"] not in ("failed", "not_applicable"):
            told, why = FALL_BACK, "no threshold is known: the clean cell has failed"
        found.append(
            {
                **{key: row[key] for key in ("corruption", "family")},
                "severity": severity,
                "strength": number(row["strength"]),
                "strength_unit": None if pd.isna(row["strength_unit"]) else row["strength_unit"],
                **expected,
                "advice": told,
                "reason": why,
            }
        )
    return found
