"""comparison.html: two revisions side by side on a page like that of a run, regressions first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.params import Params
from tasks.report import (
    cards,
    comparison,
    differences,
    figures,
    gate_changes,
    latency_changes,
    metric_changes,
    numbers,
    revision_example,
    revision_summary,
    sections,
    shell,
    trade,
    wording,
)
from tasks.report.revision_summary import Change
from tasks.report.revisions import Comparison, shortened
from tasks.report.shared import Revision

MOST_SHIFTS: Final = 12
"""Single cells that the page names as the largest shifts; its maps hold all of them."""

MEAN: Final = "mean"


def render(a: Revision, b: Revision, found: Comparison, change: Change) -> str:
    """The page as text.

    Args:
        a: the first revision.
        b: the second: every difference is B minus A.
        found: from `revisions.compare`.
        change: what lies between them.

    Raises:
        InputError: a gallery names a picture that is not there.
    """
    charts: dict[str, figures.Figure] = {}
    names = [one if one == other else f"{one} → {other}" for one, other in found.pairs]
    confidence = b.params.metrics.confidence
    run = _as_one_run(b.params, found)
    slices = pd.concat(
        [
            numbers.slices(_of_pair(b.params, labels), scores).assign(shown=name)
            for scores, labels, name in zip(found.scores, found.labels, names, strict=True)
        ],
        ignore_index=True,
    )
    table = differences.comparison(slices, confidence)
    scores = pd.concat(found.scores, ignore_index=True).drop_duplicates(
        ["model", "baseline", "task", "corruption", "family", "severity", "slice", "class", "metric"]
    )
    tasks = numbers.tasks_of(scores)
    whole = trade.whole(table)
    charts["trade"] = trade.trade(whole)
    styled = figures.paired_style if len(found.pairs) > 1 else figures.style
    degradation = sections.degradation(run, scores, numbers.overview(run, scores), charts, styled)
    for chart in charts.values():
        chart["layout"].get("meta", {}).pop("pictures", None)  # this page has no gallery to lead to
    changes = _metric_changes(found, names, tasks, confidence)
    gates, told = gate_changes.gate_changes(a, b, found.pairs, names)
    pictures = cards.Pictures(Path("/"))
    example = revision_example.example(a, b, found.fallen, pictures)
    content = {
        "title": f"{shortened(b.name)} against {shortened(a.name)}",
        "a": shortened(a.name),
        "b": shortened(b.name),
        "header": {"verdict": _verdict(found), "honesty": _honesty(found, confidence)},
        "glance": _glance(slices, found, names),
        "change": change,
        "changed": [(key, *map(revision_summary.short, values)) for key, *values in change.params],
        "shifts": _shifts(found, names),
        "trade": trade.takeaway(whole),
        "trade_lines": [
            (
                {**row, "task_name": terms.TASK_NAMES[row["task"]]},
                *(wording.difference(*numbers.ends(row, f"{name}_difference")) for name in ("clean", "mpc")),
            )
            for row in whole
        ],
        "lines": [comparison.line({**row, "model": row["shown"]}) for row in table.to_dict("records")],
        "most_q": f"{1 - confidence:.4g}",
        "maps": _maps(b.params, found, names, tasks, charts),
        "degradation": degradation,
        "bursts": [],
        "cards": [],
        "metrics": changes,
        "latency": latency_changes.latency_changes(a, b, found.pairs),
        "latency_note": revision_summary.LATENCY,
        "gates": gates,
        "gates_told": told,
        "example": example,
        "states": list(dict.fromkeys((style, words) for _, _, style, words in cards.STATES)),
        "left_out": found.left_out,
        "shared": found.shared,
        "tasks": [(task, terms.TASK_NAMES[task]) for task in tasks],
        "confidence": wording.confidence(confidence),
    }
    return shell.render("revisions.html", content, charts=charts, pictures=pictures, overlays={})


def _of_pair(params: Params, labels: tuple[str, str]) -> Params:
    """Params in which a pair's labels are its models, A's the baseline."""
    any_model = next(iter(params.models.values()))
    return params.model_copy(update={"models": dict.fromkeys(labels, any_model), "baseline": labels[0]})


def _as_one_run(params: Params, found: Comparison) -> Params:
    """Params in which the labels of all pairs are models, each A before its B."""
    any_model = next(iter(params.models.values()))
    models = {label: any_model for labels in found.labels for label in labels}
    return params.model_copy(update={"models": models, "baseline": None})


def _verdict(found: Comparison) -> dict[str, str]:
    """What the differences come to, in a few words."""
    counts = revision_summary.counted(found)
    lost, won = counts[differences.REGRESSION], counts[differences.GAIN]
    rest = f"{counts[differences.SAME]} figures are not told apart, {counts[differences.FEW]} rest on too few units."
    gains = f"{won} gain{'' if won == 1 else 's'}"
    if lost:
        text = f"{lost} regression{'' if lost == 1 else 's'} told apart from chance"
        return {"key": "hold", "icon": "▼", "text": text, "detail": f"{gains}; {rest}"}
    if won:
        text = f"{gains}, no regression told apart from chance"
        return {"key": "ship", "icon": "▲", "text": text, "detail": rest}
    return {"key": "open", "icon": "=", "text": "Nothing told apart from chance", "detail": rest}


def _honesty(found: Comparison, confidence: float) -> str:
    return (
        "Counted are clean figures and mPC, of all data, slices and classes, and of all data mPC by corruption. Every "
        "paired difference is formed in each resample of the same clips or images, from what both revisions have "
        f"stored; mPC is over the corrupted ones of the {found.shared} cells that both have. "
        + sections.INTERVALS.format(confidence=wording.confidence(confidence))
    )


def _glance(
    slices: pd.DataFrame, found: Comparison, names: Sequence[str]
) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """By task (name, metric) clean and mPC of both sides on all data with their differences."""
    rows = slices[(slices["slice"] == tables.ALL) & (slices["class"] == tables.ALL)]
    known = {(row["task"], row["shown"], row["model"]): row for row in rows.to_dict("records")}
    blocks = []
    for task in tables.TASKS:
        lines = []
        for name, (of_a, of_b) in zip(names, found.labels, strict=True):
            one, other = (known.get((task, name, label)) for label in (of_a, of_b))
            if one is None or other is None:
                continue
            cells = [
                {
                    "a": wording.number(one[figure]),
                    "b": wording.number(other[figure]),
                    "change": wording.difference(*numbers.ends(other, f"{figure}_difference")),
                }
                for figure in ("clean", "mpc")
            ]
            lines.append({"model": name, "cells": cells})
        if lines:
            blocks.append((terms.TASK_NAMES[task], terms.metric(tables.HEADLINE[task]), lines))
    return blocks


def _whole(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[(scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL)]


def _shifts(found: Comparison, names: Sequence[str]) -> list[dict[str, Any]]:
    """The single cells whose figure moved most, with what each comes to."""
    rows = _whole(found.differences)
    rows = rows[rows["severity"].notna() & rows["value"].notna()]
    rows = rows.assign(_size=rows["value"].abs()).sort_values("_size", ascending=False, kind="stable").head(MOST_SHIFTS)
    shown = dict(zip(found.pairs, names, strict=True))
    lines = []
    for row in rows.to_dict("records"):
        style, words = differences.MARKS[row["outcome"]]
        lines.append(
            {
                "task": terms.TASK_NAMES[row["task"]],
                "model": shown[row["baseline"], row["model"]],
                "figure": revision_summary.figure(row),
                "difference": wording.difference(float(row["value"]), float(row["low"]), float(row["high"])),
                "p": wording.probability(row["p_value"]),
                "style": style,
                "words": words,
            }
        )
    return lines


def _maps(
    params: Params,
    found: Comparison,
    names: Sequence[str],
    tasks: Sequence[str],
    charts: dict[str, figures.Figure],
) -> list[dict[str, Any]]:
    """By task a map corruption x severity of B minus A for each pair of models."""
    blocks = []
    confidence = params.metrics.confidence
    for task in tasks:
        maps = []
        for place, (scores, labels, name) in enumerate(zip(found.scores, found.labels, names, strict=True)):
            own = _whole(scores[(scores["task"] == task) & (scores["baseline"] == labels[0])])
            cells = own[(own["metric"] == tables.HEADLINE[task]) & (own["severity"] > 0).fillna(False).astype(bool)]
            means = own[(own["metric"] == "mpc") & (own["corruption"] != tables.ALL) & own["severity"].isna()]
            rows = pd.concat(
                [
                    cells.assign(column=[str(int(severity)) for severity in cells["severity"]]).sort_values("severity"),
                    means.assign(column=MEAN),
                ]
            )
            if rows["value"].notna().sum() == 0:
                continue
            order = [c for _, c in numbers.corruption_order(params, numbers.cells(scores, task))]
            rows = differences.named(rows.assign(slice=rows["corruption"]), confidence)
            content = comparison.difference_map(f"change-{task}-{place}", name, rows, order, charts, terms.corruption)
            maps.append({**content, "takeaway": _map_takeaway(rows)})
        if maps:
            metric = terms.metric(tables.HEADLINE[task])
            blocks.append({"task": task, "name": terms.TASK_NAMES[task], "metric": metric, "maps": maps})
    return blocks


def _map_takeaway(rows: pd.DataFrame) -> str:
    """How many cells went which way, and where each end lies."""
    cells = rows[(rows["column"] != MEAN) & rows["difference"].notna()]
    counts = differences.tally(cells["outcome"])
    lowest, highest = (cells.loc[getattr(cells["difference"], end)()].to_dict() for end in ("idxmin", "idxmax"))
    ends = (
        f"{terms.corruption(row['corruption'])} {row['column']} ({wording.change(row['difference'])})"
        for row in (lowest, highest)
    )
    return (
        f"Of {len(cells)} cells {counts[differences.REGRESSION]} lose and {counts[differences.GAIN]} gain, told apart "
        f"from chance; from {' to '.join(ends)}."
    )


def _metric_changes(
    found: Comparison, names: Sequence[str], tasks: Sequence[str], confidence: float
) -> dict[str, list[Any]]:
    """All metrics of every pair: lines of the table, and a sentence for each task."""
    lines: list[Any] = []
    sentences: list[Any] = []
    for task in tasks:
        for scores, labels, name in zip(found.scores, found.labels, names, strict=True):
            metrics = metric_changes.changes(_whole(scores), task, *labels, confidence)
            if metrics:
                head = {"task": terms.TASK_NAMES[task], "model": name}
                lines += [{**head, **metric_changes.line(metric)} for metric in metrics]
                sentences.append({**head, "text": metric_changes.sentence(metrics)})
    return {"lines": lines, "sentences": sentences}
