"""The page's data made small without loss: what repeats is stored once; assets/report.js puts it back at load.

Charts of one kind repeat most of what they hold: axes, names, styles, texts of the same cell. In what `pack` gives,
{"$": 3} stands for the third shared value, {"$": 3, "y": [1]} for its entries and those, and {"$": ["a", "b"],
"$at": "AAB"} for a list of few different values.
"""

import json
import string
from collections import Counter
from typing import Any, Final

DIGITS: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
"""What `$at` counts with: one character a value."""

LEAST: Final = 16
"""Values of fewer characters of JSON are not worth a reference."""


def pack(value: Any) -> dict[str, Any]:
    """A JSON value as {"shared": [...], "value": ...}; shared values refer to earlier ones alone.

    Examples:
        >>> pack([["defocus_blur", 0.25], ["defocus_blur", 0.25]])
        {'shared': [['defocus_blur', 0.25]], 'value': [{'$': 0}, {'$': 0}]}
        >>> pack(["#000000"] * 6 + ["#ffffff"])["value"]
        {'$': ['#000000', '#ffffff'], '$at': 'AAAAAAB'}
    """
    lean = _lean(value)
    counts: Counter[str] = Counter()
    _count(lean, counts)
    shared: list[Any] = []
    places: dict[str, int] = {}

    def placed(item: Any, *, whole: bool = False) -> Any:
        if not isinstance(item, (dict, list)):
            return item
        text = "" if whole else _text(item)
        if text in places:
            return {"$": places[text]}
        if isinstance(item, list):
            made: Any = [placed(part) for part in item]
        else:
            same = _plain(item) if counts[text] < 2 else {}
            apart = placed(same) if counts[_text(same)] > 1 and len(same) < len(item) else {}
            made = apart | {key: placed(part) for key, part in item.items() if not apart or key not in same}
        if counts[text] < 2:
            return made
        shared.append(made)
        places[text] = len(shared) - 1
        return {"$": places[text]}

    made = placed(lean, whole=True)
    return {"shared": shared, "value": made}


def _count(item: Any, counts: Counter[str]) -> None:
    """Count the containers that are worth a reference; inside of one that was met before nothing is counted again."""
    if not isinstance(item, (dict, list)):
        return
    text = _text(item)
    if len(text) >= LEAST:
        counts[text] += 1
        if counts[text] > 1:
            return
    if isinstance(item, dict) and len(same := _plain(item)) < len(item):
        _count(same, counts)
    for part in item.values() if isinstance(item, dict) else item:
        _count(part, counts)


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """The entries that hold a word, a number or nothing: the same in many traces of other data."""
    if "$" in item:
        return {}
    return {key: part for key, part in item.items() if not isinstance(part, (dict, list))}


def _lean(item: Any) -> Any:
    """The same with long lists of few different plain values as those and a string of their places."""
    if isinstance(item, dict):
        if not item.keys().isdisjoint(("$", "$at")):
            raise ValueError("a name '$' would be taken for a reference")
        return {key: _lean(part) for key, part in item.items()}
    if not isinstance(item, (list, tuple)):
        return item
    if any(isinstance(part, (dict, list, tuple)) for part in item):
        return [_lean(part) for part in item]
    values = {_text(part): part for part in item}
    places = dict(zip(values, DIGITS, strict=False))
    if len(values) <= len(DIGITS):
        short = {"$": list(values.values()), "$at": "".join(places[_text(part)] for part in item)}
        if len(_text(short)) < len(_text(item)):
            return short
    return list(item)


def _text(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def unpack(packed: dict[str, Any]) -> Any:
    """What a page's data were before: of {"shared": [...], KEY: ...} the same without `shared`.

    Examples:
        >>> unpack({"shared": [["fog", 0.25]], "figures": [{"$": 0}, {"$": ["a", "b"], "$at": "ABA"}]})
        {'figures': [['fog', 0.25], ['a', 'b', 'a']]}
    """
    shared: list[Any] = []

    def whole(item: Any) -> Any:
        if isinstance(item, list):
            return [whole(part) for part in item]
        if not isinstance(item, dict):
            return item
        if "$at" in item:
            few = whole(item["$"])
            return [few[DIGITS.index(digit)] for digit in item["$at"]]
        own = {key: whole(part) for key, part in item.items() if key != "$"}
        if "$" not in item:
            return own
        return shared[item["$"]] | own if own else shared[item["$"]]

    for item in packed["shared"]:
        shared.append(whole(item))
    return whole({key: part for key, part in packed.items() if key != "shared"})
