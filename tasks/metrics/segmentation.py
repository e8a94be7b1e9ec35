"""Semantic segmentation: mIoU, Dice and pixel accuracy from pixel counts kept by frame, so that a slice is a sum."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.resampling import Replicates, Resampler


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixels by frame and class, (n_frames, n_classes) each; pixels whose truth is to be ignored are left out.

    Attributes:
        hit: truth and prediction agree.
        truth: truth is this class.
        predicted: prediction is this class.
    """

    hit: Ints
    truth: Ints
    predicted: Ints

    @classmethod
    def empty(cls, n_frames: int, n_classes: int) -> "Counts":
        """No pixel in any frame."""
        return cls(*(np.zeros((n_frames, n_classes), dtype=np.int64) for _ in range(3)))

    def put(self, frame: int, confusion: Ints) -> None:
        """Enter a frame's confusion matrix."""
        self.hit[frame] = np.diagonal(confusion)
        self.truth[frame] = confusion.sum(axis=1)
        self.predicted[frame] = confusion.sum(axis=0)[:-1]


def lookup(positions: dict[int, int], other: int) -> npt.NDArray[np.uint16]:
    """(256,) position of each id of a uint8 map; `other` for ids that are not listed."""
    table = np.full(256, other, dtype=np.uint16)
    for class_id, position in positions.items():
        table[class_id] = position
    return table


def confusion(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    *,
    truth_positions: npt.NDArray[np.uint16],
    predicted_positions: npt.NDArray[np.uint16],
    n_classes: int,
) -> Ints:
    """Pixels by class of truth and of prediction, (n_classes, n_classes + 1); the last column is any other class.

    Args:
        truth: (H, W) class ids.
        predicted: (H, W) the model's class ids.
        truth_positions: from `lookup`, with n_classes for what is ignored.
        predicted_positions: from `lookup`, with n_classes for classes outside the data set's.
        n_classes: of the data set.
    """
    width = n_classes + 1
    pairs = (truth_positions * np.uint16(width))[truth] + predicted_positions[predicted]
    counted = np.bincount(pairs.ravel(), minlength=width * width)
    return counted.reshape(width, width)[:n_classes].astype(np.int64)


def figures(counts: Counts, frames: Bools | None = None, *, kind: int | None = None) -> dict[str, float]:
    """miou, dice and pixel_accuracy over the frames chosen, of all classes that truth holds or of one class.

    IoU = hit / (truth + predicted - hit), Dice = 2 hit / (truth + predicted), each averaged over classes; pixel
    accuracy = hit / truth over all pixels (of one class: its recall). A class without truth is NaN and in no mean.
    """
    chosen = slice(None) if frames is None else frames
    hit, truth, predicted = (part[chosen].sum(axis=0) for part in (counts.hit, counts.truth, counts.predicted))
    present = truth > 0
    if kind is not None:
        present = present & (np.arange(len(truth)) == kind)
    if not present.any():
        return dict.fromkeys(("miou", "dice", "pixel_accuracy"), float("nan"))
    hit, truth, predicted = hit[present], truth[present], predicted[present]
    return {
        "miou": float(np.mean(hit / (truth + predicted - hit))),
        "dice": float(np.mean(2 * hit / (truth + predicted))),
        "pixel_accuracy": float(hit.sum() / truth.sum()),
    }


def resampled(
    counts: Counts, resampler: Resampler, frames: Bools | None = None
) -> tuple[dict[str, Replicates], list[dict[str, Replicates]]]:
    """`figures` in every resample: of all classes, and of each; a class without truth has none."""
    hit, truth, predicted = (
        resampler.sums(resampler.by_unit(part, frames)) for part in (counts.hit, counts.truth, counts.predicted)
    )
    present: Bools = np.asarray(truth.any(axis=0))
    with np.errstate(invalid="ignore"):
        iou, dice, share = hit / (truth + predicted - hit), 2 * hit / (truth + predicted), hit / truth
    by_class = [
        {"miou": _column(iou, kind), "dice": _column(dice, kind), "pixel_accuracy": _column(share, kind)}
        if present[kind]
        else {}
        for kind in range(truth.shape[1])
    ]
    if not present.any():
        return {}, by_class
    together = {
        "miou": iou[:, present].mean(axis=1).astype(np.float32),
        "dice": dice[:, present].mean(axis=1).astype(np.float32),
        "pixel_accuracy": (hit.sum(axis=1) / truth.sum(axis=1)).astype(np.float32),
    }
    return together, by_class


def _column(values: Floats, kind: int) -> Replicates:
    return values[:, kind].astype(np.float32)


def frame_iou(counts: Counts) -> Floats:
    """(n_frames,) mean IoU of each frame over the classes present in it; NaN without a pixel of truth."""
    union = counts.truth + counts.predicted - counts.hit
    iou = np.divide(counts.hit, union, out=np.zeros(union.shape), where=union > 0)
    present = counts.truth > 0
    n_present = present.sum(axis=1)
    total = np.where(present, iou, 0).sum(axis=1)
    score: Floats = np.divide(total, n_present, out=np.full(len(total), np.nan), where=n_present > 0)
    return score
