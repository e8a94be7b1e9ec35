"""Rain: streaks of light that fall from frame to frame, under a darker sky and behind a thin veil."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level
from tasks.corruptions.seeds import GOLDEN, Moments, mixed, streams

# A streak is as long as its drop falls while the shutter is open: a shutter open for half of each frame's time
# (180 degrees, the usual one) moves it by two lengths from frame to frame.
_LENGTHS_PER_FRAME = 2.0
_SPEED_SPREAD = 0.15  # drops differ in size, so in speed: uniform, +- this share
_LENGTH_SPREAD = 0.3
_WIND_DEG = 10.0  # from the vertical, at most
_SHADES = (0.5, 0.75, 1.0)  # of a sheet's opacity: drops differ in size and in how they lie to the light
_SUBPIXEL_BITS = 4
# The sky darkens with the square root of the rain, down to 0.7 at severity 5 and beyond; so does the contrast fall, for
# the drops too far to be seen one by one.
_DARKEST, _THICKEST_VEIL, _HEAVY = 0.7, 0.15, 800.0


@dataclass(frozen=True)
class _Sheet:
    """Drops at about one distance: near ones are few, long, fast and out of focus; far ones many, short and thin.

    Sizes are shares of the frame's height. A drop is a lens: it shows the sky, for as long as it covers a pixel.
    """

    share: float  # of all drops
    length: float
    width: float
    opacity: float
    defocus: float = 0.0  # standard deviation


_SHEETS = (
    _Sheet(share=0.55, length=1 / 18, width=0.0017, opacity=0.40),
    _Sheet(share=0.30, length=1 / 9, width=0.0025, opacity=0.52),
    _Sheet(share=0.15, length=1 / 4.5, width=0.0045, opacity=0.48, defocus=0.0025),
)


def rain(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Streaks that mix the sky's light into what is behind them; they are drawn on the host."""
    height, width, channels = frames.shape[1:]
    drawn = [
        streaks(height, width, level.strength, int(seed), int(index))
        for seed, index in zip(moments.clip_seeds, moments.frame_indices, strict=True)
    ]
    clear = 1 - arrays.to_float(arrays.array(np.stack(drawn))) * (1 / 255)
    heaviness = min(1.0, math.sqrt(level.strength / _HEAVY))
    dark, veil = 1 - (1 - _DARKEST) * heaviness, _THICKEST_VEIL * heaviness
    # The sky's light as the picture is exposed: brighter than its mean, by day and by night.
    sky = np.minimum(0.6 * arrays.channel_means(frames).mean(axis=1) + 125, 240).astype(np.float32)
    seen = clear * (1 - veil)
    lit = arrays.array(sky)[:, None, None] * (1 - seen)
    return arrays.to_codes(
        arrays.to_float(frames) * arrays.spread(seen * dark, channels) + arrays.spread(lit, channels)
    )


def streaks(height: int, width: int, drops_in_view: float, seed: int, frame_index: int) -> NDArray[np.uint8]:
    """How much of the sky's light is mixed in, 0..255 for none..all, (H, W)."""
    import cv2

    out = np.zeros((height, width), np.uint8)
    for depth, sheet in enumerate(_SHEETS):
        length_px = height * sheet.length
        heads, lean_px, lengths = falling_drops(
            height_px=height,
            width_px=width,
            length_px=length_px,
            drops_in_view=drops_in_view * sheet.share,
            seed=seed,
            frame_index=frame_index,
            depth=depth,
        )
        plane = np.zeros_like(out)
        # Lines are at least 1 px wide: thinner streaks are fainter ones.
        thickness_px = max(1, round(height * sheet.width))
        opacity = sheet.opacity * min(1.0, height * sheet.width / thickness_px)
        ends = heads + np.stack([lean_px * lengths, length_px * lengths], axis=-1) * 0.6
        lines = np.rint(np.stack([heads, ends], axis=1) * 2**_SUBPIXEL_BITS).astype(np.int32)
        for shade, factor in enumerate(_SHADES):
            cv2.polylines(
                plane,
                list(lines[shade :: len(_SHADES)]),
                False,
                (255.0 * opacity * factor,),
                thickness_px,
                cv2.LINE_AA,
                _SUBPIXEL_BITS,
            )
        # Blurred along the fall, so that the ends fade; across it where it is out of focus.
        plane = cv2.blur(plane, (1, 2 * int(0.2 * length_px) + 1))
        if sheet.defocus:
            plane = cv2.GaussianBlur(plane, (0, 0), height * sheet.defocus)
        out = cv2.add(out, plane)
    return out


def falling_drops(
    *,
    height_px: int,
    width_px: int,
    length_px: float,
    drops_in_view: float,
    seed: int,
    frame_index: int,
    depth: int = 0,
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Upper ends (N, 2) of the streaks at one frame of a clip, x and y in px; a streak's lean in px; lengths.

    A drop falls through a band that reaches one streak above the frame, and comes back at the top at another place.
    The first drops of a denser rain are those of a lighter one. Any frame is found without those before it.
    """
    lean = math.tan(math.radians((float(_uniform(seed, 0)[0]) * 2 - 1) * _WIND_DEG))
    band_px = height_px + length_px
    drift_px = lean * band_px  # sideways, over one whole fall
    span_px = width_px + abs(drift_px)
    count = round(drops_in_view * band_px * span_px / (height_px * width_px))
    speeds, begun, lengths = _drops(seed, depth, count)
    travelled_px = begun * band_px + length_px * _LENGTHS_PER_FRAME * speeds * frame_index
    fall = np.floor(travelled_px / band_px)
    down_px = travelled_px - fall * band_px
    start_px = _uniform(seed, 4 * depth + 4, count, fall) * span_px - max(0.0, drift_px)
    return np.stack([start_px + lean * down_px, down_px - length_px], axis=-1), lean * length_px, lengths


@functools.lru_cache(maxsize=64)
def _drops(seed: int, depth: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What stays with each drop of a clip: its speed, how far it has fallen at frame 0, its length."""
    drawn = [_uniform(seed, 4 * depth + purpose, count) for purpose in (1, 2, 3)]
    return 1 + _SPEED_SPREAD * (drawn[0] * 2 - 1), drawn[1], 1 - _LENGTH_SPREAD * drawn[2]


def _uniform(seed: int, purpose: int, count: int = 1, lap: NDArray[np.float64] | float = 0) -> NDArray[np.float64]:
    """A number in [0, 1) for each of `count` drops in its lap: the lap is the high half of splitmix64's counter."""
    key = streams(np.array([seed], dtype=np.uint64), purpose)
    counter: NDArray[np.uint64] = np.arange(1, count + 1, dtype=np.uint64)
    counter = counter + (np.asarray(lap).astype(np.uint64) << np.uint64(32))
    counter *= np.uint64(GOLDEN)
    counter += key
    return (mixed(counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53


ENTRIES = (
    Corruption(
        name="rain",
        family="weather",
        table={"drops_in_view": (50, 100, 200, 400, 800)},
        measure="drops",
        bounds=(0, 10000),
        version=2,
        temporal="falling",
        stage="scene",
        source="own drawing; optics after Garg and Nayar 2007",
        batch=rain,
        note="streaks in the frame, whatever its size, for they scale with its height; the light falls to 0.7 at 800",
    ),
)
