"""low_light against the theory of its sensor."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import corrupt, light
from tasks.corruptions.light import SENSOR, Sensor


@pytest.mark.parametrize("code", [0, 20, 118, 255])
@pytest.mark.parametrize("exposure_ev", [0.0, 2.0, 5.0])
def test_electrons_have_poisson_and_read_noise(code: int, exposure_ev: float) -> None:
    flat = np.full((200, 200, 3), code, np.uint8)
    electrons = light.collect(flat, exposure_ev=exposure_ev, random=np.random.RandomState(1))
    share = code / 255
    linear = share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
    mean_e = linear * SENSOR.full_well_e / 2**exposure_ev
    variance = mean_e + SENSOR.read_noise_e**2
    n = electrons.size
    # Five standard errors of a mean, and of a variance (2 / n for normal data, Poisson adds 1 / mean).
    assert electrons.mean() == pytest.approx(mean_e, abs=5 * np.sqrt(variance / n))
    assert electrons.var() == pytest.approx(variance, abs=5 * variance * np.sqrt((2 + 1 / max(mean_e, 1)) / n))


@pytest.mark.parametrize(("exposure_ev", "white"), [(0, 255), (1, 188), (2, 137), (3, 99)])
def test_a_stop_halves_the_light(exposure_ev: float, white: int) -> None:
    # sRGB codes of 1, 1/2, 1/4 and 1/8 of white: by the standard's formula, 255, 187.5, 137.0 and 98.9.
    endless = Sensor(full_well_e=1e12, read_noise_e=0.0, bits=16)
    frame = np.full((32, 32, 3), 255, np.uint8)
    out = light.expose(frame, exposure_ev=exposure_ev, random=np.random.RandomState(0), sensor=endless)
    assert set(np.unique(out)) == {white}


def test_without_noise_and_darkening_nothing_changes() -> None:
    endless = Sensor(full_well_e=1e12, read_noise_e=0.0, bits=16)
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (32, 1, 3))
    out = light.expose(ramp, exposure_ev=0.0, random=np.random.RandomState(0), sensor=endless)
    np.testing.assert_array_equal(out, ramp)


def test_gain_gives_the_brightness_back_and_shows_the_noise() -> None:
    grey = np.full((64, 64, 3), 118, np.uint8)
    dark = light.expose(grey, exposure_ev=4, random=np.random.RandomState(0))
    lifted = light.expose(grey, exposure_ev=4, random=np.random.RandomState(0), gain=True)
    assert dark.mean() < 35
    assert lifted.mean() == pytest.approx(118, abs=2)
    # Linear noise of one value: sqrt(mean + read^2) / mean; sRGB's slope in the middle is about 1 / 2.2.
    mean_e = 0.181 * SENSOR.full_well_e / 16
    relative = np.sqrt(mean_e + SENSOR.read_noise_e**2) / mean_e
    assert lifted.std() == pytest.approx(118 * relative / 2.2, rel=0.15)


def test_codes_are_quantised_by_the_converter() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (32, 1, 3))
    coarse = Sensor(full_well_e=1e12, read_noise_e=0.0, bits=4)
    out = light.expose(ramp, exposure_ev=0.0, random=np.random.RandomState(0), sensor=coarse)
    assert len(np.unique(out)) == 16


def test_levels_between_severities() -> None:
    frame: NDArray[np.uint8] = np.full((1, 48, 48, 3), 160, np.uint8)
    means = [corrupt(frame, name="low_light", level=ev).mean() for ev in (0, 0.5, 1, 1.5, 2, 8)]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(160, abs=0.5)
    np.testing.assert_array_equal(
        corrupt(frame, name="low_light", level=3), corrupt(frame, name="low_light", severity=3)
    )
