"""What policy.json says, in two small tables: thresholds by class, and under which conditions to fall back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks import terms
from tasks.report import wording

Content = dict[str, Any]


def policy_tables(policy: Content, models: Sequence[str], order: Sequence[str]) -> Content | None:
    """Thresholds by model and class, advice by corruption and model, and by slice; None without a policy.

    Args:
        policy: policy.json; empty without one.
        models: in the page's order.
        order: the corruptions, in the page's order.
    """
    known = {name: policy.get("models", {}).get(name) for name in models}
    held = {name: of for name, of in known.items() if of is not None}
    if not held:
        return None
    ready = {name: of for name, of in held.items() if of["status"] == "ok"}
    advice = {name: _by_severity(of["cells"]) for name, of in ready.items()}
    return {
        "rule": policy["rule"],
        "missing": [f"{name}: {of['reason']}." for name, of in held.items() if of["status"] != "ok"],
        "models": list(ready),
        "thresholds": [
            {"model": name, "class": class_, "levels": [_level(levels[level]) for level in ("act", "observe")]}
            for name, of in ready.items()
            for class_, levels in of["thresholds"].items()
        ],
        "takeaways": [_sentence(name, of) for name, of in ready.items()],
        "lines": [
            (corruption, [_advice(advice[name].get(corruption, {})) for name in ready])
            for corruption in order
            if any(corruption in of for of in advice.values())
        ],
    }


def _level(level: Mapping[str, Any]) -> Content:
    if level["score"] is None:
        return {"score": "none", "precision": level["reason"], "recall": ""}
    return {
        "score": wording.number(level["score"]),
        **{name: _figure(level[name]) for name in ("precision", "recall")},
    }


def _figure(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return wording.status(found["status"]) or "–"
    ends = (float("nan") if found[end] is None else found[end] for end in ("low", "high"))
    return wording.figure(found["value"], *ends)


def _by_severity(cells: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for cell in cells:
        found.setdefault(cell["corruption"], {})[cell["severity"]] = cell["advice"]
    return found


def _advice(by_severity: Mapping[int, str]) -> str:
    """The advice of one corruption as runs of severities.

    Examples:
        >>> _advice({1: "act", 2: "observe", 3: "fall_back", 4: "fall_back"})
        'act at 1; observe at 2; fall back at 3 to 4'
        >>> _advice({1: "act", 2: "act"})
        'act at all severities'
    """
    told = []
    for advice in ("act", "observe", "fall_back"):
        at = sorted(severity for severity, found in by_severity.items() if found == advice)
        if at:
            where = "all severities" if len(at) == len(by_severity) else runs(at)
            told.append(f"{terms.corruption(advice)} at {where}")
    return "; ".join(told) or "–"


def runs(places: Sequence[int]) -> str:
    """Whole numbers in order as runs.

    Examples:
        >>> runs([1, 3, 4, 5])
        '1, 3 to 5'
    """
    groups: list[list[int]] = []
    for place in places:
        if groups and place == groups[-1][-1] + 1:
            groups[-1].append(place)
        else:
            groups.append([place])
    return ", ".join(str(group[0]) if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups)


def _sentence(name: str, of: Mapping[str, Any]) -> str:
    """How many corrupted cells ask for what, and which slices of the clean frames ask for caution."""
    counts = {each: sum(cell["advice"] == each for cell in of["cells"]) for each in ("act", "observe", "fall_back")}
    told = f"{name}: of {len(of['cells'])} corrupted cells act in {counts['act']}, observe in {counts['observe']}, fall"
    told += f" back in {counts['fall_back']}."
    for advice in ("fall_back", "observe"):
        slices = [wording.slice_name(item["slice"]) for item in of["slices"] if item["advice"] == advice]
        if slices:
            told += f" Clean slices to {terms.corruption(advice)} on: {'; '.join(slices)}."
    return told
