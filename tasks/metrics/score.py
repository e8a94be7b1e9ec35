"""The stage `score`: from predictions and truth to the tables `scores` and `examples`."""

import contextlib
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tasks import displacement, processes, tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.metrics import MIX, ORACLE_DETECTION, assemble, attribution, cell, deployment, shift, trivial
from tasks.metrics.cell.deployed import Limits
from tasks.metrics.cell.fitting import Fitted, fit
from tasks.metrics.moved import moved
from tasks.metrics.plan import Row, of_policy, plan
from tasks.metrics.predictions import ModelFacts, facts
from tasks.metrics.requests import Request, validation
from tasks.metrics.requests import requests as requests_of
from tasks.metrics.resampling import Resampler, unit_weights
from tasks.metrics.robustness import Figure
from tasks.metrics.streams import streams
from tasks.metrics.study import Key, Study
from tasks.metrics.truth import GroundTruth, load
from tasks.params import Params, Tracker


def score(params: Params, layout: Layout, *, workers: int = 1, track: attribution.Track | None = None) -> None:
    """Measure every cell that params name and write scores/: scores, shifts, the tables of `streams`, two JSON files.

    The same for any number of workers. A cell that failed or is missing becomes rows without a number, by name.

    Args:
        params: the run's choices.
        layout: where its tables lie.
        workers: processes.
        track: what gives boxes their track ids, for `hota_oracle_detection`; None leaves that metric out.

    Raises:
        InputError: tables are missing or broken, a slice or class map names what is not there, predictions are unfit.
    """
    truth = load(params, layout.tables)
    models = model_facts(params, layout, truth)
    check_tasks(models)
    requests = requests_of(params, layout)
    rows = _rows(models, truth, oracle=track is not None)
    deployment.check_mix(params, truth.names("detection"))
    study = make_study(params, truth, rows)
    with streams(layout.scores) as put:
        scored, floors = _run(params, layout, models, study, requests, workers, put)
        if track is not None:
            scored = _with_oracles(params, models, study, scored, track)
        with _uncollected():
            scores = assemble.scores(params, models, requests, scored, rows, floors)
            policy = deployment.document(params, scores)
        shifts = shift.table(params, truth, models, requests, scored, rows)
        tables.write("shifts", shifts, layout.scores / "shifts.parquet")
        tables.write("scores", scores, layout.scores / "scores.parquet")
    maps = {name: {kind: asdict(found) for kind, found in model.maps.items()} for name, model in models.items()}
    _write(maps, layout.scores / "class_map.json")
    _write(policy, layout.scores / "policy.json")


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for cycles, which goes through all the rows again and again while they are made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _write(content: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def model_facts(params: Params, layout: Layout, truth: GroundTruth) -> dict[str, ModelFacts]:
    """What `infer` noted of each model.

    Raises:
        InputError: it noted nothing, or a class map names what is not there.
    """
    path = layout.predictions / "models.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"Expected the models' facts at {path} ({error}): run `stormglass infer` first.") from None
    missing = [name for name in params.models if name not in described]
    if missing:
        raise InputError(f"{path} does not know the model(s) {', '.join(missing)}: run `stormglass infer` again.")
    return {name: facts(name, model, described[name], truth) for name, model in params.models.items()}


def check_tasks(models: Mapping[str, ModelFacts]) -> None:
    """Refuse a run without scores.

    Raises:
        InputError: no model has a task with truth.
    """
    if not any(model.tasks for model in models.values()):
        raise InputError(
            "No model has a task that the data set has truth for: expected boxes, label maps, labels or tracks "
            f"for the tasks of {', '.join(models)} and classes that meet (class_map)."
        )


def _rows(models: Mapping[str, ModelFacts], truth: GroundTruth, *, oracle: bool = True) -> dict[str, list[Row]]:
    return {
        task: [row for row in plan(task, truth) if oracle or row.metric != ORACLE_DETECTION]
        for task in tables.TASKS
        if any(task in model.tasks for model in models.values())
    }


def make_study(params: Params, truth: GroundTruth, rows: Mapping[str, list[Row]]) -> Study:
    """What cells are measured against; `rows`: by task, what `plan` gives."""
    settings = params.metrics
    resampler = Resampler(
        unit_of=truth.clip_of,
        weights=unit_weights(truth.clips, settings.resamples),
        confidence=settings.confidence,
        min_units=settings.min_units,
    )
    mixed = {
        task: [row for row in of_policy(found, mix=bool(params.policy.mix)) if row.metric in MIX[2:]]
        for task, found in rows.items()
    }
    placed = {
        task: {(row.slice, row.class_, row.metric): row for row in (*found, *mixed[task])}
        for task, found in rows.items()
    }
    return Study(truth, resampler, placed, params.policy)


Put = Callable[[Request, cell.Scored], None]

Floors = dict[str, dict[Key, Figure]]
"""What trivial baselines reach, by task."""

_context: dict[str, Any] = {}


def _prepare(params: Params, layout: Layout, models: Mapping[str, ModelFacts]) -> None:
    """Once a worker process."""
    truth = load(params, layout.tables)
    _ready(params, layout, models, make_study(params, truth, _rows(models, truth)))


def _ready(params: Params, layout: Layout, models: Mapping[str, ModelFacts], study: Study) -> None:
    displaced = displacement.cells(layout.predictions)
    _context.update(study=study, models=models, sources=(params, layout), displaced=displaced)


def _work(
    item: tuple[Request, Mapping[str, float] | None, Mapping[str, Fitted] | None, Limits | None],
) -> cell.Scored:
    request, thresholds, fitted, limits = item
    model = _context["models"][request.model]
    # The clean cells come first: they find what the others are then given.
    fitted = _fit(model) if fitted is None else fitted
    return cell.score(request.files, model, _study_of(request), thresholds, fitted, limits)


def _study_of(request: Request) -> Study:
    """What a cell is measured against: the truth, moved where its corruption moves what is seen."""
    study: Study = _context["study"]
    if (request.corruption, request.severity) not in _context["displaced"]:
        return study
    _, layout = _context["sources"]
    waves = displacement.read(layout.predictions, request.corruption, request.severity)
    return replace(study, truth=moved(study.truth, waves))


def _floors() -> Floors:
    _, layout = _context["sources"]
    study: Study = _context["study"]
    return trivial.figures(layout.tables, study, study.rows)


def _fit(model: ModelFacts) -> dict[str, Fitted]:
    params, layout = _context["sources"]
    files, held_out = validation(params, layout).get(model.name), params.on_validation()
    if held_out is None or files is None:
        return {}
    truth = load(held_out, layout.tables)
    return fit(files, model, truth, answer_accuracy=params.metrics.answer_accuracy)


def _run(
    params: Params,
    layout: Layout,
    models: Mapping[str, ModelFacts],
    study: Study,
    requests: list[Request],
    workers: int,
    put: Put,
) -> tuple[dict[Request, cell.Scored], Floors]:
    """Score the cells that are there, and what takes no look at them.

    The clean ones come first, for their thresholds decide the examples of the others.
    """
    there = [request for request in requests if request.status == "ok" and models[request.model].tasks]
    clean = [request for request in there if request.severity == 0]
    rest = [request for request in there if request.severity != 0]
    if workers <= 1 or len(there) <= 1:
        _ready(params, layout, models, study)
        try:
            return _in_order(clean, rest, map, study, put), _floors()
        finally:
            _context.clear()
    with processes.pool(min(workers, len(there)), _prepare, params, layout, models) as pool:
        floors = pool.submit(_floors)  # while others would wait for the clean cells
        return _in_order(clean, rest, pool.map, study, put), floors.result()


def _in_order(
    clean: list[Request], rest: list[Request], run: Callable[..., Iterator[cell.Scored]], study: Study, put: Put
) -> dict[Request, cell.Scored]:
    """The figures of each cell; its rows of other tables go to `put` and are let go."""
    scored: dict[Request, cell.Scored] = {}

    def take(request: Request, found: cell.Scored) -> None:
        whole = cell.with_classification(found, study)
        put(request, whole)
        scored[request] = replace(whole, rows={})

    for request, found in zip(clean, run(_work, [(request, None, None, None) for request in clean]), strict=True):
        take(request, found)
    chosen = {request.model: (found.thresholds(), found.fitted, found.limits) for request, found in scored.items()}
    items = [(request, *chosen.get(request.model, ({}, None, None))) for request in rest]
    for request, found in zip(rest, run(_work, items), strict=True):
        take(request, found)
    return scored


def _with_oracles(
    params: Params,
    models: Mapping[str, ModelFacts],
    study: Study,
    scored: Mapping[Request, cell.Scored],
    track: attribution.Track,
) -> dict[Request, cell.Scored]:
    """The same cells with what their model's tracker makes of the true boxes: run once for each setting."""
    found: dict[Tracker, Mapping[Key, Figure]] = {}
    result = dict(scored)
    for request, own in scored.items():
        tracker = params.models[request.model].tracker
        if tracker is None or "tracking" not in models[request.model].tasks:
            continue
        if tracker not in found:
            found[tracker] = study.figures("tracking", attribution.of_tracker(study, track, tracker))
        result[request] = replace(
            own, figures={**own.figures, "tracking": {**own.figures["tracking"], **found[tracker]}}
        )
    return result
