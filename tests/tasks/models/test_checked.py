"""Every mistake in what outside code says is one sentence; what is right passes."""

from typing import Any

import numpy as np
import pytest
import torch

from tasks.errors import InputError
from tasks.models.checked import checked

BOX = {"boxes": [[1, 2, 5, 6]], "scores": [0.5], "class_ids": [0]}
MASK = {"masks": np.zeros((1, 10, 20), bool), "scores": [0.5], "class_ids": [0]}
CLASSES: dict[str, dict[int, str]] = {
    "object": {0: "a", 2: "b"},
    "semantic": {0: "sky", 1: "road"},
    "label": {0: "x", 1: "y"},
}


def said(what: object, task: str) -> Any:
    return checked(what, (10, 20, 3), {**CLASSES, "tasks": [task]}, who="mine")


@pytest.mark.parametrize(
    ("task", "what", "words"),
    [
        ("detection", [1], "expected a dict for each frame, got list"),
        ("detection", {**BOX, "labels": [0]}, "unknown key 'labels'"),
        ("detection", {"boxes": [[1, 2, 3, 4]], "scores": [1.0]}, "class_ids is missing; got boxes, scores"),
        ("detection", {**BOX, "boxes": [[1, 2, 3]]}, r"boxes should have the shape \(N, 4\), got \(1, 3\)"),
        ("detection", {**BOX, "boxes": [[10, 2, 5, 6]]}, r"got \(10, 2, 5, 6\), which looks like x, y, width, height"),
        ("detection", {**BOX, "boxes": [[np.nan, 2, 5, 6]]}, "boxes should be finite"),
        ("detection", {**BOX, "boxes": ["abcd"]}, "boxes should be an array of numbers"),
        ("detection", {**BOX, "boxes": [[1, 2], [3]]}, "boxes should be an array of numbers, got list"),
        ("detection", {**BOX, "scores": [0.5, 0.6]}, r"scores should have the shape \(1,\) for 1 boxes, got \(2,\)"),
        ("detection", {**BOX, "scores": [7.5]}, "scores should lie between 0 and 1, got 7.5: logits want a sigmoid"),
        ("detection", {**BOX, "scores": [np.nan]}, "scores should lie between 0 and 1, got nan"),
        ("detection", {**BOX, "class_ids": [1]}, "class_ids holds 1, which is no class of the model; its ids: 0, 2"),
        ("detection", {**BOX, "class_ids": [0.5]}, "class_ids holds 0.5"),
        ("instance", {**MASK, "masks": np.zeros((1, 20, 10), bool)}, r"shape \(N, 10, 20\) of the frame, got \(1, 20"),
        ("instance", {**MASK, "masks": np.full((1, 10, 20), 0.4)}, "bool, or 0 and 1 alone: apply your threshold"),
        ("instance", {**MASK, "boxes": np.zeros((2, 4))}, "for 2 boxes, got"),
        ("instance", {**MASK, "masks": []}, r"scores should have the shape \(0,\) for 0 boxes, got \(1,\)"),
        ("semantic", {"label_map": np.zeros((20, 10), int)}, r"the frame's shape \(10, 20\), got \(20, 10\)"),
        ("semantic", {"label_map": np.full((10, 20), 7)}, "label_map holds 7"),
        ("classification", {"probabilities": [1.0]}, r"shape \(2,\), one a class, got \(1,\)"),
        ("classification", {"probabilities": [2.0, 3.0]}, "sum to 1, got a sum of 5: logits want a softmax"),
        ("classification", {"probabilities": [1.5, -0.5]}, "at least 0 and sum to 1"),
        ("classification", {"probabilities": [np.nan, 1]}, "sum of nan"),
    ],
)
def test_mistakes(task: str, what: object, words: str) -> None:
    with pytest.raises(InputError, match=rf"^mine: .*{words}") as caught:
        said(what, task)
    assert "\n" not in str(caught.value)


def test_what_is_right_passes() -> None:
    output = said(
        {"boxes": np.array([[1, 2, 5, 6], [0, 0, 0, 0]]), "scores": [0.1, 1], "class_ids": [0, 2]}, "detection"
    )
    assert output.scores.tolist() == [1, pytest.approx(0.1)]
    assert output.class_ids.tolist() == [2, 0]
    assert output.boxes.tolist() == [[0, 0, 0, 0], [1, 2, 5, 6]]
    assert said({"boxes": [], "scores": [], "class_ids": []}, "detection").boxes.shape == (0, 4)
    empty = said({"masks": np.zeros((0, 10, 20)), "scores": [], "class_ids": []}, "instance")
    assert empty.masks == []
    for boxes in ({}, {"boxes": []}):
        assert said({**boxes, "masks": [], "scores": [], "class_ids": []}, "instance").masks == []
    assert said({"probabilities": np.float16([0.3333, 0.6665])}, "classification").probabilities.sum() == pytest.approx(
        1
    )
    assert said({"label_map": np.eye(10, 20)}, "semantic").label_map.dtype == np.uint8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_tensors_of_half_precision_pass(dtype: torch.dtype) -> None:
    boxes = torch.tensor([[1.0, 2, 5, 6]], dtype=dtype, requires_grad=True)
    scores, class_ids = torch.tensor([0.5], dtype=dtype), torch.tensor([2], dtype=dtype)
    output = said({"boxes": boxes, "scores": scores, "class_ids": class_ids}, "detection")
    assert (output.boxes.tolist(), output.scores.tolist(), output.class_ids.tolist()) == ([[1, 2, 5, 6]], [0.5], [2])
    assert output.boxes.dtype == np.float32
    probabilities = said({"probabilities": torch.tensor([0.3, 0.7]).to(dtype)}, "classification").probabilities
    assert probabilities.sum() == pytest.approx(1)
