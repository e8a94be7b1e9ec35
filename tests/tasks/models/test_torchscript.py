"""Networks with their own code, against the networks that they were made from."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import get_model

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.params import Model
from tests.photographs import photographs
from tests.tasks.models.test_onnx import CELLS, SIZE, spot
from tests.tasks.models.test_torchvision import image, made_up, state_of

COCO = {"decoder": "detections", "classes": "coco91"}
UNIT = {"scale": 1 / 255}


def model(**changes: Any) -> Model:
    return Model.model_validate({"adapter": "torchscript", "weights": "net.pt"} | changes)


def predict(folder: Path, frames: list[np.ndarray], **changes: Any) -> Any:
    return models.load(model(**changes), folder=folder, device="cpu").predict(frames)


def script(network: nn.Module, folder: Path) -> None:
    torch.jit.script(network.eval()).save(str(folder / "net.pt"))


def export(network: nn.Module, folder: Path, height: int, width: int) -> None:
    torch.export.save(torch.export.export(network.eval(), (torch.rand(1, 3, height, width),)), folder / "net.pt2")


class Pixels(nn.Module):
    """Logits that grow with one channel each, at half the size of the input."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(pixels, 2)


class Spots(nn.Module):
    """One box a picture, around what is bright, with a mask or without; a second box of the same, a hair lower."""

    def __init__(self, with_masks: bool, decoys: bool = False) -> None:
        super().__init__()
        self.with_masks = with_masks
        self.decoys = decoys

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        bright = pixels[0, 0] > 128
        ys, xs = torch.where(bright)
        box = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
        boxes = torch.stack([box, box + 1])
        if not self.decoys:
            boxes = boxes[:1]
        n = boxes.shape[0]
        scores = torch.tensor([0.9, 0.8])[:n]
        found = {"boxes": boxes, "labels": torch.ones(n, dtype=torch.int64), "scores": scores}
        if self.with_masks:
            found["masks"] = bright.float()[None, None].expand(n, 1, -1, -1)
        return found


