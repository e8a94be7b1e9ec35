"""Real shift against simulated: what other data cost, and which severity of a corruption costs as much.

Rendered data are never called real: where the data set card says that the frames are rendered, so are their shifts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tasks import slices, tables, terms
from tasks.params import Params
from tasks.report import by_severity, numbers, wording
from tasks.report.by_severity import Point
from tasks.report.shift_charts import HEIGHT, chart
from tasks.report.shift_rows import Known, known

Content = dict[str, Any]

SYNTHETIC: Final = (
    "Synthetic corruption only: these figures are a stress test on corrupted copies of the data set, not a forecast of"
    " the accuracy in the field."
)
"""What the page starts with where no shifted data were scored."""

_FIRST: Final = ("detection", "instance", "semantic", "tracking", "classification")
"""The task whose drop the header tells: the first that there is."""

_SIDES: Final[Mapping[str, str]] = {
    "units": "Clips or images",
    "frames": "Frames",
    "objects_per_frame": "Objects a frame",
    "small_share": "Small objects (COCO's area)",
}
_MIXES: Final[Mapping[str, str]] = {
    "object_mix_distance": "Classes of objects",
    "label_mix_distance": "Labels of frames",
    "semantic_mix_distance": "Classes of pixels",
}


def honesty(params: Params, scores: pd.DataFrame, shifts: pd.DataFrame | None, card: Content) -> str:
    """What the header says of how far the figures reach: whether really shifted data were scored, and at what cost."""
    found = known(params, shifts)
    if not found:
        return SYNTHETIC
    rendered = _kind(card) == "rendered"
    task = next(task for task in _FIRST if any(task in rows.tasks() for rows in found.values()))
    told = []
    for name, rows in found.items():
        drops = [
            f"{model} {rows.point('real_drop', task=task, model=model).told}"
            for model in numbers.models_of(params, scores, task)
        ]
        row = rows.row("units", side="shifted")
        amount = "" if row is None else f" ({row['value']:.0f} units)"
        told.append(f"{_words(name)}{amount} {', '.join(drops)}")
    start = "Rendered data set: its shifts are rendered, too." if rendered else "Really shifted data were scored, too."
    return (
        f"{start} They cost in {terms.metric(tables.HEADLINE[task])} (below zero: better there):"
        f" {'; '.join(told)}. All figures under corruption are a stress test on corrupted copies of the data set, not a"
        " forecast of the accuracy in the field."
    )


def shift(
    params: Params, scores: pd.DataFrame, shifts: pd.DataFrame | None, card: Content, charts: dict[str, Content]
) -> Content | None:
    """The section; None where no shift was scored."""
    found = known(params, shifts)
    if not found:
        return None
    kind = _kind(card)
    return {"kind": kind, "blocks": [_block(params, scores, name, rows, kind, charts) for name, rows in found.items()]}


def _kind(card: Content) -> str:
    return "rendered" if card.get("rendered") is True else "real"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _block(
    params: Params, scores: pd.DataFrame, name: str, known: Known, kind: str, charts: dict[str, Content]
) -> Content:
    declared = params.slices.shifted[name]
    inside, reference = slices.of_shift(params.slices, name)
    tasks = []
    lines: list[Content] = []
    for task in known.tasks():
        models = numbers.models_of(params, scores, task)
        key = f"shift-{name}-{task}"
        metric = terms.metric(tables.HEADLINE[task])
        charts[key] = chart(known, task, models, kind)
        tasks.append(
            {
                "task": task,
                "id": key,
                "height": HEIGHT,
                "name": terms.TASK_NAMES[task],
                "metric": metric,
                "takeaways": takeaways(known, task, models, _words(name), kind),
                "lines": [_line(known, scores, task, model, (reference, inside)) for model in models],
            }
        )
        lines += _drops(known, task, models)
    models = numbers.models_of(params, scores)
    return {
        "id": f"shift-{name}",
        "name": _words(name),
        "where": declared.where,
        "reference": declared.reference,
        "like": known.like(),
        "sides": _sides(known),
        "legend": [{"name": model, **by_severity.look(place)} for place, model in enumerate(models)],
        "tasks": tasks,
        "drops": lines,
    }


def takeaways(known: Known, task: str, models: Sequence[str], shift: str, kind: str) -> list[str]:
    """A sentence for each model: what the shift costs and which severity costs as much; then how models are ordered."""
    found = []
    metric = terms.metric(tables.HEADLINE[task])
    for model in models:
        real = known.point("real_drop", task=task, model=model)
        if wording.absent(real.value):
            found.append(f"{wording.headline(kind)} {shift}: {model} has no figure to compare ({real.told}).")
            continue
        sentence = f"{wording.headline(kind)} {shift} costs {model} {real.told} {metric}{_doubt(real)}"
        matched = [matching(known, task, model, name, f"{terms.corruption(name)} ") for name in known.like()]
        found.append(f"{sentence}: {'; '.join(matched)}." if matched else f"{sentence}.")
    for corruption in known.like() if len(models) > 1 else ():
        row = known.row("rank_agreement", task=task, corruption=corruption)
        if row is not None and not wording.absent(row["value"]):
            found.append(
                f"By what they lose, {terms.corruption(corruption)} orders the models {_order(float(row['value']))}"
                f" {kind} {shift} ({row['note']})."
            )
    return found


def _doubt(real: Point) -> str:
    if wording.absent(real.low) or wording.absent(real.high):
        return f" ({wording.status(real.status) or 'no interval'})"
    return ", not told apart from zero" if real.low <= 0 <= real.high else ""


def _order(tau: float) -> str:
    known = {1.0: "as does", -1.0: "the other way round than", 0.0: "in no common order with"}
    return known.get(tau, f"with a Kendall's tau of {wording.number(tau, 2)} to")


def matching(known: Known, task: str, model: str, corruption: str, words: str = "") -> str:
    """Which severity costs as much as the shift, in words; `words` stands before each `severity`."""
    point = known.point("equal_severity", task=task, model=model, corruption=corruption)
    severities = known.severities(corruption)
    ends = _ends(point, severities)
    if point.status == "not_reached":
        return f"beyond {words}severity {severities[-1]}{ends}"
    if wording.absent(point.value):
        return f"no {words}severity to compare with ({wording.status(point.status)})"
    if known.point("real_drop", task=task, model=model).value <= 0:
        return f"less than any {words}severity{ends}"
    if point.value < severities[0]:
        return f"less than {words}severity {severities[0]}{ends}"
    return f"about {words}severity {wording.number(point.value, 1)}{ends}"


def _ends(point: Point, severities: Sequence[int]) -> str:
    if wording.absent(point.low):
        return ""
    high = f"beyond {severities[-1]}" if wording.absent(point.high) else wording.number(point.high, 1)
    return f" [{wording.number(point.low, 1)}, {high}]"


def _line(known: Known, scores: pd.DataFrame, task: str, model: str, sides: tuple[str, str]) -> Content:
    cells = []
    for slice_ in sides:
        rows = numbers.cells(scores, task, slice_=slice_)
        clean = numbers.clean_figure(rows, model)
        cells.append(Point(clean.value, clean.low, clean.high, clean.status).told)
    real = known.point("real_drop", task=task, model=model)
    matched = [matching(known, task, model, name) for name in known.like()]
    return {"model": model, "cells": [*cells, real.told], "matched": matched}


def _drops(known: Known, task: str, models: Sequence[str]) -> list[Content]:
    """The data of a chart: a line for the shift, then one for each corruption and severity, by model."""
    places: list[tuple[str, str, Content]] = [("the shift", "", {"figure": "real_drop"})]
    for corruption in known.like():
        for severity in known.severities(corruption):
            place = {"figure": "simulated_drop", "corruption": corruption, "severity": severity}
            places.append((terms.corruption(corruption), str(severity), place))
    return [
        {
            "task": terms.TASK_NAMES[task],
            "model": model,
            "what": what,
            "severity": severity,
            "drop": known.point(**place, task=task, model=model).told,
        }
        for model in models
        for what, severity, place in places
    ]


def _sides(known: Known) -> list[Content]:
    """What else differs: a line for each amount with both sides, and for each mix of classes how far apart they are."""
    lines = []
    for figure, words in _SIDES.items():
        one, other = (known.row(figure, side=side) for side in ("reference", "shifted"))
        if one is None or other is None:
            continue
        values = [float(row["value"]) for row in (one, other)]
        told = [wording.percent(v) if figure == "small_share" else wording.number(v, _places(figure)) for v in values]
        apart = ""
        if figure == "small_share":
            apart = f"{wording.change(100 * (values[1] - values[0]), 0)} points"
        elif figure == "objects_per_frame" and values[0]:
            apart = f"{wording.change(100 * (values[1] / values[0] - 1), 0)} %"
        lines.append({"what": words, "values": told, "apart": apart})
    for figure, words in _MIXES.items():
        row = known.row(figure)
        if row is not None:
            lines.append({"what": words, "values": ["", ""], "apart": f"{wording.percent(row['value'])} of the mix"})
    return lines


def _places(figure: str) -> int:
    return 1 if figure == "objects_per_frame" else 0
