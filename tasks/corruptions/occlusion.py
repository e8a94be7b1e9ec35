"""What stands in the way: a shadow on the scene, objects before the camera."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level, Pixels
from tasks.corruptions.packages import albumentations
from tasks.corruptions.seeds import Moments, streams, uniform

_SHADOW_CORNERS = 6
_PENUMBRA = 0.015  # of the frame's height
_OBJECTS = 512  # more than ever needed: they cover 0.95 of a frame long before
_SUBPIXEL_BITS = 4
_BISECTIONS = 12  # of the last object's size: to 1/4096 of it
# Bark, rust, stone, moss, dry grass, leaf: sRGB codes.
_COLOURS = np.array([(74, 60, 48), (98, 66, 48), (92, 92, 94), (58, 72, 46), (132, 120, 82), (64, 88, 52)], dtype=float)
_TEXTURE = 0.35  # of the colour, at most: large blotches
_GRAIN = 0.12


def shadow(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """RandomShadow of albumentations: one polygon of the clip's own, its edge softened as by the sun's size."""
    height, width, channels = frames.shape[1:]
    shaded = arrays.per_clip(
        moments,
        ("shadow", height, width),
        lambda seeds: arrays.array(np.stack([_shaded(int(seed), height, width) for seed in seeds])),
    )
    left = arrays.spread(1 - shaded * (1 - level["light_left"]), channels)
    return arrays.to_codes(arrays.to_float(frames) * left)


def _shaded(seed: int, height: int, width: int) -> NDArray[np.float32]:
    """1 in the shadow, 0 out of it, (H, W)."""
    import cv2

    white = np.full((height, width, 3), 255, np.uint8)
    corners = shadow_corners(seed, height, width)
    dark = _random_shadow().apply(white, vertices_list=[corners], intensities=np.array([1.0]))[..., 0]
    side = 2 * round(_PENUMBRA * height) + 1
    return np.asarray(1 - cv2.GaussianBlur(dark.astype(np.float32), (side, side), 0) / 255)


def shadow_corners(seed: int, height: int, width: int) -> NDArray[np.int32]:
    """A polygon around a place in the frame's lower two thirds, (V, 2), x and y in px; parts of it lie outside."""
    seeds = np.array([seed], dtype=np.uint64)
    draw = np.array([uniform(seeds, stream)[0] for stream in range(3 + _SHADOW_CORNERS)])
    middle = np.array([width * (0.2 + 0.6 * draw[0]), height * (0.4 + 0.5 * draw[1])])
    angle = 2 * np.pi * (draw[2] + np.arange(_SHADOW_CORNERS)) / _SHADOW_CORNERS
    reach = 0.2 + 0.35 * draw[3:]
    around = np.stack([np.cos(angle) * width, np.sin(angle) * height], axis=-1) * reach[:, None]
    return np.rint(middle + around).astype(np.int32)


@functools.cache
def _random_shadow() -> Any:
    return albumentations("shadow").RandomShadow(p=1.0)


