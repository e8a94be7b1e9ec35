"""The adapter of torchvision's networks from a local file of weights; nothing is ever downloaded.

What a file of tensors does not say (how frames are prepared, what is kept of the output, switches of the builders) is
as in the library's own path for its published weights, unless params say otherwise: `settle` fills it in.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tasks.class_map import nearest
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.execution import PLAIN, Execution
from tasks.models.interface import Adapter
from tasks.models.logits import Classifier, Mapper, alike
from tasks.models.outputs import Description, Output, mark
from tasks.models.preprocess import check_input
from tasks.models.raw import refuse_nan
from tasks.models.state import read_state
from tasks.models.steering import steer, steered, to_device
from tasks.models.torchvision_networks import BOX_HEAD, NETWORKS, Network
from tasks.params import Model

VERSION: Final = 2

_KIND: Final = {"detection": "object", "instance": "object", "semantic": "semantic", "classification": "label"}


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow.

    Raises:
        InputError: no such network, an option that it does not have, or frames prepared as it cannot.
    """
    if model.variant is None or model.variant not in NETWORKS:
        given = "none" if model.variant is None else f"'{model.variant}'"
        raise InputError(f"Adapter 'torchvision' needs a variant, got {given}{nearest(model.variant or '', NETWORKS)}")
    if model.decoder is not None:
        raise InputError(f"Adapter 'torchvision' takes no decoder, got '{model.decoder}': remove the line.")
    network = NETWORKS[model.variant]
    for name, value in model.options.items():
        if name not in network.options:
            raise InputError(f"options: {model.variant} has no '{name}'{nearest(name, network.options)}")
        default = network.options[name]
        fits = type(value) is type(default) or (isinstance(default, float) and type(value) is int)
        if not fits or value < 0:  # type: ignore[operator]
            kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
            raise InputError(f"options.{name}: expected {kind}, at least 0, got {value!r}.")
    settled = settle(model).input
    if network.score_threshold is None:
        check_input(settled)
        _refuse_boxes(model)
        if network.task == "semantic" and settled.crop is not None:
            raise InputError(f"input.crop leaves parts of the frame unseen: remove it, {model.variant} maps all of it.")
        return
    if model.nms != "class_wise":
        raise InputError(f"{model.variant} suppresses within classes by itself: remove nms: {model.nms}.")
    wanted = network.input
    if (settled.resize, settled.size, settled.crop, settled.antialias) != (wanted.resize, wanted.size, None, False):
        how = "stretch to [320, 320]" if wanted.size else "shorter_side, of any length, without crop or antialias"
        raise InputError(f"{model.variant} resizes by itself: input.resize is {how}; remove what says otherwise.")
    check_input(settled)


def _refuse_boxes(model: Model) -> None:
    given = [name for name in ("score_threshold", "nms_iou", "nms", "nms_sigma") if name in model.model_fields_set]
    if given:
        raise InputError(f"{model.variant} finds no boxes: remove {', '.join(given)}.")


def settle(model: Model) -> Model:
    """With the library's own settings where params give none."""
    network = NETWORKS.get(model.variant or "")
    if network is None:
        return model
    given = {name: getattr(model.input, name) for name in model.input.model_fields_set}
    own = network.input
    if given.get("resize", own.resize) != own.resize:  # sizes belong to how frames are resized
        own = own.model_copy(update=dict.fromkeys(("size", "shorter_side", "longer_side_at_most", "crop")))
    changes: dict[str, Any] = {
        "input": own.model_copy(update=given),
        "options": {**network.options, **model.options},
    }
    for name in ("score_threshold", "nms_iou"):
        if getattr(network, name) is not None and name not in model.model_fields_set:
            changes[name] = getattr(network, name)
    return model.model_copy(update=changes)


def describe(model: Model, weights: Path) -> Description:
    """As many classes as the weights' last layer has, called by their index; of detectors without the background."""
    network = NETWORKS[str(model.variant)]
    count = _count(read_state(weights), network, model, weights)
    classes = {index: str(index) for index in range(network.first, count)}
    tasks = ["detection", "instance"] if network.task == "instance" else [network.task]
    return {**{kind: classes if kind == _KIND[network.task] else {} for kind in _KIND.values()}, "tasks": tasks}


def load(
    model: Model, *, weights: Path, device: str, threads: int | None, execution: Execution = PLAIN
) -> "Detector | Mapper | Classifier":
    """The network on `device`; `threads` is the process's matter here (`torch.set_num_threads`).

    Raises:
        InputError: the file is no weights, or not of this network.
    """
    network = NETWORKS[str(model.variant)]
    built = read(model, weights).to(device)
    if network.score_threshold is not None:
        return Detector(built, model, device, execution)
    run = steered(built, execution, device)
    if network.task == "semantic":
        return Mapper(lambda pixels: run(pixels)["out"], model.input, device, who=weights.name)
    return Classifier(run, model.input, device, who=weights.name)


def read(model: Model, weights: Path) -> nn.Module:
    """The network with its weights on the CPU, in evaluation mode.

    Raises:
        InputError: as `load`.
    """
    network = NETWORKS[str(model.variant)]
    state = read_state(weights)
    built = _build(model, network, state, _count(state, network, model, weights))
    try:
        missing, extra = built.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{weights} does not fit variant '{model.variant}': {reason}") from None
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or extra:
        what = f"tensor '{missing[0]}' is missing" if missing else f"it has a tensor '{extra[0]}' too many"
        raise InputError(f"{weights} does not fit variant '{model.variant}': {what}.")
    return built.eval().requires_grad_(False)


