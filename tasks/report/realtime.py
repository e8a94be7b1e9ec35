"""Real time: what tracking is worth to who has to wait for it, beside the HOTA that waits for every frame."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.metrics import FRAMES_PROCESSED, REALTIME, robustness
from tasks.metrics.realtime import ARRIVING, LATENCY_MS
from tasks.metrics.robustness import Figure
from tasks.params import Params
from tasks.report import amounts, numbers, wording

HOTA: Final = tables.HEADLINE["tracking"]

Content = dict[str, Any]


def realtime(params: Params, scores: pd.DataFrame, table: pd.DataFrame | None) -> Content | None:
    """A line for each model, the baseline first; None without figures of that kind.

    Args:
        params: of the run.
        scores: the table `scores`.
        table: what `realtime` wrote; None without it.
    """
    if params.realtime is None or table is None or table.empty:
        return None
    whole = table[table["slice"] == tables.ALL]
    own = numbers.plain(scores)
    own = own[(own["task"] == "tracking") & (own["slice"] == tables.ALL) & (own["class"] == tables.ALL)]
    lines, told = [], []
    for model in numbers.models_of(params, table):
        rows, theirs = whole[whole["model"] == model], own[own["model"] == model]
        line = {name: _clean(rows, metric) for name, metric in _SHOWN.items()}
        why = rows.loc[(rows["severity"] == 0) & (rows["status"] == "not_defined"), "note"].dropna()
        lines.append(
            {
                "model": model,
                "latency": amounts.amount(line["latency"].value),
                "arriving": amounts.amount(line["arriving"].value),
                "processed": wording.percent(line["processed"].value),
                "values": [
                    wording.figure(figure.value, figure.low, figure.high)
                    for figure in (
                        _clean(theirs, HOTA),
                        line["hota"],
                        _corrupted(params, theirs, HOTA),
                        _corrupted(params, rows, REALTIME[HOTA]),
                    )
                ],
            }
        )
        told.append(f"{model}: {why.iloc[0]}." if len(why) else _sentence(model, line, _clean(theirs, HOTA)))
    return {"lines": lines, "told": told, "stated": params.realtime.latency_ms is not None, "choice": params.realtime}


_SHOWN: Final = {"latency": LATENCY_MS, "arriving": ARRIVING, "processed": FRAMES_PROCESSED, "hota": REALTIME[HOTA]}


def _sentence(model: str, line: dict[str, Figure], base: Figure) -> str:
    latency, rate = amounts.amount(line["latency"].value), amounts.amount(line["arriving"].value)
    share = line["processed"].value
    start = f"{model} takes {latency} ms a frame, and {rate} frames/s arrive: "
    if share == 1 and line["hota"].value == base.value:
        return f"{start}it keeps up, on clean frames nothing is lost."
    lost = base.value - line["hota"].value
    by = f"{'loses' if lost >= 0 else 'gains'} {wording.number(abs(lost))} HOTA on clean frames"
    return f"{start}it processes {wording.percent(share)} of them, and {by} by that."


def _clean(rows: pd.DataFrame, metric: str) -> Figure:
    found = rows[(rows["severity"] == 0) & (rows["metric"] == metric)].to_dict("records")
    return numbers.figure_of(found[0]) if found else Figure(float("nan"), "not_defined")


def _corrupted(params: Params, rows: pd.DataFrame, metric: str) -> Figure:
    """The mean over corruptions of the mean over severities, as mPC is."""
    cells = rows[(rows["metric"] == metric) & (rows["severity"] > 0)].to_dict("records")
    found: Sequence[robustness.Cell] = [
        robustness.Cell(row["corruption"], row["family"], int(row["severity"]), numbers.figure_of(row)) for row in cells
    ]
    return robustness.mean_over(found) if found else Figure(float("nan"), "not_defined")
