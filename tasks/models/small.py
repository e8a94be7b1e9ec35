"""The adapter of the embedded models: weights as safetensors whose metadata names the classes, or exported ones."""

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tasks.errors import InputError
from tasks.models import exported
from tasks.models.execution import PLAIN, Execution
from tasks.models.interface import Adapter
from tasks.models.network import MULTIPLE, STRIDE, Heads, SmallNetwork
from tasks.models.nms import suppress
from tasks.models.outputs import Description, Output, mark
from tasks.models.peaks import decode_boxes
from tasks.models.raw import refuse_nan
from tasks.models.steering import steered, to_device
from tasks.params import Model, ModelInput

VERSION: Final = 2

_FILE_VERSION: Final = 1

FORMAT: Final = "stormglass-small"
"""The entry in a fitting file's metadata."""

_TASKS: Final = {"object": "detection", "semantic": "semantic", "label": "classification"}

Classes = Mapping[str, Mapping[int, str]]
"""kind (object, semantic, label) -> class id -> name."""


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow: its input is the frame as it is, and it decodes itself."""
    for name in ("variant", "decoder", "options", "classes"):
        if getattr(model, name):
            raise InputError(f"Adapter 'small' takes no {name}, got {getattr(model, name)!r}: remove the line.")
    if model.input != ModelInput():
        raise InputError("Adapter 'small' takes frames as they are: remove `input` from the model's params.")


def describe(model: Model, weights: Path) -> Description:
    """The classes that the model was trained on, from the metadata of its weights."""
    classes = read_classes(weights)
    return {**classes, "tasks": [task for kind, task in _TASKS.items() if classes[kind]]}


def save(network: SmallNetwork, classes: Classes, path: Path) -> None:
    """Write weights and class names to `path`, whole or not at all."""
    # One entry: safetensors writes several in another order each time, and the same weights shall be the same bytes.
    metadata = {FORMAT: json.dumps({"version": _FILE_VERSION, "classes": classes}, sort_keys=True)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_bytes(serialize(tensors, metadata))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(
    model: Model, *, weights: Path, device: str, threads: int | None, execution: Execution = PLAIN
) -> "SmallModel":
    """The network on `device`; `threads` is the process's matter here (`torch.set_num_threads`).

    Raises:
        InputError: the file is no weights of this adapter, or its tensors do not fit the network.
    """
    classes = read_classes(weights)
    if weights.suffix in exported.ENDINGS.values():
        # As it was written: a trace does not keep that its last layers are to stay in single precision.
        return SmallModel(exported.load(weights, device, threads), classes, model, device, PLAIN)
    return SmallModel(read(weights), classes, model, device, execution)


def read(weights: Path) -> SmallNetwork:
    """The network as it was trained, batch norms and all.

    Raises:
        InputError: the file is no weights of this adapter, or its tensors do not fit the network.
    """
    network = build(read_classes(weights))
    expected = network.state_dict()
    with safe_open(str(weights), framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    for name, tensor in expected.items():
        if name not in found:
            raise InputError(
                f"{weights} does not fit adapter 'small': tensor '{name}' is missing; train the model again."
            )
        if found[name].shape != tensor.shape:
            raise InputError(
                f"{weights} does not fit adapter 'small': tensor '{name}' has shape {tuple(found[name].shape)}, "
                f"expected {tuple(tensor.shape)}; train the model again."
            )
    extra = sorted(found.keys() - expected.keys())
    if extra:
        raise InputError(f"{weights} does not fit adapter 'small': it has a tensor '{extra[0]}' too many.")
    network.load_state_dict(found)
    return network.eval()


def build(classes: Classes) -> SmallNetwork:
    """An untrained network for these classes."""
    return SmallNetwork(
        n_objects=len(classes["object"]), n_semantic=len(classes["semantic"]), n_labels=len(classes["label"])
    )


def padded(frames: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Frames (B, H, W, 3) as the network takes them: float32 (B, 3, H', W') with grey to the right and below."""
    height, width = frames.shape[1:3]
    pixels = to_device(torch.from_numpy(frames), device).permute(0, 3, 1, 2).float()
    margins = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    if any(margins):
        pixels = functional.pad(pixels, margins, mode="constant", value=114.0)
    return pixels.contiguous(memory_format=torch.channels_last)


