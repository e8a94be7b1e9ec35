"""Real-time HOTA against TrackEval on sequences put together here, and what it rests on."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from trackeval.metrics import HOTA

from flows.realtime import replay
from tasks import gates, tables
from tasks.inference.rows import with_tracks
from tasks.metrics import REALTIME, realtime_compared
from tasks.metrics import realtime as stage
from tasks.metrics.arrivals import timetable
from tasks.metrics.replay import Job, run
from tasks.metrics.requests import requests
from tasks.metrics.resampling import q_values, unit_weights
from tasks.metrics.score import score
from tasks.models.tracking import track
from tasks.params import Realtime
from tests import latency_factory
from tests.tasks.metrics.test_score import predictions
from tests.tasks.metrics.test_tracking import plain, their_sequence

PERIOD_MS = 100
BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
DROPPED = 9  # a class of the model that counts for nothing, but that its tracker sees
SHOWN = {110: [-1, 0, 0, 2, 2, 4, 4, 6], 250: [-1, -1, 0, 0, 0, 3, 3, 3]}  # ms a frame: whose output counts at each


def chosen(make_params, wanted=None, **changes):
    model = {"adapter": "small", "weights": "x.safetensors", "tracker": {"name": "bytetrack"}}
    model["class_map"] = {"car": "car", "bus": "bus", "cyclist": "cyclist", "pedestrian": None}
    given = {"models": {"v1": model, "v2": model}}
    given["slices"] = {"attributes": ["camera", "time_of_day"], "query": {"start": "frame_index < 2"}}
    given |= {"corruptions": {"weather": ["fog"], "blur": ["defocus_blur"]}, "severities": [2, 3]}
    return make_params(realtime=wanted or {}, **{**given, **changes})


@pytest.fixture(scope="module")
def scored(tmp_path_factory, make_run, make_params):
    """A scored run whose track ids are ByteTrack's."""
    params = chosen(make_params)
    made = make_run(tmp_path_factory.mktemp("run"), params, n_frames=8)
    made.frames["timestamp_s"] = made.frames["frame_index"] * PERIOD_MS / 1e3
    made.objects["ignore"] = False
    made.write_tables()
    for part in made.layout.predictions.rglob("shard-*.parquet"):
        own = tables.read("predictions", part)
        frames = made.frames[made.frames["frame_id"].isin(own["frame_id"])]
        tables.write("predictions", with_tracks(own, frames, params.models["v1"].tracker), part)
    wave = {"amplitude_px": 4.0, "period_px": 30.0, "phase_rad": 0.5}
    cell = {"corruption": "defocus_blur", "family": "blur", "severity": 2}
    moved = [{**cell, "frame_id": frame_id, **wave} for frame_id in made.frames["frame_id"]]
    tables.write("displacement", pd.DataFrame(moved), made.layout.predictions / "displacement.parquet")
    score(params, made.layout)
    tables.write("latency", latency_factory.table(["v1", "v2"], cells=CELLS), made.layout.latency / "latency.parquet")
    return made


CELLS = (("clean", "clean", 0), ("fog", "weather", 3))


def measured(made, params):
    stage.measure(params, made.layout, replay=partial(replay, params, made.layout))
    return tables.read("scores", made.layout.realtime / stage.FILE)


def difference(table, corruption, severity, slice_="all", metric="hota_realtime"):
    """The row of v2 minus v1."""
    own = (table["baseline"] == "v1") & (table["corruption"] == corruption) & (table["slice"] == slice_)
    own &= (table["family"] == "all") & table["severity"].isna() if severity is None else table["severity"] == severity
    (row,) = table[own & (table["metric"] == metric)].to_dict("records")
    return row


def one(table, metric, model="v2", corruption="fog", slice_="all", severity=3):
    own = (table["model"] == model) & (table["corruption"] == corruption) & (table["slice"] == slice_)
    own &= table["severity"] == (0 if corruption == "clean" else severity)
    (row,) = table[own & (table["metric"] == metric) & table["baseline"].isna() & (table["class"] == "all")].to_dict(
        "records"
    )
    return row


