"""The registry for people: a table that fits 120 columns, and the same facts as plain values."""

import fnmatch
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.corruptions.interface import SEVERITIES, Corruption
from tasks.errors import InputError

WIDTH = 120  # columns

_LEGEND = (
    "Strength: its parameter, then severity 1 to 5. Own: the levels of your own that it takes. "
    "Time: constant (nothing random), fresh (drawn for each frame), clip (drawn once for a clip), falling (drops move "
    "from frame to frame), coded (frames depend on those before). Stage: where on the way of the light it acts, the "
    "order in which `a + b` composes. Moves: pixels are displaced. V: the version of its pixels."
)


def select(registry: Mapping[str, Corruption], globs: Sequence[str]) -> list[Corruption]:
    """The corruptions whose name or family matches one of `globs`, by family; all of them where there is none.

    Raises:
        InputError: a glob that matches nothing.

    Example:
        >>> from tasks.corruptions import CORRUPTIONS
        >>> [corruption.name for corruption in select(CORRUPTIONS, ["gaussian_n*", "gamma"])]
        ['gaussian_noise', 'gamma']
    """
    families = dict.fromkeys(corruption.family for corruption in registry.values())
    for glob in globs:
        if not fnmatch.filter([*registry, *families], glob):
            raise InputError(f"'{glob}' matches no corruption and no family; families: {', '.join(families)}.")
    return [
        corruption
        for family in families
        for corruption in registry.values()
        if corruption.family == family
        and (not globs or any(fnmatch.filter([corruption.name, family], glob) for glob in globs))
    ]


def facts(corruption: Corruption) -> dict[str, Any]:
    """Everything that the registry states of a corruption, as JSON has it."""
    return {
        "name": corruption.name,
        "family": corruption.family,
        "parameter": corruption.parameter,
        "measure": corruption.measure,
        "levels": list(corruption.levels),
        "table": {name: list(values) for name, values in corruption.table.items()},
        "bounds": list(corruption.bounds),
        "whole_levels": corruption.whole_levels,
        "temporal": corruption.temporal,
        "stage": corruption.stage,
        "moves_pixels": corruption.moves_pixels,
        "moves_truth": corruption.moves_truth,
        "rises": corruption.rises,
        "whole_clip": corruption.whole_clip,
        "benchmark": corruption.benchmark,
        "version": corruption.version,
        "source": corruption.source,
        "note": corruption.note,
    }


def table(corruptions: Iterable[Corruption]) -> list[str]:
    """The lines of a table by family, each at most 120 columns wide; sources are numbered and named below it."""
    chosen = list(corruptions)
    sources = list(dict.fromkeys(corruption.source for corruption in chosen))
    head = ["name", "strength", *map(str, SEVERITIES), "own", "time", "stage", "moves", "v", "source"]
    rows = {corruption.name: _row(corruption, sources) for corruption in chosen}
    widths = [max(map(len, column)) for column in zip(head, *rows.values(), strict=True)]
    lines = ["  " + _line(head, widths)]
    family = None
    for corruption in chosen:
        if corruption.family != family:
            family = corruption.family
            lines += ["", family]
        lines.append("  " + _line(rows[corruption.name], widths))
        unit = f"{corruption.parameter}: {corruption.measure}"
        known = corruption.parameter.endswith(f"_{corruption.measure}")  # the name says it
        said = "; ".join(filter(None, ["" if known else unit, corruption.note]))
        lines += textwrap.wrap(said, WIDTH, initial_indent="      ", subsequent_indent="      ")
    lines += ["", *textwrap.wrap(_LEGEND, WIDTH)]
    for place, source in enumerate(sources, start=1):
        lines += textwrap.wrap(f"[{place}] {source}", WIDTH, subsequent_indent="    ")
    return lines


def _row(corruption: Corruption, sources: list[str]) -> list[str]:
    return [
        corruption.name,
        corruption.parameter,
        *(f"{level:g}" for level in corruption.levels),
        f"{corruption.bounds[0]:g}..{corruption.bounds[1]:g}",
        corruption.temporal,
        corruption.stage,
        "yes" if corruption.moves_pixels else "",
        str(corruption.version),
        f"[{sources.index(corruption.source) + 1}]",
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, strength, *others = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    levels = " ".join(cell.strip().rjust(len(cell)) for cell in others[: len(SEVERITIES)])
    return "  ".join([name, strength, levels, *others[len(SEVERITIES) :]]).rstrip()
