"""The detector's confusion matrix against a slow implementation written from its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import confusion, matching
from tests.tasks.metrics.objects_factory import (
    HIT,
    N_CLASSES,
    NONE,
    as_masks,
    listed,
    match,
    one,
    region,
    scene,
    scenes,
)


def reference_confusion(truth, found, frames, threshold):
    things, reports = listed(truth, found, frames)
    matrix = np.zeros((N_CLASSES + 1, N_CLASSES + 1), dtype=int)
    for frame in frames:
        kept = sorted((r for r in reports[frame] if r["score"] >= threshold), key=lambda r: (-r["score"], r["class"]))
        match(kept, things[frame], agnostic=True)
        for report in kept:
            if report["kind"] == HIT:
                matrix[report["of"]["class"], report["class"]] += 1
            elif report["kind"] is NONE:
                matrix[N_CLASSES, report["class"]] += 1
        for thing in things[frame]:
            if thing["by"] is None and not thing["ignored"]:
                matrix[thing["class"], N_CLASSES] += 1
    return matrix


@settings(max_examples=100, deadline=None)
@given(scenes, st.sampled_from([0.0, 0.3, 0.7, 1.1]), st.integers(0, 2**32 - 1))
def test_confusion_equals_the_definition(made, threshold, seed):
    truth, found, n_frames = made
    expected = reference_confusion(truth, found, range(n_frames), threshold)
    assert confusion.of_detections(truth, found, N_CLASSES, threshold).tolist() == expected.tolist()
    frames = np.random.default_rng(seed).random(n_frames) < 0.5
    expected = reference_confusion(truth, found, np.flatnonzero(frames), threshold)
    assert confusion.of_detections(truth, found, N_CLASSES, threshold, frames=frames).tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_rectangles_as_masks_give_what_the_boxes_give(seed):
    truth, found = scene(seed, 3, 12, 6, 3, whole=True, digits=6)
    counts = confusion.of_detections(*as_masks(truth, found), N_CLASSES, 0.2, masks=True)
    assert counts.tolist() == confusion.of_detections(truth, found, N_CLASSES, 0.2).tolist()
    assert counts[:-1, :-1].sum() > 0


def test_nothing_detected_and_nothing_there():
    none, some = one(np.zeros((0, 4)), []), one([[0, 0, 9, 9]], [1])
    nothing, seen = one(np.zeros((0, 4)), [], []), one([[0, 0, 9, 9]], [1], [0.5])
    assert confusion.of_detections(none, nothing, N_CLASSES, 0.5).sum() == 0
    assert confusion.of_detections(some, nothing, N_CLASSES, 0.5)[1, N_CLASSES] == 1
    assert confusion.of_detections(none, seen, N_CLASSES, 0.5)[N_CLASSES, 1] == 1


def test_detections_in_an_ignored_region_count_for_nothing():
    found = one([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1], [0.9, 0.8])
    assert confusion.of_detections(region([0, 0, 100, 100]), found, N_CLASSES, 0.5).sum() == 0


def test_a_hundred_detections_of_a_frame_and_class_count():
    found = one(np.tile([0, 0, 10, 10], (130, 1)), np.zeros(130), np.linspace(1, 0.1, 130))
    counts = confusion.of_detections(one([[0, 0, 10, 10]], [0]), found, N_CLASSES, 0.0)
    assert (counts[0, 0], counts[N_CLASSES, 0]) == (1, matching.MAX_DETECTIONS - 1)
