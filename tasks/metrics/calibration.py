"""Calibration: whether a confidence means what it says.

Everything is a function of arrays. What rests on no sample is NaN.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.matching import Matches

Confidences = npt.NDArray[np.floating]
"""(N,) in 0..1, one for each frame or detection."""

BINS: Final = 15
"""Equal bins of confidence: the number of Guo et al. (2017) and torchmetrics' default."""

ROUNDING: Final = 1e-3
"""How far sums of float16 probabilities stray past 1; what lies further out is no probability."""

TEMPERATURES: Final = (0.05, 20.0)
"""Between these a temperature is looked for: beyond, a softmax is one-hot or flat."""

LEAST: Final = float(np.finfo(np.float32).tiny)
"""Stands for a probability of 0, where float32 runs out: every likelihood stays finite."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """The reliability table, (bins + 1,) each.

    A bin holds its lower edge. The last row is the confidence of exactly 1, a bin of its own in torchmetrics.

    Attributes:
        low, high: edges of the bin.
        count: samples in it.
        confidence, accuracy: their means; NaN in an empty bin.
    """

    low: Floats
    high: Floats
    count: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: gaps weighted by counts (Guo et al. 2017, equation 3); NaN when empty."""
        total = self.count.sum()
        gaps = np.abs(self.accuracy - self.confidence) * self.count
        return float(np.nansum(gaps) / total) if total else float("nan")


def reliability(confidence: Confidences, correct: Bools, *, bins: int = BINS) -> Reliability:
    """Mean confidence and accuracy by bin of confidence.

    Args:
        confidence: (N,) in 0..1, such as the greatest class probability.
        correct: (N,) whether the prediction was right.
        bins: how many bins of equal width.

    Raises:
        InputError: a confidence outside 0..1.

    Examples:
        >>> table = reliability(np.array([0.2, 0.7, 0.9]), np.array([False, True, False]), bins=2)
        >>> table.count.tolist(), table.accuracy.tolist()
        ([1, 2, 0], [0.0, 0.5, nan])
    """
    if not are_probabilities(confidence):
        raise InputError(
            f"Expected confidences in 0..1, got {np.min(confidence):g} to {np.max(confidence):g}: "
            "give probabilities, not logits."
        )
    place = _bin_of(confidence, bins)
    count = np.bincount(place, minlength=bins + 1)
    sums = (np.bincount(place, weights=values, minlength=bins + 1) for values in (np.clip(confidence, 0, 1), correct))
    with np.errstate(invalid="ignore"):
        means = [values / count for values in sums]
    edges = np.r_[_edges(bins), 1.0].astype(float)
    return Reliability(edges[:-1], edges[1:], count, *means)


def ece(confidence: Confidences, correct: Bools, *, bins: int = BINS) -> float:
    """Expected calibration error, equal to torchmetrics' multiclass_calibration_error with norm l1.

    NaN without samples, and for values that are no probabilities.
    """
    return reliability(confidence, correct, bins=bins).error if are_probabilities(confidence) else float("nan")


def ece_scaled(probabilities: npt.NDArray[np.floating], correct: Bools, t: float) -> float:
    """`ece` of the greatest of each row of `probabilities` (N, K) after `apply_temperature`; NaN without `t`."""
    if np.isnan(t) or not are_probabilities(probabilities.max(axis=1)):
        return float("nan")
    return ece(apply_temperature(probabilities, t).max(axis=1), correct)


def d_ece(matches: Matches, frames: Bools | None = None, *, bins: int = BINS) -> Floats:
    """Detection calibration error: score against precision at IoU 0.5, over scores alone.

    Kueppers et al., Multivariate Confidence Calibration for Object Detection, 2020. Detections of every score count, so
    where a model starts to give detections is part of the figure.

    Args:
        matches: from `match`; what met an ignored region does not count.
        frames: (n_frames,) the frames that count; None for all.
        bins: as in `reliability`.

    Returns:
        (1 + n_classes,) of all detections together, then of each class; NaN without detections, and for scores that are
        no probabilities.
    """
    chosen = counted(matches, frames)
    score, hit, row = matches.score[chosen], matches.hit[0, chosen], 1 + matches.kind[chosen]
    place = _bin_of(score, bins)
    shape = (1 + matches.n_classes, bins + 1)
    cells = np.r_[place, row * shape[1] + place]
    count = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    sums = (
        np.bincount(cells, weights=np.r_[values, values], minlength=count.size).reshape(shape)
        for values in (np.clip(score, 0, 1), hit)
    )
    unfit = row[~_is_probability(score)]
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (values / count for values in sums)
        found: Floats = np.nansum(np.abs(accuracy - confidence) * count, axis=1) / count.sum(axis=1)
    found[unfit] = np.nan
    if len(unfit):
        found[0] = np.nan
    return found


