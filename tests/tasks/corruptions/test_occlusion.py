"""Objects cover the share that they say, the same places at every severity; a shadow is albumentations'."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import CORRUPTIONS, corrupt
from tasks.corruptions.occlusion import objects, outline, shadow_corners
from tasks.corruptions.packages import albumentations
from tasks.corruptions.seeds import moment

Frames = NDArray[np.uint8]


@pytest.mark.parametrize("size", [(192, 320), (33, 95), (480, 640)])
@pytest.mark.parametrize("seed", range(4))
def test_objects_cover_their_share(size: tuple[int, int], seed: int) -> None:
    draws = np.random.default_rng(seed).random((512, 8))
    before = np.zeros(size, bool)
    for covered in (0.05, 0.1, 0.2, 0.3, 0.4, 0.9):
        mask, paint = objects(draws, covered, *size)
        hidden = mask > 0
        assert hidden.mean() == pytest.approx(covered, abs=0.01)
        assert (before & ~hidden).mean() < 1e-3, "what a smaller share covers, a larger one covers too"
        assert (paint[hidden].max(axis=-1) > 0).all()
        before = hidden


def test_nothing_covered_is_no_change(clip: Frames) -> None:
    np.testing.assert_array_equal(corrupt(clip, name="occlusion", level=0), clip)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_what_is_covered_is_opaque_and_the_rest_untouched(severity: int) -> None:
    frames = np.stack([np.full((192, 320, 3), code, np.uint8) for code in (0, 255, 255)])
    black, white, again = corrupt(frames, name="occlusion", severity=severity, clips="a", first_frame=30)
    np.testing.assert_array_equal(white, again)
    hidden = (black == white).all(axis=-1)
    assert hidden.mean() == pytest.approx(CORRUPTIONS["occlusion"].levels[severity - 1], abs=0.01)
    assert (black[~hidden] == 0).all()
    assert (white[~hidden] == 255).all()
    colours = black[hidden].astype(int)
    assert 20 < colours.mean() < 160, "muted"
    assert colours.std() > 5, "textured"


def test_outlines_are_convex_and_grow_outwards() -> None:
    for draw in np.random.default_rng(1).random((60, 8)):
        full = np.float32(outline(draw, 1.0))
        assert cv2.isContourConvex(full)
        for corner in outline(draw, 0.6):
            assert cv2.pointPolygonTest(full, [float(value) for value in corner], measureDist=True) > -1e-4


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_the_shadow_is_albumentations(frame: Frames, severity: int) -> None:
    light = CORRUPTIONS["shadow"].levels[severity - 1]
    corners = shadow_corners(moment("shadow", 0, "a", 0).clip_seed, *frame.shape[:2])
    drawn = albumentations("the test").RandomShadow(p=1.0)
    theirs = drawn.apply(frame.copy(), vertices_list=[corners], intensities=np.array([1 - light]))
    ours = corrupt(np.stack([frame] * 2), name="shadow", severity=severity, clips="a", first_frame=3)
    np.testing.assert_array_equal(ours[0], ours[1])
    # But for the soft edge.
    shaded = (theirs != frame).any(axis=-1)
    inner, outer = cv2.erode(np.uint8(shaded), np.ones((7, 7))), cv2.dilate(np.uint8(shaded), np.ones((7, 7)))
    settled = (inner > 0) | (outer == 0)
    assert settled.mean() > 0.8
    assert 0.1 < shaded.mean() < 0.7
    apart = np.abs(ours[0].astype(int) - theirs)[settled]
    assert apart.max() <= 1
