"""The files of recorded predictions, checked and turned into outputs by frame.

- COCO results: a list of {image_id, category_id, score, bbox [x, y, width, height] and/or segmentation (RLE)}.
- MOTChallenge's text: a file a clip, lines `frame,id,x,y,w,h,conf,class,visibility`. Frame n is the one of frame_index
  n - 1. A conf of -1 says nothing and counts as 1; a class of -1, or none at all, is the only one that there is.

Errors name the file and the entry, counted from 0, or the line, from 1.
"""

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.errors import InputError
from tasks.models.outputs import Output


def coco(path: Path, classes: Mapping[int, str], frames: pd.DataFrame, *, tasks: Container[str]) -> dict[int, Output]:
    """COCO results by frame_id.

    Args:
        path: The file.
        classes: Id -> name of the categories that may occur.
        frames: The table `frames`: the images that may occur, and the size of their masks.
        tasks: `detection`: every entry has a box; `instance`: every entry has a mask, and its box where boxes are not
            asked for.

    Raises:
        InputError: not such a list, or an entry that lacks something or holds what cannot be.
    """
    from pycocotools import mask as coco_mask

    sizes = {
        int(frame_id): [int(height), int(width)]
        for frame_id, height, width in zip(frames["frame_id"], frames["height_px"], frames["width_px"], strict=True)
    }
    rows: list[tuple[int, int, float]] = []
    boxes: list[list[float]] = []
    masks: list[dict[str, Any]] = []
    for place, entry in enumerate(entries(path)):
        try:
            rows.append(_row(entry, sizes, classes))
            if "detection" in tasks:
                boxes.append(_box(entry.get("bbox")))
            if "instance" in tasks:
                masks.append(_rle(entry.get("segmentation"), sizes[rows[-1][0]]))
        except InputError as error:
            raise InputError(f"{path}: entry {place}, counted from 0: {error}") from None
    xywh = np.array(boxes) if boxes or not masks else np.asarray(coco_mask.toBbox(masks), np.float64)
    return _by_frame(rows, xywh, masks=[mask["counts"] for mask in masks] if masks else None)


def mot(path: Path, classes: Mapping[int, str], clip: pd.DataFrame) -> dict[int, Output]:
    """One clip's tracks by frame_id.

    Args:
        path: The file.
        classes: Id -> name of the classes that may occur.
        clip: Its rows of the table `frames`.

    Raises:
        InputError: a line that is not of this format, or holds what cannot be.
    """
    ids = {int(index): int(frame_id) for index, frame_id in zip(clip["frame_index"], clip["frame_id"], strict=True)}
    rows: list[tuple[int, int, float]] = []
    boxes: list[list[float]] = []
    tracks: list[int] = []
    seen: set[tuple[int, int]] = set()
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = _values(line)
            frame, track = _whole(values[0], "frame"), _whole(values[1], "track id")
            if frame - 1 not in ids:
                raise InputError(f"the clip has no frame {frame}; it has {min(ids) + 1} to {max(ids) + 1}.")
            if not 0 <= track < 2**53:
                raise InputError(f"expected a track id from 0, got {track}; boxes without ids go in as COCO results.")
            if (frame, track) in seen:
                raise InputError(f"track id {track} stands twice in frame {frame}.")
            seen.add((frame, track))
            stated = len(values) > 7 and values[7] != -1
            class_id = _known(_whole(values[7], "class"), classes) if stated else _only(classes)
            rows.append((ids[frame - 1], class_id, _score(1.0 if values[6] == -1 else values[6])))
            boxes.append(_box(values[2:6]))
            tracks.append(track)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
    return _by_frame(rows, np.array(boxes), tracks=np.array(tracks, np.int64))


def entries(path: Path) -> list[Any]:
    """The list in a file of COCO results, unchecked.

    Raises:
        InputError: the file is unreadable, no JSON, or no list.
    """
    found = _json(path)
    if not isinstance(found, list):
        raise InputError(
            f"{path}: expected COCO results, a list of {{image_id, category_id, score, bbox or segmentation}}, "
            f"got {_short(found)}."
        )
    return found


def classes(path: Path) -> dict[int, str]:
    """The ids and names in a file such as `{"1": "car"}`.

    Raises:
        InputError: the file is unreadable or holds something else.
    """
    found = _json(path)
    if not isinstance(found, dict) or not found:
        raise InputError(f'{path}: expected class ids and their names, {{"1": "car"}}, got {_short(found)}.')
    for key, name in found.items():
        if not key.isdecimal() or int(key) >= 2**31 or not isinstance(name, str) or not name:
            raise InputError(f"{path}: expected an id from 0 and its name, got {_short(key)}: {_short(name)}.")
    return {int(key): name for key, name in found.items()}


