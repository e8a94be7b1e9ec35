import numpy as np

from tasks.models.geometry import KEPT, view


def picture(box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    frame = np.full((64, 96, 3), 20, np.uint8)
    regions = np.zeros((64, 96), np.uint8)
    x0, y0, x1, y1 = box
    frame[y0:y1, x0:x1] = 220
    regions[y0:y1, x0:x1] = 3
    return frame, regions


def test_boxes_and_regions_follow_the_pixels() -> None:
    box = (30, 20, 54, 44)
    frame, regions = picture(box)
    before = frame.copy(), regions.copy()
    seen = set()
    for seed in range(60):
        moved, labels, boxes, ignored = view(frame, regions, np.array([box], np.float32), np.array([False]), seed)
        assert moved.shape == frame.shape
        assert moved.dtype == np.uint8
        x0, y0, x1, y1 = boxes[0]
        assert 0 <= x0 <= x1 <= 96
        assert 0 <= y0 <= y1 <= 64
        seen.add((round(float(x0), 1), round(float(y0), 1)))
        if ignored[0]:
            continue
        for mask in (moved[:, :, 0] > 120, labels == 3):
            ys, xs = np.nonzero(mask)
            found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            np.testing.assert_allclose(found, boxes[0], atol=1.01)  # a box edge falls within a pixel
    assert len(seen) > 20
    np.testing.assert_array_equal(frame, before[0])
    np.testing.assert_array_equal(regions, before[1])


def test_what_lies_outside_the_original_counts_for_nothing() -> None:
    frame, regions = picture((0, 0, 0, 0))
    grey = 0
    for seed in range(40):
        moved, labels, _, _ = view(frame, regions, np.zeros((0, 4), np.float32), np.zeros(0, bool), seed)
        padded = (moved == 114).all(axis=2)
        assert (labels[padded] == 255).all()
        # Blending reaches one pixel into the margin on each side; nothing else is lost.
        assert (labels == 255).sum() <= padded.sum() + 2 * (64 + 96)
        grey += int(padded.sum())
    assert grey > 0


def test_boxes_that_are_cut_off_are_ignored() -> None:
    box = np.array([[0.0, 20.0, 30.0, 40.0]], np.float32)
    frame, regions = picture((0, 20, 30, 40))
    shares = []
    for seed in range(80):
        _, labels, boxes, ignored = view(frame, regions, box, np.array([False]), seed)
        visible = float((boxes[0, 2] - boxes[0, 0]) * (boxes[0, 3] - boxes[0, 1]))
        if ignored[0]:
            shares.append(visible)
            assert visible < KEPT * 30 * 20 * 1.5**2
        else:
            assert (labels == 3).any()
    assert shares
