"""A further model written into params.yaml, with all that a person wrote there left as it is."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import InputError


def add_model(path: Path, like: str, name: str, changes: Mapping[str, Any]) -> str:
    """Add the model `name` right after `like`, with its settings but for `changes`; the line that was added.

    Comments and order stay; the file is replaced whole.

    Args:
        path: the params file.
        like: a model in it.
        name: the new one's.
        changes: settings that differ; None: one that goes.

    Raises:
        InputError: the file is written in a way that cannot be added to.
    """
    made, added = with_model(path, like, name, changes)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(made, encoding="utf-8")
    temporary.replace(path)
    return added.strip()


def with_model(path: Path, like: str, name: str, changes: Mapping[str, Any]) -> tuple[str, str]:
    """What `add_model` writes, and the line in it that is new.

    Raises:
        InputError: as `add_model`.
    """
    text = path.read_text(encoding="utf-8")
    text += "" if text.endswith("\n") else "\n"
    before = yaml.safe_load(text)
    both = {**before["models"][like], **changes}
    entry = {key: value for key, value in both.items() if value is not None}
    shown = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=float("inf")).strip()
    place = _after(text, like)
    if place is not None:
        lines = text.splitlines(keepends=True)
        start, end = place
        indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
        key = name if yaml.safe_load(name) == name else f"'{name}'"  # on, 1.5
        added = f"{indent}{key}: {shown}\n"
        made = "".join([*lines[:end], added, *lines[end:]])
        if _read(made) == {**before, "models": {**before["models"], name: entry}}:
            return made, added
    raise InputError(
        f"{path}: a further model cannot be added after '{like}' as the file is written: give each model under models "
        "lines of its own, indented alike."
    )


def _after(text: str, model: str) -> tuple[int, int] | None:
    """The line at which the model's entry starts, and the one before which a further entry can stand."""
    whole = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(whole, yaml.MappingNode)
    section = next(value for key, value in whole.value if key.value == "models")
    if not isinstance(section, yaml.MappingNode) or section.flow_style:
        return None
    key, value = next((key, value) for key, value in section.value if key.value == model)
    # A block ends where the next thing starts, be it on a line of its own or at the end.
    end = max(value.end_mark.line + bool(value.flow_style), key.end_mark.line + 1)
    lines = text.splitlines()
    while end > key.start_mark.line + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1  # comments and blank lines between belong to what follows
    return key.start_mark.line, end


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
