"""What predictions are measured against: the scored frames with their truth and slices, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import slices, tables
from tasks.errors import InputError
from tasks.metrics.instances import Floats, Ints, Truth
from tasks.params import Params

BOX: Final = ["x0_px", "y0_px", "x1_px", "y1_px"]

KINDS: Final[Mapping[str, str]] = {
    "classification": "label",
    "detection": "object",
    "instance": "object",
    "semantic": "semantic",
    "tracking": "object",
}
"""Which classes a task is about."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The scored frames, by rising frame_id (pycocotools' order, which decides between equal scores), and their truth.

    Attributes:
        frames: rows of the table `frames`.
        frame_ids: (n_frames,) rising.
        clip_of: (n_frames,) position of each frame's clip.
        clips: the clips' ids.
        objects: every annotated object as a box, by frame.
        object_ids: (n_objects,) their ids.
        masks: the same objects with masks, or None where no object has one; those without are ignored.
        tracks: (n_objects,) track id; meaningless where `tracked` is False.
        tracked: (n_objects,) has a track id.
        occlusion: (n_objects,) hidden share 0..1; NaN where nobody said.
        tags: attributes of objects that say yes or no, (n_objects,) each, for evidence.
        labels: (n_frames,) position of the true label, -1 without one.
        semantic: encoded label map by position of the frame.
        semantic_pixels: (n_frames, n_semantic_classes) pixels of each class in the frame's map.
        classes: kind (object, semantic, label) -> id -> name, by rising id; positions count in this order.
        slices: `all` first.
    """

    frames: pd.DataFrame
    frame_ids: Ints
    clip_of: Ints
    clips: tuple[str, ...]
    objects: Truth
    object_ids: Ints
    masks: Truth | None
    tracks: Ints
    tracked: npt.NDArray[np.bool_]
    occlusion: Floats
    tags: dict[str, npt.NDArray[np.bool_]]
    labels: Ints
    semantic: dict[int, bytes]
    semantic_pixels: Ints
    classes: dict[str, dict[int, str]]
    slices: tuple[slices.Slice, ...]

    @cached_property
    def twins(self) -> Mapping[str, str]:
        """The slices that hold the very frames, clips and objects of one before them (not of `all`), and which."""
        found: dict[str, str] = {}
        first: dict[Any, str] = {}
        for item in self.slices[1:]:
            held = tuple(None if part is None else part.tobytes() for part in (item.frames, item.clips, item.objects))
            name = first.setdefault((*held, item.area_px2, item.stretch), item.name)
            if name != item.name:
                found[item.name] = name
        return found

    def of(self, task: str) -> Truth:
        """The objects as a task sees them: with masks, or as boxes."""
        return self.masks if task == "instance" and self.masks is not None else self.objects

    def names(self, task: str) -> list[str]:
        """The names of the classes that a task is about, by position."""
        return list(self.classes[KINDS[task]].values())

    def positions(self, kind: str) -> dict[int, int]:
        """Class id -> position."""
        return {class_id: place for place, class_id in enumerate(self.classes[kind])}

    def has(self, task: str) -> bool:
        """Whether there is truth for a task."""
        if task == "classification":
            return bool((self.labels >= 0).any())
        if task == "semantic":
            return bool(self.semantic)
        if task == "instance":
            return self.masks is not None
        if task == "tracking":
            return bool(self.tracked.any())
        return len(self.objects) > 0


def load(params: Params, folder: Path) -> GroundTruth:
    """Read the tables that `prepare` wrote, for the split and limit of params, and check what scoring relies on.

    Raises:
        InputError: a table is missing or inconsistent, or a slice names what the tables do not have.
    """
    frames = tables.read("frames", folder / "frames.parquet")
    frames = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    frames = frames.sort_values("frame_id", kind="stable").reset_index(drop=True)
    frame_ids = frames["frame_id"].to_numpy(np.int64)
    objects = tables.read("objects", folder / "objects.parquet")
    objects = objects[objects["frame_id"].isin(frame_ids)]
    objects = objects.sort_values(["frame_id", "object_id"], kind="stable").reset_index(drop=True)
    table = tables.read("classes", folder / "classes.parquet")
    classes = {kind: _classes(table, kind) for kind in ("object", "semantic", "label")}
    clip_of, clips = slices.clip_codes(frames)
    truth = _objects(objects, frame_ids, classes["object"])
    measured = folder / "quality.parquet"
    quality = tables.read("quality", measured) if measured.exists() else None
    semantic, pixels = _semantic(folder / "semantic.parquet", frames, classes["semantic"])
    tracked = objects["track_id"].notna().to_numpy(bool)
    return GroundTruth(
        frames=frames,
        frame_ids=frame_ids,
        clip_of=clip_of,
        clips=clips,
        objects=truth,
        object_ids=objects["object_id"].to_numpy(np.int64),
        masks=_masks(objects, truth, frames),
        tracks=objects["track_id"].fillna(0).to_numpy(np.int64),
        tracked=tracked,
        occlusion=objects["occlusion"].to_numpy(np.float64),
        tags=_tags(objects),
        labels=_positions(frames["label_id"], classes["label"], "label_id of frames"),
        semantic=semantic,
        semantic_pixels=pixels,
        classes=classes,
        slices=slices.build(
            params.slices,
            frames,
            objects,
            quality,
            bursts=params.bursts,
            trial=params.dataset.limit is not None,
        ),
    )


def _classes(table: pd.DataFrame, kind: str) -> dict[int, str]:
    rows = table[table["kind"] == kind].sort_values("class_id")
    found = {int(class_id): str(name) for class_id, name in zip(rows["class_id"], rows["name"], strict=True)}
    names = list(found.values())
    taken = {tables.ALL, tables.NO_CLASS} | ({tables.UNKNOWN} if kind == "label" else set())
    twice = sorted({name for name in names if names.count(name) > 1} | (taken & set(names)))
    if twice:
        raise InputError(
            f"classes of kind '{kind}': the name(s) {', '.join(twice)} cannot tell rows of the scores apart "
            f"(twice, or one of {', '.join(sorted(taken))}): rename them in the data set."
        )
    return found


def _positions(ids: pd.Series, classes: dict[int, str], where: str) -> Ints:
    places = {class_id: place for place, class_id in enumerate(classes)}
    unknown = sorted({int(i) for i in ids.dropna().unique()} - places.keys())
    if unknown:
        raise InputError(f"{where}: id(s) {unknown[:5]} are not in the table classes: run `stormglass prepare` again.")
    return np.array([-1 if pd.isna(i) else places[int(i)] for i in ids], dtype=np.int64)


def _objects(objects: pd.DataFrame, frame_ids: Ints, classes: dict[int, str]) -> Truth:
    crowd = objects["crowd"].to_numpy(bool)
    boxes: Floats = objects[BOX].to_numpy(np.float64)
    if not np.isfinite(boxes).all():
        row = objects.iloc[int(np.flatnonzero(~np.isfinite(boxes).all(axis=1))[0])]
        raise InputError(f"objects: object {row['object_id']} of frame {row['frame_id']} has a box that is no number.")
    return Truth(
        frame=np.searchsorted(frame_ids, objects["frame_id"].to_numpy(np.int64)).astype(np.int64),
        kind=_positions(objects["class_id"], classes, "class_id of objects"),
        boxes=boxes,
        area_px2=objects["area_px"].to_numpy(np.float64),
        crowd=crowd,
        ignored=crowd | objects["ignore"].to_numpy(bool),
    )


def _masks(objects: pd.DataFrame, truth: Truth, frames: pd.DataFrame) -> Truth | None:
    given = objects["mask"].notna().to_numpy(bool)
    if not given.any():
        return None
    from pycocotools import mask as coco_mask

    heights, widths = frames["height_px"].to_numpy(int), frames["width_px"].to_numpy(int)
    masks = []
    for place, data in enumerate(objects["mask"]):
        size = [int(heights[truth.frame[place]]), int(widths[truth.frame[place]])]
        if given[place]:
            masks.append({"size": size, "counts": data})
        else:  # only a box is known: what falls there counts for nothing
            x0, y0, x1, y1 = truth.boxes[place]
            masks.append(coco_mask.frPyObjects(np.array([[x0, y0, x1 - x0, y1 - y0]], np.float64), *size)[0])
    return Truth(truth.frame, truth.kind, truth.boxes, truth.area_px2, truth.crowd, truth.ignored | ~given, masks=masks)


def _tags(objects: pd.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    found = {}
    for column in tables.attributes("objects", objects):
        values = objects[column]
        kinds = {str(value).lower() for value in values.dropna().unique()}
        if kinds and kinds <= {"yes", "no", "true", "false"}:
            found[column] = np.array([str(value).lower() in ("yes", "true") for value in values], dtype=bool)
    return found


def _semantic(path: Path, frames: pd.DataFrame, classes: dict[int, str]) -> tuple[dict[int, bytes], Ints]:
    pixels = np.zeros((len(frames), len(classes)), dtype=np.int64)
    if not path.exists():
        return {}, pixels
    table = tables.read("semantic", path)
    places = {int(frame_id): place for place, frame_id in enumerate(frames["frame_id"])}
    known = np.zeros(256, dtype=bool)
    known[[*classes, tables.IGNORE]] = True
    sizes = list(zip(frames["height_px"].astype(int), frames["width_px"].astype(int), strict=True))
    found = {}
    for frame_id, data in zip(table["frame_id"], table["label_map"], strict=True):
        place = places.get(int(frame_id))
        if place is None:
            continue
        label_map = tables.decode_label_map(data)
        if label_map.shape != sizes[place]:
            raise InputError(
                f"{path}: the label map of frame {frame_id} is {label_map.shape}, the frame {sizes[place]} "
                "(height, width)."
            )
        counts = np.bincount(label_map.ravel(), minlength=256)
        unknown = np.flatnonzero((counts > 0) & ~known)
        if len(unknown):
            raise InputError(
                f"{path}: the label map of frame {frame_id} holds id(s) {unknown[:5].tolist()}, "
                f"which are neither a semantic class nor {tables.IGNORE} (ignore)."
            )
        found[place] = data
        pixels[place] = counts[list(classes)]
    return found, pixels
