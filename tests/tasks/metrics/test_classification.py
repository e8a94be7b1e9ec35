"""Accuracy, macro F1 and top-5 against their definitions in plain NumPy: torchmetrics computes them in the product."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import calibration, classification, examples
from tasks.metrics.resampling import Resampler


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


def test_an_answer_outside_the_data_sets_classes_is_wrong_and_no_class_of_it() -> None:
    # The model's classes: two of the data set's, then one that it lacks. Frames 0 and 1 lie wholly on that.
    said = np.array([[0, 0, 1], [0, 0, 1], [0.9, 0.1, 0], [0.2, 0.1, 0.7], [0.3, 0.7, 0]], np.float32)
    scores = classification.in_dataset_classes(said, [0, 1, None], 2)
    assert classification.answered(scores).tolist() == [-1, -1, 0, 0, 1]
    labels = np.array([0, 1, 0, 0, 1])
    found = classification.figures(scores, labels)
    assert found["accuracy"].tolist() == pytest.approx([3 / 5, 2 / 3, 1 / 2])
    # By hand: class 0 has 2 hits, 2 answers, 3 truths; class 1 has 1 hit, 1 answer, 2 truths.
    assert found["macro_f1"].tolist() == pytest.approx([(4 / 5 + 2 / 3) / 2, 4 / 5, 2 / 3])
    once = Resampler(np.arange(5), np.ones((5, 1), np.float32), 0.95, 2)  # every frame once: the figures themselves
    for metric, again in classification.resampled(scores, labels, once).items():
        assert [float(one[0]) for one in again] == pytest.approx(found[metric].tolist())


def test_an_answer_outside_the_data_sets_classes_is_not_among_the_best_five() -> None:
    scores = np.zeros((2, 7), np.float32)
    scores[:, 6] = -1  # a class that the model does not know
    scores[1, 3] = 0.5
    labels = np.array([0, 3])
    found = classification.figures(scores, labels)
    assert found["top5"][0] == 0.5
    assert (found["top5"][1], found["top5"][4]) == (0, 1)
    once = Resampler(np.arange(2), np.ones((2, 1), np.float32), 0.95, 2)
    assert float(classification.resampled(scores, labels, once)["top5"][0][0]) == 0.5


def test_an_answer_outside_the_data_sets_classes_is_told_and_is_sure_of_nothing() -> None:
    scores = np.array([[0, -1, 0], [0.8, -1, 0.2]], np.float32)
    told = examples.of_classification(scores, np.array([0, 0]), ["cat", "dog", "cow"])
    assert told.evidence == ["none of the data set's classes, is cat (0.00)", "cat at 0.80, as it is"]
    assert told.score == [0, 1]
    scaled = calibration.apply_temperature(scores, 2.0)
    assert scaled[0].tolist() == [0, 0, 0]
    assert scaled[1].tolist() == pytest.approx([2 / 3, 0, 1 / 3])  # square roots of 0.8 and 0.2
