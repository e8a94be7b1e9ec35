import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tasks.data import crossing
from tasks.data.scene import clips, world
from tasks.errors import InputError
from tasks.params import Crossing

VAN = Crossing(
    classes=("car", "van", "pedestrian"), train_clips=1, train_frames=12, validation_clips=1, validation_frames=2,
    test_clips=1, unseen_clips=0, test_frames=2, footage_frames=2,
)  # fmt: skip


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "dataset.json").read_text())
    return found


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def objects(folder: Path) -> list[tuple[dict[str, Any], dict[str, Any], np.ndarray]]:
    found = document(folder)
    images = {image["id"]: image for image in found["images"]}
    return [(images[a["image_id"]], a, coco_mask.decode(a["segmentation"]).astype(bool)) for a in found["annotations"]]


def test_files_are_the_same_for_any_number_of_workers(rendered: Path, tiny: Crossing, tmp_path: Path) -> None:
    crossing.render(tiny, tmp_path / "data", tmp_path / "footage", tmp_path / "truth", workers=2)
    assert digests(tmp_path) == digests(rendered)


def test_a_clip_is_the_same_twice_and_in_a_larger_set(rendered: Path) -> None:
    larger = Crossing(train_clips=5, train_frames=3)
    clip = next(c for c in clips.plan(larger) if c.split == "train")
    found = document(rendered / "data")
    for index, frame in enumerate(clips.frames_of(larger, clip)):
        stored = cv2.imread(str(rendered / "data" / "images" / clip.name / f"{index:06d}.png"))
        assert np.array_equal(frame.picture, stored[:, :, ::-1])
        assert frame.label == found["images"][index]["label"]


def test_another_seed_gives_other_pictures() -> None:
    a, b = (
        next(iter(clips.frames_of(Crossing(seed=seed), clips.plan(Crossing(seed=seed))[0]))).picture for seed in (0, 1)
    )
    assert np.abs(a.astype(int) - b).mean() > 5


def test_boxes_are_tight_around_masks_and_areas_count_them(rendered: Path) -> None:
    found = objects(rendered / "data")
    assert len(found) > 40
    for image, annotation, mask in found:
        rows, columns = np.nonzero(mask)
        x, y, w, h = annotation["bbox"]
        assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert annotation["area"] == mask.sum() >= 20
        assert mask.shape == (image["height"], image["width"]) == (192, 320)
        touches = x == 0 or y == 0 or x + w == 320 or y + h == 192
        assert annotation["attributes"]["edge_touching"] == ("yes" if touches else "no")
        assert annotation["attributes"]["occluded"] == ("yes" if annotation["occlusion"] >= 0.15 else "no")
        assert annotation["attributes"]["small_object"] == ("yes" if min(w, h) < 12 else "no")


def test_masks_of_a_frame_never_overlap(rendered: Path) -> None:
    total: dict[int, np.ndarray] = {}
    for image, _, mask in objects(rendered / "data"):
        total[image["id"]] = total.get(image["id"], np.zeros(mask.shape, int)) + mask
    assert max(counts.max() for counts in total.values()) == 1


def test_semantic_maps_agree_with_the_masks(rendered: Path) -> None:
    names = {c["id"]: c["name"] for c in document(rendered / "data")["categories"]}
    allowed = {
        "car": {world.VEHICLE}, "bus": {world.VEHICLE}, "pedestrian": {world.PERSON},
        "cyclist": {world.PERSON, world.CYCLE},
    }  # fmt: skip
    covered: dict[int, np.ndarray] = {}
    for image, annotation, mask in objects(rendered / "data"):
        label_map = cv2.imread(str(rendered / "data" / image["semantic_file"]), cv2.IMREAD_UNCHANGED)
        inside = label_map[mask]
        name = names[annotation["category_id"]]
        assert set(np.unique(inside)) <= allowed[name] | {255}
        assert name == "cyclist" or (inside != 255).mean() > 0.4, (image["file_name"], annotation)
        covered[image["id"]] = covered.get(image["id"], np.zeros(mask.shape, bool)) | mask
    strays = 0
    for image in document(rendered / "data")["images"]:
        label_map = cv2.imread(str(rendered / "data" / image["semantic_file"]), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(label_map)) <= {*range(len(world.SEMANTIC)), 255}
        assert 0.01 < (label_map == 255).mean() < 0.15
        strays += int(np.isin(label_map, (world.VEHICLE, world.CYCLE))[~covered[image["id"]]].sum())
    assert strays < 50 * len(covered)  # only objects too hidden to be annotated


