"""`stormglass check`: params, models and data set; every model sees one frame, and nothing is written."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from flows.runtime import Run
from tasks import gates, inference, slices, tables
from tasks.data.prepare import prepare
from tasks.inference import Plan
from tasks.layout import Layout
from tasks.metrics.predictions import facts
from tasks.metrics.score import check_tasks
from tasks.metrics.truth import KINDS, load
from tasks.params import Params


def examine(run: Run) -> Iterator[str]:
    """A line for each thing that is in order, and for each problem that a run would live with.

    Raises:
        InputError: the first thing that is not.
    """
    params = run.params
    yield f"params: {len(params.models)} model(s), {len(params.choices())} corruption(s), {len(params.gates)} gate(s)"
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        card = prepare(params.resolve(params.dataset.path), layout.tables, strict=params.run.strict)
        left_out = card["images_left_out"]
        state = f"is usable without {left_out} image(s)" if left_out else "is in order"
        yield f"data set: {params.resolve(params.dataset.path)} {state}"
        for problem in card["problems"]:
            yield f"data set, a problem: {problem}"
        cut = slices.load(params, layout.tables)
        yield f"slices: {len(cut) - 1} beside all data are in order"
        _check_gates(params, layout)
        yield f"gates: the names in {len(params.gates)} rule(s) are in order"
        work = inference.plan(params, layout)
        inference.try_models(work)
        yield f"models: {', '.join(params.models)} fit the data set"
        yield from _meeting_truth(work)
        for name, told in work.settings.items():
            yield f"model {name}: {told}"
        if work.recordings:
            inference.check_recorded(work)
            yield f"recorded predictions: {len(work.recordings)} file(s) or folder(s) are in order"
        yield from _lacking(work)
        devices = f"{len(work.devices)} x {work.devices[0]}"
        yield f"work: {work.n_parts} parts on {devices}, {work.n_missing} not in the store yet"


def _meeting_truth(work: Plan) -> Iterator[str]:
    """A problem for each model that the data set has no truth for, and how the classes of the others meet it.

    Raises:
        InputError: it has none for any.
    """
    truth = load(work.params, work.layout.tables)
    models = {name: facts(name, model, work.descriptions[name], truth) for name, model in work.params.models.items()}
    check_tasks(models)
    for name, model in models.items():
        if not model.tasks:
            can = ", ".join(work.descriptions[name]["tasks"])
            yield f"model {name}, a problem: the data set has no truth for what it does ({can}): it gets no scores"
        for kind in dict.fromkeys(KINDS[task] for task in model.tasks):
            for sentence in model.maps[kind].told():
                yield f"model {name}, {kind} classes: {sentence}"


def _lacking(work: Plan) -> Iterator[str]:
    """A problem for each recorded model that lacks cells of the run."""
    lacking: dict[str, list[str]] = {}
    for cell in work.cells:
        if cell.absent is not None and cell.absent[0] == "failed":
            lacking.setdefault(cell.part.model, []).append(cell.absent[1])
    for name, messages in lacking.items():
        each = list(dict.fromkeys(messages))
        more = f", and {len(each) - 1} cell(s) more" if len(each) > 1 else ""
        yield f"model {name}, a problem: {each[0]}{more}"


def _check_gates(params: Params, layout: Layout) -> None:
    """Refuse rules that name what a run of these params will not have."""
    whole = params.model_copy(update={"dataset": params.dataset.model_copy(update={"limit": None})})
    classes = tables.read("classes", layout.tables / "classes.parquet")
    named = {kind: rows["name"].tolist() for kind, rows in classes.groupby("kind")}
    gates.check(
        params,
        slices=[item.name for item in slices.load(whole, layout.tables)],
        classes={task: named[kind] for task, kind in KINDS.items() if kind in named},
    )
