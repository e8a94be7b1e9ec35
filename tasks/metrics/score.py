"""The stage `score`: from predictions and truth to the tables `scores` and `examples`."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from typing import Any

from tasks import tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.metrics import assemble, cell
from tasks.metrics.plan import Row, plan
from tasks.metrics.predictions import ModelFacts, facts
from tasks.metrics.requests import Request
from tasks.metrics.requests import requests as requests_of
from tasks.metrics.resampling import Resampler, unit_weights
from tasks.metrics.study import Study
from tasks.metrics.truth import GroundTruth, load
from tasks.params import Params


def score(params: Params, layout: Layout, *, workers: int = 1) -> None:
    """Measure every cell that params name and write scores/: scores, replicates, confusion, examples, class_map.json.

    The same for any number of workers. A cell that failed or is missing becomes rows without a number, by name.

    Args:
        params: the run's choices.
        layout: where its tables lie.
        workers: processes.

    Raises:
        InputError: tables are missing or broken, a slice or class map names what is not there, predictions are unfit.
    """
    truth = load(params, layout.tables)
    models = _models(params, layout, truth)
    requests = requests_of(params, layout)
    rows = _rows(models, truth)
    if not rows:
        raise InputError(
            "No model has a task that the data set has truth for: expected boxes, label maps, labels or tracks in "
            f"{layout.tables} for the tasks of {', '.join(params.models)} and classes that meet (class_map)."
        )
    scored = _run(params, layout, models, _study(params, truth, rows), requests, workers)
    scores = assemble.scores(params, models, requests, scored, rows)
    told = assemble.examples(truth, requests, scored)
    layout.scores.mkdir(parents=True, exist_ok=True)
    tables.write("scores", scores, layout.scores / "scores.parquet")
    tables.write("replicates", assemble.replicates(requests, scored), layout.scores / "replicates.parquet")
    tables.write("confusion", assemble.confusion(truth, requests, scored), layout.scores / "confusion.parquet")
    tables.write("examples", told, layout.scores / "examples.parquet")
    maps = {name: {kind: asdict(found) for kind, found in model.maps.items()} for name, model in models.items()}
    temporary = layout.scores / ".class_map.json"
    temporary.write_text(json.dumps(maps, indent=1) + "\n", encoding="utf-8")
    temporary.replace(layout.scores / "class_map.json")


def _models(params: Params, layout: Layout, truth: GroundTruth) -> dict[str, ModelFacts]:
    path = layout.predictions / "models.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"Expected the models' facts at {path} ({error}): run `stormglass infer` first.") from None
    missing = [name for name in params.models if name not in described]
    if missing:
        raise InputError(f"{path} does not know the model(s) {', '.join(missing)}: run `stormglass infer` again.")
    return {name: facts(name, model, described[name], truth) for name, model in params.models.items()}


def _rows(models: Mapping[str, ModelFacts], truth: GroundTruth) -> dict[str, list[Row]]:
    return {task: plan(task, truth) for task in tables.TASKS if any(task in model.tasks for model in models.values())}


def _study(params: Params, truth: GroundTruth, rows: Mapping[str, list[Row]]) -> Study:
    settings = params.metrics
    resampler = Resampler(
        unit_of=truth.clip_of,
        weights=unit_weights(truth.clips, settings.resamples),
        confidence=settings.confidence,
        min_units=settings.min_units,
    )
    placed = {task: {(row.slice, row.class_, row.metric): row for row in found} for task, found in rows.items()}
    return Study(truth, resampler, placed)


_context: dict[str, Any] = {}


def _prepare(params: Params, layout: Layout, models: Mapping[str, ModelFacts]) -> None:
    """Once a worker process."""
    truth = load(params, layout.tables)
    _context.update(study=_study(params, truth, _rows(models, truth)), models=models)


def _work(item: tuple[Request, Mapping[str, float] | None]) -> cell.Scored:
    request, thresholds = item
    return cell.score(request.files, _context["models"][request.model], _context["study"], thresholds)


def _run(
    params: Params,
    layout: Layout,
    models: Mapping[str, ModelFacts],
    study: Study,
    requests: list[Request],
    workers: int,
) -> dict[Request, cell.Scored]:
    """Score the cells that are there: the clean ones first, for their thresholds decide the examples of the others."""
    there = [request for request in requests if request.status == "ok" and models[request.model].tasks]
    clean = [request for request in there if request.severity == 0]
    rest = [request for request in there if request.severity != 0]
    if workers <= 1 or len(there) <= 1:
        _context.update(study=study, models=models)
        try:
            return _in_order(clean, rest, map, study)
        finally:
            _context.clear()
    pool = ProcessPoolExecutor(
        min(workers, len(there)),
        mp_context=multiprocessing.get_context("spawn"),  # forking a process that runs torch's threads may hang
        initializer=_prepare,
        initargs=(params, layout, models),
    )
    try:
        return _in_order(clean, rest, pool.map, study)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error what waits is not begun


def _in_order(
    clean: list[Request], rest: list[Request], run: Callable[..., Iterator[cell.Scored]], study: Study
) -> dict[Request, cell.Scored]:
    scored: dict[Request, cell.Scored] = {}
    for request, found in zip(clean, run(_work, [(request, None) for request in clean]), strict=True):
        scored[request] = cell.with_classification(found, study)
    thresholds = {request.model: found.thresholds() for request, found in scored.items()}
    items = [(request, thresholds.get(request.model, {})) for request in rest]
    for request, found in zip(rest, run(_work, items), strict=True):
        scored[request] = cell.with_classification(found, study)
    return scored