def _count(state: Mapping[str, torch.Tensor], network: Network, model: Model, weights: Path) -> int:
    head = state.get(network.head)
    if head is None or head.ndim != 1 or len(head) % network.anchors or len(head) // network.anchors <= network.first:
        got = "has no such tensor" if head is None else f"has one of shape {tuple(head.shape)}"
        raise InputError(
            f"{weights} does not fit variant '{model.variant}': its classes are counted by '{network.head}', "
            f"the file {got}."
        )
    return len(head) // network.anchors


def _build(model: Model, network: Network, state: Mapping[str, torch.Tensor], count: int) -> nn.Module:
    from torchvision.models import get_model  # takes seconds to import

    switches: dict[str, Any] = {}
    if network.score_threshold is not None:
        switches = {"weights_backbone": None, **_detection(model, network)}
    elif network.task == "semantic":
        switches = {"weights_backbone": None, "aux_loss": _has(state, "aux_classifier.")}
    elif "transform_input" in network.options:
        switches = {
            "transform_input": model.options["transform_input"],
            "aux_logits": _has(state, "AuxLogits."),
            "init_weights": False,
        }
    built: nn.Module = get_model(model.variant, weights=None, num_classes=count, **switches)
    if "norm_eps" in network.options and not _has(state, "backbone.body.bn1.num_batches_tracked"):
        _freeze(built, float(model.options["norm_eps"]))  # type: ignore[arg-type]
    return built


def _detection(model: Model, network: Network) -> dict[str, Any]:
    """What the builders of detectors are told."""
    prefix = "box_" if network.head == BOX_HEAD else ""
    told: dict[str, Any] = {
        f"{prefix}score_thresh": model.score_threshold,
        f"{prefix}nms_thresh": model.nms_iou,
        f"{prefix}detections_per_img": model.options["detections"],
        "image_mean": list(model.input.mean),
        "image_std": list(model.input.std),
    }
    if "candidates" in network.options:
        told["topk_candidates"] = model.options["candidates"]
    if model.input.resize == "shorter_side":
        told |= {"min_size": model.input.shorter_side, "max_size": model.input.longer_side_at_most or math.inf}
    return told


def _has(state: Mapping[str, torch.Tensor], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in state)


def _freeze(module: nn.Module, eps: float) -> None:
    """Frozen normalisation in the place of one that was trained, in place."""
    from torchvision.ops import FrozenBatchNorm2d

    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=eps))
        else:
            _freeze(child, eps)


def pixels_of(frame: npt.NDArray[np.uint8], model: Model, device: torch.device) -> torch.Tensor:
    """A frame (H, W, 3) as a detector takes it, which resizes and normalises by itself: float32 (3, H, W), 0 to 1."""
    pixels = to_device(torch.tensor(frame), device).permute(2, 0, 1)
    if model.input.channels == "bgr":
        pixels = pixels.flip(0)
    return pixels.float() / (1 / model.input.scale)  # to the digit as the library: divided by 255


class Detector:
    """A detector, with masks or without; it resizes, normalises, decodes and suppresses by itself."""

    def __init__(self, network: nn.Module, model: Model, device: str, execution: Execution) -> None:
        """Take over `network`. Of its stages it tells by itself: suppression within it counts as the network's.

        Compiled is the backbone, where the time goes; what follows it depends on how many boxes there are.
        """
        steer(network.get_submodule("backbone"), replace(execution, precision="float32"), device)
        self.network = steered(network, replace(execution, compile=False), device)
        self._device = torch.device(device)
        self._model = model
        self._masks = NETWORKS[str(model.variant)].task == "instance"
        self.tasks = frozenset({"detection", "instance"} if self._masks else {"detection"})
        network.get_submodule("transform").register_forward_hook(lambda *_: mark("infer"))
        last = "roi_heads" if hasattr(network, "roi_heads") else "head"
        network.get_submodule(last).register_forward_hook(lambda *_: mark("postprocess"))
        for name in ("head", "rpn.head", "roi_heads.box_predictor", "roi_heads.mask_predictor"):
            if name in dict(network.named_modules()):
                network.get_submodule(name).register_forward_hook(self._sound)

    @torch.inference_mode()
    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """Boxes inside the frame, in its pixels.

        Raises:
            InputError: the network gave NaN.
        """
        outputs: list[Output] = []
        for group in alike(frames, self._device):
            mark("preprocess")
            pixels = [pixels_of(frame, self._model, self._device) for frame in group]
            outputs.extend(map(self._output, self.network(pixels)))
        return outputs

    def _sound(self, module: nn.Module, given: object, said: object) -> None:
        refuse_nan(_tensors(said), "outputs", who=self._model.weights_path.name)

    def _output(self, said: Mapping[str, torch.Tensor]) -> Output:
        masks = None
        if self._masks:
            threshold = float(self._model.options["mask_threshold"])  # type: ignore[arg-type]
            masks = run_length.encode((said["masks"][:, 0] > threshold).cpu().numpy())
        return Output(
            boxes=said["boxes"].cpu().numpy(),
            scores=said["scores"].cpu().numpy(),
            class_ids=said["labels"].cpu().numpy(),
            masks=masks,
        )


def _tensors(said: Any) -> Iterator[torch.Tensor]:
    """Those of an output: one, or several in lists and dicts."""
    if isinstance(said, torch.Tensor):
        yield said
    elif isinstance(said, Mapping | list | tuple):
        for one in said.values() if isinstance(said, Mapping) else said:
            yield from _tensors(one)


ADAPTER: Final = Adapter(
    version=VERSION, check=check, describe=describe, load=load, settle=settle, library="torchvision", torch=True
)