def test_a_tracker_that_runs_again_over_all_frames_gives_what_was_scored(scored, make_params):
    params = chosen(make_params)
    frames = scored.frames.sort_values(["clip_id", "frame_index"]).reset_index(drop=True)
    there = timetable(frames, 0.0, Realtime())
    jobs = [Job(request, params.models["v1"].tracker, there) for request in requests(params, scored.layout)]
    scores = tables.read("scores", scored.layout.scores / "scores.parquet")
    slices = [name for name in scores["slice"].unique() if "=" in name or name == "all"]
    assert len(slices) == 1 + 3 + 2
    for job, found in zip(
        jobs, run(params, scored.layout, frames, jobs, partial(replay, params, scored.layout), 1), strict=True
    ):
        for slice_ in slices:
            for metric, live in REALTIME.items():
                row = one(scores, metric, job.request.model, job.request.corruption, slice_, job.request.severity)
                figure = found[slice_, live]
                assert (round(figure.value, 12), figure.status) == (row["value"], row["status"])
                assert np.array_equal(
                    np.round([figure.low, figure.high], 12), [row["low"], row["high"]], equal_nan=True
                )
            assert found[slice_, "frames_processed"].value == 1


def by_clip(made, model, corruption, severity, shown, clips, tracker):
    """What TrackEval makes of each clip, of the tracker's output on the frames that somebody shows."""
    rows = predictions(made, model, corruption, severity)
    rows = rows[rows["class_id"].notna()]
    results = {}
    taken = sorted(set(shown) - {-1})
    taken = list(range(0, len(shown), taken[1]))  # the last ones may be finished too late to be shown
    for clip in clips:
        frames = made.frames[made.frames["clip_id"] == clip].sort_values("frame_index")["frame_id"].tolist()
        given = [rows[rows["frame_id"] == frames[at]].reset_index(drop=True) for at in taken]
        detections = [
            (own[BOX].to_numpy(np.float32), own["score"].to_numpy(np.float32), own["class_id"].to_numpy(np.int64))
            for own in given
        ]
        (ids,) = track([detections], tracker=tracker)
        outputs = {}
        for at, own, found in zip(taken, given, ids, strict=True):
            kept = ~found.isna() & (own["class_id"] != DROPPED).to_numpy(bool)
            outputs[at] = plain(found[kept].to_numpy(np.int64), own[BOX].to_numpy(float)[kept])
        sequence = []
        for at, frame in enumerate(frames):
            true = made.objects[made.objects["frame_id"] == frame]
            truth = plain(true["track_id"].to_numpy(), true[BOX].to_numpy(float))
            sequence.append((truth, outputs[shown[at]] if shown[at] >= 0 else plain([], np.zeros((0, 4)))))
        results[clip] = HOTA().eval_sequence(their_sequence(sequence))
    return results


def expected(*where):
    """HOTA, DetA and AssA of the clips together, by TrackEval."""
    whole = HOTA().combine_sequences(by_clip(*where))
    return [float(np.mean(whole[name])) for name in ("HOTA", "DetA", "AssA")]


def drawn(results, resamples):
    """HOTA in every resample from what TrackEval makes of each clip: sums of its counts, weighted by clip."""
    weights = unit_weights(list(results), resamples).astype(float)

    def total(name, *times):
        by_clip = np.array([np.prod([own[key] for key in (name, *times)], axis=0) for own in results.values()])
        return weights.T @ by_clip

    found, lost, false = (total(f"HOTA_{name}") for name in ("TP", "FN", "FP"))
    association = total("AssA", "HOTA_TP") / np.maximum(found, 1e-10)
    return np.sqrt(found / np.maximum(found + lost + false, 1e-10) * association).mean(axis=1)


@pytest.mark.parametrize("ms", SHOWN)
def test_skipped_frames_show_the_last_output_and_equal_trackeval(scored, make_params, ms):
    params = chosen(make_params, {"latency_ms": {"v2": ms, "v1": 0}})
    table = measured(scored, params)
    clips = scored.frames["clip_id"].unique()
    north = scored.frames[scored.frames["camera"] == "north"]["clip_id"].unique()
    for corruption, severity in (("clean", 0), ("fog", 3)):
        for slice_, some in (("all", clips), ("camera=north", north)):
            found = [one(table, metric, "v2", corruption, slice_)["value"] for metric in REALTIME.values()]
            tracker = params.models["v2"].tracker
            assert found == pytest.approx(
                expected(scored, "v2", corruption, severity, SHOWN[ms], some, tracker), abs=1e-9
            )
            share = one(table, "frames_processed", "v2", corruption, slice_)["value"]
            assert share == {110: 4 / 8, 250: 3 / 8}[ms]
    scores = tables.read("scores", scored.layout.scores / "scores.parquet")
    whole, kept = one(scores, "hota", "v1"), one(table, "hota_realtime", "v1")
    assert [kept[name] for name in ("value", "low", "high", "n_units")] == [
        whole[name] for name in ("value", "low", "high", "n_units")
    ]
    assert one(table, "hota_realtime")["value"] < one(scores, "hota", "v2")["value"]
    assert one(table, "hota_realtime", "v2", "clean", "query:start")["status"] == "not_defined"


