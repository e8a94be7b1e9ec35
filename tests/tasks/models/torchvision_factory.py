"""torchvision's networks with weights that say something, params of them, and frames for them."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models import get_model

from tasks.params import Model

DETECTORS = ["fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "maskrcnn_resnet50_fpn"]
PUBLISHED = {
    **dict.fromkeys([*DETECTORS, "ssdlite320_mobilenet_v3_large"], "COCO_V1"),
    "deeplabv3_resnet50": "COCO_WITH_VOC_LABELS_V1",
    **dict.fromkeys(["resnet18", "resnet50", "inception_v3"], "IMAGENET1K_V1"),
}
LABELLERS = ["resnet18", "resnet50", "inception_v3"]


@lru_cache(maxsize=2)  # some are of 170 MB
def state_of(variant: str, n_classes: int | None = None) -> dict[str, torch.Tensor]:
    """Seeded weights whose activations keep their size from layer to layer, and whose heads have something to say."""
    kwargs = {} if n_classes is None else {"num_classes": n_classes}
    if variant in LABELLERS:
        kwargs |= {"init_weights": False} if variant == "inception_v3" else {}
    else:
        kwargs |= {"weights_backbone": None}
    kwargs |= {"aux_loss": True} if variant == "deeplabv3_resnet50" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = get_model(variant, weights=None, **kwargs)
        for module in network.modules():  # one pass sets the statistics
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        part = network.backbone if hasattr(network, "backbone") else network
        with torch.no_grad():
            part.train()(torch.randn(2, 3, *((299, 299) if variant == "inception_v3" else (96, 96))))
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, tensor in state.items():
        if "cls_logits.weight" in name or "mask_fcn_logits.weight" in name:
            tensor *= 8
        if name.startswith(("fc.weight", "classifier.4.weight")) or "classification_head.module_list" in name:
            tensor *= 3
    return state


def saved(variant: str) -> dict[str, torch.Tensor]:
    frozen = variant in DETECTORS
    return {k: v for k, v in state_of(variant).items() if not (frozen and k.endswith("num_batches_tracked"))}


def model(variant: str, /, **changes: Any) -> Model:
    return Model.model_validate({"adapter": "torchvision", "weights": f"{variant}.pth", "variant": variant} | changes)


def made_up(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coloured blocks with noise: edges and areas."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (-(-height // 40), -(-width // 40), 3)).repeat(40, 0).repeat(40, 1)[:height, :width]
    return (blocks + rng.normal(0, 9, (height, width, 3))).clip(0, 255).astype(np.uint8)
