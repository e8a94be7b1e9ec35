"""Rows of the table `matches`: what matching found, so that any reader can reduce it again."""

from typing import Final

import numpy as np
import pandas as pd

from tasks.metrics.errors import KINDS, Errors
from tasks.metrics.instances import Bools, Ints
from tasks.metrics.matching import Candidates, Matches
from tasks.metrics.truth import GroundTruth

NAMES: Final = (*KINDS, "found", "ignored")
"""`error_kind` by position in errors.KINDS, RIGHT and UNCOUNTED."""


def match_rows(pairs: Candidates, whole: Matches, errors: Errors, truth: GroundTruth) -> pd.DataFrame:
    """One row for each detection in COCO's order, then one for each object missed.

    Args:
        pairs: from `matching.candidates`.
        whole: their matches under the rule that ignores no more than the truth says.
        errors: of the same pairs.
        truth: whose ids the rows carry.
    """
    kinds = np.array(list(truth.classes["object"]), dtype=np.int32)
    order, lost = pairs.order, np.flatnonzero(errors.missed)
    target = np.r_[errors.target[order], lost]
    missed = np.arange(len(target)) >= len(order)

    def of_found(values: Ints, dtype: type) -> pd.arrays.IntegerArray:
        return pd.arrays.IntegerArray(np.r_[values, np.zeros(len(lost))].astype(dtype), missed)

    error_kind = np.r_[errors.kind[order], np.full(len(lost), KINDS.index("miss"))]
    return pd.DataFrame(
        {
            "frame_id": truth.frame_ids[np.r_[whole.frame, errors.truth.frame[lost]]],
            "class_id": kinds[np.r_[whole.kind, errors.truth.kind[lost]]],
            "score": np.r_[whole.score, np.full(len(lost), np.nan)],
            "hits": of_found(whole.hit.sum(axis=0), np.int8),
            "hit_bits": of_found(_bits(whole.hit), np.int16),
            "counted_bits": of_found(_bits(whole.counted), np.int16),
            "error_kind": pd.Categorical.from_codes(error_kind, pd.Index(NAMES)),
            # A target of -1 reads the entry after the last, which the mask hides.
            "object_id": pd.arrays.IntegerArray(np.r_[truth.object_ids, 0][target], target < 0),
        }
    )


def _bits(by_threshold: Bools) -> Ints:
    """(N,) bit k is row k of the (10, N) given."""
    bits: Ints = (by_threshold.astype(np.int64) << np.arange(len(by_threshold))[:, None]).sum(axis=0)
    return bits
