"""Numbers, slices and states as the page and the summary write them."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.gates import digits


def headline(text: str) -> str:
    """A text with a capital first, the rest as it is.

    Examples:
        >>> headline("low light + JPEG compression")
        'Low light + JPEG compression'
    """
    return text[:1].upper() + text[1:]


def number(value: float | None, places: int = 3) -> str:
    """A figure, or a dash where there is none.

    Examples:
        >>> number(0.12345), number(-0.12345), number(-0.0001), number(float("nan"))
        ('0.123', '−0.123', '0.000', '–')
    """
    return "–" if absent(value) else _signed(f"{float(value or 0.0):.{places}f}")


def _signed(text: str) -> str:
    """Digits with a true minus sign, none before zeros."""
    return text.replace("-", "−") if text.strip("-0.") else text.lstrip("-")


def percent(value: float | None) -> str:
    """A share as whole percents, or a dash.

    Examples:
        >>> percent(0.5021)
        '50 %'
    """
    return "–" if absent(value) else f"{number(100 * float(value or 0.0), 0)} %"


def change(value: float | None, places: int = 3) -> str:
    """A difference with its sign, or a dash.

    Examples:
        >>> change(-0.0214), change(0.0)
        ('−0.021', '±0.000')
    """
    if absent(value):
        return "–"
    text = f"{abs(float(value or 0.0)):.{places}f}"
    sign = "±" if float(text) == 0 else "+" if float(value or 0.0) > 0 else "−"
    return sign + text


def figure(value: float, low: float, high: float) -> str:
    """A figure with its interval, where there is one; narrow intervals with one more decimal.

    Examples:
        >>> figure(0.467, 0.4312, 0.4991), figure(0.9961, 0.9943, 0.9979), figure(0.5, float("nan"), float("nan"))
        ('0.467 [0.43, 0.50]', '0.996 [0.994, 0.998]', '0.500')
    """
    if any(absent(part) for part in (value, low, high)):
        return number(value)
    places = digits.interval_places(low, high)
    return f"{number(value)} [{number(low, places)}, {number(high, places)}]"


def share(value: float, low: float, high: float) -> str:
    """A share as whole percents with its interval, where there is one.

    Examples:
        >>> share(0.631, 0.584, 0.676)
        '63 % [58, 68]'
    """
    if any(absent(part) for part in (value, low, high)):
        return percent(value)
    return f"{percent(value)} [{number(100 * low, 0)}, {number(100 * high, 0)}]"


def sentence(text: str) -> str:
    """A sentence of plain ASCII signs as the page prints them.

    Examples:
        >>> sentence("0.3 against 0.2 of model-2: a drop of -0.1, [-0.2, 0.1] <= 0.02.")
        '0.3 against 0.2 of model-2: a drop of −0.1, [−0.2, 0.1] ≤ 0.02.'
    """
    text = re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)
    return text.replace(" >= ", " ≥ ").replace(" <= ", " ≤ ")


def moment(text: str) -> str:
    """A time in ISO 8601 as people write it, to the minute; other text as it is.

    Examples:
        >>> moment("2026-11-21T17:54:08+00:00"), moment("today")
        ('2026-11-21 17:54 UTC', 'today')
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{at:%Y-%m-%d %H:%M}" + ("" if at.tzinfo is None else f" {at.tzname()}")


def difference(value: float, low: float, high: float, places: int = 3) -> str:
    """A difference with its interval, where there is one; the ends keep their sign when they round to zero.

    Examples:
        >>> difference(-0.0214, -0.043, 0.0002)
        '−0.021 [−0.043, +0.000]'
    """
    if any(absent(part) for part in (value, low, high)):
        return change(value, places)
    ends = (f"{'+' if end > 0 else '−' if end < 0 else ''}{abs(end):.{places}f}" for end in (low, high))
    return f"{change(value, places)} [{', '.join(ends)}]"


def probability(value: float | None) -> str:
    """A p or q with three decimals, nothing where there is none.

    Examples:
        >>> probability(0.0123), probability(0.0002), probability(None)
        ('0.012', '< 0.001', '')
    """
    if absent(value):
        return ""
    return "< 0.001" if float(value or 0.0) < 0.001 else f"{value:.3f}"


