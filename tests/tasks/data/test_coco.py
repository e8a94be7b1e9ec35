import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tasks import tables
from tasks.data.coco import import_coco
from tasks.data.frames import FrameReader
from tasks.data.prepare import prepare
from tasks.errors import InputError

REAL = os.environ.get("STORMGLASS_REAL_DATA")


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, Path]:
    """instances.json and images/ with one photograph in a subfolder."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    Image.fromarray(np.zeros((10, 12, 3), np.uint8)).save(tmp_path / "images" / "sub" / "1.jpg")
    document = {
        "images": [{"id": 1, "file_name": "sub/1.jpg", "width": 12, "height": 10, "license": 3, "coco_url": "http://x"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 12, "iscrowd": 0,
                         "segmentation": {"size": [10, 12], "counts": [11, 4, 105]}}],
        "categories": [{"id": 1, "name": "cat"}],
        "licenses": [{"id": 3, "name": "CC BY"}],
    }  # fmt: skip
    (tmp_path / "instances.json").write_text(json.dumps(document))
    return tmp_path / "instances.json", tmp_path / "images"


def test_import_keeps_every_field_and_leaves_the_source_alone(source: tuple[Path, Path], tmp_path: Path) -> None:
    before = source[0].read_bytes()
    import_coco(*source, tmp_path / "new")
    found = json.loads((tmp_path / "new" / "dataset.json").read_text())
    given = json.loads(before)
    given["images"][0]["file_name"] = "images/sub/1.jpg"
    assert found == given
    assert source[0].read_bytes() == before
    card = prepare(tmp_path / "new", tmp_path / "tables", strict=True)
    assert card["licences"] == [{"licence": "CC BY", "images": 1, "url": ""}]
    objects = tables.read("objects", tmp_path / "tables" / "objects.parquet")
    assert objects.loc[0, "mask"] is not None


def test_semantic_maps_come_along_with_0_as_ignore(source: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "maps" / "sub").mkdir(parents=True)
    label_map = np.zeros((10, 12), np.uint8)
    label_map[:, 5:] = 200
    Image.fromarray(label_map).save(tmp_path / "maps" / "sub" / "1.png")
    (tmp_path / "names.yaml").write_text("classes:\n  0: unlabeled\n  200: rug\n")
    import_coco(*source, tmp_path / "new", semantic_dir=tmp_path / "maps", semantic_classes=tmp_path / "names.yaml")
    prepare(tmp_path / "new", tmp_path / "tables", strict=True)
    encoded = tables.read("semantic", tmp_path / "tables" / "semantic.parquet").loc[0, "label_map"]
    assert np.array_equal(tables.decode_label_map(encoded), np.where(label_map == 0, 255, label_map))


def spoil(path: Path, where: str, **fields: Any) -> None:
    document = json.loads(path.read_text())
    document[where][0].update(fields)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("where", "fields", "message"),
    [
        ("images", {"file_name": "sub/2.jpg"}, r"images id 1: its file .*2\.jpg does not exist"),
        ("images", {"file_name": "../1.jpg"}, r"images id 1: .*inside the folder"),
        ("annotations", {"category_id": 4}, r"annotation 1: category_id 4"),
        ("annotations", {"bbox": [1, 1, 0, 3]}, r"annotation 1: .*positive width"),
        ("annotations", {"bbox": [-3, 1, 4, 4]}, r"annotation 1: box .*leaves its image 1 of 12x10"),
    ],
)
def test_bad_input_writes_nothing(
    where: str, fields: dict[str, Any], message: str, source: tuple[Path, Path], tmp_path: Path
) -> None:
    spoil(source[0], where, **fields)
    with pytest.raises(InputError, match=message):
        import_coco(*source, tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "instances.json"]


def test_no_file_of_annotations_is_said(source: tuple[Path, Path], tmp_path: Path) -> None:
    for place, found in ((tmp_path / "gone.json", "nothing"), (source[1], "a folder")):
        with pytest.raises(InputError, match=f"Expected a COCO file .* at {place}, found {found}"):
            import_coco(place, source[1], tmp_path / "new")


def test_a_folder_in_use_is_refused(source: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not empty"):
        import_coco(*source, tmp_path)


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="STORMGLASS_REAL_DATA is not set")
def test_photographs_of_coco_as_pycocotools_reads_them(tmp_path: Path) -> None:
    real = Path(str(REAL)) / "coco"
    import_coco(
        real / "instances.json", real / "images", tmp_path / "coco",
        semantic_dir=real / "semantic", semantic_classes=real / "semantic_classes.yaml",
    )  # fmt: skip
    card = prepare(tmp_path / "coco", tmp_path / "tables", strict=True)
    frames = tables.read("frames", tmp_path / "tables" / "frames.parquet")
    objects = tables.read("objects", tmp_path / "tables" / "objects.parquet")
    coco = COCO(str(real / "instances.json"))
    assert len(frames) == len(coco.imgs) == 27
    assert len(objects) == len(coco.anns) == 174
    for row in objects.itertuples():
        annotation = coco.anns[row.object_id]
        x, y, w, h = annotation["bbox"]
        assert (row.frame_id, row.class_id) == (annotation["image_id"], annotation["category_id"])
        assert (row.x0_px, row.y0_px, row.x1_px, row.y1_px) == pytest.approx((x, y, x + w, y + h), abs=1)
        assert row.area_px == annotation["area"]
        assert row.crowd == bool(annotation["iscrowd"])
    classes = tables.read("classes", tmp_path / "tables" / "classes.parquet")
    names = classes[classes["kind"] == "object"].set_index("class_id")["name"].to_dict()
    assert names == {key: category["name"] for key, category in coco.cats.items()}
    counts = Counter(image["image_licence"] for image in coco.imgs.values())
    assert {row["licence"]: row["images"] for row in card["licences"]} == counts
    for frame, row in zip(FrameReader(tmp_path / "coco").read(frames), frames.itertuples(), strict=True):
        image = coco.imgs[row.frame_id]
        assert frame.shape == (image["height"], image["width"], 3)
    semantic = tables.read("semantic", tmp_path / "tables" / "semantic.parquet").set_index("frame_id")["label_map"]
    for row in frames.itertuples():
        given = np.asarray(Image.open(real / "semantic" / f"{row.frame_id:012d}.png"))
        kept = tables.decode_label_map(semantic[row.frame_id])
        assert np.array_equal(kept[given != 0], given[given != 0])
        assert (kept[given == 0] == 255).all()
