"""The registry of decoders, and what both adapters make of networks whose output is logits."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models import onnx as adapter_onnx
from tasks.models import quantized
from tasks.models.decoders import DECODERS
from tests.exported_networks import letterboxed, model, predict, write
from tests.tasks.models.test_onnx import describe_and_load, spot
from tests.tasks.models.test_torchvision import image, made_up

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
ADAPTERS = pytest.mark.parametrize("adapter", ["onnx", "torchscript"])
CLASSES = ["sky", "road", "car", "bus"]
UNIT = {"scale": 1 / 255}


class Maps(nn.Module):
    """Logits of four classes at a quarter of the input's size; or their best, at its size."""

    def __init__(self, best: bool = False) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.head = nn.Conv2d(3, 4, 4, 4)
        self.best = best

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = self.head((pixels - 0.5) * 9)
        return functional.interpolate(logits, scale_factor=4.0).argmax(dim=1) if self.best else logits


class Labels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.head = nn.Linear(3 * 16, 4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(functional.avg_pool2d(pixels, 16).flatten(1)) * 6


@pytest.mark.parametrize("name", DECODERS)
def test_the_page_has_a_line_for_each(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` .*$", PAGE, flags=re.MULTILINE)
    assert f"| {DECODERS[name].outputs} |" in row


@ADAPTERS
def test_an_unknown_decoder_is_told_the_known_ones(tmp_path: Path, adapter: str) -> None:
    for given, words in ((None, "got none; known: yolox, yolo11"), ("yolo_11", "did you mean 'yolo11'")):
        with pytest.raises(InputError) as raised:
            models.MODELS[adapter].check(model(adapter, decoder=given, classes=CLASSES))
        assert words in str(raised.value)
        assert all(name in str(raised.value) for name in DECODERS)
    crop = {"resize": "shorter_side", "shorter_side": 64, "crop": [32, 32]}
    for decoder in ("semantic_logits", "semantic_map", "yolo11_masks", "instances"):
        with pytest.raises(InputError, match=rf"input\.crop .* '{decoder}' cannot tell"):
            models.MODELS[adapter].check(model(adapter, decoder=decoder, classes=CLASSES, input=crop))
    with pytest.raises(InputError, match=f"Adapter '{adapter}' has no variants"):
        models.MODELS[adapter].check(model(adapter, decoder="yolo11", classes=CLASSES, options={"a": 1}))


@ADAPTERS
@pytest.mark.parametrize("decoder", ["semantic_logits", "semantic_map"])
@torch.inference_mode()
def test_maps_equal_the_network(tmp_path: Path, adapter: str, decoder: str) -> None:
    network = Maps(best=decoder == "semantic_map")
    write(network, tmp_path, adapter, torch.zeros(1, 3, 96, 128), ["out"])
    declared = {"resize": "letterbox", "size": [96, 128], **UNIT}
    ready = model(adapter, decoder=decoder, classes=CLASSES, input=declared)
    assert models.describe(ready, folder=tmp_path)["semantic"] == dict(enumerate(CLASSES))
    for frame in (made_up(90, 160), made_up(160, 90, 1)):
        (ours,) = predict(ready, tmp_path, [frame])
        pixels, (top, left, height, width) = letterboxed(frame, 96, 128)
        said = network(pixels)
        if decoder == "semantic_logits":
            whole = functional.interpolate(said, size=(96, 128), mode="bilinear")
            inner = whole[:, :, top : top + height, left : left + width]
            best = functional.interpolate(inner, size=frame.shape[:2], mode="bilinear").argmax(dim=1)[0].numpy()
        else:
            ys = ((np.arange(frame.shape[0]) + 0.5) * height / frame.shape[0] + top).astype(int)
            xs = ((np.arange(frame.shape[1]) + 0.5) * width / frame.shape[1] + left).astype(int)
            best = said[0].numpy()[np.ix_(ys, xs)]
        assert len(np.unique(best)) > 2
        np.testing.assert_array_equal(ours.label_map, best)


@ADAPTERS
@torch.inference_mode()
def test_labels_equal_the_network(tmp_path: Path, adapter: str) -> None:
    network = Labels()
    write(network, tmp_path, adapter, torch.zeros(1, 3, 64, 64), ["scores"])
    ready = model(
        adapter, decoder="label_logits", classes=CLASSES, input={"resize": "stretch", "size": [64, 64], **UNIT}
    )
    frame = made_up(90, 160)
    (ours,) = predict(ready, tmp_path, [frame])
    sized = functional.interpolate(image(frame)[None].float(), size=(64, 64), mode="bilinear").round() / 255
    expected = network(sized)[0].softmax(0).numpy()
    assert expected.max() > 0.3
    np.testing.assert_allclose(ours.probabilities, expected, atol=1e-5)


def test_half_precision_is_fed_as_such(tmp_path: Path) -> None:
    network = Labels()
    write(network.half(), tmp_path, "onnx", torch.zeros(1, 3, 64, 64, dtype=torch.float16), ["scores"])
    session = adapter_onnx.open_session(tmp_path / "net.onnx", "cpu", threads=1)
    assert session.get_inputs()[0].type == "tensor(float16)"
    ready = model("onnx", decoder="label_logits", input={"resize": "stretch", "size": [64, 64], **UNIT})
    assert models.describe(ready, folder=tmp_path)["label"] == {0: "0", 1: "1", 2: "2", 3: "3"}
    frame = made_up(64, 64)
    (ours,) = predict(ready, tmp_path, [frame])
    with torch.inference_mode():
        expected = network.float()(image(frame)[None].float() / 255)[0].softmax(0).numpy()
    np.testing.assert_allclose(ours.probabilities, expected, atol=5e-3)
    assert ours.probabilities.dtype == np.float32


class Spotted(nn.Module):
    """As torchvision's detectors are exported: one frame without a batch, boxes, labels, scores and masks of what is
    bright, and once more, lower."""

    def forward(self, frame: torch.Tensor) -> Any:
        bright = (frame[0] > 0.5).float()
        rows, columns = bright.amax(dim=1), bright.amax(dim=0)
        down, across = torch.arange(rows.shape[0]), torch.arange(columns.shape[0])
        low = [(at + 1e6 * (1 - there)).min() for at, there in ((across, columns), (down, rows))]
        high = [((at + 1) * there).max() for at, there in ((across, columns), (down, rows))]
        box = torch.stack([*map(torch.minimum, low, high), *high])
        masks = torch.stack([bright, bright * 0.4])[:, None]
        return torch.stack([box, box + 1]), torch.tensor([1, 2]), torch.tensor([0.7, 0.9]), masks


@pytest.mark.parametrize("decoder", ["detections", "instances", "boxes"])
def test_finds_of_one_frame_without_a_batch(tmp_path: Path, decoder: str) -> None:
    write(Spotted(), tmp_path, "onnx", torch.ones(3, 240, 240), ["a", "b", "c", "d"])
    declared = {"resize": "letterbox", "size": [240, 240], "pad": 0, **UNIT}
    names = ["background", "spot", "stain"]
    frame = spot(60, 120, 40, 20, 24)
    ready = model("onnx", decoder=decoder, classes=names, input=declared, nms="agnostic", nms_iou=0.3)
    (output,) = predict(ready, tmp_path, [frame])
    np.testing.assert_allclose(output.boxes[-1], [40, 20, 64, 44] if decoder != "boxes" else [40.5, 20.5, 64.5, 44.5])
    assert output.class_ids.tolist() == ([2] if decoder == "boxes" else [2, 1])
    assert output.scores.tolist() == pytest.approx([0.9] if decoder == "boxes" else [0.9, 0.7])
    if decoder == "instances":
        empty, mask = run_length.decode(output.masks, height_px=60, width_px=120)
        assert not empty.any()
        assert (mask == (frame[:, :, 0] > 0)).all()


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[..., Path]:
    """A file of detections with other names or metadata."""

    def write_again(**metadata: str) -> Path:
        write(Spotted(), tmp_path, "onnx", torch.ones(3, 64, 64), ["a", "b", "c", "d"])
        proto = onnx.load(str(tmp_path / "net.onnx"))
        for key, value in metadata.items():
            entry = proto.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.save(proto, str(tmp_path / "net.onnx"))
        return tmp_path

    return write_again


def test_names_come_from_the_file_or_from_params_or_are_asked_for(rewritten: Callable[..., Path]) -> None:
    ready = model("onnx", decoder="detections")
    with pytest.raises(
        InputError, match=r"net\.onnx: its outputs \(a \(.*do not tell how many classes.*name them by clas"
    ):
        models.describe(ready, folder=rewritten(names="not a dict"))
    assert models.describe(ready, folder=rewritten(names="{0: 'car', 1: 'bus'}"))["object"] == {0: "car", 1: "bus"}
    named = model("onnx", decoder="detections", classes=["tram", "van"])
    assert models.describe(named, folder=rewritten(names="{0: 'car', 1: 'bus'}"))["object"] == {0: "tram", 1: "van"}
    assert models.describe(named, folder=rewritten())["object"] == {0: "tram", 1: "van"}


def test_a_network_of_logits_can_be_quantized(tmp_path: Path) -> None:
    write(Maps(), tmp_path, "onnx", torch.zeros(1, 3, 96, 128), ["out"])
    ready = model("onnx", decoder="semantic_logits", input={"resize": "letterbox", "size": [96, 128], **UNIT})
    loaded = models.load(ready, folder=tmp_path, device="cpu", threads=1)
    frames = [made_up(90, 160), made_up(160, 90, 1)]
    feeds = list(quantized.inputs(loaded, frames))
    assert [feed.shape for one in feeds for feed in one.values()] == [(1, 3, 96, 128)] * 2
    np.testing.assert_allclose(next(iter(feeds[0].values())), letterboxed(frames[0], 96, 128)[0].numpy(), atol=1e-6)


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)


@pytest.mark.parametrize("version", [11, 17])
def test_old_operations_are_quantized_by_channel_too(tmp_path: Path, version: int) -> None:
    """Many detectors were exported with version 11, which has no scale for each channel."""
    torch.manual_seed(0)
    torch.onnx.export(
        Convolved(), torch.zeros(1, 3, 96, 128), tmp_path / "net.onnx", opset_version=version, dynamo=False
    )
    source, target = tmp_path / "net.onnx", tmp_path / "net-int8.onnx"
    assert onnx.load(source).opset_import[0].version == version
    ready = model("onnx", decoder="semantic_logits", input={"resize": "letterbox", "size": [96, 128], **UNIT})
    ready = ready.model_copy(update={"weights": source})
    loaded = models.load(ready, folder=tmp_path, device="cpu", threads=1)
    frames = [made_up(96, 128, place) for place in range(3)]
    quantized.write(source, target, loaded, frames)
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert kinds.count("Conv") == 2
    scales = {
        len(tensor.dims) and tensor.dims[0] for tensor in onnx.load(target).graph.initializer if "scale" in tensor.name
    }
    assert {8, 4} <= scales  # one for each channel of a convolution's weights
    int8 = models.load(ready.model_copy(update={"weights": target}), folder=tmp_path, device="cpu", threads=1)
    same = [
        (a.label_map == b.label_map).mean() for a, b in zip(loaded.predict(frames), int8.predict(frames), strict=True)
    ]
    assert min(same) > 0.9
    with pytest.raises(InputError, match="quantized already"):
        quantized.write(target, tmp_path / "twice.onnx", int8, frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-int8.onnx", "net.onnx"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"decoder": "label_logits", "classes": CLASSES},
            r"does not fit decoder 'label_logits': expected log",
        ),
        ({"decoder": "semantic_logits", "classes": CLASSES[:3]}, "classes gives 3 names, the model has 4"),
        ({"decoder": "semantic_map", "classes": CLASSES}, r"expected class ids of shape \(1, 96, 128\), whole numbers"),
        ({"decoder": "ssd", "classes": CLASSES}, r"expected boxes \(1, N, 4\) and scores \(1, N, 5\)"),
        ({"decoder": "detr", "classes": CLASSES}, r"expected logits \(1, N, 5\)"),
        (
            {"decoder": "tf_detections", "classes": CLASSES},
            r"expected detection_boxes, detection_classes, detection_sc",
        ),
        ({"decoder": "detections", "classes": CLASSES}, r"expected boxes, labels, scores of shapes \(N, 4\), \(N,\)"),
        ({"decoder": "instances", "classes": CLASSES}, r"of shapes .*, \(N, 1, h, w\), the network gave a tensor"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write(Maps(), tmp_path, "onnx", torch.zeros(1, 3, 96, 128), ["out"])
    ready = model("onnx", input={"resize": "letterbox", "size": [96, 128], **UNIT}, **changes)
    with pytest.raises(InputError, match=words) as raised:
        describe_and_load(ready, tmp_path)
    assert "names" in words or str(raised.value).startswith("net.onnx: ")


def test_a_frame_that_the_network_cannot_take_is_one_sentence(tmp_path: Path) -> None:
    write(Labels(), tmp_path, "onnx", torch.zeros(1, 3, 64, 64), ["scores"])
    shorter = {"resize": "shorter_side", "shorter_side": 48, **UNIT}
    with pytest.raises(InputError, match=r"net\.onnx: onnxruntime cannot run it on an input \(1, 3, 48, 48\)"):
        models.load(model("onnx", decoder="label_logits", input=shorter), folder=tmp_path, device="cpu")


def test_several_inputs_are_one_sentence(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, pixels: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
            return functional.avg_pool2d(pixels, 16).flatten(1) * sizes.sum()

    with torch.no_grad():
        example = (torch.zeros(1, 3, 64, 64), torch.ones(1, 2))
        torch.onnx.export(Two(), example, str(tmp_path / "net.onnx"), input_names=["pixels", "sizes"], dynamo=False)
    with pytest.raises(
        InputError, match=r"net\.onnx: expected one input .*, got pixels of .* \(1, 3, 64, 64\), sizes of"
    ):
        models.load(model("onnx", decoder="label_logits"), folder=tmp_path, device="cpu")


def test_cuda_names_the_package_that_has_it(tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("the onnxruntime here has CUDA")
    write(Labels(), tmp_path, "onnx", torch.zeros(1, 3, 64, 64), ["scores"])
    with pytest.raises(InputError, match=r"runs on the CPU alone: pip install onnxruntime-gpu"):
        adapter_onnx.open_session(tmp_path / "net.onnx", "cuda:0", threads=1)
