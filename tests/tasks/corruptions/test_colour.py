"""Brightness, contrast and saturation against imagecorruptions; the colour of the light against black bodies."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.corruptions import CORRUPTIONS, colour, corrupt, engine, reference
from tasks.corruptions.arrays.on_torch import Torch
from tasks.corruptions.engine import Setting

Frame = NDArray[np.uint8]
NAMES = [entry.name for entry in colour.ENTRIES]
REFERENCE = ["brightness", "contrast", "saturate"]
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def all_colours() -> Frame:
    """Every pair of largest and smallest channel, in every order of channels, with a third between them; all greys."""
    high, low = np.indices((256, 256))
    between = np.random.default_rng(0).integers(0, 256, (256, 256)) * (high - low) // 255 + low
    planes = [high, between, low]
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return np.concatenate([np.stack([planes[at] for at in order], axis=-1) for order in orders]).astype(np.uint8)


def check(frame: Frame, name: str, severity: int) -> None:
    wanted = reference.run(name, frame, severity=severity, seed=0)
    apart = np.abs(corrupt(frame[None], name=name, severity=severity)[0].astype(int) - wanted)
    assert apart.max() <= 1, (name, severity)
    # Where whole numbers come out (saturate 3: 2 x - V), the reference's float64 lies just below some, and cuts them.
    assert apart.mean() <= (0.25 if (name, severity) == ("saturate", 3) else 0.05), (name, severity)


@pytest.mark.parametrize("name", REFERENCE)
def test_equals_the_reference(frame: Frame, name: str) -> None:
    for severity in range(1, 6):
        check(all_colours(), name, severity)
        check(frame[:67, :93], name, severity)


@pytest.mark.real
@pytest.mark.parametrize("name", REFERENCE)
def test_equals_the_reference_on_photographs(name: str) -> None:
    from PIL import Image

    folder = os.environ.get("STORMGLASS_REAL_DATA")
    if not folder:
        pytest.skip("STORMGLASS_REAL_DATA is not set")
    paths = sorted((Path(folder) / "coco" / "images").glob("*.jpg"))[:5]
    for severity, path in enumerate(paths, start=1):
        check(np.array(Image.open(path).convert("RGB")), name, severity)


@pytest.mark.parametrize("name", REFERENCE)
def test_grey_frames_are_their_colours(frame: Frame, name: str) -> None:
    grey = frame[..., :1]
    for severity in range(1, 6):
        wanted = reference.run(name, np.repeat(grey, 3, axis=2), severity=severity, seed=0)[..., :1]
        ours = corrupt(grey[None], name=name, severity=severity)[0]
        assert np.abs(ours.astype(int) - wanted).max() <= 1


def test_black_becomes_grey_and_grey_becomes_red() -> None:
    flat = np.zeros((1, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(corrupt(flat, name="brightness", severity=2), flat + 51)
    redder = corrupt(flat + 200, name="saturate", severity=5)
    assert redder[0, 0, 0].tolist() == [200, 160, 160]
    assert corrupt(flat + 200, name="brightness", level=-0.4)[0, 0, 0].tolist() == [98, 98, 98]


def linear(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    coded = codes / 255.0
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def chromaticity(codes: NDArray[np.uint8]) -> tuple[float, float]:
    """CIE 1976 u', v' of an sRGB colour."""
    x, y, z = TO_XYZ @ linear(codes)
    total = x + 15 * y + 3 * z
    return 4 * x / total, 9 * y / total


@pytest.mark.parametrize("kelvin", [1800, 2500, 3500, 5000, 6504, 12000, 22000])
def test_black_bodies_by_plancks_law(kelvin: float) -> None:
    """Planck's law under the colour-matching functions of Wyman, Sloan and Shirley (2013), as sums of Gaussians."""
    nm = np.arange(360.0, 831.0)

    def lobe(centre: float, left: float, right: float) -> NDArray[np.float64]:
        return np.exp(-0.5 * ((nm - centre) * np.where(nm < centre, left, right)) ** 2)

    x = 0.362 * lobe(442.0, 0.0624, 0.0374) + 1.056 * lobe(599.8, 0.0264, 0.0323) - 0.065 * lobe(501.1, 0.0490, 0.0382)
    y = 0.821 * lobe(568.8, 0.0213, 0.0247) + 0.286 * lobe(530.9, 0.0613, 0.0322)
    z = 1.217 * lobe(437.0, 0.0845, 0.0278) + 0.681 * lobe(459.0, 0.0385, 0.0725)
    light = nm**-5.0 / np.expm1(1.4388e7 / (nm * kelvin))
    sums = [(light * response).sum() for response in (x, y, z)]
    np.testing.assert_allclose(colour.planckian(kelvin), np.array(sums[:2]) / sum(sums), atol=0.004)


