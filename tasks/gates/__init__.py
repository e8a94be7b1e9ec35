"""Gates: the rules of params judged on the scores. May this version ship?

A rule applies to every model but the baseline unless it names one; to the only model when there is just one. A selector
that it omits (corruption, family, severity) means the mean over the declared ones, `*` means each one. A rule that
cannot be judged is `not_run`, which is no success. Rules on latency and memory look at the table `latency` instead, at
clean frames unless they name a cell (tasks/gates/budget.py).

Where a figure has an interval, all of it has to lie on the right side of the threshold to pass and on the wrong side to
fail; across it the rule is `uncertain`, and its `on_uncertain` says whether that lets a version through.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import slices, tables
from tasks.gates import budget, digits, names
from tasks.gates.book import TOLERANCE, Book, Selected
from tasks.gates.names import check as check
from tasks.metrics import LOWER_IS_BETTER, robustness
from tasks.metrics.latency import METRICS as LATENCY
from tasks.metrics.robustness import Figure
from tasks.params import Gate, Params

COLUMNS: Final = (
    "rule", "task", "metric", "model", "corruption", "family", "severity", "slice", "class", "observed", "threshold",
    "low", "high", "n_units", "status", "reason", "ships",
)  # fmt: skip

_TABLES: Final = ("frames", "objects")
"""What slices are cut from."""

STATUSES: Final = ("pass", "fail", "uncertain", "insufficient", "not_run")


def evaluate(
    params: Params,
    scores: pd.DataFrame,
    latency: pd.DataFrame | None = None,
    folder: Path | None = None,
    realtime: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Judge every rule of params.

    Args:
        params: with `gates`.
        scores: the table `scores`.
        latency: the table `latency`; None where there is none: rules on it are not run.
        folder: of the tables of the whole data set, which tell a slice that `--limit` cut away from one that there is
            not; None: every slice that the scores lack is refused.
        realtime: rows like those of `scores` that stand apart from them; None where there are none: rules on them are
            not run.

    Returns:
        One row per rule, model and each place that its `*` stand for, in the order of params: the rule in words, its
        selectors (empty where it means the mean), observed (of a drop: reference minus value) with its interval (low,
        high; NaN where the figure is no single row of the scores: then the value alone decides), threshold, status
        (`STATUSES`), the reason in a sentence, and whether that lets a version through (`ships`).

    Raises:
        InputError: a rule names a metric, task, slice, class, corruption or family that the scores do not have (and
            whose frames `--limit` did not cut away).
    """
    whole = scores if realtime is None or realtime.empty else pd.concat([scores, realtime], ignore_index=True)
    book = Book(params, whole, _cut_away(params, scores, folder))
    found = [
        line
        for number, gate in enumerate(params.gates, 1)
        for line in (
            budget.judge(params, latency, gate, _models(params, gate), f"gates, rule {number}")
            if gate.metric in LATENCY
            else _judge(params, book, gate, number)
        )
    ]
    kinds = dict.fromkeys(("observed", "low", "high"), float) | {"ships": bool}
    return pd.DataFrame(found, columns=list(COLUMNS)).astype(kinds)


def passed(gates: pd.DataFrame) -> bool:
    """Whether every rule lets the version through; one that could not be judged does not. No rule at all is a pass."""
    return bool(gates["ships"].all())


def _judge(params: Params, book: Book, gate: Gate, number: int) -> Iterator[dict[str, Any]]:
    where = f"gates, rule {number}"
    task = names.task_of(gate, book, where)
    names.refuse(gate, book, task, where)
    for model in _models(params, gate):
        places = list(_places(gate, book, task))
        if names.EACH in (gate.slice, gate.class_):
            places = [at for at in places if _exists(params, book, model, task, gate.metric, at)]
        # Where `*` stands for nothing at all the rule is still told, as not run.
        for at in places or [Selected(gate.corruption, gate.family, None, gate.slice, gate.class_)]:
            observed, status, reason = _verdict(params, book, gate, model, task, at)
            low, high = book.interval(gate, model, task, at, observed)
            if status in ("pass", "fail") and _across(gate, low, high):
                status = "uncertain"
                told = digits.ends(low, high, digits.interval_places(low, high), gate.bound)
                reason = f"{reason[:-1]}, but its interval {told} reaches across {gate.bound:g}."
            yield {
                "rule": _words(gate, task, at),
                "task": task,
                "metric": gate.metric,
                "model": model,
                "corruption": at.corruption,
                "family": at.family,
                "severity": at.severity,
                "slice": at.slice,
                "class": at.class_,
                "observed": observed,
                "threshold": float(gate.bound),
                "low": low,
                "high": high,
                "n_units": book.n_units(model, task, gate.metric, at),
                "status": status,
                "reason": reason,
                "ships": status == "pass" or (status == "uncertain" and gate.on_uncertain == "pass"),
            }


def _cut_away(params: Params, scores: pd.DataFrame, folder: Path | None) -> frozenset[str]:
    """Slices that rules name and whose frames are all beyond the first ones, which were scored (`--limit`)."""
    lacking = {gate.slice for gate in params.gates} - {names.EACH, *scores["slice"]}
    if not lacking or folder is None or not all((folder / f"{name}.parquet").exists() for name in _TABLES):
        return frozenset()
    scored = int(scores["n_frames"].max())
    whole = params.model_copy(update={"dataset": params.dataset.model_copy(update={"limit": None})})
    named = [{item.name for item in slices.load(chosen, folder)} for chosen in (whole, params.limited(scored))]
    return frozenset(lacking & (named[0] - named[1]))


def _models(params: Params, gate: Gate) -> list[str]:
    if gate.model is not None:
        return [gate.model]
    others = [name for name in params.models if name != params.baseline]
    return others or list(params.models)


