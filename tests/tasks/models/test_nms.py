import math

import numpy as np
import torch
from torchvision.ops import batched_nms

from tasks.models.nms import class_wise_nms, suppress
from tasks.params import Model


def crowd(seed: int, n: int = 120) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    corners = generator.uniform(-20, 60, (n, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(4, 40, (n, 2))], axis=1)
    scores = generator.permutation(n) / n  # no ties
    classes = generator.integers(0, 5, n)
    return torch.tensor(boxes, dtype=torch.float32), torch.tensor(scores, dtype=torch.float32), torch.tensor(classes)


def greedy(boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, threshold: float) -> list[int]:
    """One box at a time, in plain Python floats."""
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda i: -float(scores[i])):
        x0, y0, x1, y1 = boxes[index].tolist()
        clear = True
        for other in kept:
            if classes[other] != classes[index]:
                continue
            u0, v0, u1, v1 = boxes[other].tolist()
            shared = max(min(x1, u1) - max(x0, u0), 0) * max(min(y1, v1) - max(y0, v0), 0)
            clear &= shared / ((x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - shared) <= threshold
        if clear:
            kept.append(index)
    return kept


def test_equals_the_greedy_definition() -> None:
    for seed in range(8):
        boxes, scores, classes = crowd(seed)
        kept = class_wise_nms(boxes, scores, classes, iou_threshold=0.4)
        assert kept.tolist() == greedy(boxes, scores, classes, 0.4)
        assert 0 < len(kept) < len(boxes)


def test_equals_torchvision_where_no_box_reaches_below_zero() -> None:
    boxes, scores, classes = crowd(1)
    boxes = boxes + 50
    kept = class_wise_nms(boxes, scores, classes, iou_threshold=0.5)
    assert kept.tolist() == batched_nms(boxes, scores, classes, 0.5).tolist()


def test_boxes_below_zero_do_not_meet_the_neighbouring_class() -> None:
    boxes = torch.tensor([[90.0, 90.0, 100.0, 100.0], [-11.0, -11.0, -1.0, -1.0]])
    kept = class_wise_nms(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), iou_threshold=0.1)
    assert kept.tolist() == [0, 1]


def test_nothing_gives_nothing() -> None:
    none = class_wise_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), iou_threshold=0.5)
    assert none.tolist() == []


def params(**changes: object) -> Model:
    return Model.model_validate({"adapter": "onnx", "nms_iou": 0.4, "score_threshold": 0.05} | changes)


def test_agnostic_is_greedy_over_all_classes() -> None:
    boxes, scores, classes = crowd(3)
    kept, left = suppress(boxes, scores, classes, model=params(nms="agnostic"))
    assert kept.tolist() == greedy(boxes, scores, torch.zeros_like(classes), 0.4)
    assert torch.equal(left, scores[kept])
    within, _ = suppress(boxes, scores, classes, model=params())
    assert within.tolist() == greedy(boxes, scores, classes, 0.4)
    assert len(kept) < len(within)


def test_soft_equals_its_definition() -> None:
    """Bodla et al.'s pseudocode, one box at a time in plain Python floats."""
    boxes, scores, classes = crowd(4)
    left = [float(score) for score in scores]
    open_ = set(range(len(left)))
    expected: list[tuple[int, float]] = []
    while open_:
        best = min(open_, key=lambda i: (-left[i], i))
        if left[best] <= 0.05:
            break
        open_.remove(best)
        expected.append((best, left[best]))
        for other in open_:
            if classes[other] == classes[best]:
                left[other] *= math.exp(-(overlap(boxes[best], boxes[other]) ** 2) / 0.3)
    kept, found = suppress(boxes, scores, classes, model=params(nms="soft", nms_sigma=0.3))
    assert kept.tolist() == [index for index, _ in expected]
    np.testing.assert_allclose(found.numpy(), [score for _, score in expected], rtol=1e-5)
    assert len(kept) < len(boxes)
    assert (found < scores[kept] - 0.01).any()
    assert suppress(boxes[:0], scores[:0], classes[:0], model=params(nms="soft"))[0].tolist() == []


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    x0, y0, x1, y1 = one.tolist()
    u0, v0, u1, v1 = other.tolist()
    shared = max(min(x1, u1) - max(x0, u0), 0) * max(min(y1, v1) - max(y0, v0), 0)
    return shared / ((x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - shared)
