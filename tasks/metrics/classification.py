"""Classification of whole frames: top-1, top-5 and macro F1, by torchmetrics."""

from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.resampling import Replicates, Resampler

TOP: Final = 5
"""Top-5 accuracy is given when there are more classes than this."""


def in_dataset_classes(
    probabilities: npt.NDArray[np.float32], targets: list[int | None], n_classes: int
) -> npt.NDArray[np.float32]:
    """A model's probabilities in the data set's classes: summed over the classes that map to each, others left out.

    Args:
        probabilities: (N, K) over the model's classes.
        targets: (K,) the position of each class in the data set's, or None.
        n_classes: of the data set.

    Returns:
        (N, n_classes); -1 for a class that the model does not know, so that it is never chosen.

    Examples:
        >>> in_dataset_classes(np.array([[0.25, 0.25, 0.5]], np.float32), [0, 0, None], 2).tolist()
        [[0.5, -1.0]]
    """
    found = np.full((len(probabilities), n_classes), -1, dtype=np.float32)
    for place, target in enumerate(targets):
        if target is not None:
            found[:, target] = np.maximum(found[:, target], 0) + probabilities[:, place]
    return found


def answered(scores: npt.NDArray[np.float32]) -> Ints:
    """(N,) the position of each frame's class, that of the greatest score; -1, no class of the data set, where all of
    the model's probability lies on classes that the data set lacks: that is wrong whatever is true.

    Args:
        scores: (N, K) as `in_dataset_classes` gives them.

    Examples:
        >>> answered(np.array([[0.1, 0.3], [0.0, -1.0]], np.float32)).tolist()
        [1, -1]
    """
    best: Ints = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
    return best


def figures(scores: npt.NDArray[np.float32], labels: Ints, frames: Bools | None = None) -> dict[str, Floats]:
    """accuracy, macro_f1 and, with more than five classes, top5 over the labelled frames chosen.

    Args:
        scores: (N, K) for each class of the data set; the prediction is what `answered` says.
        labels: (N,) the position of the true class, -1 without one.
        frames: (N,) the frames that count; None for all.

    Returns:
        By metric an array (1 + K,): of all classes, then of each: its recall, F1, and recall within the best five. NaN
        for a class without truth. Macro F1 is the mean over the classes that occur in truth or prediction.
    """
    n_classes = scores.shape[1]
    names = ("accuracy", "macro_f1", *(("top5",) if n_classes > TOP else ()))
    chosen = labels >= 0 if frames is None else frames & (labels >= 0)
    if not chosen.any():
        return {name: np.full(1 + n_classes, np.nan) for name in names}
    import torch
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

    best = answered(scores[chosen])
    given = torch.from_numpy(_without(scores[chosen], best, labels[chosen]))
    truth = torch.from_numpy(labels[chosen])
    n_truth = np.bincount(labels[chosen], minlength=n_classes)
    occurs = (n_truth + np.bincount(best[best >= 0], minlength=n_classes)) > 0
    # One class more: that of the answers that are none of the data set's, which is never true. (And one class alone is
    # no multiclass problem to torchmetrics.)
    asked = n_classes + 1
    said = torch.from_numpy(np.where(best < 0, n_classes, best))
    f1 = multiclass_f1_score(said, truth, num_classes=asked, average=None).numpy()[:n_classes].astype(float)
    recall = multiclass_accuracy(said, truth, num_classes=asked, average=None).numpy()[:n_classes].astype(float)
    found = {
        "accuracy": np.r_[float((said == truth).double().mean()), recall],
        "macro_f1": np.r_[f1[occurs].mean(), f1],
    }
    if n_classes > TOP:
        top = {"num_classes": n_classes, "top_k": TOP}
        by_class = multiclass_accuracy(given, truth, average=None, **top).numpy().astype(float)
        found["top5"] = np.r_[float(multiclass_accuracy(given, truth, average="micro", **top)), by_class]
    for values in found.values():
        values[1:][n_truth == 0] = np.nan
    return found


def resampled(
    scores: npt.NDArray[np.float32], labels: Ints, resampler: Resampler, frames: Bools | None = None
) -> dict[str, list[Replicates]]:
    """`figures` in every resample: by metric of all classes, then of each; NaN for a class without truth."""
    n_classes = scores.shape[1]
    chosen = np.flatnonzero(labels >= 0 if frames is None else frames & (labels >= 0))
    names = ("accuracy", "macro_f1", *(("top5",) if n_classes > TOP else ()))
    if not len(chosen):
        return {name: [np.full(resampler.resamples, np.nan, np.float32)] * (1 + n_classes) for name in names}
    true, best = labels[chosen], answered(scores[chosen])
    units = resampler.unit_of[chosen]

    def sums(classes: Ints, counted: Bools) -> Floats:
        by_unit = np.zeros((len(resampler.weights), n_classes))
        np.add.at(by_unit, (units[counted], classes[counted]), 1)
        return resampler.sums(by_unit)

    everything = np.ones(len(chosen), dtype=bool)
    n_truth, n_best = sums(true, everything), sums(best, best >= 0)
    hit = sums(true, true == best)
    occurs = (n_truth + n_best).any(axis=0)
    with np.errstate(invalid="ignore"):
        f1 = 2 * hit / (n_truth + n_best)
        found = {
            "accuracy": np.column_stack([hit.sum(axis=1) / n_truth.sum(axis=1), hit / n_truth]),
            "macro_f1": np.column_stack([f1[:, occurs].mean(axis=1), np.where(n_truth > 0, f1, np.nan)]),
        }
        if n_classes > TOP:
            best_five = np.argpartition(-_without(scores[chosen], best, true), TOP - 1, axis=1)[:, :TOP]
            among = sums(true, (best_five == true[:, None]).any(axis=1))
            found["top5"] = np.column_stack([among.sum(axis=1) / n_truth.sum(axis=1), among / n_truth])
    return {name: list(values.T.astype(np.float32)) for name, values in found.items()}


def _without(scores: npt.NDArray[np.float32], best: Ints, true: Ints) -> npt.NDArray[np.float32]:
    """The same scores, the true class last in rows that answer none of the data set's: not among the best five."""
    ranked = scores.copy()
    none = np.flatnonzero(best < 0)
    ranked[none, true[none]] = -np.inf
    return ranked