def _places(gate: Gate, book: Book, task: str) -> Iterator[Selected]:
    """Each place that the rule's `*` stand for."""
    subsets = book.slices if gate.slice == names.EACH else [gate.slice]
    classes = [c for c in book.classes.get(task, []) if c != tables.ALL] if gate.class_ == names.EACH else [gate.class_]
    corruptions: Iterable[str | None] = book.families if gate.corruption == names.EACH else [gate.corruption]
    families = list(dict.fromkeys(book.families.values())) if gate.family == names.EACH else [gate.family]
    for slice_ in subsets:
        for class_ in classes:
            for family in families:
                for corruption in corruptions:
                    at = Selected(corruption, family, None, slice_, class_)
                    for severity in _levels(gate, book, at):
                        yield replace(at, severity=severity)


def _levels(gate: Gate, book: Book, at: Selected) -> Sequence[int | None]:
    if gate.severity != names.EACH:
        return [int(gate.severity) if gate.severity is not None else None]
    return sorted(
        {
            level
            for name, levels in book.levels.items()
            if at.corruption in (None, name) and at.family in (None, book.families[name])
            for level in levels
        }
    )


def _exists(params: Params, book: Book, model: str, task: str, metric: str, at: Selected) -> bool:
    """Whether `*` stands for this place: not where the metric is not defined on clean data (no truth, recall alone)."""
    if metric in robustness.METRICS:
        metric = tables.HEADLINE[task]
    figures = [book.clean(name, task, metric, at) for name in {model, params.baseline} if name is not None]
    return any(figure is not None and figure.status != "not_defined" for figure in figures)


def _verdict(params: Params, book: Book, gate: Gate, model: str, task: str, at: Selected) -> tuple[float, str, str]:
    """Observed value, status, reason."""
    if at.slice in book.cut_away:
        return math.nan, "not_run", "The frames of the slice were cut away by `--limit`: the run took the first clips."
    if lacking := book.lacking(at):
        return math.nan, "not_run", f"The rule takes in {', '.join(lacking)}, which this run left out (`--only`)."
    value = book.value(model, task, gate.metric, at)
    problem = _problem(value, model, task, gate.metric)
    if problem or value is None:
        return math.nan, *problem
    told = digits.rounded(value.value, digits.PLACES, gate.bound if gate.max_drop is None else math.nan)
    if gate.min is not None:
        good = value.value >= gate.min - TOLERANCE
        return value.value, *_outcome(good, f"{told} {'>=' if good else '<'} {gate.min:g}")
    if gate.max is not None:
        good = value.value <= gate.max + TOLERANCE
        return value.value, *_outcome(good, f"{told} {'<=' if good else '>'} {gate.max:g}")
    if gate.against == "clean":
        other, reference = book.clean(model, task, gate.metric, at), f"{model} on clean data"
        if gate.metric in robustness.METRICS:
            other = book.clean(model, task, tables.HEADLINE[task], at)
    elif model == params.baseline:
        return math.nan, "not_run", f"{model} is the baseline and there is no other model to compare."
    else:
        reference = str(params.baseline)
        other = book.value(reference, task, gate.metric, at)
    problem = _problem(other, reference, task, gate.metric)
    if problem or other is None:
        return math.nan, *problem
    drop = value.value - other.value if gate.metric in LOWER_IS_BETTER else other.value - value.value
    good = drop <= (gate.max_drop or 0) + TOLERANCE
    told += f" against {digits.rounded(other.value, digits.PLACES)} of {reference}"
    told += f": a drop of {digits.rounded(drop, digits.PLACES, gate.bound)}"
    return drop, *_outcome(good, f"{told}, {'at most' if good else 'more than'} {gate.max_drop:g}")


def _across(gate: Gate, low: float, high: float) -> bool:
    """Whether an interval has its ends on both sides of the threshold."""
    bound = gate.bound
    return (low < bound - TOLERANCE <= high) if gate.min is not None else (low <= bound + TOLERANCE < high)


def _outcome(good: bool, reason: str) -> tuple[str, str]:
    return ("pass" if good else "fail"), f"{reason}."


def _problem(figure: Figure | None, model: str, task: str, metric: str) -> tuple[str, str] | tuple[()]:
    if figure is None:
        return "not_run", f"The run has no {metric} ({task}) of {model} there."
    if figure.status == "insufficient":
        return "insufficient", f"Too few units stand behind the {metric} of {model}."
    if figure.status != "ok" or math.isnan(figure.value):
        told = {
            "failed": "its cell failed or is missing",
            "incomplete": f"it is incomplete, with {figure.note or 'a cell failed or missing'}",
            "not_applicable": "the corruption does not apply to this data",
        }.get(figure.status, figure.note or "it is not defined there: no truth, or not measurable on such a slice")
        return "not_run", f"The {metric} of {model} is no number: {told}."
    return ()


def _words(gate: Gate, task: str, at: Selected) -> str:
    """The rule as a phrase: `map (detection) >= 0.25, family weather, severity 3`."""
    if gate.max_drop is not None:
        head = f"{gate.metric} ({task}) drops by at most {gate.max_drop:g} against {gate.against}"
    else:
        head = f"{gate.metric} ({task}) {'>=' if gate.min is not None else '<='} "
        head += f"{gate.min if gate.min is not None else gate.max:g}"
    said = [
        f"{name} {value}"
        for name, value in (("corruption", at.corruption), ("family", at.family), ("severity", at.severity))
        if value is not None
    ]
    said += [f"slice {at.slice}"] * (at.slice != tables.ALL) + [f"class {at.class_}"] * (at.class_ != tables.ALL)
    return ", ".join([head, *said])
