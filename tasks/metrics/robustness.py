"""Robustness: a task's headline metric over all the corruptions of a run.

P is the metric on clean data. mPC is the mean over corruptions of the mean over their levels; rPC = mPC / P, a ratio of
means (Michaelis et al., Benchmarking Robustness in Object Detection, 2019, section 3).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from tasks import tables
from tasks.metrics.resampling import Replicates

BENCHMARK: Final = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The 15 names of the published benchmark (Hendrycks and Dietterich, 2019), without the four held-out ones."""

METRICS: Final = ("mpc", "rpc", "mpc_15", "rpc_15")
"""What `summaries` gives."""


@dataclass(frozen=True)
class Figure:
    """A number, or NaN with the reason: one of tables.STATUSES. With `insufficient` there may be a number too.

    Attributes:
        value: the number.
        status: `ok`, or why there is none.
        replicates: the number in every resample, where it was resampled.
        low, high: the ends of its interval; NaN without one.
        note: the status in numbers, such as `74 of 75 cells`.
    """

    value: float
    status: str = "ok"
    replicates: Replicates | None = field(default=None, compare=False, repr=False)
    low: float = field(default=math.nan, compare=False, repr=False)
    high: float = field(default=math.nan, compare=False, repr=False)
    note: str | None = field(default=None, compare=False, repr=False)

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.status in ("ok", "insufficient")

    @classmethod
    def of(cls, value: float) -> "Figure":
        """`value` as computed; NaN is not defined."""
        return cls(value) if math.isfinite(value) else cls(math.nan, "not_defined")


UNDEFINED: Final = Figure(math.nan, "not_defined")
"""One for all, as most classes of a data set are absent from most slices."""


@dataclass(frozen=True)
class Cell:
    """One corrupted cell's figure."""

    corruption: str
    family: str
    severity: int
    figure: Figure
    strength: float | None = None


@dataclass(frozen=True)
class Summary:
    """A row of summaries, over one corruption, one family or all."""

    metric: str
    corruption: str
    family: str
    figure: Figure


def mean(figures: Iterable[Figure]) -> Figure:
    """The mean of the figures that apply: incomplete when one failed or is missing, not defined when one is not.

    Examples:
        >>> mean([Figure(0.5), Figure(0.25), Figure(math.nan, "not_applicable")])
        Figure(value=0.375, status='ok')
        >>> mean([Figure(0.5), Figure(math.nan, "failed")])
        Figure(value=nan, status='incomplete')
    """
    kept = [figure for figure in figures if figure.status != "not_applicable"]
    if not kept:
        return Figure(math.nan, "not_applicable")
    states = {figure.status for figure in kept}
    if states & {"failed", "incomplete"}:
        return Figure(math.nan, "incomplete")
    if "not_defined" in states:
        return Figure(math.nan, "not_defined", note=next((f.note for f in kept if f.note and not f.known), None))
    given = [figure.replicates for figure in kept if figure.replicates is not None]
    replicates = np.stack(given).mean(axis=0, dtype=np.float64).astype(np.float32) if len(given) == len(kept) else None
    return Figure(math.fsum(figure.value for figure in kept) / len(kept), _worst(kept), replicates)


def combine(function: Callable[..., Any], *figures: Figure) -> Figure:
    """`function` of the figures' values, and of their replicates: NumPy arithmetic that takes numbers and arrays alike.

    Where a figure is no number the result has the worst of the states; where the result is none it is not defined.
    """
    status = _worst(figures)
    note = next((figure.note for figure in figures if figure.note), None)
    if not all(figure.known for figure in figures):
        return Figure(math.nan, status, note=note)
    given = [figure.replicates for figure in figures if figure.replicates is not None]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(function(*(np.float64(figure.value) for figure in figures)))
        if not math.isfinite(value):
            return Figure(math.nan, "not_defined")
        replicates = None
        if len(given) == len(figures):
            replicates = np.asarray(function(*(part.astype(np.float64) for part in given)), dtype=np.float32)
    return Figure(value, status, replicates, note=note)


def ratio(corrupted: Figure, clean: Figure) -> Figure:
    """rPC: the ratio of the means; not defined when clean is 0, incomplete when clean is missing."""
    if not corrupted.known:
        return corrupted
    return combine(np.divide, corrupted, replace(clean, status="incomplete") if clean.status == "failed" else clean)


def difference(figure: Figure, base: Figure) -> Figure:
    """`figure` minus the baseline's; the status of the worse one where either is no number."""
    return combine(np.subtract, figure, base)


def _worst(figures: Iterable[Figure]) -> str:
    order = ("failed", "incomplete", "not_applicable", "not_defined", "insufficient", "ok")
    return min((figure.status for figure in figures), key=order.index)


def mean_over(cells: Sequence[Cell]) -> Figure:
    """The mean over corruptions of the mean over their levels: corruptions with more levels weigh no more."""
    names = dict.fromkeys(cell.corruption for cell in cells)
    value = mean(mean(cell.figure for cell in cells if cell.corruption == name) for name in names)
    if value.status != "incomplete":
        return value
    asked = [cell.figure.status for cell in cells if cell.figure.status != "not_applicable"]
    there = sum(status not in ("failed", "incomplete") for status in asked)
    return replace(value, note=f"{there} of {len(asked)} cells")


