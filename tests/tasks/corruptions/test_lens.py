"""The sun's flare is albumentations'; grease covers what it says, and blurs there alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import corrupt
from tasks.corruptions.lens import drawn, flare_geometry, smudge
from tasks.corruptions.packages import albumentations
from tasks.corruptions.seeds import moment

Frames = NDArray[np.uint8]


def textured(height: int, width: int) -> Frames:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([120 + 60 * np.sin(rows / 9 + c) + 50 * np.cos(columns / 7) for c in range(3)], -1).astype(np.uint8)


@pytest.mark.parametrize("clip", ["a", "b", "c"])
def test_the_flare_is_albumentations(clip: str) -> None:
    import cv2

    frame = textured(240, 320)
    geometry = flare_geometry(moment("sun_flare", 0, clip, 0).clip_seed, 240, 320)
    drawn = albumentations("the test").RandomSunFlare(src_radius=128, src_color=(255, 255, 255), p=1.0)
    theirs = drawn.apply(frame, **geometry).astype(float)
    ours = corrupt(frame[None], name="sun_flare", severity=3, clips=clip)[0].astype(float)
    # Ours has no rings: both are compared without them.
    apart = cv2.GaussianBlur(ours - theirs, (0, 0), 10)
    assert np.abs(apart).mean() < 1.5
    assert np.abs(ours - frame).mean() > 10 * np.abs(apart).mean() / 2


@pytest.mark.parametrize("radius_px", [8, 48, 128, 256])
@pytest.mark.parametrize("code", [0, 120, 255])
def test_what_is_drawn_is_albumentations_but_for_its_rounding(radius_px: int, code: int) -> None:
    geometry = flare_geometry(7, 240, 320)
    frame = np.full((240, 320, 3), code, np.uint8)
    theirs = albumentations("the test").RandomSunFlare(src_radius=radius_px, src_color=(255, 255, 255), p=1.0)
    left, added = drawn((240, 320), geometry, radius_px)
    apart = frame * left + added - theirs.apply(frame, **geometry).astype(float)
    assert np.abs(apart).max() < 4
    assert abs(apart.mean()) < 0.8


def test_the_sun_is_white_and_stays_where_it_is() -> None:
    frames = np.stack([np.full((192, 320, 3), code, np.uint8) for code in (20, 20, 200)])
    out = corrupt(frames, name="sun_flare", severity=3, clips="a", first_frame=8)
    np.testing.assert_array_equal(out[0], out[1])
    x, y = flare_geometry(moment("sun_flare", 0, "a", 0).clip_seed, 192, 320)["flare_center"]
    assert y <= 96
    assert out[0, y, x].min() > 240
    assert np.abs(out[0].astype(int) - out[2]).min() == pytest.approx(0, abs=3)
    larger = [float(corrupt(frames[:1], name="sun_flare", level=level, clips="a").mean()) for level in (0.1, 0.3, 0.9)]
    assert larger == sorted(larger)
    assert larger[0] > 20


@pytest.mark.parametrize("size", [(192, 320), (75, 33), (480, 640)])
def test_grease_covers_its_share(size: tuple[int, int]) -> None:
    words = np.random.default_rng(3).integers(0, 65536, (8, 16))
    before = np.zeros(size)
    for covered in (0.1, 0.3, 0.7):
        mask = smudge(words, covered, *size)
        assert mask.shape == size
        assert (mask >= 0.5).mean() == pytest.approx(covered, abs=0.02)
        assert (mask >= before).all(), "what a smaller share covers, a larger one covers too"
        before = mask
    assert smudge(words, 0.1, *size).min() == 0


def test_grease_blurs_and_veils_there_alone() -> None:
    frame = textured(192, 320)
    frame[::4] //= 2
    out = corrupt(np.stack([frame] * 2), name="lens_smudge", severity=2, clips="a")
    np.testing.assert_array_equal(out[0], out[1])
    changed = (out[0] != frame).any(axis=-1)
    assert 0.1 < changed.mean() < 0.6
    strongly = np.abs(out[0].astype(int) - frame).max(axis=-1) > 20
    assert 0.02 < strongly.mean() < 0.25
    # Rows alternate in the scene; behind grease they do so less.
    contrast = np.abs(np.diff(out[0].astype(float), axis=0)).mean(axis=-1)
    assert contrast[strongly[:-1]].mean() < 0.6 * contrast[~changed[:-1]].mean()


def test_no_grease_is_no_change() -> None:
    frame = textured(64, 96)[None]
    np.testing.assert_array_equal(corrupt(frame, name="lens_smudge", level=0), frame)
