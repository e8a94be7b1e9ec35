import numpy as np
import pytest
import torch
from torchvision.ops import generalized_box_iou_loss

from tasks.models.losses import draw_targets, heat_loss, label_loss, semantic_loss, sides_loss


def targets(boxes: list[list[float]], classes: list[int], ignored: list[bool] | None = None):  # type: ignore[no-untyped-def]
    return draw_targets(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(ignored or [False] * len(boxes), bool),
        n_classes=2,
        height_px=64,
        width_px=96,
    )


def test_each_object_has_one_peak_in_its_own_channel() -> None:
    drawn = targets([[8, 8, 40, 28], [60, 30, 66, 42]], [0, 1])
    assert [(drawn.heat[c] == 1).sum() for c in (0, 1)] == [1, 1]
    assert drawn.heat[0, 18 // 4, 24 // 4] == 1
    assert drawn.heat[1, 36 // 4, 63 // 4] == 1
    assert drawn.boxes[:, 4, 6].tolist() == [8, 8, 40, 28]
    # Weights sum to the logarithm of each area, however many cells it has.
    assert drawn.weights.sum() == pytest.approx(np.log(32 * 20) + np.log(6 * 12), rel=1e-4)


def test_small_objects_own_the_cells_they_share() -> None:
    drawn = targets([[22, 22, 30, 30], [0, 0, 52, 52]], [1, 0])
    assert drawn.boxes[:, 26 // 4, 26 // 4].tolist() == [22, 22, 30, 30]


def test_ignored_boxes_are_neither_right_nor_wrong() -> None:
    drawn = targets([[8, 8, 40, 28], [20, 12, 28, 20]], [0, 1], [True, False])
    assert drawn.heat[0].max() == 0
    assert drawn.counts[3, 3] == 0
    assert drawn.counts[16 // 4, 24 // 4] == 1  # an object inside the ignored box still counts
    assert drawn.counts[12, 20] == 1
    logits = torch.zeros(1, 2, 16, 24)
    worse = logits.clone()
    worse[0, 0, 3, 3] = 9.0
    heat, counts = torch.tensor(drawn.heat)[None], torch.tensor(drawn.counts)[None]
    assert heat_loss(worse, heat, counts) == heat_loss(logits, heat, counts)


def test_heat_loss_is_least_at_the_truth() -> None:
    drawn = targets([[8, 8, 40, 28]], [0])
    heat, counts = torch.tensor(drawn.heat)[None], torch.tensor(drawn.counts)[None]
    right = torch.where(heat == 1, 12.0, -12.0)
    assert heat_loss(right, heat, counts) < 1e-3
    assert heat_loss(-right, heat, counts) > 5


def test_sides_loss_equals_torchvisions_giou() -> None:
    drawn = targets([[8, 8, 40, 28], [60, 30, 66, 42]], [0, 1])
    torch.manual_seed(0)
    sides = torch.rand(1, 4, 16, 24) * 12 + 1
    found = sides_loss(sides, torch.tensor(drawn.boxes)[None], torch.tensor(drawn.weights)[None])
    ys, xs = np.nonzero(drawn.weights)
    total = 0.0
    for y, x in zip(ys, xs, strict=True):
        left, top, right, bottom = sides[0, :, y, x].tolist()
        cx, cy = 4 * x + 2, 4 * y + 2
        box = torch.tensor([[cx - left, cy - top, cx + right, cy + bottom]])
        goal = torch.tensor(drawn.boxes[:, y, x])[None]
        total += float(generalized_box_iou_loss(box, goal)[0]) * float(drawn.weights[y, x])
    assert float(found) == pytest.approx(total / drawn.weights.sum(), rel=1e-4)


def test_frames_without_truth_add_nothing() -> None:
    sides = torch.ones(1, 4, 4, 4, requires_grad=True)
    assert sides_loss(sides, torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4)).item() == 0
    assert float(semantic_loss(torch.ones(1, 3, 4, 4), torch.full((1, 16, 16), 255))) == 0
    assert float(label_loss(torch.ones(1, 3), torch.tensor([255]))) == 0


def test_semantic_loss_learns_no_border_displaced() -> None:
    """A border between pixels 31 and 32 pulls equally from both sides when both alignments are seen."""
    channels = torch.zeros(2, 16, 64, dtype=torch.int64)
    channels[:, :, 32:] = 1
    logits = torch.zeros(2, 2, 4, 16, requires_grad=True)
    semantic_loss(logits, channels).backward()
    assert logits.grad is not None
    pull = logits.grad[:, 1].sum(dim=(0, 1))
    torch.testing.assert_close(pull[7], -pull[8])
    one = torch.zeros(1, 2, 4, 16, requires_grad=True)
    semantic_loss(one, channels[:1]).backward()
    assert one.grad is not None
