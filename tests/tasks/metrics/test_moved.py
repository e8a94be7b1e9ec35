"""A corruption that says where it moves the picture is scored against truth that moved with it."""

import numpy as np
import pandas as pd
import pytest

from tasks import displacement, inference, tables
from tasks.layout import Layout
from tasks.metrics.moved import moved
from tasks.metrics.score import score
from tasks.metrics.truth import load
from tests import tiny

NAME = "rolling_shutter"


def predictions_of(run, waves):
    """What a perfect model says of pictures moved by `waves`: boxes and label maps where they are seen."""
    rows = []
    sizes = run.size
    empty = dict.fromkeys(tables.SCHEMAS["predictions"].names)
    for frame_id in run.frames["frame_id"]:
        shift = displacement.shifts(waves.get(frame_id, np.zeros((0, 3))), sizes[0])
        for thing in run.objects[run.objects["frame_id"] == frame_id].itertuples():
            box = np.array([[thing.x0_px, thing.y0_px, thing.x1_px, thing.y1_px]])
            (box,) = displacement.move_boxes(box, shift, sizes[1])
            row = {**empty, "frame_id": frame_id, "class_id": thing.class_id, "score": 0.9, "track_id": thing.track_id}
            rows.append(row | dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), box, strict=True)))
        label_map = tables.decode_label_map(run.semantic.set_index("frame_id").label_map[frame_id])
        found = displacement.move_map(label_map, shift)
        rows.append({**empty, "frame_id": frame_id, "label_map": tables.encode_label_map(found)})
    table = pd.DataFrame(rows)
    table["prediction_id"] = np.arange(len(table))
    for name in ("class_id", "track_id"):
        table[name] = table[name].astype("Int64")
    return table


def test_a_model_that_sees_what_moved_is_perfect_and_one_that_does_not_is_not(make_run, make_params, tmp_path):
    chosen = make_params(corruptions={"digital": [NAME]}, severities=[5], slices={}, baseline=None)
    run = make_run(tmp_path, chosen, n_clips=3, n_frames=3)
    ids = run.frames["frame_id"].tolist()
    waves = {frame_id: np.array([[6.0, 20.0, 0.4 * place]]) for place, frame_id in enumerate(ids)}
    told = [
        {"corruption": NAME, "family": "digital", "severity": 5, "frame_id": frame_id}
        | dict(zip(displacement.WAVE, wave[0], strict=True))
        for frame_id, wave in waves.items()
    ]
    tables.write("displacement", pd.DataFrame(told), run.layout.predictions / displacement.FILE)
    run.described, run.cells = {}, []
    for model, seen in (("v1", waves), ("v2", {})):
        run.describe(model)
        run.described[model]["tasks"] = ["detection", "semantic"]
        run.add(model, "clean", "clean", 0, predictions_of(run, {}))
        run.add(model, NAME, "digital", 5, predictions_of(run, seen))
    run.finish()
    score(chosen, run.layout)
    found = tables.read("scores", run.layout.scores / "scores.parquet")
    found = found[(found["slice"] == "all") & (found["class"] == "all") & found["severity"].notna()]
    figures = found.set_index(["model", "corruption", "metric"])["value"]
    for metric in ("map", "miou", "hota"):
        assert figures["v1", "clean", metric] == pytest.approx(figures["v1", NAME, metric])
        assert figures["v1", NAME, metric] > 0.99
        assert figures["v2", "clean", metric] > 0.99
        assert figures["v2", NAME, metric] < 0.9


def test_the_truth_of_the_clean_frames_stays(make_run, make_params, tmp_path):
    chosen = make_params(slices={})
    run = make_run(tmp_path, chosen, n_clips=2, n_frames=2)
    truth = load(chosen, run.layout.tables)
    boxes, maps, pixels = truth.objects.boxes.copy(), dict(truth.semantic), truth.semantic_pixels.copy()
    other = moved(truth, {int(truth.frame_ids[1]): np.array([[9.0, 30.0, 1.0]])})
    assert (other.objects.boxes[truth.objects.frame == 1] != boxes[truth.objects.frame == 1]).any()
    assert (other.objects.boxes[truth.objects.frame != 1] == boxes[truth.objects.frame != 1]).all()
    assert other.semantic[1] != maps[1]
    assert other.semantic[0] == maps[0]
    np.testing.assert_array_equal(truth.objects.boxes, boxes)
    np.testing.assert_array_equal(truth.semantic_pixels, pixels)
    assert truth.semantic == maps
    assert moved(truth, {}) is truth


def test_infer_says_what_moved(tmp_path):
    asked: dict[str, list[object]] = {"a": [f"low_light + {NAME} during 1:3", {NAME: {"amplitude_px": [2.5]}}, "gamma"]}
    path = tiny.write(tmp_path, clips=2, frames=4, models=1, corruptions=asked)
    params = tiny.change(path, scale_to=24)
    plan = inference.plan(params, Layout(tmp_path))
    inference.finish(plan)  # nothing has run: what moves is known all the same
    table = tables.read("displacement", tmp_path / "predictions" / displacement.FILE)
    counts = table.groupby(["corruption", "severity"]).size().to_dict()
    burst = f"low_light + {NAME} during 1:3"
    assert counts == {(burst, 1): 4, (burst, 3): 4, (NAME, 1): 8}  # 2 of 4 frames of each clip; all of them
    assert set(table[table["corruption"] == NAME]["amplitude_px"]) == {5.0}  # twice 2.5: the shorter side is 48
