"""torchvision's networks that its adapter knows, each with the library's own path from frame to output."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tasks.params import ModelInput

_IMAGENET: Final[dict[str, Any]] = {
    "scale": 1 / 255,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}

_DETECTOR: Final = ModelInput(resize="shorter_side", shorter_side=800, longer_side_at_most=1333, **_IMAGENET)


def _classifier(shorter_side: int, crop: int) -> ModelInput:
    return ModelInput(resize="shorter_side", shorter_side=shorter_side, crop=(crop, crop), antialias=True, **_IMAGENET)


@dataclass(frozen=True)
class Network:
    """One of the library's networks, and its own path from frame to output.

    Attributes:
        task: What it does.
        head: The tensor whose length tells the number of classes, the background counted,
        anchors: which holds that many numbers a class.
        first: The first id that is a class: 1 where 0 is the background.
        input: How its published weights want their frames.
        score_threshold: The library's default; of detectors.
        nms_iou: Likewise.
        options: Likewise, what else params may set.
    """

    task: str
    head: str
    input: ModelInput
    anchors: int = 1
    first: int = 0
    score_threshold: float | None = None
    nms_iou: float | None = None
    options: Mapping[str, bool | int | float] = field(default_factory=dict)


BOX_HEAD: Final = "roi_heads.box_predictor.cls_score.bias"
_FROZEN: Final = {"norm_eps": 0.0}

NETWORKS: Final[Mapping[str, Network]] = {
    "fasterrcnn_resnet50_fpn": Network(
        "detection", BOX_HEAD, _DETECTOR, 1, 1, 0.05, 0.5, {"detections": 100, **_FROZEN}
    ),
    "maskrcnn_resnet50_fpn": Network(
        "instance", BOX_HEAD, _DETECTOR, 1, 1, 0.05, 0.5, {"detections": 100, "mask_threshold": 0.5, **_FROZEN}
    ),
    # Its class 0 is an output like any other; COCO's weights never learnt to use it.
    "retinanet_resnet50_fpn": Network(
        "detection",
        "head.classification_head.cls_logits.bias",
        _DETECTOR,
        9,
        0,
        0.05,
        0.5,
        {"detections": 300, "candidates": 1000, **_FROZEN},
    ),
    "ssdlite320_mobilenet_v3_large": Network(
        "detection",
        "head.classification_head.module_list.0.1.bias",
        ModelInput(resize="stretch", size=(320, 320), scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        6,
        1,
        0.001,
        0.55,
        {"detections": 300, "candidates": 300},
    ),
    "deeplabv3_resnet50": Network(
        "semantic",
        "classifier.4.bias",
        ModelInput(resize="shorter_side", shorter_side=520, antialias=True, **_IMAGENET),
    ),
    "resnet18": Network("classification", "fc.bias", _classifier(256, 224)),
    "resnet50": Network("classification", "fc.bias", _classifier(256, 224)),
    "inception_v3": Network("classification", "fc.bias", _classifier(342, 299), options={"transform_input": True}),
}
"""By the library's own names, which params' `variant` gives. `norm_eps`: of the frozen normalisation that detectors are
trained with, 0 as in those published and in what is tuned from them; weights whose normalisation was trained too (they
have num_batches_tracked) have the usual one. `transform_input`: Inception's own rescaling, as its published weights."""
