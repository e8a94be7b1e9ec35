import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile
from pycocotools import mask as coco_mask

from tasks import params, tables
from tasks.data.frames import VIDEO_SUFFIXES
from tasks.data.prepare import prepare
from tasks.errors import InputError
from tasks.metrics.truth import load
from tasks.quality import Quality, measure

Make = Callable[..., Path]


def test_the_embedded_set_becomes_tables(rendered: Path, tmp_path: Path) -> None:
    card = prepare(rendered / "data", tmp_path / "tables", strict=True)
    document = json.loads((rendered / "data" / "dataset.json").read_text())
    frames = tables.read("frames", tmp_path / "tables" / "frames.parquet")
    objects = tables.read("objects", tmp_path / "tables" / "objects.parquet")
    semantic = tables.read("semantic", tmp_path / "tables" / "semantic.parquet")
    assert len(frames) == len(document["images"]) == len(semantic)
    assert len(objects) == len(document["annotations"])
    assert list(frames["clip_id"]) == sorted(frames["clip_id"])
    assert frames.groupby("clip_id")["frame_index"].apply(lambda s: list(s) == list(range(len(s)))).all()
    assert set(tables.attributes("frames", frames)) == {"camera", "time_of_day", "traffic"}
    times = {image["id"]: image["timestamp_s"] for image in document["images"]}
    assert list(frames["timestamp_s"]) == [times[key] for key in frames["frame_id"]]
    assert "low_contrast" in tables.attributes("objects", objects)
    first = frames.iloc[0]
    stored = cv2.imread(
        str(rendered / "data" / first["source_file"].replace("images", "semantic")), cv2.IMREAD_UNCHANGED
    )
    encoded = semantic.set_index("frame_id").loc[first["frame_id"], "label_map"]
    assert np.array_equal(tables.decode_label_map(encoded), stored)
    by_id = {a["id"]: a for a in document["annotations"]}
    for row in objects.itertuples():
        x, y, w, h = by_id[row.object_id]["bbox"]
        assert (row.x0_px, row.y0_px, row.x1_px, row.y1_px) == (x, y, x + w, y + h)
        assert coco_mask.area({"size": [192, 320], "counts": row.mask}) == row.area_px
    assert card == json.loads((tmp_path / "tables" / "card.json").read_text())
    assert {row["split"] for row in card["splits"]["counts"]} == {"train", "validation", "test"}
    assert card["label_policy"]["version"] == "1"
    assert card["rendered"] is True


def test_the_same_data_give_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare(rendered / "data", tmp_path / name, strict=True)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_boxes_masks_and_labels_of_stills(small_set: Make, tmp_path: Path) -> None:
    card = prepare(small_set(), tmp_path / "tables", strict=True)
    frames = tables.read("frames", tmp_path / "tables" / "frames.parquet").set_index("frame_id")
    objects = tables.read("objects", tmp_path / "tables" / "objects.parquet").set_index("object_id")
    assert list(frames["clip_id"]) == ["images/a.jpg", "images/b.jpg"]
    assert frames.loc[3, "label_id"] == 1
    assert frames["label_id"].isna()[7]
    assert objects.loc[11, "x1_px"] == 40.0  # 0.4 px over the border: cut
    assert objects.loc[11, "area_px"] == 70
    assert objects.loc[2, "area_px"] == 12
    assert objects.loc[2, "crowd"]
    assert objects.loc[11, "mask"] is None
    decoded = coco_mask.decode({"size": [30, 40], "counts": objects.loc[2, "mask"]})
    assert decoded.sum() == decoded[2:6, 1:4].sum() == 12
    assert card["images_left_out"] == 0
    assert card["rendered"] is False  # nothing says so
    assert card["problems"] == []


