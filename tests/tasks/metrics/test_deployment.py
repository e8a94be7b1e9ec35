"""policy.json of a run made by hand, its numbers found again by loops over the tables."""

import json

import numpy as np
import pandas as pd
import pytest

from tasks import tables
from tasks.errors import InputError
from tasks.metrics import deployment
from tasks.metrics.score import score

BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
CHOSEN = {"act_precision": 0.75, "observe_precision": 0.5, "evidence": [2, 3], "mix": {"car": 0.7, "bus": 0.3}}
NAMES = {3: "car", 5: "bus", 7: "cyclist", 9: "pedestrian"}


def refuse(name):
    raise AssertionError(f"JSON has no {name}")


def made(root, make_run, make_params, **changes):
    chosen = make_params(**({"corruptions": {"weather": ["fog"]}, "severities": [3], "policy": CHOSEN} | changes))
    run = make_run(root, chosen)
    for described in run.described.values():
        described["tasks"] = ["detection"]
    run.finish()
    return run, chosen


def content(run):
    text = (run.layout.scores / "policy.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def scored(tmp_path_factory, make_run, make_params):
    run, chosen = made(tmp_path_factory.mktemp("policy"), make_run, make_params)
    score(chosen, run.layout)
    return run, content(run), tables.read("scores", run.layout.scores / "scores.parquet")


def overlap(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def matched(run, rows):
    """Each box with the object that it found: `object`, None for none; those on ignored objects are left out."""
    found = []
    rows = rows[rows["class_id"].notna()].sort_values("score", ascending=False, kind="stable")
    truth = dict(iter(run.objects.groupby(["frame_id", "class_id"])))
    for place, own in rows.groupby(["frame_id", "class_id"]):
        left = list(truth.get(place, run.objects[:0]).itertuples())
        for box in own.itertuples():
            near = [
                (not thing.ignore, overlap([getattr(box, n) for n in BOX], [getattr(thing, n) for n in BOX]), thing)
                for thing in left
            ]
            near = [item for item in near if item[1] >= 0.5]
            best = max(near, key=lambda item: item[:2])[2] if near else None
            left = [thing for thing in left if best is None or thing.object_id != best.object_id]
            if best is None or not best.ignore:
                found.append({**box._asdict(), "object": None if best is None else best.object_id})
    return pd.DataFrame(found)


def cell(run, model, corruption, severity, *, tracked=False):
    parts = sorted((run.layout.predictions / model / corruption / str(severity)).glob("*.parquet"))
    rows = pd.concat([tables.read("predictions", part) for part in parts])
    return matched(run, rows[rows["track_id"].notna()] if tracked else rows)


def test_thresholds_and_expectations_are_those_of_the_boxes(scored):
    run, written, _ = scored
    for model, found in written["models"].items():
        clean, fog = cell(run, model, "clean", 0), cell(run, model, "fog", 3)
        wanted = run.objects[~run.objects["ignore"]]
        hits = {"clean": [0, 0], "fog": [0, 0]}
        for class_id, name in NAMES.items():
            of_class = clean[clean["class_id"] == class_id].sort_values("score", ascending=False)
            limit = None
            for count in range(4, len(of_class) + 1):  # 1 / (1 - 0.75) boxes show a precision of 0.75
                if of_class["object"].head(count).notna().mean() < 0.75:
                    break
                limit = of_class["score"].iloc[count - 1]
            told = found["thresholds"][name]["act"]
            if limit is None:
                assert (told["score"], told["precision"]["value"]) == (None, None)
                assert "never keeps to 0.75 from 4 boxes on" in told["reason"]
                continue
            assert limit - 1e-6 <= told["score"] <= limit
            kept = of_class[of_class["score"] >= limit]
            assert told["precision"]["value"] == pytest.approx(kept["object"].notna().mean(), abs=1e-4)
            n_wanted = (wanted["class_id"] == class_id).sum()
            assert told["recall"]["value"] == pytest.approx(kept["object"].notna().sum() / n_wanted, abs=1e-4)
            for key, rows in (("clean", clean), ("fog", fog)):
                kept = rows[(rows["class_id"] == class_id) & (rows["score"] >= limit)]
                hits[key] = [hits[key][0] + kept["object"].notna().sum(), hits[key][1] + len(kept)]
        assert hits["clean"][1]
        for told, key in ((found["expected"]["act"], "clean"), (found["cells"][0], "fog")):
            assert told["precision"]["value"] == pytest.approx(hits[key][0] / hits[key][1], abs=1e-4)
            assert told["recall"]["value"] == pytest.approx(hits[key][0] / len(wanted), abs=1e-4)


def test_events_are_those_of_the_tracks(scored):
    run, written, _ = scored
    for model, found in written["models"].items():
        limits = {name: told["act"]["score"] for name, told in found["thresholds"].items()}
        rows = cell(run, model, "clean", 0, tracked=True)
        rows = rows[[s >= (limits[NAMES[c]] or 2) for c, s in zip(rows["class_id"], rows["score"], strict=True)]]
        frames = run.frames.set_index("frame_id")
        things = run.objects.set_index("object_id")
        detected, false = {}, 0
        for clip, of_clip in rows.groupby(rows["frame_id"].map(frames["clip_id"])):
            for _, track in of_clip.groupby(["track_id", "class_id"]):
                track = track.assign(at=track["frame_id"].map(frames["frame_index"])).sort_values("at")
                for first, last in zip(track[:-1].itertuples(), track[1:].itertuples(), strict=True):
                    if last.at - first.at > 2:
                        continue  # two of the last three frames
                    names = [things.loc[i, "track_id"] for i in (first.object, last.object) if not pd.isna(i)]
                    false += not names
                    if names:
                        key = (clip, names[0], last.class_id)
                        detected[key] = min(detected.get(key, 99), last.at)
                    break
        events = found["events"]
        assert events["false_alarms_per_1000_frames"]["value"] == pytest.approx(1000 * false / len(frames), abs=1e-3)
        counted = run.objects[~run.objects["ignore"]]
        counted = counted.assign(clip=counted["frame_id"].map(frames["clip_id"]))
        counted["at"] = counted["frame_id"].map(frames["frame_index"])
        n_long, delays = 0, []
        for key, there in counted.groupby(["clip", "track_id", "class_id"]):
            if (np.diff(np.sort(there["at"])) <= 2).any():
                n_long += 1
                delays += [detected[key] - there["at"].min()] if key in detected else []
        assert events["missed_events"]["value"] == pytest.approx(1 - len(delays) / n_long, abs=1e-4)
        assert events["time_to_detect_frames"]["value"] == pytest.approx(np.mean(delays), abs=1e-4)
        assert events["time_to_detect_s"]["status"] == "not_defined"


def test_times_make_frames_seconds_and_minutes(tmp_path, make_run, make_params):
    run, chosen = made(tmp_path, make_run, make_params, policy=CHOSEN | {"act_precision": 0.6})
    run.frames["timestamp_s"] = 7 + run.frames["frame_index"] * 0.1
    run.write_tables()
    score(chosen, run.layout)
    for found in content(run)["models"].values():
        events = {name: figure["value"] for name, figure in found["events"].items()}
        assert events["time_to_detect_s"] == pytest.approx(0.1 * events["time_to_detect_frames"], abs=1e-4)
        per_frame = events["false_alarms_per_1000_frames"] / 1000
        assert events["false_alarms_per_minute"] == pytest.approx(600 * per_frame, abs=0.1)


def test_slices_cells_and_abstentions_are_told(scored):
    _, written, scores = scored
    assert written["rule"]["evidence"] == [2, 3]
    for model, found in written["models"].items():
        rows = scores[(scores["model"] == model) & scores["baseline"].isna() & (scores["metric"] == "act_recall")]
        assert [item["slice"] for item in found["slices"]] == list(
            rows[(rows["severity"] == 0) & (rows["slice"] != "all")]["slice"]
        )
        of_objects = {item["slice"]: item for item in found["slices"]}["occluded=yes"]
        assert of_objects["precision"] == {"value": None, "low": None, "high": None, "status": "not_defined"}
        assert of_objects["recall"]["value"] > 0
        assert [(item["corruption"], item["severity"], item["strength"]) for item in found["cells"]] == [
            ("fog", 3, 4.5)
        ]
        assert found["abstain"] == [i for i in (*found["slices"], *found["cells"]) if i["advice"] != "act"]
        assert set(found["mix"]["thresholds"]) == set(NAMES.values())
        assert found["mix"]["expected"]["precision"]["value"] is not None
        assert found["chosen_on"]["n_units"] == 6


@pytest.mark.parametrize(
    ("value", "low", "high", "status", "told"),
    [
        (0.8, 0.6, 0.9, "ok", "act"),
        (0.8, 0.59, 0.9, "ok", "observe"),
        (0.5, 0.4, 0.6, "ok", "observe"),
        (0.5, 0.4, 0.59, "ok", "fall_back"),
        (0.9, None, None, "insufficient", "observe"),
        (None, None, None, "not_defined", "fall_back"),
        (None, None, None, "failed", "observe"),
    ],
)
def test_advice_goes_by_where_the_interval_lies(value, low, high, status, told):
    figure = {"value": value, "low": low, "high": high, "status": status}
    assert deployment.advice(figure, 0.6)[0] == told


def test_failed_cells_and_classes_without_threshold_are_named(tmp_path, make_run, make_params):
    run, chosen = made(tmp_path, make_run, make_params, policy={"act_precision": 0.99, "observe_precision": 0.98})
    for cell_ in run.cells:
        if (cell_["model"], cell_["corruption"]) in (("v1", "fog"), ("v2", "clean")):
            cell_ |= {"status": "failed", "part": None, "message": "did not work"}
    run.finish()
    score(chosen, run.layout)
    found = content(run)["models"]
    act = found["v1"]["thresholds"]["car"]["act"]
    assert act["score"] is None
    assert act["recall"]["value"] == 0
    assert "never keeps to 0.99 from 100 boxes on" in act["reason"]
    assert (found["v1"]["cells"][0]["advice"], found["v1"]["mix"]) == ("observe", None)
    assert "failed" in found["v1"]["cells"][0]["reason"]
    assert found["v2"]["thresholds"]["car"]["act"]["reason"] == "the clean cell has failed"
    assert found["v2"]["cells"][0]["advice"] == "fall_back"  # no threshold, so no box to act on


def test_a_mix_of_strange_classes_is_refused(tmp_path, make_run, make_params):
    run, chosen = made(tmp_path, make_run, make_params, policy={"mix": {"tram": 1}})
    with pytest.raises(InputError, match=r"policy\.mix: 'tram' is not an object class.*car, bus"):
        score(chosen, run.layout)
