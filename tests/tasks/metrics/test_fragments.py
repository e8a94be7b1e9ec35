"""Merged and split objects against a brute force over dense masks, regions by scipy's own labelling."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from scipy.ndimage import label

from tasks import tables
from tasks.metrics import fragments
from tasks.metrics.instances import Detections, Truth
from tasks.metrics.resampling import Resampler
from tasks.metrics.score import score

N = 4  # classes


def verdicts(true, read):
    """(merged, split) of each true mask, all masks of one frame and class; straight from the definition."""
    found = []
    for place, own in enumerate(true):
        merged = any(
            (own & one).sum() >= own.sum() / 2
            and any((other & one).sum() >= other.sum() / 2 for k, other in enumerate(true) if k != place)
            for one in read
        )
        whole = any((own & one).sum() >= own.sum() / 2 for one in read)
        pieces = [one for one in read if (own & one).sum() >= one.sum() / 2]
        together = np.any([own & one for one in pieces], axis=0).sum() if pieces else 0
        found.append((merged, not whole and len(pieces) > 1 and together >= own.sum() / 2))
    return found


def tallied(by_frame, n_frames):
    """Counts of objects, merged, split from (frame, kind, verdicts)."""
    counts = np.zeros((3, n_frames, N), dtype=int)
    for frame, kind, found in by_frame:
        counts[0, frame, kind] += len(found)
        counts[1, frame, kind] += sum(merged for merged, _ in found)
        counts[2, frame, kind] += sum(split for _, split in found)
    return counts.tolist()


def regions(positions, kind):
    numbers, n_regions = label(positions == kind, structure=np.ones((3, 3)))
    masks = [numbers == number for number in range(1, n_regions + 1)]
    return [mask for mask in masks if mask.sum() >= fragments.LEAST_AREA_PX]


def made(rng, height, width):
    """Blobs over blocks, and a worse copy: shifted, cut by lines, grown or speckled."""
    block = int(rng.integers(2, 9))
    coarse = rng.integers(0, N + 1, (height // block + 1, width // block + 1))  # N: ignored, or another class
    truth = np.kron(coarse, np.ones((block, block), int))[:height, :width].astype(np.uint8)
    predicted = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    if rng.random() < 0.5:
        predicted[:, :: int(rng.integers(3, 7))] = rng.integers(0, N + 1)
    if rng.random() < 0.5:
        predicted[rng.random(truth.shape) < 0.1] = rng.integers(0, N)
    if rng.random() < 0.5:
        truth[truth == N] = 0
    return truth, predicted


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 60, 1 << 18]))
def test_regions_of_label_maps_equal_the_brute_force(seed, most_runs):
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(N)[: rng.integers(1, N + 1)].tolist()
    gathered = fragments.Regions(3, N, kinds)
    expected = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fragments, "MOST_RUNS", most_runs)
        for frame in (2, 0, 1):
            truth, predicted = made(rng, *rng.integers(1, 40, 2))
            gathered.put(frame, truth, predicted, N)
            seen = np.where(truth == N, N, predicted)
            for kind in kinds:
                expected.append((frame, kind, verdicts(regions(truth, kind), regions(seen, kind))))
        counts = gathered.counts()
    assert [part.tolist() for part in counts.parts] == tallied(expected, 3)


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def rectangles(rng, n, size):
    masks = np.zeros((n, *size), dtype=bool)
    for mask in masks:
        y, x = rng.integers(0, 14, 2)
        mask[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] = True
    return masks


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 7), st.integers(0, 12))
def test_instances_equal_the_brute_force(seed, n_true, n_read):
    rng = np.random.default_rng(seed)
    true, read = rectangles(rng, n_true, (20, 20)), rectangles(rng, n_read, (20, 20))
    frame, kind = np.sort(rng.integers(0, 2, n_true)), rng.integers(0, 2, n_true)
    ignored = rng.random(n_true) < 0.2
    crowd = ignored & (rng.random(n_true) < 0.5)
    truth = Truth(frame, kind, np.zeros((n_true, 4)), np.ones(n_true), crowd, ignored, [encoded(m) for m in true])
    at, of, score = rng.integers(0, 2, n_read), rng.integers(0, 2, n_read), rng.integers(1, 10, n_read) / 10
    area = read.sum(axis=(1, 2)).astype(float)
    given_ = Detections(at, of, np.zeros((n_read, 4)), score, area, [encoded(m) for m in read])
    counts = fragments.of_masks(truth, given_, 0.3, 2, N)
    expected = []
    for place in range(2):
        for one in range(2):
            some = true[(frame == place) & (kind == one) & ~ignored]
            others = read[(at == place) & (of == one) & (score >= 0.3)]
            expected.append((place, one, verdicts(list(some), list(others))))
    assert [part.tolist() for part in counts.parts] == tallied(expected, 2)


def bar(start, end):
    mask = np.zeros((10, 40), dtype=bool)
    mask[2:6, start:end] = True
    return mask


@pytest.mark.parametrize(
    ("true", "read", "merged", "split"),
    [
        ([(0, 10), (12, 22)], [(0, 22)], 2, 0),
        ([(0, 10), (12, 22)], [(0, 10), (12, 22)], 0, 0),
        ([(0, 20)], [(0, 8), (11, 20)], 0, 1),
        ([(0, 20)], [(0, 12), (13, 20)], 0, 0),  # found by the first: the second is a duplicate
        ([(0, 20)], [(0, 6), (0, 6)], 0, 0),  # two on the same 6 of 20 columns, which are not half together
        ([(0, 20)], [(0, 4), (6, 10)], 0, 0),  # 8 of 20 columns
        ([(0, 20)], [], 0, 0),
        ([(0, 10), (12, 22)], [(0, 16)], 0, 0),  # 4 of the second's 10 columns
    ],
)
def test_cases_that_the_definition_tells_apart(true, read, merged, split):
    objects = [bar(*span) for span in true]
    given_ = [bar(*span) for span in read]
    nothing = np.zeros(len(true), dtype=np.int64), np.zeros(len(read), dtype=np.int64)
    off = np.zeros(len(true), dtype=bool)
    truth = Truth(
        nothing[0], nothing[0], np.zeros((len(true), 4)), np.ones(len(true)), off, off, [encoded(m) for m in objects]
    )
    area = np.array([mask.sum() for mask in given_], dtype=float)
    score = np.ones(len(read))
    found = Detections(nothing[1], nothing[1], np.zeros((len(read), 4)), score, area, [encoded(m) for m in given_])
    counts = fragments.of_masks(truth, found, 0.5, 1, 1)
    assert [int(part.sum()) for part in counts.parts] == [len(true), merged, split]


class Scene(SimpleNamespace):
    """What `countable` asks of truth: one frame of 10 x 20 pixels, a box of an object or none."""

    __hash__ = object.__hash__

    def positions(self, kind):
        return {3: 0, 5: 1, 9: 2}


@pytest.mark.parametrize(("boxes", "expected"), [([[4.0, 2.0, 12.0, 8.0]], (1,)), ([], (0, 1, 2))])
def test_classes_count_whose_pixels_lie_in_boxes(boxes, expected):
    label_map = np.full((10, 20), 3, dtype=np.uint8)
    label_map[3:8, 5:13] = 5
    objects = SimpleNamespace(frame=np.zeros(len(boxes), dtype=int), boxes=np.array(boxes).reshape(-1, 4))
    pixels = np.array([[(label_map == class_id).sum() for class_id in (3, 5, 9)]])
    scene = Scene(
        objects=objects,
        frame_ids=np.array([7]),
        semantic={0: tables.encode_label_map(label_map)},
        semantic_pixels=pixels,
    )
    assert fragments.countable(scene) == expected


def test_figures_are_shares_of_objects_and_resamples_weigh_units():
    rng = np.random.default_rng(1)
    objects = rng.integers(1, 9, (6, 3))
    objects[:, 2] = 0
    counts = fragments.Counts(objects, rng.integers(0, objects + 1), rng.integers(0, objects + 1))
    units, weights = np.array([0, 0, 1, 1, 2, 2]), np.array([[1, 3], [2, 1], [1, 4]], dtype=np.float32)
    resampler = Resampler(units, weights, 0.95, 2)
    for kind in (None, 0, 1):
        chosen = [0, 1] if kind is None else [kind]
        points, again = fragments.figures(counts, kind=kind), fragments.resampled(counts, resampler)
        for name, part in (("merged", counts.merged), ("split", counts.split)):
            assert points[name] == pytest.approx(part[:, chosen].sum() / objects[:, chosen].sum())
            for resample in range(2):
                drawn = np.repeat(np.arange(6), weights[units, resample].astype(int))
                expected = part[drawn][:, chosen].sum() / objects[drawn][:, chosen].sum()
                place = 0 if kind is None else 1 + kind
                assert again[name][resample, place] == pytest.approx(expected, abs=1e-6)
    assert math.isnan(fragments.figures(counts, kind=2)["split"])
    assert np.isnan(fragments.resampled(counts, resampler)["split"][:, 3]).all()


def test_the_stage_scores_merged_and_split_regions(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[1])
    run = make_run(tmp_path, chosen, n_clips=3, n_frames=3)
    score(chosen, run.layout)
    place = np.full(256, N, dtype=np.uint8)
    place[[0, 1, 4, 6]] = range(N)  # sky and road are in few boxes; vehicle and person are drawn from them
    truth = run.semantic.set_index("frame_id")["label_map"].map(tables.decode_label_map)
    expected = []
    for part in sorted((run.layout.predictions / "v1/fog/1").glob("*.parquet")):
        rows = tables.read("predictions", part)
        for item in rows[rows["label_map"].notna()].itertuples():
            true, read = place[truth[item.frame_id]], place[tables.decode_label_map(item.label_map)]
            read = np.where(true == N, N, read)
            expected += [(0, kind, verdicts(regions(true, kind), regions(read, kind))) for kind in (2, 3)]
    objects, merged, split = np.array(tallied(expected, 1))[:, 0]
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    rows = scores[(scores["model"] == "v1") & (scores["task"] == "semantic") & (scores["corruption"] == "fog")]
    for metric, counted in (("merged", merged), ("split", split)):
        found = rows[rows["metric"] == metric].set_index("class")["value"]
        assert found["all"] == pytest.approx(counted.sum() / objects.sum(), abs=1e-9)
        assert found["vehicle"] == pytest.approx(counted[2] / objects[2], abs=1e-9)
        assert math.isnan(found["sky"])
