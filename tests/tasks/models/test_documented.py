"""The examples of docs/models.md are params that the adapters take; its table of torchvision's networks is theirs."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tasks.errors import InputError
from tasks.models import DECISIVE, MODELS, settle
from tasks.models.torchvision_networks import NETWORKS
from tasks.models.tracking import TRACKERS
from tasks.models.wording import settings
from tasks.params import Model, ModelInput

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
EXAMPLES = {
    name: given
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    for name, given in yaml.safe_load(block).items()
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_taken(name: str) -> None:
    model = Model.model_validate(EXAMPLES[name])
    MODELS[model.adapter].check(model)
    assert settings(model, {"tasks": ["detection"]}).startswith(model.adapter)


def test_every_adapter_is_documented_and_most_have_an_example() -> None:
    built_in = {
        "classical",
        "onnx",
        "python",
        "recorded",
        "rekognition",
        "small",
        "torchscript",
        "torchvision",
        "transformers",
        "ultralytics",
    }
    assert built_in <= MODELS.keys()
    assert all(f"| `{name}` |" in PAGE for name in built_in)
    assert {given["adapter"] for given in EXAMPLES.values()} == built_in - {"recorded", "small"}


@pytest.mark.parametrize("variant", NETWORKS)
def test_defaults_are_those_of_the_page(variant: str) -> None:
    (row,) = re.findall(rf"^\|[^|\n]*`{variant}`.*$", PAGE, flags=re.MULTILINE)
    settled = settle(Model(adapter="torchvision", variant=variant))
    if NETWORKS[variant].score_threshold is not None:
        assert f"| {settled.score_threshold:g}, {settled.nms_iou:g} |" in row
    said = {**settled.options}
    if variant == "maskrcnn_resnet50_fpn":
        said = {"mask_threshold": said["mask_threshold"]}  # "also": the others are those of the row above
    for name, value in said.items():
        assert f"`{name}` {str(value).lower() if isinstance(value, bool) else format(value, 'g')}" in row
    if settled.input.resize == "shorter_side" and "the same" not in row:
        assert f"shorter side {settled.input.shorter_side}" in row


def test_settings_of_trackers_are_those_of_the_page() -> None:
    rows = {
        row[0].strip("`"): row[1:-1]
        for row in re.findall(r"^\| (`[a-z_]+`) " + r"\| ([^|]*) ?" * 4 + r"\|(.*)$", PAGE, re.M)
    }
    (header,) = re.findall(r"^\| setting .*$", PAGE, re.M)
    names = re.findall(r"`([a-z]+)`", header)
    assert names == list(TRACKERS)
    for place, name in enumerate(names):
        told = {setting: row[place].strip() for setting, row in rows.items() if row[place].strip()}
        assert told == {setting: format(value, "g") for setting, value in TRACKERS[name].defaults.items()}


def test_the_sentence_names_everything() -> None:
    declared = {
        "size": [416, 320],
        "resize": "letterbox_top_left",
        "channels": "bgr",
        "scale": 0.5,
        "mean": [1, 2, 3],
        "tile": [300, 200],
        "overlap": 0.25,
    }
    model = Model.model_validate(
        {"adapter": "onnx", "decoder": "yolox", "input": declared, "score_threshold": 0.1, "nms": "soft"}
    )
    assert settings(model, {"tasks": ["detection"]}) == (
        "onnx yolox; frames in tiles of 200x300 px that overlap by 0.25, letterboxed at the top left of 320x416 px, "
        "padded with 114, BGR, times 0.5, less (1, 2, 3) over (1, 1, 1); boxes above 0.1, soft suppression of sigma "
        "0.5; across tiles class-wise suppression at IoU 0.65"
    )
    labeller = Model(adapter="torchvision", variant="resnet18")
    assert settings(labeller, {"tasks": ["classification"]}) == (
        "torchvision resnet18; frames resized to a shorter side of 256 px, cropped to 224x224 px, antialiased, "
        "times 0.00392157, less (0.485, 0.456, 0.406) over (0.229, 0.224, 0.225)"
    )


OTHER = {"score_threshold": 0.3, "nms_iou": 0.33, "nms": "agnostic", "nms_sigma": 0.9}
OTHER_INPUT = {
    "size": [96, 64], "resize": "letterbox_top_left", "shorter_side": 300, "longer_side_at_most": 400, "crop": [32, 48],
    "antialias": True, "channels": "bgr", "scale": 0.5, "mean": [1, 2, 3], "std": [2, 2, 2], "pad": 7,
    "tile": [300, 200], "overlap": 0.4,
}  # fmt: skip
HEAD = {"variant", "decoder", "options"}

BOXES, MASKS, MAP, LABEL = ["detection"], ["detection", "instance"], ["semantic"], ["classification"]
TILES = {"input": {"tile": [100, 100]}}
LETTERBOX = {"input": {"resize": "letterbox", "size": [64, 96]}}
YOLO = {"adapter": "ultralytics", "weights": "yolo26n.pt", "options": {"trust_pickle": True}}
OWN_HEAD = {**YOLO, "options": {"trust_pickle": True, "end2end": True}}
HOSTED = EXAMPLES["hosted"] | {"score_threshold": 0.5}
OURS = EXAMPLES["ours"]
EFFECTS = {
    "letterboxed": (
        {"adapter": "onnx", "decoder": "yolox", **LETTERBOX},
        BOXES,
        "score_threshold nms_iou nms size resize antialias channels scale mean std pad tile",
    ),
    "soft": (
        {"adapter": "torchscript", "decoder": "boxes", "classes": "coco80", "nms": "soft"},
        BOXES,
        "score_threshold nms nms_sigma size channels scale mean std tile",
    ),
    "soft in tiles": (
        {"adapter": "onnx", "decoder": "yolox", "nms": "soft", **TILES},
        BOXES,
        "score_threshold nms_iou nms nms_sigma size channels scale mean std tile overlap",
    ),
    "final": (
        {"adapter": "onnx", "decoder": "detr"},
        BOXES,
        "score_threshold size channels scale mean std tile",
    ),
    "final in tiles": (
        {"adapter": "onnx", "decoder": "detr", **TILES},
        BOXES,
        "score_threshold nms_iou nms size channels scale mean std tile overlap",
    ),
    "a map": (
        {"adapter": "onnx", "decoder": "semantic_logits", **LETTERBOX},
        MAP,
        "size resize antialias channels scale mean std pad tile",
    ),
    "a label": (
        {"adapter": "torchvision", "variant": "resnet18", "input": {"antialias": False}},
        LABEL,
        "shorter_side longer_side_at_most crop antialias channels scale mean std tile",
    ),
    "torchvision's boxes": (
        {"adapter": "torchvision", "variant": "retinanet_resnet50_fpn"},
        BOXES,
        "score_threshold nms_iou shorter_side longer_side_at_most channels scale mean std tile",
    ),
    "ultralytics": (YOLO, MASKS, "score_threshold nms_iou nms tile"),
    "a head of its own": (OWN_HEAD, BOXES, "score_threshold nms tile"),
    "a head of its own in tiles": ({**OWN_HEAD, **TILES}, BOXES, "score_threshold nms_iou nms tile overlap"),
    "transformers": ({"adapter": "transformers"}, BOXES, "score_threshold tile"),
    "transformers in tiles": ({"adapter": "transformers", **TILES}, MASKS, "score_threshold nms_iou nms tile overlap"),
    "python": (OURS, BOXES, "tile"),
    "python in tiles": ({**OURS, **TILES}, ["instance"], "nms_iou nms tile overlap"),
    "classical": ({"adapter": "classical", "variant": "otsu"}, MASKS, "score_threshold tile"),
    "classical in tiles": (
        {"adapter": "classical", "variant": "otsu", **TILES},
        MASKS,
        "score_threshold nms_iou nms tile overlap",
    ),
    "a map of classical": ({"adapter": "classical", "variant": "kmeans", **TILES}, MAP, "tile overlap"),
    "rekognition": (HOSTED, BOXES, "score_threshold tile"),
    "rekognition in tiles": ({**HOSTED, **TILES}, BOXES, "score_threshold nms_iou nms tile overlap"),
    "small": ({"adapter": "small"}, [*BOXES, *MAP], "score_threshold nms_iou nms"),
    "small without boxes": ({"adapter": "small"}, MAP, ""),
    "recorded": ({"adapter": "recorded"}, BOXES, ""),
}
"""A model, its tasks, and which of its settings, those of its input among them, have an effect."""


@pytest.mark.parametrize("name", EFFECTS)
def test_the_sentence_names_every_setting_that_has_an_effect_and_no_other(name: str) -> None:
    given, tasks, effective = EFFECTS[name]
    before = settings(Model.model_validate(given), {"tasks": tasks})
    named = set()
    for field, value in (OTHER | OTHER_INPUT).items():
        other = {field: value} if field in OTHER else {"input": given.get("input", {}) | {field: value}}
        try:
            model = Model.model_validate(given | other)
            MODELS[model.adapter].check(model)
        except (ValidationError, InputError):  # what is refused has no effect
            continue
        if settings(model, {"tasks": tasks}) != before:
            named.add(field)
    assert named == set(effective.split())


def test_no_setting_is_left_out_of_the_sentence() -> None:
    assert OTHER.keys() | HEAD | {"input"} == DECISIVE
    assert OTHER_INPUT.keys() == ModelInput.model_fields.keys()
    assert {field for _, _, effective in EFFECTS.values() for field in effective.split()} == {*OTHER, *OTHER_INPUT}
    head = Model(adapter="onnx", variant="any", decoder="ssd", options={"level": 3})
    assert settings(head, {"tasks": MAP}) == "onnx any ssd (level 3); frames as they are"


def test_a_decoder_of_another_package_is_told() -> None:
    theirs = Model(adapter="small", decoder="theirs")
    told = "small theirs; frames as they are; boxes above 0.01, class-wise suppression at IoU 0.65"
    assert settings(theirs, {"tasks": ["detection"]}) == told


def test_a_head_without_suppression_is_said_to_be_one() -> None:
    given = {"adapter": "ultralytics", "weights": "yolo26n.pt"}
    usual = Model.model_validate({**given, "options": {"trust_pickle": True}})
    assert settings(usual, {"tasks": ["detection"]}).endswith("boxes above 0.01, class-wise suppression at IoU 0.7")
    own = Model.model_validate({**given, "options": {"trust_pickle": True, "end2end": True}})
    assert settings(own, {"tasks": ["detection"]}).endswith("boxes above 0.01, as the network gives them")
