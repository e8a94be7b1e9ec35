"""Finds of no numbers are refused, whatever decoder reads them; the file is named."""

from typing import Any

import numpy as np
import pytest
import torch

from tasks.errors import InputError
from tasks.models.decoded import predictor
from tasks.models.decoders import DECODERS, described
from tasks.params import Model

FRAME = np.zeros((64, 64, 3), np.uint8)
CELLS = 8 * 8 + 4 * 4 + 2 * 2
NAMES = ["car", "bus", "tram"]

LIKELY = {  # one find of class 0 that is above every threshold, and of what shape the rest is
    "yolox": {"0": (1, CELLS, 8)},
    "yolo11": {"0": (1, 7, CELLS)},
    "yolo11_masks": {"0": (1, 39, CELLS), "1": (1, 32, 16, 16)},
    "yolo_end_to_end": {"0": (1, 9, 6)},
    "ssd": {"boxes": (1, 9, 4), "scores": (1, 9, 4)},
    "tf_detections": {
        "detection_boxes": (1, 9, 4),
        "detection_classes": (1, 9),
        "detection_scores": (1, 9),
        "num_detections": (1,),
    },
    "detr": {"logits": (1, 9, 4), "pred_boxes": (1, 9, 4)},
    "detections": {"boxes": (9, 4), "labels": (9,), "scores": (9,)},
    "instances": {"boxes": (9, 4), "labels": (9,), "scores": (9,), "masks": (9, 1, 64, 64)},
    "boxes": {"boxes": (9, 4), "labels": (9,), "scores": (9,)},
}


def predict(decoder: str, said: dict[str, torch.Tensor]) -> Any:
    given = Model.model_validate(
        {"adapter": "onnx", "weights": "net.onnx", "decoder": decoder, "classes": NAMES, "score_threshold": 0.3}
    )
    known = described(DECODERS[decoder], dict(enumerate(NAMES)))
    loaded = predictor(lambda pixels: said, given, known, who="net.onnx", device="cpu")
    return loaded.predict([FRAME])[0]


def test_every_decoder_of_finds_is_here() -> None:
    assert LIKELY.keys() == {name for name, decoder in DECODERS.items() if decoder.read is not None}


@pytest.mark.parametrize("decoder", LIKELY)
def test_an_output_of_nan_is_refused(decoder: str) -> None:
    said = {name: torch.full(shape, torch.nan) for name, shape in LIKELY[decoder].items()}
    if "labels" in said:
        said["labels"] = torch.zeros(9, dtype=torch.int64)
    with pytest.raises(InputError, match=r"^net\.onnx: the network gave NaN in its scores: it is broken, or half "):
        predict(decoder, said)


def cell(decoder: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """An output of zeros with one find, and the numbers of that find."""
    said = {name: torch.zeros(shape) for name, shape in LIKELY[decoder].items()}
    row = said["0"][0, 3] if decoder == "yolox" else said["0"][0, :, 3]
    row[:4] = torch.tensor([20.0, 20.0, 3.0, 3.0])
    row[4:6] = 0.9
    if decoder == "yolo11_masks":
        row[-32:] = said["1"][:] = 1
    return said, row


@pytest.mark.parametrize("decoder", ["yolox", "yolo11", "yolo11_masks"])
def test_one_nan_is_enough_where_it_would_lose_or_move_a_find(decoder: str) -> None:
    said, row = cell(decoder)
    assert len(predict(decoder, said).boxes) == 1
    for place, words in ((4, "NaN in its scores"), (5, "NaN in its scores"), (0, "boxes should be finite")):
        said, row = cell(decoder)
        row[place] = torch.nan
        with pytest.raises(InputError, match=rf"^net\.onnx: .*{words}"):
            predict(decoder, said)


def test_infinite_logits_of_detr_are_refused_and_ruled_out_ones_are_not() -> None:
    said = {name: torch.zeros(shape) for name, shape in LIKELY["detr"].items()}
    said["logits"][0, 2] = torch.tensor([5.0, -torch.inf, 0.0, 0.0])
    assert predict("detr", said).class_ids.tolist() == [0]
    said["logits"][0, 4, 1] = torch.inf
    with pytest.raises(InputError, match="NaN in its scores"):
        predict("detr", said)


@pytest.mark.parametrize("decoder", ["yolo11_masks", "instances"])
def test_masks_of_nan_are_refused(decoder: str) -> None:
    if decoder == "instances":
        said = {name: torch.zeros(shape) for name, shape in LIKELY[decoder].items()}
        said["labels"], said["scores"][0], said["boxes"][0, 2:] = torch.zeros(9, dtype=torch.int64), 0.9, 30.0
        said["masks"][0, 0, 9, 9] = torch.nan
    else:
        said, row = cell(decoder)
        row[10] = torch.nan
    with pytest.raises(InputError, match=r"^net\.onnx: the network gave NaN in its masks: "):
        predict(decoder, said)
