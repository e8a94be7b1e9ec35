"""Latency of two revisions side by side. They were measured at different times, so nothing of it is paired."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from tasks import terms
from tasks.metrics import latency as measured
from tasks.report import amounts
from tasks.report.revisions import shortened
from tasks.report.shared import Revision

METRICS: Final = ("latency_p50_ms", "latency_p95_ms", "frames_per_s")


def latency_changes(a: Revision, b: Revision, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Clean frames' latency of each pair of models.

    Args:
        a: the first revision.
        b: the second.
        pairs: models of A and of B.

    Returns:
        `lines` of a table (model, metric, unit, a, b with their own intervals, ratio B over A), and in `told` a
        sentence for each pair, or why it has no line.
    """
    confidence = b.params.metrics.confidence
    lines: list[dict[str, str]] = []
    told = []
    absent = list(dict.fromkeys(f"{shortened(one.name)}: {one.no_latency}" for one in (a, b) if one.latency is None))
    if absent:
        return {"lines": lines, "told": absent}
    for pair in pairs:
        name = " → ".join(dict.fromkeys(pair))
        cells = [(one, model, one.latency) for one, model in zip((a, b), pair, strict=True)]
        missing = [
            f"{shortened(one.name)}, {model}: {reason}."
            for one, model, table in cells
            if (reason := measured.reason(table, model))
        ]
        if missing:
            told += missing
            continue
        rows = [measured.cell(table, model) for _, model, table in cells if table is not None]
        own = [_line(rows, metric, confidence) for metric in METRICS]
        lines += [{"model": name, **line} for line in own]
        told.append(_sentence(name, own, rows))
    return {"lines": lines, "told": told}


def _line(rows: Sequence[pd.DataFrame], metric: str, confidence: float) -> dict[str, str]:
    one, other = (measured.figure(own, metric, confidence=confidence) for own in rows)
    ratio = other.value / one.value if one.value else float("nan")
    return {
        "metric": terms.metric(metric),
        "unit": amounts.unit(metric),
        "a": amounts.amount(one.value, one.low, one.high),
        "b": amounts.amount(other.value, other.low, other.high),
        "ratio": amounts.amount(ratio),
    }


def _sentence(name: str, lines: Sequence[dict[str, str]], rows: Sequence[pd.DataFrame]) -> str:
    first, *_, last = lines
    one, other = (line.partition(" [")[0] for line in (first["a"], first["b"]))
    rates = " → ".join(last[side].partition(" [")[0] for side in ("a", "b"))
    text = f"{name}: p50 {one} → {other} ms (× {first['ratio']}), {rates} {last['unit']} (× {last['ratio']})"
    devices = [measured.where(own) for own in rows]
    if devices[0] != devices[1]:
        return f"{text}; measured on {devices[0]} and on {devices[1]}: the ratio is one of the machines, too."
    return f"{text}; on {devices[0]}."