def test_differences_to_the_baseline_are_paired_and_equal_trackeval_in_each_resample(scored, make_params):
    params = chosen(make_params, {"latency_ms": {"v1": 110, "v2": 250}})
    table = measured(scored, params)
    for slice_, clips in (
        ("all", scored.frames["clip_id"].unique()),
        ("camera=north", scored.frames[scored.frames["camera"] == "north"]["clip_id"].unique()),
    ):
        for corruption, severity in (("clean", 0), ("fog", 3)):
            results = [
                by_clip(scored, model, corruption, severity, SHOWN[ms], clips, params.models[model].tracker)
                for model, ms in (("v1", 110), ("v2", 250))
            ]
            base, own = (drawn(found, params.metrics.resamples) for found in results)
            row = difference(table, corruption, severity, slice_)
            ours, theirs = (one(table, "hota_realtime", model, corruption, slice_)["value"] for model in ("v2", "v1"))
            assert row["value"] == pytest.approx(ours - theirs, abs=1e-9)
            if slice_ != "all":  # of two clips
                assert (row["status"], np.isnan(row["low"])) == ("insufficient", True)
                continue
            middle = np.median(own - base)
            ends = np.quantile(own - base, [0.025, 0.975]) - middle
            reach = (np.array([row["low"], row["high"]]) - middle) / ends
            assert reach[0] == pytest.approx(
                reach[1], rel=1e-3
            )  # both ends are moved out by one factor: that of `hota`
            plain = one(table, "hota_realtime", "v2", corruption, slice_)
            single = np.quantile(own, [0.025, 0.975]) - np.median(own)
            assert reach[0] == pytest.approx((plain["low"] - np.median(own)) / single[0], rel=1e-3)
            assert (row["p_value"] < 0.05) == (row["low"] > 0 or row["high"] < 0)


def walls(made, model, corruption):
    facts = tables.read("latency", made.layout.latency / "latency.parquet")
    own = (facts["model"] == model) & (facts["corruption"] == corruption) & (facts["fact"] == "wall_ms")
    return np.sort(facts[own]["value"])


def test_latency_is_that_of_the_cell_or_of_clean_frames_by_the_percentile_asked_for(scored, make_params):
    table = measured(scored, chosen(make_params))
    assert one(table, "realtime_latency_ms", "v1", "clean")["value"] == walls(scored, "v1", "clean")[49]
    assert one(table, "realtime_latency_ms", "v1", "fog")["value"] == walls(scored, "v1", "fog")[49]
    assert one(table, "realtime_frames_per_s")["value"] == pytest.approx(10)
    late = measured(scored, chosen(make_params, {"percentile": 95}))
    assert one(late, "realtime_latency_ms", "v2", "clean")["value"] == walls(scored, "v2", "clean")[94]
    # 12 ms a frame: at 100 frames/s every second frame, at 50 each.
    fast = measured(scored, chosen(make_params, {"frames_per_s": 100}))
    assert one(fast, "frames_processed")["value"] == 0.5
    assert one(measured(scored, chosen(make_params, {"frames_per_s": 50})), "frames_processed")["value"] == 1
    facts = tables.read("latency", scored.layout.latency / "latency.parquet")
    fog = requests(chosen(make_params), scored.layout)[1]
    found = stage.latency_ms(Realtime(), facts[facts["corruption"] == "clean"], fog, confidence=0.95)
    assert found == (walls(scored, "v1", "clean")[49], None)