def confidence(share: float) -> str:
    """A confidence as percents.

    Examples:
        >>> confidence(0.95), confidence(0.975)
        ('95 %', '97.5 %')
    """
    return f"{100 * share:.4g} %"


def strength(value: float | None, unit: str | None) -> str:
    """A physical strength with its unit, shortest form.

    Examples:
        >>> strength(30.0, "quality"), strength(2.5, "sigma_px")
        ('quality 30', 'sigma 2.5 px')
    """
    if absent(value):
        return ""
    text = f"{float(value or 0.0):.4g}"
    if not unit:
        return text
    what, _, measure = unit.rpartition("_")
    if what and measure in _MEASURES:
        return f"{what.replace('_', ' ')} {text} {_MEASURES[measure]}"
    return f"{unit.replace('_', ' ')} {text}"


_MEASURES: Final[Mapping[str, str]] = {"px": "px", "ev": "EV", "db": "dB", "m": "m", "s": "s"}


def scaling(scale_to: int | None) -> str:
    """At which resolution frames are corrupted, and what that makes of parameters in pixels.

    Examples:
        >>> scaling(None)
        "at the frames' own size; parameters in px not scaled"
        >>> scaling(480)
        "at the frames' own size; parameters in px scaled, meant for a shorter side of 480"
    """
    if scale_to is None:
        return "at the frames' own size; parameters in px not scaled"
    return f"at the frames' own size; parameters in px scaled, meant for a shorter side of {scale_to}"


def sizes(counts: Mapping[str, int]) -> str:
    """The most common sizes of frames.

    Examples:
        >>> sizes({"320x240": 3, "640x480": 9})
        '640x480, 320x240 px'
        >>> sizes({"10x10": 1, "20x20": 1, "30x30": 1, "(others)": 4})
        '10x10, 20x20, 30x30 px and others'
    """
    known = sorted((size for size in counts if size[0].isdigit()), key=lambda size: -counts[size])
    others = " and others" if len(counts) > len(known[:3]) else ""
    return f"{', '.join(known[:3])} px{others}" if known else ""


def axis_unit(unit: str | None) -> str:
    """A strength's unit as the title of an axis.

    Examples:
        >>> axis_unit("sigma_px"), axis_unit("quality")
        ('sigma (px)', 'quality')
    """
    if not unit:
        return "strength"
    what, _, measure = unit.rpartition("_")
    if what and measure in _MEASURES:
        return f"{what.replace('_', ' ')} ({_MEASURES[measure]})"
    return unit.replace("_", " ")


def status(name: str, note: str | None = None) -> str:
    """A figure's status as people write it; nothing for one that is as it should be.

    Examples:
        >>> status("insufficient"), status("not_applicable"), status("ok")
        ('few units', 'not applicable', '')
        >>> status("incomplete", "74 of 75 cells")
        'incomplete (74 of 75 cells)'
    """
    told = {"ok": "", "insufficient": "few units"}.get(name, name.replace("_", " "))
    return f"{told} ({note})" if note and isinstance(note, str) else told  # NaN in a column that has notes elsewhere


def slice_name(name: str) -> str:
    """A slice as a reader says it.

    Examples:
        >>> slice_name("camera=north & time_of_day=night"), slice_name("all")
        ('camera = north, time of day = night', 'all data')
    """
    if name == tables.ALL:
        return "all data"
    if name.startswith("query:"):
        return f"query “{name.removeprefix('query:')}”"
    parts = []
    for part in name.split(" & "):
        attribute, found, value = part.partition("=")
        parts.append(f"{attribute.replace('_', ' ')} = {value}" if found else part)
    return ", ".join(parts)


def place(row: Mapping[Any, Any]) -> str:
    """Where a line of the slice table stands: a slice, a class, or all data."""
    if row["class"] == tables.ALL:
        return slice_name(str(row["slice"]))
    return f"class {row['class']}"


def absent(value: float | None) -> bool:
    """Whether there is no number."""
    return value is None or pd.isna(value) or math.isinf(float(value))
