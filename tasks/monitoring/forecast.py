"""What accuracy to expect of new footage, by what the cells of the validated run that it looks like have scored.

A proxy, not accuracy: it knows what the frames look like, and nothing of what is in them.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.metrics import grouped
from tasks.monitoring import rehearsal
from tasks.monitoring.likeness import Floats, Looks, Signatures, expected, transformed
from tasks.monitoring.rehearsal import LEAST_REFERENCE, Calibration
from tasks.params import Params

VERSION: Final = 1
"""Rises when the same run gives another forecast: what is stored is then fitted again."""

RANKS: Final = 5
"""Corruptions that are named, nearest first."""


class Reference(NamedTuple):
    """A camera when all was well.

    Attributes:
        frames: as those of a clip.
        source: what they are, to go on after "compared with".
        checked: whether somebody knows that all was well.
    """

    frames: pd.DataFrame
    source: str = "frames of this camera"
    checked: bool = True


class Forecast(NamedTuple):
    """Of one clip: the tables `footage_forecast` and `footage_nearest`, and a sentence on what it is compared with."""

    metrics: pd.DataFrame
    nearest: pd.DataFrame
    against: str

    @property
    def clean(self) -> bool:
        """Whether the clip looks like clean frames more than like anything else, and not like nothing at all."""
        outside = self.metrics["status"].eq("outside_validated").any()
        first = self.nearest.loc[self.nearest["rank"] == 1, "corruption"]
        return bool(first.eq(tables.CLEAN).any() and not outside)


class Expected(NamedTuple):
    """One headline metric of the model: its clean score, and (C,) the share of it that is left in each cell."""

    metric: str
    naive: float
    shares: Floats


@dataclass(frozen=True, eq=False)
class Forecaster:
    """What a validated run knows of one model.

    Attributes:
        signatures: of all cells.
        metrics: by task.
        calibrations: how far off forecasts were, by whether the camera has a reference; None where nothing could be
            held out.
        validation: the table `footage_validation`.
    """

    signatures: Signatures
    metrics: tuple[Expected, ...]
    calibrations: Mapping[bool, Calibration | None]
    validation: pd.DataFrame

    def forecast(
        self, frames: pd.DataFrame, *, clip_id: str, camera: str, reference: Reference | None = None
    ) -> Forecast:
        """What to expect of one clip.

        Args:
            frames: a row for each sampled frame, a column for each feature of `tasks.quality`; others do not matter.
            clip_id: of the clip.
            camera: of the clip.
            reference: of the camera. None, or fewer frames than `rehearsal.LEAST_REFERENCE`: what the validated run's
                clean frames look like stands in.
        """
        looks = _known(transformed(frames, self.signatures.features))
        before = None if reference is None else _known(transformed(reference.frames, self.signatures.features))
        own = before is not None and len(before) >= LEAST_REFERENCE
        against = f"No reference of the camera '{camera}': compared with the validated run's clean frames."
        if own and reference is not None:
            against = f"Compared with {reference.source}."
        place = {"clip_id": clip_id, "camera": camera}
        rule = self.calibrations[own]
        if not len(looks) or rule is None:
            reason = "The clip has no frame that all features could be measured of."
            if len(looks):
                reason = (
                    "The validated run has too few clips to hold some out, so nobody knows how far off this would be."
                )
            rows = [self._row(item, "not_applicable", reason) for item in self.metrics]
            return Forecast(_table("footage_forecast", rows, place), _table("footage_nearest", [], place), against)
        space = self.signatures.against(before if own else None)
        point = space.place(looks.mean(axis=0, keepdims=True))
        names, severities, distances = space.nearest(point)
        order = np.argsort(distances[0], kind="stable")[:RANKS]
        nearest = [
            {
                "rank": rank,
                "corruption": names[at],
                "severity": int(severities[0, at]),
                "similarity": 1 / (1 + (distances[0, at] / rule.usual) ** 2),
                "distance": distances[0, at],
            }
            for rank, at in enumerate(order, start=1)
        ]
        distance = float(distances.min())
        notes = [] if own and reference is not None and reference.checked else [against]
        rows = []
        for item in self.metrics:
            if distance > rule.farthest:
                far = (
                    f"{distance:.1f} from the nearest validated condition, where at most {rule.farthest:.1f} was tried."
                )
                rows.append(self._row(item, "outside_validated", " ".join([*notes, far])))
            elif item.metric not in rule.low:
                unknown = "No group of held-out clips has a figure of it, so nobody knows how far off this would be."
                rows.append(self._row(item, "not_applicable", " ".join([*notes, unknown])))
            else:
                value = min(max(float(expected(space, point, item.shares)[0]) * item.naive, 0.0), 1.0)
                low, high = rule.interval(item.metric, value, item.naive, distance)
                found = self._row(item, "ok", " ".join(notes) or None)
                rows.append(found | {"value": value, "low": min(low, value), "high": max(high, value)})
        return Forecast(_table("footage_forecast", rows, place), _table("footage_nearest", nearest, place), against)

    @staticmethod
    def _row(item: Expected, status: str, note: str | None) -> dict[str, Any]:
        nothing = dict.fromkeys(("value", "low", "high"), math.nan)
        return {"metric": item.metric, "naive": item.naive, **nothing, "status": status, "note": note}

    def save(self, path: Path) -> None:
        """Write it whole, as JSON."""
        own = self.signatures
        arrays = ("shifts", "paired", "ordinary", "mean", "spread")
        document = {
            "version": VERSION,
            "features": own.features,
            "cells": own.cells,
            "signatures": {name: getattr(own, name).tolist() for name in arrays},
            "metrics": [(item.metric, item.naive, _with_gaps(item.shares)) for item in self.metrics],
            "calibrations": [self.calibrations[False], self.calibrations[True]],
            "validation": self.validation.astype(object).where(self.validation.notna(), None).to_dict("split"),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
        temporary.replace(path)


def load(path: Path) -> Forecaster:
    """What `save` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        own = {name: np.array(values, dtype=np.float64) for name, values in document["signatures"].items()}
        cells = tuple((str(name), int(severity)) for name, severity in document["cells"])
        metrics = tuple(
            Expected(name, naive, np.array([math.nan if share is None else share for share in shares]))
            for name, naive, shares in document["metrics"]
        )
        without, having = (None if item is None else Calibration(*item) for item in document["calibrations"])
        validation = pd.DataFrame(document["validation"]["data"], columns=document["validation"]["columns"])
        return Forecaster(
            Signatures(tuple(document["features"]), cells, **own),
            metrics,
            {False: without, True: having},
            _typed("footage_validation", validation),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no stored forecaster ({error}): remove it, and it is fitted again.") from None


def ready(params: Params, layout: Layout, model: str, folder: Path) -> Forecaster:
    """The forecaster of a validated run: fitted once, then read from `folder`.

    Args:
        params: the run's choices.
        layout: where its tables, predictions and scores lie.
        model: that is shipped.
        folder: where fitted ones are kept; made when missing.

    Raises:
        InputError: as `fit`.
    """
    path = _kept(params, layout, model, folder)
    if path.exists():
        try:
            return load(path)
        except InputError:  # damaged: fitted again
            pass
    found = fit(params, layout, model)
    found.save(path)
    return found


def fitted(params: Params, layout: Layout, model: str, folder: Path) -> datetime | None:
    """When `ready`, which takes the same arguments, fitted what it reads; None where it has yet to."""
    try:
        return datetime.fromtimestamp(_kept(params, layout, model, folder).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _kept(params: Params, layout: Layout, model: str, folder: Path) -> Path:
    """Where the forecaster of a run is kept: another name for each run that gives another one."""
    digest = hashlib.sha256(f"{VERSION} {model} {params.dataset!r} {params.metrics.confidence}".encode())
    for path in (layout.predictions / "quality.parquet", layout.scores / "scores.parquet"):
        digest.update(path.read_bytes() if path.exists() else b"")
    return folder / f"{digest.hexdigest()[:32]}.json"


def fit(params: Params, layout: Layout, model: str) -> Forecaster:
    """From what a run has stored: no model runs, but its predictions are scored again, by groups of clips.

    Args:
        params: the run's choices.
        layout: where its tables, predictions and scores lie.
        model: whose accuracy is to be forecast.

    Raises:
        InputError: a table is missing or broken, or the model has no clean score.
    """
    place = layout.predictions / "quality.parquet"
    if not place.exists():
        raise InputError(f"Expected what cells look like at {place}, found no file: run `stormglass infer` again.")
    looks = Looks.of(tables.read("cell_quality", place))
    scores = tables.read("scores", layout.scores / "scores.parquet")
    metrics = _metrics(scores, model, looks)
    if not metrics:
        raise InputError(f"{layout.scores / 'scores.parquet'} holds no clean score of '{model}' above 0.")
    frames = tables.read("frames", layout.tables / "frames.parquet")
    frames = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    group_of = rehearsal.groups(frames, dict(zip(looks.clips, map(str, looks.cameras), strict=True)))
    figures = grouped.figures(params, layout, model, group_of)
    cases = rehearsal.cases(looks, group_of, figures)
    confidence = params.metrics.confidence
    kinds = {False: rehearsal.WITHOUT, True: rehearsal.WITH_REFERENCE}
    return Forecaster(
        Signatures.of(looks, np.ones(len(looks.clips), dtype=bool), np.ones(len(looks.cells), dtype=bool)),
        metrics,
        {own: rehearsal.calibration(cases[cases["validation"].isin(some)], confidence) for own, some in kinds.items()},
        _typed("footage_validation", rehearsal.validation(cases, confidence)),
    )


def _metrics(scores: pd.DataFrame, model: str, looks: Looks) -> tuple[Expected, ...]:
    """The headline of each task that the model has, in the order of tasks."""
    whole = scores["baseline"].isna() & (scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL)
    own = scores[whole & (scores["model"] == model) & scores["severity"].notna()]
    found = []
    for task, metric in tables.HEADLINE.items():
        rows = own[(own["task"] == task) & (own["metric"] == metric)]
        values = rows.set_index(["corruption", "severity"])["value"]
        by_cell = values.reindex(pd.MultiIndex.from_tuples(looks.cells)).to_numpy(np.float64)
        if math.isfinite(by_cell[0]) and by_cell[0] > 0:
            found.append(Expected(metric, float(by_cell[0]), by_cell / by_cell[0]))
    return tuple(found)


def _known(values: Floats) -> Floats:
    """The frames that lack no feature."""
    found: Floats = values[np.isfinite(values).all(axis=1)]
    return found


def _with_gaps(values: Floats) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _table(name: str, rows: list[dict[str, Any]], place: Mapping[str, str]) -> pd.DataFrame:
    return _typed(name, pd.DataFrame([{**place, **row} for row in rows], columns=tables.SCHEMAS[name].names))


def _typed(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The same rows as they would be read from a file."""
    return tables.from_arrow(name, tables.to_arrow(name, table))