def summaries(clean: Figure, cells: Sequence[Cell]) -> list[Summary]:
    """Mean and ratio by corruption, by family and over all, and over the benchmark's 15 when the run holds them all."""
    names = {cell.corruption: cell.family for cell in cells}
    groups = [(name, family, [c for c in cells if c.corruption == name]) for name, family in names.items()]
    groups += [
        (tables.ALL, family, [c for c in cells if c.family == family]) for family in dict.fromkeys(names.values())
    ]
    if cells:
        groups.append((tables.ALL, tables.ALL, list(cells)))
    found = []
    for corruption, family, members in groups:
        value = mean_over(members)
        found.append(Summary("mpc", corruption, family, value))
        found.append(Summary("rpc", corruption, family, ratio(value, clean)))
    if names.keys() >= set(BENCHMARK):
        value = mean_over([cell for cell in cells if cell.corruption in BENCHMARK])
        found.append(Summary("mpc_15", tables.ALL, tables.ALL, value))
        found.append(Summary("rpc_15", tables.ALL, tables.ALL, ratio(value, clean)))
    return found


def relative_errors(clean: Figure, cells: Sequence[Cell], base_clean: Figure, base: Sequence[Cell]) -> list[Summary]:
    """Corruption errors against a reference model, in percent (Hendrycks and Dietterich 2019, section 4.2).

    Error is 1 minus the metric. `ce` is the mean error over a corruption's levels over the reference's, `mce` the mean
    over corruptions; `relative_ce` and `relative_mce` take each model's clean error off first.
    """
    found: list[Summary] = []
    by_name: dict[str, list[Figure]] = {"ce": [], "relative_ce": []}
    for name, family in {cell.corruption: cell.family for cell in cells}.items():
        own, other = (mean(c.figure for c in part if c.corruption == name) for part in (cells, base))
        figures = {
            "ce": combine(lambda a, b: 100 * (1 - a) / (1 - b), own, other),
            "relative_ce": combine(lambda a, p, b, q: 100 * (p - a) / (q - b), own, clean, other, base_clean),
        }
        for metric, figure in figures.items():
            by_name[metric].append(figure)
            found.append(Summary(metric, name, family, figure))
    for metric, figures_of in by_name.items():
        if figures_of:
            found.append(Summary(metric.replace("ce", "mce"), tables.ALL, tables.ALL, mean(figures_of)))
    return found


def break_point(clean: Figure, cells: Sequence[Cell], share: float) -> Figure:
    """The strength at which a corruption takes the metric below `share` of clean, linear between levels.

    Args:
        clean: the figure on clean data.
        cells: one corruption's levels from the weakest on, each with its strength.
        share: 0..1.

    Returns:
        The strength in the corruption's unit: the first level's when that is below already, status `not_reached` when
        none is. Replicates that do not reach it are infinite, on the side of the strongest level.
    """
    strengths = np.array([math.nan if cell.strength is None else cell.strength for cell in cells])
    if np.isnan(strengths).any() or not cells:
        return Figure(math.nan, "not_defined")
    beyond = math.copysign(math.inf, strengths[-1] - strengths[0])

    def crossing(reference: Any, *levels: Any) -> Any:
        values = np.stack(np.broadcast_arrays(*levels))
        below = values < share * reference
        first = below.argmax(axis=0)
        last = np.maximum(first - 1, 0)
        ahead, behind = (np.take_along_axis(values, at[None], axis=0)[0] for at in (last, first))
        part = np.where(first == last, 0, (ahead - share * reference) / np.where(first == last, 1, ahead - behind))
        at = strengths[last] + part * (strengths[first] - strengths[last])
        return np.where(below.any(axis=0), at, beyond)

    figures = (clean, *(cell.figure for cell in cells))
    if not all(figure.known for figure in figures):
        return combine(crossing, *figures)
    if not min(cell.figure.value for cell in cells) < share * clean.value:
        return Figure(math.nan, "not_reached")
    return combine(crossing, *figures)


def curve_area(cells: Sequence[Cell]) -> Figure:
    """The mean of the metric over a corruption's range of strength: the area under its curve by the trapezoidal rule.

    Unlike the mean over levels it does not depend on how densely levels were chosen. Clean frames are no part of it:
    many units have no place for them (a JPEG quality, a CRF).

    Args:
        cells: one corruption's levels, each with its strength.

    Returns:
        In the metric's own units; the figure itself of a single level, not defined without strengths.
    """
    strengths = np.array([math.nan if cell.strength is None else cell.strength for cell in cells])
    if np.isnan(strengths).any() or not cells:
        return Figure(math.nan, "not_defined")
    order = np.argsort(strengths, kind="stable")
    steps = np.diff(strengths[order])
    if not steps.sum():
        return mean(cell.figure for cell in cells)
    weights = np.zeros(len(cells))
    weights[order[:-1]] += steps / 2
    weights[order[1:]] += steps / 2
    weights /= steps.sum()
    return combine(
        lambda *levels: sum(w * level for w, level in zip(weights, levels, strict=True)), *(c.figure for c in cells)
    )
