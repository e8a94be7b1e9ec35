"""Boundary counts against a brute force: neighbours pixel by pixel, distances by scipy's exact Euclidean transform."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from tasks import tables
from tasks.metrics import boundaries
from tasks.metrics.resampling import Resampler
from tasks.metrics.score import score


def outline(positions, kind, ignored):
    found = np.zeros(positions.shape, dtype=bool)
    height, width = positions.shape
    for y in range(height):
        for x in range(width):
            if positions[y, x] != kind or ignored[y, x]:
                continue
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < height and 0 <= u < width and not ignored[v, u] and positions[v, u] != kind:
                    found[y, x] = True
    return found


def matched(some, others, radius_px):
    if not others.any():
        return 0
    return int((some & (distance_transform_edt(~others) <= radius_px)).sum())


def brute(truth, predicted, n_classes, radius_px):
    ignored = truth == n_classes
    rows = []
    for kind in range(n_classes):
        true, read = outline(truth, kind, ignored), outline(predicted, kind, ignored)
        rows.append((read.sum(), matched(read, true, radius_px), true.sum(), matched(true, read, radius_px)))
    return np.array(rows).T


def made(seed, height, width, n_classes, noise):
    """A map of blocks, and the same shifted by up to two pixels with noise; both with every oddity that can occur."""
    rng = np.random.default_rng(seed)
    block = int(rng.integers(1, 9))
    coarse = rng.integers(0, n_classes + 1, (height // block + 1, width // block + 1))  # n_classes: ignored, or other
    truth = np.kron(coarse, np.ones((block, block), int))[:height, :width].astype(np.uint8)
    if rng.random() < 0.5:
        truth[truth == n_classes] = 0
    predicted = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    wrong = rng.random(truth.shape) < noise
    predicted[wrong] = rng.integers(0, n_classes + 1, int(wrong.sum()))
    if rng.random() < 0.2:
        predicted[:] = n_classes if rng.random() < 0.5 else 0  # nothing of the data set's classes; one class all over
    if rng.random() < 0.3:
        truth[truth == n_classes - 1] = 0  # a class that truth lacks
    return truth, predicted


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 20),
    st.integers(1, 24),
    st.sampled_from([1, 3, 8, 9, 19]),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.integers(1, 6),
)
def test_counts_equal_the_brute_force(seed, height, width, n_classes, noise, radius_px):
    truth, predicted = made(seed, height, width, n_classes, noise)
    before = truth.copy(), predicted.copy()
    found = boundaries.count(truth, predicted, n_classes, radius_px)
    assert found.tolist() == brute(truth, predicted, n_classes, radius_px).tolist()
    assert (truth == before[0]).all()
    assert (predicted == before[1]).all()


def test_a_shifted_square_matches_within_the_tolerance_alone():
    truth, predicted = np.zeros((2, 40, 40), dtype=np.uint8)
    truth[10:20, 10:20] = 1
    predicted[10:20, 13:23] = 1
    near, far = (boundaries.count(truth, predicted, 2, radius_px) for radius_px in (3, 2))
    assert near[:, 1].tolist() == [36, 36, 36, 36]  # the outline of a square of 10 pixels
    assert far[0, 1] == far[2, 1] == 36
    # Two pixels are bridged along the upper and lower side alone: at 3 pixels' shift 9 of 10 columns, and 2 more rows.
    assert far[1, 1] == far[3, 1] == brute(truth, predicted, 2, 2)[1, 1] < 36


def test_one_pixel_has_a_boundary_and_the_edge_of_the_frame_makes_none():
    truth = np.zeros((5, 5), dtype=np.uint8)
    truth[2, 2] = 1
    assert boundaries.count(truth, truth, 2, 1).tolist() == [[4, 1]] * 4
    assert boundaries.count(np.zeros_like(truth), np.zeros_like(truth), 2, 1).tolist() == [[0, 0]] * 4


def test_what_truth_ignores_makes_no_boundary_and_hides_predictions():
    truth = np.array([[0, 0, 2, 1, 1]], dtype=np.uint8)  # 2: ignored
    predicted = np.array([[0, 1, 0, 1, 1]], dtype=np.uint8)
    assert boundaries.count(truth, predicted, 2, 1).tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(("size", "radius_px"), [((192, 320), 3), ((480, 640), 6), ((3, 3), 1)])
def test_the_tolerance_is_a_share_of_the_diagonal(size, radius_px):
    assert boundaries.tolerance_px(*size) == radius_px
    assert radius_px - 1 < 0.0075 * math.hypot(*size) <= radius_px


@pytest.fixture(scope="module")
def counts():
    """Six frames of three units; class 2 lacks truth, class 3 is never predicted."""
    rng = np.random.default_rng(3)
    found = boundaries.Counts.empty(6, 4)
    for frame in range(6):
        truth, predicted = rng.integers(0, 4, (2, 12, 14)).astype(np.uint8)
        truth[truth == 2] = 0
        predicted[predicted == 3] = 1
        found.put(frame, boundaries.count(truth, predicted, 4, 1))
    return found


def f1(counted):
    """By class; counted (4, n_classes)."""
    read, read_hit, true, true_hit = counted
    scores = []
    for place in range(len(read)):
        if not true[place]:
            scores.append(math.nan)
        elif not read_hit[place]:
            scores.append(0.0)
        else:
            precision, recall = read_hit[place] / read[place], true_hit[place] / true[place]
            scores.append(2 * precision * recall / (precision + recall))
    return np.array(scores)


def stacked(counts):
    return np.stack([counts.predicted, counts.predicted_matched, counts.truth, counts.truth_matched], axis=1)


def test_figures_are_f1_of_the_sums_over_the_frames(counts):
    frames = np.array([True, False, True, True, False, True])
    expected = f1(stacked(counts)[frames].sum(axis=0))
    for kind in range(4):
        found = boundaries.figures(counts, frames, kind=kind)["boundary_f1"]
        assert found == pytest.approx(expected[kind], nan_ok=True)
    assert math.isnan(expected[2])
    assert expected[3] == 0
    assert boundaries.figures(counts, frames)["boundary_f1"] == pytest.approx(np.nanmean(expected))
    assert math.isnan(boundaries.figures(counts, np.zeros(6, dtype=bool))["boundary_f1"])


def test_a_resample_weighs_a_unit_as_often_as_it_is_drawn(counts):
    units = np.array([0, 0, 1, 1, 2, 2])
    weights = np.array([[1, 2, 1], [1, 1, 3], [1, 4, 2]], dtype=np.float32)
    together, by_class = boundaries.resampled(counts, Resampler(units, weights, 0.95, 2))
    for resample in range(3):
        drawn = np.repeat(np.arange(6), weights[units, resample].astype(int))
        expected = f1(stacked(counts)[drawn].sum(axis=0))
        assert together["boundary_f1"][resample] == pytest.approx(np.nanmean(expected), abs=1e-6)
        for kind in (0, 1, 3):
            assert by_class[kind]["boundary_f1"][resample] == pytest.approx(expected[kind], abs=1e-6)
    assert by_class[2] == {}


def test_the_stage_scores_outlines_in_the_classes_of_the_data_set(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[1])
    run = make_run(tmp_path, chosen, n_clips=2, n_frames=2)
    # v1 has classes of its own: two of them are roads, one is none of the data set's.
    run.describe("v1", semantic={0: "sky", 1: "asphalt", 4: "vehicle", 6: "dirt", 9: "moon"})
    run.finish()
    named = {name: name for name in ("sky", "vehicle", "car", "bus", "cyclist", "pedestrian", "red", "green", "amber")}
    mapping = named | {"asphalt": "road", "dirt": "road", "moon": None}
    models = {"v1": chosen.models["v1"].model_copy(update={"class_map": mapping}), "v2": chosen.models["v2"]}
    score(chosen.model_copy(update={"models": models}), run.layout)
    place, own = np.full(256, 4, dtype=np.uint8), np.full(256, 4, dtype=np.uint8)
    place[[0, 1, 4, 6]] = range(4)  # sky, road, vehicle, person
    own[[0, 1, 4, 6]] = (0, 1, 2, 1)
    truth = run.semantic.set_index("frame_id")["label_map"].map(tables.decode_label_map)
    total = np.zeros((4, 4), dtype=int)
    for part in sorted((run.layout.predictions / "v1/clean/0").glob("*.parquet")):
        rows = tables.read("predictions", part)
        for item in rows[rows["label_map"].notna()].itertuples():
            total += brute(place[truth[item.frame_id]], own[tables.decode_label_map(item.label_map)], 4, 1)
    expected = f1(total)
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    rows = scores[(scores["model"] == "v1") & (scores["metric"] == "boundary_f1") & (scores["severity"] == 0)]
    found = rows[rows["slice"] == "all"].set_index("class")["value"]
    assert found[["sky", "road", "vehicle", "person"]].tolist() == pytest.approx(expected.tolist(), abs=1e-9)
    assert expected[3] == 0
    assert found["all"] == pytest.approx(expected.mean(), abs=1e-9)
    assert len(rows) == 5  # of no other slice
