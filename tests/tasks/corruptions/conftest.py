"""Frames to corrupt."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import pytest
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def textured_clip(frames: int, height: int, width: int, seed: int = 0) -> Frames:
    """A pan over a scene with texture at all scales (1/f), a bright and a dark block, and colour: (T, H, W, 3)."""
    random = np.random.RandomState(seed)
    rows, columns = height, width + 2 * frames
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(random.normal(size=(3, rows, columns))) / frequency
    spectrum[:, 0, 0] = 0
    scene = np.fft.ifft2(spectrum).real
    scene = 120 + 45 * (0.7 * scene[:1] + 0.3 * scene) / scene.std()
    scene[:, rows // 4 : rows // 2, columns // 4 : columns // 3] += 70
    scene[:, rows // 2 : 3 * rows // 4, columns // 2 : columns // 2 + width // 4] -= 80
    pixels = np.clip(scene, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.stack([pixels[:, 2 * t : 2 * t + width] for t in range(frames)])


@pytest.fixture(scope="session")
def clip() -> Frames:
    """Eight frames of 40 x 52."""
    frames = textured_clip(8, 40, 52)
    frames.flags.writeable = False
    return frames


@pytest.fixture(scope="session")
def frame() -> Frames:
    """One frame of 96 x 128."""
    pixels: Frames = textured_clip(1, 96, 128)[0]
    pixels.flags.writeable = False
    return pixels
