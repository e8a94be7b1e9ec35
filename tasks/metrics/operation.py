"""Operation: what a threshold on confidence costs, by coverage, precision and recall.

Everything is a function of arrays. What rests on no sample is NaN. A resampled figure is a weighted reduction of
counts by sampling unit, as `resampling` has it.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError
from tasks.metrics.calibration import Confidences, counted
from tasks.metrics.detection import BLOCK_BYTES
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.matching import Matches
from tasks.metrics.resampling import Replicates, Resampler

UNKNOWN: Final = "Unknown"
"""The label of what a model abstains from."""


def risk_coverage(confidence: Confidences, correct: Bools) -> tuple[Floats, Floats]:
    """Share of samples kept and share of errors among those, as the threshold falls (El-Yaniv and Wiener, JMLR 2010).

    One point for each confidence that occurs: a threshold keeps all samples of a confidence or none. Empty without
    samples.

    Examples:
        >>> [a.tolist() for a in risk_coverage(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, False, True, True]))]
        [[0.25, 0.75, 1.0], [0.0, 0.3333333333333333, 0.25]]
    """
    order = np.argsort(-confidence, kind="stable")
    last = _last_of_ties(confidence[order])
    wrong = np.cumsum(~correct[order])
    return (last + 1) / max(len(order), 1), wrong[last] / (last + 1)


def aurc(confidence: Confidences, correct: Bools) -> float:
    """The area under `risk_coverage`: the mean risk over the coverages (Geifman et al., ICLR 2019); NaN if empty.

    Of samples with one confidence each has the risk of keeping them all, so their order does not matter.
    """
    coverage, risk = risk_coverage(confidence, correct)
    return float(np.sum(np.diff(coverage, prepend=0) * risk)) if len(risk) else float("nan")


def aurc_resampled(
    confidence: Confidences, correct: Bools, resampler: Resampler, frames: Bools | None = None
) -> Replicates:
    """`aurc` of one prediction a frame, in every resample; arguments as in `ece_resampled`."""
    found = np.full(resampler.resamples, np.nan, dtype=np.float32)
    chosen = np.arange(len(confidence)) if frames is None else np.flatnonzero(frames)
    if not len(chosen):
        return found
    order = chosen[np.argsort(-confidence[chosen], kind="stable")]
    units, wrong = resampler.unit_of[order], ~correct[order][:, None]
    last = _last_of_ties(confidence[order])
    step = max(1, BLOCK_BYTES // (8 * len(order)))
    for start in range(0, resampler.resamples, step):
        block = np.s_[start : start + step]
        weights = resampler.weights[:, block].astype(np.float64)[units]
        kept, missed = np.cumsum(weights, axis=0)[last], np.cumsum(weights * wrong, axis=0)[last]
        found[block] = (np.diff(kept, axis=0, prepend=0) * missed / kept).sum(axis=0) / kept[-1]
    return found


def abstention(confidence: Confidences, correct: Bools, threshold: float) -> tuple[float, float]:
    """Coverage, and accuracy of what is kept, when a model answers from `threshold` up.

    Both NaN without samples or threshold; the accuracy NaN when nothing is kept.
    """
    if not len(confidence) or np.isnan(threshold):
        return float("nan"), float("nan")
    kept = confidence >= threshold
    return float(kept.mean()), float(correct[kept].mean()) if kept.any() else float("nan")


def answers(names: npt.NDArray[np.str_], confidence: Confidences, threshold: float) -> npt.NDArray[np.str_]:
    """The predicted class names (N,), UNKNOWN where the confidence is below the threshold.

    Examples:
        >>> answers(np.array(["red", "green"]), np.array([0.9, 0.4]), 0.5).tolist()
        ['red', 'Unknown']
    """
    return np.where(confidence >= threshold, names, UNKNOWN)


def precision_recall_at(
    matches: Matches, threshold: float, frames: Bools | None = None, *, kind: int | None = None
) -> dict[str, float]:
    """precision, recall and f1 at IoU 0.5 of the detections that score at least `threshold`.

    Args:
        matches: from `match`: a detection's match does not depend on those that score less, so none is matched again.
        threshold: such as `operating_threshold` of the clean cell; NaN makes all of them NaN.
        frames: (n_frames,) the frames that count; None for all.
        kind: one class; None for all, objects and detections counted together.

    Returns:
        precision NaN without detections; recall and f1 NaN without truth.
    """
    found = np.array([len(part) for part in _operating(matches, threshold, frames, kind)], dtype=float)
    return {name: float(value) for name, value in _rates(found, threshold).items()}


def precision_recall_resampled(
    matches: Matches, threshold: float, resampler: Resampler, frames: Bools | None = None, *, kind: int | None = None
) -> dict[str, Replicates]:
    """`precision_recall_at` in every resample, the threshold fixed: what is uncertain is the data, not the setting."""
    n_units = len(resampler.weights)
    parts = _operating(matches, threshold, frames, kind)
    by_unit = np.column_stack([np.bincount(resampler.unit_of[part], minlength=n_units) for part in parts])
    rates = _rates(resampler.sums(by_unit.astype(float)), threshold)
    return {name: values.astype(np.float32) for name, values in rates.items()}


def reweighted_precision(confusion: npt.NDArray[np.number], mix: Floats) -> Floats:
    """Precision of each class under another class mix, the confusion within each true class unchanged.

    That is label shift: what a model makes of a class stays, how often the class comes changes (Saerens et al., Neural
    Computation 2002; Lipton et al., ICML 2018). Detections outside every class have no place in it.

    Args:
        confusion: (K, K or more) counts, true class by predicted; columns past K (Unknown) take answers away.
        mix: (K,) shares or counts of the true classes to come.

    Returns:
        (K,) NaN for a class that would never be predicted, and throughout when the mix has a class without samples.

    Raises:
        InputError: `mix` is not one number of at least 0 for each class.

    Examples:
        >>> reweighted_precision(np.array([[90, 10], [20, 80]]), np.array([0.1, 0.9])).round(3).tolist()
        [0.333, 0.986]
    """
    n_classes = len(confusion)
    if mix.shape != (n_classes,) or not (mix >= 0).all():
        raise InputError(f"Expected a mix of {n_classes} shares of at least 0, got {mix.tolist()}.")
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = confusion / confusion.sum(axis=1, keepdims=True)
        expected = np.where(mix[:, None] > 0, mix[:, None] * rates, 0.0)[:, :n_classes]
        precision: Floats = np.diagonal(expected) / expected.sum(axis=0)
    return precision


def _last_of_ties(ordered: Confidences) -> Ints:
    """Positions of the last sample of each value, of values in order."""
    return np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], np.ones(min(len(ordered), 1), dtype=bool)])


def _operating(matches: Matches, threshold: float, frames: Bools | None, kind: int | None) -> tuple[Ints, Ints, Ints]:
    """The frames of the hits, of all detections kept, and of the truth."""
    chosen = counted(matches, frames, kind)
    kept = chosen[matches.score[chosen] >= threshold]
    wanted = matches.wanted if kind is None else matches.wanted[matches.wanted[:, 1] == kind]
    there = wanted[:, 0] if frames is None else wanted[frames[wanted[:, 0]], 0]
    return matches.frame[kept[matches.hit[0, kept]]], matches.frame[kept], there


def _rates(counts: Floats, threshold: float) -> Mapping[str, Floats]:
    """From (..., 3) hits, detections and truth."""
    hits, kept, wanted = np.moveaxis(counts * np.nan if np.isnan(threshold) else counts, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(wanted > 0, 2 * hits / (kept + wanted), np.nan)
        return {"precision": hits / kept, "recall": hits / wanted, "f1": f1}
