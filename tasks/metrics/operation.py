"""Operation: what a threshold on confidence costs, by coverage, precision and recall.

Everything is a function of arrays. What rests on no sample is NaN. A resampled figure is a weighted reduction of
counts by sampling unit, as `resampling` has it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tasks.metrics.calibration import Confidences, counted
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.matching import Matches
from tasks.metrics.precision import BLOCK_BYTES
from tasks.metrics.resampling import Replicates, Resampler


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


def answering_threshold(confidence: Confidences, correct: Bools, accuracy: float) -> float:
    """The least confidence that occurs from which on at least `accuracy` of the samples are right.

    That is the largest coverage within a risk (Geifman and El-Yaniv, NeurIPS 2017, without their bound): fit it on
    clean validation data. Those data say nothing about what is less sure than all of them, so even a model that was
    always right abstains below its least confidence. NaN where no threshold will do.

    Examples:
        >>> answering_threshold(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), 0.66)
        0.7
    """
    order = np.argsort(-confidence, kind="stable")
    last = _last_of_ties(confidence[order])
    # The quotient, not counts times `accuracy`: 7 of 10 are 0.7, but 0.7 times 10 is more than 7.
    fit = np.flatnonzero(np.cumsum(correct[order])[last] / (last + 1) >= accuracy)
    return float(confidence[order][last[fit[-1]]]) if len(fit) else float("nan")


def abstention(
    confidence: Confidences, correct: Bools, labels: Ints, n_classes: int, threshold: float, resampler: Resampler
) -> tuple[dict[str, Floats], dict[str, list[Replicates]]]:
    """Metrics `coverage` and `selective_accuracy` of a classifier that answers from `threshold` up.

    Args:
        confidence: (n_frames,) of its answers.
        correct: (n_frames,) whether they are right.
        labels: (n_frames,) the position of the true class, -1 without one.
        n_classes: of the data set.
        threshold: NaN makes everything NaN.
        resampler: the frames' sampling units.

    Returns:
        By metric an array (1 + K,): the share answered, and the share of the answers that is right (El-Yaniv and
        Wiener, JMLR 2010), of all labelled frames, then of those of each true class; NaN without frames or answers.
        Then the same in every resample.
    """
    labelled = labels >= 0
    kept = labelled & (confidence >= threshold)

    def rates(total: Callable[[Bools], Floats]) -> dict[str, Floats]:
        there, answered, right = (_with_all(total(chosen)) for chosen in (labelled, kept, kept & correct))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = {"coverage": answered / there, "selective_accuracy": right / answered}
        return {name: values * np.nan if np.isnan(threshold) else values for name, values in found.items()}

    def resampled(chosen: Bools) -> Floats:
        by_unit = np.zeros((len(resampler.weights), n_classes))
        np.add.at(by_unit, (resampler.unit_of[chosen], labels[chosen]), 1)
        return resampler.sums(by_unit)

    points = rates(lambda chosen: np.bincount(labels[chosen], minlength=n_classes).astype(float))
    again = {name: list(values.T.astype(np.float32)) for name, values in rates(resampled).items()}
    return points, again


def precision_recall_at(matches: Matches, threshold: float, frames: Bools | None = None) -> dict[str, Floats]:
    """precision, recall and f1 at IoU 0.5 of the detections that score at least `threshold`.

    Args:
        matches: from `match`: a detection's match does not depend on those that score less, so none is matched again.
        threshold: such as `operating_threshold` of the clean cell; NaN makes all of them NaN.
        frames: (n_frames,) the frames that count; None for all.

    Returns:
        By metric (1 + n_classes,) of all objects and detections counted together, then of each class: precision NaN
        without detections; recall and f1 NaN without truth.
    """
    parts = _operating(matches, threshold, frames)
    counts = [np.bincount(kind, minlength=matches.n_classes).astype(float) for _, kind in parts]
    return _rates(_with_all(np.stack(counts)), threshold)


def precision_recall_resampled(
    matches: Matches, threshold: float, resampler: Resampler, frames: Bools | None = None
) -> dict[str, npt.NDArray[np.float32]]:
    """`precision_recall_at` in every resample, (1 + n_classes, resamples), the threshold fixed: what is uncertain is
    the data, not the setting.
    """
    n_classes = matches.n_classes
    shape = (len(resampler.weights), n_classes)
    by_unit = [
        np.bincount(resampler.unit_of[frame] * n_classes + kind, minlength=shape[0] * n_classes).reshape(shape)
        for frame, kind in _operating(matches, threshold, frames)
    ]
    sums = resampler.sums(_with_all(np.stack(by_unit, axis=1).astype(float)))
    return {name: rows.T.astype(np.float32) for name, rows in _rates(np.moveaxis(sums, 1, 0), threshold).items()}


def _last_of_ties(ordered: Confidences) -> Ints:
    """Positions of the last sample of each value, of values in order."""
    return np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], np.ones(min(len(ordered), 1), dtype=bool)])


def _with_all(by_class: Floats) -> Floats:
    """(..., K) to (..., 1 + K): the sum first."""
    return np.concatenate([by_class.sum(axis=-1, keepdims=True), by_class], axis=-1)


def _operating(matches: Matches, threshold: float, frames: Bools | None) -> list[tuple[Ints, Ints]]:
    """Frame and class of each hit, of each detection kept, and of each truth object."""
    chosen = counted(matches, frames)
    kept = chosen[matches.score[chosen] >= threshold]
    wanted = matches.wanted if frames is None else matches.wanted[frames[matches.wanted[:, 0]]]
    hits = kept[matches.hit[0, kept]]
    return [*((matches.frame[part], matches.kind[part]) for part in (hits, kept)), (wanted[:, 0], wanted[:, 1])]


def _rates(counts: Floats, threshold: float) -> dict[str, Floats]:
    """From (3, ...) hits, detections and truth."""
    hits, kept, wanted = counts * np.nan if np.isnan(threshold) else counts
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(wanted > 0, 2 * hits / (kept + wanted), np.nan)
        return {"precision": hits / kept, "recall": hits / wanted, "f1": f1}
