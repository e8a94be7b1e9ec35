"""Procedural surfaces: seeded, tileable noise and the albedo of what stands in the scene."""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

TILE_PX: Final = 256


@lru_cache(maxsize=8)
def noise_tile(seed: int, *, octaves: int = 5, persistence: float = 0.6) -> Floats:
    """Tileable fractal noise, float32 (256, 256), mean 0, standard deviation 1.

    Octave k is a random lattice of 8 * 2**k points a side, interpolated cubically (value noise).
    """
    rng = np.random.default_rng([seed, 0x7E])
    total = np.zeros((TILE_PX, TILE_PX), np.float32)
    for octave in range(octaves):
        cells = 8 * 2**octave
        lattice = rng.standard_normal((cells, cells)).astype(np.float32)
        padded = np.pad(lattice, 4, mode="wrap")
        step = TILE_PX // cells
        fine = cv2.resize(padded, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC) if step > 1 else padded
        total += persistence**octave * fine[4 * step : 4 * step + TILE_PX, 4 * step : 4 * step + TILE_PX]
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def sample(tile: Floats, x: Floats, y: Floats, *, per_m: float) -> Floats:
    """Noise at positions in metres, `per_m` tile pixels a metre, bilinear and periodic; the shape of `x`."""
    columns = np.mod(x * per_m, TILE_PX).astype(np.float32).reshape(1, -1)
    rows = np.mod(y * per_m, TILE_PX).astype(np.float32).reshape(1, -1)
    parts = []
    for start in range(0, columns.shape[1], 32_000):  # cv2.remap refuses sides of 32,768 and more
        part = slice(start, start + 32_000)
        parts.append(cv2.remap(tile, columns[:, part], rows[:, part], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))
    return np.concatenate(parts, axis=1).reshape(x.shape) if parts else np.zeros_like(x)


def mixed(base: tuple[float, float, float], strength: Floats) -> Floats:
    """The colour `base` (RGB, 0..1) made lighter or darker by the share `strength`; (N, 3)."""
    return np.asarray(base, np.float32)[None] * (1.0 + strength)[:, None]


def brick(tile: Floats, along: Floats, up: Floats, colour: tuple[float, float, float]) -> Floats:
    """A brick wall: courses of 0.3 m with mortar lines, stained by noise; (N, 3)."""
    course = np.floor(up / 0.3)
    shifted = along / 0.75 + 0.5 * np.mod(course, 2)
    mortar = (np.mod(up, 0.3) < 0.05) | (np.mod(shifted, 1.0) < 0.06)
    tone = np.sin(12.9898 * np.floor(shifted) + 78.233 * course) * 43758.5453
    wall = mixed(colour, 0.22 * (tone - np.floor(tone) - 0.5) + 0.09 * sample(tile, along, up, per_m=18))
    wall[mortar] = wall[mortar] * 0.6 + 0.2
    return wall


def asphalt(tile: Floats, x: Floats, y: Floats) -> Floats:
    """Worn asphalt with aggregate, stains and repairs; (N, 3)."""
    grain = 0.10 * sample(tile, x, y, per_m=60) + 0.09 * sample(tile, x, y, per_m=5)
    repairs = np.where(sample(tile, x + 31, y + 17, per_m=2.2) > 1.1, -0.2, 0.0)
    return mixed((0.30, 0.30, 0.31), grain + repairs.astype(np.float32))


def slabs(tile: Floats, x: Floats, y: Floats) -> Floats:
    """Paving slabs of 0.8 m; (N, 3)."""
    joint = (np.mod(x, 0.8) < 0.06) | (np.mod(y, 0.8) < 0.06)
    tone = np.sin(12.9898 * np.floor(x / 0.8) + 78.233 * np.floor(y / 0.8)) * 43758.5453
    paving = mixed((0.56, 0.53, 0.49), 0.14 * (tone - np.floor(tone) - 0.5) + 0.06 * sample(tile, x, y, per_m=30))
    paving[joint] *= 0.68
    return paving


def foliage(tile: Floats, a: Floats, b: Floats, colour: tuple[float, float, float]) -> Floats:
    """Leaves or grass: strong noise at two scales; (N, 3)."""
    return mixed(colour, 0.30 * sample(tile, a, b, per_m=38) + 0.22 * sample(tile, a + 9, b + 5, per_m=9)).clip(0.02, 1)
