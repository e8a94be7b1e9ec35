"""torchvision's networks in other runtimes against the networks themselves, and their batch norms fitted anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import get_model

from tasks import models
from tasks.errors import InputError
from tasks.models import agreement, naming, torchvision_versions
from tasks.models.exported import ENDINGS
from tasks.models.outputs import Output
from tasks.models.preprocess import prepare_inputs
from tasks.params import Model
from tests.photographs import photographs
from tests.tasks.models.torchvision_factory import DETECTORS, made_up, model, saved, state_of

FRAMES = [made_up(120, 210), made_up(230, 131, 1), made_up(97, 97, 2)]

pytestmark = pytest.mark.usefixtures("one_thread")


def export(given: Model, folder: Path, form: str) -> Model:
    """The version as its params describe it."""
    ready = naming.resolved(models.settle(given), folder=folder)
    target = folder / f"{given.variant}{ENDINGS[form]}"
    said = torchvision_versions.export(ready, folder / given.weights_path, form, target)
    entry = {**given.model_dump(exclude_unset=True), **said, "weights": target.name}
    return Model.model_validate({key: value for key, value in entry.items() if value is not None})


def predict(given: Model, folder: Path, frames: list[np.ndarray]) -> list[Output]:
    return models.load(given, folder=folder, device="cpu", threads=1).predict(frames)


@pytest.mark.parametrize("form", ENDINGS)
@pytest.mark.parametrize(
    "variant",
    ["resnet18", "ssdlite320_mobilenet_v3_large", pytest.param("deeplabv3_resnet50", marks=pytest.mark.slow)],
)
def test_an_export_says_the_same(variant: str, form: str, tmp_path: Path) -> None:
    torch.save(state_of(variant, 5), tmp_path / f"{variant}.pth")
    given = model(variant, **({"score_threshold": 0.02} if "ssd" in variant else {}))
    if "deeplab" in variant:
        given = model(variant, input={"shorter_side": 96})
    made = export(given, tmp_path, form)
    assert made.adapter == form
    assert models.describe(made, folder=tmp_path) == models.describe(given, folder=tmp_path)
    found = compare(predict(given, tmp_path, FRAMES), predict(made, tmp_path, FRAMES), FRAMES)
    assert found.boxes > 100 if "ssd" in variant else np.isnan(found.found)


def compare(ours: list[Output], theirs: list[Output], frames: list[np.ndarray]) -> agreement.Agreement:
    found = agreement.agreement(ours, theirs, sizes=[frame.shape[:2] for frame in frames])
    assert found.same(), found.told()
    return found


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("variant", DETECTORS)
def test_detectors_of_photographs(variant: str, tmp_path: Path) -> None:
    """TorchScript to the digit; ONNX with heads that are not too steep for other kernels' last digits."""
    frames = photographs(6)
    torch.save(saved(variant), tmp_path / f"{variant}.pth")
    size = {"input": {"shorter_side": 256, "longer_side_at_most": 400}}
    given = model(variant, score_threshold=0.02, **size)
    ours = predict(given, tmp_path, frames)
    script = export(given, tmp_path, "torchscript")
    for one, other in zip(ours, predict(script, tmp_path, frames), strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        assert one.masks == other.masks
    torch.save(calm(variant, frames), tmp_path / f"{variant}.pth")
    ours = predict(given, tmp_path, frames)
    found = compare(ours, predict(export(given, tmp_path, "onnx"), tmp_path, frames), frames)
    assert found.boxes > 30
    assert np.isnan(found.masks) == ("mask" not in variant)


def calm(variant: str, frames: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """Random weights with the statistics of these frames."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = get_model(variant, weights=None, weights_backbone=None, num_classes=7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    pixels = [torch.tensor(frame).permute(2, 0, 1)[None] / 64 - 1.8 for frame in frames]
    with torch.no_grad():
        network.backbone.train()(torch.cat([nn.functional.interpolate(one, (256, 256)) for one in pixels]))
    steeper = {"head.classification_head.cls_logits.weight": 30, "roi_heads.box_predictor.cls_score.weight": 2}
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, times in steeper.items():
        if name in state:
            state[name] *= times
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    ("classes", "first", "said"),
    [
        (None, 1, ["__background__", "1", "2", "3", "4"]),
        (["__background__", "a", "b", "c", "d"], 1, None),
        (["a", "b", "c", "d"], 1, ["__background__", "a", "b", "c", "d"]),
        (["background", "a", "b", "c", "d"], 0, ["class 0", "a", "b", "c", "d"]),
        (["a", "b", "c", "d", "e"], 0, None),
    ],
)
def test_classes_keep_their_ids(classes: Any, first: int, said: list[str] | None) -> None:
    ids = {index: str(index) for index in range(first, 5)}
    described: Any = {"object": ids, "semantic": {}, "label": {}, "tasks": ["detection"]}
    given = model("ssdlite320_mobilenet_v3_large", **({} if classes is None else {"classes": tuple(classes)}))
    found = torchvision_versions._classes(given, "detections", described, counted=True)
    assert found == ({} if said is None else {"classes": said})


def test_masks_cut_elsewhere_are_refused(tmp_path: Path) -> None:
    variant = "maskrcnn_resnet50_fpn"
    torch.save(saved(variant), tmp_path / f"{variant}.pth")
    with pytest.raises(InputError, match="remove mask_threshold"):
        export(model(variant, options={"mask_threshold": 0.4}), tmp_path, "onnx")
    assert [file.name for file in tmp_path.iterdir()] == [f"{variant}.pth"]


def test_statistics_are_those_of_the_frames(tmp_path: Path) -> None:
    variant = "resnet18"
    torch.save(state_of(variant, 5), tmp_path / f"{variant}.pth")
    given = models.settle(model(variant))
    torchvision_versions.adapt(given, tmp_path / f"{variant}.pth", tmp_path / "new.safetensors", FRAMES)
    before, after = state_of(variant, 5), load_file(tmp_path / "new.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, after[name]) != name.endswith(("running_mean", "running_var")), name
    first = nn.functional.conv2d(
        torch.cat([prepare_inputs([frame], given.input)[0] for frame in FRAMES]), before["conv1.weight"], None, 2, 3
    )
    assert len({frame.shape for frame in FRAMES}) > 1  # and are one batch all the same
    torch.testing.assert_close(after["bn1.running_mean"], first.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after["bn1.running_var"], first.var(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    labels = predict(model(variant, weights="new.safetensors"), tmp_path, FRAMES)
    assert all(np.isfinite(one.probabilities).all() for one in labels if one.probabilities is not None)


def test_frozen_statistics_stay(tmp_path: Path) -> None:
    variant = "retinanet_resnet50_fpn"
    torch.save(saved(variant), tmp_path / f"{variant}.pth")
    with pytest.raises(InputError, match="no batch norms whose statistics could be fitted"):
        torchvision_versions.adapt(
            models.settle(model(variant)), tmp_path / f"{variant}.pth", tmp_path / "new.safetensors", FRAMES
        )
    assert not (tmp_path / "new.safetensors").exists()


def test_a_frame_that_does_not_fit_is_said_to_be_one(tmp_path: Path) -> None:
    torch.save(state_of("resnet18", 5), tmp_path / "resnet18.pth")
    given = models.settle(model("resnet18", input={"shorter_side": 64, "crop": [64, 64], "longer_side_at_most": 64}))
    wide = np.zeros((40, 400, 3), np.uint8)
    with pytest.raises(InputError, match=r"^input\.crop \[64, 64\] does not fit into a frame"):
        torchvision_versions.adapt(given, tmp_path / "resnet18.pth", tmp_path / "new.safetensors", [wide])


def test_tiles_merge_as_before(tmp_path: Path) -> None:
    variant = "ssdlite320_mobilenet_v3_large"
    torch.save(saved(variant), tmp_path / f"{variant}.pth")
    tiled = models.settle(model(variant, input={"tile": [96, 96]}, nms_iou=0.2))
    said = torchvision_versions.export(tiled, tmp_path / f"{variant}.pth", "torchscript", tmp_path / "t.pt")
    assert said["nms_iou"] == 0.2
    whole = torchvision_versions.export(
        models.settle(model(variant)), tmp_path / f"{variant}.pth", "torchscript", tmp_path / "w.pt"
    )
    assert whole["nms_iou"] is None
