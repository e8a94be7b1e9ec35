"""Label maps and labels from logits: from bounded memory, and none from what is no number."""

import resource
from typing import Any

import numpy as np
import pytest
import torch

from tasks.errors import InputError
from tasks.models import logits
from tasks.models.logits import Classifier, Mapper, largest
from tasks.models.preprocess import place
from tasks.params import ModelInput

FRAME = np.zeros((60, 90, 3), np.uint8)
LETTERBOX = ModelInput(resize="letterbox", size=(96, 96))


def class_by_class(said: torch.Tensor, height: int, width: int, settings: ModelInput) -> torch.Tensor:
    before = logits.WHOLE_BYTES
    logits.WHOLE_BYTES = 0
    try:
        return largest(said, place(height, width, settings), height_px=height, width_px=width)
    finally:
        logits.WHOLE_BYTES = before


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("settings", "coarse"),
    [
        ({"resize": "stretch", "size": (96, 160)}, 4),
        ({"resize": "stretch", "size": (80, 72)}, 1),
        ({"resize": "letterbox", "size": (128, 160)}, 8),
        ({"resize": "letterbox_top_left", "size": (128, 128)}, 4),
        ({"resize": "shorter_side", "shorter_side": 100}, 5),
        ({"resize": "none"}, 1),
    ],
)
@pytest.mark.parametrize("frame", [(135, 240), (300, 97), (70, 61)])
def test_class_by_class_is_the_argmax_of_all(
    settings: dict[str, Any], coarse: int, frame: tuple[int, int], seed: int
) -> None:
    """To the bit, up and down, with padding and without; every tenth value is taken twice, so that there are ties."""
    declared = ModelInput.model_validate(settings)
    where = place(*frame, declared)
    size = (-(-where.input_height_px // coarse), -(-where.input_width_px // coarse))
    said = torch.randn(21, *size, generator=torch.Generator().manual_seed(seed))
    said[13, ::2], said[5, :, ::3] = said[4, ::2], said[6, :, ::3]
    expected = where.values_to_frame(said, height_px=frame[0], width_px=frame[1]).argmax(dim=0)
    before = said.clone()
    for found in (
        class_by_class(said, *frame, declared),
        largest(said, where, height_px=frame[0], width_px=frame[1]),
    ):
        assert found.dtype == torch.uint8
        assert torch.equal(found, expected.to(torch.uint8))
    assert torch.equal(said, before)


def test_many_classes_at_4k_take_little_memory() -> None:
    """Together they would take 2 GB; what the process took at most so far may hide some of what is taken here."""
    said = torch.randn(60, 32, 32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings = ModelInput(resize="stretch", size=(128, 128))
    found = largest(said, place(2160, 3840, settings), height_px=2160, width_px=3840)
    assert len(found.unique()) > 20
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 256


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_of_no_numbers_is_refused(value: float) -> None:
    said = torch.zeros(1, 3, 24, 24)
    said[0, 1, 5, 5] = value
    words = r"^net\.onnx gave NaN or infinity in its logits: it is broken, or half precision overflowed in it\.$"
    with pytest.raises(InputError, match=words):
        Mapper(lambda pixels: said, LETTERBOX, "cpu", who="net.onnx").predict([FRAME])


def test_a_class_may_be_ruled_out() -> None:
    """By minus infinity, everywhere or in a half; and sums that overflow are no harm."""
    said = torch.zeros(1, 3, 24, 24)
    said[0, 0], said[0, 1, :, :12] = -torch.inf, -torch.inf
    said[0, 2] = -1
    kept = said.clone()
    (output,) = Mapper(lambda pixels: said, LETTERBOX, "cpu").predict([FRAME])
    assert output.label_map is not None
    assert (output.label_map[:, :40] == 2).all()
    assert (output.label_map[:, 50:] == 1).all()
    assert torch.equal(said, kept)
    (huge,) = Mapper(lambda pixels: torch.full((1, 3, 24, 24), 3e38), LETTERBOX, "cpu").predict([FRAME])
    assert not huge.label_map.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_labels_of_no_numbers_are_refused(value: float) -> None:
    said = torch.tensor([[0.0, value, 1.0]])
    with pytest.raises(InputError, match=r"^net\.onnx gave NaN or infinity in its logits"):
        Classifier(lambda pixels: said, LETTERBOX, "cpu", who="net.onnx").predict([FRAME])
    ruled_out = torch.tensor([[0.0, -np.inf, 0.0]])
    (output,) = Classifier(lambda pixels: ruled_out, LETTERBOX, "cpu").predict([FRAME])
    assert output.probabilities.tolist() == [0.5, 0.0, 0.5]
