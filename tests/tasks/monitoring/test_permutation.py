"""Distances against SciPy's and by hand; p-values by brute force; false alarms by trials without drift."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.metrics.instances import Floats
from tasks.monitoring.permutation import TAIL_INDEX, Sample, measure, p_values


def sample(*clips: Floats) -> Sample:
    sizes = np.array([len(clip) for clip in clips])
    place = np.repeat(np.arange(len(clips)), sizes)
    return Sample(np.concatenate(clips).astype(float), place, 1 / sizes[place] / len(clips))


def drawn(rng: np.random.Generator, n_clips: int, n_windows: int, shift: float = 0.0) -> list[Floats]:
    """Clips whose windows differ less among themselves than clips do."""
    return [shift + rng.normal() + 0.5 * rng.normal(size=n_windows) for _ in range(n_clips)]


def asked(new: Sample, old: Sample, *, one_unit: bool = False, permutations: int = 999) -> tuple[dict[str, float], int]:
    return p_values(new, old, one_unit=one_unit, permutations=permutations, rng=np.random.default_rng(0))


VALUES = st.lists(st.integers(-20, 20), min_size=1, max_size=30).map(lambda values: np.array(values) / 4)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_ks_and_wasserstein_are_scipys(new: Floats, old: Floats) -> None:
    found = measure(sample(new), sample(old))
    assert found["ks"] == pytest.approx(stats.ks_2samp(new, old).statistic, abs=1e-12)
    if np.ptp(old) > 0:
        assert found["wasserstein"] == pytest.approx(stats.wasserstein_distance(new, old) / old.std(), abs=1e-9)
    else:
        assert np.isnan(found["wasserstein"]) or (new == old[0]).all()


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(VALUES, min_size=1, max_size=4))
def test_clips_count_alike_whatever_their_length(new: list[Floats], old: list[Floats]) -> None:
    one, other = sample(*new), sample(*old)
    spread = np.sqrt(np.cov(other.values, aweights=other.weights, ddof=0))
    if spread > 0:
        expected = stats.wasserstein_distance(one.values, other.values, one.weights, other.weights) / spread
        assert measure(one, other)["wasserstein"] == pytest.approx(expected, abs=1e-9)
    twice = sample(*[np.repeat(clip, 3) for clip in new])
    np.testing.assert_allclose(list(measure(twice, other).values()), list(measure(one, other).values()), atol=1e-9)


def test_population_stability_index_by_hand() -> None:
    """The reference fills ten bins alike; of the footage, half lies in the first and half in the last."""
    old = np.arange(100.0)
    new = np.r_[np.zeros(50), np.full(50, 99.0)]
    expected = 2 * (0.5 - 0.1) * np.log(0.5 / 0.1) + 8 * (0.001 - 0.1) * np.log(0.001 / 0.1)
    assert measure(sample(new), sample(old))["psi"] == pytest.approx(expected)


def test_equal_deciles_make_one_bin() -> None:
    """Nine tenths of the reference are 0: two bins, the zeros and the rest."""
    old, new = np.r_[np.zeros(90), np.arange(1.0, 11)], np.r_[np.zeros(50), np.arange(1.0, 51)]
    expected = (0.5 - 0.9) * np.log(0.5 / 0.9) + (0.5 - 0.1) * np.log(0.5 / 0.1)
    assert measure(sample(new), sample(old))["psi"] == pytest.approx(expected)


@settings(deadline=None)
@given(VALUES)
def test_the_same_is_no_drift(values: Floats) -> None:
    assert list(measure(sample(values), sample(values)).values()) == [0.0, 0.0, 0.0]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 3), st.floats(0, 3))
def test_distance_grows_with_the_shift(seed: int, shift: float, further: float) -> None:
    """Windows of one clip moved away from all of the reference's lie the farther away the more they move."""
    old = np.random.default_rng(seed).normal(size=40)
    new = old + shift
    near, far = measure(sample(new), sample(old)), measure(sample(new + further), sample(old))
    assert near["wasserstein"] == pytest.approx(shift / old.std())
    assert all(far[name] >= near[name] - 1e-9 for name in ("ks", "wasserstein"))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_a_mixture_is_no_farther_than_its_parts_are(seed: int) -> None:
    """What lets a long clip stand for one unit: the distances of a mixture are at most the mean of its parts'."""
    rng = np.random.default_rng(seed)
    clips, old = drawn(rng, 4, 5), sample(*drawn(rng, 8, 3))
    parts = [measure(sample(clip), old) for clip in clips]
    for name, whole in measure(sample(*clips), old).items():
        assert whole <= np.mean([part[name] for part in parts]) + 0.01  # psi has a floor under its shares


def test_p_values_are_those_of_all_permutations() -> None:
    rng = np.random.default_rng(5)
    clips = [*drawn(rng, 3, 4), *drawn(rng, 6, 7, shift=0.8)]
    found, n = asked(sample(*clips[:3]), sample(*clips[3:]))
    assert n == 84
    seen = stats.wasserstein_distance(
        np.concatenate(clips[:3]), np.concatenate(clips[3:]), np.repeat(1 / 4, 12), np.repeat(1 / 7, 42)
    )
    reached = 0
    for chosen in itertools.combinations(range(9), 3):
        sides = [[clip for place, clip in enumerate(clips) if (place in chosen) == inside] for inside in (True, False)]
        one, other = (sample(*side) for side in sides)
        reached += stats.wasserstein_distance(one.values, other.values, one.weights, other.weights) >= seen - 1e-9
    assert reached > 1
    assert found["wasserstein"] == pytest.approx(reached / 84)