def test_a_wrong_white_balance_is_yellow_or_blue_and_as_bright() -> None:
    grey = np.full((1, 32, 32, 3), 120, np.uint8)
    ratios = []
    for shift_mired in (-110, -50, 0, 50, 100, 200, 400):
        pixel = corrupt(grey, name="white_balance", level=shift_mired)[0, 0, 0]
        ratios.append(int(pixel[0]) - int(pixel[2]))
        assert linear(pixel) @ TO_XYZ[1] == pytest.approx(linear(grey[0, 0, 0]) @ TO_XYZ[1], rel=0.02)
    assert ratios == sorted(set(ratios))
    assert ratios[2] == 0
    # A lamp of 2,856 K (illuminant A: u' 0.256, v' 0.524) seen by a camera that is set for daylight.
    lamp = corrupt(grey, name="white_balance", level=1e6 / 2856 - 1e6 / 6504)[0, 0, 0]
    np.testing.assert_allclose(chromaticity(lamp), (0.256, 0.524), atol=0.006)


def test_a_cast_shifts_white_as_far_as_it_says_and_belongs_to_the_clip() -> None:
    grey = np.full((2, 32, 32, 3), 150, np.uint8)
    white = np.array(chromaticity(grey[0, 0, 0]))
    turns = set()
    for shift_uv in CORRUPTIONS["colour_cast"].levels:
        for clip in ("a", "b", "c", "d"):
            cast = corrupt(grey, name="colour_cast", level=shift_uv, clips=clip)
            assert (cast == cast[0, 0, 0]).all()
            moved = np.array(chromaticity(cast[0, 0, 0])) - white
            assert np.hypot(*moved) == pytest.approx(shift_uv, abs=0.002)
            assert linear(cast[0, 0, 0]) @ TO_XYZ[1] == pytest.approx(linear(grey[0, 0, 0]) @ TO_XYZ[1], rel=0.02)
            turns.add((clip, round(float(np.arctan2(*moved)), 0)))
    assert len({turn for _, turn in turns}) > 1


@pytest.mark.parametrize("name", ["white_balance", "colour_cast"])
def test_the_colour_of_the_light_leaves_grey_frames(clip: Frame, name: str) -> None:
    np.testing.assert_array_equal(corrupt(clip[..., :1], name=name, severity=5), clip[..., :1])


@pytest.mark.parametrize("name", NAMES)
def test_both_back_ends_agree(clip: Frame, name: str) -> None:
    """To the bit: they look up the same tables, and saturate's one product and sum round alike."""
    clips = ["a", "a", "b", "c", "c", "c", "d", "d"]
    for severity in (1, 5):
        setting = Setting(CORRUPTIONS[name], CORRUPTIONS[name].at(severity, None), seed=3)
        for frames in (clip, clip[..., :1].copy()):
            here = engine.corrupt_frames(frames, setting, clips=clips, first_frame=0)
            there = engine.corrupt_frames(
                torch.from_numpy(frames.copy()), setting, clips=clips, first_frame=0, arrays=Torch(torch.device("cpu"))
            )
            np.testing.assert_array_equal(here, there.numpy())
