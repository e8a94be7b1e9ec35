"""Truth that moves with the picture, against the same done to pictures of it."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tasks import displacement
from tasks.corruptions import corrupt
from tasks.corruptions import displacement as waves_of

SIZE = (90, 120)
HEIGHT, WIDTH = SIZE


def moved(index: int = 3) -> np.ndarray:
    found = waves_of(name="rolling_shutter", severity=5, clip="a", indices=[index], size=SIZE)
    return displacement.shifts(np.array([wave for _, wave in found]), HEIGHT)


def painted(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    frame = np.zeros((1, *SIZE, 3), np.uint8)
    frame[:, y0:y1, x0:x1] = 200
    return frame


@pytest.mark.parametrize("box", [(40, 10, 60, 30), (20, 50, 90, 88), (30, 5, 31, 85)])
def test_a_box_holds_what_is_seen_of_it(box: tuple[int, int, int, int]) -> None:
    seen = corrupt(painted(*box), name="rolling_shutter", severity=5, clips="a", first_frame=3)[0, :, :, 0]
    rows, columns = np.nonzero(seen > 100)
    (found,) = displacement.move_boxes(np.array([box], dtype=float), moved(), WIDTH)
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(found - expected).max() <= 1
    assert found[1:4:2].tolist() == [box[1], box[3]]


def test_boxes_end_where_the_frame_does() -> None:
    boxes = np.array(
        [[0.0, 0.0, 5.0, 90.0], [110.0, 0.0, 120.0, 90.0], [-4.0, 10.0, 6.0, 20.0], [50.0, 95.0, 60.0, 99.0]]
    )
    shift = np.full(HEIGHT, 8.0)
    assert displacement.move_boxes(boxes, shift, WIDTH).tolist() == [
        [8, 0, 13, 90], [118, 0, 120, 90], [4, 10, 14, 20], [58, 95, 68, 99],
    ]  # fmt: skip
    left = displacement.move_boxes(boxes, -shift, WIDTH)
    assert left[0].tolist() == [0, 0, 0, 90]
    assert left[2].tolist() == [-4, 10, 0, 20]
    assert boxes[0].tolist() == [0, 0, 5, 90]  # the input stays


def test_label_maps_and_masks_are_what_is_seen() -> None:
    box = (30, 20, 70, 60)
    frame = painted(*box)
    seen = corrupt(frame, name="rolling_shutter", severity=5, clips="a", first_frame=3)[0, :, :, 0] > 100
    label_map = displacement.move_map((frame[0, :, :, 0] > 0).astype(np.uint8), moved())
    assert (label_map.astype(bool) != seen).sum() <= 40 * 2 * 0.5  # half a pixel a row and side, at most
    mask = coco_mask.encode(np.asfortranarray((frame[0, :, :, 0] > 0).astype(np.uint8)))
    np.testing.assert_array_equal(coco_mask.decode(displacement.move_mask(mask, moved())), label_map)


def test_what_comes_in_at_the_edge() -> None:
    label_map = np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))
    found = displacement.move_map(label_map, np.full(HEIGHT, 3.0))
    assert found[0, :6].tolist() == [0, 0, 0, 0, 1, 2]
    mask = coco_mask.encode(np.asfortranarray(np.ones(SIZE, np.uint8)))
    assert coco_mask.decode(displacement.move_mask(mask, np.full(HEIGHT, 3.0)))[0, :5].tolist() == [0, 0, 0, 1, 1]
