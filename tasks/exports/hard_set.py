"""A hard set: frames that models failed on, as a data set in the exchange form that a run can be pointed at.

Clean, it holds the frames' own files and their own entries of dataset.json. Corrupted, it holds the pictures as the
models saw them, one for each cell that a frame was picked in, with the truth where the corruption has it.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from tasks import corruptions, exports
from tasks.data import check
from tasks.data.frames import FrameReader
from tasks.errors import InputError
from tasks.gallery.source import Source
from tasks.layout import Layout, slug
from tasks.params import Params

Entry = dict[str, Any]

ADDED: Final = ("corruption", "severity", "source_frame")
"""Attributes that corrupted images get: what was done to which frame. They become columns, and so can be slices."""

_PLACE: Final = ("member", "index", "video_id", "frame_index")


def write(params: Params, layout: Layout, chosen: pd.DataFrame, out: Path, *, corrupted: bool,
          asked: Mapping[str, Any] | None = None) -> dict[str, int]:  # fmt: skip
    """Write the frames of `chosen` to `out`: dataset.json, images/ and label maps; whole or not at all.

    Each image's `failures` say why it was taken: rows of `chosen`.

    Args:
        params: of the run.
        layout: of the run.
        chosen: rows of `selection.choose`.
        out: a folder that does not exist yet, or an empty one.
        corrupted: pictures as corrupted, instead of the frames as they are.
        asked: goes into `info`.

    Returns:
        How many images, annotations and clips were written.

    Raises:
        InputError: the data set is not the one that was prepared, a frame cannot be read, or `out` is taken.
    """
    with exports.staged(out) as folder:
        made = _Made(params, Source(params, layout), folder)
        if corrupted:
            _corrupted(made, chosen)
        else:
            _clean(made, chosen)
        document = made.document(asked or {}, corrupted=corrupted)
        check.document(document, f"{out}/dataset.json")
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        (folder / "dataset.json").write_text(text, encoding="utf-8")
    clips = {image.get("video_id", f"still {image['id']}") for image in made.images}
    return {"images": len(made.images), "annotations": len(made.annotations), "clips": len(clips)}


@dataclass
class _Made:
    """The data set in the making, and the one that it is taken from."""

    params: Params
    source: Source
    folder: Path
    images: list[Entry] = field(default_factory=list)
    annotations: list[Entry] = field(default_factory=list)
    videos: dict[str, Entry] = field(default_factory=dict)

    @cached_property
    def root(self) -> Path:
        return self.params.resolve(self.params.dataset.path)

    @cached_property
    def original(self) -> Entry:
        return check.load(self.root / "dataset.json")

    @cached_property
    def entries(self) -> dict[int, Entry]:
        return {image["id"]: image for image in self.original["images"]}

    @cached_property
    def annotated(self) -> dict[int, list[Entry]]:
        found: dict[int, list[Entry]] = {}
        for annotation in self.original.get("annotations", []):
            found.setdefault(annotation["image_id"], []).append(annotation)
        return found

    @cached_property
    def reader(self) -> FrameReader:
        return FrameReader(self.root)

    def entry(self, frame_id: int) -> Entry:
        if frame_id not in self.entries:
            raise InputError(
                f"{self.root / 'dataset.json'} has no image {frame_id}, which the tables have: run `stormglass "
                "prepare` and what follows again."
            )
        return self.entries[frame_id]

    def clip(self, name: str) -> int:
        """The id of the video that stands for a clip, which is added when it is new."""
        if name not in self.videos:
            taken = [video["id"] for video in (*self.original.get("videos", []), *self.videos.values())]
            self.videos[name] = {"id": max(taken, default=0) + 1, "name": name}
        return int(self.videos[name]["id"])

    def copy(self, name: str, target: str) -> str:
        """Copy a file of the data set to `target`; its name there."""
        place = self.folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(self.root / name, place)
        except OSError as error:
            raise InputError(f"Cannot copy {self.root / name}: {error.strerror}.") from None
        return target

    def picture(self, pixels: npt.NDArray[np.uint8], target: str) -> str:
        """Write a picture losslessly; its name."""
        place = self.folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
        return target

    def document(self, asked: Mapping[str, Any], *, corrupted: bool) -> Entry:
        """The content of dataset.json: all but images, annotations and videos as it was."""
        used = {image.get("video_id") for image in self.images}
        videos = [video for video in self.original.get("videos", []) if video["id"] in used]
        info = dict(self.original.get("info") or {})
        what = "as corrupted" if corrupted else "clean"
        told = f"{len(self.images)} images that models failed on, {what}"
        info["description"] = f"{told}, of: {info.get('description', 'a data set')}"
        info["failures"] = {**asked, "corrupted": corrupted}
        if corrupted:
            info["failures"] |= {"seed": self.params.run.seed, "scale_to": self.params.scale_to}
        return self.original | {
            "info": info,
            "videos": videos + [video for video in self.videos.values() if video["id"] in used],
            "images": self.images,
            "annotations": self.annotations,
        }


def _clean(made: _Made, chosen: pd.DataFrame) -> None:
    frames = made.source.frames
    picked = {int(str(key)): rows for key, rows in chosen.groupby("frame_id", sort=False)}
    for frame in frames[frames["frame_id"].isin(list(picked))].to_dict("records"):
        frame_id = int(frame["frame_id"])
        entry = made.entry(frame_id)
        image = {key: value for key, value in entry.items() if key not in ("member", "index")}
        image |= {"file_name": _file(made, entry, frame), "failures": _reasons(picked[frame_id])}
        # A clip is named by its video, else by its file, which may now have another name.
        if entry.get("video_id") is None and image["file_name"] != frame["clip_id"]:
            image |= {"video_id": made.clip(str(frame["clip_id"])), "frame_index": int(frame["frame_index"])}
        if entry.get("semantic_file"):
            image["semantic_file"] = made.copy(
                entry["semantic_file"], _inside(entry["semantic_file"], "semantic", frame)
            )
        made.images.append(image)
        made.annotations += made.annotated.get(frame_id, [])


def _file(made: _Made, entry: Entry, frame: Mapping[Any, Any]) -> str:
    """The frame as a file of its own: the very same bytes, or a PNG where it is part of a video."""
    frame_id, member = int(frame["frame_id"]), entry.get("member")
    if entry.get("index") is not None:
        row = made.source.frames.loc[[frame_id]]
        return made.picture(made.reader.read(row)[0], f"images/{frame_id}.png")
    if member is not None:
        target = f"images/{frame_id}{PurePosixPath(member).suffix}"
        (made.folder / "images").mkdir(exist_ok=True)
        (made.folder / target).write_bytes(made.reader.content(entry["file_name"], member))
        return target
    return made.copy(entry["file_name"], _inside(entry["file_name"], "images", frame))


def _inside(name: str, folder: str, frame: Mapping[Any, Any]) -> str:
    """The same relative name, or one in `folder` where that would lead out of the data set."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) == "dataset.json":
        return f"{folder}/{frame['frame_id']}{path.suffix}"
    return str(path)


