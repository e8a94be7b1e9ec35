"""Versions made from torchvision's networks: in another runtime, or fitted to other frames.

An exported network is a model of adapter `onnx` or `torchscript`: what its params say (how frames are prepared, how its
output is read, what its classes are called) is written beside it, so that it says the same.
"""

import math
import os
import uuid
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torch.onnx.operators import shape_as_tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from tasks.errors import InputError, brief
from tasks.models import adapted, decoders, onnx, torchvision
from tasks.models.adapted import Frame
from tasks.models.naming import without_background
from tasks.models.outputs import Description
from tasks.models.preprocess import prepare_inputs
from tasks.models.steering import to_device
from tasks.models.torchvision_networks import NETWORKS
from tasks.params import Model

_OPSET: Final = 17
_DECODERS: Final = {
    "detection": "detections",
    "instance": "instances",
    "semantic": "semantic_logits",
    "classification": "label_logits",
}
Target = dict[str, torch.Tensor] | None

_INSIDE: Final = {"resize", "size", "shorter_side", "longer_side_at_most", "mean", "std"}
"""Of `input`, what an exported detector does by itself."""

_EXAMPLE_PX: Final = (352, 416)
"""Of the frame that a network is traced with; others fit it, too."""


def export(model: Model, weights: Path, form: str, target: Path) -> dict[str, Any]:
    """Write the network as `form` to `target`, whole or not at all; what params say of the new version, None: nothing.

    Args:
        model: as settled, its classes resolved.
        weights: its file.
        form: 'onnx' or 'torchscript'.
        target: the file.

    Raises:
        InputError: its masks are cut at another value than the decoder's, or torch cannot export it.
    """
    network = torchvision.read(model, weights)
    of = NETWORKS[str(model.variant)]
    if model.options.get("mask_threshold", decoders.MASK_THRESHOLD) != decoders.MASK_THRESHOLD:
        raise InputError(f"An exported network's masks are cut at {decoders.MASK_THRESHOLD}: remove mask_threshold.")
    finds_boxes = of.score_threshold is not None
    if finds_boxes:
        network.get_submodule("transform").__class__ = _Traced if form == "onnx" else _Scripted
    elif of.task == "semantic":
        network = _Logits(network)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # both ways are called deprecated; the newer need further packages
            if form == "onnx":
                _write_onnx(network, temporary, finds_boxes=finds_boxes)
            elif finds_boxes:
                torch.jit.script(network).save(str(temporary))  # type: ignore[no-untyped-call]
            else:
                torch.jit.trace(network, _example()[None]).save(str(temporary))  # type: ignore[no-untyped-call]
        temporary.replace(target)
    except RuntimeError as error:
        raise InputError(f"{weights.name} cannot be exported as {form} ({brief(error)}).") from None
    finally:
        temporary.unlink(missing_ok=True)
    decoder = _DECODERS[of.task]
    said = {
        "adapter": form,
        "variant": None,
        "options": None,
        "nms_iou": model.nms_iou if finds_boxes and model.input.tile is not None else None,  # by which tiles merge
        "decoder": decoder,
        **_classes(model, decoder, torchvision.describe(model, weights), counted=form == "onnx"),
    }
    if not finds_boxes:
        return {**said, "input": model.input.model_dump(mode="json", exclude_defaults=True)}
    outside = model.input.model_dump(mode="json", exclude_defaults=True, exclude=_INSIDE)
    return {**said, "input": outside, "score_threshold": model.score_threshold}


def _classes(model: Model, decoder: str, described: Description, *, counted: bool) -> dict[str, list[str]]:
    """What an exported network's params have to say of classes that those of its origin do not: nothing, or all names.

    `counted`: the file tells how many labels it gives.
    """
    read = decoders.DECODERS[decoder]
    ids = {"object": described["object"], "semantic": described["semantic"], "label": described["label"]}[read.kind]
    names = list(ids.values()) if model.classes is None else list(model.classes)
    if read.kind != "object":
        return {} if model.classes is not None or (counted and read.kind == "label") else {"classes": names}
    own = dict(zip(ids, names[len(names) - len(ids) :], strict=True))  # a background may have come before them
    if model.classes is not None and decoders.by_names(read, names) == own:
        return {}
    names = list(own.values())
    if min(ids) == 1:
        return {"classes": ["__background__", *names]}
    if len(without_background(names)) < len(names):
        names[0] = f"class {min(ids)}"  # a class like any other here, which nothing shall leave out
    return {"classes": names}


