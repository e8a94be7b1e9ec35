"""DETR's outputs through both adapters, against its description query by query."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.exported_networks import boxes_back, letterboxed, model, predict, same_finds, write
from tests.tasks.models.test_torchvision import made_up

pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

NAMES = ["car", "bus", "tram"]  # with "no object" as many columns as a box has


class Queries(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.logits = nn.Linear(3 * 16, 30 * 4)
        self.boxes = nn.Linear(3 * 16, 30 * 4)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        colours = functional.adaptive_avg_pool2d(pixels, 4).flatten(1)
        return self.logits(colours).unflatten(1, (30, 4)) * 4, self.boxes(colours).unflatten(1, (30, 4)).sigmoid()


class Named(Queries):
    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits, boxes = super().forward(pixels)
        return {"pred_boxes": boxes, "logits": logits, "last_hidden_state": boxes}


@pytest.mark.parametrize("adapter", ["onnx", "torchscript"])
def test_equals_its_description(tmp_path: Path, adapter: str) -> None:
    network = Queries()
    if adapter == "onnx":
        write(network, tmp_path, adapter, torch.zeros(1, 3, 96, 128), ["logits", "pred_boxes"])
    else:
        torch.jit.trace(Named().eval(), torch.zeros(1, 3, 96, 128), strict=False).save(str(tmp_path / "net.pt"))
    frames = [made_up(90, 160), made_up(160, 90, 1)]
    ready = model(
        adapter,
        decoder="detr",
        classes=NAMES,
        input={"resize": "letterbox", "size": [96, 128], "scale": 1 / 255},
        score_threshold=0.5,
        nms_iou=0.01,
    )
    for frame, ours in zip(frames, predict(ready, tmp_path, frames), strict=True):
        pixels, where = letterboxed(frame, 96, 128)
        with torch.inference_mode():
            logits, boxes = (part[0].tolist() for part in network(pixels))
        finds = []
        for row, (cx, cy, w, h) in zip(logits, boxes, strict=True):
            chances = [math.exp(one) / sum(map(math.exp, row)) for one in row]
            best = max(range(3), key=chances.__getitem__)
            if chances[best] > 0.5:
                box = [(cx - w / 2) * 128, (cy - h / 2) * 96, (cx + w / 2) * 128, (cy + h / 2) * 96]
                finds.append((chances[best], best, box))
        finds.sort(reverse=True)
        assert 5 < len(finds) < 30
        scores, class_ids, theirs = zip(*finds, strict=True)
        same_finds(ours, boxes_back(np.array(theirs), where, frame), scores, class_ids)
