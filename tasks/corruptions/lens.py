"""On and in the lens: the sun's flare, grease."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level
from tasks.corruptions.seeds import Moments, streams, uniform
from tasks.corruptions.spattered import normal_table

# RandomSunFlare draws rings 10 px apart: the flare is drawn at this size, whatever the frame's, smoothed until no ring
# is seen, and made as large as the frame.
_DRAWN_PX, _SMOOTHED_PX = 240, 6.0
_GHOSTS = 5
_GHOST_ALPHA = 0.2
_SUN_ALPHA = 5 * _GHOST_ALPHA  # of its middle, as RandomSunFlare has it: opaque
# Grease lies in patches of about this share of the frame's height.
_PATCH = 0.25
_SOFT = 0.5  # a patch's edge, in standard deviations of the field that it is cut from


def sun_flare(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """RandomSunFlare of albumentations at a place of the clip's own.

    Its overlays are linear in the frame: drawn once for a clip, they are what is added to any frame, and what is left
    of it. In floats, for each of its thirty overlays rounds to whole codes, not alike on all processors.
    """
    height, width, channels = frames.shape[1:]
    layers = arrays.per_clip(
        moments,
        ("sun_flare", level, height, width),
        lambda seeds: arrays.array(np.stack([_flare(int(seed), level, height, width) for seed in seeds])),
    )
    left, added = layers[:, 0], layers[:, 1]
    if channels == 1:
        left, added = left[..., 1:2], added[..., 1:2]
    return arrays.to_codes(arrays.to_float(frames) * left + added)


def _flare(seed: int, level: Level, height: int, width: int) -> NDArray[np.float32]:
    """What is left of a frame, and what is added, (2, H, W, 3)."""
    import cv2

    scale = _DRAWN_PX / min(height, width)
    shape = (round(height * scale), round(width * scale))
    flare = drawn(shape, flare_geometry(seed, *shape), max(2, round(level["radius"] * shape[1])))
    layers = [cv2.GaussianBlur(layer, (0, 0), _SMOOTHED_PX) for layer in flare]
    return np.stack([cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR) for layer in layers])


def flare_geometry(seed: int, height: int, width: int) -> dict[str, Any]:
    """RandomSunFlare's parameters: a sun in the upper half, ghosts on the line through the picture's middle."""
    seeds = np.array([seed], dtype=np.uint64)
    draw = [float(uniform(seeds, stream)[0]) for stream in range(2 + 2 * _GHOSTS)]
    x, y = (0.1 + 0.8 * draw[0]) * width, 0.5 * draw[1] * height
    ghosts = []
    for at, size in zip(draw[2::2], draw[3::2], strict=True):
        along = 0.4 + 1.8 * at  # 1 is the middle, 2 the sun's mirror image
        place = (round(x + along * (width / 2 - x)), round(y + along * (height / 2 - y)))
        tint = (255, 255 - round(40 * at), 255 - round(60 * size))
        ghosts.append((_GHOST_ALPHA, place, max(1, round((0.015 + 0.05 * size) * height)), tint))
    return {"flare_center": (round(x), round(y)), "circles": ghosts}


def drawn(shape: tuple[int, int], geometry: dict[str, Any], radius_px: int) -> list[NDArray[np.float32]]:
    """What is left of a frame and what is added, each (H, W, 3): ghosts, then the sun's rings from its edge inwards."""
    import cv2

    left, added = np.ones(shape, np.float32), np.zeros((*shape, 3), np.float32)
    bare, ghosts = left.copy(), added.copy()
    for alpha, place, radius, tint in geometry["circles"]:
        cv2.circle(bare, place, radius, 0.0, -1)
        cv2.circle(ghosts, place, radius, tint, -1)
        left += alpha * (bare - left)
        added += alpha * (ghosts - added)
    count = radius_px // 10
    # A ring is white laid over all rings within it; what shows through at a place has passed every ring around it.
    passed = np.cumprod(1 - np.linspace(0.0, _SUN_ALPHA, count) ** 3)
    shown = np.ones(shape, np.float32)
    for radius, share in zip(np.linspace(radius_px, 1, count), passed, strict=True):
        cv2.circle(shown, geometry["flare_center"], int(radius), float(share), -1)
    shown = shown[..., None]
    return [np.repeat(left[..., None] * shown, 3, axis=-1), added * shown + 255 * (1 - shown)]


