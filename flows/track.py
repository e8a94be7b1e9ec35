"""`stormglass track`: a model and its tracker on a video: annotated video, MOTChallenge's text and JSON."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flows import progress
from flows.runtime import Run
from tasks import models
from tasks.data import frames as decoding
from tasks.data import video
from tasks.errors import InputError
from tasks.exports import annotated, tracks
from tasks.exports.tracks import Box
from tasks.inference import rows
from tasks.models import failures, recorded, tracking
from tasks.models.outputs import Output
from tasks.models.smoothing import smoothed
from tasks.params import Tracker

BATCH: Final = 8


def write(run: Run, source: Path, target: Path, *, model: str | None, log: bool, force: bool) -> list[str]:
    """Follow what a model detects in a video; lines that say what came of it.

    Args:
        run: whose params describe the model and its tracker (ByteTrack where they name none).
        source: a video.
        target: the annotated video; .txt and .json are put beside it. Written all three or none.
        model: its name in params; None where there is just one.
        log: the JSON says, frame by frame, what was made of every box that reached the tracker.
        force: whether the files may be there already.

    Raises:
        InputError: no such model, one without boxes or without the masks that its tracker follows, `source` is no
            video, or a file is there already.
    """
    name = _model(run, model)
    chosen = run.params.models[name]
    how = chosen.tracker or Tracker()
    made = [target, target.with_suffix(".txt"), target.with_suffix(".json")]
    _check(source, made, force=force)
    described = models.describe(chosen, folder=run.params.folder)
    classes = described["object"]
    try:
        tracking.check(how, described["tasks"])
    except InputError as error:
        raise InputError(f"models.{name}: {error}") from None
    facts = video.examine(source)
    outputs, sizes = _predicted(run, name, source, facts)
    given = [rows.followed(output, how, size=size) for output, size in zip(outputs, sizes, strict=True)]
    detections = [(boxes, output.scores, output.class_ids) for boxes, output in zip(given, outputs, strict=True)]
    images = [(frame.pixels for frame in video.read(source))] if tracking.looks_at_frames(how) else None
    (ids,) = tracking.track([detections], tracker=how, images=images)
    places = smoothed([output.boxes for output in outputs], ids, how.smooth)
    shown = [(here, output.scores, output.class_ids) for here, output in zip(places, outputs, strict=True)]
    boxes = tracks.boxes(shown, ids, least_score=tracking.starting_score(how))
    document = {
        "source": source.name,
        "frames": len(boxes),
        "frame_rate": round(float(facts.rate), 4),
        "model": name,
        "tracker": _told(how),
        **tracks.document(boxes, classes),
        **(tracks.log(tracks.boxes(shown, ids, least_score=tracking.floor(how)), classes) if log else {}),
    }
    drawn = annotated.drawn(source, facts, [output.masks for output in outputs], boxes, classes)
    _write(made, drawn, facts, boxes, document)
    return [
        f"{len(document['tracks'])} track(s) in {len(boxes)} frames by {name} and {how.name}:",
        *map(str, made),
    ]


def _told(how: Tracker) -> dict[str, str | float]:
    """The tracker and its settings for the JSON: beside its own those of ours that are not as omitted."""
    ours = how.model_dump(include={"boxes", "smooth"}, exclude_defaults=True)
    return {"name": how.name, **tracking.settings(how), **ours}


def _model(run: Run, asked: str | None) -> str:
    known = [name for name, model in run.params.models.items() if model.adapter != recorded.NAME]
    if asked is None and len(known) == 1:
        return known[0]
    if asked not in known:
        given = "several models are there" if asked is None else f"there is no model '{asked}' that can be run"
        raise InputError(f"track: {given}; expected --model to name one of: {', '.join(known) or 'none'}.")
    return asked


def _check(source: Path, made: Sequence[Path], *, force: bool) -> None:
    if not source.is_file():
        raise InputError(f"Expected a video at {source}, found no file there.")
    if source.suffix.lower() not in decoding.VIDEO_SUFFIXES:
        raise InputError(f"Expected a video that ends in {', '.join(sorted(decoding.VIDEO_SUFFIXES))}, got {source}.")
    target = made[0]
    if target.suffix.lower() not in video.WRITTEN:
        raise InputError(f"Expected OUT to be a video that ends in {', '.join(video.WRITTEN)}, got {target}.")
    if not target.absolute().parent.is_dir():
        raise InputError(f"Expected a folder {target.absolute().parent} to write to, there is none.")
    for path in made:
        if path.exists() and path.resolve() == source.resolve():
            raise InputError(f"OUT is IN ({path}): expected another place, the source stays as it is.")
        if path.exists() and not force:
            raise InputError(f"{path} is there already: nothing was written; --force writes over it.")


def _predicted(run: Run, name: str, source: Path, facts: video.Facts) -> tuple[list[Output], list[tuple[int, int]]]:
    """What the model says of each frame, and its height and width in px.

    Label maps are left out: they would fill the memory and are not shown.
    """
    params = run.params
    execution = models.Execution.of(params.run)
    with failures.named(name, "being loaded"):
        loaded = models.load(params.models[name], folder=params.folder, device=params.run.device, execution=execution)
    frames = (frame.pixels for frame in video.read(source))
    found: list[Output] = []
    sizes: list[tuple[int, int]] = []
    with progress.parts("detect", facts.count or 0, "frames") as done:
        while batch := list(islice(frames, BATCH)):
            with failures.named(name, f"frames {len(found)} to {len(found) + len(batch) - 1} of {source.name}"):
                found += [replace(output, label_map=None) for output in loaded.predict(batch)]
            sizes += [(frame.shape[0], frame.shape[1]) for frame in batch]
            for frame in batch if facts.count else ():
                done(frame)
    if not found:
        raise InputError(f"The video {source} holds no frame.")
    return found, sizes


def _write(
    made: Sequence[Path],
    drawn: Iterator[video.Timed],
    facts: video.Facts,
    boxes: Sequence[Sequence[Box]],
    document: dict[str, Any],
) -> None:
    """All three files whole, or none."""
    beside = [path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}") for path in made]
    try:
        video.write(beside[0], drawn, facts, container=made[0].suffix)
        beside[1].write_text(tracks.mot(boxes), encoding="utf-8")
        beside[2].write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        for temporary, path in zip(beside, made, strict=True):
            temporary.replace(path)
    finally:
        for temporary in beside:
            temporary.unlink(missing_ok=True)