class Rows(nn.Module):
    """YOLOX's rows: a box of the cell's size at each cell, scored by the brightness there."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        flat = [functional.avg_pool2d(pixels.mean(1, keepdim=True) / 255, s).flatten(1) for s in (8, 16, 32)]
        score = torch.cat(flat, dim=1)[..., None]
        zero, one = torch.zeros_like(score), torch.ones_like(score)
        return torch.cat([zero + 0.5, zero + 0.5, zero, zero, score, zero, one], dim=2)


def scripted_as_by_hand(folder: Path, frames: list[np.ndarray]) -> None:
    """A detector that takes a list, resizes by itself and gives (losses, detections)."""
    network = get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None).eval()
    network.load_state_dict(state_of("ssdlite320_mobilenet_v3_large"))
    script(network, folder)
    given = predict(folder, frames, **COCO, input=UNIT, score_threshold=0)
    with torch.inference_mode():
        loaded = torch.jit.load(str(folder / "net.pt"))
        for ours, frame in zip(given, frames, strict=True):
            _, (theirs,) = loaded([image(frame) / 255])
            assert len(theirs["boxes"]) > 20
            np.testing.assert_allclose(ours.boxes, theirs["boxes"].numpy(), atol=0.5)
            np.testing.assert_allclose(ours.scores, theirs["scores"].numpy(), atol=1e-4)
            assert ours.class_ids.tolist() == theirs["labels"].tolist()


def test_a_scripted_detector_of_torchvision(tmp_path: Path) -> None:
    scripted_as_by_hand(tmp_path, [made_up(90, 160), made_up(160, 90, 1)])
    described = models.describe(model(**COCO), folder=tmp_path)["object"]
    assert (min(described), described[1], described[90]) == (1, "person", "toothbrush")


def test_a_scripted_detector_loads_where_nothing_else_of_torchvision_is(tmp_path: Path) -> None:
    network = get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=3)
    script(network.eval(), tmp_path)
    path = str(tmp_path / "net.pt")
    code = f"from pathlib import Path\nfrom tasks.models import torchscript\ntorchscript._open(Path({path!r}), 'cpu')"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.real
@pytest.mark.slow
def test_a_scripted_detector_on_photographs(tmp_path: Path) -> None:
    scripted_as_by_hand(tmp_path, photographs(20))


@pytest.mark.parametrize(("form", "suffix"), [("script", "pt"), ("program", "pt2"), ("program", "pt")])
def test_labels_scripted_and_exported(tmp_path: Path, form: str, suffix: str) -> None:
    network = get_model("resnet18", weights=None, num_classes=7).eval()
    network.load_state_dict(state_of("resnet18", 7))
    if form == "script":
        script(network, tmp_path)
    else:
        export(network, tmp_path, 64, 96)
        (tmp_path / "net.pt2").rename(tmp_path / f"net.{suffix}")
    declared = {"resize": "stretch", "size": [64, 96], **UNIT}
    names = {"decoder": "label_logits", "classes": [f"label {place}" for place in range(7)], "input": declared}
    frames = [made_up(80, 70), made_up(64, 96, 1)]
    given = predict(tmp_path, frames, weights=f"net.{suffix}", **names)
    with torch.inference_mode():
        for ours, frame in zip(given, frames, strict=True):
            sized = functional.interpolate(image(frame)[None].float(), size=(64, 96), mode="bilinear").round() / 255
            np.testing.assert_allclose(ours.probabilities, network(sized)[0].softmax(0).numpy(), atol=1e-5)
    assert models.describe(model(weights=f"net.{suffix}", **names), folder=tmp_path)["label"][6] == "label 6"


@pytest.mark.parametrize("resize", ["letterbox", "letterbox_top_left"])
def test_label_maps_come_back_without_the_padding(tmp_path: Path, resize: str) -> None:
    """Two halves of a frame twice as wide as the input: red and blue, and padding that is green."""
    export(Pixels(), tmp_path, 64, 64)
    frame = np.zeros((64, 128, 3), np.uint8)
    frame[:, :64, 0] = frame[:, 64:, 2] = 255
    declared = {"resize": resize, "size": [64, 64], "pad": 0}
    (output,) = predict(
        tmp_path, [frame], weights="net.pt2", decoder="semantic_logits", classes=["r", "g", "b"], input=declared
    )
    assert output.label_map.shape == (64, 128)
    assert (output.label_map[:, :62] == 0).all()
    assert (output.label_map[:, 66:] == 2).all()


def test_maps_of_classes_come_back_from_a_letterbox(tmp_path: Path) -> None:
    class Named(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.argmax(dim=1)

    script(Named(), tmp_path)
    frame = made_up(50, 70).copy()
    frame[:, :, 2] = np.arange(70) * 3
    declared = {"resize": "letterbox", "size": [200, 210], "pad": 0}
    given = {"decoder": "semantic_map", "classes": ["r", "g", "b"], "input": declared}
    (output,) = predict(tmp_path, [frame], **given)
    height = 150  # of the resized frame: three times as large, 25 px of padding above
    sized = functional.interpolate(image(frame)[None].float(), size=(height, 210), mode="bilinear").round()[0]
    assert (output.label_map == sized.argmax(0).numpy()[1::3, 1::3]).all()
    with pytest.raises(InputError, match="label_map holds 2, which is no class"):
        predict(tmp_path, [frame], **{**given, "classes": ["r", "g"]})


def test_masks_and_boxes_come_back_from_a_letterbox(tmp_path: Path) -> None:
    script(Spots(with_masks=True), tmp_path)
    frame = spot(60, 120, 40, 20, 24)
    declared = {"resize": "letterbox", "size": [240, 240], "pad": 0}
    (output,) = predict(tmp_path, [frame], decoder="instances", classes=["background", "spot"], input=declared)
    assert output.boxes.tolist() == [[40, 20, 64, 44]]
    (mask,) = run_length.decode(output.masks, height_px=60, width_px=120)
    assert (mask == (frame[:, :, 0] > 0)).all()


def test_boxes_before_suppression_follow_params(tmp_path: Path) -> None:
    script(Spots(with_masks=False, decoys=True), tmp_path)
    common = {"classes": ["background", "spot"], "nms_iou": 0.5}
    frame = spot(60, 120, 40, 20, 24)
    (kept,) = predict(tmp_path, [frame], decoder="boxes", **common)
    assert kept.scores.tolist() == pytest.approx([0.9])
    (both,) = predict(tmp_path, [frame], decoder="detections", **common)
    assert both.scores.tolist() == pytest.approx([0.9, 0.8])
    (soft,) = predict(tmp_path, [frame], decoder="boxes", nms="soft", **common)
    shared = 23 * 23
    iou = shared / (2 * 24 * 24 - shared)
    assert soft.scores.tolist() == pytest.approx([0.9, 0.8 * np.exp(-(iou**2) / 0.5)])


def test_rows_with_a_decoder(tmp_path: Path) -> None:
    script(Rows(), tmp_path)
    declared = {"size": [SIZE, SIZE], "resize": "letterbox_top_left", "pad": 0}
    (output,) = predict(
        tmp_path,
        [spot(64, 128, 32, 16, 16)],
        decoder="yolox",
        classes=["a", "b"],
        input=declared,
        score_threshold=0.6,
    )
    assert Rows()(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, CELLS, 7)
    assert output.boxes.tolist() == [[32, 16, 48, 32]]
    assert output.class_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decoder": "detection"}, "did you mean 'detections'"),
        ({"classes": None}, "needs classes"),
        ({"options": {"a": 1}}, "no variants and no options"),
        ({"input": {"resize": "letterbox"}}, r"needs input\.size"),
        ({"input": {"crop": [3, 3]}}, r"input\.crop goes with input\.resize: shorter_side"),
        ({"weights": "other.pt"}, r"other\.pt holds tensors or objects without the code of a network \(torch\.save\)"),
        ({"weights": "empty.pt2"}, r"empty\.pt2 is an empty file: expected TorchScript"),
        (
            {"weights": "cut.pt"},
            r"cut\.pt is no archive of torch, or one that was cut short: expected .*'torchvision'",
        ),
        ({"weights": "zip.pt"}, r"zip\.pt is an archive, but none of torch: expected TorchScript"),
        ({"weights": "holes.pt"}, r"holes\.pt cannot be opened by torch "),
        ({"classes": ["a", "b"], "decoder": "label_logits"}, r"logits of shape \(1, 2\).*gave a tensor \(1, 3, 32"),
        ({"classes": ["a", "b"], "decoder": "semantic_logits"}, r"logits of shape \(1, 2, h, w\)"),
        ({"decoder": "semantic_map"}, r"expected class ids of shape \(1, 64, 64\), whole numbers, the network gave"),
        (
            {"classes": ["a", "b"], "decoder": "detections"},
            r"net\.pt: .*expected boxes, labels, scores of shapes .*, the network gave a tensor \(1, 3, 32, 32\)",
        ),
        ({"classes": ["a"], "decoder": "yolox"}, r"one output of shape \(1, rows, 6\).*gave a tensor \(1, 3, 32"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    script(Pixels(), tmp_path)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    (tmp_path / "empty.pt2").touch()
    (tmp_path / "cut.pt").write_bytes((tmp_path / "net.pt").read_bytes()[:900])
    for name, member in (("zip", "a.txt"), ("holes", "net/constants.pkl")):
        with zipfile.ZipFile(tmp_path / f"{name}.pt", "w") as archive:
            archive.writestr(member, b"?")
    given = {"decoder": "label_logits", "classes": ["a", "b", "c"]} | changes
    with pytest.raises(InputError, match=words):
        predict(tmp_path, [made_up(64, 64)], **given)


def test_a_class_that_params_do_not_name_is_one_sentence(tmp_path: Path) -> None:
    script(Spots(with_masks=False), tmp_path)
    with pytest.raises(InputError, match=r"net\.pt: class_ids holds 1, which is no class of the model; its ids: 0\."):
        predict(tmp_path, [spot(60, 120, 40, 20, 24)], decoder="detections", classes=["spot"])
