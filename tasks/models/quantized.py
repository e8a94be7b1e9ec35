"""Static int8 versions of ONNX files: what a convolution sees on calibration frames sets its scales."""

import contextlib
import io
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError, brief
from tasks.models.outputs import Predictor

QUANTIZED: Final = ("Conv", "Gemm", "MatMul")
"""Operations whose inputs and weights become int8; all else (the exponentials of box decoding, softmax) stays float."""

Feed = dict[str, npt.NDArray[np.float32]]
"""What a session is given, by the names of its inputs."""

_PERCENTILE: Final = 99.999

_BY_CHANNEL: Final = 13
"""The first version of ONNX's operations whose DequantizeLinear takes a scale for each channel."""


def write(source: Path, target: Path, predictor: Predictor, frames: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Write the int8 version of the ONNX file `source` to `target`, whole or not at all.

    Weights are int8 by channel, activations int8 by tensor (QDQ), their ranges what all but a hundred-thousandth of the
    values on the frames lie in: the extremes alone would leave depthwise networks a few of the 256 steps. Memory holds
    the activations of a frame.

    Args:
        source: the float file.
        target: the int8 file.
        predictor: the model of `source`, whose network runs in onnxruntime: behind tiles and `network`s.
        frames: calibration frames, uint8 RGB (H, W, 3).

    Raises:
        InputError: the model does not run in onnxruntime, or its file is quantized already or cannot be.
    """
    try:
        from onnxruntime import InferenceSession, quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise InputError("Quantizing needs onnx and onnxruntime: pip install stormglass[onnx].") from None
    count = sum(1 for _ in inputs(predictor, frames))
    _refuse_int8(source)
    with _quiet(), tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        ready, made = Path(scratch) / "ready.onnx", Path(scratch) / "int8.onnx"
        try:
            quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
            _modern(ready)
            quantization.quantize_static(
                str(ready),
                str(made),
                _Feeds(count, inputs(predictor, frames)),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTIZED),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": _PERCENTILE, "CalibStridedMinMax": 1},
            )
            InferenceSession(str(made), providers=["CPUExecutionProvider"])  # what does not load is not kept
        except Exception as error:  # onnxruntime raises its own, undocumented, kinds
            reason = brief(error)
            raise InputError(f"{source} cannot be quantized by onnxruntime ({reason}).") from None
        _keep_metadata(source, made)
        shutil.copymode(source, made)
        made.replace(target)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Onnxruntime prints what it is doing, and warns in the root's name."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)


def _modern(file: Path) -> None:
    """Write the network with operations new enough for weights by channel, where they are older."""
    import onnx
    from onnx import version_converter

    proto = onnx.load(str(file))
    version = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    if version < _BY_CHANNEL:
        onnx.save(version_converter.convert_version(proto, _BY_CHANNEL), str(file))


def _refuse_int8(source: Path) -> None:
    import onnx

    try:
        kinds = {node.op_type for node in onnx.load(str(source), load_external_data=False).graph.node}
    except Exception as error:  # of protobuf, which onnx passes on
        raise InputError(f"{source} cannot be read by the package onnx ({brief(error)}).") from None
    whole = sorted(
        kind for kind in kinds if "quantize" in kind.lower() or kind.startswith("QLinear") or kind.endswith("Integer")
    )
    if whole:
        raise InputError(
            f"{source} is quantized already (it holds {', '.join(whole)}): quantize the float file that it came from."
        )


def inputs(predictor: Predictor, frames: Sequence[npt.NDArray[np.uint8]]) -> Iterator[Feed]:
    """What the model's session is given for `frames`, one after the other: its own preprocessing, whatever that is.

    Raises:
        InputError: the model does not run in onnxruntime.
    """
    holder: Any = predictor
    while not hasattr(holder, "session") and (within := _within(holder)) is not None:
        holder = within
    if not hasattr(holder, "session"):
        raise InputError("Only a model that runs in onnxruntime can be quantized: export it to ONNX first.")
    session = holder.session
    seen: list[Feed] = []

    class Listening:
        """The session, noting what it is given."""

        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

        def run(self, outputs: Any, feed: Feed) -> Any:
            seen.extend(_alone(feed))
            return session.run(outputs, feed)

    for frame in frames:
        holder.session = Listening()
        try:
            predictor.predict([frame])
        finally:
            holder.session = session
        yield from seen
        seen.clear()


def _within(holder: Any) -> Any:
    """What a loaded model hands its frames on to: the model behind tiles, or its network; None at the end."""
    return getattr(holder, "inner", None) or getattr(holder, "network", None)


def _alone(feed: Feed) -> list[Feed]:
    """A feed for each frame; a network that takes one without a batch, (3, H, W), has a single one."""
    if any(rows.ndim < 4 for rows in feed.values()):
        return [feed]
    return [{name: rows[at : at + 1] for name, rows in feed.items()} for at in range(len(next(iter(feed.values()))))]


class _Feeds:
    """A CalibrationDataReader: the next feed of the range that is asked for, then None; ranges follow one another."""

    def __init__(self, count: int, feeds: Iterator[Feed]) -> None:
        self._count = count
        self._feeds = feeds
        self.set_range(0, count)

    def __len__(self) -> int:
        return self._count

    def get_next(self) -> Feed | None:
        return next(self._range, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._range: Iterator[Feed] = islice(self._feeds, end_index - start_index)


def _keep_metadata(source: Path, made: Path) -> None:
    """What the float file says of itself, such as class names, is said by the int8 file too."""
    import onnx

    said, proto = onnx.load(str(source), load_external_data=False), onnx.load(str(made))
    known = {entry.key for entry in proto.metadata_props}
    proto.metadata_props.extend(entry for entry in said.metadata_props if entry.key not in known)
    onnx.save(proto, str(made))
