import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.models.preprocess import place, prepare_inputs
from tasks.params import ModelInput

RESIZES = st.sampled_from(["stretch", "letterbox", "letterbox_top_left"])
SIDES = st.integers(8, 700)


@settings(max_examples=200, deadline=None)
@given(height=SIDES, width=SIDES, resize=RESIZES, size=st.tuples(st.integers(16, 640), st.integers(16, 640)))
def test_boxes_come_back_and_stay_inside(height: int, width: int, resize: str, size: tuple[int, int]) -> None:
    placement = place(height, width, ModelInput.model_validate({"size": size, "resize": resize}))
    whole = np.array([[0.0, 0.0, width, height], [width / 3, height / 4, width / 2, height]])
    there = placement.to_input(whole)
    np.testing.assert_allclose(placement.to_frame(there), whole, rtol=0, atol=1e-9 * max(height, width))
    # The frame's own corners are the corners of the area that it fills, which lies inside the input.
    left, top, right, bottom = there[0]
    assert (right - left, bottom - top) == pytest.approx((placement.width_px, placement.height_px))
    assert left >= 0
    assert top >= 0
    assert right <= size[1] + 1e-9
    assert bottom <= size[0] + 1e-9


@settings(max_examples=30, deadline=None)
@given(height=st.integers(40, 200), width=st.integers(40, 200), resize=RESIZES, seed=st.integers(0, 99))
def test_a_mark_in_the_frame_is_found_where_the_mapping_says(height: int, width: int, resize: str, seed: int) -> None:
    """An image with one bright rectangle: its centre of light in the input, mapped back, is its centre."""
    generator = np.random.default_rng(seed)
    x0, y0 = generator.integers(4, width - 24), generator.integers(4, height - 24)
    frame = np.zeros((height, width, 3), np.uint8)
    frame[y0 : y0 + 16, x0 : x0 + 16] = 200
    declared = ModelInput.model_validate({"size": (96, 128), "resize": resize, "pad": 0})
    (pixels,), placement = prepare_inputs([frame], declared)
    light = pixels[0].numpy()
    ys, xs = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    centre = [float((light * axis).sum() / light.sum()) for axis in (xs, ys)] * 2
    back = placement.to_frame(np.array([centre]))[0]
    assert back[:2] == pytest.approx([x0 + 8, y0 + 8], abs=0.6)


def test_pixels_are_those_of_opencv() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (60, 83, 3), dtype=np.uint8)
    frame = cv2.GaussianBlur(frame, (0, 0), 2)
    declared = ModelInput(size=(96, 112), resize="letterbox_top_left", channels="bgr", pad=114)
    (pixels,), _ = prepare_inputs([frame], declared)
    ratio = min(96 / 60, 112 / 83)
    inner = cv2.resize(frame[:, :, ::-1], (int(83 * ratio), int(60 * ratio)), interpolation=cv2.INTER_LINEAR)
    expected = np.full((96, 112, 3), 114, np.uint8)
    expected[: inner.shape[0], : inner.shape[1]] = inner
    np.testing.assert_array_equal(pixels.numpy().transpose(1, 2, 0), expected)


@settings(max_examples=60, deadline=None)
@given(
    frame=st.tuples(SIDES, SIDES), size=st.tuples(st.integers(16, 640), st.integers(16, 640)), seed=st.integers(0, 99)
)
def test_letterboxes_hold_whole_values_of_the_frame(frame: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    """Beside bilinear resizing in float64: OpenCV's weights of 11 bits are a grey level off at most."""
    noise = np.random.default_rng(seed).integers(0, 256, (*frame, 3), dtype=np.uint8)
    noise.flags.writeable = False
    declared = ModelInput(size=size, resize="letterbox", channels="bgr", pad=7)
    batch, placement = prepare_inputs([noise, noise[::-1]], declared)
    expected = np.full((*size, 3), 7.0)
    top, left = placement.offset_y, placement.offset_x
    exact = bilinear(bilinear(noise, placement.height_px).swapaxes(0, 1), placement.width_px).swapaxes(0, 1)
    expected[top : top + placement.height_px, left : left + placement.width_px] = exact[:, :, ::-1]
    pixels = batch.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(pixels, np.rint(pixels))
    assert np.abs(pixels[0] - expected).max() <= 1
    (alone,), _ = prepare_inputs([noise[::-1]], declared)
    np.testing.assert_array_equal(batch[1].numpy(), alone.numpy())


def bilinear(values: np.ndarray, length: int) -> np.ndarray:
    """Rows of `values` at the places that `length` rows of the same extent have their centres at."""
    places = ((np.arange(length) + 0.5) * len(values) / length - 0.5).clip(0, len(values) - 1)
    above, share = places.astype(int), (places % 1)[:, None, None]
    return values[above] * (1 - share) + values[np.minimum(above + 1, len(values) - 1)] * share


def test_values_are_scaled_then_normalised_in_the_declared_order() -> None:
    frame = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    declared = ModelInput(channels="bgr", scale=0.5, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))
    (pixels,), _ = prepare_inputs([frame], declared)
    assert pixels[:, 0, 0].tolist() == [(15 - 1) / 2, (10 - 2) / 4, (5 - 3) / 8]
    assert frame.tolist() == np.full((4, 4, 3), (10, 20, 30)).tolist()


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="takes 16x8 px"):
        place(16, 16, ModelInput(size=(8, 16)))
    with pytest.raises(InputError, match=r"needs input\.size"):
        place(16, 16, ModelInput(resize="stretch"))
