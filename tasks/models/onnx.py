"""Detectors in ONNX files, run by onnxruntime on the CPU or a CUDA device."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from tasks.class_map import named, nearest
from tasks.errors import InputError
from tasks.models import yolox
from tasks.models.nms import suppress
from tasks.models.outputs import Description, Output, mark
from tasks.models.preprocess import Placement, check_input, place, prepare_input
from tasks.params import Model, ModelInput

VERSION: Final = 2

Decoder = Callable[..., tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]]

DECODERS: Final[Mapping[str, Decoder]] = {"yolox": yolox.decode}
"""How a network's raw output becomes boxes, by params' `decoder`."""

BATCH_TOLERANCE: Final = 1e-5
"""Largest difference, relative to the largest output, that a batched run may show against one frame at a time."""


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow.

    Raises:
        InputError: no such decoder, or a resize without a size.
    """
    if model.decoder not in DECODERS:
        given = "none" if model.decoder is None else f"'{model.decoder}'"
        raise InputError(f"Adapter 'onnx' needs a decoder, got {given}{nearest(model.decoder or '', DECODERS)}.")
    check_input(model.input)


def describe(model: Model, weights: Path) -> Description:
    """The model's classes: named by a built-in class_map, by the file's own `names` or labelled by their index."""
    session = open_session(weights, "cpu", threads=1)
    outputs = session.get_outputs()
    columns = outputs[0].shape[-1]
    if not isinstance(columns, int) or columns < 6:
        raise InputError(
            f"{weights} does not fit decoder '{model.decoder}': expected an output with 5 + classes columns, "
            f"got shape {outputs[0].shape}."
        )
    classes: Mapping[int, str] = {index: str(index) for index in range(columns - 5)}
    if isinstance(model.class_map, str):
        classes = named(model.class_map, classes)
    return {"object": dict(classes), "semantic": {}, "label": {}, "tasks": ["detection"]}


def load(model: Model, *, weights: Path, device: str, threads: int | None) -> "OnnxDetector":
    """The network on `device` ('cpu', 'cuda' or 'cuda:N'), tried once on a blank frame.

    Raises:
        InputError: onnxruntime is not installed or has no CUDA, the file is not ONNX, or its shapes do not fit params.
    """
    session = open_session(weights, device, threads=threads)
    detector = OnnxDetector(session, model, batched=False)
    height, width = model.input.size or detector.fixed_size or (416, 416)
    detector.predict([np.zeros((height, width, 3), np.uint8)])
    if device != "cpu":
        # On the CPU one frame a call is as fast, and gives the same digits for every batch size.
        content = dynamic_batch(weights)
        if content is not None:
            batched = open_session(weights, device, threads=threads, content=content)
            if agrees(session, batched):
                return OnnxDetector(batched, model, batched=True)
    return detector


class OnnxDetector:
    """A loaded ONNX detector."""

    tasks = frozenset({"detection"})

    def __init__(self, session: Any, model: Model, *, batched: bool) -> None:
        """`batched`: the session takes any number of frames at once."""
        self.session = session
        self._decode = DECODERS[str(model.decoder)]
        self._model = model
        self._batched = batched
        self._input = session.get_inputs()[0]
        shape = self._input.shape
        if len(shape) != 4 or self._input.type != "tensor(float)" or (isinstance(shape[1], int) and shape[1] != 3):
            raise InputError(
                f"{model.weights_path.name}: expected one input of float32 (N, 3, H, W), "
                f"got {self._input.type} {tuple(shape)}."
            )
        fixed = tuple(shape[2:])
        self.fixed_size = fixed if all(isinstance(length, int) for length in fixed) else None
        wanted = model.input.size
        if wanted is not None and self.fixed_size is not None and tuple(wanted) != self.fixed_size:
            raise InputError(
                f"{model.weights_path.name} takes an input of {fixed[1]}x{fixed[0]} px, params say input.size "
                f"[{wanted[0]}, {wanted[1]}] (height, width): set it to [{fixed[0]}, {fixed[1]}]."
            )
        self._settings: ModelInput = model.input
        if wanted is None and self.fixed_size is not None:
            self._settings = model.input.model_copy(update={"size": self.fixed_size})

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """Boxes above `score_threshold` after suppression, in frame pixels, unclipped."""
        outputs: list[Output] = []
        keyed = itertools.groupby(frames, key=lambda frame: place(frame.shape[0], frame.shape[1], self._settings))
        for placement, group in keyed:
            members = list(group)
            step = len(members) if self._batched else 1
            for start in range(0, len(members), step):
                mark("preprocess")
                pixels = torch.stack(
                    [prepare_input(frame, self._settings)[0] for frame in members[start : start + step]]
                )
                mark("infer")
                raw = self.session.run(None, {self._input.name: pixels.numpy()})[0]
                mark("postprocess")
                size = (int(pixels.shape[2]), int(pixels.shape[3]))
                outputs.extend(self._finish(rows, placement, size) for rows in raw)
        return outputs

    def _finish(self, rows: npt.NDArray[np.float32], placement: Placement, size: tuple[int, int]) -> Output:
        boxes, scores, class_ids = self._decode(
            rows, height_px=size[0], width_px=size[1], score_threshold=self._model.score_threshold
        )
        survivors, left = suppress(
            torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(class_ids), model=self._model
        )
        kept = survivors.numpy()
        exact = placement.to_frame(boxes[kept].astype(np.float64))
        return Output(boxes=exact.astype(np.float32), scores=left.numpy(), class_ids=class_ids[kept])


