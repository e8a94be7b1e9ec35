"""What was forecast of frames against what labels say of them, and what earlier adoptions found."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import tables, terms

SAMPLE: Final = "sample.parquet"
TABLE: Final = "adoption.parquet"
LABELLED: Final = "labelled"
"""In an adoption's folder: the data set of labelled frames, its scores, and the table."""

_ENDS: Final = ("value", "low", "high", "naive")


def against(
    sample: pd.DataFrame, forecast: pd.DataFrame, scores: pd.DataFrame, *, run: str, model: str
) -> pd.DataFrame:
    """The table `footage_adoption`: predicted against actual, for all frames and for each camera.

    Predicted is the mean of the clips' forecasts by their labelled frames; the ends are the means of their ends.

    Args:
        sample: `footage_sample` rows of the labelled frames.
        forecast: `footage_forecast` of the scan.
        scores: the table `scores` of the labelled frames, by camera.
        run: of the scan.
        model: the shipped one.
    """
    rows = scores[(scores["model"] == model) & (scores["severity"] == 0) & (scores["class"] == tables.ALL)]
    rows = rows[rows["baseline"].isna()].set_index(["metric", "slice"])
    found = []
    for metric in dict.fromkeys(forecast["metric"]):
        for camera in (tables.ALL, *sorted(set(sample["camera"]) - {tables.ALL})):
            place = metric, tables.ALL if camera == tables.ALL else f"camera={camera}"
            if place not in rows.index:
                continue
            actual = rows.loc[[place]].iloc[0]
            own = sample if camera == tables.ALL else sample[sample["camera"] == camera]
            of = forecast[forecast["metric"] == metric].set_index("clip_id").reindex(own["clip_id"])
            told = of[of["status"] == "ok"]
            outside = int((of["status"] == "outside_validated").sum())
            means = {name: _mean((of if name == "naive" else told)[name]) for name in _ENDS}
            row: dict[str, Any] = {"run": run, "camera": camera, "metric": metric, "n_frames": len(own)}
            row |= {"n_clips": own["clip_id"].nunique(), "naive": means["naive"]}
            row |= {"predicted": means["value"], "predicted_low": means["low"], "predicted_high": means["high"]}
            row |= {name: float(actual[end]) for name, end in _ACTUAL.items()}
            row["inside"] = _inside(row)
            row["note"] = _note(outside, len(own), str(actual["status"]))
            found.append(row)
    return pd.DataFrame(found, columns=tables.SCHEMAS["footage_adoption"].names)


_ACTUAL: Final = {"actual": "value", "actual_low": "low", "actual_high": "high"}


def _mean(values: "pd.Series[float]") -> float:
    return float(values.astype(float).mean()) if len(values) else math.nan


def _inside(row: dict[str, Any]) -> bool | None:
    """Whether the actual figure lies in the predicted interval; None where one is missing."""
    low, high, actual = row["predicted_low"], row["predicted_high"], row["actual"]
    return None if any(math.isnan(value) for value in (low, high, actual)) else low <= actual <= high


def _note(outside: int, count: int, status: str) -> str | None:
    parts = []
    if outside:
        parts.append(f"{outside} of {count} frames are of clips outside everything validated")
    if status != "ok":
        parts.append(f"actual: {status.replace('_', ' ')}")
    return "; ".join(parts) or None


def markdown(table: pd.DataFrame) -> str:
    """The table for people."""

    def lines() -> Iterator[str]:
        yield "# Predicted against actual"
        yield ""
        yield "On the labelled frames of a stratified sample, which holds more odd frames than the footage does."
        yield ""
        yield "| camera | metric | frames | clips | predicted | actual | off by | clean score | inside | note |"
        yield "|---|---|---:|---:|---|---|---:|---:|---|---|"
        for row in table.to_dict("records"):
            off = row["predicted"] - row["actual"]
            cells = [
                str(row["camera"]).replace("|", "\\|"),
                terms.metric(row["metric"]),
                row["n_frames"],
                row["n_clips"],
                _figure(row["predicted"], row["predicted_low"], row["predicted_high"]),
                _figure(row["actual"], row["actual_low"], row["actual_high"]),
                "–" if math.isnan(off) else f"{off:+.3f}",
                _figure(row["naive"]),
                "–" if pd.isna(row["inside"]) else "yes" if row["inside"] else "no",
                "" if pd.isna(row["note"]) else row["note"],
            ]
            yield f"| {' | '.join(map(str, cells))} |"

    return "\n".join(lines()) + "\n"


def _figure(value: float, low: float = math.nan, high: float = math.nan) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" + ("" if math.isnan(low) or math.isnan(high) else f" [{low:.3f}, {high:.3f}]")


def earlier(root: Path) -> pd.DataFrame:
    """The `footage_adoption` rows of every adoption below `root`, oldest first; may have none.

    Raises:
        InputError: a table there does not fit.
    """
    return _joined("footage_adoption", sorted(root.glob(f"*/{LABELLED}/{TABLE}")))


def samples(root: Path) -> pd.DataFrame:
    """The `footage_sample` rows of every adoption below `root`; may have none.

    Raises:
        InputError: a table there does not fit.
    """
    return _joined("footage_sample", sorted(root.glob(f"*/{SAMPLE}")))


def _joined(name: str, files: list[Path]) -> pd.DataFrame:
    found = [rows for file in files if len(rows := tables.read(name, file))]
    return pd.concat(found, ignore_index=True) if found else tables.SCHEMAS[name].empty_table().to_pandas()
