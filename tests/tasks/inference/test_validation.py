"""Clean frames of the validation split: predicted once, found again, and no cell of the run."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tasks import inference, tables
from tasks.inference import planning, shards
from tasks.inference.parts import Plan
from tasks.layout import Layout
from tasks.metrics.requests import requests, validation
from tasks.params import Params
from tests import tiny

CORRUPTIONS: dict[str, list[object]] = {"noise": ["gaussian_noise"]}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips to be scored and three of the validation split, a shard each."""
    path = tiny.write(tmp_path, clips=5, frames=3, models=1, corruptions=CORRUPTIONS)
    monkeypatch.setattr(shards, "MIN_PIXELS", 0)
    monkeypatch.setattr(shards, "MIN_FRAMES", 3)
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    frames["split"] = ["test"] * 6 + ["validation"] * 9
    tables.write("frames", frames, tmp_path / "tables/frames.parquet")
    return path


def change(path: Path, **dataset: object) -> Params:
    return tiny.change(path, dataset={"path": "data", "split": "test", **dataset})


def make(params: Params, path: Path) -> Plan:
    return planning.make(params, Layout(path.parent), devices=("cpu",))


def cells(path: Path) -> pd.DataFrame:
    return tables.read("cells", path.parent / "predictions/cells.parquet")


def test_they_are_predicted_once_and_are_no_cell(path: Path) -> None:
    params, layout = change(path), Layout(path.parent)
    assert inference.infer(params, layout) == []
    listed = cells(path)
    rows = listed[listed["corruption"] == "validation"]
    assert rows[["model", "family", "severity", "shard", "status"]].to_numpy().tolist() == [
        ["m0", "clean", 0, f"shard-000{place}", "ok"] for place in range(3)
    ]
    assert rows["strength"].isna().all()
    assert listed["corruption"].value_counts().to_dict() == {"gaussian_noise": 4, "validation": 3, "clean": 2}
    frames = tables.read("frames", layout.tables / "frames.parquet").set_index("frame_id")
    parts = validation(params, layout)["m0"]
    assert [layout.predictions / part for part in rows["part"]] == list(parts)
    shown = pd.concat([tables.read("predictions", part) for part in parts])
    assert set(shown["frame_id"]) == set(frames.index[frames["split"] == "validation"])
    assert shown["track_id"].isna().all()
    assert {(request.corruption, len(request.files)) for request in requests(params, layout)} == {
        ("clean", 2),
        ("gaussian_noise", 2),
    }

    again = make(params, path)
    assert (again.n_missing, again.units) == (0, [])
    # When that split is scored its clean detections are there: only tracks are left, and what is corrupted.
    other = make(change(path, split="validation"), path)
    assert {cell.corruption for cell in other.cells} == {"clean", "gaussian_noise"}
    assert all(other.store.has(cell.part.detections) for cell in other.cells if cell.corruption == "clean")


def test_no_other_part_changes_its_key(path: Path) -> None:
    def keys(plan: Plan) -> dict[tuple[object, ...], str]:
        return {
            (c.corruption, c.part.severity, c.shard): c.part.key for c in plan.cells if c.corruption != "validation"
        }

    without = make(change(path, validation=None), path)
    assert keys(without) == keys(make(change(path), path))
    assert not any(cell.corruption == "validation" for cell in without.cells)


@pytest.mark.parametrize(
    "dataset",
    [{"validation": None}, {"validation": "val"}, {"split": None}, {"split": "validation"}],
    ids=["none asked for", "no such split", "every frame is scored", "that split is scored"],
)
def test_where_there_are_none_nothing_happens(path: Path, dataset: dict[str, object]) -> None:
    plan = make(change(path, **dataset), path)
    assert {cell.corruption for cell in plan.cells} == {"clean", "gaussian_noise"}


def test_a_trial_takes_the_first_clips_of_both_splits(path: Path) -> None:
    plan = make(change(path).limited(4), path)
    amounts = pd.Series([cell.corruption for cell in plan.cells if cell.part.severity in (0, 1)]).value_counts()
    assert amounts.to_dict() == {"clean": 2, "gaussian_noise": 2, "validation": 2}
    only = make(change(path).only("noise").limited(1), path)
    assert [cell.corruption for cell in only.cells] == ["clean", "gaussian_noise", "gaussian_noise", "validation"]


def test_a_part_that_failed_is_named_and_the_model_left_out(path: Path) -> None:
    params, layout = change(path), Layout(path.parent)
    failed = [str(part) for part in inference.finish(make(params, path))]  # nothing ran
    assert "m0 under validation 0, shard-0000: was not computed" in failed
    assert len(failed) == 9
    assert validation(params, layout) == {}


def test_recorded_predictions_have_what_their_file_says(path: Path) -> None:
    entry = {"category_id": 1, "bbox": [8, 8, 20, 16], "score": 0.5}
    layout = Layout(path.parent)
    for name, images in (("some", (1, 8)), ("none", (1, 2))):
        (path.parent / f"{name}.json").write_text(json.dumps([entry | {"image_id": image} for image in images]))
    (path.parent / "corrupted").mkdir()
    (path.parent / "corrupted/gaussian_noise").mkdir()
    (path.parent / "corrupted/gaussian_noise/1.json").write_text("[]")
    models = {
        name: {"adapter": "recorded", "weights": weights}
        for name, weights in (("some", "some.json"), ("none", "none.json"), ("corrupted", "corrupted"))
    }
    change(path)
    params = tiny.change(path, models=models)
    failed = inference.infer(params, layout)
    assert {part.model for part in failed} == {"corrupted"}  # whose clean cell is missing
    parts = validation(params, layout)
    assert parts.keys() == {"some", "none"}
    shown = {name: pd.concat([tables.read("predictions", part) for part in parts[name]]) for name in parts}
    assert shown["some"]["frame_id"].tolist() == [8]
    assert len(shown["none"]) == 0