class SmallModel:
    """A loaded embedded model.

    On the CPU it runs one frame at a time: convolution kernels are chosen by batch size and differ in the last digit,
    and what is said of a frame shall not depend on its batch. A batch gains little there (12 % on one thread).
    """

    def __init__(
        self,
        network: SmallNetwork | Callable[[torch.Tensor], Heads],
        classes: Classes,
        model: Model,
        device: str,
        execution: Execution = PLAIN,
    ) -> None:
        """Take over `network`, folded for inference where it is torch's; `classes` in the order of its channels."""
        if isinstance(network, SmallNetwork):
            network = folded(network).to(device).to(memory_format=torch.channels_last)
        self.network = steered(network, execution, device)
        self._device = torch.device(device)
        self._model = model
        self._object_ids = torch.tensor(list(classes["object"]), dtype=torch.int64)
        self._semantic_ids = np.array(list(classes["semantic"]), dtype=np.uint8)
        self._has_labels = bool(classes["label"])
        self.tasks = frozenset(task for kind, task in _TASKS.items() if classes[kind])

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """Boxes above `score_threshold` after suppression, clipped to the frame; label map; label probabilities.

        Raises:
            InputError: the network gave NaN.
        """
        outputs: list[Output] = []
        start = 0
        while start < len(frames):
            shape = frames[start].shape
            stop = start + 1
            while self._device.type != "cpu" and stop < len(frames) and frames[stop].shape == shape:
                stop += 1
            outputs.extend(self._predict_alike(np.stack(frames[start:stop])))
            start = stop
        return outputs

    @torch.inference_mode()
    def _predict_alike(self, frames: npt.NDArray[np.uint8]) -> list[Output]:
        """Outputs for frames of one size, uint8 (B, H, W, 3)."""
        mark("preprocess")
        height, width = frames.shape[1:3]
        pixels = padded(frames, self._device)
        mark("infer")
        heads = self.network(pixels)
        mark("postprocess")
        refuse_nan(heads, "outputs", who=self._model.weights_path.name)
        probabilities = heads.label.softmax(dim=1).cpu().numpy() if self._has_labels else None
        label_maps = self._label_maps(heads.semantic, height, width) if len(self._semantic_ids) else None
        outputs = []
        for index, (boxes, scores, classes) in enumerate(decode_boxes(heads, self._model.score_threshold)):
            boxes[:, 0::2].clamp_(0, width)
            boxes[:, 1::2].clamp_(0, height)
            whole = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero().squeeze(1)
            boxes, scores, classes = boxes[whole], scores[whole], classes[whole]
            kept, left = suppress(boxes, scores, classes, model=self._model)
            outputs.append(
                Output(
                    boxes=boxes[kept].cpu().numpy(),
                    scores=left.cpu().numpy(),
                    class_ids=self._object_ids[classes[kept].cpu()].numpy(),
                    label_map=None if label_maps is None else label_maps[index],
                    probabilities=None if probabilities is None else probabilities[index],
                )
            )
        return outputs

    def _label_maps(self, logits: torch.Tensor, height: int, width: int) -> npt.NDArray[np.uint8]:
        """uint8 (B, H, W): logits upsampled bilinearly to the frame's own resolution, then the largest."""
        full = functional.interpolate(logits, scale_factor=float(STRIDE), mode="bilinear", align_corners=False)
        best = full[:, :, :height, :width].argmax(dim=1)
        maps: npt.NDArray[np.uint8] = self._semantic_ids[best.cpu().numpy()]
        return maps


def folded(network: SmallNetwork) -> SmallNetwork:
    """The same network for inference, each batch norm merged into the convolution before it."""
    network.eval()
    _fold(network)
    return network


def _fold(module: nn.Module) -> None:
    """Merge each batch norm into the convolution before it, in place."""
    for name, child in list(module.named_children()):
        layers = list(child.children()) if isinstance(child, nn.Sequential) else []
        if len(layers) >= 2 and isinstance(layers[0], nn.Conv2d) and isinstance(layers[1], nn.BatchNorm2d):
            setattr(module, name, nn.Sequential(fuse_conv_bn_eval(layers[0], layers[1]), *layers[2:]))
        else:
            _fold(child)


def read_classes(weights: Path) -> dict[str, dict[int, str]]:
    """Names by kind and class id, from a file of weights.

    Raises:
        InputError: it is none of this adapter.
    """
    if weights.suffix in exported.ENDINGS.values():
        return exported.classes_of(weights)
    try:
        with safe_open(str(weights), framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights} is not a readable safetensors file ({error}): train the model again.") from None
    said = json.loads(metadata.get(FORMAT, "{}"))
    if said.get("version") != _FILE_VERSION:
        raise InputError(
            f"{weights} does not fit adapter 'small': expected metadata format '{FORMAT}' version {_FILE_VERSION}, "
            f"got {', '.join(metadata) or 'none'} version {said.get('version')}; train the model again."
        )
    classes = said["classes"]
    return {kind: {int(key): name for key, name in classes[kind].items()} for kind in _TASKS}


ADAPTER: Final = Adapter(version=VERSION, check=check, describe=describe, load=load, torch=True)
