"""Rolling shutter: rows go where the stated waves say, clip by clip, and the interpolation is exact."""

import math

import numpy as np
import pytest

from tasks.corruptions import corrupt, displacement, find
from tasks.errors import InputError

NAME = "rolling_shutter"
SIZE = (90, 120)


def ramp(count: int) -> np.ndarray:
    """Frames whose value tells the column: two codes a pixel."""
    row = np.arange(SIZE[1]) * 2
    return np.broadcast_to(row[None, None, :, None], (count, *SIZE, 3)).astype(np.uint8).copy()


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_rows_are_where_the_waves_say(severity: int) -> None:
    made = corrupt(ramp(3), name=NAME, severity=severity, seed=4, clips="a", first_frame=5).astype(float)
    waves = displacement(name=NAME, severity=severity, seed=4, clip="a", indices=[5, 6, 7], size=SIZE)
    assert [place for place, _ in waves] == [0, 1, 2]
    amplitude = find(NAME).levels[severity - 1]
    for place, (size, period, phase) in waves:
        assert size == amplitude
        for y in range(SIZE[0]):
            shift = size * math.sin(2 * math.pi * y / period + phase)
            x = np.arange(SIZE[1])
            seen = np.interp(x - shift, x, 2.0 * x)  # the content of column x comes from x - shift; edges held
            assert np.abs(made[place, y, :, 0] - seen).max() <= 1.1  # cut to whole codes; 1/64 px of rounding


def test_waves_belong_to_the_clip_and_run_on() -> None:
    def waves(clip: str, *indices: int, seed: int = 0) -> np.ndarray:
        found = displacement(name=NAME, severity=2, seed=seed, clip=clip, indices=indices, size=SIZE)
        return np.array([wave for _, wave in found])

    first, again = waves("a", 0, 1, 2, 3), waves("a", 2, 3)
    np.testing.assert_array_equal(first[2:], again)
    assert len(set(first[:, 1])) == 1  # one frequency
    steps = np.mod(np.diff(first[:, 2]), 2 * math.pi)
    np.testing.assert_allclose(steps, steps[0])
    assert steps[0] > 0
    assert (waves("a", 0) != waves("b", 0)).any()
    assert (waves("a", 0) != waves("a", 0, seed=1)).any()
    periods = [waves(f"clip-{n}", 0)[0, 1] for n in range(200)]
    assert 30 <= min(periods) < 32  # 3 waves in 90 rows
    assert 80 < max(periods) <= 90


def test_scaled_and_composed_and_in_bursts() -> None:
    plain = displacement(name=NAME, severity=3, clip="a", indices=[0], size=SIZE)
    scaled = displacement(name=NAME, severity=3, clip="a", indices=[0], size=SIZE, scale_to=45)
    assert scaled[0][1][0] == 2 * plain[0][1][0]
    assert scaled[0][1][1:] == plain[0][1][1:]
    name = f"low_light + {NAME} 3 during 4:6 + gamma"
    burst = displacement(name=name, severity=1, clip="a", indices=[3, 4, 5, 6], size=SIZE)
    alone = displacement(name=NAME, severity=3, clip="a", indices=[4, 5], size=SIZE)
    assert burst == [(place + 1, wave) for place, wave in alone]  # the frames 4 and 5 are the second and third here
    assert find(name).moves_truth
    assert not find("elastic_transform").moves_truth
    assert displacement(name="elastic_transform + gamma", severity=3, clip="a", indices=[0], size=SIZE) == []
    with pytest.raises(InputError, match="amplitude_px between 0 and 200"):
        displacement(name=NAME, level=900, clip="a", indices=[0], size=SIZE)


def test_no_amplitude_changes_nothing() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(corrupt(frames, name=NAME, level=0), frames)
