"""Networks in ONNX files, run by onnxruntime on the CPU or a CUDA device."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import torch

from tasks.class_map import named
from tasks.errors import InputError, brief
from tasks.models import decoders, onnx_batch
from tasks.models.decoded import predictor
from tasks.models.interface import Adapter
from tasks.models.outputs import Description, Predictor
from tasks.params import Model

VERSION: Final = 6

_TYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow.

    Raises:
        InputError: no such decoder, settings of other adapters, or a resize without a size.
    """
    decoders.check(model)


def describe(model: Model, weights: Path) -> Description:
    """The model's classes: named by a built-in class_map, by the file's own `names` or labelled by their index.

    Raises:
        InputError: the output has no room for classes, or neither it nor params tell how many there are.
    """
    return _described(open_session(weights, "cpu", threads=1), model, weights)


def load(model: Model, *, weights: Path, device: str, threads: int | None) -> Predictor:
    """The network on `device` ('cpu', 'cuda' or 'cuda:N'), tried once on noise where the size of frames is known.

    Raises:
        InputError: onnxruntime is not installed or has no CUDA, the file is not ONNX, or its shapes do not fit params.
    """
    session = open_session(weights, device, threads=threads)
    network = Network(session, weights.name)
    ready = _sized(model, network.fixed_size, weights)
    if network.wants_bytes and (ready.input.scale != 1 or any(ready.input.mean) or set(ready.input.std) != {1}):
        raise InputError(f"{weights.name} takes uint8, values of 0 to 255: remove input.scale, mean and std.")
    described = _described(session, model, weights)
    loaded = predictor(network, ready, described, who=weights.name, device="cpu")
    size = ready.input.size or network.fixed_size or ready.input.tile
    if size is not None:  # else the first frame tells whether the network takes its size
        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        loaded.predict([noise])  # a blank frame has no spread, by which a network may divide
    if device != "cpu":
        # On the CPU one frame a call is as fast, and gives the same digits for every batch size.
        content = None if network.any_batch else onnx_batch.freed(weights)
        if network.any_batch or content is not None:
            batched = session if content is None else open_session(weights, device, threads=threads, content=content)
            if onnx_batch.agrees(session, batched, network.dtype):
                together = Network(batched, weights.name)
                return predictor(together, ready, described, who=weights.name, device="cpu", batched=True)
    return loaded


