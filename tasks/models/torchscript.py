"""The adapter of networks that carry their own code: TorchScript (.pt) and torch.export (.pt2).

Params say what the output means (`decoder`), how frames are prepared (`input`), and what the classes are (`classes`).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.export.passes import move_to_device_pass

from tasks.class_map import nearest
from tasks.errors import InputError
from tasks.models.checked import checked
from tasks.models.logits import Classifier, Mapper
from tasks.models.naming import without_background
from tasks.models.nms import suppress
from tasks.models.onnx import DECODERS
from tasks.models.outputs import Description, Output, Predictor, mark
from tasks.models.preprocess import Placement, check_input, prepare_input
from tasks.params import Model

VERSION: Final = 1

FORMS: Final[Mapping[str, str]] = {
    "detections": "object",
    "instances": "object",
    "boxes": "object",
    "semantic_logits": "semantic",
    "semantic_map": "semantic",
    "label_logits": "label",
    **dict.fromkeys(DECODERS, "object"),
}
"""What an output may be, by params' `decoder`, and the kind of its classes.

- `detections`: boxes (N, 4) xyxy in pixels of the input, labels (N,) and scores (N,), in a dict or a tuple, as
  torchvision's detectors give them: taken as they are. `instances`: with masks (N, 1, h, w) of the input, 0..1.
- `boxes`: like `detections`, but before suppression, which then follows params.
- `semantic_logits`: (1, K, h, w), or a dict with that as `out`; `semantic_map`: (1, h, w) of class ids, whole numbers,
  at the size of the input; `label_logits`: (1, K).
- The decoders of the adapter `onnx`: one tensor of rows.
"""

MASK_THRESHOLD: Final = 0.5


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow.

    Raises:
        InputError: no such decoder, no names of classes, or frames prepared as it cannot.
    """
    if model.decoder is None or model.decoder not in FORMS:
        given = "none" if model.decoder is None else f"'{model.decoder}'"
        raise InputError(f"Adapter 'torchscript' needs a decoder, got {given}{nearest(model.decoder or '', FORMS)}.")
    if model.classes is None:
        raise InputError("Adapter 'torchscript' needs classes: the file does not tell what the network's outputs mean.")
    if model.variant is not None or model.options:
        raise InputError("Adapter 'torchscript' has no variants and no options: remove these lines.")
    check_input(model.input)
    if FORMS[model.decoder] == "semantic" and model.input.crop is not None:
        raise InputError("input.crop leaves parts of the frame unseen: a label map cannot tell what is there.")


def describe(model: Model, weights: Path) -> Description:
    """The classes that params name. Of objects a leading background is left out, and the others count from 1."""
    assert isinstance(model.classes, tuple)  # resolved
    kind = FORMS[str(model.decoder)]
    names = list(model.classes)
    first = 0
    if kind == "object" and len(names) > 1:
        names = without_background(names)
        first = len(model.classes) - len(names)
    classes = {first + place: name for place, name in enumerate(names)}
    tasks = {"object": ["detection"], "semantic": ["semantic"], "label": ["classification"]}[kind]
    if model.decoder == "instances":
        tasks = ["detection", "instance"]
    return {**{each: classes if each == kind else {} for each in ("object", "semantic", "label")}, "tasks": tasks}


def load(model: Model, *, weights: Path, device: str, threads: int | None) -> Predictor:
    """The network on `device`; `threads` is the process's matter here (`torch.set_num_threads`).

    Raises:
        InputError: the file is neither TorchScript nor an exported program.
    """
    network = _open(weights, device)
    described = describe(model, weights)
    kind = FORMS[str(model.decoder)]
    if kind == "object":
        return Detector(network, model, described, weights, device)
    if model.decoder == "semantic_map":
        return ClassMaps(network, model, described, weights, device)
    count = len(described[kind])

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        # One by one: an exported network may take no other batch.
        return torch.cat([_logits(network(one[None]), kind, count, weights) for one in pixels])

    return (Mapper if kind == "semantic" else Classifier)(forward, model.input, device)