def reason(table):
    own = table[(table["model"] == "v2") & (table["corruption"] == "fog") & (table["severity"].fillna(3) == 3)]
    (difference,) = own[own["baseline"].notna() & own["severity"].notna()].to_dict("records")
    own = own[own["baseline"].isna() & own["severity"].notna()]
    (row,) = own[own["metric"] == "hota_realtime"].to_dict("records")
    assert (difference["status"], difference["note"]) == (row["status"], row["note"])
    assert np.isnan(difference["value"])
    assert (row["metric"], row["status"]) == ("hota_realtime", "not_defined")
    assert np.isnan(row["value"])
    return row["note"]


def test_a_cell_without_figures_says_why(scored, make_params, tmp_path):
    model = {"adapter": "small", "weights": "x.safetensors", "tracker": {"name": "botsort"}}
    pixels = chosen(make_params, {"latency_ms": 250}, models={"v1": model, "v2": model})
    assert "x.mp4" in reason(measured(scored, pixels)), "its frames are read again, and there are none"
    keeps_up = chosen(make_params, {"latency_ms": 50}, models={"v1": model, "v2": model})
    assert one(measured(scored, keeps_up), "hota_realtime")["status"] == "ok"
    recorded = {"adapter": "recorded", "weights": "x.json"}
    ids = chosen(make_params, {"latency_ms": 250}, models={"v1": recorded, "v2": recorded})
    assert "recorded tracks" in reason(measured(scored, ids))
    bare = scored.frames.drop(columns="timestamp_s")
    try:
        tables.write("frames", bare, scored.layout.tables / "frames.parquet")
        assert "realtime.frames_per_s in params would state a rate" in reason(measured(scored, chosen(make_params)))
        stated = measured(scored, chosen(make_params, {"frames_per_s": 10, "latency_ms": 250}))
        assert one(stated, "frames_processed")["value"] == 3 / 8
    finally:
        tables.write("frames", scored.frames, scored.layout.tables / "frames.parquet")
    facts = scored.layout.latency / "latency.parquet"
    kept = facts.rename(tmp_path / "kept")
    try:
        assert "latency was not measured" in reason(measured(scored, chosen(make_params)))
    finally:
        kept.rename(facts)
    nothing = chosen(make_params).model_copy(update={"realtime": None})
    assert measured(scored, nothing).empty


def test_where_models_keep_up_means_and_differences_are_those_of_the_scores(scored, make_params):
    """Whether what was scored is taken over or the trackers run again over every frame."""
    params = chosen(make_params, {"latency_ms": 0})
    table = measured(scored, params)
    scores = tables.read("scores", scored.layout.scores / "scores.parquet")
    frames = scored.frames.sort_values(["clip_id", "frame_index"]).reset_index(drop=True)
    asked = requests(params, scored.layout)
    jobs = [Job(request, params.models["v1"].tracker, timetable(frames, 0.0, Realtime())) for request in asked]
    reached = dict(
        zip(asked, run(params, scored.layout, frames, jobs, partial(replay, params, scored.layout), 1), strict=True)
    )
    again = realtime_compared.rows(params, scored.layout, scores, reached)
    columns = [name for name in scores.columns if name not in ("metric", "q_value")]
    seen = firm = 0
    for metric, live in realtime_compared.NAMES.items():
        known = (scores["metric"] == metric) & (scores["task"] == "tracking") & (scores["class"] == "all")
        known &= scores["baseline"].notna() | scores["severity"].isna()
        before = scores[known & (scores["value"].notna() | (scores["slice"] == "all"))]
        for found in (table, again):
            own = found[(found["metric"] == live) & (found["baseline"].notna() | found["severity"].isna())]
            pd.testing.assert_frame_equal(
                own[columns].reset_index(drop=True), before[columns].reset_index(drop=True), check_dtype=False
            )
            families = own[own["baseline"].notna() & (own["slice"] != "all")].groupby(
                ["corruption", "family", own["severity"].fillna(-1)]
            )
            for _, family in families:
                np.testing.assert_allclose(family["q_value"], q_values(family["p_value"]), atol=1e-10)
            firm += int(own["q_value"].notna().sum())
        seen += len(before)
    assert seen > 20
    assert firm > 20


