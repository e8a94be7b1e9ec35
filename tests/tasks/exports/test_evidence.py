"""The evidence of failures: every file, held against the tables it comes from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from flows import cli, export, runtime
from tasks import corruptions, tables
from tasks.errors import InputError
from tasks.exports import drawing
from tasks.exports.selection import Wanted
from tests.conftest import SmallRun


@pytest.fixture(scope="module")
def shown(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worst of every task of one model under low light, at both its severities."""
    out = tmp_path_factory.mktemp("qa") / "out"
    wanted = Wanted(model="crossing-v1", corruption="low_light", worst=8)
    told = export.qa(runtime.open_run(str(small_run.params)), out, wanted)
    assert told.startswith("Wrote 8 of ")
    return out


def summaries(out: Path) -> list[dict]:
    return [json.loads(path.read_text()) | {"at": path.parent} for path in sorted(out.rglob("summary.json"))]


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_index_lists_every_folder(shown: Path) -> None:
    index = pd.read_csv(shown / "index.csv")
    assert len(index) == 8
    assert {(shown / folder) for folder in index["folder"]} == {found["at"] for found in summaries(shown)}
    assert set(index["model"]) == {"crossing-v1"}
    for found in summaries(shown):
        files = {path.name for path in found["at"].iterdir()}
        assert files == {*found["files"].values(), "summary.json"}


def test_summaries_say_what_the_examples_say(shown: Path, small_run: SmallRun) -> None:
    examples = tables.read("examples", small_run.root / "scores/examples.parquet")
    examples = examples[examples["score"] < 1]
    keys = ["model", "corruption", "severity", "frame_id", "task"]
    known = examples.set_index(keys).sort_index()[["score", "error_kind", "evidence"]]
    for found in summaries(shown):
        place = found["model"], found["corruption"], found["severity"], found["frame"]["frame_id"]
        assert len(found["results"]) == len(known.loc[place])
        for result in found["results"]:
            row = known.loc[(*place, result["task"])]
            assert [result[name] for name in row.index] == row.tolist()
        assert found["strength_unit"] == corruptions.strength("low_light", found["severity"])[1]


def test_boxes_come_to_the_score(shown: Path, small_run: SmallRun) -> None:
    """F1 over what is drawn is what scoring stored, and the truth is the table's."""
    objects = tables.read("objects", small_run.root / "tables/objects.parquet")
    seen = 0
    for found in summaries(shown):
        for result in (r for r in found["results"] if r["task"] == "detection"):
            states = pd.Series([item["state"] for item in result["truth"]]).value_counts()
            false = sum(item["state"] == "false positive" for item in result["prediction"])
            hits, missed = states.get("matched", 0), states.get("missed", 0)
            assert result["score"] == pytest.approx(2 * hits / (2 * hits + missed + false), abs=1e-9)
            own = objects[objects["frame_id"] == found["frame"]["frame_id"]]
            expected = own[["x0_px", "y0_px", "x1_px", "y1_px"]].to_numpy().round(1)
            np.testing.assert_allclose([item["box"] for item in result["truth"]], expected)
            seen += 1
    assert seen > 0


def test_maps_and_pictures(shown: Path, small_run: SmallRun) -> None:
    maps = tables.read("semantic", small_run.root / "tables/semantic.parquet").set_index("frame_id")["label_map"]
    objects = tables.read("objects", small_run.root / "tables/objects.parquet")
    frames = tables.read("frames", small_run.root / "tables/frames.parquet").set_index("frame_id")
    for found in summaries(shown):
        frame_id = found["frame"]["frame_id"]
        row = frames.loc[frame_id]
        truth, said = read(found["at"] / "truth_map.png"), read(found["at"] / "prediction_map.png")
        np.testing.assert_array_equal(truth, tables.decode_label_map(maps[frame_id]))
        assert said.shape == truth.shape
        clean = read(small_run.root / "data/crossing" / row["source_file"])
        made = corruptions.corrupt(
            clean[None], name="low_light", severity=found["severity"], clips=row["clip_id"],
            first_frame=int(row["frame_index"]),
        )[0]  # fmt: skip
        np.testing.assert_array_equal(read(found["at"] / "picture.png"), made)
        own = objects[(objects["frame_id"] == frame_id) & objects["mask"].notna()]
        numbered = read(found["at"] / "truth_masks.png")
        covered = np.zeros(truth.shape, dtype=bool)
        for mask in own["mask"]:
            covered |= coco_mask.decode({"size": list(truth.shape), "counts": mask}) > 0
        np.testing.assert_array_equal(numbered > 0, covered)
        assert numbered.max() <= len(own)
        for result in (r for r in found["results"] if r["task"] == "semantic"):
            picture = read(found["at"] / "overlay-semantic.png")
            factor = picture.shape[1] // truth.shape[1]
            under = picture[: truth.shape[0] * factor : factor, ::factor]
            changed = (under != made).any(axis=2)
            wrong = (truth != said) & (truth != tables.IGNORE)
            assert not changed[~wrong].any()
            assert changed[wrong].mean() > 0.95  # a pixel of the tint's own colour stays
            assert result["classes"]


def test_boxes_are_drawn_in_their_colours() -> None:
    item = {"box": [10.0, 20.0, 40.0, 60.0], "class": "car", "state": "missed"}
    said = {"box": [60.0, 20.0, 90.0, 60.0], "class": "bus", "state": "false positive", "score": 0.5, "id": 3}
    frame = np.full((80, 100, 3), 90, np.uint8)
    picture = drawing.boxes(frame, {"truth": [item], "prediction": [said]}, "what it says")
    factor = 7  # 100 px become at least 640
    assert picture.shape[1] == 700
    assert picture.shape[0] > 80 * factor
    assert tuple(picture[40 * factor, 10 * factor]) == (0xFF, 0xB0, 0x00)
    assert tuple(picture[40 * factor, 90 * factor]) == (0xFF, 0x6F, 0x91)
    assert tuple(picture[5 * factor, 50 * factor]) == (90, 90, 90)


def test_small_masks_lie_on_top() -> None:
    def mask(x0: int, x1: int) -> bytes:
        pixels = np.zeros((4, 8), np.uint8, order="F")
        pixels[:, x0:x1] = 1
        return coco_mask.encode(pixels)["counts"]

    found = drawing.instances(pd.Series([mask(2, 4), None, mask(0, 8)], dtype=object), (4, 8))
    assert found[0].tolist() == [3, 3, 1, 1, 3, 3, 3, 3]
    assert found.dtype == np.uint16


def test_nothing_is_left_half_written(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise InputError("no")

    monkeypatch.chdir(small_run.root)
    monkeypatch.setattr(drawing, "words", broken)
    monkeypatch.setattr(drawing, "boxes", broken)
    assert cli.main(["export-qa", str(tmp_path / "out"), "--task", "detection", "--worst", "2"]) == 2
    assert list(tmp_path.iterdir()) == []