def beside(weights: Path) -> list[Path]:
    """The files in which an ONNX file keeps its tensors: none, or those that its exporter wrote beside it.

    Raises:
        InputError: one of them is not there.
    """
    if b"location" not in weights.read_bytes():
        return []  # what is kept elsewhere has this word by its side; most files hold everything
    try:
        import onnx
    except ImportError:  # onnxruntime alone: by the names that exporters give them
        return sorted(weights.parent.glob(f"{weights.name}*data"))
    try:
        proto = onnx.load(str(weights), load_external_data=False)
    except Exception:  # not ONNX: loading it says so
        return []
    names = {
        entry.value
        for tensor in (*_tensors(proto.graph), *(one for function in proto.functions for one in _tensors(function)))
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = [weights.parent / name for name in sorted(names)]
    for file in files:
        if not file.is_file():
            raise InputError(f"{weights} keeps tensors in {file.name}, which is not beside it: copy both.")
    return files


def _tensors(graph: Any) -> Iterator[Any]:
    """The tensors of a graph or function: its own, those of its nodes, and those of the graphs within these."""
    yield from getattr(graph, "initializer", ())
    for sparse in getattr(graph, "sparse_initializer", ()):
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for within in (attribute.g, *attribute.graphs):
                yield from _tensors(within)


def _sized(model: Model, fixed: tuple[int, int] | None, weights: Path) -> Model:
    """The model with the size that the file fixes.

    Raises:
        InputError: params say another.
    """
    wanted = model.input.size
    if fixed is None or model.input.resize == "shorter_side":
        return model
    if wanted is not None and tuple(wanted) != fixed:
        raise InputError(
            f"{weights.name} takes an input of {fixed[1]}x{fixed[0]} px, params say input.size "
            f"[{wanted[0]}, {wanted[1]}] (height, width): set it to [{fixed[0]}, {fixed[1]}]."
        )
    return model.model_copy(update={"input": model.input.model_copy(update={"size": fixed})})


def _described(session: Any, model: Model, weights: Path) -> Description:
    decoder = decoders.DECODERS[str(model.decoder)]
    shapes = {entry.name: tuple(entry.shape) for entry in session.get_outputs()}
    count, own = decoder.count(shapes), _own_names(session)
    got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    if count is not None and count < 1:
        raise InputError(f"{weights} does not fit decoder '{model.decoder}': expected {decoder.outputs}, got {got}.")
    if count is None and not own and not isinstance(model.classes, tuple):
        raise InputError(
            f"{weights}: its outputs ({got}) do not tell how many classes there are for decoder '{model.decoder}', "
            f"which reads {decoder.outputs}: name them by classes, a list, a text file or a known set."
        )
    if count is None:
        classes = own or decoders.by_names(decoder, tuple(model.classes or ()))
    else:
        classes = own if set(own) == set(range(count)) else {index: str(index) for index in range(count)}
    if isinstance(model.class_map, str):
        try:
            classes = dict(named(model.class_map, classes))
        except InputError as error:
            read = f"Decoder '{model.decoder}' reads {decoder.outputs} from its outputs ({got}): is it the right one?"
            raise InputError(f"{error} {read}") from None
    return decoders.described(decoder, classes)


def _own_names(session: Any) -> dict[int, str]:
    """The class names that YOLO's exporters write into the file, or none."""
    try:
        names = ast.literal_eval(session.get_modelmeta().custom_metadata_map.get("names", ""))
    except (ValueError, SyntaxError):
        return {}
    if not isinstance(names, Mapping) or not all(isinstance(key, int) for key in names):
        return {}
    return {key: str(name) for key, name in names.items()}


class Network:
    """A session that takes frames: input (B, 3, h, w) float32 to outputs by name."""

    def __init__(self, session: Any, who: str) -> None:
        """Take over `session`; `who` is the file's name.

        Raises:
            InputError: it takes no frames.
        """
        self.session = session
        self._who = who
        entries = session.get_inputs()
        shape: list[Any] = list(entries[0].shape) if len(entries) == 1 else []
        # TensorFlow's networks have the channels last, torchvision's detectors take one frame without a batch.
        self._last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        sides = shape[1:3] if self._last else shape[-2:]
        channels = shape[3] if self._last else shape[-3] if len(shape) in (3, 4) else 0
        if len(entries) != 1 or entries[0].type not in _TYPES or (isinstance(channels, int) and channels != 3):
            got = ", ".join(f"{entry.name} of {entry.type} {tuple(entry.shape)}" for entry in entries)
            raise InputError(
                f"{who}: expected one input of float32, float16 or uint8 (N, 3, H, W), (N, H, W, 3) or (3, H, W), "
                f"got {got}."
            )
        self._name = entries[0].name
        self._alone = len(shape) == 3
        self.any_batch = len(shape) == 4 and not isinstance(shape[0], int)
        self.dtype = _TYPES[entries[0].type]
        self.wants_bytes = self.dtype is np.uint8
        fixed = isinstance(sides[0], int) and isinstance(sides[1], int)
        self.fixed_size: tuple[int, int] | None = (sides[0], sides[1]) if fixed else None
        self._outputs = [entry.name for entry in session.get_outputs()]

    def __call__(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Outputs of frames.

        Raises:
            InputError: onnxruntime cannot run the network on them.
        """
        given = pixels[0] if self._alone else pixels.permute(0, 2, 3, 1) if self._last else pixels
        if self.wants_bytes:
            given = given.round().clip(0, 255)
        feed = np.ascontiguousarray(given.cpu().numpy().astype(self.dtype, copy=False))
        try:
            found = self.session.run(None, {self._name: feed})
        except Exception as error:  # onnxruntime raises its own, undocumented, kinds
            reason = brief(error)
            raise InputError(f"{self._who}: onnxruntime cannot run it on an input {feed.shape} ({reason}).") from None
        return {name: torch.from_numpy(np.asarray(one)) for name, one in zip(self._outputs, found, strict=True)}


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
        reason = brief(error)
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


ADAPTER: Final = Adapter(version=VERSION, check=check, describe=describe, load=load, beside=beside)
