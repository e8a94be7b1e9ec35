"""One cell of one model: every figure of every task, slice and class, and its examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.metrics import THRESHOLD
from tasks.metrics.cell import label_maps, labels, objects, tracks
from tasks.metrics.cell.deployed import Limits
from tasks.metrics.cell.fitting import Fitted
from tasks.metrics.cell.measured import Measured, example_rows
from tasks.metrics.predictions import ModelFacts, read
from tasks.metrics.robustness import Figure
from tasks.metrics.study import Key, Study


@dataclass(frozen=True)
class Scored:
    """What one cell came to: by task, its figures and its rows of other tables.

    Attributes:
        figures: by task and key; replicates stay with the headline of slices and of classes alone.
        rows: rows of other tables by task and the table's name.
        label_scores: (n_frames, n_labels) what `with_classification` makes the figures of classification from.
        fitted: by task, what the cell was measured with.
        limits: the policy's thresholds, where it has boxes.
    """

    figures: Mapping[str, Mapping[Key, Figure]]
    rows: Mapping[str, Mapping[str, pd.DataFrame]]
    label_scores: npt.NDArray[np.float32] | None = None
    fitted: Mapping[str, Fitted] = field(default_factory=dict)
    limits: Limits | None = None

    def thresholds(self) -> dict[str, float]:
        """The operating thresholds found in this cell, by task."""
        key = (tables.ALL, tables.ALL, THRESHOLD)
        return {task: figures[key].value for task, figures in self.figures.items() if key in figures}


def score(
    files: Sequence[Path],
    model: ModelFacts,
    study: Study,
    thresholds: Mapping[str, float] | None = None,
    fitted: Mapping[str, Fitted] | None = None,
    limits: Limits | None = None,
) -> Scored:
    """Measure one cell, but for classification: `with_classification` adds that.

    Args:
        files: its parts.
        model: what is scored.
        study: what against.
        thresholds: by task, the operating thresholds of the clean cell; None when this is the clean cell, which then
            finds them.
        fitted: by task, what was fitted on clean validation frames; None without any.
        limits: the policy's thresholds of the clean cell; None when this is it, or when it has none.

    Raises:
        InputError: the predictions are not fit to be scored.
    """
    found = read(files, model, study.truth)
    measured: dict[str, Measured] = {}
    label_scores = None
    for task in model.tasks:
        if task == "classification":
            label_scores = labels.read_scores(found, model, study.truth)
        elif task == "semantic":
            measured[task] = label_maps.measure(found, model, study)
        elif task == "tracking":
            measured[task] = tracks.measure(found, study, limits)
        else:
            temperature = (fitted or {}).get(task, Fitted()).temperature
            measured[task] = objects.measure(found, task, study, thresholds, limits, temperature=temperature)
            limits = measured[task].limits or limits  # boxes come before tracks
    return replace(_scored(measured, study), label_scores=label_scores, fitted=fitted or {}, limits=limits)


def with_classification(scored: Scored, study: Study) -> Scored:
    """The same cell with the figures and examples of classification, where the model has that task.

    A step of its own, for the process that gathers the cells: importing torchmetrics takes ten seconds and half a
    gigabyte, which each worker would pay again for a tenth of a second's work.
    """
    if scored.label_scores is None:
        return scored
    known = scored.fitted.get("classification", Fitted())
    measured = labels.measure(
        scored.label_scores, study, temperature=known.temperature, abstain_below=known.abstain_below
    )
    own = _scored({"classification": measured}, study)
    return replace(
        scored, figures={**own.figures, **scored.figures}, rows={**own.rows, **scored.rows}, label_scores=None
    )


def _scored(measured: Mapping[str, Measured], study: Study) -> Scored:
    figures = {task: study.figures(task, item.values) for task, item in measured.items()}
    rows = {
        task: {**item.rows, "examples": example_rows(item.examples, study.truth.frame_ids)}
        for task, item in measured.items()
    }
    return Scored(figures, rows)
