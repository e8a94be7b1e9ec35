"""Weather: the benchmark's snow, frost, fog, brightness and spatter; rain."""

import functools
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import reference
from tasks.corruptions.interface import Corruption, Level, Moment, Pixels
from tasks.errors import InputError

# Rain. A streak is as long as its drop falls while the shutter is open: a shutter open for half of each frame's time
# (180 degrees, the usual one) moves it by two lengths from frame to frame.
_LENGTHS_PER_FRAME = 2.0
_SPEED_SPREAD = 0.15  # drops differ in size, so in speed: uniform, +- this share
_WIND_DEG = 10.0  # RandomRain's default range


@dataclass(frozen=True)
class _Depth:
    """Drops at about one distance: near ones are few, long, fast and out of focus, far ones many, short and faint."""

    share: float  # of all drops
    length: float  # of the frame's height; RandomRain's default is 1 / 8
    colour: int  # added to what is behind; RandomRain's default is 200
    blur_px: int  # a box that spreads the colour; RandomRain's 7 leaves streaks in small frames too faint to see


_DEPTHS = (
    _Depth(share=0.75, length=1 / 14, colour=70, blur_px=1),
    _Depth(share=0.25, length=1 / 7, colour=200, blur_px=3),
)
_ROWS_PER_WIDTH_PX = 600  # streaks are one px wider for each so many rows
# The sky darkens with the square root of the rain, down to RandomRain's default of 0.7 at severity 5 and beyond.
_DARKEST, _DARKEST_AT = 0.7, 800.0


def brightness(frame: Pixels, level: Level, _moment: Moment) -> Pixels:
    """HSV's value, 0..1, plus `added_value`."""
    from skimage.color import hsv2rgb, rgb2hsv

    hsv = rgb2hsv(frame / 255.0)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] + level.strength, 0, 1)
    # Cut, not rounded: as the reference.
    return np.asarray((np.clip(hsv2rgb(hsv), 0, 1) * 255).astype(np.uint8))


