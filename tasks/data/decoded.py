"""Every image of a data set decoded once: its size and what it looks like, or why it does not decode."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.data.frames import VIDEO_SUFFIXES, FrameReader, UnreadableFrame, decode, verify, video_sizes
from tasks.errors import InputError
from tasks.quality import Quality, measure

Entry = Mapping[str, Any]
"""An entry of dataset.json."""

Size = tuple[int, int]
"""(width, height) in pixels."""


def decoded(images: Sequence[Entry], dataset_dir: Path) -> tuple[dict[int, Size], dict[int, Quality], dict[int, str]]:
    """(width, height) and measurements by image id, and a sentence for each image that does not decode.

    Args:
        images: entries of dataset.json.
        dataset_dir: what their file names start from.

    Raises:
        InputError: a file does not exist, or a video is named without the number of its frame.
    """
    for image in images:
        if not (dataset_dir / image["file_name"]).is_file():
            raise InputError(
                f"{dataset_dir / 'dataset.json'}: images id {image['id']}: its file {dataset_dir / image['file_name']} "
                "does not exist."
            )
        if image.get("index") is None and Path(image["file_name"]).suffix.lower() in VIDEO_SUFFIXES:
            raise InputError(
                f"{dataset_dir / 'dataset.json'}: images id {image['id']}: {image['file_name']} is a video, so "
                "expected 'index', the number of its frame."
            )
    sizes: dict[int, Size] = {}
    measured: dict[int, Quality] = {}
    problems: dict[int, str] = {}
    stills = [image for image in images if image.get("index") is None]
    batches = [stills[start : start + 32] for start in range(0, len(stills), 32)]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for found in pool.map(lambda batch: _stills(batch, dataset_dir), batches):
            for key, result in found.items():
                if isinstance(result, str):
                    problems[key] = result
                else:
                    sizes[key], measured[key] = result
    videos: dict[str, list[Size] | str] = {}
    for image in images:
        if image.get("index") is None:
            continue
        name = image["file_name"]
        if name not in videos:
            try:
                videos[name] = video_sizes(dataset_dir / name)
            except UnreadableFrame as error:
                videos[name] = str(error)
        frames = videos[name]
        if isinstance(frames, str):
            problems[image["id"]] = frames
        elif image["index"] < len(frames):
            sizes[image["id"]] = frames[image["index"]]
        else:
            problems[image["id"]] = (
                f"{dataset_dir / name} has no frame {image['index']} that decodes: it ends after {len(frames)}."
            )
    measured |= _of_videos([i for i in images if i.get("index") is not None and i["id"] in sizes], dataset_dir)
    order = {image["id"]: row for row, image in enumerate(images)}
    return sizes, measured, dict(sorted(problems.items(), key=lambda item: order[item[0]]))


def _stills(images: Sequence[Entry], dataset_dir: Path) -> dict[int, tuple[Size, Quality] | str]:
    reader = FrameReader(dataset_dir)
    found: dict[int, tuple[Size, Quality] | str] = {}
    for image in images:
        member = image.get("member")
        where = f"{dataset_dir / image['file_name']}" + (f", member {member}" if member else "")
        try:
            data = reader.content(image["file_name"], member)
            # Pillow tells whether it is whole; what is measured is what models see, and OpenCV decodes that.
            found[image["id"]] = verify(data, where), measure(decode(data, where))
        except UnreadableFrame as error:
            found[image["id"]] = str(error)
    reader.close()
    return found


def _of_videos(images: Sequence[Entry], dataset_dir: Path) -> dict[int, Quality]:
    """Measurements of frames of videos by image id, each video decoded once more in rising order."""
    reader = FrameReader(dataset_dir)
    ordered = sorted(images, key=lambda image: (image["file_name"], image["index"]))
    rows = pd.DataFrame(
        [(image["file_name"], None, image["index"]) for image in ordered],
        columns=["source_file", "source_member", "source_index"],
    )
    measured = {image["id"]: measure(reader.read(rows[row : row + 1])[0]) for row, image in enumerate(ordered)}
    reader.close()
    return measured
