"""Brightness, contrast, saturation and the colour of the light: tables over codes, nothing from pixel to pixel.

A colour in HSV is V = its largest channel, S = (V - smallest) / V, and a hue, which is where the other channels lie
between the two. So with V and S changed and the hue as it is, each channel x becomes V' - (V - x) S' V' / (S V): the
reference's way there and back through HSV in closed form. Its float64 lies just below some whole numbers (those of
saturate 3 above all, 2 x - V) and is cut to one code less: that is all the difference.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import reference
from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level
from tasks.corruptions.light import linear_light
from tasks.corruptions.seeds import Moments, uniform

_CUT = 1e-6  # whole numbers may come out a little below themselves


def brightness(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """HSV's value, 0..1, plus `added_value`, held in 0..1: all channels grow by one factor, and black becomes grey."""
    table = arrays.array(_brightness(level["added_value"]))
    return arrays.lut2(arrays.channel_max(frames)[..., None], frames, table)


@functools.lru_cache(maxsize=32)
def _brightness(added: float) -> NDArray[np.uint8]:
    """The code of a channel (column) of a pixel whose largest one is the row."""
    value, channel = np.arange(256.0)[:, None], np.arange(256.0)[None]
    higher = np.clip(value + 255 * added, 0, 255)
    share = np.where(value > 0, channel / np.maximum(value, 1), 1.0)
    return np.asarray(np.clip(higher * share + _CUT, 0, 255).astype(np.uint8))


