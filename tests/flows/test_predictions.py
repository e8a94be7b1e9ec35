"""`stormglass predictions`: the table that people open; `check` and `infer` of recorded predictions by the CLI."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows import cli, runtime
from tasks import inference, tables
from tasks.layout import Layout
from tests import tiny

ROADS = """
import numpy as np
def roads(frames):
    return [{"label_map": np.zeros(frame.shape[:2], int)} for frame in frames]
roads.classes = {"semantic": {0: "road"}}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a recorded model of its own words; clips of four frames."""
    monkeypatch.setenv(runtime.SWITCH, "off")
    monkeypatch.chdir(tmp_path)
    path = tiny.write(tmp_path, clips=2, frames=4, models=0, corruptions={"weather": ["fog"], "noise": ["shot_noise"]})
    found = [
        {"image_id": 6, "category_id": 0, "bbox": [8, 8, 20.25, 16], "score": 0.1},
        {"image_id": 6, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 0.7},
        {"image_id": 1, "category_id": 1, "bbox": [0, 1, 2, 3], "score": 0.3},
    ]
    files = {"clean.json": found, "fog/1.json": found[1:], "fog/3.json": [], "shot_noise/1.json": found[:2]}
    for name, content in {**files, "classes.json": {0: "auto", 1: "coach", 2: "cat"}}.items():
        (tmp_path / "said" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "said" / name).write_text(json.dumps(content))
    class_map = {"auto": "car", "coach": "bus", "cat": None}
    tiny.change(path, models={"theirs": {"adapter": "recorded", "weights": "said", "class_map": class_map}})
    return path


def test_rows_have_names(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 0
    out = capsys.readouterr().out
    assert "recorded predictions: 4 file(s) or folder(s) are in order" in out
    assert "model theirs, a problem: no recorded predictions for shot_noise 3 in said\n" in out
    assert not (path.parent / ".stormglass/parts").exists()
    assert cli.main(["infer"]) == 1  # one cell was not recorded
    errors = capsys.readouterr().err
    assert "infer: 4 parts, 0 already in the store" in errors
    assert "1 of 5 parts failed" in errors
    assert "theirs under shot_noise 3, shard-0000: no recorded predictions for shot_noise 3 in said" in errors
    assert cli.main(["predictions", "--to", "all.csv"]) == 0
    assert capsys.readouterr().out == (
        "Wrote 7 rows of 4 cell(s) to all.csv; 1 cell(s) without predictions are left out.\n"
    )
    found = pd.read_csv("all.csv")
    assert found.groupby(["corruption", "severity"]).size().to_dict() == {
        ("clean", 0): 3,
        ("fog", 1): 2,
        ("shot_noise", 1): 2,
    }
    lines = (path.parent / "all.csv").read_text().splitlines()
    assert lines[:4] == [
        "model,corruption,severity,strength,strength_unit,clip,frame_index,frame_id,kind,class,dataset_class,score,"
        "x0_px,y0_px,x1_px,y1_px,track_id",
        "theirs,clean,0,,,clip-0,0,1,object,coach,bus,0.3,0.0,1.0,2.0,4.0,",
        "theirs,clean,0,,,clip-1,1,6,object,cat,,0.7,0.0,1.0,2.0,4.0,",
        "theirs,clean,0,,,clip-1,1,6,object,auto,car,0.1,8.0,8.0,28.25,24.0,",
    ]
    assert found.loc[found["corruption"] == "fog", "strength"].notna().all()


def test_one_cell(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infer"]) == 1
    (path.parent / "one.csv").write_text("old")
    asked = ["predictions", "--model", "theirs", "--corruption", "fog", "--severity", "3", "--to", "one.csv"]
    assert cli.main(asked) == 0
    assert "Wrote 0 rows of 1 cell(s)" in capsys.readouterr().out
    assert len((path.parent / "one.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "thers"], "--model thers: the run has no such model; did you mean 'theirs'?"),
        (["--corruption", "snow"], "--corruption snow"),
        (["--severity", "2"], "--severity 2"),
        (["--corruption", "clean", "--severity", "1"], "--severity 1: the run has no such severity"),
        (["--to", "none/all.csv"], "Cannot write none/all.csv: No such file"),
        (["--to", "said"], "Cannot write said"),
    ],
)
def test_mistakes_write_nothing(
    path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["infer"]) == 1
    capsys.readouterr()
    before = sorted(path.parent.iterdir())
    assert cli.main(["predictions", *([] if "--to" in arguments else ["--to", "all.csv"]), *arguments]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert sorted(path.parent.iterdir()) == before


def test_a_broken_part_leaves_the_old_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infer"]) == 1
    (path.parent / "all.csv").write_text("old")
    (path.parent / "predictions/theirs/shot_noise/1/shard-0000.parquet").write_bytes(b"no table")
    before = sorted(path.parent.iterdir())
    assert cli.main(["predictions", "--to", "all.csv"]) == 2
    assert "shard-0000.parquet" in capsys.readouterr().err
    assert (path.parent / "all.csv").read_text() == "old"
    assert sorted(path.parent.iterdir()) == before


def test_before_infer_it_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predictions", "--to", "all.csv"]) == 2
    assert "cells.parquet" in capsys.readouterr().err


def test_labels_and_tracks_are_rows_too(path: Path) -> None:
    assert cli.main(["infer"]) == 1
    layout = Layout(path.parent)
    file = layout.predictions / "theirs/clean/0/shard-0000.parquet"
    part = tables.read("predictions", file)
    part["track_id"] = pd.array([None, 9, 9], dtype="Int64")
    own = dict.fromkeys(part.columns) | {"prediction_id": 99, "frame_id": 6}
    own["probabilities"] = np.array([0.25, 0.125, 0.625], np.float32)
    file.unlink()  # the store's file of that part stays as it is
    part = pd.concat([part.astype(object), pd.DataFrame([own])], ignore_index=True)
    tables.write("predictions", part, file)
    described = json.loads((layout.predictions / "models.json").read_text())
    described["theirs"]["label"] = {"4": "dry", "2": "wet", "7": "dark"}
    (layout.predictions / "models.json").write_text(json.dumps(described))
    assert cli.main(["predictions", "--severity", "0", "--to", "all.csv"]) == 0
    found = pd.read_csv("all.csv")
    assert found["track_id"].fillna(-1).tolist() == [-1, 9, 9, -1]
    label = found.iloc[-1]
    assert (label["kind"], label["class"], label["score"], label["clip"]) == ("label", "dark", 0.625, "clip-1")
    assert inference.plan(tiny.change(path), layout).n_missing == 0


def test_label_maps_that_are_not_listed_are_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path.parent / "maps_listed.py").write_text(ROADS)
    tiny.change(path, models={"roads": {"adapter": "python", "weights": "python:maps_listed:roads"}}, corruptions={})
    assert cli.main(["infer"]) == 0
    capsys.readouterr()
    assert cli.main(["predictions", "--to", "all.csv"]) == 0
    told = "Wrote 0 rows of 1 cell(s) to all.csv; label maps have no rows, so those of roads are left out.\n"
    assert capsys.readouterr().out == told
