"""Noise of the benchmark, fresh on each frame. Formulas: imagecorruptions 1.1.2, equal to the bit at its severities."""

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import reference
from tasks.corruptions.interface import Corruption, Level, Moment, Pixels


def gaussian_noise(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """Additive: x + N(0, sigma), x in 0..1."""
    x = frame / 255.0
    return _to_pixels(x + np.random.RandomState(moment.frame_seed).normal(size=x.shape, scale=level.strength))


def shot_noise(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """Poisson: white is a count of `photons`. Fewer photons, more noise."""
    photons = level.strength
    return _to_pixels(np.random.RandomState(moment.frame_seed).poisson(frame / 255.0 * photons) / photons)


def impulse_noise(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """Salt and pepper: the share `amount` of all values (each channel on its own) becomes 0 or 255.

    scikit-image draws from a generator of its own, unseeded in the reference; here it is seeded.
    """
    from skimage.util import random_noise

    return _to_pixels(random_noise(frame / 255.0, mode="s&p", amount=level.strength, rng=moment.frame_seed))


def speckle_noise(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """Multiplicative: x + x N(0, sigma), x in 0..1."""
    x = frame / 255.0
    return _to_pixels(x + x * np.random.RandomState(moment.frame_seed).normal(size=x.shape, scale=level.strength))


def _to_pixels(image: NDArray[np.float64]) -> Pixels:
    # Cut, not rounded: as the reference.
    return np.asarray((np.clip(image, 0, 1) * 255).astype(np.uint8))


ENTRIES = (
    Corruption(
        name="gaussian_noise",
        family="noise",
        parameter="sigma",
        measure="share of white",
        levels=(0.08, 0.12, 0.18, 0.26, 0.38),
        bounds=(0.0, 10.0),
        version=1,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        frame=gaussian_noise,
    ),
    Corruption(
        name="shot_noise",
        family="noise",
        parameter="photons",
        measure="photons at white",
        levels=(60, 25, 12, 5, 3),
        bounds=(0.1, 1e6),
        version=1,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        frame=shot_noise,
        note="lower is worse",
    ),
    Corruption(
        name="impulse_noise",
        family="noise",
        parameter="amount",
        measure="share of values",
        levels=(0.03, 0.06, 0.09, 0.17, 0.27),
        bounds=(0.0, 1.0),
        version=1,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        frame=impulse_noise,
    ),
    Corruption(
        name="speckle_noise",
        family="noise",
        parameter="sigma",
        measure="share of the value",
        levels=(0.15, 0.2, 0.35, 0.45, 0.6),
        bounds=(0.0, 10.0),
        version=1,
        temporal="fresh",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="validation",
        frame=speckle_noise,
    ),
)
