"""Small networks as the adapters `onnx` and `torchscript` read them, and by hand what goes before and after them."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torchvision.ops import nms

from tasks import models
from tasks.models import masks as run_length
from tasks.models.outputs import Output
from tasks.params import Model

FILES = {"onnx": "net.onnx", "torchscript": "net.pt"}


def write(network: nn.Module, folder: Path, adapter: str, example: torch.Tensor, names: Sequence[str]) -> None:
    """Export `network` to where `model` looks for it; `names` are those of its outputs."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if adapter == "onnx":
            path = str(folder / FILES[adapter])
            torch.onnx.export(
                network.eval(), (example,), path, output_names=list(names), opset_version=17, dynamo=False
            )
        else:
            torch.jit.trace(network.eval(), example).save(str(folder / FILES[adapter]))


def model(adapter: str, **changes: Any) -> Model:
    return Model.model_validate({"adapter": adapter, "weights": FILES[adapter], **changes})


def predict(given: Model, folder: Path, frames: Sequence[np.ndarray]) -> list[Output]:
    return models.load(given, folder=folder, device="cpu", threads=1).predict(frames)


def letterboxed(frame: np.ndarray, height: int, width: int) -> tuple[torch.Tensor, tuple[int, ...]]:
    """A frame in the middle of grey, values 0 to 1, and where it lies there: top, left, height, width.

    As Ultralytics' LetterBox, beside which another test stands.
    """
    ratio = min(height / frame.shape[0], width / frame.shape[1])
    inner = (round(frame.shape[0] * ratio), round(frame.shape[1] * ratio))
    top, left = (round((whole - part) / 2 - 0.1) for whole, part in zip((height, width), inner, strict=True))
    pixels = np.full((height, width, 3), 114, np.uint8)
    pixels[top : top + inner[0], left : left + inner[1]] = cv2.resize(frame, inner[::-1])
    return torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255, (top, left, *inner)


def boxes_back(boxes: Any, where: tuple[int, ...], frame: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) xyxy of a letterbox in pixels of the frame."""
    top, left, height, width = where
    scale = np.array([width / frame.shape[1], height / frame.shape[0]] * 2)
    return (np.asarray(boxes, np.float64) - [left, top, left, top]) / scale


def suppressed(boxes: torch.Tensor, scores: torch.Tensor, class_ids: torch.Tensor, iou: float) -> torch.Tensor:
    """Suppression by torchvision, class by class, then by descending score."""
    kept = []
    for class_id in class_ids.unique():
        own = torch.nonzero(class_ids == class_id)[:, 0]
        kept.append(own[nms(boxes[own], scores[own], iou)])
    whole = torch.cat(kept)
    return whole[scores[whole].argsort(descending=True)]


def same_finds(ours: Output, boxes: Any, scores: Any, class_ids: Any) -> np.ndarray:
    """Boxes within half a pixel, scores within 1e-4, the same classes, each once; which of theirs each of ours is.

    By place, but for neighbours whose scores differ by a rounding error.
    """
    boxes, scores, class_ids = np.asarray(boxes), np.asarray(scores), np.asarray(class_ids)
    np.testing.assert_allclose(ours.scores, scores, rtol=0, atol=1e-4)
    if not len(scores):
        return np.zeros(0, np.int64)
    unlike = np.abs(ours.boxes[:, None] - boxes[None]).max(axis=2)
    unlike[np.abs(ours.scores[:, None] - scores[None]) > 1e-4] = np.inf
    unlike[ours.class_ids[:, None] != class_ids[None]] = np.inf
    theirs = unlike.argmin(axis=1)
    assert sorted(theirs) == list(range(len(boxes)))
    assert unlike.min(axis=1).max(initial=0) <= 0.5
    return theirs


def least_iou(ours: Output, masks: np.ndarray) -> float:
    """The smallest IoU of our masks with these (N, H, W), in their order; two empty ones agree."""
    assert ours.masks is not None
    assert len(ours.masks) == len(masks)
    found = run_length.decode(ours.masks, height_px=masks.shape[1], width_px=masks.shape[2])
    both, either = (found & masks).sum((1, 2)), (found | masks).sum((1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).min(initial=1.0))
