"""Calibration and operating points against torchmetrics, and against plain loops over samples that are repeated."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torchmetrics.functional.classification import multiclass_calibration_error

from tasks.errors import InputError
from tasks.metrics import calibration, detection, matching, operation
from tasks.metrics.instances import Detections, Truth
from tasks.metrics.resampling import Resampler

seeds = st.integers(0, 2**32 - 1)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def loop_ece(confidence, correct, bins=calibration.BINS):
    """Samples sorted into lists by comparing each with each edge; exactly 1 is a list of its own."""
    held = [[] for _ in range(bins + 1)]
    for value, right in zip(confidence, correct, strict=True):
        place = next((b for b in range(bins) if np.float32(value) < np.float32((b + 1) / bins)), bins)
        held[place].append((float(value), bool(right)))
    gaps = [abs(sum(r for _, r in bin_) / len(bin_) - sum(v for v, _ in bin_) / len(bin_)) for bin_ in held if bin_]
    sizes = [len(bin_) for bin_ in held if bin_]
    return sum(g * n for g, n in zip(gaps, sizes, strict=True)) / sum(sizes) if sizes else np.nan


def whole_weights(rng, n_frames, resamples=7):
    """A resampler of whole weights, so that a resample is the data with each frame repeated."""
    n_units = max(1, n_frames // 2)
    return Resampler(
        unit_of=rng.integers(0, n_units, n_frames),
        weights=rng.integers(1, 4, (n_units, resamples)).astype(np.float32),
        confidence=0.95,
        min_units=2,
    )


def repeats(resampler, resample, chosen):
    return np.repeat(chosen, resampler.weights[resampler.unit_of[chosen], resample].astype(int))


# Classification


# Derandomised: torch's own edges are rounded otherwise in the last place, which a random confidence could fall into.
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seeds, st.integers(2, 12), st.integers(1, 300), st.sampled_from([1, 5, 10, 15, 30]))
def test_ece_equals_torchmetrics(seed, n_classes, n, bins):
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(0, rng.uniform(0, 30), (n, n_classes))).astype(np.float32)
    # Also what lies on edges: one-hot rows, and coarse shares.
    probabilities[rng.random(n) < 0.1] = np.eye(n_classes, dtype=np.float32)[0]
    coarse = rng.random(n) < 0.2
    share = rng.integers(1, 10, coarse.sum())[:, None].astype(np.float32) / 10
    probabilities[coarse] = np.hstack([share, 1 - share, np.zeros((coarse.sum(), n_classes - 2), np.float32)])
    labels = rng.integers(0, n_classes, n)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=n_classes, n_bins=bins
    )
    assert calibration.ece(confidence, correct, bins=bins) == pytest.approx(float(expected), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(0, 80), st.sampled_from([1, 4, 15]))
def test_reliability_counts_and_means(seed, n, bins):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(n), rng.random(n) < 0.6
    confidence[: n // 5] = 1.0
    table = calibration.reliability(confidence, correct, bins=bins)
    assert [len(v) for v in vars(table).values()] == [bins + 1] * 5
    assert table.count.sum() == n
    for b in range(bins + 1):
        inside = (confidence >= table.low[b]) & ((confidence < table.high[b]) | (b == bins))
        assert table.count[b] == inside.sum()
        for column, values in ((table.confidence, confidence), (table.accuracy, correct)):
            assert column[b] == pytest.approx(values[inside].mean() if inside.any() else np.nan, nan_ok=True)
    assert table.error == pytest.approx(loop_ece(confidence, correct, bins), nan_ok=True)


def test_a_confidence_on_an_edge_is_in_the_bin_above():
    confidence = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], dtype=np.float32)
    table = calibration.reliability(confidence, np.ones(6, dtype=bool), bins=15)
    assert np.flatnonzero(table.count).tolist() == [0, 3, 6, 9, 12, 15]


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 60))
def test_resampled_figures_equal_those_of_repeated_frames(seed, n):
    rng = np.random.default_rng(seed)
    confidence, correct, frames = rng.random(n).round(1), rng.random(n) < 0.6, rng.random(n) < 0.8
    confidence[~frames] = np.nan  # a frame without a label may have no prediction
    resampler = whole_weights(rng, n)
    chosen = np.flatnonzero(frames)
    aurc = operation.aurc_resampled(confidence, correct, resampler, frames)
    assert aurc.shape == (7,)
    assert aurc.dtype == np.float32
    for resample in range(7):
        again = repeats(resampler, resample, chosen)
        assert aurc[resample] == pytest.approx(loop_aurc(confidence[again], correct[again]), abs=1e-6, nan_ok=True)


def test_aurc_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    confidence, correct, resampler = rng.random(50), rng.random(50) < 0.6, whole_weights(rng, 50, resamples=20)
    at_once = operation.aurc_resampled(confidence, correct, resampler)
    monkeypatch.setattr(operation, "BLOCK_BYTES", 8 * 50 * 3)
    assert (operation.aurc_resampled(confidence, correct, resampler) == at_once).all()


def test_no_sample_is_nan_and_no_probability_is_refused():
    none, right = np.zeros(0), np.zeros(0, dtype=bool)
    rng = np.random.default_rng(0)
    resampler, nowhere = whole_weights(rng, 4), np.zeros(4, dtype=bool)
    assert np.isnan(calibration.ece(none, right))
    assert np.isnan(calibration.reliability(none, right).accuracy).all()
    assert np.isnan(operation.aurc_resampled(rng.random(4), nowhere, resampler, nowhere)).all()
    assert np.isnan(operation.aurc(none, right))
    assert [len(part) for part in operation.risk_coverage(none, right)] == [0, 0]
    logits = np.array([3.0, -1.0])
    assert np.isnan(calibration.ece(logits, logits > 0))
    with pytest.raises(InputError, match=r"0\.\.1, got -1 to 3"):
        calibration.reliability(logits, logits > 0)
    past = np.array([1.0 + 1e-6, 1.0])  # what a sum of float32 shares comes to
    assert calibration.ece(past, np.array([True, False])) == pytest.approx(0.5, abs=1e-6)


# Temperature


def loss(probabilities, labels, t):
    scaled = softmax(np.log(probabilities.astype(float)) / t)
    return -np.log(scaled[np.arange(len(labels)), labels]).mean()


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(2, 6), st.floats(0.3, 4))
def test_temperature_is_the_best_of_a_fine_grid(seed, n_classes, true):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (200, n_classes))
    labels = np.array([rng.choice(n_classes, p=row) for row in softmax(logits)])
    probabilities = softmax(logits * true)
    found = calibration.temperature(probabilities, labels)
    grid = np.exp(np.linspace(*np.log(calibration.TEMPERATURES), 1500))
    losses = [loss(probabilities, labels, t) for t in grid]
    assert loss(probabilities, labels, found) <= min(losses) + 1e-9
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)


def test_temperature_that_made_the_model_overconfident_is_found_and_mends_it():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from softmax(logits)
    given_by_model = softmax(logits * 2.5).astype(np.float32)
    before = given_by_model.copy()
    t = calibration.temperature(given_by_model, labels)
    mended = calibration.apply_temperature(given_by_model, t)
    assert t == pytest.approx(2.5, rel=0.05)
    assert mended.dtype == np.float32
    np.testing.assert_allclose(mended, softmax(np.log(given_by_model.astype(float)) / t), atol=1e-6)
    right = mended.argmax(axis=1) == labels
    assert (mended.argmax(axis=1) == given_by_model.argmax(axis=1)).all()
    assert calibration.ece(mended.max(axis=1), right) < 0.015 < 0.1 < calibration.ece(before.max(axis=1), right)
    assert (given_by_model == before).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seeds, st.integers(2, 8), st.floats(0.2, 5))
def test_ece_after_scaling_equals_torchmetrics_on_scaled_logits(seed, n_classes, t):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (200, n_classes))
    labels = rng.integers(0, n_classes, 200)
    given_by_model = softmax(logits)  # torch is given the logits: its softmax, its bins
    scaled = torch.softmax(torch.from_numpy(logits) / t, dim=1)
    expected = multiclass_calibration_error(scaled, torch.from_numpy(labels), num_classes=n_classes, n_bins=15)
    right = given_by_model.argmax(axis=1) == labels
    assert calibration.ece_scaled(given_by_model, right, t) == pytest.approx(float(expected), abs=1e-6)
    assert np.isnan(calibration.ece_scaled(given_by_model, right, np.nan))
    assert np.isnan(calibration.ece_scaled(logits, right, t))


def detections(score, hit):
    """Matches of one class that all count, by falling score."""
    order = np.argsort(-score)
    always = np.ones((10, len(score)), dtype=bool)
    zeros = np.zeros(len(score), dtype=int)
    ends = np.array([0, len(score)])
    return matching.Matches(zeros, zeros, score[order], ends, always & hit[order], always, np.zeros((1, 2), dtype=int))


def test_temperature_of_detections():
    rng = np.random.default_rng(2)
    z = rng.normal(-1, 1.5, 20_000)
    hit = rng.random(20_000) < 1 / (1 + np.exp(-z))
    matches = detections(1 / (1 + np.exp(-z * 0.5)), hit)
    t = calibration.detection_temperature(matches)
    assert t == pytest.approx(0.5, rel=0.05)

    def likelihood(log_t):
        slope = np.log(matches.score / (1 - matches.score)) / np.exp(log_t)
        return np.logaddexp(0, np.where(matches.hit[0], -slope, slope)).mean()

    assert np.log(t) == pytest.approx(minimize(likelihood, 0.0, method="Nelder-Mead").x[0], abs=1e-3)
    mended = calibration.with_temperature(matches, t)
    # Of two outcomes a temperature divides the log odds.
    np.testing.assert_allclose(mended.score, 1 / (1 + (1 / matches.score - 1) ** (1 / t)), atol=1e-12)
    assert calibration.d_ece(mended)[0] < 0.02 < 0.08 < calibration.d_ece(matches)[0]


def test_detections_that_bear_no_temperature():
    none = detections(np.zeros(0), np.zeros(0, dtype=bool))
    assert np.isnan(calibration.detection_temperature(none))
    assert np.isnan(calibration.d_ece(calibration.with_temperature(none, 2.0))).all()
    hit = np.array([True, False])
    logits, fine = detections(np.array([3.0, -1.0]), hit), detections(np.array([0.9, 0.2]), hit)
    assert np.isnan(calibration.detection_temperature(logits))
    assert np.isnan(calibration.d_ece(calibration.with_temperature(logits, 2.0))).all()
    assert np.isnan(calibration.d_ece(calibration.with_temperature(fine, np.nan))).all()
    assert calibration.d_ece(calibration.with_temperature(fine, 1.0)) == pytest.approx(calibration.d_ece(fine))


def test_temperature_leaves_out_what_cannot_count():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (400, 3))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    shares = softmax(logits * 2)
    expected = calibration.temperature(shares, labels)
    unknown = np.hstack([shares, np.full((400, 1), -1.0)])  # a class that the model does not know
    assert calibration.temperature(unknown, labels) == pytest.approx(expected)
    scaled = calibration.apply_temperature(unknown, expected)
    assert (scaled[:, 3] == 0).all()
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    more = np.vstack([unknown, unknown[:50], np.full((5, 4), np.nan)])
    assert calibration.temperature(more, np.r_[labels, [3] * 50, [-1] * 5]) == pytest.approx(expected)
    assert np.isnan(calibration.temperature(unknown, np.full(400, 3)))
    assert np.isnan(calibration.temperature(shares[:, :1], np.zeros(400, dtype=int)))
    assert np.isnan(calibration.temperature(shares[:0], labels[:0]))
    assert np.isnan(calibration.temperature(logits, labels))
    sure = np.eye(3, dtype=np.float32)[labels]  # zeros in float32, and never wrong
    assert np.isnan(calibration.temperature(sure, labels))
    assert np.isnan(calibration.temperature(sure, (labels + 1) % 3))
    # Without a mistake the lowest T is always the best, also where the likelihood is 1 in every digit long before.
    for height in (3, 30):
        right = softmax(height * np.eye(3)[labels] + rng.normal(0, 0.1, (400, 3)))
        assert np.isnan(calibration.temperature(right, labels))
        assert np.isfinite(calibration.temperature(right, np.r_[(labels[0] + 1) % 3, labels[1:]]))
    for t in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="above 0"):
            calibration.apply_temperature(shares, t)


# Abstention


def loop_aurc(confidence, correct):
    """Every sample's risk at its own confidence, averaged: what is kept there is counted anew for each."""
    if not len(confidence):
        return np.nan
    return np.mean([np.mean(~correct[confidence >= value]) for value in confidence])


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 60), st.integers(1, 4))
def test_risk_coverage_and_its_area(seed, n, digits):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(n).round(digits), rng.random(n) < 0.6
    coverage, risk = operation.risk_coverage(confidence, correct)
    thresholds = sorted(set(confidence), reverse=True)
    assert coverage == pytest.approx([np.mean(confidence >= t) for t in thresholds])
    assert risk == pytest.approx([np.mean(~correct[confidence >= t]) for t in thresholds])
    assert operation.aurc(confidence, correct) == pytest.approx(loop_aurc(confidence, correct))
    order = rng.permutation(n)
    assert operation.aurc(confidence[order], correct[order]) == pytest.approx(operation.aurc(confidence, correct))


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(0, 40), st.integers(1, 3), st.sampled_from([0.5, 0.7, 0.9, 0.95, 1.0]))
def test_the_answering_threshold_is_the_least_that_is_right_often_enough(seed, n, digits, accuracy):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(n).round(digits), rng.random(n) < rng.random()
    fit = [t for t in confidence if correct[confidence >= t].mean() >= accuracy]
    found = operation.answering_threshold(confidence, correct, accuracy)
    assert found == (min(fit) if fit else pytest.approx(np.nan, nan_ok=True))