def occlusion(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Posts, blades and leaves before the camera, opaque, at the clip's own places."""
    height, width, channels = frames.shape[1:]

    def of_clips(seeds: NDArray[np.uint64]) -> Array:
        words = arrays.host(arrays.field(streams(seeds, 0), (_OBJECTS, 8)))
        grain = arrays.host(arrays.field(streams(seeds, 1), (height, width)))
        painted = [_painted(*own, level["covered"], height, width) for own in zip(words, grain, strict=True)]
        return arrays.array(np.stack(painted))

    layers = arrays.per_clip(moments, ("occlusion", level["covered"], height, width), of_clips)
    seen, objects = layers[:, 0], layers[:, 1]
    if channels == 1:
        seen, objects = seen[..., 1:2], objects[..., 1:2]
    return frames & seen | objects


def _painted(words: NDArray[Any], grain: NDArray[Any], covered: float, height: int, width: int) -> NDArray[np.uint8]:
    """255 where the scene is seen, and the objects where it is not, (2, H, W, 3)."""
    import cv2

    mask, paint = objects(words / 65536.0, covered, height, width)
    coarse = cv2.resize(grain[:12, :16].astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) / 65536
    light = 1 + _TEXTURE * (coarse - 0.5) + _GRAIN * (grain.astype(np.float32) / 65536 - 0.5)
    textured = np.clip(paint * cv2.merge([light] * 3), 0, 255).astype(np.uint8)
    hidden = cv2.merge([mask] * 3)
    return np.stack([~hidden, textured & hidden])


def objects(draws: NDArray[np.float64], covered: float, height: int, width: int) -> tuple[NDArray[np.uint8], Pixels]:
    """What is covered, 255 (H, W), and each object's colour.

    Objects are put in, one by one, until they cover the share, the last one only as large as it takes: what a smaller
    share covers, a larger one covers too.

    Args:
        draws: Numbers in 0..1, (objects, 8).
        covered: Share of the frame.
        height: Of the frame, in px.
        width: Of the frame, in px.
    """
    import cv2

    wanted = round(covered * height * width)
    mask = np.zeros((height, width), np.uint8)
    paint = np.zeros((height, width, 3), np.uint8)

    def fill(on: Any, draw: NDArray[np.float64], size: float, colour: Any) -> None:
        corners = np.rint(outline(draw, size) * height * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillConvexPoly(on, corners, colour, cv2.LINE_8, _SUBPIXEL_BITS)

    for draw in draws:
        if cv2.countNonZero(mask) >= wanted:
            break
        draw = np.concatenate([[draw[0] * width / height], draw[1:]])  # in heights of the frame
        after = mask.copy()
        fill(after, draw, 1.0, 255)
        low, high = 0.0, 1.0
        if cv2.countNonZero(after) > wanted:
            for _ in range(_BISECTIONS):
                after, size = mask.copy(), (low + high) / 2
                fill(after, draw, size, 255)
                low, high = (low, size) if cv2.countNonZero(after) > wanted else (size, high)
            after = mask.copy()
            fill(after, draw, low, 255)
            fill(paint, draw, low, _colour(draw))
            mask = after
            break
        fill(paint, draw, 1.0, _colour(draw))
        mask = after
    return mask, paint


def _colour(draw: NDArray[np.float64]) -> tuple[float, ...]:
    chosen = _COLOURS[int(draw[6] * len(_COLOURS))] * (0.7 + 0.6 * draw[7])
    return tuple(float(code) for code in np.rint(chosen))


def outline(draw: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """A convex outline (V, 2), x and y in heights of the frame, of an object grown to a share `size` of itself.

    Args:
        draw: Place across (0 to the frame's width), place down, kind, turn, length, width, colour, brightness; all but
            the first 0..1.
        size: 0..1; a smaller one lies within a larger one.
    """
    x, y, kind, turn, long, wide = draw[:6]
    if kind < 0.3:  # a post, from below the frame to above it: it grows in width
        lean = 0.15 * (turn - 0.5)
        half = size * (0.01 + 0.025 * wide)
        return np.array(
            [(x - lean - half, -0.1), (x - lean + half, -0.1), (x + lean + half, 1.1), (x + lean - half, 1.1)]
        )
    if kind < 0.6:  # a blade of grass: from the lower edge up
        length = size * (0.3 + 0.5 * long)
        half = size * (0.008 + 0.02 * wide)
        tip = (x + length * 0.8 * (turn - 0.5), 1.05 - length)
        return np.array([(x - half, 1.05), (x + half, 1.05), tip])
    # A leaf, at any height.
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    along, across = np.cos(angle), np.sin(angle) * (0.35 + 0.3 * wide)
    reach = size * (0.04 + 0.08 * long)
    turned = np.pi * turn
    return np.stack(
        [
            x + reach * (along * np.cos(turned) - across * np.sin(turned)),
            y + reach * (along * np.sin(turned) + across * np.cos(turned)),
        ],
        axis=-1,
    )


ENTRIES = (
    Corruption(
        name="shadow",
        family="weather",
        table={"light_left": (0.8, 0.65, 0.5, 0.35, 0.2)},
        measure="share of the light",
        bounds=(0.0, 1.0),
        version=1,
        temporal="clip",
        stage="scene",
        source="albumentations RandomShadow",
        batch=shadow,
        note="lower is worse; one polygon, about a third of the frame, where it stays for a clip",
    ),
    Corruption(
        name="occlusion",
        family="weather",
        table={"covered": (0.05, 0.1, 0.2, 0.3, 0.4)},
        measure="share of the frame",
        bounds=(0.0, 0.9),
        version=1,
        temporal="clip",
        stage="scene",
        source="own: opaque posts, blades and leaves",
        batch=occlusion,
        note="what a lower share covers, a higher one covers too; the truth is left as it is, hidden objects and all",
    ),
)
