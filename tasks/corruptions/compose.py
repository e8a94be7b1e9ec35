"""Corruptions put together: several at once, and bursts. Footage fails by low light and rain and its codec together.

    low_light + rain + h264        all at the cell's severity
    low_light 2 + rain + h264 4    low_light at 2, h264 at 4, rain at the cell's severity
    fog during 4:8                 on the frames 4 to 7 of each clip; with `+`, on that part alone

However they are written, they act in the order of the light's way: scene, optics, sensor, codec; within one, as
written.
"""

import dataclasses
import re
from collections.abc import Callable

from tasks.corruptions.interface import SEVERITIES, STAGES, Corruption, Part, Temporal
from tasks.errors import InputError

_TERM = re.compile(r"(?P<name>[^\s+]+)(?:\s+(?P<severity>\d+))?(?:\s+during\s+(?P<start>\d+):(?P<stop>\d+))?")
# What a whole of several behaves like, from frame to frame: like its least constant part.
_LIVELINESS: tuple[Temporal, ...] = ("constant", "clip", "falling", "fresh", "coded")


def is_composed(name: str) -> bool:
    """Whether a name is put together."""
    return "+" in name or len(name.split()) > 1


def read(name: str, find: Callable[[str], Corruption]) -> Corruption:
    """The corruption that a name put together stands for.

    Args:
        name: As in this module's description.
        find: The registry's.

    Raises:
        InputError: not written so; an unknown name; a severity outside 1..5; an empty interval.
    """
    parts = [_part(name, term.strip(), find) for term in name.split("+")]
    if len(parts) == 1 and parts[0].severity is None:
        return dataclasses.replace(parts[0].corruption, name=_written(parts[0]))
    parts.sort(key=lambda part: STAGES.index(part.corruption.stage))
    corruptions = [part.corruption for part in parts]
    return Corruption(
        name=" + ".join(_written(part) for part in parts),
        family="composed",
        table={"severity": tuple(float(severity) for severity in SEVERITIES)},
        measure="severity of its parts",
        bounds=(SEVERITIES[0], SEVERITIES[-1]),
        whole_levels=True,
        version=1,
        temporal=max((part.temporal for part in corruptions), key=_LIVELINESS.index),
        stage=corruptions[-1].stage,
        source="; ".join(dict.fromkeys(part.source for part in corruptions)),
        parts=tuple(parts),
        moves_pixels=any(part.moves_pixels for part in corruptions),
        rises=all(part.rises for part in corruptions),
        note="in physical order",
    )


def _part(whole: str, term: str, find: Callable[[str], Corruption]) -> Part:
    match = _TERM.fullmatch(term)
    if match is None:
        raise InputError(
            f"'{whole}': expected names joined by '+', each with a severity or 'during FIRST:END' after it where "
            f"wanted (low_light 2 + rain during 4:8), got '{term}'."
        )
    corruption = find(match["name"])
    severity = None if match["severity"] is None else int(match["severity"])
    if severity is not None:
        corruption.at(severity, None)
    if match["start"] is not None:
        during = int(match["start"]), int(match["stop"])
        if during[0] >= during[1]:
            raise InputError(f"'{whole}': expected an interval that ends after it starts, got {during[0]}:{during[1]}.")
        corruption = dataclasses.replace(
            corruption, name=f"{corruption.name} during {during[0]}:{during[1]}", during=during
        )
    return Part(corruption, severity)


def _written(part: Part) -> str:
    name, during, interval = part.corruption.name.partition(" during ")
    return f"{name}{'' if part.severity is None else f' {part.severity}'}{during}{interval}"