def _by_frame(
    rows: list[tuple[int, int, float]],
    xywh: npt.NDArray[np.float64],
    *,
    masks: list[bytes] | None = None,
    tracks: npt.NDArray[np.int64] | None = None,
) -> dict[int, Output]:
    """Rows of (frame_id, class_id, score) as outputs; equal scores of a frame stay in the order of the file."""
    if not rows:
        return {}
    frame_ids, class_ids = (np.array([row[column] for row in rows], np.int64) for column in (0, 1))
    scores = np.array([row[2] for row in rows])
    boxes = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
    order = np.lexsort((-scores, frame_ids))
    return {
        int(frame_ids[of_frame[0]]): Output(
            boxes=boxes[of_frame],
            scores=scores[of_frame],
            class_ids=class_ids[of_frame],
            masks=None if masks is None else [masks[row] for row in of_frame],
            track_ids=None if tracks is None else tracks[of_frame],
        )
        for of_frame in np.split(order, np.flatnonzero(np.diff(frame_ids[order])) + 1)
    }


def _row(entry: Any, images: Container[int], classes: Mapping[int, str]) -> tuple[int, int, float]:
    if not isinstance(entry, dict):
        raise InputError(f"expected an object with image_id, category_id, score and bbox, got {_short(entry)}.")
    for key in ("image_id", "category_id", "score"):
        if key not in entry:
            raise InputError(f"expected '{key}', found only {', '.join(map(str, entry)) or 'nothing'}.")
    image_id = entry["image_id"]
    if type(image_id) is not int or image_id not in images:
        raise InputError(f"image_id {_short(image_id)} is no image of the data set (one that `prepare` kept).")
    return image_id, _known(entry["category_id"], classes), _score(entry["score"])


def _box(given: Any) -> list[float]:
    if not isinstance(given, list) or len(given) != 4 or not all(_finite(value) for value in given):
        raise InputError(f"expected a box of four finite numbers [x, y, width, height], got {_short(given)}.")
    if given[2] < 0 or given[3] < 0:
        raise InputError(f"expected a box of no negative size, got {given[2]:g} x {given[3]:g} px.")
    return given


def _rle(given: Any, size: list[int]) -> dict[str, Any]:
    """A mask as COCO's compressed RLE, decoded once, for broken run lengths show nowhere else."""
    from pycocotools import mask as coco_mask

    if not isinstance(given, dict) or not isinstance(given.get("counts"), str | list):
        raise InputError(
            f"expected a mask as RLE, 'segmentation': {{'size': [height, width], 'counts': ...}}, got {_short(given)}."
        )
    if given.get("size") != size:
        raise InputError(f"expected a mask of its image's size [height, width] = {size}, got {given.get('size')}.")
    counts = given["counts"]
    try:
        if isinstance(counts, str):
            mask = {"size": size, "counts": counts.encode("ascii")}
        elif sum(counts) == size[0] * size[1] and min(counts) >= 0:
            mask = coco_mask.frPyObjects(given, *size)
        else:
            raise ValueError
        coco_mask.decode(mask)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"the run lengths of its mask do not add up to {size[0] * size[1]} pixels.") from None
    return mask


def _values(line: str) -> list[float]:
    try:
        values = [float(value) for value in line.split(",")]
    except ValueError:
        values = []
    if not 7 <= len(values) <= 10:
        raise InputError(f"expected the numbers frame,id,x,y,w,h,conf,class,visibility, got {_short(line)}.")
    return values


def _whole(value: float, what: str) -> int:
    if not value.is_integer():
        raise InputError(f"expected a whole number as {what}, got {value:g}.")
    return int(value)


def _only(classes: Mapping[int, str]) -> int:
    if len(classes) != 1:
        raise InputError(f"expected a class, for there are {len(classes)} of them; got none, or -1.")
    return next(iter(classes))


def _known(class_id: Any, classes: Mapping[int, str]) -> int:
    if type(class_id) is not int or class_id not in classes:
        known = ", ".join(f"{key} {name}" for key, name in list(classes.items())[:8])
        more = " ..." if len(classes) > 8 else ""
        raise InputError(
            f"category {_short(class_id)} is unknown; known: {known}{more}. A classes.json in the folder of the "
            "predictions gives their own ids."
        )
    return class_id


def _score(value: Any) -> float:
    if not _finite(value) or not 0 <= value <= 1:
        raise InputError(f"expected a score from 0 to 1, got {_short(value)}.")
    return float(value)


def _finite(value: Any) -> bool:
    """A number, and no coordinate out of this world."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path}: {error}.") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
