"""From the input back to the frame: every way of resizing, its padding and its cropping included."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional as transforms

from tasks.errors import InputError
from tasks.models.preprocess import place, prepare_inputs
from tasks.params import ModelInput

SIDES = st.integers(8, 300)


@st.composite
def inputs(draw: st.DrawFn) -> ModelInput:
    resize = draw(st.sampled_from(["none", "stretch", "letterbox", "letterbox_top_left", "shorter_side"]))
    if resize == "none":
        return ModelInput()
    if resize == "shorter_side":
        short = draw(st.integers(16, 300))
        crop = draw(st.none() | st.tuples(st.integers(4, short), st.integers(4, short)))
        return ModelInput(resize="shorter_side", shorter_side=short, crop=crop)
    return ModelInput.model_validate(
        {"resize": resize, "size": draw(st.tuples(st.integers(16, 300), st.integers(16, 300)))}
    )


@settings(max_examples=200, deadline=None)
@given(height=SIDES, width=SIDES, declared=inputs(), data=st.data())
def test_boxes_come_back(height: int, width: int, declared: ModelInput, data: st.DataObject) -> None:
    placement = place(height, width, declared)
    corners = st.floats(0, 1)
    x0, x1 = sorted((data.draw(corners) * width, data.draw(corners) * width))
    y0, y1 = sorted((data.draw(corners) * height, data.draw(corners) * height))
    box = np.array([[x0, y0, x1, y1]])
    np.testing.assert_allclose(placement.to_frame(placement.to_input(box)), box, rtol=0, atol=1e-9 * max(height, width))


@settings(max_examples=100, deadline=None)
@given(height=SIDES, width=SIDES, declared=inputs(), seed=st.integers(0, 99))
def test_each_pixel_of_a_map_comes_from_under_its_centre(
    height: int, width: int, declared: ModelInput, seed: int
) -> None:
    placement = place(height, width, declared)
    there = np.random.default_rng(seed).integers(
        0, 255, (placement.input_height_px, placement.input_width_px), np.uint8
    )
    back = placement.classes_to_frame(there, height_px=height, width_px=width)
    assert back.shape == (height, width)
    top, left = max(placement.offset_y, 0), max(placement.offset_x, 0)
    bottom = min(placement.offset_y + placement.height_px, len(there)) - 1
    right = min(placement.offset_x + placement.width_px, there.shape[1]) - 1
    for y, x in [(0, 0), (height - 1, width - 1), (height // 2, width // 3)]:
        ((at_x, at_y, _, _),) = placement.to_input(np.array([[x + 0.5, y + 0.5, 0, 0]]))
        assert back[y, x] == there[min(max(int(at_y // 1), top), bottom), min(max(int(at_x // 1), left), right)]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    factor=st.integers(1, 4),
    resize=st.sampled_from(["stretch", "letterbox", "letterbox_top_left"]),
    more=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    seed=st.integers(0, 99),
)
def test_maps_come_back_to_the_pixel_where_the_size_is_a_multiple(
    height: int, width: int, factor: int, resize: str, more: tuple[int, int], seed: int
) -> None:
    """What a perfect network would say of the input, padding and all, is what it would say of the frame."""
    inner = (height * factor, width * factor)
    size = inner if resize == "stretch" else (inner[0] + more[0], inner[1])  # padded above and below, or below
    declared = ModelInput.model_validate({"resize": resize, "size": size})
    placement = place(height, width, declared)
    assert (placement.height_px, placement.width_px) == inner
    truth = np.random.default_rng(seed).integers(0, 9, (height, width), np.uint8)
    there = np.full(size, 200, np.uint8)  # 200: padding
    top, left = placement.offset_y, placement.offset_x
    there[top : top + inner[0], left : left + inner[1]] = truth.repeat(factor, 0).repeat(factor, 1)
    np.testing.assert_array_equal(placement.classes_to_frame(there, height_px=height, width_px=width), truth)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(20, 120), width=st.integers(20, 120), declared=inputs(), data=st.data())
def test_masks_come_back(height: int, width: int, declared: ModelInput, data: st.DataObject) -> None:
    """A rectangle put into the input where the mapping says: back in the frame it is right to a pixel of its edges."""
    assume(declared.crop is None)
    placement = place(height, width, declared)
    assume(min(placement.scale_x, placement.scale_y) >= 1)  # finer than the frame: nothing is lost on the way
    x0, y0 = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    x1, y1 = data.draw(st.integers(x0 + 8, width)), data.draw(st.integers(y0 + 8, height))
    ((left, top, right, bottom),) = placement.to_input(np.array([[x0, y0, x1, y1]], np.float64)).round().astype(int)
    there = torch.zeros(1, placement.input_height_px, placement.input_width_px)
    there[:, top:bottom, left:right] = 1
    back = placement.values_to_frame(there, height_px=height, width_px=width)[0] > 0.5
    assert tuple(back.shape) == (height, width)
    expected = torch.zeros(height, width, dtype=torch.bool)
    expected[y0:y1, x0:x1] = True
    ys, xs = torch.nonzero(back != expected, as_tuple=True)
    near = (np.abs(ys[:, None] + 0.5 - torch.tensor([y0, y1])).amin(1) <= 1) | (
        np.abs(xs[:, None] + 0.5 - torch.tensor([x0, x1])).amin(1) <= 1
    )
    assert near.all()


def test_coarse_values_lose_their_padding() -> None:
    """A network of stride 8: a column of the grid is 8 of the input; those of the padding say something else."""
    placement = place(64, 32, ModelInput(resize="letterbox", size=(64, 64)))
    coarse = torch.full((1, 8, 8), 7.0)
    coarse[:, :, 2:6] = 1.0  # where the frame lies: columns 16 to 48
    back = placement.values_to_frame(coarse, height_px=64, width_px=32)
    assert tuple(back.shape) == (1, 64, 32)
    assert float(back[0, :, 4:28].max()) == 1.0
    with pytest.raises(InputError, match="cannot tell what is there"):
        place(64, 32, ModelInput(resize="shorter_side", shorter_side=32, crop=(32, 32))).values_to_frame(
            coarse, height_px=64, width_px=32
        )


@settings(max_examples=25, deadline=None)
@given(height=st.integers(30, 200), width=st.integers(30, 200), short=st.integers(16, 90), antialias=st.booleans())
def test_shorter_side_and_crop_are_torchvision_s(height: int, width: int, short: int, antialias: bool) -> None:
    frame = np.random.default_rng(height).integers(0, 255, (height, width, 3), dtype=np.uint8)
    crop = (short, max(short - 5, 1))
    declared = ModelInput(resize="shorter_side", shorter_side=short, crop=crop, antialias=antialias)
    (pixels,), placement = prepare_inputs([frame], declared)
    resized = transforms.resize(torch.tensor(frame).permute(2, 0, 1), [short], antialias=antialias)
    np.testing.assert_array_equal(pixels.numpy(), transforms.center_crop(resized, list(crop)).numpy())
    assert (placement.height_px, placement.width_px) == tuple(resized.shape[1:])


def test_the_longer_side_is_bounded() -> None:
    placement = place(100, 400, ModelInput(resize="shorter_side", shorter_side=80, longer_side_at_most=200))
    assert (placement.height_px, placement.width_px) == (50, 200)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"resize": "shorter_side"}, "needs input.shorter_side"),
        ({"resize": "shorter_side", "shorter_side": 9, "size": [9, 9]}, "not size"),
        ({"resize": "shorter_side", "shorter_side": 9, "crop": [9, 10]}, "larger than the shorter side of 9 px"),
        (
            {"resize": "stretch", "size": [9, 9], "crop": [3, 3]},
            "crop goes with input.resize: shorter_side, got 'stretch'",
        ),
        ({"longer_side_at_most": 3}, "longer_side_at_most goes with"),
        (
            {"resize": "shorter_side", "shorter_side": 80, "longer_side_at_most": 90, "crop": [80, 80]},
            "does not fit into",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_sentence(declared: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        place(100, 400, ModelInput.model_validate(declared))
