"""Too little light: a sensor model of under-exposure."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.interface import Corruption, Level, Moment, Pixels


@dataclass(frozen=True)
class Sensor:
    """A camera's sensor at its base gain.

    The default is a small-pixel camera, as in phones, cars and on poles (pixels of 2 to 3 micrometres).
    """

    full_well_e: float = 5000.0  # electrons that make white at exposure 0
    read_noise_e: float = 4.0  # standard deviation, electrons
    bits: int = 12  # of its converter, linear over the full well


SENSOR = Sensor()


def low_light(frame: Pixels, level: Level, moment: Moment) -> Pixels:
    """The frame taken `exposure_ev` stops darker, with photon and read noise; no gain makes up for it."""
    random = np.random.RandomState(moment.frame_seed)
    return expose(frame, exposure_ev=level.strength, random=random)


def expose(
    frame: Pixels,
    *,
    exposure_ev: float,
    random: np.random.RandomState,
    sensor: Sensor = SENSOR,
    gain: bool = False,
) -> Pixels:
    """Take `frame` again, `exposure_ev` stops darker.

    sRGB is made linear (IEC 61966-2-1), scaled by 2^-EV, counted as electrons, quantised by the sensor's converter
    and coded as sRGB again.

    Args:
        frame: uint8 RGB (H, W, 3); not changed.
        exposure_ev: Stops, >= 0; one stop halves the light.
        random: Where photons and read noise come from.
        sensor: Full well, read noise and converter.
        gain: Multiply by 2^EV after the converter: as bright as before, and all the noise is seen.
    """
    electrons = collect(frame, exposure_ev=exposure_ev, random=random, sensor=sensor)
    top = 2**sensor.bits - 1
    codes = np.clip(np.rint(electrons * (top / sensor.full_well_e)), 0, top).astype(np.uint16)
    return np.asarray(_development(sensor.bits, 2.0**exposure_ev if gain else 1.0)[codes])


def collect(
    frame: Pixels, *, exposure_ev: float, random: np.random.RandomState, sensor: Sensor = SENSOR
) -> NDArray[np.float64]:
    """Electrons read from each pixel, (H, W, 3): Poisson(n) + N(0, read noise), n = full well x linear x 2^-EV.

    Read noise has a mean of zero, so that values may lie below it. Model: EMVA Standard 1288, without dark current.
    """
    # Read noise first: its draws are then the same at every exposure.
    read_e = random.normal(scale=sensor.read_noise_e, size=frame.shape)
    mean_e = _linear_light()[frame] * (sensor.full_well_e * 2.0**-exposure_ev)
    return np.asarray(random.poisson(mean_e) + read_e)


@functools.cache
def _linear_light() -> NDArray[np.float64]:
    """Linear light 0..1 of the 256 sRGB codes (IEC 61966-2-1)."""
    coded = np.arange(256) / 255.0
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


@functools.lru_cache(maxsize=32)
def _development(bits: int, gain: float) -> NDArray[np.uint8]:
    """The sRGB code of each code of the converter."""
    linear = np.minimum(np.arange(2**bits) / (2**bits - 1) * gain, 1.0)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(coded * 255).astype(np.uint8))


ENTRIES = (
    Corruption(
        name="low_light",
        family="low_light",
        parameter="exposure_ev",
        measure="stops (EV)",
        levels=(1, 2, 3, 4, 5),
        bounds=(0, 12),
        version=1,
        temporal="fresh",
        stage="sensor",
        source="sensor model: sRGB IEC 61966-2-1, noise EMVA 1288",
        frame=low_light,
        note=(
            f"stops of under-exposure; full well {SENSOR.full_well_e:g} e-, read noise {SENSOR.read_noise_e:g} e-, "
            f"{SENSOR.bits} bits, no gain"
        ),
    ),
)
