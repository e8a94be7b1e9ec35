"""Thresholds and what they give, against loops that try every score and count every box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import errors, matching, operation, policy
from tasks.metrics.instances import Detections, Truth
from tasks.metrics.resampling import Resampler, unit_weights

N_FRAMES, N_UNITS, N_CLASSES = 12, 4, 3


def by_trying(score, hit, target, weight):
    """The lowest score that no score above it, with enough boxes at or above, speaks against."""
    best = None
    for limit in sorted(set(score), reverse=True):
        kept = [place for place in range(len(score)) if score[place] >= limit]
        if len(kept) * (1 - target) < 1 - 1e-9 or not sum(weight[place] for place in kept):
            continue
        right = sum(weight[place] for place in kept if hit[place])
        if right / sum(weight[place] for place in kept) < target - 1e-9:
            break
        best = limit
    return best


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(0, 3)), max_size=60),
    st.sampled_from([0.3, 0.5, 0.6, 0.75, 0.8, 0.9]),
    st.booleans(),
)
def test_threshold_is_the_lowest_from_which_precision_keeps_up(boxes, target, weighted):
    score = np.array([place / 30 for place, _, _ in boxes])
    hit = np.array([luck > 0 for _, luck, _ in boxes], dtype=bool)
    weight = np.array([amount / 2 for _, _, amount in boxes]) if weighted else np.ones(len(boxes))
    found = policy.threshold(score, hit, target, weight if weighted else None)
    expected = by_trying(score, hit, target, weight)
    assert found == expected if expected is not None else np.isnan(found)


def test_one_confident_error_does_not_forbid_a_threshold_but_bad_ones_do():
    score = np.linspace(0.99, 0.5, 40)
    hit = np.ones(40, dtype=bool)
    hit[0] = False
    assert policy.threshold(score, hit, 0.9) == score[-1]
    hit[:2] = False  # of the best ten, eight are right
    assert np.isnan(policy.threshold(score, hit, 0.9))
    assert np.isnan(policy.threshold(score[:9], np.ones(9, dtype=bool), 0.9))
    assert np.isnan(policy.threshold(score[:0], hit[:0], 0.9))


def scene(seed):
    """Truth and detections of a few frames: some right, some doubled, some of another class, some from nowhere."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    frame = np.sort(rng.integers(0, N_FRAMES, n))
    corner = rng.uniform(0, 100, (n, 2))
    boxes = np.hstack([corner, corner + rng.uniform(8, 30, (n, 2))])
    kind = rng.integers(0, N_CLASSES, n)
    ignored = rng.random(n) < 0.1
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    truth = Truth(frame, kind, boxes, area, np.zeros(n, dtype=bool), ignored)
    rows = rng.integers(0, n, int(rng.integers(0, 80)))
    shaken = boxes[rows] + rng.normal(0, 2, (len(rows), 4))
    shaken[:, 2:] = np.maximum(shaken[:, 2:], shaken[:, :2] + 1)
    other = np.where(rng.random(len(rows)) < 0.3, rng.integers(0, N_CLASSES, len(rows)), kind[rows])
    away = rng.random(len(rows)) < 0.2
    shaken[away] += 200
    score = np.round(rng.random(len(rows)), 2)
    sizes = np.prod(shaken[:, 2:] - shaken[:, :2], axis=1)
    return matching.candidates(truth, Detections(frame[rows], other, shaken, score, sizes), N_CLASSES)


def units():
    weights = unit_weights([f"clip{place}" for place in range(N_UNITS)], 100)
    return Resampler(np.arange(N_FRAMES) % N_UNITS, weights, 0.95, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_tally_counts_each_class_as_operation_does(seed, some):
    matches, rng, resampler = matching.match(scene(seed)), np.random.default_rng(seed), units()
    limits = np.where(rng.random(N_CLASSES) < 0.2, np.nan, rng.random(N_CLASSES))
    frames = rng.random(N_FRAMES) < 0.6 if some else None
    by_unit = policy.tally(matches, limits, resampler, frames)
    rates, again = policy.rates(by_unit.sum(axis=0)), policy.rates(resampler.sums(by_unit))
    for kind in range(N_CLASSES):
        if np.isnan(limits[kind]):
            assert by_unit[:, kind, :2].sum() == 0
            continue
        expected = operation.precision_recall_at(matches, limits[kind], frames)
        resampled = operation.precision_recall_resampled(matches, limits[kind], resampler, frames)
        for name in ("precision", "recall"):
            assert rates[name][kind] == pytest.approx(expected[name][1 + kind], nan_ok=True)
            np.testing.assert_allclose(again[name][:, kind], resampled[name][1 + kind], rtol=1e-5)
    wanted = ~np.isin(matches.wanted[:, 0], [] if frames is None else np.flatnonzero(~frames))
    assert by_unit[..., 2].sum() == wanted.sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_another_mix_weighs_boxes_by_the_class_they_come_from(seed):
    pairs, rng, resampler = scene(seed), np.random.default_rng(seed), units()
    matches, mistakes = matching.match(pairs), errors.find(pairs)
    there = ~pairs.truth.ignored
    counts = np.bincount(pairs.truth.kind[there], minlength=N_CLASSES).astype(float)
    mix = rng.integers(0, 4, N_CLASSES).astype(float)
    mix[counts == 0] = 0
    if not mix.any():
        return
    factor = [mix[kind] / mix.sum() / (counts[kind] / counts.sum()) if mix[kind] else 0.0 for kind in range(N_CLASSES)]
    limits = np.full(N_CLASSES, 0.3)
    rates = policy.rates(
        policy.tally(matches, limits, resampler, None, policy.shifted(mistakes, pairs.order, counts, mix)).sum(axis=0)
    )
    for kind in range(N_CLASSES):
        hits = others = 0.0
        for place in range(len(pairs.detections)):
            if pairs.detections.kind[place] != kind or pairs.detections.score[place] < 0.3:
                continue
            what, target = mistakes.kind[place], mistakes.target[place]
            if what == errors.UNCOUNTED:
                continue
            weight = factor[pairs.truth.kind[target]] if target >= 0 else 1.0
            hits, others = hits + weight * (what == errors.RIGHT), others + weight * (what != errors.RIGHT)
        expected = hits / (hits + others) if hits + others else np.nan
        assert rates["precision"][kind] == pytest.approx(expected, nan_ok=True)


def test_the_data_s_own_mix_changes_nothing_and_a_class_without_data_leaves_nothing():
    pairs = scene(1)
    matches, mistakes = matching.match(pairs), errors.find(pairs)
    counts = np.bincount(matches.wanted[:, 1], minlength=N_CLASSES).astype(float)
    same = policy.shifted(mistakes, pairs.order, counts, counts / counts.sum())
    np.testing.assert_allclose(same[0], 1)
    np.testing.assert_allclose(
        policy.thresholds(matches, 0.5, same[0]), policy.thresholds(matches, 0.5), equal_nan=True
    )
    absent = policy.shifted(mistakes, pairs.order, np.array([0.0, *counts[1:]]), np.ones(N_CLASSES))
    assert np.isnan(absent[0]).all()
    assert np.isnan(absent[1]).all()
    assert np.isnan(policy.thresholds(matches, 0.5, absent[0])).all()
