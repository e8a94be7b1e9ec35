import math
from dataclasses import replace

import numpy as np

from tasks.models import masks as run_length
from tasks.models.agreement import agreement
from tasks.models.outputs import Output

BOXES = np.array([[0, 0, 10, 10], [20, 20, 40, 30], [50, 50, 60, 60]], np.float32)
FIRST = Output(
    boxes=BOXES,
    scores=np.array([0.9, 0.5, 0.2], np.float32),
    class_ids=np.array([1, 2, 1]),
    label_map=np.zeros((10, 10), np.uint8),
    probabilities=np.array([0.7, 0.3], np.float32),
)


def test_the_same_is_the_same() -> None:
    found = agreement([FIRST], [FIRST])
    assert found.same()
    assert (found.boxes, found.found, found.least_iou, found.pixels) == (2, 1, 1, 1)
    assert found.told().startswith("100.0% of 2 boxes found again (least IoU 1.000")


def test_what_differs_is_counted() -> None:
    other = replace(
        FIRST,
        boxes=BOXES + np.array([[0, 0, 0, 2.5], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32),
        scores=np.array([0.8, 0.5, 0.1], np.float32),
        class_ids=np.array([1, 3, 1]),
        label_map=np.where(np.arange(100).reshape(10, 10) < 7, 1, 0).astype(np.uint8),
        probabilities=np.array([0.6, 0.4], np.float32),
    )
    found = agreement([FIRST], [other])
    assert not found.same()
    assert found.found == 0.5  # the second has another class
    assert math.isclose(found.least_iou, 0.8, abs_tol=1e-6)
    assert math.isclose(found.score_error, 0.1, abs_tol=1e-6)
    assert math.isclose(found.pixels, 0.93)
    assert math.isclose(found.probability_error, 0.1, abs_tol=1e-6)


def test_each_difference_alone_is_told_apart() -> None:
    for change in (
        {"scores": FIRST.scores - 0.01},
        {"class_ids": np.array([2, 2, 1])},
        {"boxes": BOXES + np.float32(0.2)},
        {"label_map": np.ones((10, 10), np.uint8)},
        {"probabilities": np.array([0.69, 0.31], np.float32)},
    ):
        assert not agreement([FIRST], [replace(FIRST, **change)]).same()


def test_nothing_to_compare_is_said() -> None:
    empty = Output(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), class_ids=np.zeros(0, np.int64))
    assert agreement([empty], [empty]).told() == "nothing to compare: no box scores enough"
    assert not agreement([replace(FIRST, label_map=None, probabilities=None)], [empty]).same()
    assert not agreement([replace(FIRST, scores=FIRST.scores - 0.8)], [empty]).same()  # its map and label are gone


def test_what_the_second_adds_is_no_agreement() -> None:
    plain = replace(FIRST, label_map=None, probabilities=None)
    more = replace(
        plain,
        boxes=np.concatenate([BOXES, BOXES[:1]]),
        scores=np.concatenate([plain.scores, plain.scores[:1]]),
        class_ids=np.concatenate([plain.class_ids, plain.class_ids[:1]]),
    )
    found = agreement([plain], [more])
    assert (found.found, found.new) == (1, 1)
    assert not found.same()
    assert "1 boxes are new" in found.told()
    back = agreement([more], [plain])
    assert (back.boxes, back.found, back.new) == (3, 2 / 3, 0)
    assert not agreement([FIRST], [replace(FIRST, probabilities=np.array([np.nan, 0.3], np.float32))]).same()


def test_masks_are_compared_pair_by_pair() -> None:
    squares = np.zeros((3, 64, 64), bool)
    for place, (x0, y0, x1, y1) in enumerate(BOXES.astype(int)):
        squares[place, y0:y1, x0:x1] = True
    one = replace(FIRST, masks=run_length.encode(squares))
    assert agreement([one], [one], sizes=[(64, 64)]).masks == 1
    squares[0, :5] = False
    other = replace(FIRST, masks=run_length.encode(squares))
    found = agreement([one], [other], sizes=[(64, 64)])
    assert found.masks == 0.5  # of two that score enough
    assert not found.same()
    assert "50.0% of masks with IoU >= 0.95" in found.told()


def test_boxes_without_an_area_are_the_same() -> None:
    flat = replace(
        FIRST, boxes=BOXES * np.array([1, 1, 1, 0], np.float32) + np.array([0, 0, 0, 1], np.float32) * BOXES[:, [1]]
    )
    assert agreement([flat], [flat]).same()
