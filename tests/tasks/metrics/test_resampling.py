"""Intervals: their weights and ends by hand, weighted figures against libraries, coverage by simulation."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import classification, detection, matching, segmentation, tracking
from tasks.metrics.instances import join
from tasks.metrics.resampling import Resampler, Spread, interval, p_value, q_values, unit_weights
from tasks.slices import SIZES
from tests.tasks.metrics.test_detection import reference, scenes
from tests.tasks.metrics.test_segmentation import IDS, counted, torchmetrics_figures
from tests.tasks.metrics.test_tracking import clips, their_figures, their_sequence

seeds = st.integers(0, 2**32 - 1)
EXACT = Spread(degrees=1e12, inflation=1.0)  # Student's t is the normal distribution: nothing moves

# Weights


def test_the_weights_of_a_unit_depend_on_its_id_alone():
    names = ["north/0001", "north/0002", "ä b", ""]
    weights = unit_weights(names, 50)
    assert weights.shape == (4, 50)
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(unit_weights([names[i] for i in order], 50), weights[order])
    np.testing.assert_array_equal(unit_weights(names[1:2], 50), weights[1:2])
    np.random.seed(5)  # noqa: NPY002  the global state that must not matter
    np.testing.assert_array_equal(unit_weights(names, 50), weights)
    np.testing.assert_array_equal(unit_weights(names, 20), weights[:, :20])
    assert len(np.unique(weights)) == weights.size


def test_weights_are_standard_exponential_and_independent():
    weights = unit_weights([f"clip{i}" for i in range(200)], 500)
    assert weights.mean() == pytest.approx(1, abs=0.02)  # 100,000 draws: 6 standard errors
    assert scipy.stats.kstest(weights.ravel(), "expon").pvalue > 1e-3
    between = np.corrcoef(weights)[np.triu_indices(200, 1)]
    assert abs(between).max() < 6 / np.sqrt(500)


def test_no_weight_is_zero():
    # One draw in 2^23 is, this unit's 630th among them: where it holds a class's best detection, precision was 0 / 0.
    assert (unit_weights(["clip05934"], 1000) > 0).all()


# Spread


def units(*columns):
    held = np.zeros((max(map(len, columns)), len(columns)))
    for place, column in enumerate(columns):
        held[: len(column), place] = column
    return held


@pytest.mark.parametrize(
    ("amounts", "degrees", "inflation"),
    [
        (units([1] * 12), 11, 12 / 11),
        (units([7] * 12), 11, 12 / 11),  # seven objects of a clip are no seven clips
        (units([2, 1, 1]), 5 / 3, (3 / 5) * (8 / 3)),  # Kish: 4^2 / 6 = 8 / 3 units
        # Variances 1/3 and 1 where 1/4 and 1/2 are seen; (4/3)^2 / ((1/3)^2 / 3 + 1^2 / 1).
        (units([1] * 4, [5, 5]), 12 / 7, 16 / 9),
        (units([1] * 4, [5, 5], []), 12 / 7, 16 / 9),  # a class without truth is in no mean
        (units([1] * 4, [9]), 3, (1 / 3 + 1) / (1 / 4)),  # one unit: shows nothing, adds a variance of 1
        (units([1] * 4, [3, 1]), 3, (1 / 3 + 1 / 1.6) / (1 / 4)),  # Kish: 1.6 units
    ],
)
def test_spread_by_hand(amounts, degrees, inflation):
    assert Spread.of(amounts) == pytest.approx((degrees, inflation))
    assert Spread.of(amounts[::-1, ::-1]) == pytest.approx((degrees, inflation))
    assert Spread.of(amounts.astype(np.int64)) == pytest.approx((degrees, inflation))


@pytest.mark.parametrize("amounts", [np.zeros((5, 2)), np.zeros((0, 1)), units([4]), units([9, 1], [0, 3])])
def test_no_spread_where_no_class_rests_on_two_units(amounts):
    assert Spread.of(amounts) is None


# Ends, p and q


def normal(mean, deviation, n=100_001):
    """The quantiles of a normal distribution, as replicates."""
    return mean + deviation * scipy.stats.norm.ppf((np.arange(n) + 0.5) / n)


def test_ends_are_percentiles_when_nothing_moves_them():
    replicates = np.random.default_rng(0).gamma(2, size=(5, 999))
    low, high = interval(replicates, [EXACT] * 5, 0.9)
    np.testing.assert_allclose([low, high], np.quantile(replicates, [0.05, 0.95], axis=1), rtol=1e-6)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_ends_and_p_of_normal_replicates_are_students(confidence):
    spreads = [Spread(11.0, 12 / 11), Spread(2.5, 3.0)]
    low, high = interval(np.stack([normal(0.4, 0.1), normal(-0.4, 0.3)]), spreads, confidence)
    for place, (mean, deviation) in enumerate([(0.4, 0.1), (-0.4, 0.3)]):
        student = scipy.stats.t(spreads[place].degrees, mean, deviation * np.sqrt(spreads[place].inflation))
        assert (low[place], high[place]) == pytest.approx(student.interval(confidence), rel=2e-3)
        expected = 2 * min(student.cdf(0), student.sf(0))
        assert p_value(normal(mean, deviation), spreads[place], confidence) == pytest.approx(expected, rel=5e-3)


@settings(max_examples=200, deadline=None)
@given(seeds, st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]), st.booleans())
def test_p_is_small_just_when_the_interval_leaves_zero_out(seed, confidence, coarse):
    rng = np.random.default_rng(seed)
    # Skewed, on either side of zero, with zero near an end; coarse ones have many that are equal, also all of them.
    replicates = rng.choice([-1, 1]) * (rng.gamma(rng.uniform(0.5, 4), size=int(rng.integers(1, 300))) - rng.gamma(1))
    if coarse:
        replicates = replicates.round() / 8 + rng.choice([0, 1e-3])
    spread = Spread(rng.uniform(1, 40), rng.uniform(1, 4))
    (low,), (high,) = interval(replicates[None], [spread], confidence)
    p = p_value(replicates, spread, confidence)
    assert 0 <= p <= 1
    assert (p < 1 - confidence) == bool(low > 0 or high < 0)
    assert p_value(-replicates, spread, confidence) == pytest.approx(p, rel=1e-9)


def test_models_that_agree_everywhere_differ_with_p_one_and_what_is_not_defined_has_none():
    assert p_value(np.zeros(9), Spread(11.0, 1.1), 0.95) == 1
    assert p_value(np.full(9, 0.25), Spread(11.0, 1.1), 0.95) == 0
    broken = np.array([0.1, np.nan, 0.2])
    assert np.isnan(p_value(broken, Spread(11.0, 1.1), 0.95))
    low, high = interval(np.stack([broken, np.array([0.1, 0.15, 0.2])]), [EXACT] * 2, 0.95)
    assert np.isnan([low[0], high[0]]).all()
    assert np.isfinite([low[1], high[1]]).all()


def step_up(p_values, rate):
    """Benjamini and Hochberg as published: reject the k least, k the greatest with p_(k) <= k / m rate."""
    ordered = sorted(p_values)
    passed = [k for k, p in enumerate(ordered, start=1) if p * len(ordered) / k <= rate]
    return [p <= ordered[max(passed) - 1] if passed else False for p in p_values]


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(0, 12), st.integers(0, 3))
def test_q_is_the_least_rate_at_which_benjamini_and_hochberg_reject(seed, n_tests, n_undefined):
    rng = np.random.default_rng(seed)
    tested = (rng.random(n_tests) ** 3).round(int(rng.integers(1, 6)))  # also ties, zeros and ones
    places = rng.permutation(n_tests + n_undefined)
    p = np.r_[tested, np.full(n_undefined, np.nan)][places]
    found = q_values(iter(p))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(p))
    p, found = p[~np.isnan(p)], found[~np.isnan(p)]
    if n_tests:
        np.testing.assert_allclose(found, scipy.stats.false_discovery_control(p), atol=1e-12)
    rates = sorted({value * n_tests / k for value in p for k in range(1, n_tests + 1)})
    for place in range(n_tests):
        least = next(rate for rate in rates if step_up(p, rate)[place])
        assert found[place] == pytest.approx(min(least, 1), abs=1e-12)


# Weighted figures: a resample of whole weights is the data with each unit repeated so often.


def whole_weights(rng, n_frames, n_units=None, resamples=3):
    """Units of one frame or several; weights 1, 2 and 3."""
    n_units = n_units or int(rng.integers(1, n_frames + 1))
    return Resampler(
        unit_of=rng.integers(0, n_units, n_frames),
        weights=rng.integers(1, 4, (n_units, resamples)).astype(np.float32),
        confidence=0.95,
        min_units=2,
    )


def repeats(resampler, resample):
    """Positions of frames, each as often as its unit weighs; copies stand together."""
    times = resampler.weights[resampler.unit_of, resample].astype(int)
    return np.repeat(np.arange(len(times)), times)


def close(found, expected):
    return found == pytest.approx(expected, abs=1e-5, nan_ok=True)  # replicates are float32


def coco_figures(evaluation, kinds, area):
    """Pycocotools' figures of some classes in one area range."""
    precision = evaluation.eval["precision"][:, :, kinds, area, 2]
    recall = evaluation.eval["recall"][:, kinds, area, 2]

    def mean(values):
        defined = values[values > -1]
        return defined.mean() if defined.size else np.nan

    return {"map": mean(precision), "ap50": mean(precision[0]), "ap75": mean(precision[5]), "ar100": mean(recall)}


