"""Commands that the page gives its readers to run."""

import shlex
from collections.abc import Mapping
from typing import Any, Final

KEPT: Final = ("--params", "--out")
"""Options that say which run it is."""


def export(facts: Mapping[str, Any]) -> str:
    """The command that writes examples of this run into the folder qa, before it is said which.

    Args:
        facts: run.json, whose command says where params and run lie; may be empty.

    Examples:
        >>> export({"command": "stormglass run --params my.yaml --out 'my run'"})
        "stormglass export-qa qa --params my.yaml --out 'my run'"
        >>> export({})
        'stormglass export-qa qa'
    """
    words = shlex.split(str(facts.get("command") or ""))
    found = ["stormglass", "export-qa", "qa"]
    for place, word in enumerate(words):
        name, given, value = word.partition("=")
        if name in KEPT and (given or place + 1 < len(words)):
            found += [name, value if given else words[place + 1]]
    return shlex.join(found)
