"""Small random networks of transformers, saved as directories with the image processor that belongs to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

hf: Any = pytest.importorskip("transformers", reason="needs the extra `transformers`")

LABELS = {0: "car", 1: "bus", 2: "cyclist", 3: "pedestrian", 4: "lamp"}
SIDE = {"shortest_edge": 128, "longest_edge": 160}


def _resnet() -> Any:
    return hf.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
        id2label=LABELS,
    )


def _detr(config: type, **more: Any) -> Any:
    return config(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=_resnet(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=30,
        id2label=LABELS,
        **more,
    )


def _rt_detr(config: type, backbone: Any, **more: Any) -> Any:
    return config(
        backbone_config=backbone,
        encoder_hidden_dim=32,
        encoder_in_channels=[16, 24, 32],
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        num_queries=30,
        id2label=LABELS,
        **more,
    )


def _rt_resnet() -> Any:
    return hf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def _hgnet() -> Any:
    return hf.HGNetV2Config(
        stem_channels=[3, 8, 8],
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 24, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )


def _mask2former() -> Any:
    swin = hf.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return hf.Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=12,
        id2label=LABELS,
    )


def _segformer() -> Any:
    return hf.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label=LABELS,
    )


def _vit(config: type, **more: Any) -> Any:
    return config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        patch_size=16,
        id2label=LABELS,
        **more,
    )


STRETCHED = {"size": {"height": 96, "width": 128}}
BUILT: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
    "vit": (
        "ViTForImageClassification",
        lambda: _vit(hf.ViTConfig, image_size=64),
        lambda: hf.ViTImageProcessor(size={"height": 64, "width": 64}),
    ),
    "resnet": (
        "ResNetForImageClassification",
        _resnet,
        lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 96}, crop_pct=0.875),
    ),
    "detr": ("DetrForObjectDetection", lambda: _detr(hf.DetrConfig), lambda: hf.DetrImageProcessor(size=SIDE)),
    "conditional_detr": (
        "ConditionalDetrForObjectDetection",
        lambda: _detr(hf.ConditionalDetrConfig),
        lambda: hf.ConditionalDetrImageProcessor(size=SIDE),
    ),
    "deformable_detr": (
        "DeformableDetrForObjectDetection",
        lambda: _detr(hf.DeformableDetrConfig, num_feature_levels=3),
        lambda: hf.DeformableDetrImageProcessor(size=SIDE),
    ),
    "rt_detr": (
        "RTDetrForObjectDetection",
        lambda: _rt_detr(hf.RTDetrConfig, _rt_resnet()),
        lambda: hf.RTDetrImageProcessor(**STRETCHED),
    ),
    "rt_detr_v2": (
        "RTDetrV2ForObjectDetection",
        lambda: _rt_detr(hf.RTDetrV2Config, _rt_resnet()),
        lambda: hf.RTDetrImageProcessor(**STRETCHED),
    ),
    "d_fine": (
        "DFineForObjectDetection",
        lambda: _rt_detr(hf.DFineConfig, _hgnet()),
        lambda: hf.RTDetrImageProcessor(**STRETCHED),
    ),
    "yolos": (
        "YolosForObjectDetection",
        lambda: _vit(hf.YolosConfig, image_size=[64, 80], num_detection_tokens=20),
        lambda: hf.YolosImageProcessor(size=SIDE),
    ),
    "segformer": (
        "SegformerForSemanticSegmentation",
        _segformer,
        lambda: hf.SegformerImageProcessor(**STRETCHED),
    ),
    "mask2former": (
        "Mask2FormerForUniversalSegmentation",
        _mask2former,
        lambda: hf.Mask2FormerImageProcessor(size={"shortest_edge": 100, "longest_edge": 200}),
    ),
}
"""By the library's name of the kind: its network, its config, its processor."""


@torch.no_grad()
def _centre(network: nn.Module) -> None:
    """Take the mean off what decides classes and masks, so that no class and no mask is everywhere."""
    last: dict[str, torch.Tensor] = {}
    heads = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None
        if len(module.bias) in (len(LABELS), len(LABELS) + 1) or name.endswith("mask_projection")
    }
    for name, module in heads.items():
        module.register_forward_hook(lambda _, __, out, name=name: last.update({name: out}))
    network(nn.functional.interpolate(torch.randn(2, 3, 8, 8), size=(64, 64), mode="bilinear"))
    for name, out in last.items():
        rows = out.movedim(1, -1) if out.ndim == 4 and isinstance(heads[name], nn.Conv2d) else out
        heads[name].bias -= rows.flatten(0, -2).mean(0)


def save(kind: str, folder: Path) -> Path:
    """Write the directory `folder/kind`: seeded weights that have something to say of every frame."""
    architecture, config, processor = BUILT[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = getattr(hf, architecture)(config()).eval()
        for name, tensor in network.named_parameters():
            if tensor.ndim > 1:
                nn.init.normal_(tensor, std=1.5 / tensor[0].numel() ** 0.5)
            elif "bias" in name:
                nn.init.normal_(tensor, std=0.1)
        for module in network.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=3)
            if hasattr(module, "running_var"):
                module.running_var.uniform_(0.5, 1.5)
                module.running_mean.normal_(std=0.1)
        _centre(network)
    network.save_pretrained(folder / kind)
    processor().save_pretrained(folder / kind)
    return folder / kind
