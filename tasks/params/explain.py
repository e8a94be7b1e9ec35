"""What is wrong with a params.yaml, in words for those who wrote it."""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

PLAIN: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "tuple_type": "expected a list",
    "dict_type": "expected names with values",
    "model_type": "expected names with values",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "string_type": "expected text",
}
"""What pydantic says in Python's words, in YAML's."""


def explain(item: Any, whole: type[BaseModel], entries: Mapping[str, type[BaseModel]]) -> str:
    """What is wrong, where, and for an unknown key the nearest known one.

    Args:
        item: one of pydantic's errors.
        whole: the model of the whole file.
        entries: by section that holds several of one kind, that kind.
    """
    place = [str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-"))]
    path = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = _known_keys(whole, place[:-1], entries)
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key '{path}'; {hint}"
    message = PLAIN.get(item["type"]) or item["msg"].removeprefix("Value error, ")
    shown = "" if item["type"] in ("missing", "value_error") else f", got {item['input']!r}"
    return f"'{path}': {message}{shown}" if path else f"{message}{shown}"


def _known_keys(whole: type[BaseModel], place: list[str], entries: Mapping[str, type[BaseModel]]) -> list[str]:
    current: Any = whole
    for part in place:
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            break
        if current is whole and part in entries:
            current = entries[part]
            continue
        field = current.model_fields.get(part)
        if field is None:
            continue  # the name of a model or the place in a list
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), current)
    return [field.alias or name for name, field in current.model_fields.items()]
