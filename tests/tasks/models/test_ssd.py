"""SSD's outputs: torchvision's own network and post-processing as the reference, and TensorFlow's form."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import get_model
from torchvision.models.detection.image_list import ImageList

from tasks import models
from tasks.errors import InputError
from tasks.models.raw import Raw
from tasks.models.ssd import ssd
from tests.exported_networks import model, predict, same_finds, write
from tests.photographs import photographs
from tests.tasks.models.test_onnx import spot
from tests.tasks.models.test_torchvision import image, made_up, state_of

pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

ADAPTERS = pytest.mark.parametrize("adapter", ["onnx", "torchscript"])
INPUT = {"resize": "stretch", "size": [320, 320], "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
SIZE = torch.tensor([320.0] * 4)


class RawSsd(nn.Module):
    """torchvision's ssdlite without what comes before and after: probabilities, and boxes as shares of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = get_model(
            "ssdlite320_mobilenet_v3_large",
            weights=None,
            weights_backbone=None,
            score_thresh=0.2,
            nms_thresh=0.45,
            topk_candidates=400,
            detections_per_img=10**6,
        ).eval()
        self.detector.load_state_dict(state_of("ssdlite320_mobilenet_v3_large"))
        pixels = torch.zeros(1, 3, 320, 320)
        features = list(self.detector.backbone(pixels).values())
        (self.anchors,) = self.detector.anchor_generator(ImageList(pixels, [(320, 320)]), features)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        head = self.detector.head(list(self.detector.backbone(pixels).values()))
        boxes = self.detector.box_coder.decode_single(head["bbox_regression"][0], self.anchors)
        return head["cls_logits"].softmax(dim=2), boxes.clamp(0, 320)[None] / SIZE

    def as_the_library(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        head = self.detector.head(list(self.detector.backbone(pixels).values()))
        (found,) = self.detector.postprocess_detections(head, [self.anchors], [(320, 320)])
        return found


@torch.inference_mode()
def as_the_library(folder: Path, adapter: str, frames: list[np.ndarray], names: list[str]) -> None:
    network = RawSsd()
    write(network, folder, adapter, torch.zeros(1, 3, 320, 320), names)
    ready = model(adapter, decoder="ssd", classes="coco91", input=INPUT, score_threshold=0.2, nms_iou=0.45)
    described = models.describe(ready, folder=folder)["object"]
    assert (len(described), described[0], described[89]) == (90, "person", "toothbrush")
    for frame, ours in zip(frames, predict(ready, folder, frames), strict=True):
        pixels = functional.interpolate(image(frame)[None].float(), size=(320, 320), mode="bilinear").round()
        theirs = network.as_the_library((pixels / 255 - 0.5) / 0.5)
        assert len(theirs["boxes"]) > 20
        scale = np.array([frame.shape[1], frame.shape[0]] * 2) / 320
        same_finds(ours, theirs["boxes"].numpy() * scale, theirs["scores"], theirs["labels"].numpy() - 1)


@ADAPTERS
def test_equals_torchvision_on_made_up_frames(tmp_path: Path, adapter: str) -> None:
    as_the_library(tmp_path, adapter, [made_up(90, 160), made_up(160, 90, 1)], ["scores", "boxes"])


@ADAPTERS
@pytest.mark.real
@pytest.mark.slow
def test_equals_torchvision_on_photographs(tmp_path: Path, adapter: str) -> None:
    as_the_library(tmp_path, adapter, photographs(20), ["first", "second"])


class TensorFlows(nn.Module):
    """As its detection models are exported: bytes of any size, channels last; boxes y0, x0, y1, x1."""

    def forward(self, pixels: torch.Tensor) -> Any:
        bright = pixels[0].float().mean(dim=2) > 128
        rows, columns = bright.any(dim=1).float(), bright.any(dim=0).float()
        height, width = rows.shape[0], columns.shape[0]
        down, across = torch.arange(height), torch.arange(width)
        y0, y1 = (down + 1e6 * (1 - rows)).min(), ((down + 1) * rows).max()
        x0, x1 = (across + 1e6 * (1 - columns)).min(), ((across + 1) * columns).max()
        y0, x0 = torch.minimum(y0, y1), torch.minimum(x0, x1)  # of nothing: an empty box
        box = torch.stack([y0 / height, x0 / width, y1 / height, x1 / width])
        boxes = torch.stack([box, box * 0.5, box * 0.25])[None]
        return boxes, torch.tensor([[2.0, 1.0, 1.0]]), torch.tensor([[0.9, 0.4, 0.8]]), torch.tensor([2.0])


@pytest.mark.parametrize("prefix", ["detection_", "StatefulPartitionedCall:"])
def test_tensorflows_form(tmp_path: Path, prefix: str) -> None:
    names = ["detection_boxes", "detection_classes", "detection_scores", "num_detections"]
    if prefix != "detection_":
        names = [f"{prefix}{place}" for place in range(4)]  # in this order
    with torch.no_grad():
        torch.onnx.export(
            TensorFlows(),
            (torch.full((1, 9, 9, 3), 200, dtype=torch.uint8),),
            str(tmp_path / "net.onnx"),
            input_names=["image"],
            output_names=names,
            dynamic_axes={"image": {1: "height", 2: "width"}},
            opset_version=17,
            dynamo=False,
        )
    ready = model("onnx", decoder="tf_detections", classes=["background", "car", "bus"], score_threshold=0.3)
    assert models.describe(ready, folder=tmp_path)["object"] == {1: "car", 2: "bus"}
    given = [spot(60, 120, 40, 20, 24), spot(90, 70, 8, 32, 16)]
    for frame, (x0, y0, x1, y1), output in zip(
        given, [(40, 20, 64, 44), (8, 32, 24, 48)], predict(ready, tmp_path, given), strict=True
    ):
        # The third is beyond num_detections.
        np.testing.assert_allclose(output.boxes, [[x0, y0, x1, y1], [x0 / 2, y0 / 2, x1 / 2, y1 / 2]], atol=1e-3)
        assert (output.scores.tolist(), output.class_ids.tolist()) == (pytest.approx([0.9, 0.4]), [2, 1])
        assert frame.shape == spot(*frame.shape[:2], 0, 0, 1).shape
    scaled = model("onnx", decoder="tf_detections", classes=["car", "bus"], input={"scale": 0.5})
    with pytest.raises(InputError, match=r"net\.onnx takes uint8.*remove input\.scale, mean and std"):
        models.load(scaled, folder=tmp_path, device="cpu")


def test_of_each_class_the_best_400_boxes_are_looked_at() -> None:
    scores = torch.zeros(1, 500, 3)
    scores[0, :, 1] = torch.linspace(0.2, 0.9, 500)
    scores[0, :7, 2] = 0.5
    raw = Raw(
        tensors={"a": scores, "b": torch.rand(1, 500, 4)}, height_px=10, width_px=20, classes=2, score_threshold=0.1
    )
    found = ssd(raw)
    assert found.class_ids.bincount().tolist() == [400, 7]
    assert found.scores[found.class_ids == 0].min() == scores[0, 100, 1]
    assert found.boxes[:, 0::2].max() > 10 > found.boxes[:, 1::2].max()
