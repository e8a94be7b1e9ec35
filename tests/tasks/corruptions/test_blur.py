"""Blur against imagecorruptions: one code away at most, where sums of float32 are cut otherwise than its float64."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.corruptions import CORRUPTIONS, blur, corrupt, engine, reference
from tasks.corruptions.arrays.on_torch import Torch
from tasks.corruptions.arrays.opencv import OpenCV
from tasks.corruptions.engine import Setting
from tasks.corruptions.seeds import Moments, moment, streams, uniform

Frame = NDArray[np.uint8]
NAMES = [entry.name for entry in blur.ENTRIES]
FIXED = ["defocus_blur", "zoom_blur", "gaussian_blur", "motion_blur"]  # but for the motion's angle
SEED, CLIP = 3, "north-1"


def seeds_of(name: str, clip: str = CLIP) -> NDArray[np.uint64]:
    return Moments.of([moment(name, SEED, clip, 0)]).clip_seeds


def expected(frame: Frame, name: str, severity: int) -> Frame:
    if name != "motion_blur":
        return reference.run(name, frame, severity=severity, seed=0)
    radius, sigma = [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)][severity - 1]
    angle = float(uniform(seeds_of(name), 0)[0]) * 90 - 45
    blurred = reference.load()._motion_blur(frame, radius=radius, sigma=sigma, angle=angle)
    return np.asarray(np.clip(blurred, 0, 255).astype(np.uint8))


def check(frame: Frame, name: str, severity: int) -> None:
    ours = corrupt(frame[None], name=name, severity=severity, seed=SEED, clips=CLIP)[0]
    apart = np.abs(ours.astype(int) - expected(frame, name, severity))
    assert apart.max() <= 1, (name, severity, frame.shape)
    assert apart.mean() <= 0.2, (name, severity, frame.shape)
    grey = corrupt(frame[None, ..., 1:2], name=name, severity=severity, seed=SEED, clips=CLIP)[0]
    np.testing.assert_array_equal(grey, ours[..., 1:2])  # channels know nothing of each other


@pytest.mark.parametrize("name", FIXED)
def test_equals_the_reference(frame: Frame, name: str) -> None:
    hard = np.random.default_rng(0).integers(0, 2, (65, 83, 3), dtype=np.uint8) * 255
    for severity in range(1, 6):
        for picture in (frame[:67, :93], frame[:32, :32], hard):
            check(picture, name, severity)


@pytest.mark.real
@pytest.mark.parametrize("name", FIXED)
def test_equals_the_reference_on_photographs(name: str) -> None:
    from PIL import Image

    folder = os.environ.get("STORMGLASS_REAL_DATA")
    if not folder:
        pytest.skip("STORMGLASS_REAL_DATA is not set")
    paths = sorted((Path(folder) / "coco" / "images").glob("*.jpg"))[:5]
    for severity, path in enumerate(paths, start=1):
        check(np.array(Image.open(path).convert("RGB"))[: 481 - severity, : 641 - severity], name, severity)


@pytest.mark.parametrize("radius_px", [1, 5, 7, 9, 12, 17])
def test_disks_between_and_beyond_the_table(radius_px: int) -> None:
    import cv2

    random = np.random.default_rng(0).integers(0, 2, (64, 83, 3), dtype=np.uint8) * 255
    edge = CORRUPTIONS["defocus_blur"].at(None, radius_px)["edge_sigma_px"]
    kernel = reference.disk(radius_px=radius_px, alias_blur=edge)
    wanted = np.stack([cv2.filter2D(random[..., at] / 255.0, -1, kernel) for at in range(3)], axis=-1)
    wanted = (np.clip(wanted, 0, 1) * 255).astype(np.uint8)
    ours = corrupt(random[None], name="defocus_blur", level=radius_px)[0]
    assert np.abs(ours.astype(int) - wanted).max() <= 1


def test_a_disk_grows_with_its_radius() -> None:
    spot = np.zeros((1, 65, 65, 1), np.uint8)
    spot[0, 32, 32] = 255
    sizes = [(corrupt(spot, name="defocus_blur", level=radius_px) > 0).sum() for radius_px in (1, 1.5, 2.3, 3, 4.2, 5)]
    assert sizes == sorted(set(sizes))
    np.testing.assert_array_equal(corrupt(spot, name="defocus_blur", level=0.5), spot)


@pytest.mark.parametrize("severity", range(1, 6))
def test_glass_is_the_references_walk(severity: int) -> None:
    """The walk of the reference, pixel after pixel, with our steps."""
    height, width = 37, 45
    level = CORRUPTIONS["glass_blur"].at(severity, None)
    reach, passes = int(level["reach_px"]), int(level["passes"])
    arrays, seeds = OpenCV(), seeds_of("glass_blur")
    places = np.arange(height * width).reshape(height, width)
    for turn in range(passes):
        across, down = (
            arrays.field(streams(seeds, 2 * turn + way), (height, width))[0].astype(int) * 2 * reach // 65536 - reach
            for way in (0, 1)
        )
        assert across.min() == down.min() == -reach
        assert across.max() == down.max() == reach - 1
        for h in range(height - reach, reach, -1):
            for w in range(width - reach, reach, -1):
                places[h, w] = places[h + down[h, w], w + across[h, w]]
    for own in (arrays, Torch(torch.device("cpu"))):
        both = np.concatenate([seeds, seeds_of("glass_blur", "another")])
        origins = own.host(blur.glass_origins(own, both, height, width, reach_px=reach, passes=passes))
        np.testing.assert_array_equal(origins[0], places)
        assert (origins[1] != places).any()


def test_glass_is_the_references_but_for_the_steps(frame: Frame) -> None:
    level = CORRUPTIONS["glass_blur"].at(4, None)
    height, width = frame.shape[:2]
    seeds, reach, passes = seeds_of("glass_blur"), int(level["reach_px"]), int(level["passes"])
    origins = blur.glass_origins(OpenCV(), seeds, height, width, reach_px=reach, passes=passes)[0]
    soften = reference.load().gaussian
    soft = np.uint8(soften(frame / 255.0, sigma=1.1, multichannel=True) * 255)
    shuffled = soft.reshape(-1, 3)[origins] / 255.0
    wanted = (np.clip(soften(shuffled, sigma=1.1, multichannel=True), 0, 1) * 255).astype(np.uint8)
    ours = corrupt(frame[None], name="glass_blur", severity=4, seed=SEED, clips=CLIP)[0]
    assert np.abs(ours.astype(int) - wanted).max() <= 1


def test_one_glass_and_one_direction_for_a_clip(frame: Frame) -> None:
    for name in ("glass_blur", "motion_blur"):
        twice = corrupt(np.stack([frame, frame]), name=name, severity=3, seed=SEED, clips=CLIP)
        np.testing.assert_array_equal(twice[0], twice[1])
        assert (corrupt(frame[None], name=name, severity=3, seed=SEED, clips="another") != twice[:1]).any()


def test_a_motion_out_of_the_frame_ends_there() -> None:
    steps, weights = blur.motion_trail(0.0, radius_px=20, sigma_px=15, height=100, width=32)
    assert steps[:32].tolist() == [[0, at] for at in range(32)]
    assert (weights[:32] > 0).all()
    assert not weights[32:].any()
    assert 0.9 < weights.sum() < 0.999  # what is lost is lost, as in the reference
    assert blur.motion_trail(0.0, radius_px=20, sigma_px=15, height=100, width=99)[1].sum() == pytest.approx(1)


def test_zooms_are_the_references() -> None:
    table = [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)]
    for severity, (stop, step) in enumerate(table, start=1):
        level = CORRUPTIONS["zoom_blur"].at(severity, None)
        assert blur.zooms(level["zoom"], level["step"]).tolist() == np.arange(1, stop, step).tolist()
    for zoom in (1.0, 1.003, 1.05, 1.222, 2.5):
        level = CORRUPTIONS["zoom_blur"].at(None, zoom)
        layers = blur.zooms(level["zoom"], level["step"])
        assert layers[0] == 1
        assert layers[-1] == pytest.approx(zoom)


@pytest.mark.parametrize("name", NAMES)
def test_both_back_ends_agree(clip: Frame, name: str) -> None:
    """But for float32's last bits: one code, in fewer than one value of 1,000."""
    clips = ["a", "a", "b", "c", "c", "c", "d", "d"]
    for severity in (1, 5):
        setting = Setting(CORRUPTIONS[name], CORRUPTIONS[name].at(severity, None), seed=SEED)
        for frames in (clip, clip[..., :1].copy()):
            here = engine.corrupt_frames(frames, setting, clips=clips, first_frame=0)
            there = engine.corrupt_frames(
                torch.from_numpy(frames.copy()), setting, clips=clips, first_frame=0, arrays=Torch(torch.device("cpu"))
            )
            apart = np.abs(here.astype(int) - there.numpy())
            assert apart.max() <= 1
            assert (apart > 0).mean() < 1e-3
