"""Latency and memory: from the facts of single frames to figures with intervals.

A percentile is the smallest measured time that the share of the frames does not exceed. Its interval lies between two
of the measured times, whose ranks follow from the binomial distribution of how many frames fall below the true
percentile (David and Nagaraja 2003, "Order Statistics", section 7.1): no shape of the distribution is assumed, but
frames count as if each were drawn by itself. Where the frames are too few, an end is infinite. Frames/s and ratios
between models have bootstrap intervals. All are about further frames of the same kind on this machine as it was.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtr

from tasks import tables
from tasks.metrics.robustness import Figure

PERCENTILES: Final = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}

MEMORY: Final = ("peak_memory_mb", "process_memory_mb", "peak_device_memory_mb")

METRICS: Final = (*PERCENTILES, "latency_max_ms", "frames_per_s", *MEMORY)

HIGHER_IS_BETTER: Final = frozenset({"frames_per_s"})

STAGES: Final = ("decode", "preprocess", "infer", "postprocess", "track", "output", "idle")

RESAMPLES: Final = 2000

Numbers = npt.NDArray[np.float64]


def figure(table: pd.DataFrame, metric: str, *, confidence: float) -> Figure:
    """One figure with its interval.

    Args:
        table: rows of the table `latency` of one model and cell.
        metric: one of METRICS.
        confidence: of the interval.

    Returns:
        The maximum and memory have no interval, for they are measured once. `insufficient`: an end of the interval of a
        percentile is infinite. `not_defined`: there is no such fact.
    """
    values = _measured(table, metric)
    if not len(values):
        return Figure(math.nan, "not_defined")
    value = _reduced(metric)(values)
    if metric in PERCENTILES:
        low, high = order_interval(np.sort(values), PERCENTILES[metric], confidence=confidence)
        return Figure(value, "ok" if math.isfinite(low) and math.isfinite(high) else "insufficient", low=low, high=high)
    if metric == "frames_per_s":
        low, high = _ends(_resampled(metric, values, _draws(len(values), metric)), confidence)
        return Figure(value, low=low, high=high)
    return Figure(value)


def ratio(own: pd.DataFrame, other: pd.DataFrame, metric: str, *, confidence: float) -> Figure:
    """How many times as bad `own` is as `other`: its milliseconds over theirs, or their frames/s over its.

    Percentiles are resampled frame by frame for both at once, so that what makes a frame slow for both cancels; a
    percentile whose own interval has no end has none here either.

    Args:
        own: rows of the table `latency` of one model and cell.
        other: of the model that it is compared with, in the same cell.
        metric: one of METRICS.
        confidence: of the interval.
    """
    figures = [figure(rows, metric, confidence=confidence) for rows in (own, other)]
    if any(one.status == "not_defined" or one.value <= 0 for one in figures):
        return Figure(math.nan, "not_defined")
    worse, better = figures[::-1] if metric in HIGHER_IS_BETTER else figures
    value = worse.value / better.value
    if any(one.status == "insufficient" for one in figures):
        return Figure(value, "insufficient")
    if metric in PERCENTILES:
        walls = [rows[rows["fact"] == "wall_ms"].set_index("frame_id")["value"] for rows in (own, other)]
        both = pd.concat(walls, axis=1, join="inner").to_numpy(float)
        draws = _draws(len(both), metric)
        samples = [_resampled(metric, both[:, place], draws) for place in (0, 1)]
        low, high = _ends(samples[0] / samples[1], confidence)
        return Figure(value, low=low, high=high)
    if metric == "frames_per_s":
        found = [_measured(rows, metric) for rows in (own, other)]
        rates = [_resampled(metric, one, _draws(len(one), f"{metric} {place}")) for place, one in enumerate(found)]
        low, high = _ends(rates[1] / rates[0], confidence)
        return Figure(value, low=low, high=high)
    return Figure(value)


def order_interval(ordered: Numbers, share: float, *, confidence: float) -> tuple[float, float]:
    """The ends of the interval of a percentile; infinite where the sample is too small for one.

    Examples:
        >>> order_interval(np.arange(1.0, 101.0), 0.5, confidence=0.95)
        (40.0, 61.0)
        >>> order_interval(np.arange(1.0, 51.0), 0.95, confidence=0.95)
        (44.0, inf)
    """
    count, tail = len(ordered), (1 - confidence) / 2
    below = bdtr(np.arange(count), count, share)  # [k]: at most k of the frames lie below the true percentile
    lower = int((below <= tail).sum())
    upper = int((below < 1 - tail).sum())
    return float(ordered[lower - 1]) if lower else -math.inf, float(ordered[upper]) if upper < count else math.inf


def frames_needed(metric: str, *, confidence: float) -> int:
    """How many frames bound a percentile from above.

    Examples:
        >>> [frames_needed(metric, confidence=0.95) for metric in PERCENTILES]
        [6, 72, 368]
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(PERCENTILES[metric]))


def cell(table: pd.DataFrame, model: str, corruption: str = tables.CLEAN, severity: int = 0) -> pd.DataFrame:
    """The rows of one model and cell that have a value."""
    own = (table["model"] == model) & (table["corruption"] == corruption) & (table["severity"] == severity)
    return table[own & (table["status"] == "ok")]


def reason(table: pd.DataFrame | None, model: str) -> str | None:
    """Why a model has no figures, in words; None where it has."""
    if table is None:
        return "latency was not measured: run `stormglass infer`"
    own = table[table["model"] == model]
    if own.empty:
        return "latency was not measured: run `stormglass infer` again"
    wrong = own[own["status"] != "ok"]
    return str(wrong["note"].iloc[0]) if len(wrong) else None


def where(rows: pd.DataFrame, *, batch: bool = False) -> str:
    """Device, threads and batch of the rows of one model and cell, in words: what the figures hold for."""
    own = rows[(rows["fact"] == "batch_ms") == batch].iloc[0]
    threads = int(own["threads"])
    on_cpu = f", {threads} thread{'s' if threads > 1 else ''}" if str(own["device"]).startswith("cpu") else ""
    return f"{own['device']}{on_cpu}, batch {int(own['batch_size'])}"


def _measured(table: pd.DataFrame, metric: str) -> Numbers:
    """What a metric is computed from: ms of each frame, frames/s of each batch, or the one number that there is."""
    if metric == "frames_per_s":
        rows = table[table["fact"] == "batch_ms"]
        rates: Numbers = 1e3 * rows["batch_size"].to_numpy(float) / rows["value"].to_numpy(float)
        return rates
    fact = metric if metric in MEMORY else "wall_ms"
    return table.loc[table["fact"] == fact, "value"].to_numpy(float)


def _reduced(metric: str) -> Callable[..., Any]:
    """From what was measured to the figure, along the last axis."""
    if metric in PERCENTILES:
        return lambda values: np.quantile(values, PERCENTILES[metric], axis=-1, method="inverted_cdf")
    # Frames of all batches over their time: the harmonic mean of rates of batches of one size.
    return {"frames_per_s": lambda values: values.shape[-1] / (1 / values).sum(-1)}.get(
        metric, lambda values: values.max(-1)
    )


def _draws(count: int, seed: str) -> npt.NDArray[np.int64]:
    """(RESAMPLES, count) places, the same for the same arguments."""
    return np.random.default_rng([count, *seed.encode()]).integers(0, count, (RESAMPLES, count))


def _resampled(metric: str, values: Numbers, draws: npt.NDArray[np.int64]) -> Numbers:
    found: Numbers = _reduced(metric)(values[draws])
    return found


def _ends(samples: Numbers, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)
