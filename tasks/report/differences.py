"""Differences to the baseline and what they tell: regression, gain, or not told apart from chance.

A difference is told apart from zero when its interval excludes zero and, where it is one of many (the slices and
classes of a figure), its q is no more than 1 - confidence: of what is then called a regression or gain, no more than
that share is expected to be false.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.report import numbers

REGRESSION: Final = "regression"
GAIN: Final = "gain"
SAME: Final = "not told apart"
FEW: Final = "few units"
NONE: Final = ""

OUTCOMES: Final = (REGRESSION, GAIN, SAME, FEW)
"""What a difference may come to, in the order that sentences name them; NONE where there is no difference."""

MARKS: Final[Mapping[str, tuple[str, str]]] = {
    REGRESSION: ("regression", "▼ regression"),
    GAIN: ("gain", "▲ gain"),
    SAME: ("same", "not told apart"),
    FEW: ("same", "few units"),
    NONE: ("same", "–"),
}
"""CSS class and words of what a difference comes to."""


def outcome(row: Mapping[Any, Any], name: str, confidence: float) -> str:
    """What the difference `name` of a row comes to: one of OUTCOMES, or NONE without a figure.

    Without an interval nothing is told apart, however large the difference.

    Args:
        row: with NAME, NAME_low, NAME_high, NAME_q_value (NaN for a test of its own) and `small`.
        name: clean_difference or mpc_difference.
        confidence: of the intervals.
    """
    value, low, high = numbers.ends(row, name)
    if math.isnan(value):
        return NONE
    if row["small"]:
        return FEW
    q_value = float(row[f"{name}_q_value"])
    # NaN compares as false: no interval, nothing told; no q, a test of its own.
    if not (low > 0 or high < 0) or q_value > 1 - confidence:
        return SAME
    return GAIN if low > 0 else REGRESSION


def comparison(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The rows of a slice table (`numbers.slices`) that have a difference to the baseline, regressions first.

    Adds clean_outcome and mpc_outcome. Lines with a regression that is told apart stand before all others; within each
    part the lowest difference stands first.
    """
    table = table[table["mpc_difference"].notna() | table["clean_difference"].notna()]
    found = table.assign(
        **{
            f"{name}_outcome": [outcome(row, f"{name}_difference", confidence) for row in table.to_dict("records")]
            for name in ("clean", "mpc")
        }
    )
    told = (found["clean_outcome"] == REGRESSION) | (found["mpc_outcome"] == REGRESSION)
    lowest = found[["mpc_difference", "clean_difference"]].min(axis=1)
    found = found.assign(_told=~told, _lowest=lowest).sort_values(["_told", "_lowest"], kind="stable")
    return found.drop(columns=["_told", "_lowest"]).reset_index(drop=True)


def by_corruption(scores: pd.DataFrame, task: str, model: str, confidence: float) -> pd.DataFrame:
    """Differences to the baseline of each corruption's mPC by slice.

    Columns: slice, corruption, difference with its ends, p and q, small, outcome; may be empty.
    """
    rows = scores[
        scores["baseline"].notna()
        & (scores["task"] == task)
        & (scores["model"] == model)
        & (scores["metric"] == "mpc")
        & scores["severity"].isna()
        & (scores["class"] == tables.ALL)
        & (scores["corruption"] != tables.ALL)
    ]
    return named(rows, confidence)[["slice", "corruption", *_NAMES.values(), "small", "outcome"]].reset_index(drop=True)


_NAMES: Final = {"value": "difference", **{c: f"difference_{c}" for c in ("low", "high", "p_value", "q_value")}}


def named(rows: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Rows of `scores` that are differences, as `difference` with its ends, p and q; and `small` and `outcome`."""
    found = rows.astype(dict.fromkeys(_NAMES, float)).rename(columns=_NAMES)
    found["small"] = rows["status"] == "insufficient"
    found["outcome"] = [outcome(row, "difference", confidence) for row in found.to_dict("records")]
    return found


def tally(outcomes: pd.Series) -> dict[str, int]:
    """How many differences come to what, zeros included."""
    return {name: int((outcomes == name).sum()) for name in OUTCOMES}
