"""Several frames at once through a network whose ONNX file was fixed at one: rewritten, and tried."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

TOLERANCE: Final = 1e-5
"""Largest difference, relative to the largest output, that a batched run may show against one frame at a time."""


def freed(weights: Path) -> bytes | None:
    """The file, fixed at one frame, with a batch dimension of any length, or None where it cannot be rewritten.

    Sets the first dimension of inputs and outputs free, forgets inferred shapes, and turns a leading 1 in the target of
    a Reshape into 0, which copies the input's dimension. Whether the result is right is for `agrees` to find out.
    """
    try:
        import onnx
    except ImportError:
        return None
    proto = onnx.load(str(weights))
    graph = proto.graph
    shapes = [value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output)]
    batch = [shape[0] for shape in shapes if shape]
    if len(batch) < len(shapes) or not all(dimension.dim_value == 1 for dimension in batch):
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


def agrees(session: Any, batched: Any, dtype: npt.DTypeLike) -> bool:
    """Whether `batched` gives for two frames of noise of `dtype` what `session` gives for each, within TOLERANCE."""
    entry = session.get_inputs()[0]
    shape = [length if isinstance(length, int) else 416 for length in entry.shape[1:]]
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype(dtype)
    alone = [session.run(None, {entry.name: noise[i : i + 1]}) for i in range(2)]
    try:
        together = batched.run(None, {entry.name: noise})
    except Exception:  # onnxruntime raises its own, undocumented, kinds
        return False
    return all(_same(np.concatenate(parts), whole) for *parts, whole in zip(*alone, together, strict=True))


def _same(expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    wanted, given = expected.astype(np.float64), found.astype(np.float64)
    return bool(np.abs(given - wanted).max(initial=0) <= TOLERANCE * max(float(np.abs(wanted).max(initial=0)), 1.0))