def repeated(truth, found, frames):
    """The data set that holds these frames, in this order."""
    new_truth, rows = join(frames, truth.frame)
    new_found, detections = join(frames, found.frame)
    truth = type(truth)(
        new_truth, truth.kind[rows], truth.boxes[rows], truth.area_px2[rows], truth.crowd[rows], truth.ignored[rows]
    )
    return rows, truth, replace(found.take(detections), frame=new_found)


@settings(max_examples=25, deadline=None)
@given(scenes(), seeds)
def test_weighted_detection_equals_pycocotools_on_repeated_images(scene, seed):
    truth, found, n_frames, n_classes = scene
    rng = np.random.default_rng(seed)
    # Distinct scores: of two equal ones in an image pycocotools takes first, second, first, second from its two copies,
    # where a weight of two means first, first, second, second.
    found = replace(found, score=rng.permutation(np.linspace(0.01, 1, len(found))))
    resampler = whole_weights(rng, n_frames)
    mask = rng.random(n_frames) < 0.7
    inside = rng.random(len(truth)) < 0.6
    pairs = matching.candidates(truth, found, n_classes)
    matches = [matching.match(pairs), *(matching.match(pairs, area_px2=area) for area in SIZES.values())]
    tagged = detection.resampled(matching.match(pairs, inside=inside), resampler, recall_only=True)
    for frames in (None, mask):
        ours = [detection.resampled(some, resampler, frames) for some in matches]
        for resample in range(resampler.resamples):
            copies = repeats(resampler, resample)
            rows, more_truth, more_found = repeated(truth, found, copies)
            chosen = None if frames is None else frames[copies]
            if chosen is not None and not chosen.any():
                continue
            given_ = {"frames": chosen, "ignore": more_truth.ignored}
            _, evaluation = reference(more_truth, more_found, len(copies), n_classes, **given_)
            for area, replicates in enumerate(ours):
                for kind in (None, *range(n_classes)):
                    kinds = slice(None) if kind is None else slice(kind, kind + 1)
                    again = {name: values[resample] for name, values in replicates.metrics(kind).items()}
                    assert close(again, coco_figures(evaluation, kinds, area)), (area, kind)
            if frames is None:
                marked = more_truth.ignored | ~inside[rows]
                _, evaluation = reference(more_truth, more_found, len(copies), n_classes, ignore=marked)
                expected = coco_figures(evaluation, slice(None), 0)["ar100"]
                assert close(tagged.metrics()["ar100"][resample], expected)
                assert np.isnan(tagged.metrics()["map"]).all()


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_weighted_segmentation_equals_torchmetrics_on_repeated_frames(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice(rng.permutation([*IDS, 255])[: rng.integers(1, 6)].astype(np.uint8), (5, 6, 7))
    read = np.where(rng.random(truth.shape) < 0.6, truth, rng.choice([0, 2, 5, 9, 77], truth.shape)).astype(np.uint8)
    resampler = whole_weights(rng, 5)
    for frames in (None, rng.random(5) < 0.6):
        together, by_class = segmentation.resampled(counted(truth, read), resampler, frames)
        for resample in range(resampler.resamples):
            copies = repeats(resampler, resample)
            copies = copies if frames is None else copies[frames[copies]]
            expected, iou = torchmetrics_figures(truth[copies], read[copies])
            if not iou:
                assert together == {}
                assert not any(by_class)
                continue
            assert close({name: values[resample] for name, values in together.items()}, expected)
            assert {k: by_class[k]["miou"][resample] for k in range(len(IDS)) if by_class[k]} == pytest.approx(iou)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 9))
