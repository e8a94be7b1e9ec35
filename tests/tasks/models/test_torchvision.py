"""The adapter against the library's own path: its builder for published weights, its transforms, its model called."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision.models import WeightsEnum, get_model, get_model_weights
from torchvision.transforms.functional import normalize, resize

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.execution import Execution
from tasks.models.outputs import Output, watched
from tests.photographs import photographs
from tests.tasks.models.torchvision_factory import DETECTORS, LABELLERS, PUBLISHED, made_up, model, saved, state_of

pytestmark = pytest.mark.usefixtures("one_thread")


def as_published(variant: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[nn.Module, Any]:
    """The network as the library builds it for its published weights, with ours in their place, and its transforms."""
    weights = get_model_weights(variant)[PUBLISHED[variant]]
    # Its detectors are published with frozen normalisation, which counts no batches.
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, *args, **kwargs: dict(saved(variant)))
    return get_model(variant, weights=weights, **settings).eval(), weights.transforms()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    root = tmp_path_factory.mktemp("torchvision")

    def with_weights(variant: str) -> Path:
        path = root / f"{variant}.pth"
        if not path.exists():
            torch.save(saved(variant), path)
        return root

    yield with_weights
    shutil.rmtree(root)  # a gigabyte that pytest would keep


def image(frame: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(frame)).permute(2, 0, 1)


@torch.inference_mode()
def compare(variant: str, frames: list[np.ndarray], reference: nn.Module, transforms: Any, given: Output | Any) -> None:
    assert len(given) == len(frames)
    for frame, ours in zip(frames, given, strict=True):
        prepared = transforms(image(frame))
        if variant in LABELLERS:
            expected = reference(prepared[None])[0].softmax(0).numpy()
            np.testing.assert_allclose(ours.probabilities, expected, atol=1e-4)
            assert expected.max() > 3 / len(expected)  # it has an opinion
        elif variant == "deeplabv3_resnet50":
            logits = reference(prepared[None])["out"]
            best = functional.interpolate(logits, size=frame.shape[:2], mode="bilinear").argmax(1)[0].numpy()
            assert (ours.label_map == best).mean() > 0.999
            assert len(np.unique(best)) > 3
        else:
            (theirs,) = reference([prepared])
            assert len(theirs["boxes"]) > 20
            np.testing.assert_allclose(ours.boxes, theirs["boxes"].numpy(), atol=0.5)
            np.testing.assert_allclose(ours.scores, theirs["scores"].numpy(), atol=1e-4)
            assert ours.class_ids.tolist() == theirs["labels"].tolist()
            if variant == "maskrcnn_resnet50_fpn":
                masks = theirs["masks"][:, 0].numpy() > 0.5
                found = run_length.decode(ours.masks, height_px=frame.shape[0], width_px=frame.shape[1])
                both, either = (masks & found).sum((1, 2)), (masks | found).sum((1, 2))
                assert (both[either > 0] / either[either > 0]).min() > 0.99
                assert (either > 0).sum() > 10
            else:
                assert ours.masks is None


def run(variant: str, frames: list[np.ndarray], folder: Any, monkeypatch: Any, shorter_side: int | None = None) -> None:
    detects = variant in (*DETECTORS, "ssdlite320_mobilenet_v3_large")
    changes: dict[str, Any] = {"score_threshold": 0} if detects else {}
    prefix = "box_" if "rcnn" in variant else ""
    settings: dict[str, Any] = {f"{prefix}score_thresh": 0} if detects else {}
    if shorter_side is not None and variant in DETECTORS:
        changes["input"] = {"shorter_side": shorter_side, "longer_side_at_most": shorter_side + 40}
        settings |= {"min_size": shorter_side, "max_size": shorter_side + 40}
    reference, transforms = as_published(variant, monkeypatch, **settings)
    if shorter_side is not None and variant == "deeplabv3_resnet50":
        changes["input"] = {"shorter_side": shorter_side}
        transforms.resize_size = [shorter_side]
    ours = models.load(model(variant, **changes), folder=folder(variant), device="cpu").predict(frames)
    compare(variant, frames, reference, transforms, ours)


@pytest.mark.real
@pytest.mark.parametrize("variant", PUBLISHED)
def test_photographs_as_the_library_itself(variant: str, folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published sizes where that is quick; otherwise at a shorter side of 128 px."""
    run(variant, photographs(2), folder, monkeypatch, shorter_side=128)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("variant", PUBLISHED)
