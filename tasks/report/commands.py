"""Commands that the page gives its readers to run."""

import re
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


def example(row: Mapping[Any, Any], out: str) -> str:
    """The command that writes one example into the folder `out`; the page's viewer makes the same.

    The corruption stands in the query: as an option it is a glob, and a name could be a family's, too.

    Args:
        row: of the table `examples`: model, task, corruption, severity, frame_id.
        out: the folder.

    Examples:
        >>> row = {"model": "m", "task": "tracking", "corruption": "fog", "severity": 4, "frame_id": 7}
        >>> print(example(row, "qa"))
        stormglass export-qa qa --model m --task tracking --severity 4 --where 'frame_id == 7 and corruption == "fog"'
    """
    name = re.sub(r'([\\"])', r"\\\1", str(row["corruption"]))
    words = [word for option in ("model", "task", "severity") for word in (f"--{option}", str(row[option]))]
    query = f'frame_id == {row["frame_id"]} and corruption == "{name}"'
    return shlex.join(["stormglass", "export-qa", out, *words, "--where", query])
