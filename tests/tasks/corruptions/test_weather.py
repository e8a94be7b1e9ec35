"""Given the same random numbers, weather is the reference's; from frame to frame snow falls, fog drifts, ice stays."""

import math
import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.special import ndtri
from scipy.stats import kstest
from skimage.metrics import structural_similarity

from tasks.corruptions import CORRUPTIONS, corrupt, reference
from tasks.corruptions.arrays import Arrays
from tasks.corruptions.arrays.on_torch import Torch
from tasks.corruptions.arrays.opencv import OpenCV
from tasks.corruptions.plasma import plasma
from tasks.corruptions.seeds import moment, streams, uniform

Frames = NDArray[np.uint8]
SIZES = [(96, 128), (61, 83)]


@pytest.fixture(params=["opencv", "torch"])
def arrays(request: pytest.FixtureRequest) -> Arrays:
    return OpenCV() if request.param == "opencv" else Torch(torch.device("cpu"))


def photographs() -> list[Frames]:
    """Three of different sizes."""
    root = os.environ.get("STORMGLASS_REAL_DATA")
    if not root:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    paths = sorted((Path(root) / "coco" / "images").glob("*.jpg"))[:9:3]
    return [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in paths]


def references(name: str, frame: Frames, severity: int, **draws: Any) -> Frames:
    """The picture of imagecorruptions itself, where its calls of np.random find our numbers."""
    module = reference.load()
    reference._drawing.random = SimpleNamespace(**draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = np.asarray(getattr(module, name)(Image.fromarray(frame), severity))
    out = np.where(np.isnan(out), frame, out)  # spatter without a drop
    return np.asarray(out.astype(np.uint8))


def words(name: str, shape: tuple[int, ...], clip: str = "") -> NDArray[np.float64]:
    """Our random field of a clip, 0..1."""
    seeds = np.array([moment(name, 0, clip, 0).clip_seed], dtype=np.uint64)
    return (OpenCV().field(streams(seeds, 0), shape)[0] + 0.5) / 65536


def number(name: str, stream: int) -> float:
    return float(uniform(np.array([moment(name, 0, "", 0).clip_seed], dtype=np.uint64), stream)[0])


def same(ours: Frames, theirs: Frames, *, but: float) -> None:
    """Equal within one code, but for a share of values: float32 may decide a threshold otherwise than float64."""
    apart = np.abs(ours.astype(int) - theirs)
    assert (apart > 1).mean() <= but
    assert apart.mean() < 0.1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_snow_is_the_references(frame: Frames, size: tuple[int, int], severity: int) -> None:
    height, width = size
    pixels = np.ascontiguousarray(frame[:height, :width])
    cells = words("snow", (math.ceil(height / 2) + 1, math.ceil(width / 2) + 1))

    def normal(*, size: tuple[int, int], loc: float, scale: float) -> NDArray[np.float64]:
        assert size == (height, width)
        zoom = (3, 2, 4, 4.5, 2.5)[severity - 1]
        tall, wide = math.ceil(height / zoom), math.ceil(width / zoom)
        out = np.full(size, np.nan)  # outside the middle that it enlarges
        top, left = (height - tall) // 2, (width - wide) // 2
        out[top : top + tall, left : left + wide] = loc + scale * ndtri(cells[:tall, :wide])
        return out

    def angle(low: float, high: float) -> float:
        return low + (high - low) * number("snow", 1)

    theirs = references("snow", pixels, severity, normal=normal, uniform=angle)
    same(corrupt(pixels[None], name="snow", severity=severity)[0], theirs, but=5e-3)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_frost_is_the_references(frame: Frames, severity: int) -> None:
    check_frost(frame, severity)
    check_frost(np.ascontiguousarray(frame[:61, :83]), severity)


def test_frost_is_the_references_on_photographs() -> None:
    for photograph in photographs():
        for severity in (1, 2, 3, 4, 5):
            check_frost(photograph, severity)
    check_frost(cv2.resize(photographs()[0], (1280, 720)), 3)


def check_frost(pixels: Frames, severity: int) -> None:
    bounds: list[int] = []

    def randint(low: int, high: int | None = None) -> int:
        low, high = (0, low) if high is None else (low, high)
        bounds.append(high)
        return low + int(number("frost", len(bounds) - 1) * (high - low))

    theirs = references("frost", pixels, severity, randint=randint)
    assert bounds[0] == 5
    ours = corrupt(pixels[None], name="frost", severity=severity)[0]
    apart = np.abs(ours.astype(int) - theirs)
    assert apart.max() <= 1
    # float64 cuts some whole numbers (0.7 x 90 + 0.7 x 110) one lower: its sum is a little below.
    assert apart.mean() < 0.05


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_fog_is_the_references(
    frame: Frames, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], severity: int
) -> None:
    pixels = np.ascontiguousarray(frame[: size[0], : size[1]])

    def plasma_fractal(mapsize: int, wibbledecay: float) -> NDArray[np.float64]:
        assert mapsize == 128
        return plasma_by_hand(words("fog", (mapsize**2,)), mapsize, wibbledecay)

    monkeypatch.setattr(reference.load(), "plasma_fractal", plasma_fractal)
    theirs = references("fog", pixels, severity)
    same(corrupt(pixels[None], name="fog", severity=severity)[0], theirs, but=0)