def _corrupted(made: _Made, chosen: pd.DataFrame) -> None:
    taken = [name for name in ADDED if name in made.source.frames.columns]
    if taken:
        raise InputError(
            f"The data set's images have the attribute '{taken[0]}' already, which says what was done to a corrupted "
            "one: export its frames clean."
        )
    for (corruption, severity), cell in chosen.groupby(["corruption", "severity"], sort=False):
        name, level = str(corruption), int(str(severity))
        picked = {int(str(key)): rows for key, rows in cell.groupby("frame_id", sort=False)}
        for frame_id, _, pixels in made.source.corrupted(name, level, picked):
            _put(made, name, level, frame_id, pixels, picked[frame_id])
    if made.source.unreadable:
        raise InputError(next(iter(made.source.unreadable.values())))


def _put(
    made: _Made, corruption: str, severity: int, frame_id: int, pixels: npt.NDArray[np.uint8], rows: pd.DataFrame
) -> None:
    """Add one frame as it is in one cell, under new ids: it may be picked in several."""
    entry, frame = made.entry(frame_id), made.source.frame(frame_id)
    place = f"{slug(corruption)}-{severity}/{frame_id}.png"
    under = str(frame["clip_id"]) if severity == 0 else f"{frame['clip_id']} under {corruption} {severity}"
    image = {key: value for key, value in entry.items() if key not in _PLACE}
    image |= {
        "id": len(made.images) + 1,
        "file_name": made.picture(pixels, f"images/{place}"),
        "video_id": made.clip(under),
        "frame_index": int(frame["frame_index"]),
        "attributes": {
            **(entry.get("attributes") or {}),
            **dict(zip(ADDED, (corruption, severity, frame_id), strict=True)),
        },
        "failures": _reasons(rows),
    }
    moves = severity > 0 and corruptions.find(corruption).moves_truth
    if entry.get("semantic_file") and moves:
        real = made.source.truth_map(frame_id, corruption, severity)
        image["semantic_file"] = made.picture(np.asarray(real, dtype=np.uint8), f"semantic/{place}")
    elif entry.get("semantic_file"):
        image["semantic_file"] = made.copy(entry["semantic_file"], _inside(entry["semantic_file"], "semantic", frame))
    made.images.append(image)
    objects = _moved(made, frame_id, corruption, severity) if moves else made.annotated.get(frame_id, [])
    for annotation in objects:
        ids = {"id": len(made.annotations) + 1, "image_id": image["id"], "source_annotation": annotation["id"]}
        made.annotations.append({**annotation, **ids})


def _moved(made: _Made, frame_id: int, corruption: str, severity: int) -> Iterator[Entry]:
    """The annotations of a frame where the corruption moved them; what it moved out of the frame is left out."""
    frame = made.source.frame(frame_id)
    truth = made.source.truth(frame_id, corruption, severity)
    rows = {int(row["object_id"]): row for row in truth.to_dict("records")}
    for annotation in made.annotated.get(frame_id, []):
        row = rows[annotation["id"]]
        x0, y0, x1, y1 = (float(row[name]) for name in ("x0_px", "y0_px", "x1_px", "y1_px"))
        if x1 <= x0 or y1 <= y0:
            continue
        moved = {**annotation, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(row["area_px"])}
        if isinstance(row["mask"], bytes):
            size = [int(frame["height_px"]), int(frame["width_px"])]
            moved["segmentation"] = {"size": size, "counts": row["mask"].decode("ascii")}
        yield moved


def _reasons(rows: pd.DataFrame) -> list[Entry]:
    names = ["model", "task", "corruption", "severity", "score", "error_kind", "evidence"]
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in rows[names].astype(object).to_dict("records")
    ]