def test_weighted_classification_equals_torchmetrics_on_repeated_frames(seed, n_classes):
    rng = np.random.default_rng(seed)
    n_frames = int(rng.integers(1, 30))
    scores = rng.random((n_frames, n_classes)).astype(np.float32)
    labels = rng.integers(-1, max(n_classes - 1, 1), n_frames)  # some frames without, the last class never
    resampler = whole_weights(rng, n_frames)
    for frames in (None, rng.random(n_frames) < 0.7):
        found = classification.resampled(scores, labels, resampler, frames)
        for resample in range(resampler.resamples):
            copies = repeats(resampler, resample)
            copies = copies if frames is None else copies[frames[copies]]
            expected = classification.figures(scores[copies], labels[copies])
            assert found.keys() == expected.keys()
            for metric, values in expected.items():
                assert close([rows[resample] for rows in found[metric]], values.tolist()), metric


@settings(max_examples=25, deadline=None)
@given(clips(), seeds)
def test_weighted_tracking_equals_trackeval_on_repeated_sequences(scene, seed):
    rng = np.random.default_rng(seed)
    evaluator = tracking.Evaluator()
    results = {i: evaluator.clip([tracking.moment(*frame) for frame in frames]) for i, frames in enumerate(scene)}
    theirs = [their_sequence(frames) for frames in scene]
    sums = tracking.by_clip(results, len(scene))
    resampler = replace(whole_weights(rng, len(scene), n_units=len(scene)), unit_of=np.arange(len(scene)))
    for inside in (None, rng.random(len(scene)) < 0.7):
        found = tracking.resampled(sums, resampler, inside)
        chosen = np.arange(len(scene)) if inside is None else np.flatnonzero(inside)
        for resample in range(resampler.resamples):
            copies = repeats(resampler, resample)
            copies = copies[np.isin(copies, chosen)]
            if not any(len(truth.ids) for clip in copies for truth, _ in scene[clip]):
                assert found == {}
                continue
            together = {f"{i}": results[clip] for i, clip in enumerate(copies)}
            for expected in (their_figures([theirs[clip] for clip in copies]), evaluator.figures(together)):
                for count in ("id_switches", "fragmentations"):  # of as many clips as there are
                    expected[count] *= len(chosen) / max(len(copies), 1)
                defined = {name: value for name, value in expected.items() if not np.isnan(value)}
                assert close({name: values[resample] for name, values in found.items()}, defined)


