"""Robustness: a task's headline metric over all the corruptions of a run.

P is the metric on clean data. mPC is the mean over corruptions of the mean over their levels; rPC = mPC / P, a ratio of
means (Michaelis et al., Benchmarking Robustness in Object Detection, 2019, section 3).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tasks import tables

BENCHMARK: Final = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The 15 names of the published benchmark (Hendrycks and Dietterich, 2019), without the four held-out ones."""

METRICS: Final = ("mpc", "rpc", "mpc_15", "rpc_15")
"""What `summaries` gives."""


@dataclass(frozen=True)
class Figure:
    """A number, or NaN with the reason: one of tables.STATUSES. With `insufficient` there may be a number too."""

    value: float
    status: str = "ok"

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.status in ("ok", "insufficient")

    @classmethod
    def of(cls, value: float) -> "Figure":
        """`value` as computed; NaN is not defined."""
        return cls(value) if math.isfinite(value) else cls(math.nan, "not_defined")


@dataclass(frozen=True)
class Cell:
    """One corrupted cell's figure."""

    corruption: str
    family: str
    severity: int
    figure: Figure


@dataclass(frozen=True)
class Summary:
    """A row of summaries: mpc, rpc, mpc_15 or rpc_15 over one corruption, one family or all."""

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
        return Figure(math.nan, "not_defined")
    return Figure(math.fsum(figure.value for figure in kept) / len(kept), _worst(kept))


def ratio(corrupted: Figure, clean: Figure) -> Figure:
    """rPC: the ratio of the means; not defined when clean is 0."""
    if not corrupted.known:
        return corrupted
    if not clean.known:
        return Figure(math.nan, "not_defined" if clean.status == "not_defined" else "incomplete")
    if not clean.value:
        return Figure(math.nan, "not_defined")
    return Figure(corrupted.value / clean.value, _worst((corrupted, clean)))


def difference(figure: Figure, base: Figure) -> Figure:
    """`figure` minus the baseline's; the status of the worse one where either is no number."""
    value = figure.value - base.value if figure.known and base.known else math.nan
    return Figure(value, _worst((figure, base)))


def _worst(figures: Iterable[Figure]) -> str:
    order = ("failed", "incomplete", "not_applicable", "not_defined", "insufficient", "ok")
    return min((figure.status for figure in figures), key=order.index)


def mean_over(cells: Sequence[Cell]) -> Figure:
    """The mean over corruptions of the mean over their levels: corruptions with more levels weigh no more."""
    names = dict.fromkeys(cell.corruption for cell in cells)
    return mean(mean(cell.figure for cell in cells if cell.corruption == name) for name in names)


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
