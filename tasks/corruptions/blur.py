"""Blur of the benchmark. defocus_blur, gaussian_blur and glass_blur equal imagecorruptions 1.1.2 to the bit."""

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import reference
from tasks.corruptions.interface import Corruption, Level, Moment, Pixels

# Severity 1..5 of glass_blur, beside its sigma: how far a pixel may move, and how often it may.
_GLASS_REACH_PX = (1, 2, 2, 3, 4)
_GLASS_PASSES = (2, 1, 3, 2, 2)


def gaussian_blur(frame: Pixels, level: Level, _moment: Moment) -> Pixels:
    """A Gaussian of `sigma_px`."""
    return _to_pixels(reference.gaussian(frame / 255.0, sigma_px=level.strength))


def defocus_blur(frame: Pixels, level: Level, _moment: Moment) -> Pixels:
    """A disk of `radius_px`, its edge softened by a Gaussian of 0.1 px up to radius 3 and of 0.5 px above."""
    import cv2

    radius_px = int(level.strength)
    kernel = reference.disk(radius_px=radius_px, alias_blur=0.1 if radius_px <= 3 else 0.5)
    x = frame / 255.0
    # Channel by channel, as the reference: OpenCV's transforms differ in their last bits for three at once.
    return _to_pixels(np.stack([cv2.filter2D(x[:, :, channel], -1, kernel) for channel in range(3)], axis=-1))


def glass_blur(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """Pixels take the value of a near one, between two Gaussians of `sigma_px`: as through patterned glass.

    The reference visits pixel after pixel with one draw each; here all draws are made at once, from the same stream,
    and only the numbers of the pixels are moved: the same result, some forty times as fast. Its swap of two NumPy
    views is in truth a copy (the second value is overwritten before it is read); so it is here.
    """
    assert level.severity is not None, "glass_blur has severities only: the registry gives it no bounds"
    severity = level.severity
    reach_px, passes = _GLASS_REACH_PX[severity - 1], _GLASS_PASSES[severity - 1]
    soft = (reference.gaussian(frame / 255.0, sigma_px=level.strength) * 255).astype(np.uint8)
    height, width = soft.shape[:2]
    random = np.random.RandomState(moment.clip_seed)
    rows = np.arange(height - reach_px, reach_px, -1)[:, None]
    columns = np.arange(width - reach_px, reach_px, -1)[None, :]
    targets = (rows * width + columns).ravel().tolist()
    origin = list(range(height * width))
    for _ in range(passes):
        steps = random.randint(-reach_px, reach_px, size=(rows.size, columns.size, 2))
        sources = ((rows + steps[..., 1]) * width + columns + steps[..., 0]).ravel().tolist()
        for target, source in zip(targets, sources, strict=True):
            origin[target] = origin[source]
    shuffled = soft.reshape(-1, 3)[origin].reshape(soft.shape)
    return _to_pixels(reference.gaussian(shuffled / 255.0, sigma_px=level.strength))


def _to_pixels(image: NDArray[np.float64]) -> Pixels:
    # Cut, not rounded: as the reference.
    return np.asarray((np.clip(image, 0, 1) * 255).astype(np.uint8))


ENTRIES = (
    Corruption(
        name="defocus_blur",
        family="blur",
        parameter="radius_px",
        measure="px",
        levels=(3, 4, 6, 8, 10),
        bounds=(1, 200),
        whole_levels=True,
        version=1,
        temporal="constant",
        stage="lens",
        source=reference.SOURCE,
        benchmark="common",
        frame=defocus_blur,
    ),
    Corruption(
        name="glass_blur",
        family="blur",
        parameter="sigma_px",
        measure="px",
        levels=(0.7, 0.9, 1.0, 1.1, 1.5),
        version=1,
        temporal="clip",
        stage="lens",
        source=reference.SOURCE,
        moves_pixels=True,
        benchmark="common",
        frame=glass_blur,
        note="reach (1 2 2 3 4 px) and passes (2 1 3 2 2) change with severity too",
    ),
    Corruption(
        name="motion_blur",
        family="blur",
        parameter="sigma_px",
        measure="px",
        levels=(3, 5, 8, 12, 15),
        version=1,
        temporal="clip",
        stage="lens",
        source=reference.SOURCE,
        benchmark="common",
        frame=reference.through("motion_blur"),
        note="a direction within 45 degrees of the horizontal, one for the clip; radius 10 15 15 15 20 px",
    ),
    Corruption(
        name="zoom_blur",
        family="blur",
        parameter="zoom",
        measure="times",
        # The largest zoom that NumPy's arange(1, stop, step) of the reference gives: 1.11 at severity 1 by rounding.
        levels=(1.11, 1.15, 1.2, 1.24, 1.3),
        version=1,
        temporal="constant",
        stage="lens",
        source=reference.SOURCE,
        moves_pixels=True,
        benchmark="common",
        frame=reference.through("zoom_blur"),
    ),
    Corruption(
        name="gaussian_blur",
        family="blur",
        parameter="sigma_px",
        measure="px",
        levels=(1, 2, 3, 4, 6),
        bounds=(0.1, 100),
        version=1,
        temporal="constant",
        stage="lens",
        source=reference.SOURCE,
        benchmark="validation",
        frame=gaussian_blur,
    ),
)
