"""Oracle runs against TrackEval on data relabelled by an assignment of our own, and against trackers that are known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackeval.metrics import HOTA

from tasks import params, tables
from tasks.metrics import attribution, tracking
from tasks.metrics.resampling import Resampler
from tasks.metrics.score import score
from tasks.metrics.truth import load
from tasks.models.tracking import track
from tests.tasks.metrics.test_tracking import clips, plain, their_sequence

TRACKER = params.Tracker()


def weighted(n_clips, rng):
    """Whole weights, so that a resample is the same as repeated clips."""
    weights = rng.integers(1, 4, (n_clips, 3)).astype(np.float32)
    return Resampler(np.arange(n_clips), weights, confidence=0.95, min_units=2)


def their_hota(sequences):
    metric = HOTA()
    if not any(sequence["num_gt_dets"] for sequence in sequences):
        return math.nan
    results = {str(place): metric.eval_sequence(sequence) for place, sequence in enumerate(sequences)}
    return float(np.mean(metric.combine_sequences(results)["HOTA"]))


def greatest(overlap):
    """The pairs of a one-to-one assignment with the greatest sum, tried row by row over all sets of columns."""
    best = {0: (0.0, ())}
    for row in range(overlap.shape[0]):
        further = dict(best)
        for taken, (total, pairs) in best.items():
            for column in np.flatnonzero(overlap[row] >= 0.05 - 1e-12):
                mask = taken | 1 << int(column)
                reached = total + overlap[row, column]
                if mask != taken and reached > further.get(mask, (-1.0,))[0]:
                    further[mask] = (reached, (*pairs, (row, int(column))))
        best = further
    return max(best.values())[1]


def relabelled(frames):
    """The same frames with each track's id replaced, as TrackEval's dict."""
    fresh = 10_000
    result = []
    for truth, tracks in frames:
        overlap = their_sequence([(truth, tracks)])["similarity_scores"][0]
        ids = np.arange(fresh, fresh + len(tracks.ids))
        fresh += len(ids)
        for row, column in greatest(overlap):
            ids[column] = truth.ids[row]
        result.append((truth, plain(ids, tracks.boxes, tracks.kinds)))
    return their_sequence(result)


@settings(max_examples=60, deadline=None)
@given(clips(), st.integers(0, 2**32 - 1))
def test_oracle_association_equals_trackeval_on_relabelled_data(scene, seed):
    moments = [[tracking.moment(*frame) for frame in frames] for frames in scene]
    resampler = weighted(len(scene), np.random.default_rng(seed))
    given_ids = [moment.track_ids.copy() for clip in moments for moment in clip]
    value, resampled = attribution.hota([attribution.with_true_ids(clip) for clip in moments], resampler)
    assert all((a == m.track_ids).all() for a, m in zip(given_ids, (m for c in moments for m in c), strict=True))
    theirs = [relabelled(frames) for frames in scene]
    assert value == pytest.approx(their_hota(theirs), abs=1e-9, nan_ok=True)
    if resampled is None:
        assert math.isnan(value)
        return
    for weights, again in zip(resampler.weights.T.astype(int), resampled, strict=True):
        copies = [theirs[place] for place, weight in enumerate(weights) for _ in range(weight)]
        assert again == pytest.approx(their_hota(copies), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(clips(), st.integers(0, 2**32 - 1))
def test_shuffled_ids_change_nothing_and_perfect_boxes_leave_nothing_lost(scene, seed):
    rng = np.random.default_rng(seed)
    resampler = weighted(len(scene), rng)
    figures = []
    for shuffle in (False, True):
        moments = []
        for frames in scene:
            moments.append([])
            for truth, tracks in frames:
                ids = rng.permutation(10 * len(tracks.ids))[: len(tracks.ids)] if shuffle else tracks.ids
                moments[-1].append(tracking.moment(truth, plain(ids, tracks.boxes, tracks.kinds)))
        figures.append(attribution.hota([attribution.with_true_ids(clip) for clip in moments], resampler)[0])
    assert figures[0] == pytest.approx(figures[1], abs=1e-12, nan_ok=True)
    perfect = []
    for frames in scene:
        perfect.append(
            [tracking.moment(t, plain(rng.permutation(99)[: len(t.ids)], t.boxes, t.kinds)) for t, _ in frames]
        )
    value, resampled = attribution.hota([attribution.with_true_ids(clip) for clip in perfect], resampler)
    if any(len(truth.ids) for frames in scene for truth, _ in frames):
        assert value == pytest.approx(1, abs=1e-9)
        assert resampled == pytest.approx(1, abs=1e-6)


def test_overlaps_below_every_threshold_are_no_match():
    truth = plain([3], [[0, 0, 10, 10]])
    for width, ids in ((0.4, [-1]), (0.6, [3])):
        box = plain([7], [[0, 0, width, 10]])
        (moment,) = attribution.with_true_ids([tracking.moment(truth, box)])
        assert moment.track_ids.tolist() == ids


@pytest.fixture(scope="module")
def scene(tmp_path_factory, make_run, make_params):
    """Truth with ignored objects, a crowd, an object without a track, and frames whose ids run against time."""
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[1], metrics={"min_units": 2, "resamples": 100})
    run = make_run(tmp_path_factory.mktemp("oracle"), chosen, n_clips=5, n_frames=8)
    run.frames.loc[run.frames["clip_id"] == "clip001", "frame_index"] = range(8)[::-1]
    run.objects["track_id"] = run.objects["track_id"].astype("Int64")
    run.objects.loc[run.objects.index % 29 == 3, "track_id"] = None
    run.objects.loc[run.objects.index % 31 == 5, ["crowd", "ignore"]] = True
    run.write_tables()
    return run, chosen, load(chosen, run.layout.tables)


def by_frame(run):
    """For each clip, in time: its frames' counted objects."""
    objects = run.objects[~run.objects["ignore"] & ~run.objects["crowd"] & run.objects["track_id"].notna()]
    return [
        [objects[objects["frame_id"] == frame] for frame in clip.sort_values("frame_index")["frame_id"]]
        for _, clip in run.frames.groupby("clip_id")
    ]


BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]


def true_sequence(clip, ids):
    """TrackEval's dict of true boxes against themselves under other ids; None holds no track."""
    frames = []
    for rows, own in zip(clip, ids, strict=True):
        held = [place for place, one in enumerate(own) if one is not None]
        truth = plain(rows["track_id"].to_numpy(np.int64), rows[BOX].to_numpy(float))
        frames.append((truth, plain([own[place] for place in held], rows[BOX].to_numpy(float)[held])))
    return their_sequence(frames)


def test_oracle_detection_gives_the_tracker_what_counts_and_scores_its_ids(scene):
    run, _, truth = scene
    expected = by_frame(run)
    rng = np.random.default_rng(4)
    answers = [
        [[None if rng.random() < 0.2 else int(i) for i in rng.permutation(50)[: len(rows)]] for rows in clip]
        for clip in expected
    ]

    def known(given, *, tracker):
        assert tracker is TRACKER
        for clip, frames in zip(expected, given, strict=True):
            for rows, (boxes, scores, _) in zip(clip, frames, strict=True):
                assert boxes.dtype == scores.dtype == np.float32
                assert (boxes == rows[BOX].to_numpy(np.float32)).all()
                assert (scores == 1).all()
        return [[pd.array(ids, dtype="Int64") for ids in clip] for clip in answers]

    resampler = weighted(5, rng)
    value, _ = attribution.hota(attribution.on_true_boxes(truth, known, TRACKER), resampler)
    theirs = [true_sequence(clip, ids) for clip, ids in zip(expected, answers, strict=True)]
    assert value == pytest.approx(their_hota(theirs), abs=1e-9)


def test_a_perfect_tracker_loses_nothing_and_one_that_holds_nothing_loses_all(scene):
    run, _, truth = scene
    expected = by_frame(run)
    resampler = weighted(5, np.random.default_rng(1))

    def perfect(given, *, tracker):
        return [[pd.array(rows["track_id"].to_numpy(), dtype="Int64") for rows in clip] for clip in expected]

    def idle(given, *, tracker):
        return [[pd.array([None] * len(boxes), dtype="Int64") for boxes, *_ in frames] for frames in given]

    assert attribution.hota(attribution.on_true_boxes(truth, perfect, TRACKER), resampler)[0] == pytest.approx(1)
    assert attribution.hota(attribution.on_true_boxes(truth, idle, TRACKER), resampler)[0] == 0


def test_scores_carry_both_of_every_cell_with_intervals(scene):
    run, chosen, _ = scene
    models = {"v1": chosen.models["v1"], "v2": chosen.models["v2"].model_copy(update={"tracker": None})}
    chosen = chosen.model_copy(update={"models": models})
    run.described["v1"]["tasks"] = ["detection"]
    run.described["v2"]["tasks"] = ["detection", "tracking"]  # its tracks were recorded, its tracker is not known
    run.finish()
    runs = []

    def counted(given, *, tracker):
        runs.append(tracker)
        return track(given, tracker=tracker)

    score(chosen, run.layout, track=counted)
    assert runs == [chosen.models["v1"].tracker]
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    scores = scores[scores["metric"].str.startswith("hota_oracle")]
    assert set(zip(scores["slice"], scores["class"], strict=True)) == {("all", "all")}
    rows = scores.set_index(["model", "metric", "corruption"]).sort_index()
    assert len(rows) == len(rows.index.unique()) == 8
    expected = by_frame(run)
    ids = [
        track([[(r[BOX].to_numpy(np.float32), np.ones(len(r), np.float32), None) for r in clip]], tracker=TRACKER)[0]
        for clip in expected
    ]
    ids = [[[None if pd.isna(i) else int(i) for i in frame] for frame in clip] for clip in ids]
    value = their_hota([true_sequence(clip, own) for clip, own in zip(expected, ids, strict=True)])
    assert 0.3 < value < 1
    detection = rows.xs(("v1", "hota_oracle_detection"))
    assert detection["value"].tolist() == pytest.approx([value] * 2, abs=1e-9)
    assert (detection["low"] < detection["value"]).all()
    assert (detection["value"] < detection["high"]).all()
    assert set(rows.xs(("v2", "hota_oracle_detection"))["status"]) == {"not_defined"}
    association = rows.xs("hota_oracle_association", level="metric")
    assert set(association["status"]) == {"ok"}
    assert (association["low"] < association["high"]).all()
    assert association["value"].between(0.1, 0.99).all()

    score(chosen, run.layout)
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    assert set(scores["metric"][scores["metric"].str.startswith("hota_oracle")]) == {"hota_oracle_association"}