class Detector:
    """Finds objects, one frame at a time."""

    def __init__(
        self, network: Callable[..., Any], model: Model, described: Description, weights: Path, device: str
    ) -> None:
        """Take over `network`."""
        self._network = network
        self._model = model
        self._described = described
        self._weights = weights
        self._device = torch.device(device)
        self._as_list = _takes_a_list(network)
        self.tasks = frozenset(described["tasks"])

    @torch.inference_mode()
    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """Boxes above `score_threshold` in pixels of each frame.

        Raises:
            InputError: the network's output is not what the decoder wants.
        """
        outputs = []
        for frame in frames:
            mark("preprocess")
            pixels, placement = prepare_input(frame, self._model.input)
            pixels = pixels.to(self._device)
            mark("infer")
            said = self._network([pixels]) if self._as_list else self._network(pixels[None])
            mark("postprocess")
            found = self._read(said, placement, frame.shape)
            outputs.append(checked(found, frame.shape, self._described, who=self._weights.name))
        return outputs

    def _read(self, said: Any, placement: Placement, shape: tuple[int, ...]) -> dict[str, Any]:
        """The fields of an output, in pixels of the frame."""
        model = self._model
        masks = None
        if model.decoder in DECODERS:
            boxes, scores, class_ids = self._decoded(said, placement)
        else:
            parts = _parts(said, self._weights, with_masks=model.decoder == "instances")
            above = parts["scores"] > model.score_threshold
            boxes, scores, class_ids = (parts[name][above] for name in ("boxes", "scores", "labels"))
            if model.decoder == "instances":
                whole = parts["masks"][above].reshape(-1, *parts["masks"].shape[-2:])
                frame = {"height_px": shape[0], "width_px": shape[1]}
                found = [placement.values_to_frame(mask[None], **frame)[0] > MASK_THRESHOLD for mask in whole]
                masks = np.stack([mask.cpu().numpy() for mask in found]) if found else np.zeros((0, *shape[:2]), bool)
        if model.decoder not in ("detections", "instances"):
            kept, scores = suppress(boxes, scores, class_ids, model=model)
            boxes, class_ids = boxes[kept], class_ids[kept]
        return {
            "boxes": placement.to_frame(boxes.cpu().numpy().astype(np.float64)),
            "scores": scores,
            "class_ids": class_ids,
            **({} if masks is None else {"masks": masks}),
        }

    def _decoded(self, said: Any, placement: Placement) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = said[0] if isinstance(said, tuple | list) else said
        if not isinstance(rows, torch.Tensor) or rows.ndim != 3 or len(rows) != 1:
            raise _unfit(self._weights, f"decoder '{self._model.decoder}' wants one tensor (1, rows, columns)", said)
        boxes, scores, class_ids = DECODERS[str(self._model.decoder)](
            rows[0].float().cpu().numpy(),
            height_px=placement.input_height_px,
            width_px=placement.input_width_px,
            score_threshold=self._model.score_threshold,
        )
        return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(class_ids)


class ClassMaps:
    """Names each pixel's class by itself, one frame at a time."""

    tasks = frozenset({"semantic"})

    def __init__(
        self, network: Callable[..., Any], model: Model, described: Description, weights: Path, device: str
    ) -> None:
        """Take over `network`."""
        self._network = network
        self._settings = model.input
        self._described = described
        self._weights = weights
        self._device = torch.device(device)

    @torch.inference_mode()
    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """Label maps: each pixel of the frame is what lies under its centre in the input.

        Raises:
            InputError: the network's output is no such map.
        """
        outputs = []
        for frame in frames:
            mark("preprocess")
            pixels, placement = prepare_input(frame, self._settings)
            size = (1, placement.input_height_px, placement.input_width_px)
            mark("infer")
            said = self._network(pixels[None].to(self._device))
            mark("postprocess")
            if not isinstance(said, torch.Tensor) or said.is_floating_point() or tuple(said.shape) != size:
                raise _unfit(self._weights, f"expected class ids of shape {size}, whole numbers", said)
            there = said[0].cpu().numpy()
            found = {"label_map": placement.classes_to_frame(there, height_px=frame.shape[0], width_px=frame.shape[1])}
            outputs.append(checked(found, frame.shape, self._described, who=self._weights.name))
        return outputs


