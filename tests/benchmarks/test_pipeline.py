"""What a pipeline run comes to, from seconds and AP that are made up; and the loop itself on two real photographs."""

import json
import os
import shutil
from pathlib import Path

import pytest

from benchmarks import pipeline, records


def test_the_figures_of_a_run():
    cells = [
        {"name": "clean", "severity": 0, "ap": 0.4, "seconds": 9.0},
        {"name": "fog", "severity": 1, "ap": 0.30, "seconds": 30.0},
        {"name": "snow", "severity": 1, "ap": 0.20, "seconds": 60.0},
        {"name": "glass_blur", "severity": 1, "ap": 0.10, "seconds": 500.0},
    ]
    theirs = {"wall": 600.0, "cells": cells}  # a second to start
    ours = {
        "spent": {
            "server": 9.0,
            "start": 2.0,
            "prepare": 6.0,
            "infer": 25.0,
            "infer cpu": 41.0,
            "score": 7.0,
            "again": 5.0,
        },
        "work": {"clean": 5.0, "fog": 10.0, "snow": 15.0, "glass_blur": 10.0},
        "features": 2.0,
        "ap": {("clean", 0): 0.4, ("fog", 1): 0.31, ("snow", 1): 0.20, ("glass_blur", 1): 0.12},
        "photographs": 2,
    }
    found = pipeline.compared(theirs, ours, workers=2)
    assert found["speedup"] == 600 / 40
    assert found["field_loop_start_s"] == 1
    assert found["speedup_without_glass_blur"] == 100 / (40 - 0.25 * 25)
    assert found["work_speedup"] == 599 / 35
    assert found["work_speedup_without_glass_blur"] == 99 / (35 - 0.25 * 25)
    assert found["wall_over_work"] == 25 / 20
    assert found["ours_features_s"] == 2
    assert found["wall_over_cpu"] == 25 / 20.5
    assert found["clean_ap_difference"] == 0
    assert found["mean_ap_difference"] == pytest.approx(0.01)
    assert found["ap_difference_errors"] == pytest.approx(0.01 / (0.01 / 3**0.5))
    result = {"size": "full", "figures": found, "bars": records.judged(found, pipeline.BARS["full"])}
    told = {row["figure"]: row["holds"] for row in pipeline.rows(result)}
    assert told["speedup"] == told["ap_difference_errors"] == "yes"
    assert told["wall_over_work"] == told["wall_over_cpu"] == "no"
    assert told["cells"] == ""
    assert found["server_start_s"] == 9
    assert "| speedup " in pipeline.page(pipeline.rows(result))


def test_ours_is_the_mean_of_the_runs_before_and_after_the_loop():
    first = {"spent": {"start": 2.0}, "work": {"fog": 10.0}, "features": 1.0, "ap": {("fog", 1): 0.3}, "photographs": 2}
    second = {**first, "spent": {"start": 3.0}, "work": {"fog": 14.0}, "features": 2.0}
    mean = {**first, "spent": {"start": 2.5}, "work": {"fog": 12.0}, "features": 1.5}
    assert pipeline.mean_of(first, second) == mean
    with pytest.raises(RuntimeError, match="other AP"):
        pipeline.mean_of(first, {**second, "ap": {("fog", 1): 0.31}})


def test_the_loop_of_the_field_scores_as_coco_does(tmp_path: Path):
    real = os.environ.get("STORMGLASS_REAL_DATA")
    if not real:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of photographs")
    shutil.copy(Path(real) / "models/yolox_nano.onnx", tmp_path)
    document = json.loads((Path(real) / "coco/instances.json").read_text())
    document["images"] = document["images"][:2]
    ids = {image["id"] for image in document["images"]}
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in ids]
    (tmp_path / "instances.json").write_text(json.dumps(document))
    cells = [("clean", 0), ("contrast", 5)]
    theirs = pipeline.run_theirs(tmp_path / "instances.json", Path(real) / "coco/images", tmp_path, cells)
    clean, dull = theirs["cells"]
    assert theirs["wall"] > clean["seconds"] + dull["seconds"]
    assert clean["ap"] > dull["ap"] >= 0
    assert clean["ap"] > 0.1
    assert len(pipeline.benchmark()) == 15
