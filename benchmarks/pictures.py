"""Frames to time corruptions on: photographs where some are at hand, or generated ones with a photograph's spectrum."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def pictures(count: int, height: int, width: int) -> tuple[list[Pixels], str]:
    """`count` frames, uint8 RGB (height, width, 3), and what they are.

    Photographs of the folder named by STORMGLASS_REAL_DATA that are large enough, cut to size; without it, generated.
    """
    found = photographs(count, height, width)
    if len(found) == count:
        return found, f"{count} photographs, {width}x{height}"
    return [generated(height, width, seed) for seed in range(count)], f"{count} generated pictures, {width}x{height}"


def photographs(count: int, height: int, width: int) -> list[Pixels]:
    """The first `count` photographs of at least this size, cut to it; fewer where there are not as many."""
    from PIL import Image

    folder = os.environ.get("STORMGLASS_REAL_DATA")
    found: list[Pixels] = []
    for path in sorted((Path(folder) / "coco" / "images").glob("*.jpg")) if folder else []:
        with Image.open(path) as picture:
            if picture.height >= height and picture.width >= width and len(found) < count:
                found.append(np.array(picture.convert("RGB"))[:height, :width].copy())
    return found


def generated(height: int, width: int, seed: int = 0) -> Pixels:
    """A picture whose amplitudes fall with frequency, as a photograph's do (1/f), with a bright and a dark block."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(random.normal(size=(3, height, width))) / frequency
    spectrum[:, 0, 0] = 0
    scene = np.fft.ifft2(spectrum).real
    scene = 120 + 45 * (0.7 * scene[:1] + 0.3 * scene) / scene.std()
    scene[:, height // 4 : height // 2, width // 4 : width // 3] += 70
    scene[:, height // 2 : 3 * height // 4, width // 2 : 3 * width // 4] -= 80
    return np.ascontiguousarray(np.clip(scene, 0, 255).astype(np.uint8).transpose(1, 2, 0))