def _open(weights: Path, device: str) -> Callable[..., Any]:
    try:
        if weights.suffix == ".pt2":
            program = torch.export.load(str(weights))
            if device != "cpu":
                program = move_to_device_pass(program, device)
            module: Callable[..., Any] = program.module()
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch would rather have everybody export
            return torch.jit.load(str(weights), map_location=device).eval()  # type: ignore[no-any-return,no-untyped-call]
    except Exception as error:  # of many undocumented kinds
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{weights} is neither TorchScript (.pt, torch.jit.save) nor an exported program (.pt2, torch.export.save) "
            f"({reason}); a state dict of torchvision's networks wants adapter 'torchvision'."
        ) from None


def _takes_a_list(network: Callable[..., Any]) -> bool:
    """Whether the network wants a list of images (3, h, w), as torchvision's detectors do, not a batch."""
    if isinstance(network, torch.jit.ScriptModule):
        schema: Any = network.forward.schema  # type: ignore[attr-defined]
        return len(schema.arguments) > 1 and bool(schema.arguments[1].type.kind() == "ListType")
    return False


def _parts(said: Any, weights: Path, *, with_masks: bool) -> dict[str, torch.Tensor]:
    """boxes, labels, scores, masks by name, from a dict, a list of one, (losses, [dict]), or tensors in a tuple."""
    found = said
    while isinstance(found, tuple | list) and found and not isinstance(found[0], torch.Tensor):
        found = found[-1]
    if isinstance(found, tuple | list):
        found = _by_shape(found)
    wanted = ["boxes", "labels", "scores", *(["masks"] if with_masks else [])]
    if not isinstance(found, Mapping) or not all(isinstance(found.get(name), torch.Tensor) for name in wanted):
        raise _unfit(weights, f"expected {', '.join(wanted)}", said)
    return {name: found[name] for name in wanted}


def _by_shape(tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What each of a traced network's tensors is: floats (N, 4), whole numbers (N,), floats (N,), floats of 3 or 4."""
    named: dict[str, torch.Tensor] = {}
    for tensor in tensors:
        if tensor.ndim == 1:
            named["scores" if tensor.is_floating_point() else "labels"] = tensor
        elif tensor.ndim == 2 and tensor.shape[1] == 4:
            named["boxes"] = tensor
        elif tensor.ndim in (3, 4):
            named["masks"] = tensor
    return named


def _logits(said: Any, kind: str, count: int, weights: Path) -> torch.Tensor:
    found = said["out"] if isinstance(said, Mapping) and "out" in said else said
    ndim, shape = (4, f"(1, {count}, h, w)") if kind == "semantic" else (2, f"(1, {count})")
    if not isinstance(found, torch.Tensor) or found.ndim != ndim or found.shape[1] != count:
        raise _unfit(weights, f"expected logits of shape {shape} for the {count} classes of params", said)
    return found


def _unfit(weights: Path, expected: str, said: Any) -> InputError:
    return InputError(f"{weights.name}: {expected}, the network gave {_shape(said)}.")


def _shape(said: Any) -> str:
    if isinstance(said, torch.Tensor):
        return f"a tensor {tuple(said.shape)}"
    if isinstance(said, Mapping):
        return f"a dict of {', '.join(map(str, said))}"
    if isinstance(said, tuple | list):
        return f"{len(said)} values: {'; '.join(_shape(one) for one in said[:4])}"
    return f"a {type(said).__name__}"
