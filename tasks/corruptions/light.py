"""Too little light: a sensor model of under-exposure, a tone curve alone, and a small sensor's noise."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level, Pixels
from tasks.corruptions.noise import drawn_from
from tasks.corruptions.packages import albumentations
from tasks.corruptions.seeds import Moment, Moments


@dataclass(frozen=True)
class Sensor:
    """A camera's sensor at its base gain.

    The default is a small-pixel camera, as in phones, cars and on poles (pixels of 2 to 3 micrometres).
    """

    full_well_e: float = 5000.0  # electrons that make white at exposure 0
    read_noise_e: float = 4.0  # standard deviation, electrons
    bits: int = 12  # of its converter, linear over the full well


SENSOR = Sensor()


def low_light(level: Level) -> NDArray[np.float64]:
    """The frame taken `exposure_ev` stops darker, with photon and read noise; no gain makes up for it."""
    return exposed(level["exposure_ev"], SENSOR, gain=1.0)


def low_light_gain(level: Level) -> NDArray[np.float64]:
    """The same, multiplied by 2^EV after the converter: as bright as before, and all the noise is seen."""
    return exposed(level["exposure_ev"], SENSOR, gain=2.0 ** level["exposure_ev"])


def exposed(exposure_ev: float, sensor: Sensor, *, gain: float) -> NDArray[np.float64]:
    """P(sRGB code out <= k | sRGB code in), (256, 256), of a frame taken again with less light.

    sRGB is made linear (IEC 61966-2-1), scaled by 2^-EV, counted as electrons, quantised by the sensor's converter,
    multiplied by the gain and coded as sRGB again. Electrons read from a pixel: Poisson(n) + N(0, read noise), n = full
    well x linear x 2^-EV (EMVA Standard 1288, without dark current); read noise may carry them below zero, which the
    converter reads as zero.

    Args:
        exposure_ev: Stops, >= 0; one stop halves the light.
        sensor: Full well, read noise and converter.
        gain: After the converter, >= 1.
    """
    from scipy.special import gammaln, ndtr, xlogy

    mean_e = linear_light() * (sensor.full_well_e * 2.0**-exposure_ev)
    reach_e = 8 * sensor.read_noise_e  # beyond it the read noise's tail is below 1e-15
    most_e = int(mean_e[-1] + 8 * np.sqrt(mean_e[-1]) + 20)
    photons = np.arange(most_e + 1)
    # (256, photons): the chance of each count, and of at most that many.
    exact = np.exp(xlogy(photons, mean_e[:, None]) - mean_e[:, None] - gammaln(photons + 1))
    below = np.concatenate([np.zeros((256, 1)), np.cumsum(exact, axis=1)], axis=1)
    # Electrons below which each sRGB code or a darker one comes out: half a step of the converter above its last one.
    top = 2**sensor.bits - 1
    last = np.searchsorted(development(sensor.bits, gain), np.arange(256), side="right") - 1
    limits_e = (last + 0.5) * sensor.full_well_e / top
    out = np.ones((256, 256))
    for code, limit_e in enumerate(limits_e[:255]):
        # Counts well below the limit end below it whatever the read noise, those well above never.
        low, high = (int(np.clip(limit_e + side * reach_e, 0, most_e + 1)) for side in (-1, 1))
        unsure = photons[low:high]
        out[:, code] = below[:, low] + exact[:, low:high] @ ndtr((limit_e - unsure) / sensor.read_noise_e)
    out[:, last == top] = 1.0  # the converter's last value takes all that is brighter
    return out


def linear_light() -> NDArray[np.float64]:
    """Linear light 0..1 of the 256 sRGB codes (IEC 61966-2-1)."""
    coded = np.arange(256) / 255.0
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def development(bits: int, gain: float) -> NDArray[np.uint8]:
    """The sRGB code of each code of the converter."""
    linear = np.minimum(np.arange(2**bits) / (2**bits - 1) * gain, 1.0)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(coded * 255).astype(np.uint8))


def gamma(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """Codes 0..1 to the power of `gamma`: darker mid-tones without any noise."""
    codes = np.rint(255 * (np.arange(256) / 255) ** level["gamma"]).astype(np.uint8)
    return arrays.lut(frames, arrays.array(codes))


def iso_noise(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """ISONoise of albumentations: Poisson noise on lightness and a Gaussian shift of hue, in HLS."""
    noised = _iso_noise().apply(
        frame, color_shift=level["color_shift"], intensity=level["intensity"], random_seed=moment.frame_seed
    )
    return np.asarray(noised)


@functools.cache
def _iso_noise() -> Any:
    return albumentations("iso_noise").ISONoise(p=1.0)


ENTRIES = (
    Corruption(
        name="low_light",
        family="low_light",
        table={"exposure_ev": (1, 2, 3, 4, 5)},
        measure="stops (EV)",
        bounds=(0, 12),
        version=2,
        temporal="fresh",
        stage="sensor",
        source="sensor model: sRGB IEC 61966-2-1, noise EMVA 1288",
        batch=drawn_from(low_light),
        note=(
            f"stops of under-exposure; full well {SENSOR.full_well_e:g} e-, read noise {SENSOR.read_noise_e:g} e-, "
            f"{SENSOR.bits} bits, no gain"
        ),
    ),
    Corruption(
        name="low_light_gain",
        family="low_light",
        table={"exposure_ev": (3, 4, 5, 6, 7)},
        measure="stops (EV)",
        bounds=(0, 12),
        version=1,
        temporal="fresh",
        stage="sensor",
        source="sensor model: sRGB IEC 61966-2-1, noise EMVA 1288",
        batch=drawn_from(low_light_gain),
        note="low_light with gain after the converter: as bright as the clean frame, noisier with each stop",
    ),
    Corruption(
        name="gamma",
        family="low_light",
        table={"gamma": (1.5, 2.0, 2.5, 3.0, 4.0)},
        measure="exponent",
        bounds=(0.1, 10.0),
        version=1,
        temporal="constant",
        stage="sensor",
        source="power law on codes",
        batch=gamma,
        note="darkens without noise; below 1 it brightens",
    ),
    Corruption(
        name="iso_noise",
        family="low_light",
        table={"intensity": (0.2, 0.4, 0.6, 0.8, 1.0), "color_shift": (0.02, 0.05, 0.1, 0.15, 0.2)},
        measure="of albumentations' scale",
        bounds=(0.0, 2.0),
        version=1,
        temporal="fresh",
        stage="sensor",
        source="albumentations ISONoise",
        frame=iso_noise,
        note="the hue's shift grows with the intensity (0.02 0.05 0.1 0.15 0.2)",
    ),
)
