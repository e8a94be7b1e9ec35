"""dataset.json and its images to tables, checked; everything later reads those."""

import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from pycocotools import mask as coco_mask

from tasks import tables
from tasks.data import card, check
from tasks.data.decoded import Entry, Size, decoded
from tasks.errors import InputError
from tasks.quality import Quality


def prepare(dataset_dir: Path, tables_dir: Path, *, strict: bool) -> dict[str, Any]:
    """Check the data set in `dataset_dir` and write its tables and card to `tables_dir`, all of them or none.

    Every image is decoded, checked and measured. One that does not decode is left out with its annotations, and named
    in the card.

    Args:
        dataset_dir: holds dataset.json and what it names.
        tables_dir: gets frames, objects, semantic, quality and classes (Parquet), card.json and, where images name
            their sources, attributions.csv. It is replaced as a whole.
        strict: an image that does not decode is an error.

    Returns:
        The card.

    Raises:
        InputError: the data set is unfit; the message names the file and the row or id.
    """
    path = dataset_dir / "dataset.json"
    document = check.load(path)
    check.document(document, str(path))
    sizes, measured, problems = decoded(document["images"], dataset_dir)
    if problems and strict:
        raise InputError(f"{next(iter(problems.values()))} run.strict is set, so it stops here.")
    if not sizes:
        raise InputError(f"{path}: none of its {len(problems)} images decodes: {next(iter(problems.values()))}")
    images = [image for image in document["images"] if image["id"] in sizes]
    _same_sizes(images, sizes, path)
    frames = _frames(document, images, sizes, path)
    objects = _objects(document, frames, sizes, path)
    semantic = _semantic(document, frames, dataset_dir, sizes, path)
    quality = _quality(frames, objects, measured)
    classes = _classes(document)
    described = card.describe(document, frames, objects, semantic, classes, list(problems.values()), dataset_dir)
    tables_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{tables_dir.name}.", dir=tables_dir.parent) as scratch:
        folder = Path(scratch) / "tables"
        written = {"frames": frames, "objects": objects, "semantic": semantic, "quality": quality, "classes": classes}
        for name, table in written.items():
            tables.write(name, table, folder / f"{name}.parquet")
        text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        (folder / "card.json").write_text(text, encoding="utf-8")
        sources = card.attributions(document)
        if not sources.empty:
            sources.to_csv(folder / "attributions.csv", index=False, lineterminator="\n")
        if tables_dir.exists():
            shutil.rmtree(tables_dir)
        folder.replace(tables_dir)
    return described


def _same_sizes(images: Sequence[Entry], sizes: Mapping[int, Size], path: Path) -> None:
    for image in images:
        width, height = sizes[image["id"]]
        if (image.get("width") or width, image.get("height") or height) != (width, height):
            raise InputError(
                f"{path}: images id {image['id']} ({image['file_name']}): described as {image.get('width')}x"
                f"{image.get('height')} px, but the file holds {width}x{height} px."
            )


def _frames(document: Entry, images: Sequence[Entry], sizes: Mapping[int, Size], path: Path) -> pd.DataFrame:
    videos = {video["id"]: str(video.get("name", video["id"])) for video in document.get("videos", [])}
    names = sorted({name for image in images for name in image.get("attributes") or {}})
    rows = []
    for image in images:
        width, height = sizes[image["id"]]
        clip, index = _place(image, videos)
        tags = image.get("attributes") or {}
        rows.append(
            {
                "frame_id": image["id"],
                "clip_id": clip,
                "frame_index": index,
                "split": image.get("split"),
                "source_file": image["file_name"],
                "source_member": image.get("member"),
                "source_index": image.get("index"),
                "width_px": width,
                "height_px": height,
                "label_id": check.label_id(image, document.get("labels", [])),
                "timestamp_s": image.get("timestamp_s"),
                **{name: tags.get(name) for name in names},
            }
        )
    frames = pd.DataFrame(rows).sort_values(["clip_id", "frame_index", "frame_id"], kind="stable", ignore_index=True)
    twice = frames[frames.duplicated(["clip_id", "frame_index"])]
    if not twice.empty:
        row = twice.iloc[0]
        raise InputError(
            f"{path}: images id {row['frame_id']}: clip '{row['clip_id']}' has a frame {row['frame_index']} already."
        )
    split = frames.groupby("clip_id", sort=False)["split"].nunique(dropna=False)
    if (split > 1).any():
        raise InputError(f"{path}: clip '{split.index[split > 1][0]}' lies in more than one split; split by clip.")
    _one_size(frames, path)
    for name in ("source_index", "label_id"):
        frames[name] = frames[name].astype("Int32")
    frames["timestamp_s"] = frames["timestamp_s"].astype(float)
    return frames


def _one_size(frames: pd.DataFrame, path: Path) -> None:
    """Refuse a clip whose frames differ in size: a codec codes it as one stream, and a tracker follows it in pixels."""
    sizes = frames[["width_px", "height_px"]]
    first = frames.groupby("clip_id", sort=False)[["width_px", "height_px"]].transform("first")
    other = frames[(sizes != first).any(axis=1)]
    if other.empty:
        return
    row = other.iloc[0]
    start = frames[frames["clip_id"] == row["clip_id"]].iloc[0]
    told = [
        f"frame {one['frame_index']} (images id {one['frame_id']}) is {one['width_px']}x{one['height_px']} px"
        for one in (start, row)
    ]
    raise InputError(
        f"{path}: expected frames of one size in clip '{row['clip_id']}', but {told[0]} and {told[1]}: bring them to "
        "one size, or make a clip of each."
    )