def temperature(probabilities: npt.NDArray[np.floating], labels: Ints) -> float:
    """The scalar T whose softmax(log p / T) has the least negative log likelihood (Guo et al. 2017, section 4.2).

    Fit it on clean validation data. Predictions that are all right set no lower limit, and a model worse than chance
    no upper one: then there is no such T.

    Args:
        probabilities: (N, K); below 0 for a class that the model does not know, as `in_dataset_classes` gives them.
        labels: (N,) the position of the true class, -1 without one.

    Returns:
        T; NaN where none within TEMPERATURES is better than both ends, where no labelled row is of a class that the
        model knows, where it knows one class alone, and for values that are no probabilities.
    """
    from scipy.optimize import minimize_scalar

    labelled = np.flatnonzero(labels >= 0)
    if (probabilities[labelled] > 1 + ROUNDING).any():
        return float("nan")
    logits = _logits(probabilities[labelled])
    known = np.isfinite(logits[np.arange(len(labelled)), labels[labelled]])
    logits, true = logits[known], labels[labelled][known]
    if not len(true) or np.isfinite(logits).sum(axis=1).max() < 2:
        return float("nan")
    of_true = logits[np.arange(len(true)), true]

    def loss(log_t: float) -> float:
        slope = np.exp(-log_t)
        return float(np.mean(np.log(np.exp(logits * slope).sum(axis=1)) - of_true * slope))

    # The loss is convex in 1 / T, so it has one valley in log T as well; or none, and then falls towards an end.
    bounds = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x)) if found.fun < min(map(loss, bounds)) else float("nan")


def apply_temperature(probabilities: npt.NDArray[np.floating], t: float) -> npt.NDArray[np.floating]:
    """softmax(log p / T), (N, K) of the same dtype; 0 for a class that the model does not know, and in rows without any
    probability for all of them. The order stays.

    Raises:
        InputError: `t` is no positive number.

    Examples:
        >>> apply_temperature(np.array([[0.2, 0.8]]), 2.0).round(3).tolist()
        [[0.333, 0.667]]
    """
    if not (np.isfinite(t) and t > 0):
        raise InputError(f"Expected a temperature above 0, got {t}.")
    powers = np.exp(_logits(probabilities) / t)
    scaled: npt.NDArray[np.floating] = (powers / powers.sum(axis=1, keepdims=True)).astype(probabilities.dtype)
    scaled[~(probabilities > 0).any(axis=1)] = 0
    return scaled


def detection_temperature(matches: Matches) -> float:
    """`temperature` of a detector: of [1 - score, score], and of whether an object was found at IoU 0.5.

    NaN without detections that count, and for scores that are no probabilities.
    """
    chosen = counted(matches)
    score = matches.score[chosen]
    if not are_probabilities(score):
        return float("nan")
    return temperature(_outcomes(score), matches.hit[0, chosen].astype(np.int64))


def with_temperature(matches: Matches, t: float) -> Matches:
    """The same detections in the same order, their scores scaled by `t`, from `detection_temperature`.

    All scores NaN where `t` is, and where they are no probabilities.
    """
    if not (np.isfinite(t) and are_probabilities(matches.score)):
        return replace(matches, score=np.full(len(matches.score), np.nan))
    return replace(matches, score=apply_temperature(_outcomes(matches.score), t)[:, 1].astype(float))


def are_probabilities(confidence: Confidences) -> bool:
    """Whether all lie in 0..1, but for rounding."""
    return bool(_is_probability(confidence).all())


def _is_probability(confidence: Confidences) -> Bools:
    """(N,) whether each does."""
    return (confidence >= -ROUNDING) & (confidence <= 1 + ROUNDING)


def _edges(bins: int) -> npt.NDArray[np.float32]:
    return (np.arange(bins + 1) / bins).astype(np.float32)


def _bin_of(confidence: Confidences, bins: int) -> Ints:
    """(N,) the bin of each confidence, compared in float32, which torchmetrics turns confidences into."""
    place = np.searchsorted(_edges(bins), confidence.astype(np.float32), side="right") - 1
    return np.clip(place, 0, bins).astype(np.int64)


def _outcomes(score: Floats) -> Floats:
    """(N, 2): nothing found, an object found."""
    inside = np.clip(score, 0, 1)
    return np.column_stack([1 - inside, inside])


def _logits(probabilities: npt.NDArray[np.floating]) -> Floats:
    """Logarithms less each row's greatest; -inf for what is below 0, a class that the model does not know."""
    logits = np.log(np.maximum(probabilities.astype(float), LEAST))
    logits[probabilities < 0] = -np.inf
    found: Floats = logits - logits.max(axis=1, keepdims=True)
    return found


def counted(matches: Matches, frames: Bools | None = None) -> Ints:
    """Positions of the detections that count at IoU 0.5, on the frames chosen."""
    count = matches.counted[0]
    return np.flatnonzero(count if frames is None else count & frames[matches.frame])