def dynamic_batch(weights: Path) -> bytes | None:
    """The file with a batch dimension of any length, or None where it has one already or cannot be rewritten.

    Sets the first dimension of inputs and outputs free, forgets inferred shapes, and turns a leading 1 in the target of
    a Reshape into 0, which copies the input's dimension. Whether the result is right is for `agrees` to find out.
    """
    try:
        import onnx
    except ImportError:
        return None
    proto = onnx.load(str(weights))
    graph = proto.graph
    batch = [value.type.tensor_type.shape.dim[0] for value in (*graph.input, *graph.output)]
    if not all(dimension.dim_value == 1 for dimension in batch):
        return None
    for dimension in batch:
        dimension.dim_param = "batch"
    del graph.value_info[:]
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        tensor = constants[node.input[1]]
        target = onnx.numpy_helper.to_array(tensor).copy()
        if target.ndim == 1 and target.size and target[0] == 1:
            target[0] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(target, tensor.name))
    content: bytes = proto.SerializeToString()
    return content


def agrees(session: Any, batched: Any) -> bool:
    """Whether `batched` gives for two frames of noise what `session` gives for each, within BATCH_TOLERANCE."""
    entry = session.get_inputs()[0]
    shape = [length if isinstance(length, int) else 416 for length in entry.shape[1:]]
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype(np.float32)
    alone = [session.run(None, {entry.name: noise[i : i + 1]})[0] for i in range(2)]
    try:
        together = batched.run(None, {entry.name: noise})[0]
    except Exception:  # onnxruntime raises its own, undocumented, kinds
        return False
    expected = np.concatenate(alone)
    if together.shape != expected.shape:
        return False
    return bool(np.abs(together - expected).max() <= BATCH_TOLERANCE * max(float(np.abs(expected).max()), 1.0))


def open_session(weights: Path, device: str, *, threads: int | None, content: bytes | None = None) -> Any:
    """An onnxruntime session of a file, or of `content` in its place.

    Raises:
        InputError: onnxruntime is not installed or has no CUDA, or the file is not ONNX.
    """
    runtime = _runtime()
    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        if "CUDAExecutionProvider" not in runtime.get_available_providers():
            raise InputError(
                f"Device '{device}' was asked for, and the onnxruntime here runs on the CPU alone: "
                "pip install onnxruntime-gpu, or set run.device: cpu."
            )
        index = int(device.partition(":")[2] or 0)
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": index}))
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = threads
    try:
        return runtime.InferenceSession(content if content is not None else str(weights), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own, undocumented, kinds
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{weights} is not an ONNX network that onnxruntime can run ({reason}).") from None


def package() -> ModuleType:
    """The package `onnx`, which reads and writes the files.

    Raises:
        InputError: it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise InputError("ONNX files are written by the package onnx: pip install stormglass[onnx].") from None
    return onnx  # type: ignore[no-any-return]


def _runtime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("Adapter 'onnx' needs onnxruntime: pip install stormglass[onnx].") from None
    return onnxruntime  # type: ignore[no-any-return]