def test_drawn_permutations_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(5)
    new, old = sample(*drawn(rng, 4, 3, shift=0.7)), sample(*drawn(rng, 8, 3))
    (every, n_every), (some, n_some) = asked(new, old), asked(new, old, permutations=400)
    assert (n_every, n_some) == (495, 401)
    for name, p in every.items():
        assert some[name] == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400) + 1 / 400)
    assert asked(new, old, permutations=400) == (some, n_some)


def test_one_unit_counts_as_one() -> None:
    rng = np.random.default_rng(5)
    new, old = sample(*drawn(rng, 4, 3)), sample(*drawn(rng, 19, 3))
    found, n = asked(new, old, one_unit=True)
    assert n == 20
    assert all(p * 20 == pytest.approx(round(p * 20)) for p in found.values()), "nothing here is beyond the others"


def test_far_beyond_all_others_is_rarer_than_one_in_as_many() -> None:
    """By the power law of how far beyond it is; statistics with a ceiling stay where permutation leaves them."""
    old = np.arange(19.0)[:, None]
    (near, _), (far, _) = (asked(sample(np.array([value])), sample(*old)) for value in (30.0, 300.0))
    assert near["ks"] == far["ks"] >= 1 / 20
    others = [abs(np.delete(np.r_[old.ravel(), 30.0], place) - place).mean() for place in range(19)]
    assert near["wasserstein"] == pytest.approx(1 / 20 * (max(others) / abs(old - 30.0).mean()) ** TAIL_INDEX)
    assert far["wasserstein"] < near["wasserstein"] < 1 / 20


def test_nothing_is_beyond_a_reference_that_is_all_the_same() -> None:
    found, _ = asked(sample(np.array([1.0])), sample(*np.zeros((11, 1))))
    assert found["wasserstein"] == pytest.approx(1 / 12)
    assert np.isnan(asked(sample(np.zeros(1)), sample(np.zeros(3)))[0]["ks"])


LEVELS = (0.05, 0.01)


def false_alarms(make: object, n_old: int, n_new: int, *, one_unit: bool, trials: int = 400) -> dict[str, list[float]]:
    """The share of trials without drift with a p at most each of LEVELS; `windows`: SciPy's KS test of all windows."""
    rng = np.random.default_rng(11)
    seen: dict[str, list[float]] = {"psi": [], "ks": [], "wasserstein": [], "windows": []}
    for _ in range(trials):
        new, old = sample(*make(rng, n_new, 8)), sample(*make(rng, n_old, 4))  # type: ignore[operator]
        for name, p in asked(new, old, one_unit=one_unit, permutations=199)[0].items():
            seen[name].append(p)
        seen["windows"].append(stats.ks_2samp(new.values, old.values).pvalue)
    return {name: [float(np.mean(np.array(found) <= level)) for level in LEVELS] for name, found in seen.items()}


def skewed(rng: np.random.Generator, n_clips: int, n_windows: int) -> list[Floats]:
    return [np.exp(clip) for clip in drawn(rng, n_clips, n_windows)]


@pytest.mark.parametrize(
    ("make", "n_old", "n_new", "one_unit"),
    [
        (drawn, 3, 1, True),
        (drawn, 12, 1, True),
        (drawn, 12, 4, False),
        (skewed, 48, 1, True),
        (skewed, 12, 1, True),
        (skewed, 48, 6, True),
    ],
)
def test_false_alarms_keep_to_their_level(make: object, n_old: int, n_new: int, *, one_unit: bool) -> None:
    """Clips differ twice as much as their windows do. Taking windows as independent gives alarms in most trials.

    Of 400 trials, up to 0.05 + 2.5 standard errors. One unit beyond all others has a guessed tail: there 0.01 may come
    up to four times as often (docs/footage.md has what was measured).
    """
    found = false_alarms(make, n_old, n_new, one_unit=one_unit)
    assert found["windows"][0] > 0.3
    for name in ("psi", "ks", "wasserstein"):
        assert found[name][0] <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400), (name, found)
        assert found[name][1] <= 0.04, (name, found)


def test_drift_is_found() -> None:
    """A shift of one clip, against 48, and of four, against twelve, in clips whose standard deviation is 1.1."""
    rng = np.random.default_rng(2)
    hits = {"one": 0, "four": 0}
    for _ in range(100):
        one, _ = asked(sample(*drawn(rng, 1, 8, shift=4.0)), sample(*drawn(rng, 48, 4)), one_unit=True)
        four, _ = asked(sample(*drawn(rng, 4, 8, shift=2.0)), sample(*drawn(rng, 12, 4)), permutations=199)
        hits["one"] += one["wasserstein"] <= 0.02
        hits["four"] += four["wasserstein"] <= 0.05
    assert min(hits.values()) >= 75, hits