def snow(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """The reference's snow: flakes new in each frame, the wind's direction that of the clip."""
    assert level.severity is not None, "snow has severities only: the registry gives it no bounds"
    return reference.run("snow", frame, severity=level.severity, seed=moment.frame_seed, angle_seed=moment.clip_seed)


def rain(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """Streaks drawn by albumentations' RandomRain at places of our own, so that the drops fall from frame to frame."""
    height, width = frame.shape[:2]
    dark = 1 - (1 - _DARKEST) * min(1.0, math.sqrt(level.strength / _DARKEST_AT))
    rained = frame
    for place, depth in enumerate(_DEPTHS):
        length_px = max(1, round(height * depth.length))
        starts, lean_px = falling_drops(
            height_px=height,
            width_px=width,
            length_px=length_px,
            drops_in_view=level.strength * depth.share,
            seed=moment.clip_seed,
            depth=place,
            frame_index=moment.frame_index,
        )
        # RandomRain darkens each time it draws: that is left to the last.
        drawing = _random_rain(
            depth.colour,
            1 + height // _ROWS_PER_WIDTH_PX,
            depth.blur_px + height // _ROWS_PER_WIDTH_PX,
            dark if depth is _DEPTHS[-1] else 1.0,
        )
        rained = drawing.apply(rained, slant=lean_px, drop_length=length_px, rain_drops=starts)
    return np.asarray(rained, dtype=np.uint8)


def falling_drops(
    *, height_px: int, width_px: int, length_px: int, drops_in_view: float, seed: int, frame_index: int, depth: int = 0
) -> tuple[NDArray[np.int32], float]:
    """Upper ends (N, 2) of the streaks, x and y in px, at one frame of a clip, and how far a streak leans, in px.

    A drop falls through a band that reaches one streak above the frame, and comes back at the top at another place.
    The first drops of a denser rain are those of a lighter one. Any frame is found without those before it.
    """
    wind_deg = (_uniform(seed, np.zeros(1), 0)[0] * 2 - 1) * _WIND_DEG
    lean = math.tan(math.radians(wind_deg))
    band_px = height_px + length_px
    drift_px = lean * band_px  # sideways, over one whole fall
    span_px = width_px + abs(drift_px)
    drops = depth * 1_000_000 + np.arange(round(drops_in_view * band_px * span_px / (height_px * width_px)))
    speed_px = length_px * _LENGTHS_PER_FRAME * (1 + _SPEED_SPREAD * (_uniform(seed, drops, 1) * 2 - 1))
    travelled_px = _uniform(seed, drops, 2) * band_px + speed_px * frame_index
    fall = np.floor(travelled_px / band_px)
    down_px = travelled_px - fall * band_px
    start_px = _uniform(seed, drops, 3, fall) * span_px - max(0.0, drift_px)
    places = np.stack([start_px + lean * down_px, down_px - length_px], axis=-1)
    return np.rint(places).astype(np.int32), lean * length_px


def _uniform(seed: int, item: NDArray[Any], purpose: int, lap: NDArray[Any] | float = 0) -> NDArray[np.float64]:
    """A number in [0, 1) for each item: splitmix64's finaliser (Steele et al. 2014) over (seed, purpose, item, lap)."""
    state = np.full(item.shape, seed, dtype=np.uint64)
    for word in (np.full(item.shape, purpose), item, np.broadcast_to(lap, item.shape)):
        state = state + np.uint64(0x9E3779B97F4A7C15) + word.astype(np.int64).astype(np.uint64)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


@functools.lru_cache(maxsize=32)
def _random_rain(colour: int, width_px: int, blur_px: int, brightness_coefficient: float) -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or it asks the network for a newer version on import
    try:
        import albumentations
    except ImportError:
        raise InputError("rain needs the package albumentations, which is not installed: install it.") from None
    return albumentations.RandomRain(
        drop_width=width_px,
        drop_color=(colour,) * 3,
        blur_value=blur_px,
        brightness_coefficient=brightness_coefficient,
        p=1.0,
    )


ENTRIES = (
    Corruption(
        name="snow",
        family="weather",
        parameter="whitening",
        measure="share of the picture",
        levels=(0.2, 0.3, 0.3, 0.35, 0.45),
        version=1,
        temporal="falling",
        stage="scene",
        source=reference.SOURCE,
        benchmark="common",
        frame=snow,
        note="size, density and blur of the flakes change with severity too; published curves are not monotone here",
    ),
    Corruption(
        name="frost",
        family="weather",
        parameter="image_weight",
        measure="share of the picture",
        levels=(1.0, 0.8, 0.7, 0.65, 0.6),
        version=1,
        temporal="clip",
        stage="lens",
        source=reference.SOURCE,
        benchmark="common",
        frame=reference.through("frost"),
        note="lower is worse; ice added at 0.4 0.6 0.7 0.7 0.75; as in the reference, the sixth picture is never used",
    ),
    Corruption(
        name="fog",
        family="weather",
        parameter="strength",
        measure="times white",
        levels=(1.5, 2.0, 2.5, 2.5, 3.0),
        version=1,
        temporal="clip",
        stage="scene",
        source=reference.SOURCE,
        benchmark="common",
        frame=reference.through("fog"),
        note="the fog's grain changes with severity too (decay 2 2 1.7 1.5 1.4); it knows no depth",
    ),
    Corruption(
        name="brightness",
        family="weather",
        parameter="added_value",
        measure="share of white",
        levels=(0.1, 0.2, 0.3, 0.4, 0.5),
        bounds=(0.0, 1.0),
        version=1,
        temporal="constant",
        stage="processing",
        source=reference.SOURCE,
        benchmark="common",
        frame=brightness,
        note="brightens only",
    ),
    Corruption(
        name="spatter",
        family="weather",
        parameter="drop_sigma_px",
        measure="px",
        levels=(4, 3, 2, 1, 1),
        version=1,
        temporal="clip",
        stage="lens",
        source=reference.SOURCE,
        benchmark="validation",
        frame=reference.through("spatter"),
        note="water at severities 1 to 3, mud at 4 and 5",
    ),
    Corruption(
        name="rain",
        family="weather",
        parameter="drops_in_view",
        measure="drops",
        levels=(50, 100, 200, 400, 800),
        bounds=(0, 10000),
        version=1,
        temporal="falling",
        stage="scene",
        source="albumentations RandomRain, its drops placed so that they fall",
        frame=rain,
        note="streaks in the frame, whatever its size, for they scale with its height; the light falls to 0.7 at 800",
    ),
)
