"""The embedded models' network in other runtimes: ONNX and TorchScript files with its heads and class names."""

import json
import os
import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from tasks.errors import InputError, brief
from tasks.models import onnx
from tasks.models.network import MULTIPLE, Heads, SmallNetwork

ENDINGS: Final = {"onnx": ".onnx", "torchscript": ".pt"}
"""By the name of the form. A file of this adapter with another ending is its own form, safetensors."""

_KEY: Final = "stormglass-small"
_OPSET: Final = 17
_EXAMPLE: Final = (1, 3, 2 * MULTIPLE, 3 * MULTIPLE)


def write(form: str, network: SmallNetwork, classes: Mapping[str, Mapping[int, str]], path: Path) -> None:
    """Write `network` to `path`, whole or not at all; any number of frames of any size fits it.

    Args:
        form: a key of `ENDINGS`.
        network: in evaluation mode, on the CPU.
        classes: kind -> class id -> name.
        path: the file.

    Raises:
        InputError: the package that the form needs is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    told = json.dumps({kind: dict(names) for kind, names in classes.items()}, sort_keys=True)
    example = torch.full(_EXAMPLE, 114.0)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Both ways of tracing are called deprecated; the newer ones need further packages for the same file.
            warnings.simplefilter("ignore")
            if form == "onnx":
                _write_onnx(network, example, told, temporary)
            else:
                traced: Any = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
                torch.jit.save(traced, str(temporary), _extra_files={_KEY: told})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_onnx(network: SmallNetwork, example: torch.Tensor, told: str, path: Path) -> None:
    package = onnx.package()
    free = {0: "frames", 2: "height", 3: "width"}
    names = {name: free if name != "label" else {0: "frames"} for name in ("pixels", *Heads._fields)}
    torch.onnx.export(
        network,
        (example,),
        str(path),
        input_names=["pixels"],
        output_names=list(Heads._fields),
        dynamic_axes=names,
        opset_version=_OPSET,
        dynamo=False,
    )
    proto = package.load(str(path))
    entry = proto.metadata_props.add()
    entry.key, entry.value = _KEY, told
    path.write_bytes(proto.SerializeToString())


def classes_of(weights: Path) -> dict[str, dict[int, str]]:
    """The class names in an exported file.

    Raises:
        InputError: it is no such file.
    """
    if weights.suffix == ENDINGS["onnx"]:
        told = onnx.open_session(weights, "cpu", threads=1).get_modelmeta().custom_metadata_map.get(_KEY, "")
    else:
        _, told = _script(weights, "cpu")
    if not told:
        raise InputError(f"{weights} does not fit adapter 'small': it is no file that `stormglass export` wrote.")
    return {kind: {int(key): name for key, name in names.items()} for kind, names in json.loads(told).items()}


def load(weights: Path, device: str, threads: int | None) -> Callable[[torch.Tensor], Heads]:
    """The network of an exported file: float32 (B, 3, H, W) on `device` to heads there.

    Raises:
        InputError: it is no such file, or the runtime is not there.
    """
    if weights.suffix == ENDINGS["onnx"]:
        return OnnxHeads(onnx.open_session(weights, device, threads=threads), device)
    script, _ = _script(weights, device)
    return lambda pixels: Heads(*script(pixels))


class OnnxHeads:
    """The network as onnxruntime runs it."""

    def __init__(self, session: Any, device: str) -> None:
        self.session = session
        self._device = device

    def __call__(self, pixels: torch.Tensor) -> Heads:
        """Heads of frames."""
        found = self.session.run(None, {"pixels": np.ascontiguousarray(pixels.cpu().numpy())})
        return Heads(*(torch.from_numpy(head).to(self._device) for head in found))


def _script(weights: Path, device: str) -> tuple[Any, str]:
    extra: dict[str, Any] = {_KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "deprecated": what replaces it reads other files
            script = torch.jit.load(str(weights), map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        reason = brief(error)
        raise InputError(f"{weights} is not a TorchScript file that torch can read ({reason}).") from None
    told = extra[_KEY]
    return script, told.decode() if isinstance(told, bytes) else told