def lens_smudge(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Patches of grease: behind them the picture is blurred, and veiled by its own stray light."""
    height, width, channels = frames.shape[1:]
    grease = arrays.spread(
        arrays.per_clip(
            moments,
            ("lens_smudge", level["covered"], height, width),
            lambda seeds: arrays.array(
                np.stack(
                    [smudge(own, level["covered"], height, width) for own in _patches(arrays, seeds, height, width)]
                )
            ),
        ),
        channels,
    )
    pixels = arrays.to_float(frames)
    kernel = _gaussian(level["sigma_px"])
    # Stray light has the whole picture's colour.
    stray = arrays.array(arrays.channel_means(frames).astype(np.float32))[:, None, None, :] * level["veil"]
    behind = arrays.separable(pixels, kernel, kernel, "edge") * (1 - level["veil"]) + stray
    return arrays.to_codes(pixels + (behind - pixels) * grease)


def _patches(arrays: Arrays, seeds: NDArray[np.uint64], height: int, width: int) -> NDArray[Any]:
    """Coarse fields, one 16-bit word for each patch, on the host."""
    step = _PATCH * height
    shape = (math.ceil(height / step) + 3, math.ceil(width / step) + 3)
    return arrays.host(arrays.field(streams(seeds, 0), shape))


def smudge(words: NDArray[Any], covered: float, height: int, width: int) -> NDArray[np.float32]:
    """How greasy the lens is, 0..1, (H, W): at least half on the share `covered`; a smaller share lies within it."""
    import cv2

    step = _PATCH * height
    coarse = cv2.GaussianBlur(normal_table()[words.astype(np.int64)], (3, 3), 0.7)
    affine = np.array([[1 / step, 0.0, 1.0], [0.0, 1 / step, 1.0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    field = cv2.warpAffine(coarse, affine, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if not covered:
        return np.zeros((height, width), np.float32)
    edge = np.quantile(field[::2, ::2], 1 - covered)
    return np.asarray(np.clip((field - edge) / (_SOFT * field.std()) + 0.5, 0, 1), dtype=np.float32)


def _gaussian(sigma_px: float) -> NDArray[np.float64]:
    along = np.arange(-math.ceil(3 * sigma_px), math.ceil(3 * sigma_px) + 1)
    kernel = np.exp(-(along**2) / (2 * max(sigma_px, 1e-3) ** 2))
    return np.asarray(kernel / kernel.sum())


ENTRIES = (
    Corruption(
        name="sun_flare",
        family="weather",
        table={"radius": (0.15, 0.25, 0.4, 0.6, 0.8)},
        measure="share of the frame's width",
        bounds=(0.01, 2.0),
        version=2,
        temporal="clip",
        stage="optics",
        source="albumentations RandomSunFlare, in floats",
        batch=sun_flare,
        note="the sun stands in the upper half, where it stays for a clip",
    ),
    Corruption(
        name="lens_smudge",
        family="weather",
        table={
            "covered": (0.1, 0.2, 0.35, 0.5, 0.7),
            "sigma_px": (3, 4, 5, 6, 8),
            "veil": (0.2, 0.25, 0.3, 0.35, 0.4),
        },
        measure="share of the frame",
        bounds=(0.0, 1.0),
        version=1,
        temporal="clip",
        stage="optics",
        source="own: grease that blurs and veils in patches",
        batch=lens_smudge,
        note="blur and veil grow with the share (sigma 3 4 5 6 8 px, veil 0.2 0.25 0.3 0.35 0.4)",
    ),
)
