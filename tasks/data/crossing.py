"""The embedded data set: clips of a road junction, rendered from a seed and exact by construction.

Three fixed cameras see it by day, at dusk and at night, busy and quiet; a fourth one is kept for the test split. Clips
are independent of each other and of the number of workers: each draws from its own (seed, split, number).
"""

import difflib
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from tasks.data.scene import files, footage, truth
from tasks.data.scene.bodies import KINDS
from tasks.data.scene.clips import Clip, frames_of, plan
from tasks.errors import InputError
from tasks.params import Crossing

Found = list[tuple[str, list[dict[str, Any]]]]
"""Of each frame of a clip: label and annotations."""


def render(crossing: Crossing, dataset_dir: Path, footage_dir: Path, truth_dir: Path, workers: int) -> None:
    """Render the data set into `dataset_dir`, the new footage into `footage_dir` and its truth into `truth_dir`.

    `dataset_dir` is replaced as a whole once everything is rendered; other files in the other two folders stay.

    Args:
        crossing: seed, classes and sizes.
        dataset_dir: gets dataset.json, images/ and semantic/.
        footage_dir: gets clear.mp4, defocused.mp4 and foggy.mp4.
        truth_dir: gets a folder with dataset.json and semantic/ for each of the three.
        workers: processes; the files do not depend on it.

    Raises:
        InputError: a class that the renderer cannot draw or that stands twice, or `dataset_dir` holds something else.
    """
    _check(crossing, dataset_dir)
    dataset_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dataset_dir.name}.", dir=dataset_dir.parent) as scratch:
        folder = Path(scratch) / "data"
        clips = plan(crossing)
        jobs = [
            (crossing, tuple(group), folder)
            for _, group in groupby(sorted(clips, key=_still), key=_still)  # one still background a job
        ]
        if workers <= 1:
            parts = [_render_clips(*job) for job in jobs]
            for name in footage.NAMES:
                footage.render(crossing, name, footage_dir, truth_dir)
        else:
            with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
                waiting = [pool.submit(_render_clips, *job) for job in jobs]
                videos = [pool.submit(footage.render, crossing, name, footage_dir, truth_dir) for name in footage.NAMES]
                parts = [future.result() for future in waiting]
                for video in videos:
                    video.result()
        found = {name: frames for part in parts for name, frames in part.items()}
        document = _document(crossing, [(clip, found[clip.name]) for clip in clips])
        files.write_json(document, folder / "dataset.json")
        if dataset_dir.exists():
            shutil.rmtree(dataset_dir)
        folder.replace(dataset_dir)


def _check(crossing: Crossing, dataset_dir: Path) -> None:
    for name in crossing.classes:
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"crossing.classes: the renderer cannot draw '{name}'; {hint} It knows {', '.join(KINDS)}.".replace(
                    ";  It", "; it"
                )
            )
    twice = sorted({name for name in crossing.classes if crossing.classes.count(name) > 1})
    if twice:
        raise InputError(f"crossing.classes: {', '.join(twice)} stands twice; name each class once.")
    if not crossing.classes:
        raise InputError(f"crossing.classes: expected at least one of {', '.join(KINDS)}, got none.")
    if dataset_dir.exists() and (
        not dataset_dir.is_dir() or (any(dataset_dir.iterdir()) and not (dataset_dir / "dataset.json").is_file())
    ):
        raise InputError(f"{dataset_dir} holds something that is no data set: give an empty folder or remove it.")


def _still(clip: Clip) -> tuple[str, str]:
    return clip.camera, clip.time_of_day


def _render_clips(crossing: Crossing, clips: Sequence[Clip], folder: Path) -> dict[str, Found]:
    """Render clips into `folder`; by clip name, the label and annotations of each frame."""
    cv2.setNumThreads(1)
    found: dict[str, Found] = {}
    for clip in clips:
        for kind in ("images", "semantic"):
            (folder / kind / clip.name).mkdir(parents=True, exist_ok=True)
        found[clip.name] = []
        for index, frame in enumerate(frames_of(crossing, clip)):
            files.write_png(folder / "images" / clip.name / f"{index:06d}.png", frame.picture[:, :, ::-1])
            files.write_png(folder / "semantic" / clip.name / f"{index:06d}.png", frame.semantic)
            found[clip.name].append((frame.label, frame.annotations))
    return found


def _document(crossing: Crossing, clips: list[tuple[Clip, Found]]) -> dict[str, Any]:
    document = truth.document_head(
        crossing, "Crossing: a rendered road junction seen by four fixed cameras, by day, at dusk and at night"
    )
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for clip, frames in clips:
        videos.append({"id": clip.number + 1, "name": clip.name, "split": clip.split, **clip.attributes})
        for index, (label, found) in enumerate(frames):
            file = f"{clip.name}/{index:06d}.png"
            images.append(
                {
                    "id": len(images) + 1,
                    "file_name": f"images/{file}",
                    "semantic_file": f"semantic/{file}",
                    **truth.image_entry(
                        index, label, split=clip.split, attributes=clip.attributes, video_id=clip.number + 1
                    ),
                }
            )
            for annotation in found:
                annotations.append({"id": len(annotations) + 1, "image_id": len(images), **annotation})
    return {**document, "videos": videos, "images": images, "annotations": annotations}