@pytest.mark.parametrize("right", range(11))
def test_the_answering_threshold_is_exact_where_the_share_is(right):
    """7 of 10 are 0.7: no rounding may turn the equal into less."""
    correct = np.arange(10) < right
    found = operation.answering_threshold(np.full(10, 0.25, np.float32), correct, right / 10)
    assert found == 0.25


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 40), st.floats(0, 1.2))
def test_abstention_equals_counting_what_is_kept(seed, n, threshold):
    rng = np.random.default_rng(seed)
    confidence, correct, labels = rng.random(n), rng.random(n) < 0.6, rng.integers(-1, 3, n)
    confidence[labels < 0] = np.nan  # a frame without a label may have no prediction
    resampler = whole_weights(rng, n)
    points, again = operation.abstention(confidence, correct, labels, 3, threshold, resampler)

    def expected(frames):
        kept = [f for f in frames if confidence[f] >= threshold]
        return (
            len(kept) / len(frames) if len(frames) else np.nan,
            sum(correct[f] for f in kept) / len(kept) if kept else np.nan,
        )

    for place, kind in enumerate((None, 0, 1, 2)):
        frames = np.flatnonzero(labels >= 0 if kind is None else labels == kind)
        found = points["coverage"][place], points["selective_accuracy"][place]
        assert found == pytest.approx(expected(frames), nan_ok=True)
        for resample in range(7):
            found = again["coverage"][place][resample], again["selective_accuracy"][place][resample]
            assert found == pytest.approx(expected(repeats(resampler, resample, frames)), abs=1e-6, nan_ok=True)


