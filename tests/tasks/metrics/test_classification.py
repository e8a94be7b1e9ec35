"""Accuracy, macro F1 and top-5 against their definitions in plain NumPy: torchmetrics computes them in the product."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import classification


def f1(best, labels, kind):
    hits = ((best == kind) & (labels == kind)).sum()
    return 2 * hits / ((best == kind).sum() + (labels == kind).sum())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(0, 30))
def test_figures_equal_their_definitions(seed, n_classes, n_frames):
    rng = np.random.default_rng(seed)
    scores = rng.random((n_frames, n_classes)).astype(np.float32)
    labels = rng.integers(-1, max(n_classes - 1, 1), n_frames)
    frames = rng.random(n_frames) < 0.8
    found = classification.figures(scores, labels, frames)
    chosen = frames & (labels >= 0)
    assert set(found) == {"accuracy", "macro_f1"} | ({"top5"} if n_classes > 5 else set())
    if not chosen.any():
        assert all(np.isnan(values).all() for values in found.values())
        return
    true, best = labels[chosen], scores[chosen].argmax(axis=1)
    in_five = (np.argsort(-scores[chosen], axis=1)[:, :5] == true[:, None]).any(axis=1)
    occur = [kind for kind in range(n_classes) if kind in best or kind in true]
    expected = {
        "accuracy": np.mean(best == true),
        "macro_f1": np.mean([f1(best, true, kind) for kind in occur]),
        "top5": np.mean(in_five),
    }
    for name, values in found.items():
        assert values[0] == pytest.approx(expected[name], abs=1e-6)
    for kind in range(n_classes):
        there = true == kind
        recall = np.mean(best[there] == kind) if there.any() else np.nan
        assert found["accuracy"][1 + kind] == pytest.approx(recall, abs=1e-6, nan_ok=True)
        by_class = f1(best, true, kind) if there.any() else np.nan
        assert found["macro_f1"][1 + kind] == pytest.approx(by_class, abs=1e-6, nan_ok=True)


def test_a_class_that_the_model_does_not_know_is_never_chosen():
    given_by_model = np.array([[0.0, 0.0, 1.0]], dtype=np.float32)  # all of it on a class that is dropped
    mapped = classification.in_dataset_classes(given_by_model, [1, 1, None], 3)
    assert mapped.argmax(axis=1).tolist() == [1]