# Coverage: clips are drawn from a world whose figures are known, over and over.

WORLD = 40_000  # clips behind what counts as the truth
RARE = 0.25  # the share of clips that hold the rare class


@dataclass(frozen=True)
class Drawn:
    """Clips of a world: what a figure needs of them, and the truth by clip and class."""

    data: object
    amounts: np.ndarray


def frames_with_labels(n_clips, rng):
    """Twelve frames a clip that are easy or hard together."""
    right = rng.random((n_clips, 12)) < rng.beta(4, 1, n_clips)[:, None]
    return Drawn(right, np.full((n_clips, 1), 12.0))


def accuracy(drawn, resampler=None):
    right = drawn.data.ravel()
    scores = np.column_stack([right, ~right]).astype(np.float32)
    labels = np.zeros(len(right), dtype=np.int64)
    if resampler is None:
        return np.array([right.mean()])
    resampler = replace(resampler, unit_of=np.repeat(np.arange(len(drawn.data)), 12))
    return classification.resampled(scores, labels, resampler)["accuracy"][0]


def label_maps(n_clips, rng):
    """Pixels of three classes, of sizes that differ by an order of magnitude; the third is rare and found worse."""
    counts = segmentation.Counts.empty(n_clips, 3)
    for kind, (share, a, b) in enumerate([(1, 8, 2), (1, 4, 3), (RARE, 3, 3)]):
        union = rng.lognormal(3, 1, n_clips) * (rng.random(n_clips) < share) * 100
        counts.hit[:, kind] = union * rng.beta(a, b, n_clips)
        counts.truth[:, kind] = counts.predicted[:, kind] = (union + counts.hit[:, kind]) / 2
    return Drawn(counts, counts.truth.astype(float))