def _place(image: Entry, videos: Mapping[int, str]) -> tuple[str, int]:
    """Clip and frame index: of its video, else of its video file, else of the still alone."""
    if image.get("video_id") is not None:
        return videos[image["video_id"]], int(image["frame_index"])
    if image.get("index") is not None:
        return str(image["file_name"]), int(image["index"])
    member = image.get("member")
    return f"{image['file_name']}/{member}" if member else str(image["file_name"]), 0


def _objects(document: Entry, frames: pd.DataFrame, sizes: Mapping[int, Size], path: Path) -> pd.DataFrame:
    kept = [entry for entry in document.get("annotations", []) if entry["image_id"] in sizes]
    names = sorted({name for entry in kept for name in entry.get("attributes") or {}})
    order = {int(key): row for row, key in enumerate(frames["frame_id"])}
    kept.sort(key=lambda entry: (order[entry["image_id"]], entry["id"]))
    rows = []
    for entry in kept:
        width, height = sizes[entry["image_id"]]
        x0, y0, x1, y1 = check.box(entry, width, height, str(path))
        tags = entry.get("attributes") or {}
        area = entry.get("area")
        rows.append(
            {
                "object_id": entry["id"],
                "frame_id": entry["image_id"],
                "class_id": entry["category_id"],
                "x0_px": x0,
                "y0_px": y0,
                "x1_px": x1,
                "y1_px": y1,
                "area_px": (x1 - x0) * (y1 - y0) if area is None else float(area),
                "mask": _mask(entry, width, height, path),
                "track_id": entry.get("track_id"),
                "crowd": bool(entry.get("iscrowd", False)),
                "ignore": bool(entry.get("ignore", False)),
                "occlusion": entry.get("occlusion"),
                "truncation": entry.get("truncation"),
                **{name: tags.get(name) for name in names},
            }
        )
    objects = pd.DataFrame(rows, columns=[*tables.SCHEMAS["objects"].names, *names])
    objects["track_id"] = objects["track_id"].astype("Int64")
    return objects


def _mask(entry: Entry, width: int, height: int, path: Path) -> bytes | None:
    """The segmentation (polygons, or RLE with counts as a list or as text) as COCO's compressed RLE."""
    given = entry.get("segmentation")
    if not given:
        return None
    at = f"{path}: annotation {entry['id']}"
    if isinstance(given, dict):
        size = given.get("size")
        if size != [height, width]:
            raise InputError(f"{at}: its mask is of size {size}, expected [height, width] = [{height}, {width}].")
        counts = given["counts"]
        try:
            if isinstance(counts, str):
                coco_mask.decode({"size": size, "counts": counts.encode("ascii")})  # broken ones show nowhere else
                return counts.encode("ascii")
            if sum(counts) == width * height:
                return bytes(coco_mask.frPyObjects(given, height, width)["counts"])
        except ValueError:
            pass
        raise InputError(f"{at}: the run lengths of its mask do not add up to {width * height} pixels.")
    return bytes(coco_mask.merge(coco_mask.frPyObjects(given, height, width))["counts"])


def _semantic(
    document: Entry, frames: pd.DataFrame, dataset_dir: Path, sizes: Mapping[int, Size], path: Path
) -> pd.DataFrame:
    known = [entry["id"] for entry in document.get("semantic_classes", [])]
    files = {image["id"]: image["semantic_file"] for image in document["images"] if image.get("semantic_file")}
    rows = []
    for key in (int(key) for key in frames["frame_id"]):
        if key not in files:
            continue
        file = dataset_dir / files[key]
        label_map = read_label_map(file)
        width, height = sizes[key]
        if label_map.shape != (height, width):
            raise InputError(
                f"{file}: the semantic map is {label_map.shape[1]}x{label_map.shape[0]} px, its image (images id "
                f"{key} of {path.name}) {width}x{height} px."
            )
        strange = np.setdiff1d(np.unique(label_map), [*known, tables.IGNORE])
        if strange.size:
            raise InputError(f"{file}: class {strange[0]} is not in 'semantic_classes' of {path}.")
        rows.append({"frame_id": key, "label_map": tables.encode_label_map(label_map)})
    return pd.DataFrame(rows, columns=["frame_id", "label_map"])


def read_label_map(path: Path) -> npt.NDArray[np.uint8]:
    """A semantic map, uint8 (H, W), from a grey or palette PNG.

    Raises:
        InputError: no such file, it does not decode, or it has more than one channel of 8 bits.
    """
    if not path.is_file():
        raise InputError(f"Expected a semantic map at {path}, found none.")
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
            if image.mode not in ("L", "P"):
                raise InputError(f"{path}: expected class ids in one 8-bit channel, got an image of mode {image.mode}.")
            return np.asarray(image, np.uint8)
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path} is not a readable semantic map: {error}.") from None


def _quality(frames: pd.DataFrame, objects: pd.DataFrame, measured: Mapping[int, Quality]) -> pd.DataFrame:
    counted = objects.loc[~(objects["crowd"].astype(bool) | objects["ignore"].astype(bool)), "frame_id"]
    table = pd.DataFrame([measured[int(key)] for key in frames["frame_id"]], columns=Quality._fields)
    table.insert(0, "frame_id", frames["frame_id"])
    return table.assign(crowding=counted.value_counts().reindex(frames["frame_id"], fill_value=0).to_numpy())


def _classes(document: Entry) -> pd.DataFrame:
    rows = [
        {"kind": kind, "class_id": entry["id"], "name": entry["name"]}
        for kind, name in (("object", "categories"), ("semantic", "semantic_classes"), ("label", "labels"))
        for entry in sorted(document.get(name, []), key=lambda entry: int(entry["id"]))
    ]
    return pd.DataFrame(rows, columns=["kind", "class_id", "name"])
