"""A simple ONNX network as a torch module: the few operators of convolutional detectors such as YOLOX, no more.

So that weights that came as ONNX run where torch has a GPU and onnxruntime has none.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Graph(nn.Module):
    """The nodes of a graph with one input and one output, one after the other."""

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx import numpy_helper

        super().__init__()
        graph = onnx.load(str(path)).graph
        self._names = {}
        for place, tensor in enumerate(graph.initializer):
            self._names[tensor.name] = f"tensor_{place}"
            self.register_buffer(f"tensor_{place}", torch.from_numpy(numpy_helper.to_array(tensor).copy()))
        self._input = next(one.name for one in graph.input if one.name not in self._names)
        self._output = graph.output[0].name
        self._nodes = [
            (
                node.op_type,
                list(node.input),
                node.output[0],
                {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute},
            )
            for node in graph.node
        ]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """The output for an input (N, 3, H, W)."""
        found: dict[str, Any] = {name: getattr(self, own) for name, own in self._names.items()}
        found[self._input] = pixels
        for kind, given, made, settings in self._nodes:
            found[made] = _run(kind, [found.get(name) for name in given], settings)
        said: torch.Tensor = found[self._output]
        return said


def _run(kind: str, given: list[Any], settings: dict[str, Any]) -> torch.Tensor:
    first = given[0]
    if kind == "Conv":
        pads = settings.get("pads", [0, 0, 0, 0])
        padded = functional.pad(first, (pads[1], pads[3], pads[0], pads[2])) if any(pads) else first
        return functional.conv2d(
            padded,
            given[1],
            given[2] if len(given) > 2 else None,
            stride=settings.get("strides", [1, 1]),
            dilation=settings.get("dilations", [1, 1]),
            groups=settings.get("group", 1),
        )
    if kind == "MaxPool":
        return functional.max_pool2d(
            first, settings["kernel_shape"], stride=settings["strides"], padding=settings["pads"][:2]
        )
    if kind == "Slice":
        places = [slice(None)] * first.ndim
        starts, ends, axes, steps = (one.tolist() for one in given[1:5])
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            places[axis] = slice(start, end, step)
        return first[tuple(places)]
    if kind == "Resize" and settings["mode"] == b"nearest":
        return functional.interpolate(first, scale_factor=given[2].tolist()[2:], mode="nearest")
    simple = {
        "Sigmoid": lambda: first.sigmoid(),
        "Mul": lambda: first * given[1],
        "Add": lambda: first + given[1],
        "Concat": lambda: torch.cat(given, dim=settings["axis"]),
        "Reshape": lambda: first.reshape(given[1].tolist()),
        "Transpose": lambda: first.permute(settings["perm"]),
    }
    if kind not in simple:
        raise ValueError(f"expected a simple convolutional network, got the operator {kind}")
    return simple[kind]()


def script(path: Path, target: Path, size: tuple[int, int]) -> None:
    """Write the network of an ONNX file as TorchScript, for an input of one frame of `size` (height, width)."""
    with torch.no_grad():
        traced: Any = torch.jit.trace(Graph(path).eval(), torch.zeros(1, 3, *size))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(target))