def miou(drawn, resampler=None):
    if resampler is None:
        return np.array([segmentation.figures(drawn.data, kind=kind)["miou"] for kind in range(3)])
    return segmentation.resampled(drawn.data, resampler)[0]["miou"]


def detections(n_clips, rng):
    """Objects of three classes, the third rare; in some clips the model sees better, scores higher and invents less."""
    hits, frames, scores, kinds, wanted = [], [], [], [], []
    for kind, (share, mean) in enumerate([(1, 6), (0.8, 4), (RARE, 3)]):
        n_objects = rng.poisson(mean, n_clips) * (rng.random(n_clips) < share)
        skill = rng.normal(0, 0.8, n_clips)
        clip = np.repeat(np.arange(n_clips), n_objects)
        found = clip[rng.random(len(clip)) < scipy.special.ndtr(skill[clip] + 0.6)]
        false = np.repeat(np.arange(n_clips), rng.poisson(3, n_clips))
        frames += [found, false]
        scores += [rng.normal(0.8 + skill[found]), rng.normal(-0.5 - skill[false] / 2)]
        hits += [np.ones(len(found), dtype=bool), np.zeros(len(false), dtype=bool)]
        kinds += [np.full(len(found) + len(false), kind)]
        wanted += [np.column_stack([clip, np.full(len(clip), kind)])]
    frame, score, hit, kind = (np.concatenate(parts) for parts in (frames, scores, hits, kinds))
    order = np.lexsort((-score, kind))
    hit = np.vstack([hit[order], np.zeros((5, len(hit)), dtype=bool)])  # IoU 0.5 alone: the others only take time
    matches = matching.Matches(
        frame=frame[order],
        rank=np.zeros(len(order), dtype=np.int64),
        score=scipy.special.ndtr(score[order]),
        ends=np.searchsorted(kind[order], np.arange(4)),
        hit=hit,
        counted=np.ones(hit.shape, dtype=bool),
        wanted=np.concatenate(wanted),
    )
    amounts = np.zeros((n_clips, 3))
    np.add.at(amounts, (matches.wanted[:, 0], matches.wanted[:, 1]), 1)
    return Drawn(matches, amounts)


def ap50(drawn, resampler=None):
    if resampler is None:
        return detection.figures(drawn.data).precision[:, 0]
    return detection.resampled(drawn.data, resampler).metrics()["ap50"]


WORLDS = {"accuracy": (frames_with_labels, accuracy), "miou": (label_maps, miou), "ap50": (detections, ap50)}


def simulate(metric, n_units, simulations, resamples=1000):
    """Replicates, spread and truth of one draw after the other.

    The truth is the world's mean over the classes that the draw holds, as the figure is.
    """
    draw, figure = WORLDS[metric]
    by_class = figure(draw(WORLD, np.random.default_rng(99)))
    for simulation in range(simulations):
        drawn = draw(n_units, np.random.default_rng([simulation, n_units]))
        weights = unit_weights([f"{metric} {simulation} {unit}" for unit in range(n_units)], resamples)
        resampler = Resampler(np.arange(n_units), weights, confidence=0.95, min_units=10)
        spread = Spread.of(drawn.amounts)
        assert resampler.bears(n_units, spread)
        yield figure(drawn, resampler), spread, by_class[drawn.amounts.any(axis=0)].mean()


def coverage(metric, n_units, simulations):
    inside = 0
    for replicates, spread, true in simulate(metric, n_units, simulations):
        (low,), (high,) = interval(replicates[None], [spread], 0.95)
        inside += low <= true <= high
    return inside / simulations


@pytest.mark.parametrize("n_units", [10, 12, 24, 48])
@pytest.mark.parametrize("metric", WORLDS)
def test_intervals_cover_the_truth(metric, n_units):
    simulations = 200
    low, high = scipy.stats.binom.ppf(0.01, simulations, 0.90), scipy.stats.binom.ppf(0.99, simulations, 0.98)
    assert low / simulations <= coverage(metric, n_units, simulations) <= high / simulations


@pytest.mark.slow
@pytest.mark.parametrize("n_units", [10, 12, 24, 48])
@pytest.mark.parametrize("metric", WORLDS)
def test_intervals_cover_the_truth_in_a_thousand_draws(metric, n_units):
    assert 0.90 <= coverage(metric, n_units, 1000) <= 0.98
