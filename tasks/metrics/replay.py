"""A model's tracker again, over the stored detections of the frames that it would have taken live."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import displacement, processes, tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.metrics import FRAMES_PROCESSED, REALTIME, moments
from tasks.metrics.arrivals import Timetable
from tasks.metrics.cell.tracks import score_clips
from tasks.metrics.moved import moved
from tasks.metrics.plan import plan, slices_of
from tasks.metrics.predictions import ModelFacts, read
from tasks.metrics.requests import Request
from tasks.metrics.robustness import Figure
from tasks.metrics.score import make_study, model_facts
from tasks.metrics.study import Study
from tasks.metrics.truth import GroundTruth, load
from tasks.params import Params, Tracker

Replay = Callable[[pd.DataFrame, pd.DataFrame, Tracker, Request], pd.DataFrame]
"""From rows of `predictions`, their frames' rows of `frames`, a tracker and the cell that they are of to the same rows
with track ids, such as `flows.realtime.replay`. Raises InputError where that tracker cannot run again."""

Reached = Mapping[tuple[str, str], Figure]
"""By slice and metric."""


@dataclass(frozen=True, eq=False)
class Job:
    """A cell whose tracker is to run again."""

    request: Request
    tracker: Tracker
    timetable: Timetable


def run(
    params: Params, layout: Layout, frames: pd.DataFrame, jobs: Sequence[Job], replay: Replay, workers: int
) -> list[Reached | str]:
    """What each job comes to, or why its tracker cannot run again; the same for any number of workers.

    Args:
        params: the run's choices.
        layout: where its tables lie.
        frames: what the timetables are about.
        jobs: the cells.
        replay: gives boxes their track ids.
        workers: processes.

    Raises:
        InputError: tables are missing or broken, predictions are unfit.
    """
    if not jobs:
        return []
    if workers <= 1 or len(jobs) == 1:
        try:
            _prepare(params, layout, frames, replay)
            return [_work(job) for job in jobs]
        finally:
            _context.clear()
    with processes.pool(min(workers, len(jobs)), _prepare, params, layout, frames, replay) as pool:
        return list(pool.map(_work, jobs))


_context: dict[str, Any] = {}


def _prepare(params: Params, layout: Layout, frames: pd.DataFrame, replay: Replay) -> None:
    """Once a worker process."""
    truth = load(params, layout.tables)
    study = make_study(params, truth, {"tracking": plan("tracking", truth)})
    models = model_facts(params, layout, truth)
    _context.update(study=study, models=models, layout=layout, frames=frames, replay=replay)


def _work(job: Job) -> Reached | str:
    study, request = _context["study"], job.request
    waves = displacement.read(_context["layout"].predictions, request.corruption, request.severity)
    if waves:
        study = replace(study, truth=moved(study.truth, waves))
    parts = [tables.read("predictions", file) for file in request.files]
    found = pd.concat([part[part["class_id"].notna()] for part in parts], ignore_index=True)
    try:
        seen = shown(found, _context["frames"], job, _context["replay"])
    except InputError as error:
        return str(error).removesuffix(".")
    reached = _figures(seen, _context["models"][request.model], study)
    taken = _context["frames"]["frame_id"].to_numpy()[job.timetable.processed]
    return reached | _shares(np.isin(study.truth.frame_ids, taken), study.truth)


def shown(predictions: pd.DataFrame, frames: pd.DataFrame, job: Job, replay: Replay) -> pd.DataFrame:
    """What counts at each frame, as rows of `predictions`: boxes and ids of the frame whose output is there by then.

    Args:
        predictions: the cell's rows with a box.
        frames: what the timetable is about.
        job: the cell, its timetable and its model's tracker.
        replay: gives the boxes of the frames that are taken their track ids.
    """
    timetable = job.timetable
    taken = frames[timetable.processed].reset_index(drop=True)
    given = predictions[predictions["frame_id"].isin(taken["frame_id"])].reset_index(drop=True)
    tracked = replay(given, taken, job.tracker, job.request).assign(mask=None)
    there = timetable.source >= 0
    frame_id = frames["frame_id"].to_numpy()
    held = pd.DataFrame({"frame_id": frame_id[timetable.source[there]], "at": frame_id[there]})
    rows = held.merge(tracked, on="frame_id")
    return rows.assign(frame_id=rows["at"]).drop(columns="at")


def _figures(seen: pd.DataFrame, model: ModelFacts, study: Study) -> dict[tuple[str, str], Figure]:
    """HOTA, with its replicates, DetA and AssA of every slice, by the way of `score`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seen.parquet"
        tables.write("predictions", seen, file)
        found = read([file], replace(model, tasks=("tracking",)), study.truth)
    clips = moments.clips(found.detections.take(found.tracked), found.tracks[found.tracked], study.truth)
    values, _ = score_clips([clip for _, clip in clips], study, by_class=False)
    figures = study.figures("tracking", values)
    return {(slice_, REALTIME[metric]): figure for (slice_, _, metric), figure in figures.items() if metric in REALTIME}


def _shares(processed: "np.ndarray[Any, np.dtype[np.bool_]]", truth: GroundTruth) -> dict[tuple[str, str], Figure]:
    """Of every slice the share of its frames that is taken."""
    found = {}
    for item in slices_of("tracking", truth):
        if item.stretch or item.clips is not None:
            inside = item.frames if item.clips is None else item.clips[truth.clip_of]
            found[item.name, FRAMES_PROCESSED] = Figure.of(float(processed[inside].mean()))
    return found
