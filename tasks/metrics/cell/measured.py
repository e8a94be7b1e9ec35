"""What measuring one task of one cell gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.metrics import DIGITS, calibration
from tasks.metrics.examples import Examples
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.study import Values


@dataclass(frozen=True, eq=False)
class Measured:
    """One task of one cell.

    Attributes:
        values: its figures.
        examples: rows of the table `examples`.
        rows: rows of further tables by name, without the columns that say which model, task and cell they are of.
        limits: of boxes, the policy's thresholds by level and class.
    """

    values: Values
    examples: Examples
    rows: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    limits: Mapping[str, Floats] | None = None


def confusion_rows(counts: Ints, names: list[str]) -> pd.DataFrame:
    """Rows of `confusion`, what does not occur left out.

    Args:
        counts: by true and predicted class.
        names: what the places of both axes are called.
    """
    true, predicted = counts.nonzero()
    return pd.DataFrame(
        {
            "true_class": [names[place] for place in true],
            "predicted_class": [names[place] for place in predicted],
            "count": counts[true, predicted],
        }
    )


def reliability_rows(confidence: calibration.Confidences, correct: Bools) -> pd.DataFrame:
    """Rows of `reliability`, empty bins left out; none for values that are no probabilities.

    Args:
        confidence: (N,) of frames or detections.
        correct: (N,) whether each was right.
    """
    if not calibration.are_probabilities(confidence):
        return pd.DataFrame()
    table = calibration.reliability(confidence, correct)
    held = table.count > 0
    return pd.DataFrame({name: values[held] for name, values in vars(table).items()}).round(DIGITS)


def example_rows(told: Examples, frame_ids: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Rows of `examples`, by frame.

    Args:
        told: what each frame shows.
        frame_ids: (n_frames,) ids by position.
    """
    frames = np.array(told.frame, dtype=np.int64)
    order = np.argsort(frames, kind="stable")
    return pd.DataFrame(
        {
            "frame_id": frame_ids[frames[order]],
            "score": np.round(np.array(told.score, dtype=float)[order], DIGITS),
            "error_kind": pd.Series([told.error_kind[place] for place in order], dtype=object),
            "evidence": pd.Series([told.evidence[place] for place in order], dtype=object),
        }
    )
