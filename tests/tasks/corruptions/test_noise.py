"""Noise tables against the formulas they invert, and against the reference's own arithmetic on drawn numbers."""

import numpy as np
import pytest

from tasks.corruptions import CORRUPTIONS, corrupt, noise
from tasks.corruptions.noise import SHARE_BITS

RANDOM = 400_000


def reference(name: str, code: int, strength: float) -> np.ndarray:
    """The reference's arithmetic on one value, many times."""
    random = np.random.default_rng(code + 1)
    x = np.full(RANDOM, code / 255.0)
    if name == "gaussian_noise":
        x = x + random.normal(scale=strength, size=RANDOM)
    elif name == "speckle_noise":
        x = x + x * random.normal(scale=strength, size=RANDOM)
    elif name == "shot_noise":
        x = random.poisson(x * strength) / strength
    else:
        hit = random.random(RANDOM) < strength
        x = np.where(hit, random.random(RANDOM) < 0.5, x)
    return np.asarray((np.clip(x, 0, 1) * 255).astype(np.uint8))


DISTRIBUTIONS = {
    "gaussian_noise": noise.gaussian,
    "speckle_noise": noise.speckle,
    "shot_noise": noise.shot,
    "impulse_noise": noise.impulse,
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("code", [0, 1, 51, 128, 254, 255])
def test_probabilities_are_the_references(name: str, severity: int, code: int) -> None:
    level = CORRUPTIONS[name].at(severity, None)
    found = np.bincount(reference(name, code, level.strength), minlength=256).cumsum() / RANDOM
    expected = DISTRIBUTIONS[name](level)[code]
    expected = np.where(np.arange(256) == 255, 1.0, expected)
    # Dvoretzky, Kiefer and Wolfowitz: beyond this distance once in 10,000 of such tests.
    assert np.abs(found - expected).max() < np.sqrt(np.log(2e4) / (2 * RANDOM))


def test_inverse_gives_each_code_its_share() -> None:
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.full(256, 0.1), size=256)
    table = noise.inverse(np.cumsum(shares, axis=1))
    assert table.shape == (256, 2**SHARE_BITS)
    assert (np.diff(table.astype(int), axis=1) >= 0).all()
    for row, own in zip(table, shares, strict=True):
        np.testing.assert_allclose(np.bincount(row, minlength=256) / 2**SHARE_BITS, own, atol=1.01 / 2**SHARE_BITS)


@pytest.mark.parametrize("name", ["gaussian_noise", "impulse_noise"])
@pytest.mark.parametrize("strength", [0.0, 0.08, 0.27, 1.0])
def test_what_is_added_is_what_the_distributions_give(name: str, strength: float) -> None:
    probabilities = DISTRIBUTIONS[name](CORRUPTIONS[name].at(None, strength))
    every_code = np.arange(256)[:, None] + noise.added(probabilities)
    np.testing.assert_array_equal(np.clip(every_code, 0, 255), noise.inverse(probabilities))


def test_every_value_is_drawn_on_its_own() -> None:
    grey = np.full((1, 200, 200, 3), 128, np.uint8)
    out = corrupt(grey, name="gaussian_noise", severity=2)[0].astype(float)
    shifted = [out[1:].ravel() - 128, out[:-1].ravel() - 128]
    assert abs(np.corrcoef(shifted)[0, 1]) < 0.02
    assert abs(np.corrcoef(out[:, :, 0].ravel(), out[:, :, 1].ravel())[0, 1]) < 0.02
    assert out.std() == pytest.approx(0.12 * 255, rel=0.02)


def test_no_noise_at_nothing() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, None, :, None], (1, 32, 1, 3))
    for name in ("gaussian_noise", "speckle_noise", "impulse_noise"):
        np.testing.assert_array_equal(corrupt(ramp, name=name, level=0.0), ramp)
