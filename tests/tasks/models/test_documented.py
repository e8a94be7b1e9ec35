"""The examples of docs/models.md are params that the adapters take; its table of torchvision's networks is theirs."""

import re
from pathlib import Path

import pytest
import yaml

from tasks.models import MODELS, settle
from tasks.models.torchvision_networks import NETWORKS
from tasks.models.wording import settings
from tasks.params import Model

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
    assert settings(model, tasks=["detection"]).startswith(model.adapter)


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
    assert settings(model, tasks=["detection"]) == (
        "onnx yolox; frames in tiles of 200x300 px that overlap by 0.25, letterboxed at the top left of 320x416 px, "
        "BGR, times 0.5, less (1, 2, 3) over (1, 1, 1); boxes above 0.1, soft suppression of sigma 0.5"
    )
    labeller = Model(adapter="torchvision", variant="resnet18")
    assert settings(labeller, tasks=["classification"]) == (
        "torchvision resnet18; frames resized to a shorter side of 256 px, cropped to 224x224 px, antialiased, "
        "times 0.00392157, less (0.485, 0.456, 0.406) over (0.229, 0.224, 0.225)"
    )


def test_a_head_without_suppression_is_said_to_be_one() -> None:
    given = {"adapter": "ultralytics", "weights": "yolo26n.pt"}
    usual = Model.model_validate({**given, "options": {"trust_pickle": True}})
    assert settings(usual, tasks=["detection"]).endswith("boxes above 0.01, class-wise suppression at IoU 0.7")
    own = Model.model_validate({**given, "options": {"trust_pickle": True, "end2end": True}})
    assert settings(own, tasks=["detection"]).endswith("boxes above 0.01, as the network gives them")
