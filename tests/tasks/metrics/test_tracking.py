"""HOTA, CLEAR and Identity against TrackEval called directly, with its own overlaps and its own relabelling rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackeval.datasets._base_dataset import _BaseDataset
from trackeval.metrics import CLEAR, HOTA, Identity

from tasks.metrics import METRICS, tracking
from tasks.metrics.hota import fast_hota

QUIET = {"PRINT_CONFIG": False}


def boxes_at(rng, n):
    corner = rng.uniform(0, 60, (n, 2))
    return np.hstack([corner, corner + rng.uniform(5, 40, (n, 2))])


def plain(ids, boxes, kinds=None):
    n = len(ids)
    none = np.zeros(n, dtype=bool)
    kinds = np.zeros(n, dtype=np.int64) if kinds is None else kinds
    return tracking.Boxes(np.asarray(ids, dtype=np.int64), kinds, np.asarray(boxes).reshape(-1, 4), none, none)


@st.composite
def clips(draw):
    """Clips as (truth, tracks) by frame: objects that drift, tracks that follow, swap, vanish and invent."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    result = []
    for _ in range(draw(st.integers(1, 4))):
        n_frames = draw(st.integers(1, 10))
        n_truth, n_far = draw(st.integers(0, 5)), draw(st.integers(0, 3))
        empty = draw(st.sampled_from(["neither", "neither", "neither", "truth", "tracks"]))
        position = boxes_at(rng, n_truth)
        kinds = rng.integers(0, 2, n_truth)
        names = rng.permutation(50)[: n_truth + n_far]  # arbitrary ids, the same ones again in the next clip
        frames = []
        for _ in range(n_frames):
            position = position + rng.normal(0, 2, position.shape)
            position[:, 2:] = np.maximum(position[:, 2:], position[:, :2] + 1)
            seen = np.flatnonzero(rng.random(n_truth) < 0.85)
            followed = np.flatnonzero(rng.random(n_truth) < 0.8)
            if rng.random() < 0.2:
                names[:n_truth] = rng.permutation(names[:n_truth])
            drawn = position[followed] + rng.normal(0, 2, (len(followed), 4))
            drawn[:, 2:] = np.maximum(drawn[:, 2:], drawn[:, :2] + 1)
            others = np.flatnonzero(rng.random(n_far) < 0.5)
            tracks = plain(
                np.concatenate([names[:n_truth][followed], names[n_truth:][others]]),
                np.vstack([drawn, boxes_at(rng, len(others))]),
                np.concatenate([kinds[followed], rng.integers(0, 2, len(others))]),
            )
            truth = plain(100 + seen, position[seen], kinds[seen])
            nothing = plain([], np.zeros((0, 4)))
            frames.append((nothing if empty == "truth" else truth, nothing if empty == "tracks" else tracks))
        result.append(frames)
    return result


def their_sequence(frames, kind=None):
    """The dict that TrackEval's datasets hand to its metrics, made by its own overlap and relabelling rules."""
    ids = {"gt": {}, "tracker": {}}
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for truth, tracks in frames:
        kept = []
        for side, boxes in (("gt", truth), ("tracker", tracks)):
            chosen = np.ones(len(boxes.ids), dtype=bool) if kind is None else boxes.kinds == kind
            kept.append(boxes.boxes[chosen])
            names = ids[side]
            found = [names.setdefault(int(i), len(names)) for i in boxes.ids[chosen]]
            data[f"{side}_ids"].append(np.array(found, dtype=int))
        data["similarity_scores"].append(_BaseDataset._calculate_box_ious(*kept, box_format="x0y0x1y1"))
    data |= {f"num_{side}_ids": len(ids[side]) for side in ids}
    data |= {f"num_{side}_dets": sum(len(i) for i in data[f"{side}_ids"]) for side in ids}
    return data | {"num_timesteps": len(frames)}


def their_figures(sequences):
    hota, clear, identity = (
        metric.combine_sequences({str(i): metric.eval_sequence(s) for i, s in enumerate(sequences)})
        for metric in (HOTA(), CLEAR(QUIET), Identity(QUIET))
    )
    if sum(s["num_gt_dets"] for s in sequences) == 0:
        return dict.fromkeys(METRICS["tracking"], np.nan)
    return {
        "hota": np.mean(hota["HOTA"]),
        "deta": np.mean(hota["DetA"]),
        "assa": np.mean(hota["AssA"]),
        "loca": np.mean(hota["LocA"]) if hota["HOTA_TP"].sum() else np.nan,
        "mota": clear["MOTA"],
        "motp": clear["MOTP"] if clear["CLR_TP"] else np.nan,
        "idf1": identity["IDF1"],
        "id_switches": clear["IDSW"],
        "fragmentations": clear["Frag"],
    }


@settings(max_examples=80, deadline=None)
@given(clips())
def test_figures_equal_trackeval_alone_and_combined_by_class_and_for_all(scene):
    evaluator = tracking.Evaluator()
    moments = [[tracking.moment(*frame) for frame in frames] for frames in scene]
    for kind in (None, 0, 1):
        chosen = moments if kind is None else [[m.of(kind) for m in clip] for clip in moments]
        results = {str(i): evaluator.clip(clip) for i, clip in enumerate(chosen)}
        theirs = [their_sequence(frames, kind) for frames in scene]
        assert evaluator.figures(results) == pytest.approx(their_figures(theirs), abs=1e-9, nan_ok=True)
        for name, found in results.items():
            alone = their_figures([theirs[int(name)]])
            assert evaluator.figures({name: found}) == pytest.approx(alone, abs=1e-9, nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(clips())
def test_every_field_of_hota_equals_trackeval(scene):
    for frames in scene:
        data = their_sequence(frames)
        theirs, found = HOTA().eval_sequence(data), fast_hota().eval_sequence(data)
        assert found.keys() == theirs.keys()
        for field, value in theirs.items():
            assert found[field] == pytest.approx(value, abs=1e-9), field


@settings(max_examples=80, deadline=None)
@given(clips())
def test_events_sum_to_what_clear_counts(scene):
    for frames in scene:
        moments = [tracking.moment(*frame) for frame in frames]
        clear = CLEAR(QUIET).eval_sequence(their_sequence(frames))
        found = tracking.events(moments)
        assert sum(len(event.matched) for event in found) == clear["CLR_TP"]
        assert sum(len(event.switched) for event in found) == clear["IDSW"]


def test_boxes_on_ignored_regions_are_neither_right_nor_wrong():
    boxes = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 150, 150]])
    truth = tracking.Boxes(
        ids=np.array([1, 2, 3]),
        kinds=np.zeros(3, dtype=np.int64),
        boxes=boxes,
        crowd=np.array([False, False, True]),
        ignored=np.array([False, True, True]),
    )
    tracks = plain([5, 6, 7, 8], [boxes[0], boxes[1], [60, 60, 70, 70], [200, 200, 210, 210]])
    kept = tracking.moment(truth, tracks)
    assert kept.truth_ids.tolist() == [1]
    assert kept.track_ids.tolist() == [5, 8]  # on the object that counts, and on nothing at all


def test_no_clip_at_all_is_not_a_number():
    assert np.isnan(list(tracking.Evaluator().figures({}).values())).all()