def test_the_test_split_is_balanced_and_its_fourth_camera_unseen() -> None:
    plan = clips.plan(Crossing())
    assert Counter(c.split for c in plan) == {"train": 24, "validation": 6, "test": 48}
    test = [c for c in plan if c.split == "test"]
    known = Counter((c.camera, c.time_of_day, c.traffic) for c in test if c.camera != "south")
    assert len(known) == 18
    assert set(known.values()) == {2}
    unseen = Counter((c.time_of_day, c.traffic) for c in test if c.camera == "south")
    assert len(unseen) == 6
    assert set(unseen.values()) == {2}
    assert {c.camera for c in plan if c.split != "test"} == {"north", "east", "west"}
    train = [c for c in plan if c.split == "train"]
    assert set(Counter(c.camera for c in train).values()) == {8}
    assert set(Counter(c.time_of_day for c in train).values()) == {8}
    assert set(Counter(c.traffic for c in train).values()) == {12}


def test_clips_share_no_frame_and_no_track(rendered: Path) -> None:
    found = document(rendered / "data")
    images = {image["id"]: image for image in found["images"]}
    by_clip: dict[int, set[str]] = {}
    by_track: dict[int, set[int]] = {}
    for image in images.values():
        by_clip.setdefault(image["video_id"], set()).add(image["split"])
    for annotation in found["annotations"]:
        by_track.setdefault(annotation["track_id"], set()).add(images[annotation["image_id"]]["video_id"])
    assert all(len(splits) == 1 for splits in by_clip.values())
    assert all(len(videos) == 1 for videos in by_track.values())
    pictures = digests(rendered / "data" / "images")
    assert len(set(pictures.values())) == len(pictures) == len(images)


def test_the_label_is_the_lamp_that_is_lit(rendered: Path) -> None:
    """Each phase's own lamp, found by its colour alone, is the brightest of the three kinds."""
    for image in document(rendered / "data")["images"]:
        pixels = cv2.imread(str(rendered / "data" / image["file_name"]))[:, :, ::-1].astype(int)
        red, green, blue = pixels[:110].reshape(-1, 3).T
        counts = {
            "pedestrians_go": int(((red > 200) & (green < 90) & (blue < 90)).sum()),
            "caution": int(((red > 200) & (green > 150) & (blue < 80)).sum()),
            "vehicles_go": int(((green > 200) & (red < 110) & (blue > 90)).sum()),
        }
        assert counts[image["label"]] >= 20, (image["file_name"], counts)


def test_a_class_named_in_params_alone_is_rendered(tmp_path: Path) -> None:
    crossing.render(VAN, tmp_path / "data", tmp_path / "footage", tmp_path / "truth", workers=1)
    found = document(tmp_path / "data")
    assert [c["name"] for c in found["categories"]] == ["car", "van", "pedestrian"]
    assert {a["category_id"] for a in found["annotations"]} == {1, 2, 3}


def test_an_unknown_class_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot draw 'pedestrain'; did you mean 'pedestrian'"):
        crossing.render(
            Crossing(classes=("car", "pedestrain")), tmp_path / "d", tmp_path / "f", tmp_path / "t", workers=1
        )
    with pytest.raises(InputError, match="car stands twice"):
        crossing.render(Crossing(classes=("car", "car")), tmp_path / "d", tmp_path / "f", tmp_path / "t", workers=1)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something"):
        crossing.render(Crossing(), tmp_path / "d", tmp_path / "f", tmp_path / "t", workers=1)
    assert (tmp_path / "d" / "thesis.txt").read_text() == "mine"


def test_objects_move_smoothly_enough_to_be_followed() -> None:
    """Boxes of one track in neighbouring frames overlap: trackers associate by that."""
    overlaps = []
    clip = clips.Clip(0, "train", 0, "north", "day", "busy", 12)
    last: dict[int, list[int]] = {}
    for frame in clips.frames_of(Crossing(), clip):
        boxes = {a["track_id"]: a["bbox"] for a in frame.annotations}
        for track in boxes.keys() & last.keys():
            a, b = last[track], boxes[track]
            w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
            h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
            both = max(w, 0) * max(h, 0)
            overlaps.append(both / (a[2] * a[3] + b[2] * b[3] - both))
        last = boxes
    assert np.median(overlaps) > 0.7
    assert np.mean(np.array(overlaps) < 0.2) < 0.03
