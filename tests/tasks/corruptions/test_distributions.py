"""The random corruptions against the reference over many seeds: two samples of what a picture looks like afterwards.

Each picture gives seven figures: mean and spread of its codes, its structural similarity to the clean one, and the
power of what was added in four octaves of spatial frequency. Every figure's two samples, ours and the reference's, go
through Kolmogorov and Smirnov's test, at a level that all the tests of a run together exceed once in a thousand runs
(Bonferroni); the seeds are fixed, so a run that passes passes again. And the means may differ by three quarters of the
standard deviation from seed to seed, five of their own standard errors, or by what nobody can see, if that is more.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from skimage.metrics import structural_similarity

from tasks.corruptions import CORRUPTIONS, corrupt, light, reference
from tasks.corruptions.light import SENSOR
from tests.tasks.corruptions.conftest import textured_clip

Frame = NDArray[np.uint8]
Sample = NDArray[np.float64]

FIGURES = ("mean", "spread", "similarity", "octave 1", "octave 2", "octave 3", "octave 4")
UNSEEN = np.array([0.15, 0.15, 0.003, 0.02, 0.02, 0.02, 0.02])
"""Differences of the means that do not count: codes, codes, similarity, and 5 % of power as its common logarithm."""

OCTAVES = ((0.02, 0.06), (0.06, 0.12), (0.12, 0.25), (0.25, 0.5))  # cycles a pixel

FALSE_ALARMS = 1e-3
"""The chance that a run of all these tests fails although nothing is wrong."""


@dataclass(frozen=True)
class Trial:
    """One comparison: a corruption at a severity, on a picture of a size, over so many seeds on each side."""

    name: str
    severity: int
    seeds: int = 100
    height: int = 48
    width: int = 64

    def __str__(self) -> str:
        return f"{self.name} {self.severity}"


NAMES = tuple(
    name
    for name, corruption in CORRUPTIONS.items()
    if corruption.benchmark is not None and corruption.temporal != "constant" and name != "glass_blur"
)
# The reference's glass_blur takes a second for 60,000 pixels: fewer seeds, a smaller picture.
TRIALS = (
    *(Trial(name, severity) for name in NAMES for severity in (1, 3, 5)),
    *(Trial("glass_blur", severity, seeds=80, height=32, width=40) for severity in (1, 3, 5)),
)
LARGE_TRIALS = (
    *(Trial(name, severity, seeds=400, height=96, width=128) for name in NAMES for severity in (1, 2, 3, 4, 5)),
    *(Trial("glass_blur", severity, seeds=150, height=64, width=80) for severity in (1, 2, 3, 4, 5)),
)


@functools.cache
def picture(height: int, width: int) -> Frame:
    return textured_clip(1, height, width, seed=4)[0]


def figures(out: Frame, clean: Frame) -> Sample:
    """What a picture looks like: `FIGURES`."""
    height, width = clean.shape[:2]
    before, after = clean.mean(axis=2), out.mean(axis=2)
    window = np.hanning(height)[:, None] * np.hanning(width)[None]
    power = np.abs(np.fft.fft2((after - before) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    octaves = [power[(frequency >= low) & (frequency < high)].mean() for low, high in OCTAVES]
    similarity = structural_similarity(before, after, data_range=255)
    return np.array([out.mean(), out.std(), similarity, *np.log10(np.array(octaves) + 1e-3)])


@functools.cache
def theirs(trial: Trial) -> Sample:
    clean = picture(trial.height, trial.width)
    outs = (reference.run(trial.name, clean, severity=trial.severity, seed=100 + at) for at in range(trial.seeds))
    return np.array([figures(out, clean) for out in outs])


@functools.cache
def ours(trial: Trial, level: float | None = None) -> Sample:
    clean = picture(trial.height, trial.width)
    severity = trial.severity if level is None else None
    outs = (
        corrupt(clean[None], name=trial.name, severity=severity, level=level, seed=at, clips="a")[0]
        for at in range(trial.seeds)
    )
    return np.array([figures(out, clean) for out in outs])


def differences(left: Sample, right: Sample, *, trials: int) -> list[str]:
    """In which figures two samples differ, in words; `trials` comparisons share the false alarms."""
    level = FALSE_ALARMS / (trials * len(FIGURES))
    gap = np.abs(left.mean(axis=0) - right.mean(axis=0))
    allowed = np.maximum(UNSEEN, 0.75 * right.std(axis=0))
    found = []
    for at, figure in enumerate(FIGURES):
        chance = float(ks_2samp(left[:, at], right[:, at]).pvalue)
        if chance < level:
            found.append(f"{figure}: distributions, p = {chance:.1e}")
        if gap[at] > allowed[at]:
            found.append(f"{figure}: means {left[:, at].mean():.4g} and {right[:, at].mean():.4g}")
    return found


@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_the_distribution_is_the_references(trial: Trial) -> None:
    assert not differences(ours(trial), theirs(trial), trials=len(TRIALS))


@pytest.mark.slow
@pytest.mark.parametrize("trial", LARGE_TRIALS, ids=str)
def test_the_distribution_is_the_references_over_more_seeds(trial: Trial) -> None:
    assert not differences(ours(trial), theirs(trial), trials=len(LARGE_TRIALS))


# A level beside the table's that must be told apart from it: close by for noises, whose figures hardly vary.
WRONG = {
    "gaussian_noise": (3, 0.18 * 1.04),
    "shot_noise": (3, 12 / 1.08),
    "impulse_noise": (3, 0.09 * 1.08),
    "speckle_noise": (3, 0.35 * 1.04),
    "motion_blur": (3, 10.0),
    "elastic_transform": (3, 0.1),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_level_is_caught(name: str) -> None:
    severity, level = WRONG[name]
    assert differences(ours(Trial(name, severity), level), theirs(Trial(name, severity)), trials=len(TRIALS))


@pytest.mark.parametrize("name", NAMES)
def test_another_severity_is_caught(name: str) -> None:
    assert differences(ours(Trial(name, 3)), theirs(Trial(name, 5)), trials=len(TRIALS))


@pytest.mark.parametrize("name", ["gaussian_noise", "fog", "snow"])
def test_the_reference_is_not_told_apart_from_itself(name: str) -> None:
    trial = Trial(name, 3)
    clean = picture(trial.height, trial.width)
    again = (reference.run(name, clean, severity=3, seed=5000 + at) for at in range(trial.seeds))
    assert not differences(np.array([figures(out, clean) for out in again]), theirs(trial), trials=len(TRIALS))


def test_directions_of_motion_are_the_references() -> None:
    """The streak of a single bright point, whose angle is uniform over 90 degrees."""
    dark = np.zeros((64, 64, 3), np.uint8)
    dark[31:33, 31:33] = 255

    def angle(out: Frame) -> float:
        rows, columns = np.nonzero(out[..., 0] > 4)
        return float(np.rad2deg(np.arctan2(-(rows - 31.5).mean(), (columns - 31.5).mean())))

    own = [angle(corrupt(dark[None], name="motion_blur", severity=3, seed=at)[0]) for at in range(300)]
    their = [angle(reference.run("motion_blur", dark, severity=3, seed=at)) for at in range(300)]
    assert ks_2samp(own, their).pvalue > FALSE_ALARMS
    assert np.ptp(own) == pytest.approx(np.ptp(their), abs=3)


@pytest.mark.parametrize("exposure_ev", [1, 3, 5])
def test_low_light_draws_what_the_sensor_gives(exposure_ev: int) -> None:
    """Pixels of one code against photons and read noise drawn directly: every share of the cumulative distribution."""
    random = np.random.default_rng(exposure_ev)
    codes = (20, 90, 160, 230)
    strips = np.repeat(np.array(codes, np.uint8), 64)[None, None, :, None]
    frame = np.broadcast_to(strips, (1, 200, 64 * len(codes), 3))
    out = corrupt(frame, name="low_light", level=exposure_ev, seed=5)[0]
    for at, code in enumerate(codes):
        drawn = out[:, at * 64 : (at + 1) * 64].ravel()
        electrons = light.linear_light()[code] * SENSOR.full_well_e / 2**exposure_ev
        read = random.poisson(electrons, drawn.size) + random.normal(scale=SENSOR.read_noise_e, size=drawn.size)
        top = 2**SENSOR.bits - 1
        linear = np.clip(np.rint(read * top / SENSOR.full_well_e), 0, top) / top
        coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
        simulated = np.rint(coded * 255)
        # Whole codes: ties make the test careful, never hasty.
        assert ks_2samp(drawn, simulated).pvalue > FALSE_ALARMS / 12
        assert drawn.var() == pytest.approx(simulated.var(), rel=0.06, abs=0.05)
