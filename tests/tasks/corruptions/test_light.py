"""low_light against the theory of its sensor, and against photons drawn one frame at a time."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import corrupt, light
from tasks.corruptions.light import SENSOR, Sensor

ENDLESS = Sensor(full_well_e=50_000, read_noise_e=1e-3, bits=16)  # hardly any noise; photons still count


def simulated(code: int, exposure_ev: float, gain: float, draws: int) -> NDArray[np.int64]:
    """What the sensor gives for a code, photon by photon."""
    random = np.random.default_rng(code * 100 + int(exposure_ev * 10))
    share = code / 255
    linear = share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
    electrons = random.poisson(linear * SENSOR.full_well_e / 2**exposure_ev, draws).astype(float)
    electrons += random.normal(scale=SENSOR.read_noise_e, size=draws)
    top = 2**SENSOR.bits - 1
    seen = np.clip(np.rint(electrons * top / SENSOR.full_well_e), 0, top) / top * gain
    coded = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * np.minimum(seen, 1) ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(coded * 255).astype(np.int64))


@pytest.mark.parametrize("code", [0, 3, 20, 118, 200, 255])
@pytest.mark.parametrize(("exposure_ev", "gain"), [(0.0, 1.0), (2.0, 1.0), (5.0, 1.0), (5.0, 32.0)])
def test_probabilities_are_those_of_the_sensor(code: int, exposure_ev: float, gain: float) -> None:
    draws = 200_000
    found = np.bincount(simulated(code, exposure_ev, gain, draws), minlength=256).cumsum() / draws
    expected = light.exposed(exposure_ev, SENSOR, gain=gain)[code]
    # Dvoretzky, Kiefer and Wolfowitz: beyond this distance once in 10,000 of such tests.
    assert np.abs(found - expected).max() < np.sqrt(np.log(2 / 1e-4) / (2 * draws))
    assert expected[-1] == 1.0
    assert (np.diff(expected) > -1e-9).all()


@pytest.mark.parametrize(("exposure_ev", "white"), [(0, 255), (1, 188), (2, 137), (3, 99)])
def test_a_stop_halves_the_light(exposure_ev: float, white: int) -> None:
    # sRGB codes of 1, 1/2, 1/4 and 1/8 of white: by the standard's formula, 255, 187.5, 137.0 and 98.9.
    half = np.searchsorted(light.exposed(exposure_ev, ENDLESS, gain=1.0)[255], 0.5)
    assert half == white


def test_without_noise_and_darkening_nothing_changes() -> None:
    half = [np.searchsorted(row, 0.5) for row in light.exposed(0.0, ENDLESS, gain=1.0)]
    np.testing.assert_array_equal(half, np.arange(256))


def test_gain_gives_the_brightness_back_and_shows_the_noise() -> None:
    grey = np.full((1, 64, 64, 3), 118, np.uint8)
    dark, lifted = (corrupt(grey, name=name, level=4) for name in ("low_light", "low_light_gain"))
    assert dark.mean() < 35
    assert lifted.mean() == pytest.approx(118, abs=2)
    # Linear noise of one value: sqrt(mean + read^2) / mean; sRGB's slope in the middle is about 1 / 2.2.
    mean_e = 0.181 * SENSOR.full_well_e / 16
    relative = np.sqrt(mean_e + SENSOR.read_noise_e**2) / mean_e
    assert lifted.std() == pytest.approx(118 * relative / 2.2, rel=0.15)


def test_codes_are_quantised_by_the_converter() -> None:
    coarse = Sensor(full_well_e=2000, read_noise_e=1e-3, bits=4)
    reached = np.diff(light.exposed(0.0, coarse, gain=1.0), axis=1, prepend=0).max(axis=0) > 1e-6
    assert reached.sum() == 16


def test_levels_between_severities() -> None:
    frame: NDArray[np.uint8] = np.full((1, 48, 48, 3), 160, np.uint8)
    means = [corrupt(frame, name="low_light", level=ev).mean() for ev in (0, 0.5, 1, 1.5, 2, 8)]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(160, abs=0.5)
    np.testing.assert_array_equal(
        corrupt(frame, name="low_light", level=3), corrupt(frame, name="low_light", severity=3)
    )


def test_gamma_is_a_power_of_codes() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, None, :, None], (1, 32, 1, 3))
    out = corrupt(ramp, name="gamma", level=2.0)[0, 0, :, 0]
    np.testing.assert_allclose(out, (np.arange(256) / 255) ** 2 * 255, atol=0.51)
    np.testing.assert_array_equal(corrupt(ramp, name="gamma", level=1.0), ramp)


def test_iso_noise_is_albumentations_own() -> None:
    import albumentations

    from tasks.corruptions.seeds import moment

    frame = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    expected = albumentations.ISONoise(p=1.0).apply(
        frame, color_shift=0.1, intensity=0.6, random_seed=moment("iso_noise", 3, "a", 7).frame_seed
    )
    out = corrupt(frame[None], name="iso_noise", severity=3, seed=3, clips="a", first_frame=7)[0]
    np.testing.assert_array_equal(out, expected)