def plasma_by_hand(numbers: NDArray[np.float64], size: int, decay: float) -> NDArray[np.float64]:
    """Diamond and square, point by point; middles, then tops, then lefts of a level take the next numbers."""
    draw = iter(2 * numbers.ravel() - 1)
    field = np.zeros((size, size))
    step, wibble = size, 100.0
    while step >= 2:
        half = step // 2
        every = range(0, size, step)
        for points, around in (
            (
                [(y + half, x + half) for y in every for x in every],
                ((-half, -half), (-half, half), (half, -half), (half, half)),
            ),
            ([(y, x + half) for y in every for x in every], ((-half, 0), (half, 0), (0, -half), (0, half))),
            ([(y + half, x) for y in every for x in every], ((-half, 0), (half, 0), (0, -half), (0, half))),
        ):
            for y, x in points:
                mean = sum(field[(y + dy) % size, (x + dx) % size] for dy, dx in around) / 4
                field[y, x] = mean + wibble * wibble * next(draw)
        step //= 2
        wibble /= decay
    field -= field.min()
    return np.asarray(field / field.max())


@pytest.mark.parametrize("decay", [2.0, 1.4])
def test_plasma_by_diamond_and_square(arrays: Arrays, decay: float) -> None:
    seeds = np.array([3, 2**63 + 1], dtype=np.uint64)
    out = arrays.host(plasma(arrays, seeds, size=32, decay=decay))
    assert out.dtype == np.float32
    for at in range(2):
        numbers = (OpenCV().field(streams(seeds[at : at + 1], 0), (32 * 32,))[0]) / 65536
        np.testing.assert_allclose(out[at], plasma_by_hand(numbers, 32, decay), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_spatter_is_the_references(frame: Frames, size: tuple[int, int], severity: int) -> None:
    pixels = np.ascontiguousarray(frame[: size[0], : size[1]])

    def normal(*, size: tuple[int, int], loc: float, scale: float) -> NDArray[np.float64]:
        return np.asarray(loc + scale * ndtri(words("spatter", size)))

    theirs = references("spatter", pixels, severity, normal=normal)
    same(corrupt(pixels[None], name="spatter", severity=severity)[0], theirs, but=2e-3)


def test_without_a_drop_nothing_is_spattered() -> None:
    # The reference divides 0 by 0 there. Which clips of small frames that are is found here.
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    outs = [corrupt(grey, name="spatter", severity=1, clips=str(clip)) for clip in range(60)]
    dry = sum((out == grey).all() for out in outs)
    assert 0 < dry < 60


def test_wind_is_any_within_its_range() -> None:
    seeds = np.array([moment("snow", 0, str(clip), 0).clip_seed for clip in range(500)], dtype=np.uint64)
    assert kstest(uniform(seeds, 1), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("name", ["fog", "rain", "sun_flare", "lens_smudge", "shadow", "occlusion"])
def test_distortion_rises(frame: Frames, name: str) -> None:
    assert CORRUPTIONS[name].rises
    # Over several clips: what is hidden differs from place to place.
    worse = [
        np.mean(
            [
                1
                - structural_similarity(frame, corrupt(frame[None], name=name, severity=s, clips=c)[0], channel_axis=2)
                for c in "abcdef"
            ]
        )
        for s in (1, 2, 3, 4, 5)
    ]
    assert worse == sorted(worse)


@pytest.mark.parametrize("name", ["frost", "spatter"])
def test_what_belongs_to_the_clip_stays(clip: Frames, name: str) -> None:
    still = np.stack([clip[0]] * 3)
    out = corrupt(still, name=name, severity=3, clips="a", first_frame=50)
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_array_equal(out[0], out[2])


@pytest.mark.parametrize("severity", [1, 5])
def test_fog_drifts_and_does_not_flicker(severity: int) -> None:
    still = np.full((1, 192, 320, 3), 90, np.uint8)
    out = [corrupt(still, name="fog", severity=severity, clips="a", first_frame=at)[0].astype(int) for at in range(60)]
    flicker = [np.abs(after - before).mean() for before, after in pairwise(out)]
    assert np.mean(flicker) < 0.1
    assert max(flicker) < 1.0
    assert np.abs(out[-1] - out[0]).mean() > 0.3
    # It moves as a whole: after 104 frames, 192 x 0.0005 px each, by 10 px in the clip's direction.
    later = corrupt(still, name="fog", severity=severity, clips="a", first_frame=104)[0, ..., 0].astype(int)
    wind = 2 * np.pi * uniform(np.array([moment("fog", 0, "a", 0).clip_seed], dtype=np.uint64), 1)[0]
    down, across = round(9.984 * np.sin(wind)), round(9.984 * np.cos(wind))
    moved = np.roll(out[0][..., 0], (-down, -across), axis=(0, 1))[12:-12, 12:-12]
    np.testing.assert_array_equal(later[12:-12, 12:-12], moved)


def test_fog_kept_for_a_clip_is_that_clips_own(clip: Frames) -> None:
    # The field is drawn once and kept: what is kept of other clips, sizes and severities must not answer for it.
    def one(owner: str, severity: int, side: int) -> Frames:
        return corrupt(clip[:1, :side, :side], name="fog", severity=severity, clips=owner)

    keys = [(owner, severity, side) for owner in ("a", "b") for severity in (1, 2, 3, 4) for side in (32, 40)]
    forth = {key: one(*key) for key in keys}
    for key in reversed(keys):
        np.testing.assert_array_equal(one(*key), forth[key])
    assert len({out.tobytes() for out in forth.values()}) == len(keys)


@pytest.mark.parametrize("first_frame", [0, 100_000])
def test_snow_falls_in_two_sheets(first_frame: int) -> None:
    black = np.zeros((2, 160, 200, 3), np.uint8)
    first, second = corrupt(black, name="snow", severity=3, clips="a", first_frame=first_frame)[..., 0].astype(float)
    first, second = first - first.mean(), second - second.mean()
    match = np.fft.ifft2(np.fft.fft2(second) * np.conj(np.fft.fft2(first))).real
    angle = np.deg2rad(-135 + 90 * uniform(np.array([moment("snow", 0, "a", 0).clip_seed], dtype=np.uint64), 1)[0])
    for speed in (1.0, 0.6):  # two standard deviations of 8 px, and the far sheet
        down, across = np.rint(-16 * speed * np.array([np.sin(angle), np.cos(angle)])).astype(int)
        assert down > 0
        near = np.roll(match, (2 - down, 2 - across), axis=(0, 1))[:5, :5]
        assert near.max() > 0.35 * (first**2).sum(), speed
    np.testing.assert_array_less(match[:3, :3].max(), 0.5 * match.max())


def test_all_severities_of_snow_see_one_field() -> None:
    # Next to a severity lie levels that look like it, with flakes of a slightly different size at the same places.
    grey = np.full((1, 96, 128, 3), 60, np.uint8)
    at, beside = (corrupt(grey, name="snow", level=level)[0, ..., 0].astype(float) for level in (0.35, 0.349))
    assert np.corrcoef(at.ravel(), beside.ravel())[0, 1] > 0.85
    apart = corrupt(grey, name="snow", level=0.35, clips="another")[0, ..., 0].astype(float)
    assert np.corrcoef(at.ravel(), apart.ravel())[0, 1] < 0.5


@pytest.mark.parametrize(
    ("name", "level"), [("snow", 0.5), ("fog", 4.0), ("frost", 0.9), ("spatter", 1.5), ("spatter", 6)]
)
def test_levels_of_ones_own(clip: Frames, name: str, level: float) -> None:
    out = corrupt(clip[:2], name=name, level=level, clips="a")
    assert (out != clip[:2]).any()


def test_no_fog_is_no_change(clip: Frames) -> None:
    np.testing.assert_array_equal(corrupt(clip, name="fog", level=0), clip)
    black = np.zeros((1, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(corrupt(black, name="fog", severity=5), black)  # its brightest value is kept


@pytest.mark.parametrize("name", ["snow", "fog", "frost", "spatter"])
def test_scales_with_the_frame(frame: Frames, name: str) -> None:
    for scale_to in (48, 192):
        assert corrupt(frame[None], name=name, severity=4, scale_to=scale_to).shape == (1, *frame.shape)
