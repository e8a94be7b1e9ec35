"""Rows of the table `matches`: what matching found, so that any reader can reduce it again."""

from typing import Final

import numpy as np
import pandas as pd

from tasks.metrics.errors import KINDS, Errors
from tasks.metrics.instances import Bools, Ints
from tasks.metrics.matching import Candidates, Matches
from tasks.metrics.truth import GroundTruth

NAMES: Final = np.array([*KINDS, "found", "ignored"], dtype=object)
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
    # A target of -1 reads the entry after the last, which the mask hides.
    ids, order = truth.object_ids, pairs.order
    target = errors.target[order]
    found = pd.DataFrame(
        {
            "frame_id": truth.frame_ids[whole.frame],
            "class_id": kinds[np.repeat(np.arange(whole.n_classes), np.diff(whole.ends))],
            "score": whole.score,
            "hits": pd.array(whole.hit.sum(axis=0), dtype="Int8"),
            "hit_bits": pd.array(_bits(whole.hit), dtype="Int16"),
            "counted_bits": pd.array(_bits(whole.counted), dtype="Int16"),
            "error_kind": NAMES[errors.kind[order]],
            "object_id": pd.arrays.IntegerArray(np.r_[ids, 0][target], target < 0),
        }
    )
    lost = np.flatnonzero(errors.missed)
    missed = pd.DataFrame(
        {
            "frame_id": truth.frame_ids[errors.truth.frame[lost]],
            "class_id": kinds[errors.truth.kind[lost]],
            "error_kind": "miss",
            "object_id": pd.array(ids[lost], dtype="Int64"),
        }
    )
    return pd.concat([found, missed], ignore_index=True) if len(lost) else found  # what is not given is null


def _bits(by_threshold: Bools) -> Ints:
    """(N,) bit k is row k of the (10, N) given."""
    bits: Ints = (by_threshold.astype(np.int64) << np.arange(len(by_threshold))[:, None]).sum(axis=0)
    return bits