def _example() -> torch.Tensor:
    """A frame (3, H, W) of noise, 0 to 1, for a trace to see something in."""
    return torch.rand(3, *_EXAMPLE_PX, generator=torch.Generator().manual_seed(0))


def _write_onnx(network: nn.Module, path: Path, *, finds_boxes: bool) -> None:
    onnx.package()
    example = _example()
    if finds_boxes:
        outputs = list(network([example])[0])
        free: dict[str, dict[int, str]] = {"pixels": {1: "height", 2: "width"}}
        free |= {name: {0: "found"} for name in outputs}
        given: Any = [example]
    else:
        outputs, given = ["logits"], example[None]
        free = {"pixels": {0: "frames", 2: "height", 3: "width"}, "logits": {0: "frames"}}
        if network(given).ndim == 4:
            free["logits"] |= {2: "height", 3: "width"}
    torch.onnx.export(
        network,
        (given,),
        str(path),
        input_names=["pixels"],
        output_names=outputs,
        dynamic_axes=free,
        opset_version=_OPSET,
        dynamo=False,
    )


class _Scripted(GeneralizedRCNNTransform):  # type: ignore[misc]
    """A detector's transform with sizes to the pixel as without TorchScript, where it computes them in float32."""

    def resize(self, image: torch.Tensor, target: Target = None) -> tuple[torch.Tensor, Target]:
        height, width = image.shape[-2:]
        fixed = self.fixed_size
        if fixed is not None:
            size = [fixed[1], fixed[0]]
        else:
            shorter, longer = float(min(height, width)), float(max(height, width))
            scale = min(float(self.min_size[-1]) / shorter, float(self.max_size) / longer)
            size = [math.floor(height * scale), math.floor(width * scale)]
        return functional.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0], target


class _Traced(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Likewise for ONNX, in operations that a trace keeps."""

    def resize(self, image: torch.Tensor, target: Target = None) -> tuple[torch.Tensor, Target]:
        if self.fixed_size is not None:
            size: list[Any] = [self.fixed_size[1], self.fixed_size[0]]
        else:
            sides = shape_as_tensor(image)[-2:].to(torch.float64)
            most = [torch.tensor([side], dtype=torch.float64) for side in (self.min_size[-1], self.max_size)]
            shorter, longer = sides.amin(0, keepdim=True), sides.amax(0, keepdim=True)  # numbers would become float32
            scale = torch.minimum(most[0] / shorter, most[1] / longer)
            size = list((sides * scale).floor().to(torch.int64).unbind())
        return functional.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0], target


class _Logits(nn.Module):
    """A segmenter without what helps in training."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._network(pixels)["out"]
        return logits


def adapt(model: Model, weights: Path, target: Path, frames: Sequence[Frame]) -> None:
    """Write the weights with batch-norm statistics of `frames` to `target`, whole or not at all.

    Args:
        model: as settled.
        weights: its file.
        target: a safetensors file.
        frames: uint8 RGB (H, W, 3), of any sizes.

    Raises:
        InputError: its normalisation is frozen, as that of the published detectors.
    """
    network = torchvision.read(model, weights)
    adapted.fit(network, frames, _runner(network, model))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, str(temporary))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _runner(network: nn.Module, model: Model) -> Callable[[list[Frame]], object]:
    """What puts frames through the network at once; detectors fill up smaller ones, as where they are trained."""
    cpu = torch.device("cpu")
    if NETWORKS[str(model.variant)].score_threshold is not None:
        return lambda frames: network([torchvision.pixels_of(frame, model, cpu) for frame in frames])
    return lambda frames: network(
        to_device(adapted.cut_alike([prepare_inputs([frame], model.input)[0] for frame in frames]), cpu)
    )
