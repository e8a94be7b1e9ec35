"""mIoU, Dice and pixel accuracy against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score, multiclass_jaccard_index

from tasks.metrics import segmentation

IDS = [0, 2, 5, 9]  # class ids, not positions


def counted(truth, predicted):
    places = {class_id: place for place, class_id in enumerate(IDS)}
    lookup = segmentation.lookup(places, len(IDS))
    counts = segmentation.Counts.empty(len(truth), len(IDS))
    for frame, (true, read) in enumerate(zip(truth, predicted, strict=True)):
        counts.put(
            frame,
            segmentation.confusion(true, read, truth_positions=lookup, predicted_positions=lookup, n_classes=len(IDS)),
        )
    return counts


def torchmetrics_figures(truth, predicted):
    place = np.full(256, 4)  # a fifth class: whatever is not the data set's
    place[IDS] = range(4)
    true = torch.from_numpy(np.where(truth == 255, 255, place[truth]))
    read = torch.from_numpy(place[predicted])
    present = [kind for kind in range(4) if (true == kind).any()]
    if not present:
        return dict.fromkeys(("miou", "dice", "pixel_accuracy"), np.nan), {}
    same = {"num_classes": 5, "ignore_index": 255}
    iou = multiclass_jaccard_index(read, true, average=None, **same)
    dice = multiclass_f1_score(read, true, average=None, **same)
    return {
        "miou": float(iou[present].mean()),
        "dice": float(dice[present].mean()),
        "pixel_accuracy": float(multiclass_accuracy(read, true, average="micro", **same)),
    }, {kind: float(iou[kind]) for kind in present}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from([*IDS, 255]), min_size=1, max_size=5))
def test_figures_equal_torchmetrics_for_all_and_for_a_slice(seed, ids):
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.array(ids, dtype=np.uint8), (4, 6, 7))
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.choice([0, 2, 5, 9, 77], truth.shape))
    predicted = predicted.astype(np.uint8)
    counts = counted(truth, predicted)
    for frames in (np.ones(4, dtype=bool), rng.random(4) < 0.6):
        expected, by_class = torchmetrics_figures(truth[frames], predicted[frames])
        assert segmentation.figures(counts, frames) == pytest.approx(expected, abs=1e-6, nan_ok=True)
        for kind in range(4):
            found = segmentation.figures(counts, frames, kind=kind)["miou"]
            assert found == pytest.approx(by_class.get(kind, np.nan), abs=1e-6, nan_ok=True)
    for frame, found in enumerate(segmentation.frame_iou(counts)):
        expected, _ = torchmetrics_figures(truth[[frame]], predicted[[frame]])
        assert found == pytest.approx(expected["miou"], abs=1e-6, nan_ok=True)
