"""TIDE's errors against a slow implementation written from their definitions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import detection, errors, matching
from tasks.metrics.instances import Detections, Truth
from tasks.metrics.resampling import Resampler
from tests.tasks.metrics.objects_factory import (
    HIT,
    IGNORED,
    N_CLASSES,
    NONE,
    as_masks,
    listed,
    match,
    one,
    overlap,
    region,
    scene,
    scenes,
)

# The reference: plain loops over dictionaries.


def tell(reports, things):
    """Give every report that matched nothing its kind of error; the missed truth comes back."""
    things = [thing for thing in things if not thing["ignored"]]
    for report in reports:
        if report["kind"] is not NONE:
            continue
        own = [(overlap(report["box"], t["box"]), i) for i, t in enumerate(things) if t["class"] == report["class"]]
        other = [(overlap(report["box"], t["box"]), i) for i, t in enumerate(things) if t["class"] != report["class"]]
        (own_iou, own_at), (other_iou, other_at) = max(own, default=(0, 0)), max(other, default=(0, 0))
        if 0.1 <= own_iou < 0.5:
            report["kind"], report["of"] = "loc", things[own_at]
        elif other_iou >= 0.5:
            report["kind"], report["of"] = "cls", things[other_at]
        elif own_iou >= 0.5:
            assert things[own_at]["by"]["score"] >= report["score"]
            report["kind"] = "dupe"
        else:
            report["kind"] = "both" if other_iou >= 0.1 else "bkg"
    reachable = [report["of"]["id"] for report in reports if report["kind"] in ("cls", "loc")]
    return [thing for thing in things if thing["by"] is None and thing["id"] not in reachable]


def average_precision(points, n_truth):
    """101 points of interpolated precision from (score, frame, right) in order."""
    curve, right = [], 0
    for seen, hit in enumerate(points, 1):
        right += hit
        curve.append((right / n_truth, right / seen))
    total = 0.0
    for level in np.linspace(0, 1, 101):
        total += max((precision for recall, precision in curve if recall >= level), default=0.0)
    return total / 101


def ap50(points, n_truth, classes):
    """By class, of [class, score, frame, place, right] rows and truth counts."""
    found = np.full(N_CLASSES, np.nan)
    for k in classes:
        rows = sorted((row for row in points if row[0] == k), key=lambda row: (-row[1], row[2], row[3]))
        found[k] = average_precision([row[4] for row in rows], n_truth[k]) if n_truth[k] else 0.0
    return found


def reference(truth, found, frames):
    """AP50 by class, its rise by fix and class, and the kind of each report and the missed truth by their positions."""
    things, reports = listed(truth, found, frames)
    missed = []
    for frame in frames:
        match(reports[frame], things[frame])
        missed += tell(reports[frame], things[frame])
    counted = [thing for frame in frames for thing in things[frame] if not thing["ignored"]]
    everything = [report for frame in frames for report in reports[frame]]
    n_truth = [sum(thing["class"] == k for thing in counted) for k in range(N_CLASSES)]
    classes = [k for k in range(N_CLASSES) if n_truth[k]]

    def points(fix):
        best = {}
        rows = []
        places = {}
        for report in sorted(everything, key=lambda r: (r["class"], -r["score"])):
            frame = report["frame"]
            places[frame] = place = places.get(frame, -1) + 1
            entry = [report["class"], report["score"], frame, place, report["kind"] == HIT]
            if report["kind"] == IGNORED:
                continue
            if report["kind"] == HIT or (fix != report["kind"] and fix != "fp"):
                rows.append(entry)
            elif fix in ("cls", "loc") and report["of"]["by"] is None:
                thing = report["of"]
                if thing["id"] not in best or best[thing["id"]][1] < report["score"]:
                    best[thing["id"]] = [thing["class"], *entry[1:4], True]
        return rows + list(best.values())

    plain = ap50(points(None), n_truth, classes)
    rises = {fix: ap50(points(fix), n_truth, classes) - plain for fix in ("cls", "loc", "both", "dupe", "bkg", "fp")}
    left = [n_truth[k] - sum(thing["class"] == k for thing in missed) for k in range(N_CLASSES)]
    rises["miss"] = ap50(points(None), left, classes) - plain
    hits = [sum(r["class"] == k and r["kind"] == HIT for r in everything) for k in range(N_CLASSES)]
    rises["fn"] = ap50(points(None), hits, classes) - plain
    return plain, rises, {r["id"]: r["kind"] for r in everything}, {thing["id"] for thing in missed}


def found_errors(truth, found, *, masks=False):
    return errors.find(matching.candidates(truth, found, N_CLASSES, masks=masks), masks=masks)


def identities(truth, found):
    """The same detections with their position as area, to recognise them after sorting."""
    place = np.arange(len(found), dtype=float)
    return Detections(found.frame, found.kind, found.boxes, found.score, place, found.masks)


@settings(max_examples=300, deadline=None)
@given(scenes)
def test_kinds_and_rises_equal_the_definitions(made):
    truth, found, n_frames = made
    ours = found_errors(truth, identities(truth, found))
    plain, rises, kinds, missed = reference(truth, found, range(n_frames))
    names = (*errors.KINDS, HIT, IGNORED)
    told = {int(i): names[k] for i, k in zip(ours.detections.area_px2, ours.kind, strict=True)}
    assert told == kinds
    assert set(np.flatnonzero(ours.missed)) == missed
    assert detection.figures(ours.fixed).precision[:, 0] == pytest.approx(plain, abs=1e-9, nan_ok=True)
    figures = errors.figures(ours)
    for place, fix in enumerate(errors.FIXES):
        assert figures.rises[:, place] == pytest.approx(rises[fix], abs=1e-9, nan_ok=True), fix
        mean = np.nan if np.isnan(plain).all() else np.nanmean(rises[fix])
        assert figures.metrics()[f"tide_{fix}"] == pytest.approx(mean, abs=1e-9, nan_ok=True)
        for k in range(N_CLASSES):
            assert figures.metrics(k)[f"tide_{fix}"] == pytest.approx(rises[fix][k], abs=1e-9, nan_ok=True)
    assert (np.nan_to_num(figures.rises) > -1e-12).all()


@settings(max_examples=100, deadline=None)
@given(scenes, st.integers(0, 2**32 - 1))
def test_a_slice_equals_the_definitions_on_these_frames_alone(made, seed):
    truth, found, n_frames = made
    frames = np.random.default_rng(seed).random(n_frames) < 0.5
    ours = found_errors(truth, found)
    _, rises, kinds, missed = reference(truth, found, np.flatnonzero(frames))
    figures = errors.figures(ours, frames)
    for place, fix in enumerate(errors.FIXES):
        assert figures.rises[:, place] == pytest.approx(rises[fix], abs=1e-9, nan_ok=True), fix
    assert sum(ours.counts(frames, k)["miss"] for k in range(N_CLASSES)) == ours.counts(frames)["miss"] == len(missed)
    for kind in errors.KINDS[:5]:
        expected = [found.kind[i] for i, told in kinds.items() if told == kind]
        assert ours.counts(frames)[kind] == len(expected)
        assert [ours.counts(frames, k)[kind] for k in range(N_CLASSES)] == [expected.count(k) for k in range(N_CLASSES)]


@pytest.mark.parametrize("seed", range(8))
def test_rectangles_as_masks_give_what_the_boxes_give(seed):
    truth, found = scene(seed, 3, 12, 6, 3, whole=True, digits=6)
    with_masks, seen = as_masks(truth, found)
    by_box, by_mask = found_errors(truth, found), found_errors(with_masks, seen, masks=True)
    assert by_mask.kind.tolist() == by_box.kind.tolist()
    assert errors.figures(by_mask).metrics() == pytest.approx(errors.figures(by_box).metrics(), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("box", "kind", "told"),
    [
        ([0, 0, 80, 50], 0, "loc"),
        ([0, 0, 10, 100], 0, "loc"),  # an IoU of 0.1 exactly
        ([0, 0, 100, 50], 1, "cls"),  # an IoU of 0.5 exactly
        ([0, 0, 80, 50], 1, "both"),
        ([0, 0, 9, 100], 0, "bkg"),
        ([0, 0, 9, 100], 1, "bkg"),
        ([200, 0, 300, 100], 0, "bkg"),
    ],
)
def test_one_detection_of_one_object(box, kind, told):
    ours = found_errors(one([[0, 0, 100, 100]], [0]), one([box], [kind], [0.5]))
    assert errors.KINDS[ours.kind[0]] == told
    figures = errors.figures(ours).metrics()
    expected = dict.fromkeys(errors.METRICS, 0.0)
    if told in ("cls", "loc"):  # nothing else could help: the object is not missed, and dropping finds nothing
        expected[f"tide_{told}"] = 1.0
    assert figures == pytest.approx(expected)
    assert ours.counts() == dict.fromkeys(errors.KINDS, 0) | {told: 1} | {"miss": int(told in ("both", "bkg"))}


def test_dropping_a_duplicate_and_a_false_alarm_gains_what_precision_says():
    truth = one([[0, 0, 10, 10], [50, 0, 60, 10]], [0, 0])
    found = one([[0, 0, 10, 10], [0, 0, 10, 9], [90, 0, 99, 9], [50, 0, 60, 10]], [0, 0, 0, 0], [0.9, 0.8, 0.7, 0.6])
    figures = errors.figures(found_errors(truth, found)).metrics()
    # 51 of the 101 levels at precision 1, the other 50 at 2/4; without either false one at 2/3; without both at 1.
    assert figures["tide_dupe"] == figures["tide_bkg"] == pytest.approx(50 / 101 * (2 / 3 - 1 / 2))
    assert figures["tide_fp"] == pytest.approx(50 / 101 / 2)
    assert figures["tide_miss"] == figures["tide_fn"] == figures["tide_loc"] == 0


def test_missed_truth_stretches_recall():
    truth = one([[0, 0, 10, 10], [50, 0, 60, 10]], [0, 0])
    ours = found_errors(truth, one([[0, 0, 10, 10]], [0], [0.9]))
    assert ours.missed.tolist() == [False, True]
    figures = errors.figures(ours).metrics()
    assert figures["tide_miss"] == figures["tide_fn"] == pytest.approx(50 / 101)


def test_only_the_best_of_several_is_made_right_and_none_where_the_object_is_found():
    box = [0, 0, 100, 100]
    poor = [0, 0, 80, 50]
    twice = found_errors(one([box], [0]), one([poor, poor], [0, 0], [0.9, 0.8]))
    assert errors.figures(twice).metrics()["tide_loc"] == pytest.approx(1.0)
    assert twice.fixed.counted[1 + errors.KINDS.index("loc")].tolist() == [True, False]
    taken = found_errors(one([box], [0]), one([poor, box], [0, 0], [0.9, 0.8]))
    assert taken.fixed.hit[1 + errors.KINDS.index("loc")].tolist() == [False, True]
    assert errors.figures(taken).metrics()["tide_loc"] == pytest.approx(0.5)  # precision 1/2 becomes 1


def test_nothing_detected_and_nothing_there():
    none = one(np.zeros((0, 4)), [])
    nothing = one(np.zeros((0, 4)), [], [])
    some = one([[0, 0, 9, 9]], [1])
    seen = one([[0, 0, 9, 9]], [1], [0.5])
    assert np.isnan(list(errors.figures(found_errors(none, nothing)).metrics().values())).all()
    assert np.isnan(list(errors.figures(found_errors(none, seen)).metrics().values())).all()
    assert found_errors(none, seen).counts()["bkg"] == 1
    blind = found_errors(some, nothing)
    assert blind.counts() == dict.fromkeys(errors.KINDS, 0) | {"miss": 1}
    assert errors.figures(blind).metrics() == dict.fromkeys(errors.METRICS, 0.0)
    assert np.isnan(errors.figures(blind).metrics(0)["tide_miss"])


def test_an_ignored_region_makes_no_error():
    ours = found_errors(region([0, 0, 100, 100]), one([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1], [0.9, 0.8]))
    assert ours.kind.tolist() == [errors.UNCOUNTED, errors.KINDS.index("bkg")]  # of its own class alone
    assert ours.counts() == dict.fromkeys(errors.KINDS, 0) | {"bkg": 1}


def test_a_hundred_detections_of_a_frame_and_class_count():
    found = one(np.tile([0, 0, 10, 10], (130, 1)), np.zeros(130), np.linspace(1, 0.1, 130))
    pairs = matching.candidates(one([[0, 0, 10, 10]], [0]), found, N_CLASSES)
    ours = errors.find(pairs)
    assert ours.detections is pairs.detections
    assert ours.counts()["dupe"] == matching.MAX_DETECTIONS - 1


def test_a_resample_weighs_frames():
    truth, found = scene(5, 4, 30, 20, 3, digits=6)
    whole = np.array([[1, 2, 1], [1, 1, 3], [1, 4, 1], [1, 1, 2]], dtype=np.float32)
    resampler = Resampler(np.arange(4), whole, 0.95, 2)
    ours = errors.resampled(found_errors(truth, found), resampler).metrics()
    for column in range(whole.shape[1]):  # a weight of two is the frame twice
        copies = np.repeat(np.arange(4), whole[:, column].astype(int))
        again = [(np.flatnonzero(truth.frame == frame), np.flatnonzero(found.frame == frame)) for frame in copies]
        n_truth, n_found = [len(t) for t, _ in again], [len(d) for _, d in again]
        t, d = (np.concatenate(rows) for rows in zip(*again, strict=True))
        many = Truth(
            np.repeat(np.arange(len(copies)), n_truth),
            *(getattr(truth, name)[t] for name in ("kind", "boxes", "area_px2", "crowd", "ignored")),
        )
        seen = replace(found.take(d), frame=np.repeat(np.arange(len(copies)), n_found))
        expected = errors.figures(found_errors(many, seen)).metrics()
        for name, value in expected.items():
            assert ours[name][column] == pytest.approx(value, abs=1e-5), name
