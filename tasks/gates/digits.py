"""How the numbers of rules are written: the digits of the page, and more where rounding would hide a verdict."""

import math
from typing import Final

from tasks.gates.book import TOLERANCE

PLACES: Final = 3
"""Of a score."""

WIDE: Final = 0.02
"""From this width on an interval is written with two decimals."""

MOST: Final = 9


def rounded(value: float, places: int, bound: float = math.nan) -> str:
    """A number with `places` decimals, or as many more as it takes to stand on its own side of `bound`.

    Examples:
        >>> rounded(0.12345, 3), rounded(0.24996, 3, 0.25), rounded(0.25, 3, 0.25), rounded(-0.0001, 3)
        ('0.123', '0.24996', '0.250', '0.000')
        >>> rounded(math.inf, 1)
        '∞'
    """
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    while places < MOST and _side(float(f"{value:.{places}f}"), bound) != _side(value, bound):
        places += 1
    text = f"{value:.{places}f}"
    return text if float(text) else text.removeprefix("-")


def _side(value: float, bound: float) -> int:
    """-1 below, 0 at, 1 above; 0 where there is no bound."""
    return int(value > bound + TOLERANCE) - int(value < bound - TOLERANCE)


def interval_places(low: float, high: float) -> int:
    """Decimals of the ends of an interval of scores."""
    return 2 if high - low >= WIDE else PLACES


def amount_places(value: float) -> int:
    """Decimals of milliseconds, megabytes, frames a second and ratios of them: three digits, or whole."""
    return 0 if value >= 100 else 1 if value >= 10 else 2


def ends(low: float, high: float, places: int, bound: float = math.nan) -> str:
    """An interval in brackets.

    Examples:
        >>> ends(0.018, 0.061, 2, 0.02), ends(4.2, math.inf, 2)
        ('[0.018, 0.06]', '[4.20, ∞]')
    """
    return f"[{rounded(low, places, bound)}, {rounded(high, places, bound)}]"
