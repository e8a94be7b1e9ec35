"""The adapter of predictions that another system made: they are read from its files, no network is run.

The files are of COCO's results (boxes, masks) or of MOTChallenge's text (tracks); see `tasks.models.formats`.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.models import formats
from tasks.models.interface import Adapter
from tasks.models.outputs import Description, Output
from tasks.params import Model

NAME: Final = "recorded"
"""The adapter's name in params."""

VERSION: Final = 1

CLEAN: Final = (tables.CLEAN, 0)

NOTHING: Final = Output(
    boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), class_ids=np.zeros(0, np.int64)
)
"""The output for a frame that the files do not mention."""

_OF_NETWORKS: Final = ("decoder", "input", "score_threshold", "nms_iou")

Cell = tuple[str, int]
"""Corruption and severity; of levels of one's own their place, from 1."""


def check(model: Model) -> None:
    """Refuse settings that recorded predictions cannot follow.

    Raises:
        InputError: a setting of networks, or a built-in class map.
    """
    given = [name for name in _OF_NETWORKS if name in model.model_fields_set]
    if given:
        raise InputError(f"Adapter 'recorded' runs no network: remove {', '.join(given)}.")
    if isinstance(model.class_map, str):
        raise InputError(
            f"Adapter 'recorded': class_map '{model.class_map}' names the outputs of a network, while recorded "
            "predictions carry the data set's own ids, or those of a classes.json beside them: give a dict, or none."
        )


def describe(model: Model, weights: Path) -> Description:
    """What was recorded: the classes of `classes.json` (without one none: they are the data set's) and the tasks.

    The first entry there is decides the tasks: its box makes detection, its mask instance. Text makes tracking.

    Raises:
        InputError: nothing is recorded there, a file is unreadable, or tracks are to be tracked.
    """
    found = cells(weights)
    tasks = ["detection"]  # nothing was ever found
    if next(iter(found.values())).is_dir():
        if model.tracker is not None:
            raise InputError(f"{weights}: MOTChallenge's files hold track ids already: remove tracker from the model.")
        tasks = ["tracking"]
    else:
        first = next((entries[0] for entries in map(formats.entries, found.values()) if entries), None)
        if isinstance(first, dict):
            keys = {"detection": "bbox", "instance": "segmentation"}
            tasks = [task for task, key in keys.items() if first.get(key)] or tasks
    classes = weights / "classes.json"
    names = formats.classes(classes) if classes.is_file() else {}
    return {"object": names, "semantic": {}, "label": {}, "tasks": tasks}


def load(model: Model, *, weights: Path, device: str, threads: int | None) -> NoReturn:
    """Recorded predictions answer for the frames that they were made of, and for no others.

    Raises:
        InputError: always.
    """
    raise InputError(f"{weights} holds recorded predictions: there is no network to run on frames.")


def cells(weights: Path) -> dict[Cell, Path]:
    """The cells that were recorded: each one's file of COCO results, or its folder of MOTChallenge's files.

    Args:
        weights: A file: the clean cell. A folder: clean.json and CORRUPTION/SEVERITY.json, or folders clean and
            CORRUPTION/SEVERITY with a CLIP_ID.txt for each clip; those of the clean cell may lie in `weights` itself.

    Raises:
        InputError: nothing of the kind is there, a cell stands twice, or both formats are mixed.
    """
    if weights.is_file():
        if weights.suffix == ".txt":
            raise InputError(f"{weights}: MOTChallenge's files go into a folder, CLIP_ID.txt for each clip: give that.")
        return {CLEAN: weights}
    places = [(CLEAN, weights / "clean.json"), (CLEAN, weights / "clean")]
    for path in sorted(weights.glob("*/*")):
        if path.stem.isdecimal() and path.parent.name != tables.CLEAN:
            places.append(((path.parent.name, int(path.stem)), path))
    found: dict[Cell, Path] = {}
    for cell, path in places:
        if not (path.is_dir() or (path.suffix == ".json" and path.is_file())):
            continue
        if cell in found:
            raise InputError(f"{found[cell]} and {path} are of the same cell: keep one.")
        found[cell] = path
    if CLEAN not in found and any(weights.glob("*.txt")):
        found = {CLEAN: weights, **found}
    if not found:
        raise InputError(
            f"Expected recorded predictions in {weights}: clean.json and CORRUPTION/SEVERITY.json, or folders of these "
            "names (clean, fog/3) with MOTChallenge's CLIP_ID.txt; found none."
        )
    if len({path.is_dir() for path in found.values()}) > 1:
        raise InputError(f"{weights} mixes COCO results and MOTChallenge's files: make a model of each.")
    return found


def files(cell: Path, clips: Collection[str]) -> list[Path]:
    """The files that decide what one of `cells` says of `clips`.

    Raises:
        InputError: a clip has none.
    """
    if cell.is_file():
        return [cell]
    found = [cell / f"{clip}.txt" for clip in clips]
    for path in found:
        if not path.is_file():
            raise InputError(f"Expected that clip's tracks at {path}, found no file: an empty one says there are none.")
    return found


def read(cell: Path, description: Description, frames: pd.DataFrame, clips: Collection[str]) -> dict[int, Output]:
    """The outputs of one of `cells` by frame_id; a frame that is not mentioned has none.

    Args:
        cell: Its file or folder.
        description: Of the model: its classes and tasks.
        frames: The table `frames`, all of it: what may be mentioned.
        clips: Those whose MOTChallenge files are read. COCO results are read whole.

    Raises:
        InputError: the first thing that is wrong, with its file and entry or line.
    """
    classes = {int(key): str(name) for key, name in description["object"].items()}
    if cell.is_file():
        return formats.coco(cell, classes, frames, tasks=description["tasks"])
    places = {str(clip): rows for clip, rows in frames.groupby("clip_id", sort=False)}
    for path in sorted(cell.glob("*.txt")):
        if path.stem not in places:
            some = ", ".join(list(places)[:3])
            raise InputError(f"{path}: the data set has no clip '{path.stem}'; its clips: {some} ...")
    found: dict[int, Output] = {}
    for clip, path in zip(clips, files(cell, clips), strict=True):
        found |= formats.mot(path, classes, places[clip])
    return found


ADAPTER: Final = Adapter(version=VERSION, check=check, describe=describe, load=load, folder=True)
