"""By bits per pixel: within 10 % of the tier, stretch by stretch, in bounded memory and disk."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions.codec import ENTRIES, bitrate
from tasks.corruptions.codec.bitrate import SHORTEST, STRETCH
from tasks.corruptions.interface import Coding

Frames = NDArray[np.uint8]
Through = Callable[..., tuple[Frames, dict[str, float]]]
NAMED = {entry.name: entry for entry in ENTRIES}
NAMES = ("h264_bitrate", "h265_bitrate", "av1_bitrate")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits_per_pixel", [0.3, 0.15, 0.08])
def test_tiers_are_met(street: Frames, through: Through, name: str, bits_per_pixel: float) -> None:
    out, facts = through(name, street, level=bits_per_pixel)
    assert facts["tier_met"] == 1
    assert facts["bits_per_pixel"] == pytest.approx(bits_per_pixel, rel=0.1)
    assert facts["bitrate_kbps"] == pytest.approx(facts["bits_per_pixel"] * 96 * 128 * 25 / 1000)
    assert out.shape == street.shape


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_tiers_are_met_on_real_footage(cars: Frames, through: Through, name: str) -> None:
    for severity, bits_per_pixel in ((1, 0.16), (3, 0.04), (5, 0.01)):
        facts = through(name, cars, severity=severity)[1]
        assert facts["bits_per_pixel"] == pytest.approx(bits_per_pixel, rel=0.1)
        assert facts["tier_met"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_out_of_reach_ends_at_the_scale(through: Through, street: Frames, name: str) -> None:
    flat = np.full((4, 48, 64, 3), 90, np.uint8)
    out, facts = through(name, flat, level=8)  # nothing to spend eight bits on
    assert facts["tier_met"] == 0
    assert facts["bits_per_pixel"] < 7
    assert facts["crf_mean"] == 1
    assert np.abs(out.astype(int) - flat).max() <= 3
    facts = through(name, street[:1], level=0.0005)[1]  # a still: an intra frame is dear at any quality
    assert facts["tier_met"] == 0
    assert facts["bits_per_pixel"] > 0.0005
    assert facts["crf_mean"] == (63 if name == "av1_bitrate" else 51)


@pytest.mark.parametrize("name", NAMES)
def test_a_still_can_be_met(through: Through, street: Frames, name: str) -> None:
    assert through(name, street[:1, :95, :127], level=1.5)[1]["bits_per_pixel"] == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("count", [1, STRETCH, STRETCH + SHORTEST, STRETCH + SHORTEST + 1, 3 * STRETCH + 2])
def test_stretches_hold_a_bounded_number_of_frames(count: int) -> None:
    """Frames in order; at most a stretch and a half wait; no stretch but an only one is shorter than half."""
    taken = 0

    def source() -> Iterator[Frames]:
        nonlocal taken
        for at in range(count):
            taken += 1
            yield np.full((32, 32, 3), 20 + at % 200, np.uint8)

    entry, held, codes = NAMED["h264_bitrate"], [], []
    assert entry.clip is not None
    for given, frame in enumerate(entry.clip(source(), entry.at(None, 0.5), Coding(0)), start=1):
        held.append(taken - given)
        codes.append(float(frame.mean()))
    assert len(codes) == count
    assert max(held) <= STRETCH + SHORTEST
    np.testing.assert_allclose(codes, [20 + at % 200 for at in range(count)], atol=6)


def test_search_ends_on_any_curve(street: Frames, through: Through, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coder whose bits jump about, or never change, is asked a bounded number of times."""
    real = bitrate._attempt
    for bits in (lambda crf: 7000 if crf < 30 else 90, lambda crf: 500, lambda crf: 3000 + 2000 * np.sin(7 * crf)):
        asked: list[float] = []

        def attempt(*arguments: object, bits: Callable[[float], float] = bits, asked: list[float] = asked) -> object:
            packets, tally = real(*arguments)  # type: ignore[arg-type]
            asked.append(float(arguments[-1]))  # type: ignore[arg-type]
            tally.bits = int(bits(asked[-1]))
            return packets, tally

        with monkeypatch.context() as patch:
            patch.setattr(bitrate, "_attempt", attempt)
            through("h264_bitrate", street[:2], level=0.05)
        assert 0 < len(asked) <= bitrate.ATTEMPTS
        assert len(set(asked)) == len(asked)


def test_each_tier_twice_the_same(street: Frames, through: Through) -> None:
    for name in NAMES:
        first, again = (through(name, street[:20], level=0.2, seed=seed) for seed in (1, 2))
        np.testing.assert_array_equal(first[0], again[0])
        assert first[1] == again[1]


@pytest.mark.parametrize("name", NAMES)
def test_quality_falls_with_the_tier(street: Frames, through: Through, name: str) -> None:
    errors = [np.abs(street - through(name, street, level=bits)[0].astype(int)).mean() for bits in (0.3, 0.15, 0.08)]
    assert errors == sorted(set(errors))
