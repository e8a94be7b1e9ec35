"""What rules may name: metrics, tasks, slices, classes, corruptions and severities of the run."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from tasks import tables
from tasks.errors import InputError
from tasks.gates import budget
from tasks.gates.book import Book
from tasks.metrics import DIAGNOSTICS, FRAMES_PROCESSED, METRICS, REALTIME, THRESHOLD, robustness
from tasks.metrics.latency import METRICS as LATENCY
from tasks.params import Gate, Params

EACH: Final = "*"


def check(params: Params, *, slices: Iterable[str], classes: Mapping[str, Iterable[str]]) -> None:
    """Refuse rules that a run of these params could not judge, before there are scores.

    Args:
        params: with `gates`.
        slices: the names of the slices that the data set has.
        classes: by task, the names of the classes.

    Raises:
        InputError: as `evaluate`.
    """
    book = Book(params, tables.SCHEMAS["scores"].empty_table().to_pandas())
    book.slices = list(slices)
    book.classes = {task: [tables.ALL, *named] for task, named in classes.items()}
    for number, gate in enumerate(params.gates, 1):
        where = f"gates, rule {number}"
        if gate.metric in LATENCY:
            list(budget.judge(params, None, gate, list(params.models), where))
            if params.latency is None:
                raise InputError(
                    f"{where}: {gate.metric} is measured where params say `latency`: give it, or remove the rule."
                )
        else:
            # A figure of every task, without a task: whether there is just one, the scores will say.
            open_ = gate.task is None and gate.metric in robustness.METRICS
            refuse(gate, book, "" if open_ else task_of(gate, book, where), where)


def task_of(gate: Gate, book: Book, where: str) -> str:
    """The task that a rule is about.

    Raises:
        InputError: no such task or metric, or a metric of every task without the task.
    """
    by_task = {task: (*metrics, *DIAGNOSTICS.get(task, ())) for task, metrics in METRICS.items()}
    by_task["tracking"] += (*REALTIME.values(), FRAMES_PROCESSED)
    known = {metric: task for task, metrics in by_task.items() for metric in metrics}
    known |= {THRESHOLD: "detection"}
    if gate.task is not None:
        if gate.task not in tables.TASKS:
            raise unknown(where, "task", gate.task, tables.TASKS)
        metrics = [*by_task[gate.task], *robustness.METRICS]
        if gate.metric not in metrics:
            raise unknown(where, f"metric of {gate.task}", gate.metric, metrics)
        return gate.task
    if gate.metric in known:
        return known[gate.metric]
    if gate.metric in robustness.METRICS:
        if len(book.tasks) == 1:
            return book.tasks[0]
        raise InputError(
            f"{where}: '{gate.metric}' is a figure of every task, expected a `task`: one of {', '.join(book.tasks)}."
        )
    raise unknown(where, "metric", gate.metric, [*known, *robustness.METRICS, *LATENCY])


def refuse(gate: Gate, book: Book, task: str, where: str) -> None:
    """Refuse what a rule names and the run does not have.

    Raises:
        InputError: a slice, class, corruption, family or severity that is not there, or that the metric does not go by.
    """
    if gate.max_ratio is not None:
        raise InputError(f"{where}: max_ratio is for latency and memory, expected max_drop for {gate.metric}.")
    if gate.slice not in (EACH, *book.slices, *book.cut_away):
        raise unknown(where, "slice", gate.slice, book.slices)
    classes = book.classes.get(task, [])
    if classes and gate.class_ not in (EACH, *classes):
        raise unknown(where, f"class of {task}", gate.class_, classes)
    if gate.corruption not in (None, EACH, tables.CLEAN, *book.families):
        raise unknown(where, "corruption", str(gate.corruption), [tables.CLEAN, *book.families])
    families = list(dict.fromkeys(book.families.values()))
    if gate.family not in (None, EACH, *families):
        raise unknown(where, "family", str(gate.family), families)
    if gate.metric in robustness.METRICS and (gate.severity is not None or gate.corruption == tables.CLEAN):
        raise InputError(f"{where}: {gate.metric} is a mean over severities, expected no severity and no clean.")
    if gate.metric in ("rpc", "rpc_15") and gate.against == "clean":
        raise InputError(f"{where}: {gate.metric} is relative to clean already, expected min, or against: baseline.")
    levels = sorted({level for levels in book.levels.values() for level in levels})
    if isinstance(gate.severity, int) and gate.severity not in (0, *levels):
        raise InputError(f"{where}: severity {gate.severity} is not in this run; there are 0 (clean), {levels}.")


def unknown(where: str, what: str, given: str, known: Iterable[str]) -> InputError:
    """The error of a name that is none of `known`, with the nearest of them."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names) or 'none'}."
    return InputError(f"{where}: '{given}' is no {what} of this run; {hint}")
