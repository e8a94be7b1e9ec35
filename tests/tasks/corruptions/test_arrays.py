"""Both back ends of array operations against SciPy and against plain loops."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.arrays.on_torch import Torch
from tasks.corruptions.arrays.opencv import OpenCV
from tasks.corruptions.seeds import Moments, moment

SCIPY = {"edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "zero": "constant"}


@pytest.fixture(params=["opencv", "torch"])
def arrays(request: pytest.FixtureRequest) -> Arrays:
    return OpenCV() if request.param == "opencv" else Torch(torch.device("cpu"))


def batch(channels: int = 3, kind: type = np.uint8) -> NDArray[Any]:
    random = np.random.default_rng(4)
    return random.integers(0, 256, (2, 33, 47, channels)).astype(kind)


def given(arrays: Arrays, values: NDArray[Any]) -> Array:
    return arrays.array(values)


def splitmix64(key: int, count: int) -> list[int]:
    """Steele, Lea and Flood's generator, one number at a time."""
    out = []
    for _ in range(count):
        key = (key + 0x9E3779B97F4A7C15) % 2**64
        z = key
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        out.append(z ^ (z >> 31))
    return out


def test_splitmix_as_published() -> None:
    # The first outputs for seed 1234567, as in Rosetta Code and the generator's C source.
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("shape", [(5,), (7, 9, 3), (200, 331, 3)])
def test_fields_are_splitmix_words(arrays: Arrays, shape: tuple[int, ...]) -> None:
    keys = np.array([1234567, 2**64 - 5], dtype=np.uint64)
    field = arrays.host(arrays.field(keys, shape)).astype(np.int64)
    assert field.shape == (2, *shape)
    count = int(np.prod(shape))
    for key, own in zip(keys, field, strict=True):
        words = [
            number >> shift & 0xFFFF for number in splitmix64(int(key), -(-count // 4)) for shift in (0, 16, 32, 48)
        ]
        np.testing.assert_array_equal(own.ravel(), words[:count])


def test_tables(arrays: Arrays) -> None:
    frames = batch()
    random = np.random.default_rng(0)
    table = random.integers(0, 256, 256).astype(np.uint8)
    np.testing.assert_array_equal(arrays.host(arrays.lut(given(arrays, frames), arrays.array(table))), table[frames])
    own = random.integers(0, 256, (2, 3, 256)).astype(np.uint8)
    out = arrays.host(arrays.lut(given(arrays, frames), arrays.array(own)))
    for at, channel in np.ndindex(2, 3):
        np.testing.assert_array_equal(out[at, :, :, channel], own[at, channel][frames[at, :, :, channel]])
    grid = random.integers(0, 256, (256, 300)).astype(np.uint8)
    columns = random.integers(0, 300, frames.shape).astype(np.uint16)
    given_columns = given(arrays, columns.astype(np.int32))
    out = arrays.host(arrays.lut2(given(arrays, frames), given_columns, arrays.array(grid)))
    np.testing.assert_array_equal(out, grid[frames, columns])
    field = arrays.field(np.array([3], dtype=np.uint64), (20, 30))
    wide = random.normal(size=65536).astype(np.float32)
    np.testing.assert_array_equal(
        arrays.host(arrays.lut(field, arrays.array(wide))), wide[arrays.host(field).astype(np.int64)]
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_codes_are_cut(arrays: Arrays, channels: int) -> None:
    values = np.linspace(-300, 300, 2 * 33 * 47 * channels, dtype=np.float32).reshape(2, 33, 47, channels)
    out = arrays.host(arrays.to_codes(given(arrays, values)))
    assert out.dtype == np.uint8
    sure = np.abs(values - np.rint(values)) > 1 / 200
    np.testing.assert_array_equal(out[sure], np.clip(np.floor(values), 0, 255).astype(np.uint8)[sure])
    whole = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)
    for offset in (0, -1e-4, 1e-4):  # float32's last bits
        np.testing.assert_array_equal(arrays.host(arrays.to_codes(given(arrays, whole + np.float32(offset)))), whole)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels(arrays: Arrays, channels: int) -> None:
    frames = batch(channels)
    own = given(arrays, frames)
    np.testing.assert_array_equal(arrays.host(arrays.channel_max(own)), frames.max(axis=-1))
    np.testing.assert_array_equal(arrays.host(arrays.channel_min(own)), frames.min(axis=-1))
    np.testing.assert_allclose(arrays.channel_means(own), frames.mean(axis=(1, 2)), rtol=1e-12)
    luma = frames @ np.array([0.299, 0.587, 0.114]) if channels == 3 else frames[..., 0]
    np.testing.assert_allclose(arrays.host(arrays.luma(own)), luma, atol=1e-3)
    mixed = arrays.host(arrays.mix(own, 0.3, given(arrays, frames[::-1].copy()), 0.9))
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, frames * 0.3 + frames[::-1] * 0.9, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("border", ["edge", "reflect", "symmetric", "zero"])
def test_neighbourhoods(arrays: Arrays, border: Any, channels: int) -> None:
    frames = batch(channels, np.float32)
    own = given(arrays, frames)
    mode = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric", "zero": "constant"}[border]
    padded = np.pad(frames, ((0, 0), (3, 5), (2, 9), (0, 0)), mode=mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(arrays.host(arrays.pad(own, 3, 5, 2, 9, border)), padded)
    column, row = np.array([0.1, 0.3, 0.6]), np.array([0.2, 0.1, 0.4, 0.0, 0.3])
    expected = np.stack(
        [
            np.stack(
                [
                    ndimage.correlate1d(
                        ndimage.correlate1d(image[..., channel].astype(float), column, axis=0, mode=SCIPY[border]),
                        *(row, 1),
                        mode=SCIPY[border],
                    )
                    for channel in range(channels)
                ],
                axis=-1,
            )
            for image in frames
        ]
    )
    np.testing.assert_allclose(arrays.host(arrays.separable(own, column, row, border)), expected, atol=2e-3)
    kernel = np.outer(column, row)
    np.testing.assert_allclose(arrays.host(arrays.convolve(own, kernel, border)), expected, atol=2e-3)
    steps, weights = [(0, 0), (-2, 3), (4, -1)], [0.5, 0.3, 0.2]
    wide = np.pad(frames, ((0, 0), (5, 5), (5, 5), (0, 0)), mode=mode)  # type: ignore[call-overload]
    shifted = sum(
        weight * wide[:, 5 + dy : 5 + dy + 33, 5 + dx : 5 + dx + 47]
        for (dy, dx), weight in zip(steps, weights, strict=True)
    )
    np.testing.assert_allclose(arrays.host(arrays.shifted_sum(own, steps, weights, border)), shifted, atol=1e-3)


@pytest.mark.parametrize("border", ["edge", "reflect", "symmetric", "zero"])
def test_samples_are_bilinear(arrays: Arrays, border: Any) -> None:
    frames = batch(3, np.float32)
    random = np.random.default_rng(2)
    rows = (np.mgrid[:33, :47][0] + random.normal(scale=3, size=(2, 33, 47))).astype(np.float32)
    columns = (np.mgrid[:33, :47][1] + random.normal(scale=3, size=(2, 33, 47))).astype(np.float32)
    if border == "zero":  # SciPy's constant border is not interpolated across; ours is, as OpenCV's
        rows, columns = rows.clip(0, 32), columns.clip(0, 46)
    out = arrays.host(arrays.sample(given(arrays, frames), given(arrays, rows), given(arrays, columns), border))
    for at, channel in np.ndindex(2, 3):
        expected = ndimage.map_coordinates(
            frames[at, :, :, channel].astype(float), (rows[at], columns[at]), order=1, mode=SCIPY[border]
        )
        np.testing.assert_allclose(out[at, :, :, channel], expected, atol=0.05)


@pytest.mark.parametrize(("top", "left", "step"), [(0.0, 0.0, 0.9), (2.3, 1.7, 0.61), (0.0, 0.0, 1.0)])
def test_stretch_is_a_regular_sample(arrays: Arrays, top: float, left: float, step: float) -> None:
    frames = batch(3, np.float32)
    out = arrays.host(arrays.stretch(given(arrays, frames), height=34, width=48, top=top, left=left, step=step))
    places = np.meshgrid(top + step * np.arange(34), left + step * np.arange(48), indexing="ij")
    for at, channel in np.ndindex(2, 3):
        expected = ndimage.map_coordinates(frames[at, :, :, channel].astype(float), places, order=1, mode="nearest")
        np.testing.assert_allclose(out[at, :, :, channel], expected, atol=0.05)


def test_pixels_by_number(arrays: Arrays) -> None:
    frames = batch()
    index = np.random.default_rng(1).integers(0, 33 * 47, (2, 33, 47))
    out = arrays.host(arrays.gather(given(arrays, frames), given(arrays, index)))
    for at in range(2):
        np.testing.assert_array_equal(out[at], frames[at].reshape(-1, 3)[index[at]])


@pytest.mark.parametrize("channels", [1, 3])
def test_tables_over_two_codes(arrays: Arrays, channels: int) -> None:
    frames = batch(channels)
    other = frames[::-1].copy()
    random = np.random.default_rng(0)
    for table in (random.integers(0, 256, (256, 256)).astype(np.uint8), random.random((256, 256)).astype(np.float32)):
        for rows, columns in ((frames, other), (frames[..., :1].copy(), other), (frames[..., 0], other[..., 0])):
            out = arrays.host(arrays.lut2(given(arrays, rows), given(arrays, columns), arrays.array(table)))
            np.testing.assert_array_equal(out, table[rows, columns])


@pytest.mark.parametrize("border", ["edge", "reflect", "symmetric", "zero"])
def test_codes_are_filtered_as_floats(arrays: Arrays, border: Any) -> None:
    frames, kernel = batch(), np.array([0.2, 0.1, 0.4, 0.0, 0.3])
    codes = arrays.host(arrays.separable(given(arrays, frames), kernel, kernel, border))
    floats = arrays.host(arrays.separable(given(arrays, frames.astype(np.float32)), kernel, kernel, border))
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes, floats, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_steps_of_each_frames_own(arrays: Arrays, channels: int) -> None:
    frames = batch(channels)
    steps, weights = np.array([[(0, 0), (-2, 3)], [(4, -1), (1, 0)]]), np.array([[0.5, 0.3], [0.2, 0.0]])
    for own_weights in (weights, weights[0]):
        out = arrays.host(arrays.trails(given(arrays, frames), steps, own_weights, "edge"))
        for at in range(2):
            shares = np.broadcast_to(own_weights, (2, 2))[at].tolist()
            alone = arrays.shifted_sum(given(arrays, frames[at : at + 1]), steps[at].tolist(), shares, "edge")
            np.testing.assert_allclose(out[at], arrays.host(alone)[0], atol=1e-3)


@pytest.mark.parametrize("half_widths", [[0], [0, 2, 1], [1, 0, 3, 3, 0], [130, 4, 130]])
@pytest.mark.parametrize("channels", [1, 3])
def test_sums_over_runs(arrays: Arrays, half_widths: list[int], channels: int) -> None:
    frames = batch(channels)
    kernel = np.zeros((len(half_widths), 2 * max(half_widths) + 1))
    for row, half in zip(kernel, half_widths, strict=True):
        row[max(half_widths) - half : max(half_widths) + half + 1] = 1
    out = arrays.host(arrays.run_sums(given(arrays, frames), half_widths, "edge"))
    for at, channel in np.ndindex(2, channels):
        wanted = ndimage.correlate(frames[at, :, :, channel].astype(float), kernel, mode="nearest")
        np.testing.assert_array_equal(out[at, :, :, channel], wanted)


def test_a_step_down_and_another_across(arrays: Arrays) -> None:
    frames = batch(3, np.float32)
    out = arrays.stretch(given(arrays, frames), height=20, width=30, top=1.5, left=2.0, step=0.8, step_across=1.1)
    places = np.meshgrid(1.5 + 0.8 * np.arange(20), 2.0 + 1.1 * np.arange(30), indexing="ij")
    expected = ndimage.map_coordinates(frames[1, :, :, 2].astype(float), places, order=1, mode="nearest")
    np.testing.assert_allclose(arrays.host(out)[1, :, :, 2], expected, atol=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_pillows(arrays: Arrays, channels: int) -> None:
    frames = batch(channels)
    images = [Image.fromarray(frame.squeeze()) for frame in frames]
    for height, width in ((1, 1), (3, 4), (10, 14), (16, 23), (23, 31), (32, 46), (33, 47)):
        small = np.stack([np.asarray(image.resize((width, height), Image.Resampling.BOX)) for image in images])
        out = arrays.host(arrays.shrink(given(arrays, frames), height, width))
        np.testing.assert_array_equal(out, small.reshape(out.shape))
        assert out.shape == (2, height, width, channels)
        near = arrays.host(arrays.enlarge(given(arrays, out), 33, 47))
        seen = [np.asarray(Image.fromarray(own).resize((47, 33), Image.Resampling.NEAREST)) for own in small]
        np.testing.assert_array_equal(near, np.stack(seen).reshape(near.shape))


def test_what_belongs_to_a_clip_is_made_once(arrays: Arrays) -> None:
    calls: list[int] = []

    def make(seeds: NDArray[np.uint64]) -> Array:
        calls.extend(int(seed) for seed in seeds)
        return arrays.array(np.stack([np.full((2, 3), float(seed % np.uint64(97)), np.float32) for seed in seeds]))

    def of(*clips: str) -> Moments:
        return Moments.of([moment("fog", 0, clip, index) for index, clip in enumerate(clips)])

    first = arrays.host(arrays.per_clip(of("a", "a", "b"), "key", make))
    assert first.shape == (3, 2, 3)
    np.testing.assert_array_equal(first[0], first[1])
    assert (first[0] != first[2]).any()
    assert len(set(calls)) == len(calls) == 2
    arrays.per_clip(of("a"), "key", make)
    known = len(calls)
    again = arrays.host(arrays.per_clip(of("a"), "key", make))
    np.testing.assert_array_equal(again[0], first[0])
    assert len(calls) == known
    arrays.per_clip(of("a"), "another key", make)
    assert len(calls) == known + 1


def test_sums_of_codes_are_held(arrays: Arrays) -> None:
    frames = batch()
    out = arrays.host(arrays.add_codes(given(arrays, frames), given(arrays, frames[::-1])))
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, np.minimum(frames.astype(int) + frames[::-1], 255))


def test_codes_and_steps_are_held(arrays: Arrays) -> None:
    frames = batch()
    steps = np.random.default_rng(0).integers(-300, 300, frames.shape).astype(np.int16)
    out = arrays.host(arrays.add_codes(given(arrays, frames), given(arrays, steps)))
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, np.clip(frames.astype(int) + steps, 0, 255))


def test_places_of_what_is_true(arrays: Arrays) -> None:
    mask = np.random.default_rng(0).random(100) < 0.3
    found = arrays.host(arrays.places(given(arrays, mask)))
    assert found.tolist() == [at for at, true in enumerate(mask) if true]


def test_extremes_of_each_frame(arrays: Arrays) -> None:
    for values in (batch(), batch(kind=np.float32)[..., 0]):
        expected = (2,) + (1,) * (values.ndim - 1)
        for found, wanted in ((arrays.lowest, np.min), (arrays.highest, np.max)):
            out = arrays.host(found(given(arrays, values)))
            assert out.dtype == np.float32
            np.testing.assert_array_equal(out, np.reshape([wanted(frame) for frame in values], expected))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_planes_spread_and_turned(arrays: Arrays, kind: type) -> None:
    plane = batch(1, kind)[..., 0]
    for channels in (1, 3):
        spread = arrays.host(arrays.spread(given(arrays, plane), channels))
        np.testing.assert_array_equal(spread, np.repeat(plane[..., None], channels, axis=-1))
    np.testing.assert_array_equal(arrays.host(arrays.turned(given(arrays, plane))), np.rot90(plane, 2, axes=(1, 2)))


@pytest.mark.parametrize(("height", "width"), [(20, 30), (33, 47), (70, 100)])
def test_windows_onto_what_repeats(arrays: Arrays, height: int, width: int) -> None:
    plane = batch(1)[..., 0]
    top, left = np.array([-5, 10**9]), np.array([-1000, 46])
    out = arrays.host(arrays.window(given(arrays, plane), top, left, height=height, width=width))
    for at in range(2):
        rolled = np.roll(plane[at], (-top[at], -left[at]), axis=(0, 1))
        np.testing.assert_array_equal(out[at], np.tile(rolled, (4, 4))[:height, :width])


@pytest.mark.parametrize("border", ["edge", "zero"])
def test_trails_are_shifted_sums_of_each_frame(arrays: Arrays, border: Any) -> None:
    plane = batch(1, np.float32)[..., 0]
    steps = np.array([[(0, 0), (-2, 1), (5, 0)], [(3, -4), (0, 0), (-1, -1)]])
    weights = [0.5, 0.3, 0.25]
    out = arrays.host(arrays.trails(given(arrays, plane), steps, weights, border))
    for at in range(2):
        own = given(arrays, plane[at : at + 1])
        alone = arrays.shifted_sum(own, [tuple(step) for step in steps[at]], weights, border)
        np.testing.assert_allclose(out[at], arrays.host(alone)[0], atol=1e-3)


def test_stretch_with_another_step_across(arrays: Arrays) -> None:
    plane = batch(1, np.float32)[..., 0]
    out = arrays.host(
        arrays.stretch(given(arrays, plane), height=60, width=50, top=0.0, left=0.0, step=0.4, step_across=0.7)
    )
    places = np.meshgrid(0.4 * np.arange(60), 0.7 * np.arange(50), indexing="ij")
    for at in range(2):
        expected = ndimage.map_coordinates(plane[at].astype(float), places, order=1, mode="nearest")
        np.testing.assert_allclose(out[at], expected, atol=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sum_of_stretches(arrays: Arrays, channels: int) -> None:
    frames = batch(channels)
    views = [(0.0, 0.0, 0.9, 0.8), (4, 2, 0.7, 0.75)]
    out = arrays.host(arrays.stretch_sum(given(arrays, frames), 2, views))
    assert out.dtype == np.float32
    for at, channel in np.ndindex(2, channels):
        plane = frames[at, :, :, channel].astype(float)
        expected = 2 * plane
        for top, left, down, across in views:
            places = np.meshgrid(top + down * np.arange(33), left + across * np.arange(47), indexing="ij")
            expected = expected + ndimage.map_coordinates(plane, places, order=1, mode="nearest")
        np.testing.assert_allclose(out[at, :, :, channel], expected, atol=0.1)
