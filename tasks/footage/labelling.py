"""Sampled frames as a COCO set for labelling, what the model says of them beside it, and labels taken back.

What the model says is no truth: it stands in a results file of its own, which labelling tools load as pre-labels, and
the instances file has no annotation until somebody made one.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from tasks.data import check
from tasks.data.coco import import_coco
from tasks.errors import InputError

Frame = npt.NDArray[np.uint8]

IMAGES: Final = "images"
INSTANCES: Final = "instances.json"
PRELABELS: Final = "prelabels.json"

OURS: Final = ("video_id", "frame_index", "timestamp_s", "attributes")
"""Fields of an image that labelling tools may lose: taken from what was exported."""


def file_name(clip_id: str, frame_index: int) -> str:
    """Of a frame's picture: the same whenever it is sampled."""
    return f"{clip_id}-{frame_index:06d}.png"


def write_image(folder: Path, name: str, pixels: Frame) -> None:
    """Write a frame, uint8 RGB (H, W, 3), losslessly: labels are set against what the model sees."""
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / IMAGES / name)


def write(
    folder: Path,
    sample: pd.DataFrame,
    sizes: Mapping[str, tuple[int, int]],
    *,
    categories: Mapping[int, str],
    said: Sequence[Mapping[str, Any]],
) -> None:
    """Write instances.json, without annotations, and prelabels.json, COCO's list of results.

    Args:
        folder: has the images already.
        sample: `footage_sample`.
        sizes: file_name -> width and height in px.
        categories: of the data set that the model was validated on.
        said: the model's boxes in COCO's form of results.
    """
    videos = {clip_id: number for number, clip_id in enumerate(dict.fromkeys(sample["clip_id"]), 1)}
    images = [
        {
            "id": int(row["image_id"]),
            "file_name": row["file_name"],
            "width": sizes[row["file_name"]][0],
            "height": sizes[row["file_name"]][1],
            "video_id": videos[row["clip_id"]],
            "frame_index": int(row["frame_index"]),
            "attributes": {"camera": row["camera"]},
        }
        for row in sample.to_dict("records")
    ]
    document = {
        "info": {
            "description": "Frames of new footage to be labelled. No annotation is here yet; an image that comes back "
            "without one counts as empty, one that is left out counts for nothing."
        },
        "categories": [{"id": key, "name": name} for key, name in categories.items()],
        "videos": [{"id": number, "name": clip_id} for clip_id, number in videos.items()],
        "images": images,
        "annotations": [],
    }
    _dump(document, folder / INSTANCES)
    _dump(list(said), folder / PRELABELS)


def names(labels: Path) -> list[str]:
    """The last parts of the file names of a labels file.

    Raises:
        InputError: it is no COCO file, or two images are called the same.
    """
    document = check.load(labels)
    check.document(document, str(labels))
    found = [PurePosixPath(image["file_name"]).name for image in document["images"]]
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{labels}: two images are called '{twice}'; expected each sampled frame once.")
    return found


def take_back(folder: Path, labels: Path, target: Path) -> tuple[int, int]:
    """Make a data set of labelled frames at `target`: dataset.json and images/; how many images and annotations.

    Images are known by the last part of their names. Which clip and camera they are of comes from what was exported, as
    tools lose such fields; classes are the labels' own, known by their names.

    Args:
        folder: what `write` made.
        labels: a COCO instances file of all or some of its images.
        target: a folder that does not exist yet.

    Raises:
        InputError: the labels are no COCO file, or of images that were not exported.
    """
    given = names(labels)
    exported = check.load(folder / INSTANCES)
    known = {image["file_name"]: image for image in exported["images"]}
    document = check.load(labels)
    for image, name in zip(document["images"], given, strict=True):
        if name not in known:
            raise InputError(f"{labels}: image '{name}' was not exported to {folder}: expected those in {INSTANCES}.")
        for side in ("width", "height"):
            if image.get(side, known[name][side]) != known[name][side]:
                raise InputError(
                    f"{labels}: image '{name}': expected {side} {known[name][side]} px as exported, got {image[side]}: "
                    "label the frames at their own size."
                )
        image |= {key: value for key, value in known[name].items() if key in OURS} | {"file_name": name}
    used = {image["video_id"] for image in document["images"]}
    document["videos"] = [video for video in exported["videos"] if video["id"] in used]
    document.setdefault("info", {})
    merged = target.with_name(f".{target.name}.json")
    merged.parent.mkdir(parents=True, exist_ok=True)
    try:
        _dump(document, merged)
        import_coco(merged, folder / IMAGES, target)
    finally:
        merged.unlink(missing_ok=True)
    return len(document["images"]), len(document.get("annotations", []))


def _dump(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
