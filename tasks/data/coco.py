"""Import of COCO: an instances file and its folder of images become a data set in the exchange form."""

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tasks import tables
from tasks.data import check
from tasks.data.prepare import read_label_map
from tasks.data.scene.files import write_json
from tasks.errors import InputError


def import_coco(
    annotations: Path,
    images_dir: Path,
    dest: Path,
    *,
    semantic_dir: Path | None = None,
    semantic_classes: Path | None = None,
) -> None:
    """Write `dest` with dataset.json and images/, the latter linked where the file system allows it, else copied.

    Licence and attribution fields stay as they are.

    Args:
        annotations: COCO instances JSON (boxes; polygons or RLE where there are any).
        images_dir: what the `file_name`s are relative to.
        dest: a folder that does not exist yet, or an empty one.
        semantic_dir: PNG maps of category ids named as the images; 0 is unlabelled and becomes 255.
        semantic_classes: YAML with `classes: {id: name}` for them.

    Raises:
        InputError: a file is missing or unfit, or `dest` is not empty; nothing is written then.
    """
    if not annotations.is_file():
        found = "a folder" if annotations.is_dir() else "nothing"
        raise InputError(f"Expected a COCO file of annotations (JSON) at {annotations}, found {found}.")
    document = check.load(annotations)
    check.document(document, str(annotations))
    if (semantic_dir is None) != (semantic_classes is None):
        raise InputError("Semantic maps need both their folder and the file that names their classes.")
    if dest.exists() and not dest.is_dir():
        raise InputError(f"{dest} is a file: give a new folder for the data set.")
    if dest.exists() and any(dest.iterdir()):
        raise InputError(f"{dest} is not empty: give a new folder for the data set.")
    for image in document["images"]:
        _check_image(image, annotations, images_dir)
    sizes = {image["id"]: (image.get("width"), image.get("height")) for image in document["images"]}
    for annotation in document.get("annotations", []):
        width, height = sizes[annotation["image_id"]]
        if width is not None and height is not None:
            check.box(annotation, width, height, str(annotations))
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dest.name}.", dir=dest.parent) as scratch:
        folder = Path(scratch) / "data"
        images = []
        for image in document["images"]:
            target = folder / "images" / image["file_name"]
            _place(images_dir / image["file_name"], target)
            images.append({**image, "file_name": f"images/{image['file_name']}"})
        written = {**document, "images": images}
        if semantic_dir is not None and semantic_classes is not None:
            written["semantic_classes"] = _semantic_classes(semantic_classes)
            known = {entry["id"] for entry in written["semantic_classes"]}
            for image in images:
                _semantic(image, semantic_dir, known, folder)
        write_json(written, folder / "dataset.json")
        if dest.exists():
            dest.rmdir()
        folder.replace(dest)


def _check_image(image: dict[str, Any], annotations: Path, images_dir: Path) -> None:
    name = PurePosixPath(image["file_name"])
    if name.is_absolute() or ".." in name.parts:
        raise InputError(
            f"{annotations}: images id {image['id']}: expected file_name '{name}' to lie inside the folder of images."
        )
    if not (images_dir / name).is_file():
        raise InputError(
            f"{annotations}: images id {image['id']}: its file {images_dir / name} does not exist; is --images right?"
        )


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _semantic_classes(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"Expected the names of the semantic classes at {path}, found no file.")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    classes = found.get("classes") if isinstance(found, dict) else None
    if not isinstance(classes, dict) or not all(isinstance(key, int) and 0 <= key < tables.IGNORE for key in classes):
        raise InputError(f"{path}: expected 'classes' with ids from 0 to {tables.IGNORE - 1} and their names.")
    return [{"id": key, "name": str(classes[key])} for key in sorted(classes) if key != 0]


def _semantic(image: dict[str, Any], semantic_dir: Path, known: set[int], folder: Path) -> None:
    name = PurePosixPath(image["file_name"]).relative_to("images").with_suffix(".png")
    label_map = read_label_map(semantic_dir / name)
    label_map = np.where(label_map == 0, tables.IGNORE, label_map).astype(np.uint8)
    strange = sorted({int(value) for value in np.unique(label_map)} - known - {tables.IGNORE})
    if strange:
        raise InputError(f"{semantic_dir / name}: class {strange[0]} has no name among the semantic classes.")
    target = folder / "semantic" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label_map).save(target)
    image["semantic_file"] = f"semantic/{name}"
