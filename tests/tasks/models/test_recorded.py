"""Reading what another system predicted: formats, places, and every mistake in one sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from tasks import models
from tasks.errors import InputError
from tasks.models import recorded
from tasks.models.outputs import Output
from tasks.params import Model

CLASSES = pd.DataFrame({"kind": ["object", "object", "label"], "class_id": [3, 7, 0], "name": ["car", "bus", "red"]})
FRAMES = pd.DataFrame(
    {
        "frame_id": [11, 12, 13, 40],
        "clip_id": ["a", "a", "a", "b/c"],
        "frame_index": [0, 1, 2, 0],
        "height_px": 20,
        "width_px": 30,
    }
)


def rle(x0: int, y0: int, x1: int, y1: int) -> dict[str, Any]:
    image = np.zeros((20, 30), np.uint8, order="F")
    image[y0:y1, x0:x1] = 1
    found = coco_mask.encode(image)
    return {"size": [20, 30], "counts": found["counts"].decode()}


def entry(**changes: Any) -> dict[str, Any]:
    return {"image_id": 12, "category_id": 3, "bbox": [1, 2, 10, 5], "score": 0.5} | changes


def model(**changes: Any) -> Model:
    return Model.model_validate({"adapter": "recorded", "weights": "p", **changes})


def read(folder: Path, clips: tuple[str, ...] = ("a", "b/c"), **changes: Any) -> dict[int, Output]:
    """The clean cell of what lies at folder / p."""
    described = models.describe(model(**changes), folder=folder, classes=CLASSES)
    return recorded.read(recorded.cells(folder / "p")[recorded.CLEAN], described, FRAMES, clips)


def results(folder: Path, entries: Any, name: str = "p") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_boxes_by_frame_and_score(tmp_path: Path) -> None:
    scores = [0.1, 0.7, 0.7, 1]
    given = [entry(score=score, bbox=[place, 0, 2.5, 0]) for place, score in enumerate(scores)]
    results(tmp_path, [*given, entry(image_id=40, category_id=7, id=5, bbox=[-3.5, 1, 4, 400], score=0)])
    found = read(tmp_path)
    assert sorted(found) == [12, 40]
    assert found[12].scores.tolist() == pytest.approx([1, 0.7, 0.7, 0.1], abs=1e-7)
    assert found[12].boxes.tolist() == [[3, 0, 5.5, 0], [1, 0, 3.5, 0], [2, 0, 4.5, 0], [0, 0, 2.5, 0]]
    assert found[40].boxes.tolist() == [[-3.5, 1, 0.5, 401]]  # as pycocotools: nothing is cut
    assert found[40].class_ids.tolist() == [7]
    assert found[12].masks is None
    assert found[12].track_ids is None
    dtypes = [getattr(found[12], name).dtype for name in ("boxes", "scores", "class_ids")]
    assert dtypes == [np.float64, np.float64, np.int64]


def test_masks_and_boxes_make_the_tasks(tmp_path: Path) -> None:
    for given, tasks in (
        ([entry()], ["detection"]),
        ([entry(segmentation=rle(1, 2, 3, 4))], ["detection", "instance"]),
        ([entry(bbox=[], segmentation=rle(1, 2, 3, 4))], ["instance"]),
        ([], ["detection"]),
    ):
        results(tmp_path, given)
        assert models.describe(model(), folder=tmp_path, classes=CLASSES) == {
            "object": {3: "car", 7: "bus"},
            "semantic": {},
            "label": {},
            "tasks": tasks,
        }


def test_a_mask_gives_the_box_that_is_not_given(tmp_path: Path) -> None:
    plain = {key: value for key, value in entry().items() if key != "bbox"}
    whole = {"size": [20, 30], "counts": [25, 10, 565]}
    given = [{**plain, "segmentation": rle(4, 5, 9, 8)}, {**plain, "segmentation": whole, "image_id": 13}]
    results(tmp_path, [*given, {**plain, "segmentation": rle(0, 0, 0, 0), "image_id": 40}])
    found = read(tmp_path)
    assert found[12].boxes.tolist() == [[4, 5, 9, 8]]
    assert found[40].boxes.tolist() == [[0, 0, 0, 0]]
    masks = [found[key].masks for key in (12, 13)]
    assert masks[0] == [rle(4, 5, 9, 8)["counts"].encode()]
    assert masks[1] is not None
    decoded = coco_mask.decode({"size": [20, 30], "counts": masks[1][0]})
    assert np.flatnonzero(decoded.ravel(order="F")).tolist() == list(range(25, 35))


def test_no_detection_at_all(tmp_path: Path) -> None:
    results(tmp_path, [])
    assert read(tmp_path) == {}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_id": 99}, "image_id 99 is no image of the data set"),
        ({"image_id": "12"}, "image_id '12' is no image"),
        ({"category_id": 4}, "category 4 is unknown; known: 3 car, 7 bus. A classes.json"),
        ({"category_id": True}, "category True is unknown"),
        ({"score": float("nan")}, "expected a score from 0 to 1, got nan"),
        ({"score": 97.5}, "expected a score from 0 to 1, got 97.5"),
        ({"score": None}, "expected a score from 0 to 1, got None"),
        ({"bbox": [1, 2, -3, 4]}, "expected a box of no negative size, got -3 x 4 px"),
        ({"bbox": [1, 2, 3]}, r"four finite numbers \[x, y, width, height\], got \[1, 2, 3\]"),
        ({"bbox": [1, 2, 3, float("inf")]}, "four finite numbers"),
        ({"bbox": [1, 2, 3, 1e300]}, "four finite numbers"),
        ({"bbox": None}, "four finite numbers .* got None"),
        ({"image_id": ...}, "expected 'image_id', found only category_id, bbox, score"),
        ({"category_id": ...}, "expected 'category_id'"),
        ({"score": ...}, "expected 'score'"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    bad = {key: value for key, value in entry(**wrong).items() if value is not ...}
    path = results(tmp_path, [entry(), entry(), bad, entry()])
    with pytest.raises(InputError, match=rf"^{path}: entry 2, counted from 0: .*{message}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([[1, 1, 5, 1, 5, 5]], "expected a mask as RLE"),
        (None, "expected a mask as RLE"),
        ({"size": [30, 20], "counts": "0"}, r"\[height, width\] = \[20, 30\], got \[30, 20\]"),
        ({"size": [20, 30], "counts": [10, 5, 600]}, "do not add up to 600 pixels"),
        ({"size": [20, 30], "counts": [-5, 605]}, "do not add up to 600 pixels"),
        ({"size": [20, 30], "counts": ["a"]}, "do not add up to 600 pixels"),
        ({"size": [20, 30], "counts": rle(0, 0, 5, 5)["counts"] + "99"}, "do not add up to 600 pixels"),
        ({"size": [20, 30], "counts": "é"}, "do not add up to 600 pixels"),
    ],
)
def test_a_bad_mask_is_named(tmp_path: Path, wrong: Any, message: str) -> None:
    path = results(tmp_path, [entry(segmentation=rle(1, 1, 2, 2)), entry(segmentation=wrong)])
    with pytest.raises(InputError, match=rf"^{path}: entry 1, .*{message}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not valid JSON"), ("{}", "expected COCO results, a list"), ("[3]", "entry 0, .* expected an object")],
)
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str, message: str) -> None:
    results(tmp_path, content)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_tracks_of_text(tmp_path: Path) -> None:
    text = "1,4,1,2,10,5,0.5,3,1\n\n 3, 4, 2.5,2,10,5,-1,7,0.3\n3,0,0,0,1,1,1,3\n"
    results(tmp_path, text, "p/clean/a.txt")
    results(tmp_path, "", "p/clean/b/c.txt")
    found = read(tmp_path)
    assert sorted(found) == [11, 13]
    assert found[11].boxes.tolist() == [[1, 2, 11, 7]]
    assert found[13].track_ids is not None
    assert found[13].track_ids.tolist() == [4, 0]
    assert found[13].scores.tolist() == [1, 1]
    assert found[13].class_ids.tolist() == [7, 3]
    described = models.describe(model(), folder=tmp_path, classes=CLASSES)
    assert described["tasks"] == ["tracking"]
    with pytest.raises(InputError, match="remove tracker"):
        models.describe(model(tracker={"name": "bytetrack"}), folder=tmp_path)


def test_text_without_classes_is_of_the_only_one(tmp_path: Path) -> None:
    results(tmp_path, "1,4,1,2,10,5,0.5,-1,-1,-1\n2,4,1,2,10,5,0.5\n", "p/a.txt")
    with pytest.raises(InputError, match=r"a\.txt: line 1: expected a class, for there are 2 of them"):
        read(tmp_path, ("a",))
    results(tmp_path, {"9": "person"}, "p/classes.json")
    found = read(tmp_path, ("a",))
    assert [found[key].class_ids.tolist() for key in (11, 12)] == [[9], [9]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,4,1,2,10,5,0.5,3", "the clip has no frame 0; it has 1 to 3"),
        ("1.5,4,1,2,10,5,0.5,3", "a whole number as frame, got 1.5"),
        ("nan,4,1,2,10,5,0.5,3", "a whole number as frame, got nan"),
        ("1,-1,1,2,10,5,0.5,3", "a track id from 0, got -1"),
        ("2,8,1,2,10,5,0.5,3", "track id 8 stands twice in frame 2"),
        ("1,4,1,2,-10,5,0.5,3", "no negative size"),
        ("1,4,1,nan,10,5,0.5,3", "four finite numbers"),
        ("1,4,1,2,10,5,nan,3", "score from 0 to 1, got nan"),
        ("1,4,1,2,10,5,0.5,5", "category 5 is unknown"),
        ("1 4 1 2 10 5 0.5 3", "expected the numbers frame,id"),
        ("1,4,1,2,10,5", "expected the numbers frame,id"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = results(tmp_path, f"2,8,1,2,10,5,0.5,3\n{line}\n", "p/a.txt")
    with pytest.raises(InputError, match=rf"^{path}: line 2: .*{message}"):
        read(tmp_path, ("a",))


def test_a_clip_that_is_missing_or_too_many(tmp_path: Path) -> None:
    results(tmp_path, "", "p/clean/a.txt")
    with pytest.raises(InputError, match=r"at .*b/c\.txt, found no file: an empty one"):
        read(tmp_path)
    assert read(tmp_path, ("a",)) == {}
    results(tmp_path, "", "p/clean/A.txt")
    with pytest.raises(InputError, match=r"A\.txt: the data set has no clip 'A'; its clips: a, b/c"):
        read(tmp_path, ("a",))


def test_places_of_cells(tmp_path: Path) -> None:
    one = results(tmp_path, [], "one.json")
    assert recorded.cells(one) == {("clean", 0): one}
    names = ["clean.json", "classes.json", "fog/3.json", "fog/about.json", "fog/5.txt", "h264/1.json", "clean/2.json"]
    for name in names:
        results(tmp_path, [], f"p/{name}")
    with pytest.raises(InputError, match="same cell"):  # clean.json, and the folder clean
        recorded.cells(tmp_path / "p")
    (tmp_path / "p/clean/2.json").unlink()
    (tmp_path / "p/clean").rmdir()
    assert {cell: str(path.relative_to(tmp_path / "p")) for cell, path in recorded.cells(tmp_path / "p").items()} == {
        ("clean", 0): "clean.json",
        ("fog", 3): "fog/3.json",
        ("h264", 1): "h264/1.json",
    }
    results(tmp_path, "", "p/snow/1/a.txt")
    with pytest.raises(InputError, match="mixes COCO results and MOTChallenge"):
        recorded.cells(tmp_path / "p")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"Expected recorded predictions in .*empty"):
        recorded.cells(tmp_path / "empty")
    results(tmp_path, "", "lone.txt")
    with pytest.raises(InputError, match="into a folder"):
        recorded.cells(tmp_path / "lone.txt")


def test_classes_of_their_own(tmp_path: Path) -> None:
    results(tmp_path, [entry(category_id=0)], "p/clean.json")
    with pytest.raises(InputError, match="category 0 is unknown"):
        read(tmp_path)
    results(tmp_path, {"0": "lorry"}, "p/classes.json")
    assert read(tmp_path)[12].class_ids.tolist() == [0]
    for wrong in ({}, [], {"x": "lorry"}, {"0": 3}):
        results(tmp_path, wrong, "p/classes.json")
        with pytest.raises(InputError, match=r"classes\.json: expected"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_threshold": 0.1, "decoder": "yolox"}, "remove decoder, score_threshold"),
        ({"class_map": "coco80"}, "class_map 'coco80'"),
    ],
)
def test_settings_of_networks_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    results(tmp_path, [])
    with pytest.raises(InputError, match=message):
        models.describe(model(**changes), folder=tmp_path)
    with pytest.raises(InputError, match="no network to run"):
        models.load(model(), folder=tmp_path, device="cpu")


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    path = results(tmp_path, [], "p/clean.json")
    seen = [models.fingerprint(model(), folder=tmp_path)["weights_sha256"]]
    results(tmp_path, [], "p/fog/1.json")
    seen.append(models.fingerprint(model(), folder=tmp_path)["weights_sha256"])
    path.write_text("[ ]")
    seen.append(models.fingerprint(model(), folder=tmp_path)["weights_sha256"])
    assert len(set(seen)) == 3
    with pytest.raises(InputError, match="Expected weights at"):
        models.fingerprint(model(weights="none"), folder=tmp_path)
