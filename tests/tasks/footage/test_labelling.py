"""Frames out as COCO and labels back as a data set: read by pycocotools, prepared by the pipeline."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

from tasks import tables
from tasks.data.prepare import prepare
from tasks.errors import InputError
from tasks.footage import labelling

CATEGORIES = {3: "car", 7: "bus"}


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "adopted"
    sample = pd.DataFrame(
        {
            "clip_id": ["aa", "aa", "bb"],
            "camera": ["north", "north", "<b>"],
            "frame_index": [4, 9, 0],
            "image_id": [1, 2, 3],
        }
    )
    keys = zip(sample["clip_id"], sample["frame_index"], strict=True)
    sample["file_name"] = [labelling.file_name(*key) for key in keys]
    for place, name in enumerate(sample["file_name"]):
        labelling.write_image(folder, name, np.full((20, 30, 3), 40 * place, np.uint8))
    said = [{"image_id": 1, "category_id": 3, "bbox": [1.0, 2.0, 10.0, 8.0], "score": 0.9}]
    sizes = dict.fromkeys(sample["file_name"], (30, 20))
    labelling.write(folder, sample, sizes, categories=CATEGORIES, said=said)
    return folder


def labelled(exported: Path, path: Path, *, keep: int = 3, **changes: object) -> Path:
    """As a labelling tool gives back: own ids and folders, our fields gone, a box in the first image."""
    given = json.loads((exported / labelling.INSTANCES).read_text())
    images = [
        {"id": 100 + image["id"], "file_name": f"task/{image['file_name']}", "width": 30, "height": 20} | changes
        for image in given["images"][:keep]
    ]
    box = {"id": 1, "image_id": 101, "category_id": 1, "bbox": [1, 2, 10, 8], "area": 80, "iscrowd": 0}
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    path.write_text(json.dumps({"images": images, "annotations": [box], "categories": categories}))
    return path


def test_what_is_exported_is_coco_and_holds_no_truth(exported: Path) -> None:
    truth = COCO(exported / labelling.INSTANCES)
    assert truth.getAnnIds() == []
    assert [truth.cats[key]["name"] for key in sorted(truth.cats)] == ["car", "bus"]
    said = truth.loadRes(str(exported / labelling.PRELABELS))
    assert len(said.getAnnIds(imgIds=[1])) == 1
    assert all((exported / labelling.IMAGES / image["file_name"]).is_file() for image in truth.imgs.values())


def test_labels_come_back_with_clips_and_cameras(exported: Path, tmp_path: Path) -> None:
    labels = labelled(exported, tmp_path / "labels.json")
    before = labels.read_bytes()
    assert labelling.take_back(exported, labels, tmp_path / "set") == (3, 1)
    assert labels.read_bytes() == before
    prepare(tmp_path / "set", tmp_path / "tables", strict=True)
    frames = tables.read("frames", tmp_path / "tables" / "frames.parquet")
    assert list(frames["clip_id"]) == ["aa", "aa", "bb"]
    assert list(frames["camera"]) == ["north", "north", "<b>"]
    assert list(frames["frame_index"]) == [4, 9, 0]
    objects = tables.read("objects", tmp_path / "tables" / "objects.parquet")
    assert len(objects) == 1
    assert int(objects["frame_id"].iloc[0]) == 101
    assert not list(tmp_path.glob(".set*"))


def test_some_of_the_images_are_enough(exported: Path, tmp_path: Path) -> None:
    labels = labelled(exported, tmp_path / "labels.json", keep=1)
    assert labelling.take_back(exported, labels, tmp_path / "set") == (1, 1)
    document = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert [video["name"] for video in document["videos"]] == ["aa"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file_name": "other.png", "keep": 1}, "image 'other.png' was not exported"),
        ({"width": 60}, "expected width 30 px as exported, got 60"),
        ({"file_name": "aa-000004.png"}, "two images are called 'aa-000004.png'"),
    ],
)
def test_labels_of_something_else_are_refused(exported: Path, tmp_path: Path, changes: dict, said: str) -> None:
    labels = labelled(exported, tmp_path / "labels.json", **changes)
    with pytest.raises(InputError, match=said):
        labelling.take_back(exported, labels, tmp_path / "set")
    assert not (tmp_path / "set").exists()