def test_means_are_over_cells_of_every_kind(scored, make_params):
    """Of one model's cells some are as scored and in others the tracker ran again; what has no figure is told."""
    params = chosen(make_params)
    frames = scored.frames.sort_values(["clip_id", "frame_index"]).reset_index(drop=True)
    scores = tables.read("scores", scored.layout.scores / "scores.parquet")
    asked = requests(params, scored.layout)
    late = [request for request in asked if request.model == "v2" and request.severity == 3]
    jobs = [Job(request, params.models["v2"].tracker, timetable(frames, 0.25, Realtime())) for request in late]
    ran = run(params, scored.layout, frames, jobs, partial(replay, params, scored.layout), 1)
    reached = dict.fromkeys(asked) | dict(zip(late, ran, strict=True))
    table = realtime_compared.rows(params, scored.layout, scores, reached)
    for slice_ in ("all", "time_of_day=day"):
        own = {
            (request.corruption, request.severity): reached[request][slice_, "hota_realtime"].value
            if request in late
            else one(scores, "hota", "v2", request.corruption, slice_, request.severity)["value"]
            for request in asked
            if request.model == "v2"
        }
        means = {name: (own[name, 2] + own[name, 3]) / 2 for name in ("fog", "defocus_blur")}
        rows = table[(table["model"] == "v2") & (table["slice"] == slice_) & (table["metric"] == "mpc_realtime")]
        rows = rows[rows["baseline"].isna()].set_index(["corruption", "family"])
        assert rows["value"]["fog", "weather"] == pytest.approx(means["fog"], abs=1e-9)
        assert rows["value"]["all", "all"] == pytest.approx(sum(means.values()) / 2, abs=1e-9)
        assert (rows["low"] < rows["value"]).all()
        base = one(scores, "hota", "v1", "fog", slice_)["value"]
        assert difference(table, "fog", 3, slice_)["value"] == pytest.approx(own["fog", 3] - base, abs=1e-9)
        assert difference(table, "fog", 3, slice_)["low"] < difference(table, "fog", 3, slice_)["high"]
    reached[late[0]] = "nobody knows"
    table = realtime_compared.rows(params, scored.layout, scores, reached)
    lost = table[(table["model"] == "v2") & (table["metric"] == "mpc_realtime") & table["value"].isna()]
    assert set(lost["note"]) == {"nobody knows"}
    assert set(lost["slice"]) == {"all"}
    rule = [{"metric": "hota_realtime", "against": "baseline", "max_drop": 1.0}]
    model = {"adapter": "small", "weights": "x.safetensors", "tracker": {"name": "bytetrack", "smooth": 0.5}}
    params = chosen(make_params, {"latency_ms": 250}, models={"v1": model, "v2": model}, gates=rule)
    (line,) = gates.evaluate(params, scores, realtime=measured(scored, params)).to_dict("records")
    assert "stored smoothed" in line["reason"]
    assert one(measured(scored, params), "frames_processed")["value"] == 3 / 8


def test_rules_on_it_look_at_the_table_apart(scored, make_params):
    rules = [
        {"metric": "hota_realtime", "corruption": "fog", "severity": 3, "min": 0.01, "on_uncertain": "pass"},
        {"metric": "frames_processed", "severity": 0, "min": 0.9},
        {"metric": "hota_realtime", "severity": 0, "against": "baseline", "max_drop": 1.0},
        {"metric": "hota_realtime", "against": "baseline", "max_drop": 1.0},
    ]
    params = chosen(make_params, {"latency_ms": {"v2": 250}}, gates=rules)
    table = measured(scored, params)
    scores = tables.read("scores", scored.layout.scores / "scores.parquet")
    found = gates.evaluate(params, scores, realtime=table)
    assert found["status"].tolist() == ["pass", "fail", "pass", "pass"]
    for line, row in zip(
        found.to_dict("records")[2:],
        (difference(table, "clean", 0), difference(table, "all", None, metric="mpc_realtime")),
        strict=True,
    ):
        ends = [-row[name] for name in ("value", "high", "low")]
        assert [line[name] for name in ("observed", "low", "high")] == pytest.approx(ends, abs=1e-9)
        assert line["low"] < line["high"]
    assert found["observed"].tolist()[:2] == [one(table, "hota_realtime")["value"], 3 / 8]
    assert set(gates.evaluate(params, scores)["status"]) == {"not_run"}


@pytest.mark.slow
def test_workers_change_nothing(scored, make_params):
    params = chosen(make_params, {"latency_ms": 250})
    alone = measured(scored, params)
    stage.measure(params, scored.layout, replay=partial(replay, params, scored.layout), workers=2)
    pd.testing.assert_frame_equal(alone, tables.read("scores", scored.layout.realtime / stage.FILE))