def test_photographs_at_published_size(variant: str, folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty; five of those that take seconds each."""
    count = 5 if variant in (*DETECTORS, "deeplabv3_resnet50") else 20
    run(variant, photographs(count), folder, monkeypatch)


def test_classes_of_ones_own_from_safetensors(tmp_path: Path) -> None:
    """Weights with trained normalisation and five classes, as a fine-tuning leaves them."""
    variant = "ssdlite320_mobilenet_v3_large"
    save_file(state_of(variant, 5), tmp_path / "own.safetensors")
    given = model(variant, weights="own.safetensors", classes=["__background__", "a", "b", "c", "d"], nms_iou=0.4)
    described = models.describe(given, folder=tmp_path)
    assert described["object"] == {1: "a", 2: "b", 3: "c", 4: "d"}
    assert described["tasks"] == ["detection"]
    reference = get_model(variant, weights=None, weights_backbone=None, num_classes=5, nms_thresh=0.4).eval()
    reference.load_state_dict(state_of(variant, 5))
    frames = [made_up(90, 160), made_up(160, 90, 1)]
    ours = models.load(given, folder=tmp_path, device="cpu").predict(frames)
    compare(variant, frames, reference, lambda pixels: pixels / 255, ours)


def test_a_detector_with_trained_normalisation(tmp_path: Path) -> None:
    """num_batches_tracked in the file: then epsilon is the usual one, and not that of frozen normalisation."""
    variant = "retinanet_resnet50_fpn"
    state = state_of(variant)
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3}, tmp_path / "w.pth")
    given = model(variant, weights="w.pth", input={"shorter_side": 64, "channels": "bgr"}, score_threshold=0)
    frame = made_up(60, 83)
    (ours,) = models.load(given, folder=tmp_path, device="cpu").predict([frame])
    reference = get_model(variant, weights=None, weights_backbone=None, num_classes=91, min_size=64, score_thresh=0)
    reference.load_state_dict(state)
    compare(variant, [frame[:, :, ::-1]], reference.eval(), lambda pixels: pixels / 255, [ours])
    described = models.describe(model(variant, weights="w.pth", classes="coco91"), folder=tmp_path)
    assert (described["object"][0], described["object"][1], described["object"][90]) == (
        "__background__",
        "person",
        "toothbrush",
    )


def test_what_is_left_open_is_the_library_s_own_and_decides() -> None:
    settled = models.settle(model("fasterrcnn_resnet50_fpn", input={"shorter_side": 600}))
    assert (settled.score_threshold, settled.nms_iou) == (0.05, 0.5)
    assert (settled.input.shorter_side, settled.input.longer_side_at_most) == (600, 1333)
    assert settled.options == {"detections": 100, "norm_eps": 0.0}
    assert settled.input.mean == (0.485, 0.456, 0.406)


def test_the_fingerprint_holds_what_was_settled(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").write_bytes(b"x")
    base = models.fingerprint(model("resnet18"), folder=tmp_path)
    assert '"shorter_side": 256' in str(base["settings"])
    assert base == models.fingerprint(model("resnet18", input={"shorter_side": 256}), folder=tmp_path)
    assert base != models.fingerprint(model("resnet18", input={"shorter_side": 232}), folder=tmp_path)


def test_stages_are_told_in_order(folder: Any) -> None:
    for variant in ("ssdlite320_mobilenet_v3_large", "resnet18"):
        stages: list[str] = []
        loaded = models.load(model(variant), folder=folder(variant), device="cpu")
        with watched(stages.append):
            loaded.predict([made_up(50, 70)])
        assert stages == ["preprocess", "infer", "postprocess"]


def test_another_way_of_resizing_brings_its_own_sizes(folder: Any) -> None:
    """As one who trained on stretched frames has them: the published crop is not in the way."""
    given = model("resnet18", input={"resize": "stretch", "size": [64, 96]})
    frame = made_up(120, 100)
    (ours,) = models.load(given, folder=folder("resnet18"), device="cpu").predict([frame])
    network = get_model("resnet18", weights=None).eval()
    network.load_state_dict(saved("resnet18"))
    sized = resize(torch.tensor(frame).permute(2, 0, 1), [64, 96], antialias=True).float() / 255
    pixels = normalize(sized, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = network(pixels[None])[0].softmax(0).numpy()
    np.testing.assert_allclose(ours.probabilities, expected, atol=1e-4)


def test_label_names(folder: Any) -> None:
    described = models.describe(model("resnet18", classes="imagenet"), folder=folder("resnet18"))
    assert (described["label"][0], described["label"][999]) == ("tench", "toilet tissue")
    assert models.describe(model("resnet18"), folder=folder("resnet18"))["label"][7] == "7"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variant": "fasterrcnn"}, "did you mean 'fasterrcnn_resnet50_fpn'"),
        ({"variant": None}, "needs a variant, got none"),
        ({"decoder": "yolox"}, "takes no decoder"),
        ({"options": {"detection": 3}}, "did you mean 'detections'"),
        ({"options": {"detections": 2.5}}, "options.detections: expected a whole number, at least 0, got 2.5"),
        ({"nms": "soft"}, "suppresses within classes by itself"),
        ({"input": {"resize": "letterbox", "size": [320, 320]}}, "resizes by itself: input.resize is stretch to"),
        (
            {"variant": "retinanet_resnet50_fpn", "input": {"resize": "none"}},
            "resizes by itself: input.resize is shorter",
        ),
        ({"variant": "retinanet_resnet50_fpn", "input": {"shorter_side": None}}, "needs input.shorter_side: a number"),
        ({"variant": "resnet18", "nms_iou": 0.3}, "finds no boxes: remove nms_iou"),
        ({"variant": "deeplabv3_resnet50", "input": {"crop": [64, 64]}}, "leaves parts of the frame unseen"),
        ({"weights": None}, "needs weights"),
        ({"variant": "resnet50"}, r"counted by 'fc\.bias', the file has no such tensor"),
        ({"variant": "maskrcnn_resnet50_fpn"}, "counted by 'roi_heads"),
        ({"classes": ["car"]}, "classes gives 1 names, the model has 90 object classes"),
        ({"classes": "none.txt"}, "expected a text file with one name a line"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(folder: Any, changes: dict[str, Any], words: str) -> None:
    path = folder("ssdlite320_mobilenet_v3_large")
    with pytest.raises(InputError, match=words):
        models.describe(model("ssdlite320_mobilenet_v3_large", **changes), folder=path)


def test_files_that_do_not_fit_are_one_sentence(tmp_path: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(InputError, match=words):
            models.load(model("resnet18", weights="w.pth"), folder=tmp_path, device="cpu")

    path = tmp_path / "w.pth"
    path.write_bytes(b"nothing of the kind")
    refused("is not a state dict of tensors alone")
    torch.save(nn.Linear(2, 2), path)  # a pickled module would run code
    refused(r"is not a state dict of tensors alone, .* \(it holds a torch\.nn\.modules\.linear\.Linear\): save model")
    torch.save({"epoch": 3}, path)
    refused("is no state dict")
    state = dict(state_of("resnet18", 7))
    torch.save({name: tensor for name, tensor in state.items() if name != "conv1.weight"}, path)
    refused("tensor 'conv1.weight' is missing")
    torch.save({**state, "more": torch.zeros(2)}, path)
    refused("it has a tensor 'more' too many")
    torch.save({**state, "conv1.weight": torch.zeros(4, 3, 7, 7)}, path)
    refused("size mismatch for conv1.weight")


@pytest.mark.parametrize("variant", ["ssdlite320_mobilenet_v3_large", "resnet18"])
def test_bfloat16_says_nearly_the_same(variant: str, folder: Callable[[str], Path]) -> None:
    full, reduced = (
        models.load(model(variant), folder=folder(variant), device="cpu", execution=one).predict([made_up(120, 180)])[0]
        for one in (Execution(), Execution("bfloat16"))
    )
    if full.probabilities is not None:
        assert reduced.probabilities is not None
        assert 0 < np.abs(full.probabilities - reduced.probabilities).max() < 0.05
    else:
        assert reduced.boxes.dtype == reduced.scores.dtype == np.float32
        assert 0 < np.abs(full.scores[:20] - reduced.scores[:20]).max() < 0.02


@pytest.mark.parametrize(
    ("variant", "layer"),
    [
        ("ssdlite320_mobilenet_v3_large", "head.classification_head"),
        ("retinanet_resnet50_fpn", "head.regression_head"),
        ("fasterrcnn_resnet50_fpn", "rpn.head"),
        ("fasterrcnn_resnet50_fpn", "roi_heads.box_predictor"),
        ("maskrcnn_resnet50_fpn", "roi_heads.mask_predictor"),
    ],
)
def test_a_detector_of_nan_is_refused(variant: str, layer: str, folder: Any) -> None:
    """It would find nothing."""
    small = {} if "ssd" in variant else {"input": {"shorter_side": 64}}
    loaded = models.load(model(variant, **small), folder=folder(variant), device="cpu")
    for parameter in loaded.network.get_submodule(layer).parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(InputError, match=r"gave NaN in its outputs: it is broken"):
        loaded.predict([made_up(50, 70)])
