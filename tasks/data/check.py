"""What makes a data set in the exchange form (dataset.json, COCO with videos) unfit, said in one sentence."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tasks import tables
from tasks.errors import InputError
from tasks.tables import IGNORE

Entry = Mapping[str, Any]

OVERRUN_PX: Final = 1.0
"""Boxes of real data sets overrun the border by rounding: up to this much is cut off, more is an error."""


def load(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        InputError: no such file, no JSON, or not an object.
    """
    if not path.is_file():
        raise InputError(
            f"Expected a data set description at {path}, found none: `stormglass import` or `stormglass crossing` "
            "writes one."
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a JSON object with images and annotations, got {type(document).__name__}.")
    return document


def document(found: Mapping[str, Any], where: str) -> None:
    """Check everything that can be checked without the pixels.

    Args:
        found: the content of dataset.json, or a COCO instances file.
        where: its name in errors.

    Raises:
        InputError: the first thing that is wrong, with the list and the id of the entry.
    """
    for name in ("images", "annotations", "categories", "videos", "licenses", "semantic_classes", "labels"):
        entries = found.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(f"{where}: expected '{name}' to be a list of objects.")
    if not found.get("images"):
        raise InputError(f"{where}: the data set is empty, expected at least one entry in 'images'.")
    if not isinstance(found.get("info") or {}, dict):
        raise InputError(f"{where}: expected 'info' to be an object, got {type(found['info']).__name__}.")
    for row, entry in enumerate(found.get("licenses", [])):
        if not isinstance(entry.get("id"), int | str):
            raise InputError(f"{where}: licenses row {row}: expected an 'id', got {entry.get('id')!r}.")
    images = _by_id(found["images"], "images", where)
    categories = _by_id(found.get("categories", []), "categories", where)
    videos = _by_id(found.get("videos", []), "videos", where)
    labels = _by_id(found.get("labels", []), "labels", where)
    semantic = _by_id(found.get("semantic_classes", []), "semantic_classes", where)
    for name, classes in (("categories", categories), ("labels", labels), ("semantic_classes", semantic)):
        _named(classes, name, where)
    for key in semantic:
        if not 0 <= key < IGNORE:
            raise InputError(f"{where}: semantic_classes id {key}: expected 0 to {IGNORE - 1} ({IGNORE} is 'ignore').")
    for image in images.values():
        _image(image, videos, labels, bool(semantic), where)
    _attributes(images.values(), "frames", where)
    annotations = _by_id(found.get("annotations", []), "annotations", where)
    for annotation in annotations.values():
        _annotation(annotation, images, categories, where)
    _attributes(annotations.values(), "objects", where)


def box(annotation: Entry, width_px: int, height_px: int, where: str) -> tuple[float, float, float, float]:
    """The annotation's box as xyxy, cut at the border of its image.

    Raises:
        InputError: it lies outside or reaches out by more than a pixel.
    """
    x, y, w, h = (float(value) for value in annotation["bbox"])
    over = max(-x, -y, x + w - width_px, y + h - height_px)
    cut = max(x, 0.0), max(y, 0.0), min(x + w, float(width_px)), min(y + h, float(height_px))
    if over > OVERRUN_PX or cut[2] <= cut[0] or cut[3] <= cut[1]:
        raise InputError(
            f"{where}: annotation {annotation['id']}: box [x, y, width, height] = [{x:g}, {y:g}, {w:g}, {h:g}] leaves "
            f"its image {annotation['image_id']} of {width_px}x{height_px} px; expected it inside."
        )
    return cut


def label_id(image: Entry, labels: Iterable[Entry]) -> int | None:
    """The id of the image's frame label, which may be given by id or by name; None without one."""
    given = image.get("label")
    if given is None:
        return None
    return next((int(entry["id"]) for entry in labels if given in (entry["id"], entry["name"])), None)


def _by_id(entries: list[dict[str, Any]], name: str, where: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for row, entry in enumerate(entries):
        key = entry.get("id")
        if not isinstance(key, int) or isinstance(key, bool) or not -(2**63) <= key < 2**63:
            raise InputError(f"{where}: {name} row {row}: expected an integer 'id', got {key!r}.")
        if key in found:
            raise InputError(f"{where}: {name} row {row}: id {key} stands twice; ids must be unique.")
        found[key] = entry
    return found


def _named(classes: Mapping[int, Entry], name: str, where: str) -> None:
    seen: dict[str, int] = {}
    for key, entry in classes.items():
        title = entry.get("name")
        if not isinstance(title, str) or not title:
            raise InputError(f"{where}: {name} id {key}: expected a 'name', got {title!r}.")
        if title in seen:
            raise InputError(f"{where}: {name}: '{title}' names both id {seen[title]} and id {key}.")
        seen[title] = key
        if not -(2**31) <= key < 2**31:
            raise InputError(f"{where}: {name} id {key}: expected a 32-bit number.")


def _image(image: Entry, videos: Mapping[int, Entry], labels: Mapping[int, Entry], semantic: bool, where: str) -> None:
    at = f"{where}: images id {image['id']}"
    if not isinstance(image.get("file_name"), str) or not image["file_name"]:
        raise InputError(f"{at}: expected a 'file_name', got {image.get('file_name')!r}.")
    for name in ("width", "height"):
        value = image.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise InputError(f"{at} ({image['file_name']}): expected '{name}' in whole pixels, got {value!r}.")
    for name in ("index", "frame_index"):
        value = image.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31):
            raise InputError(f"{at}: expected '{name}' to be a frame number from 0, got {value!r}.")
    time = image.get("timestamp_s")
    if time is not None and (not isinstance(time, int | float) or isinstance(time, bool) or not math.isfinite(time)):
        raise InputError(f"{at}: expected 'timestamp_s' in seconds, got {time!r}.")
    for name in ("member", "semantic_file"):
        if image.get(name) is not None and not isinstance(image[name], str):
            raise InputError(f"{at}: expected '{name}' to be the name of a file, got {image[name]!r}.")
    if isinstance(image.get("license"), list | dict):
        raise InputError(f"{at}: expected 'license' to be an id of 'licenses', got {image['license']!r}.")
    if image.get("video_id") is not None:
        if not _among(image["video_id"], videos):
            raise InputError(f"{at}: video_id {image['video_id']!r} is not in 'videos'.")
        if image.get("frame_index") is None:
            raise InputError(f"{at}: a frame of a video needs 'frame_index'.")
    if image.get("split") is not None and not isinstance(image["split"], str):
        raise InputError(f"{at}: expected 'split' to be a name, got {image['split']!r}.")
    if image.get("label") is not None and label_id(image, labels.values()) is None:
        known = ", ".join(str(entry["name"]) for entry in labels.values()) or "none"
        raise InputError(f"{at}: label {image['label']!r} is not in 'labels': {known}.")
    if image.get("semantic_file") is not None and not semantic:
        raise InputError(f"{at}: it has a 'semantic_file', but the data set has no 'semantic_classes'.")


def _annotation(annotation: Entry, images: Mapping[int, Entry], categories: Mapping[int, Entry], where: str) -> None:
    at = f"{where}: annotation {annotation['id']}"
    if not _among(annotation.get("image_id"), images):
        raise InputError(f"{at}: image_id {annotation.get('image_id')!r} is not in 'images'.")
    if not _among(annotation.get("category_id"), categories):
        known = ", ".join(f"{key} {entry['name']}" for key, entry in list(categories.items())[:8]) or "none"
        more = f" and {len(categories) - 8} more" if len(categories) > 8 else ""
        raise InputError(f"{at}: category_id {annotation.get('category_id')!r} is not in 'categories': {known}{more}.")
    given = annotation.get("bbox")
    if not isinstance(given, list) or len(given) != 4 or not all(_number(value) for value in given):
        raise InputError(f"{at}: expected 'bbox' as four finite numbers [x, y, width, height], got {given!r}.")
    if given[2] <= 0 or given[3] <= 0:
        raise InputError(f"{at}: expected a box of positive width and height, got {given[2]:g} x {given[3]:g} px.")
    if annotation.get("area") is not None and (not _number(annotation["area"]) or annotation["area"] < 0):
        raise InputError(f"{at}: expected 'area' in square pixels, got {annotation['area']!r}.")
    for name in ("occlusion", "truncation"):
        value = annotation.get(name)
        if value is not None and (not _number(value) or not 0 <= value <= 1):
            raise InputError(f"{at}: expected '{name}' as a share from 0 to 1, got {value!r}.")
    track = annotation.get("track_id")
    if track is not None and (not isinstance(track, int) or isinstance(track, bool)):
        raise InputError(f"{at}: expected an integer 'track_id', got {track!r}.")
    _segmentation(annotation.get("segmentation"), at)


def _segmentation(given: Any, at: str) -> None:
    """Of polygons or run lengths what hangs on no size."""
    if not given:
        return
    if isinstance(given, dict):
        counts = given.get("counts")
        listed = isinstance(counts, list) and all(_number(run) and run >= 0 and run == int(run) for run in counts)
        if not listed and not (isinstance(counts, str) and counts.isascii()):
            raise InputError(f"{at}: expected the run lengths of its mask as whole numbers, or as COCO's text.")
    elif not (isinstance(given, list) and all(_polygon(part) for part in given)):
        raise InputError(
            f"{at}: expected 'segmentation' as RLE or as polygons, each [x, y, x, y, ...] of at least three points."
        )


def _polygon(given: Any) -> bool:
    return isinstance(given, list) and len(given) >= 6 and len(given) % 2 == 0 and all(_number(at) for at in given)


def _attributes(entries: Iterable[Entry], table: str, where: str) -> None:
    declared = set(tables.SCHEMAS[table].names)
    for entry in entries:
        given = entry.get("attributes")
        if given is None:
            continue
        if not isinstance(given, dict):
            raise InputError(f"{where}: id {entry['id']}: expected 'attributes' to be an object, got {given!r}.")
        for name, value in given.items():
            if name in declared:
                raise InputError(
                    f"{where}: id {entry['id']}: attribute '{name}' has the name of a column of the table '{table}'; "
                    "rename it."
                )
            if value is not None and not isinstance(value, str | int | float | bool):
                raise InputError(f"{where}: id {entry['id']}: attribute '{name}' must be text or a number: {value!r}.")


def _among(key: Any, entries: Mapping[int, Entry]) -> bool:
    """Whether what should be an id of another list is one; JSON may hold anything there."""
    return not isinstance(key, list | dict) and key in entries


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
