"""What is taken for what: a classifier's confusion matrix, and the most common confusions of every task."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.report import companions, figures, grids, numbers, wording

Content = dict[str, Any]

MOST_CLASSES: Final = 20
"""A matrix of more classes has cells too small to read: then only the list of the most common confusions is shown."""

MOST_COMMON: Final = 20
"""So many confusions of one model, task and kind of data are listed."""

POOLED: Final = "all corruptions"
"""Every corrupted cell of a model together: each frame counts once for each corruption and severity."""

_UNITS: Final = {"classification": "frames", "semantic": "pixels"}


def pooled(confusion: pd.DataFrame, task: str) -> pd.DataFrame:
    """Counts of clean frames and of all corrupted cells together.

    Returns:
        model, data (clean or POOLED), true_class, predicted_class, count, and share: of the true class's counts, those
        that are right among them.
    """
    own = confusion[confusion["task"] == task]
    own = own.assign(data=own["severity"].gt(0).map({False: tables.CLEAN, True: POOLED}))
    keys = ["model", "data", "true_class", "predicted_class"]
    found = own.groupby(keys, sort=False)["count"].sum().reset_index()
    totals = found.groupby(keys[:3])["count"].transform("sum")
    found["share"] = found["count"] / totals
    return found


def matrices(
    counts: pd.DataFrame, models: Sequence[str], names: Sequence[str], charts: dict[str, figures.Figure]
) -> list[Content]:
    """The matrix of each model, on clean frames and under all corruptions; none for more than MOST_CLASSES.

    Args:
        counts: from `pooled`.
        models: in the page's order.
        names: the classes, in the data set's order.
        charts: the figures go here.
    """
    if len(names) > MOST_CLASSES:
        return []
    found = []
    seen = set(counts["true_class"]) | set(counts["predicted_class"])
    said = [*(name for name in names if name in seen), *sorted(seen - set(names))]
    for model in models:
        for place, data in enumerate((tables.CLEAN, POOLED)):
            own = counts[(counts["model"] == model) & (counts["data"] == data)]
            if own.empty:
                continue
            known = {(r["true_class"], r["predicted_class"]): (r["count"], r["share"]) for r in own.to_dict("records")}
            held = [name for name in names if any((name, other) in known for other in said)]
            cells = [[known.get((true, name), (0, 0.0)) for name in said] for true in held]
            told = [[f"{wording.percent(share)} ({count:,})" for count, share in line] for line in cells]
            key = f"confusion-{model}-{place}"
            charts[key] = grids.grid(
                [[share for _, share in line] for line in cells],
                [[wording.percent(share) for _, share in line] for line in cells],
                hovers=told,
                across=said,
                down=held,
            )
            right = sum(count for (true, name), (count, _) in known.items() if true == name)
            whole = int(own["count"].sum())
            words = "clean frames" if data == tables.CLEAN else "all corruptions and severities together"
            found.append(
                {
                    "id": key,
                    "title": f"{model}, {words}",
                    "takeaway": _takeaway(own, right, whole),
                    "height": charts[key]["layout"]["height"],
                    "columns": said,
                    "lines": list(zip(held, told, strict=True)),
                }
            )
    return found


def _takeaway(own: pd.DataFrame, right: int, whole: int) -> str:
    told = f"{right:,} of {whole:,} are right ({wording.percent(right / whole)})"
    wrong = common(own)
    if wrong.empty:
        return f"{told}: nothing is taken for anything else."
    worst = wrong.to_dict("records")[0]
    return (
        f"{told}; most often {worst['true_class']} is taken for {worst['predicted_class']}: {worst['count']:,} times,"
        f" {wording.percent(worst['share'])} of {worst['true_class']}."
    )


def common(counts: pd.DataFrame) -> pd.DataFrame:
    """The confusions of one class with another, most common first; not what was missed or lies on nothing."""
    wrong = counts[counts["true_class"] != counts["predicted_class"]]
    wrong = wrong[(wrong["true_class"] != tables.NO_CLASS) & (wrong["predicted_class"] != tables.NO_CLASS)]
    return wrong.sort_values("count", ascending=False, kind="stable")


def listed(confusion: pd.DataFrame, tasks: Sequence[str], models: Sequence[str]) -> list[Content]:
    """The most common confusions: at most MOST_COMMON for each task, model and kind of data, the most common first."""
    found = []
    for task in tasks:
        counts = pooled(confusion, task)
        for data in (POOLED, tables.CLEAN):
            for model in models:
                own = common(counts[(counts["model"] == model) & (counts["data"] == data)])
                for row in own.head(MOST_COMMON).to_dict("records"):
                    found.append(
                        {
                            "task": terms.TASK_NAMES[task],
                            "model": model,
                            "data": data,
                            "true": row["true_class"],
                            "predicted": row["predicted_class"],
                            "count": int(row["count"]),
                            "unit": _UNITS.get(task, "objects"),
                            "share": companions.field(row["share"]),
                        }
                    )
    return found


def classes(confusion: pd.DataFrame, scores: pd.DataFrame, task: str) -> list[str]:
    """A task's classes in the data set's order, which the scores have; those that only the counts name go last."""
    rows = numbers.plain(scores)
    rows = rows[(rows["task"] == task) & (rows["slice"] == tables.ALL) & (rows["class"] != tables.ALL)]
    named = list(dict.fromkeys(rows["class"]))
    own = confusion[confusion["task"] == task]
    return named + sorted(set(own["true_class"]) - set(named) - {tables.NO_CLASS})