def test_frames_are_measured_as_models_see_them(small_set: Make, tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["annotations"].append({"id": 3, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 0})
        document["annotations"].append(document["annotations"][-1] | {"id": 4, "ignore": True})

    folder = small_set(spoil)
    prepare(folder, tmp_path / "tables", strict=True)
    table = tables.read("quality", tmp_path / "tables" / "quality.parquet")
    assert table["frame_id"].tolist() == [3, 7]  # as in frames
    assert table["crowding"].tolist() == [0, 2]  # neither crowds nor ignored objects
    for row, name in enumerate("ab"):
        frame = cv2.imread(str(folder / "images" / f"{name}.jpg"))[..., ::-1]
        assert tuple(table.loc[row, list(Quality._fields)]) == measure(np.ascontiguousarray(frame))


def test_frames_of_videos_are_measured(rendered: Path, tmp_path: Path) -> None:
    videos = sorted(path.name for path in (rendered / "footage").iterdir() if path.suffix in VIDEO_SUFFIXES)[:2]
    (tmp_path / "set").mkdir()
    for name in videos:
        shutil.copy(rendered / "footage" / name, tmp_path / "set" / name)
    rows = [(name, index) for index in (2, 0) for name in videos]
    images = [{"id": key, "file_name": name, "index": index} for key, (name, index) in enumerate(rows)]
    document = {"info": {}, "images": images, "annotations": [], "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(document))
    prepare(tmp_path / "set", tmp_path / "tables", strict=True)
    table = tables.read("quality", tmp_path / "tables" / "quality.parquet").set_index("frame_id")
    for key, (name, index) in enumerate(rows):
        with av.open(str(tmp_path / "set" / name)) as container:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert tuple(table.loc[key, list(Quality._fields)]) == measure(decoded[index])
    assert table["crowding"].tolist() == [0] * 4


def test_scoring_slices_by_what_was_measured(rendered: Path, tmp_path: Path) -> None:
    prepare(rendered / "data", tmp_path / "tables", strict=True)
    model = {"adapter": "small", "weights": "x.safetensors"}
    choice = {"derived": ["brightness"], "query": {"sharp": "sharpness > 0", "full": "crowding > 1000"}}
    chosen = params.parse({"dataset": {"split": "test"}, "models": {"v1": model}, "slices": choice})
    truth = load(chosen, tmp_path / "tables")
    assert {item.name: int(item.frames.sum()) for item in truth.slices} == {
        "all": 9,
        "brightness=low": 3,
        "brightness=mid": 3,
        "brightness=high": 3,  # three clips of three frames
        "query:sharp": 9,
        "query:full": 0,
    }
    quality = tables.read("quality", tmp_path / "tables" / "quality.parquet").set_index("frame_id")["brightness"]
    low, middle, high = (quality.loc[truth.frame_ids[item.frames]].mean() for item in truth.slices[1:4])
    assert low < middle < high
    (tmp_path / "tables" / "quality.parquet").unlink()
    with pytest.raises(InputError, match="needs the table quality"):
        load(chosen, tmp_path / "tables")


def change(where: str, row: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(document: dict[str, Any]) -> None:
        document[where][row].update(fields)

    return spoil


BAD = {
    "a missing image": (change("images", 0, file_name="images/gone.jpg"), r"images id 7.*gone\.jpg.*does not exist"),
    "a box outside": (
        change("annotations", 0, bbox=[50, 20, 5, 5]),
        r"annotation 11: box .*leaves its image 7 of 40x30",
    ),
    "a box over the border": (change("annotations", 0, bbox=[30, 20, 11.5, 10]), r"annotation 11: box .*leaves"),
    "a box of no width": (change("annotations", 0, bbox=[1, 1, 0, 5]), r"annotation 11: .*positive width"),
    "a box of negative height": (change("annotations", 0, bbox=[1, 1, 4, -5]), r"annotation 11: .*positive width"),
    "a box that is not a number": (change("annotations", 0, bbox=[1, 1, float("nan"), 5]), r"annotation 11: .*finite"),
    "a box of three numbers": (change("annotations", 0, bbox=[1, 1, 5]), r"annotation 11: .*four finite numbers"),
    "an unknown category": (change("annotations", 0, category_id=9), r"annotation 11: category_id 9 .*5 car, 2 bus"),
    "an unknown image": (change("annotations", 1, image_id=8), r"annotation 2: image_id 8 is not in 'images'"),
    "an image id twice": (change("images", 1, id=7), r"images row 1: id 7 stands twice"),
    "an annotation id twice": (change("annotations", 1, id=11), r"annotations row 1: id 11 stands twice"),
    "an annotation without id": (change("annotations", 1, id=None), r"annotations row 1: expected an integer 'id'"),
    "no images": (lambda document: document.update(images=[]), "empty"),
    "images that are no list": (lambda document: document.update(images={}), "'images' to be a list"),
    "another size": (change("images", 0, width=41), r"images id 7 .*described as 41x30 px, but the file holds 40x30"),
    "a colliding attribute": (change("images", 1, attributes={"clip_id": "x"}), r"attribute 'clip_id' has the name"),
    "a colliding tag": (change("annotations", 0, attributes={"crowd": "x"}), r"attribute 'crowd' has the name"),
    "an unknown label": (change("images", 1, label="damp"), r"images id 3: label 'damp' .*dry, wet"),
    "a time of day": (change("images", 0, timestamp_s="08:15"), r"images id 7: expected 'timestamp_s' in seconds"),
    "an unknown video": (change("images", 0, video_id=1, frame_index=0), r"video_id 1 is not in 'videos'"),
    "a mask of another size": (
        change("annotations", 1, segmentation={"size": [9, 9], "counts": [81]}),
        r"annotation 2: its mask is of size \[9, 9\]",
    ),
    "a mask whose text is broken": (
        change("annotations", 1, segmentation={"size": [30, 40], "counts": "no mask"}),
        r"annotation 2: the run lengths of its mask do not add up to 1200 pixels",
    ),
    "a mask of negative runs": (
        change("annotations", 1, segmentation={"size": [30, 40], "counts": [1300, -100]}),
        r"annotation 2: expected the run lengths of its mask as whole numbers",
    ),
    "a polygon of words": (
        change("annotations", 1, segmentation=[["a"] * 6]),
        r"annotation 2: expected 'segmentation' as RLE or as polygons",
    ),
    "a polygon without its last y": (
        change("annotations", 1, segmentation=[[1, 2, 4, 2, 4, 6, 1]]),
        r"annotation 2: expected 'segmentation' as RLE or as polygons",
    ),
    "an image's id that is a list": (change("annotations", 1, image_id=[3]), r"annotation 2: image_id \[3\] is not in"),
    "a category that is an object": (change("annotations", 1, category_id={}), r"annotation 2: category_id \{\} is"),
    "a video's id that is a list": (change("images", 0, video_id=[1]), r"images id 7: video_id \[1\] is not in"),
    "a map that is a number": (change("images", 0, semantic_file=4), r"images id 7: expected 'semantic_file' to be"),
    "a member that is a list": (change("images", 0, member=["a"]), r"images id 7: expected 'member' to be the name"),
    "a licence that is an object": (change("images", 0, license={}), r"images id 7: expected 'license' to be an id of"),
    "a licence without id": (
        lambda document: document.update(licenses=[{"name": "CC BY"}]),
        r"licenses row 0: expected an 'id', got None",
    ),
    "an info that is a list": (lambda document: document.update(info=[1]), r"expected 'info' to be an object"),
    "an occlusion over 1": (change("annotations", 0, occlusion=1.5), r"annotation 11: .*'occlusion' as a share"),
    "an unknown semantic class": (
        lambda document: document.update(semantic_classes=[{"id": 4, "name": "sky"}]),
        r"b\.png: class 1 is not in 'semantic_classes'",
    ),
    "a mix of types": (
        lambda document: (
            document["images"][0].update(attributes={"site": 4}),
            document["images"][1].update(attributes={"site": "x"}),
        ),
        r"'site'.*mixes types",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(name: str, small_set: Make, tmp_path: Path) -> None:
    spoil, message = BAD[name]
    folder = small_set(spoil)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "card.json").write_text("the last good one")
    with pytest.raises(InputError, match=message):
        prepare(folder, tmp_path / "tables", strict=False)
    assert [p.name for p in (tmp_path / "tables").iterdir()] == ["card.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "tables"]


def test_a_clip_has_frames_of_one_size(small_set: Make, tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["videos"] = [{"id": 1, "name": "gate"}, {"id": 2, "name": "yard"}]
        document["images"] = [
            {"id": 7, "file_name": "images/b.jpg", "video_id": 1, "frame_index": 4},
            {"id": 3, "file_name": "images/a.jpg", "video_id": 1, "frame_index": 9},
        ]
        document["annotations"] = []

    folder = small_set(spoil)
    prepare(folder, tmp_path / "tables", strict=True)
    picture = cv2.imread(str(folder / "images" / "a.jpg"))
    cv2.imwrite(str(folder / "images" / "a.jpg"), cv2.resize(picture, (32, 30)))
    with pytest.raises(InputError) as caught:
        prepare(folder, tmp_path / "other", strict=True)
    assert str(caught.value) == (
        f"{folder / 'dataset.json'}: expected frames of one size in clip 'gate', but frame 4 (images id 7) is 40x30 px "
        "and frame 9 (images id 3) is 32x30 px: bring them to one size, or make a clip of each."
    )
    assert not (tmp_path / "other").exists()
    document = json.loads((folder / "dataset.json").read_text())
    document["images"][1]["video_id"] = 2  # clips may differ
    (folder / "dataset.json").write_text(json.dumps(document))
    prepare(folder, tmp_path / "other", strict=True)


def test_a_semantic_map_of_another_size(small_set: Make, tmp_path: Path) -> None:
    folder = small_set()
    cv2.imwrite(str(folder / "semantic" / "b.png"), np.ones((30, 39), np.uint8))
    with pytest.raises(InputError, match=r"b\.png: the semantic map is 39x30 px, its image .*id 7.* 40x30 px"):
        prepare(folder, tmp_path / "tables", strict=False)


def test_no_description_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected a data set description at .*dataset\.json"):
        prepare(tmp_path, tmp_path / "tables", strict=False)
    (tmp_path / "dataset.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"dataset\.json is not valid JSON: .*line 1"):
        prepare(tmp_path, tmp_path / "tables", strict=False)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(InputError, match="expected a JSON object"):
        prepare(tmp_path, tmp_path / "tables", strict=False)


@pytest.mark.parametrize("damage", ["truncated", "rubbish", "empty"])
def test_one_corrupt_image_is_counted_and_left_out(damage: str, small_set: Make, tmp_path: Path) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    folder = small_set()
    file = folder / "images" / "b.jpg"
    data = file.read_bytes()
    file.write_bytes({"truncated": data[: len(data) * 2 // 3], "rubbish": b"no image", "empty": b""}[damage])
    if damage == "truncated":  # the reason for looking with Pillow
        assert cv2.imread(str(file)) is not None
    card = prepare(folder, tmp_path / "tables", strict=False)
    assert card["images_left_out"] == 1
    assert any("images/b.jpg does not decode" in problem for problem in card["problems"])
    assert list(tables.read("frames", tmp_path / "tables" / "frames.parquet")["frame_id"]) == [3]
    assert list(tables.read("objects", tmp_path / "tables" / "objects.parquet")["object_id"]) == [2]
    assert tables.read("semantic", tmp_path / "tables" / "semantic.parquet").empty
    with pytest.raises(InputError, match=r"b\.jpg does not decode.*run\.strict"):
        prepare(folder, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_nothing_but_corrupt_images(small_set: Make, tmp_path: Path) -> None:
    folder = small_set()
    for file in (folder / "images").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(InputError, match="none of its 2 images decodes"):
        prepare(folder, tmp_path / "tables", strict=False)


def test_a_class_without_truth_is_noted(small_set: Make, tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["categories"].append({"id": 8, "name": "tram"})
        document["images"][0]["split"] = "test"
        document["images"][1]["split"] = "train"

    card = prepare(small_set(spoil), tmp_path / "tables", strict=True)
    assert card["problems"] == [
        "Split 'test' has no truth for 2 of 3 classes: bus, tram. Their scores are not defined.",
        "Split 'train' has no truth for 2 of 3 classes: car, tram. Their scores are not defined.",
    ]


def test_licences_and_sources_are_counted(small_set: Make, tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["licenses"] = [{"id": 4, "name": "CC BY 2.0", "url": "u"}]
        document["images"][0].update(license=4, flickr_url="http://photo/1")

    card = prepare(small_set(spoil), tmp_path / "tables", strict=True)
    assert card["licences"] == [
        {"licence": "CC BY 2.0", "images": 1, "url": "u"},
        {"licence": "not stated", "images": 1, "url": ""},
    ]
    assert (tmp_path / "tables" / "attributions.csv").read_text().splitlines() == [
        "file_name,licence,source",
        "images/b.jpg,CC BY 2.0,http://photo/1",
    ]


def test_stored_pixels_count_whatever_exif_says(small_set: Make, tmp_path: Path) -> None:
    folder = small_set()
    picture = Image.open(folder / "images" / "b.jpg")
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture.save(folder / "images" / "b.jpg", exif=exif)
    prepare(folder, tmp_path / "tables", strict=True)
    frames = tables.read("frames", tmp_path / "tables" / "frames.parquet").set_index("frame_id")
    assert (frames.loc[7, "width_px"], frames.loc[7, "height_px"]) == (40, 30)