def saturate(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """HSV's saturation, 0..1, times `factor` plus `offset`, held in 0..1. Grey has the hue of red, as in the reference.

    A table over a pixel's largest and smallest channel gives the factor by which its others lie closer or farther.
    """
    channels = frames.shape[3]
    high, low = arrays.channel_max(frames), arrays.channel_min(frames)
    gains, bases = (arrays.array(table) for table in _saturation(level["factor"], level["offset"]))
    gain, base = (arrays.spread(arrays.lut2(high, low, table), channels) for table in (gains, bases))
    out = arrays.to_codes(arrays.to_float(frames) * gain + base)
    if level["offset"] or channels == 1:
        out[..., 0] = arrays.where(high == low, high, out[..., 0])
    return out


@functools.lru_cache(maxsize=8)
def _saturation(factor: float, offset: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gain and base of a channel x, which becomes gain x + base: float32 (256, 256), largest and smallest channel."""
    high, low = np.arange(256.0)[:, None], np.arange(256.0)[None]
    saturation = np.clip((high - low) / np.maximum(high, 1), 0, 1)
    wanted = np.clip(saturation * factor + offset, 0, 1)
    gain = np.divide(wanted, saturation, out=np.zeros_like(wanted), where=saturation > 0)
    base = np.where(saturation > 0, high * (1 - gain), high * (1 - wanted))
    return gain.astype(np.float32), base.astype(np.float32)


def contrast(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """Deviations from each channel's mean, times `factor`."""
    means = arrays.channel_means(frames)[..., None]
    codes = np.clip((np.arange(256.0) - means) * level["factor"] + means + _CUT, 0, 255).astype(np.uint8)
    return arrays.lut(frames, arrays.array(codes))


def white_balance(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """The camera takes the light for bluer than it is, by `shift_mired`: the picture is yellow; below 0, blue.

    1 mired is 1e6 / kelvin, in which equal steps look about equal (CIE 15). The light is Planck's, the balance is one
    gain for each channel (von Kries) in linear sRGB, of the same luminance.
    """
    daylight = 1e6 / 6504
    shift_mired = level["shift_mired"]
    gains = _light(*planckian(1e6 / (daylight + shift_mired))) / _light(*planckian(1e6 / daylight))
    return arrays.lut(frames, arrays.array(_tinted(gains[None], frames.shape[3])))


def colour_cast(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Light of another colour: its white lies `shift_uv` from that of daylight, in CIE 1976 u'v'.

    The direction, any hue, belongs to the clip. Gains of the channels as in `white_balance`.
    """
    angle = 2 * np.pi * uniform(moments.clip_seeds, 0)
    shift = level["shift_uv"]
    gains = np.stack(
        [
            _light(*_chromaticity(_WHITE_UV[0] + shift * np.cos(turn), _WHITE_UV[1] + shift * np.sin(turn)))
            for turn in angle
        ]
    )
    return arrays.lut(frames, arrays.array(_tinted(gains, frames.shape[3])))


_TO_SRGB = np.array(  # from CIE XYZ, white D65 (IEC 61966-2-1)
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB
_WHITE_UV = (0.1978, 0.4683)  # D65


def planckian(kelvin: float) -> tuple[float, float]:
    """CIE 1931 x, y of a black body of 1,667 to 25,000 K: the cubic splines of Kim et al. (US patent 7,024,034, 2006).

    Example:
        >>> [round(place, 3) for place in planckian(2856)]
        [0.447, 0.408]
    """
    inverse = 1e3 / kelvin
    if kelvin < 4000:
        x = ((-0.2661239 * inverse - 0.2343589) * inverse + 0.8776956) * inverse + 0.179910
    else:
        x = ((-3.0258469 * inverse + 2.1070379) * inverse + 0.2226347) * inverse + 0.240390
    if kelvin < 2222:
        y = ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683
    elif kelvin < 4000:
        y = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    else:
        y = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    return x, y


def _chromaticity(u: float, v: float) -> tuple[float, float]:
    """CIE 1931 x, y of CIE 1976 u', v'."""
    scale = 6 * u - 16 * v + 12
    return 9 * u / scale, 4 * v / scale


def _light(x: float, y: float) -> NDArray[np.float64]:
    """Linear sRGB (3,) of a light of chromaticity x, y and luminance 1; none of a colour below zero."""
    rgb = np.maximum(_TO_SRGB @ np.array([x / y, 1.0, (1 - x - y) / y]), 0.0)
    return np.asarray(rgb / (rgb @ _LUMINANCE))


def _tinted(gains: NDArray[np.float64], channels: int) -> NDArray[np.uint8]:
    """Codes (N, C, 256) after gains (N, 3) on linear light that leave white's luminance; grey has luminance alone."""
    if channels == 1:
        return np.tile(np.arange(256, dtype=np.uint8), (len(gains), 1, 1))
    level = gains / (gains @ _LUMINANCE)[:, None]
    linear = np.minimum(level[..., None] * linear_light(), 1.0)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(coded * 255).astype(np.uint8))


ENTRIES = (
    Corruption(
        name="brightness",
        family="weather",
        table={"added_value": (0.1, 0.2, 0.3, 0.4, 0.5)},
        measure="share of white",
        bounds=(-1.0, 1.0),
        version=2,
        temporal="constant",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        batch=brightness,
        note="brightens; own levels below 0 darken",
    ),
    Corruption(
        name="contrast",
        family="digital",
        table={"factor": (0.4, 0.3, 0.2, 0.1, 0.05)},
        measure="times",
        bounds=(0.0, 10.0),
        version=2,
        temporal="constant",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        batch=contrast,
        note="lower is worse",
    ),
    Corruption(
        name="saturate",
        family="digital",
        table={"factor": (0.3, 0.1, 2.0, 5.0, 20.0), "offset": (0.0, 0.0, 0.0, 0.1, 0.2)},
        measure="times",
        bounds=(0.0, 100.0),
        version=2,
        temporal="constant",
        stage="sensor",
        source=reference.SOURCE,
        rises=False,
        benchmark="validation",
        batch=saturate,
        note="severities 1 and 2 take colour away, 3 to 5 add some: no curve over strength",
    ),
    Corruption(
        name="white_balance",
        family="digital",
        table={"shift_mired": (40, 80, 120, 160, 200)},
        measure="mired",
        bounds=(-110, 400),
        version=1,
        temporal="constant",
        stage="sensor",
        source="black bodies by Kim et al. 2006, von Kries gains in linear sRGB (IEC 61966-2-1)",
        batch=white_balance,
        note="too yellow: at 200 a lamp of 2,830 K on a camera set for daylight; own levels below 0 are too blue",
    ),
    Corruption(
        name="colour_cast",
        family="digital",
        table={"shift_uv": (0.01, 0.02, 0.03, 0.04, 0.05)},
        measure="CIE 1976 u'v'",
        bounds=(0.0, 0.15),
        version=1,
        temporal="clip",
        stage="scene",
        source="shift of the white point in CIE 1976 u'v', von Kries gains in linear sRGB (IEC 61966-2-1)",
        batch=colour_cast,
        note="the light's hue belongs to the clip; a step that one just sees is 0.002 or so",
    ),
)
