"""Elastic distortion, pixelate and JPEG against imagecorruptions, SciPy and Pillow."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tasks.corruptions import CORRUPTIONS, corrupt, digital, engine, reference
from tasks.corruptions.arrays.on_torch import Torch
from tasks.corruptions.arrays.opencv import OpenCV
from tasks.corruptions.engine import Setting
from tasks.corruptions.seeds import Moments, moment, streams

Frame = NDArray[np.uint8]
SEED, CLIP = 3, "north-1"


def clip_seeds(clip: str = CLIP) -> NDArray[np.uint64]:
    return Moments.of([moment("elastic_transform", SEED, clip, 0)]).clip_seeds


@pytest.mark.parametrize("name", ["pixelate", "jpeg_compression"])
def test_equals_the_reference_to_the_bit(frame: Frame, name: str) -> None:
    for severity in range(1, 6):
        for picture in (frame[:67, :93], frame[:32, :32], frame):
            ours = corrupt(picture[None], name=name, severity=severity)[0]
            np.testing.assert_array_equal(ours, reference.run(name, picture, severity=severity, seed=0))


@pytest.mark.real
@pytest.mark.parametrize("name", ["pixelate", "jpeg_compression"])
def test_equals_the_reference_to_the_bit_on_photographs(name: str) -> None:
    folder = os.environ.get("STORMGLASS_REAL_DATA")
    if not folder:
        pytest.skip("STORMGLASS_REAL_DATA is not set")
    for severity, path in enumerate(sorted((Path(folder) / "coco" / "images").glob("*.jpg"))[:5], start=1):
        photo = np.array(Image.open(path).convert("RGB"))
        ours = corrupt(photo[None], name=name, severity=severity)[0]
        np.testing.assert_array_equal(ours, reference.run(name, photo, severity=severity, seed=0))


@pytest.mark.parametrize("scale", [0.01, 0.07, 0.25, 0.37, 0.6, 0.9, 1.0])
def test_pixelate_is_pillows_on_both_back_ends(clip: Frame, scale: float) -> None:
    setting = Setting(CORRUPTIONS["pixelate"], CORRUPTIONS["pixelate"].at(None, scale))
    for frames in (clip[:2], clip[:2, :33, :47], clip[:2, ..., :1]):
        height, width = frames.shape[1:3]
        small = max(1, int(width * scale)), max(1, int(height * scale))
        images = [Image.fromarray(frame.squeeze()) for frame in frames]
        wanted = [
            np.asarray(image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.NEAREST))
            for image in images
        ]
        tensor = torch.from_numpy(frames.copy())
        for given, arrays in ((frames, OpenCV()), (tensor, Torch(torch.device("cpu")))):
            ours = engine.corrupt_frames(given, setting, clips="", first_frame=0, arrays=arrays)
            np.testing.assert_array_equal(np.asarray(ours), np.stack(wanted).reshape(frames.shape))


def test_jpeg_of_a_grey_frame_has_pillows_luma(frame: Frame) -> None:
    grey = frame[..., 0]
    coded = io.BytesIO()
    Image.fromarray(grey).convert("RGB").save(coded, "JPEG", quality=10)
    ours = corrupt(grey[None, ..., None], name="jpeg_compression", severity=4)[0, ..., 0]
    assert np.abs(ours.astype(int) - np.asarray(Image.open(coded).convert("L"))).max() <= 1


@pytest.mark.parametrize("severity", range(1, 6))
def test_elastic_is_the_references_but_for_the_draws(frame: Frame, severity: int) -> None:
    picture = frame[:, :109]
    height, width = picture.shape[:2]
    alpha = 250 * (0.05, 0.065, 0.085, 0.1, 0.12)[severity - 1]
    moves = []
    for way in (0, 1):
        words = OpenCV().field(streams(clip_seeds(), way), (height, width))[0]
        drawn = ((words + 0.5) / 32768 - 1) * height * 0.005
        soft = reference.load().gaussian(drawn, np.array([height, width]) * 0.01, mode="reflect", truncate=3)
        moves.append((soft * alpha).astype(np.float32))
    rows, columns = np.indices((height, width))
    wanted = np.stack(
        [
            ndimage.map_coordinates(
                picture[..., at] / np.float32(255), (rows + moves[0], columns + moves[1]), order=1, mode="reflect"
            )
            for at in range(3)
        ],
        axis=-1,
    )
    ours = corrupt(picture[None], name="elastic_transform", severity=severity, seed=SEED, clips=CLIP)[0]
    apart = np.abs(ours.astype(int) - (np.clip(wanted, 0, 1) * 255).astype(np.uint8))
    assert apart.max() <= 1
    assert apart.mean() <= 0.05


def test_an_elastic_field_belongs_to_its_clip_and_no_severity() -> None:
    arrays = OpenCV()
    down = digital.elastic_field(arrays, clip_seeds(), 0, 60, 80)
    across = digital.elastic_field(arrays, clip_seeds(), 1, 60, 80)
    other = digital.elastic_field(arrays, clip_seeds("another"), 0, 60, 80)
    for one, two in ((down, across), (down, other)):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.2
    flat = np.full((2, 60, 80, 3), 90, np.uint8)
    flat[:, :, 40:] = 200
    twice = corrupt(flat, name="elastic_transform", severity=5, seed=SEED, clips=CLIP)
    np.testing.assert_array_equal(twice[0], twice[1])
    assert (twice != flat).any()
    np.testing.assert_array_equal(corrupt(flat, name="elastic_transform", level=0), flat)


def test_both_back_ends_agree_on_elastic(clip: Frame) -> None:
    """But for float32's last bits: one code, in fewer than one value of 1,000."""
    clips = ["a", "a", "b", "c", "c", "c", "d", "d"]
    entry = CORRUPTIONS["elastic_transform"]
    for frames in (clip, clip[..., :1].copy()):
        setting = Setting(entry, entry.at(4, None), seed=SEED)
        here = engine.corrupt_frames(frames, setting, clips=clips, first_frame=0)
        there = engine.corrupt_frames(
            torch.from_numpy(frames.copy()), setting, clips=clips, first_frame=0, arrays=Torch(torch.device("cpu"))
        )
        apart = np.abs(here.astype(int) - there.numpy())
        assert apart.max() <= 1
        assert (apart > 0).mean() < 1e-3
