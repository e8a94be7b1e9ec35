"""From the light in a scene to the picture of it: exposure and grain, and two ways in which real footage goes wrong.

Fog and defocus are made here from the scene's own depth, by the physics alone; they share nothing with the corruptions
that a benchmark applies to finished pictures.
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.data.scene import world

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

GAMMA: Final = 2.2


def expose(
    colour: Bytes, glow: Bytes, *, tint: tuple[float, float, float], gain: float, grain: float, rng: np.random.Generator
) -> Bytes:
    """Average the subsamples, add the halo of lamps, then the sensor's gains, vignette and grain; (H/2, W/2, 3)."""
    size = (world.WIDTH_PX, world.HEIGHT_PX)
    picture = cv2.resize(colour, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if glow.any():
        shine = cv2.resize(glow, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        picture += 0.9 * cv2.GaussianBlur(shine, (0, 0), 2.2)
    v, u = np.mgrid[-1 : 1 : 1j * size[1], -1 : 1 : 1j * size[0]].astype(np.float32)
    picture *= (gain * (1 - 0.10 * (u**2 + v**2)))[..., None] * np.array(tint, np.float32)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    picture += grain * np.sqrt(0.5 + picture.clip(0) / 255) * noise
    return np.asarray((picture + 0.5).clip(0, 255), np.uint8)


def fog(colour: Bytes, range_m: Floats, *, beta_per_m: float, airlight: tuple[float, float, float]) -> Bytes:
    """Koschmieder's law (1924): J t + A (1 - t) with t = exp(-beta * range), in linear light.

    Args:
        colour: uint8 (H, W, 3), display values of gamma 2.2.
        range_m: metres along each ray, inf for the sky; (H, W).
        beta_per_m: extinction; the meteorological visibility is 3.912 / beta.
        airlight: linear RGB, 0..1.
    """
    through = np.exp(-np.float32(beta_per_m) * range_m)[..., None]
    scene = (colour.astype(np.float32) / 255) ** GAMMA
    veiled = scene * through + np.array(airlight, np.float32) * (1 - through)
    return np.asarray(255 * veiled ** (1 / GAMMA) + 0.5, np.uint8)


def circle_of_confusion_px(depth_m: Floats, *, focus_m: float, strength_px: float) -> Floats:
    """Diameter of a thin lens's blur disc at each depth: strength * |1 - focus / depth|.

    strength_px is f^2 / (N * (focus - f)) on the sensor, in pixels: the diameter at infinity.
    """
    return np.asarray(strength_px * np.abs(1 - focus_m / depth_m), np.float32)


def defocus(colour: Bytes, depth_m: Floats, *, focus_m: float, strength_px: float, layers: int = 6) -> Bytes:
    """A lens focused at `focus_m`: layers of like blur, spread over discs and laid over each other from far to near.

    Works in linear light, so that lamps grow into discs.
    """
    diameter = circle_of_confusion_px(depth_m, focus_m=focus_m, strength_px=strength_px)
    bounds = np.quantile(depth_m[np.isfinite(depth_m)], np.linspace(0, 1, layers)[1:])
    layer = np.searchsorted(bounds, depth_m)
    scene = (colour.astype(np.float32) / 255) ** GAMMA
    total, covered = np.zeros_like(scene), np.zeros(depth_m.shape, np.float32)
    for number in range(int(layer.max()), -1, -1):
        chosen = layer == number
        if not chosen.any():
            continue
        kernel = _disc(float(diameter[chosen].mean()))
        share = cv2.filter2D(chosen.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REFLECT)
        spread = cv2.filter2D(scene * chosen[..., None], -1, kernel, borderType=cv2.BORDER_REFLECT)
        total = spread + total * (1 - share)[..., None]
        covered = share + covered * (1 - share)
    # What a near layer hides is not known: where its blurred edge lets it through, what is known stands for it.
    result = total / np.maximum(covered, 1e-4)[..., None]
    return np.asarray(255 * result.clip(0, 1) ** (1 / GAMMA) + 0.5, np.uint8)


def _disc(diameter_px: float) -> Floats:
    """An evenly filled disc, its edge antialiased, that sums to 1."""
    half = int(np.ceil(diameter_px / 2)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(diameter_px / 2 + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(disc / disc.sum(), np.float32)
