"""The verdict that the gates give, as a word with an icon, over all models and for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from tasks import terms
from tasks.gates import digits
from tasks.report import amounts, wording

ORDER: Final = ("fail", "uncertain", "insufficient", "not_run", "pass")
"""How gate rows are sorted: what stops a release first."""

STATUS_WORDS: Final = {
    "fail": ("✕", "fails"),
    "uncertain": ("?", "uncertain"),
    "insufficient": ("?", "too few data"),
    "not_run": ("–", "not run"),
    "pass": ("✓", "passes"),
}


@dataclass(frozen=True)
class Verdict:
    """`key` is ship, hold, open or none; `icon` and `text` say it without colour, `detail` says why."""

    key: str
    icon: str
    text: str
    detail: str


def verdict(gates: pd.DataFrame) -> Verdict:
    """What the gate rows add up to; without gates there is no verdict, and a gate that did not run is no pass."""
    counts = tally(gates)
    total = len(gates)
    if not total:
        return Verdict("none", "–", "No gates set", "params.yaml sets no gates: nothing was judged.")
    if counts["fail"]:
        return Verdict("hold", "✕", "Do not ship", f"{counts['fail']} of {total} gates fail.")
    if counts["pass"] == total:
        return Verdict("ship", "✓", "Ship", f"All {total} gates pass." if total > 1 else "The gate passes.")
    if gates["ships"].all():
        told = f"{counts['pass']} of {total} gates pass, {counts['uncertain']} uncertain, as params allow."
        return Verdict("ship", "✓", "Ship", told)
    rest = [f"{counts[s]} {STATUS_WORDS[s][1]}" for s in ("uncertain", "insufficient", "not_run") if counts[s]]
    return Verdict("open", "?", "Not decided", f"No gate fails, but of {total} not all pass: {', '.join(rest)}.")


def by_model(gates: pd.DataFrame) -> dict[str, Verdict]:
    """The verdict of each model that has gates."""
    return {str(model): verdict(rows) for model, rows in gates.groupby("model", sort=False)}


def tally(gates: pd.DataFrame) -> dict[str, int]:
    """Gates by status, zeros included."""
    return {status: int((gates["status"] == status).sum()) for status in ORDER}


def ordered(gates: pd.DataFrame) -> pd.DataFrame:
    """Gate rows, failures first, otherwise as evaluated."""
    place = {status: i for i, status in enumerate(ORDER)}
    return gates.sort_values("status", key=lambda column: column.map(place), kind="stable").reset_index(drop=True)


def observed(gate: Mapping[Any, Any]) -> str:
    """What a gate looked at, as its reason has it, with its interval; latency and memory with their unit."""
    if (told := amounts.of_gate(gate)) is not None:
        return told[0]
    value, low, high, bound = (float(gate[name]) for name in ("observed", "low", "high", "threshold"))
    if wording.absent(value):
        return "–"
    text = digits.rounded(value, digits.PLACES, bound)
    if not (wording.absent(low) or wording.absent(high)):
        text += f" {digits.ends(low, high, digits.interval_places(low, high), bound)}"
    return text.replace("-", "−")


def bound(gate: Mapping[Any, Any]) -> str:
    """A gate's threshold as params have it, with its direction; a drop is how far the figure may fall."""
    if (told := amounts.of_gate(gate)) is not None:
        return told[1]
    rule, text = str(gate["rule"]), f"{gate['threshold']:g}".replace("-", "−")
    sign = "drop ≤" if "drops by at most" in rule else "≤" if "<=" in rule else "≥"
    return f"{sign} {text}"


def where(gate: Mapping[Any, Any]) -> str:
    """What a gate looked at, as words: corruption or family, severity, slice, class.

    The mean over all corruptions and severities is what most gates look at: it is said only where nothing else is.
    """
    parts = []
    corruption, family = gate["corruption"], gate["family"]
    clean = corruption == "clean" or gate["severity"] == 0
    if clean:
        parts.append("clean data")
    elif isinstance(corruption, str) and corruption != "all":
        parts.append(terms.corruption(corruption))
    elif isinstance(family, str) and family not in ("all", "clean"):
        parts.append(f"family {family.replace('_', ' ')}")
    elif not pd.isna(gate["severity"]):
        parts.append("mean of all corruptions")
    if not clean and not pd.isna(gate["severity"]):
        parts.append(f"severity {int(gate['severity'])}")
    elif parts and not clean:
        parts.append("mean of severities")
    if gate["slice"] != "all":
        parts.append(wording.slice_name(gate["slice"]))
    if gate["class"] != "all":
        parts.append(f"class {gate['class']}")
    return ", ".join(parts) or "mean of all corruptions"
