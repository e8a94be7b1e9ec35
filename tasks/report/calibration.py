"""Calibration: whether a confidence means what it says, what fixed thresholds cost, and what the policy makes of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.params import Params
from tasks.report import by_severity, figures, numbers, policy_tables, reliability, wording

Content = dict[str, Any]
Charts = dict[str, figures.Figure]

ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "classification": ("ece", "ece_scaled"),
    "detection": ("d_ece", "d_ece_scaled"),
    "instance": ("mask_d_ece", "mask_d_ece_scaled"),
}
"""By task its calibration error as the model is, and after temperature scaling."""

OPERATING: Final[Mapping[str, str]] = {
    "operating_precision": "Precision",
    "operating_recall": "Recall",
    "operating_f1": "F1",
}
ABSTAINING: Final[Mapping[str, str]] = {
    "coverage": "Coverage: share answered",
    "selective_accuracy": "Selective accuracy: right of those",
    "aurc": "Risk over coverage (AURC)",
}


def calibration(
    params: Params, scores: pd.DataFrame, table: pd.DataFrame | None, policy: Content, charts: Charts
) -> Content | None:
    """A block for each task whose answers carry a confidence; None for a run without one.

    Args:
        params: of the run.
        scores: the table `scores`.
        table: the table `reliability`; None where scores/ has none.
        policy: policy.json; empty without one.
        charts: the figures go here.
    """
    blocks = []
    for task in numbers.tasks_of(scores):
        if task not in tables.CALIBRATED:
            continue
        models = numbers.models_of(params, scores, task)
        order = [name for _, name in numbers.corruption_order(params, numbers.cells(scores, task))]
        settings = _settings(scores, task)
        blocks.append(
            {
                "task": task,
                "name": terms.TASK_NAMES[task],
                "right": "its label is the true one" if task == "classification" else "it found an object at IoU 0.5",
                "diagrams": [_diagram(table, settings, task, model, charts) for model in models],
                "errors": _errors(params, scores, settings, task, models, order, charts),
                "operating": _operating(scores, settings, task, models, order, charts),
                "abstaining": _abstaining(params, scores, settings, models, order, charts)
                if task == "classification"
                else None,
                "policy": policy_tables.policy_tables(policy, models, order) if task == "detection" else None,
            }
        )
    return {"corruptions": by_severity.corruptions(params, scores), "blocks": blocks} if blocks else None


def _settings(scores: pd.DataFrame, task: str) -> dict[tuple[str, str], float]:
    """By model and metric what was chosen once on clean frames; NaN where nothing was."""
    rows = by_severity.rows_of(scores, task, ["temperature", "abstain_below", "operating_threshold"])
    rows = rows[(rows["severity"] == 0) & (rows["class"] == tables.ALL)]
    return {(row["model"], row["metric"]): row["value"] for row in rows.to_dict("records")}


def _diagram(
    table: pd.DataFrame | None, settings: Mapping[tuple[str, str], float], task: str, model: str, charts: Charts
) -> Content:
    found = {} if table is None else reliability.parts(table, task, model)
    if not found:
        reason = "the scores hold no table of reliability" if table is None else "its scores are no probabilities"
        return {"model": model, "id": None, "takeaway": f"No diagram: {reason}."}
    key = f"reliability-{task}-{model}"
    charts[key] = reliability.diagram(found)
    threshold = settings.get((model, "operating_threshold"))
    return {
        "model": model,
        "id": key,
        "takeaway": reliability.sentence(found, least=0.0 if wording.absent(threshold) else float(threshold or 0.0)),
        "height": reliability.HEIGHT,
        "parts": [{"name": name, **by_severity.look(place)} for place, name in enumerate(found)],
        "lines": reliability.lines(found),
    }


def _errors(
    params: Params,
    scores: pd.DataFrame,
    settings: Mapping[tuple[str, str], float],
    task: str,
    models: Sequence[str],
    order: Sequence[str],
    charts: Charts,
) -> Content | None:
    """Calibration errors over severity, and which temperature there is."""
    raw, scaled = ERRORS[task]
    found = by_severity.by_metric(scores, task, (raw, scaled))
    if raw not in found:
        return None
    # Where no temperature was found for any model there is nothing to draw; the sentence says so.
    if wording.absent(
        max((p.value for p in found.get(scaled, {}).values() if not wording.absent(p.value)), default=None)
    ):
        found.pop(scaled, None)
    word = "D-ECE" if task != "classification" else "ECE"
    names = {raw: (word, word), scaled: (f"{word} after temperature scaling", word)}
    group = by_severity.group(f"ece-{task}", found, names, models, order, charts)
    return {**group, "temperatures": [_temperature(params, settings, model) for model in models]}


def _temperature(params: Params, settings: Mapping[tuple[str, str], float], model: str) -> str:
    value = settings.get((model, "temperature"))
    if not wording.absent(value):
        way = "draws its confidences away from" if float(value or 1.0) > 1 else "spreads its confidences towards"
        return f"{model}: temperature {wording.number(value, 2)}: scaling {way} 0 and 1."
    if params.on_validation() is None:
        return f"{model}: no temperature, for no validation split is set apart from the frames that are scored."
    return (
        f"{model}: no temperature. One exists only where validation frames were predicted, the model errs on some of"
        " them and does better than chance; an answer that is always right sets no limit to how sure it may be."
    )


def _operating(
    scores: pd.DataFrame,
    settings: Mapping[tuple[str, str], float],
    task: str,
    models: Sequence[str],
    order: Sequence[str],
    charts: Charts,
) -> Content | None:
    """Precision, recall and F1 at the fixed operating threshold."""
    prefix = "mask_" if task == "instance" else ""
    found = by_severity.by_metric(scores, task, [prefix + metric for metric in OPERATING])
    if not found:
        return None
    names = {prefix + metric: (name, name.lower() if name != "F1" else name) for metric, name in OPERATING.items()}
    group = by_severity.group(f"operating-{task}", found, names, models, order, charts, top=1.04)
    thresholds = []
    for model in models:
        value = settings.get((model, "operating_threshold"))
        if wording.absent(value):
            thresholds.append(f"{model}: no threshold, for it finds nothing on clean frames.")
        else:
            thresholds.append(f"{model}: scores from {wording.number(value)} on.")
    return {**group, "thresholds": thresholds}


def _abstaining(
    params: Params,
    scores: pd.DataFrame,
    settings: Mapping[tuple[str, str], float],
    models: Sequence[str],
    order: Sequence[str],
    charts: Charts,
) -> Content | None:
    """Coverage, selective accuracy and the area under risk over coverage of a classifier that may abstain."""
    found = by_severity.by_metric(scores, "classification", ABSTAINING)
    known = {m: p for m, p in found.items() if any(not wording.absent(point.value) for point in p.values())}
    target = wording.percent(params.metrics.answer_accuracy)
    told = []
    for model in models:
        value = settings.get((model, "abstain_below"))
        if not wording.absent(value):
            told.append(
                f"{model} answers from confidence {wording.number(value)} on: there at least {target} of its answers"
                " on clean validation frames are right."
            )
        elif params.on_validation() is None:
            told.append(f"{model} never abstains: no validation split is set apart to choose a confidence on.")
        else:
            told.append(f"{model} never abstains: no confidence makes {target} of its answers on validation right.")
    if not known:
        return {"told": told, "cards": []}
    names = {metric: (name, name.split(":")[0].split(" over")[0].lower()) for metric, name in ABSTAINING.items()}
    group = by_severity.group("abstaining", known, names, models, order, charts, top=1.04)
    return {**group, "told": told}