def test_abstention_without_a_threshold_is_not_defined():
    resampler = whole_weights(np.random.default_rng(0), 2)
    labels, right = np.array([0, 1]), np.array([True, False])
    points, again = operation.abstention(np.array([0.2, 0.6]), right, labels, 2, np.nan, resampler)
    assert points.keys() == again.keys() == {"coverage", "selective_accuracy"}
    assert all(np.isnan(values).all() for found in (points, again) for values in found.values())


# Detections


def scene(seed, n_frames=5, n_classes=3, n_truth=20, n_found=60):
    """Truth of which some is ignored or a crowd, detections near it and far from it, scores all different."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (n_truth, 2))
    boxes = np.hstack([corner, corner + rng.uniform(10, 60, (n_truth, 2))])
    crowd = rng.random(n_truth) < 0.1
    truth = Truth(
        frame=np.sort(rng.integers(0, n_frames, n_truth)),
        kind=rng.integers(0, n_classes, n_truth),
        boxes=boxes,
        area_px2=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        crowd=crowd,
        ignored=crowd | (rng.random(n_truth) < 0.1),
    )
    source = rng.integers(0, n_truth, n_found) if n_truth else np.zeros(0, dtype=int)
    found = boxes[source] + rng.normal(0, 5, (len(source), 4))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    frame = np.where(rng.random(len(source)) < 0.8, truth.frame[source], rng.integers(0, n_frames, len(source)))
    detections = Detections(
        frame=frame,
        kind=truth.kind[source],
        boxes=found,
        score=rng.permutation(np.linspace(0.01, 0.99, len(source))),
        area_px2=np.prod(found[:, 2:] - found[:, :2], axis=1),
    )
    return truth, detections, matching.match(matching.candidates(truth, detections, n_classes))


def overlap(left, right, crowd):
    width = min(left[2], right[2]) - max(left[0], right[0])
    height = min(left[3], right[3]) - max(left[1], right[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (left, right)]
    return width * height / (areas[0] if crowd else sum(areas) - width * height)


def loop_matches(truth, found, kept):
    """(frame, kind, score, hit) of the `kept` detections that count at IoU 0.5, matched one by one among themselves."""
    rows, taken = [], set()
    for d in sorted(np.flatnonzero(kept), key=lambda d: -found.score[d]):
        near = []
        for t in range(len(truth)):
            same = truth.frame[t] == found.frame[d] and truth.kind[t] == found.kind[d]
            iou = overlap(found.boxes[d], truth.boxes[t], truth.crowd[t]) if same else 0.0
            if iou >= 0.5 and (t not in taken or truth.crowd[t]):
                near.append((not truth.ignored[t], iou, t))
        if near:
            counts, _, t = max(near)
            taken.add(t)
            if not counts:
                continue
        rows.append((int(found.frame[d]), int(found.kind[d]), float(found.score[d]), bool(near)))
    return rows


def rates(hits, kept, wanted):
    """By name; NaN where nothing is divided by."""
    return {
        "precision": hits / kept if kept else np.nan,
        "recall": hits / wanted if wanted else np.nan,
        "f1": 2 * hits / (kept + wanted) if wanted else np.nan,
    }


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 1), st.sampled_from([None, 0, 2]), st.booleans())
def test_operating_point_equals_matching_the_kept_detections_alone(seed, threshold, kind, every):
    truth, found, matches = scene(seed)
    rng = np.random.default_rng(seed)
    frames = None if every else rng.random(5) < 0.6
    inside = np.ones(5, dtype=bool) if frames is None else frames
    rows = [row for row in loop_matches(truth, found, found.score >= threshold) if inside[row[0]]]
    rows = [row for row in rows if kind in (None, row[1])]
    wanted = [
        int(truth.frame[t])
        for t in range(len(truth))
        if not truth.ignored[t] and inside[truth.frame[t]] and kind in (None, truth.kind[t])
    ]
    expected = rates(sum(row[3] for row in rows), len(rows), len(wanted))
    row = 0 if kind is None else 1 + kind
    at = operation.precision_recall_at(matches, threshold, frames)
    assert {name: values[row] for name, values in at.items()} == pytest.approx(expected, nan_ok=True)
    resampler = whole_weights(rng, 5)
    resampled = operation.precision_recall_resampled(matches, threshold, resampler, frames)
    for resample in range(7):
        weight = resampler.weights[resampler.unit_of, resample]
        sums = (sum(weight[r[0]] * r[3] for r in rows), sum(weight[r[0]] for r in rows), sum(weight[f] for f in wanted))
        for name, value in rates(*sums).items():
            assert resampled[name].dtype == np.float32
            assert resampled[name][row, resample] == pytest.approx(value, abs=1e-6, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([None, 1]), st.sampled_from([0, 8, 60]))
def test_d_ece_equals_loops_over_matched_detections(seed, kind, n_found):
    truth, found, matches = scene(seed, n_found=n_found)
    rng = np.random.default_rng(seed)
    frames = rng.random(5) < 0.7
    rows = [row for row in loop_matches(truth, found, found.score >= 0) if frames[row[0]] and kind in (None, row[1])]
    score, hit = np.array([row[2] for row in rows]), np.array([row[3] for row in rows], dtype=bool)
    ours = calibration.d_ece(matches, frames)[0 if kind is None else 1 + kind]
    assert ours == pytest.approx(loop_ece(score, hit), nan_ok=True)


def test_operating_point_of_the_best_threshold_has_the_best_f1():
    _, _, matches = scene(5)
    best = detection.operating_threshold(matches)
    f1 = {t: operation.precision_recall_at(matches, t)["f1"][0] for t in matches.score}
    assert f1[best] == max(f1.values()) > 0


def test_what_detections_leave_undefined():
    _, _, matches = scene(6)
    nothing = operation.precision_recall_at(matches, 2.0)  # above every score
    assert np.isnan(nothing["precision"]).all()
    assert nothing["recall"][0] == nothing["f1"][0] == 0  # all of the truth is missed: that is known
    resampler = whole_weights(np.random.default_rng(0), 5)
    assert all(np.isnan(v).all() for v in operation.precision_recall_at(matches, np.nan).values())
    assert all(np.isnan(v).all() for v in operation.precision_recall_resampled(matches, np.nan, resampler).values())
    none = Truth(*(np.zeros(0, int),) * 2, np.zeros((0, 4)), np.zeros(0), *(np.zeros(0, bool),) * 2)
    _, found, _ = scene(6)
    strays = matching.match(matching.candidates(none, found, 3))
    at = operation.precision_recall_at(strays, 0.5)
    assert at["precision"][0] == 0  # false alarms are known for what they are, without any truth
    assert np.isnan(at["recall"]).all()
    assert np.isnan(at["f1"]).all()
    logits = Detections(found.frame, found.kind, found.boxes, found.score * 10 - 5, found.area_px2)
    unfit = matching.match(matching.candidates(none, logits, 3))
    assert np.isnan(calibration.d_ece(unfit)).all()


# Label shift
