"""comparison.md: what one revision changed against another, regressions first, for whoever decides on it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import pandas as pd

from tasks import tables, terms
from tasks.report import commands, differences, metric_changes, numbers, wording
from tasks.report.revisions import Comparison
from tasks.report.summary import markdown_code, markdown_table, markdown_text

LATENCY: Final = (
    "Clean frames; each figure has its own interval. The two were measured at different times and are not paired, so "
    "the ratio, second over first, has none: it holds what else the machine did as well."
)

MOST: Final = 12
"""Lines of a list or table; what there is beyond is counted."""


@dataclass(frozen=True)
class End:
    """Where a revision stands.

    Attributes:
        name: as the user gave it.
        commit: the short hash; of a working tree that of the commit it started from.
        subject: of that commit.
        date: of that commit.
        params: params.yaml as written.
    """

    name: str
    commit: str
    subject: str
    date: str
    params: str


@dataclass(frozen=True)
class Change:
    """What lies between the two revisions.

    Attributes:
        commits: "hash subject" of those that B has and A lacks, newest first.
        missing: how many A has and B lacks.
        params: from `revisions.changed_params`.
        files: tracked files that differ, but for params.yaml and dvc.lock.
        ends: both revisions.
    """

    commits: Sequence[str] = ()
    missing: int = 0
    params: Sequence[tuple[str, Any, Any]] = ()
    files: Sequence[str] = ()
    ends: Sequence[End] = ()

    @property
    def yardstick(self) -> int:
        """How many files changed of what corrupts or measures itself."""
        return sum(name.startswith(("tasks/corruptions/", "tasks/metrics/")) for name in self.files)


def summary(
    a: str,
    b: str,
    found: Comparison,
    change: Change,
    confidence: float,
    page: str,
    latency: Mapping[str, Any] = MappingProxyType({"told": (), "lines": ()}),
) -> str:
    """The comparison of revisions `a` and `b` as Markdown.

    Args:
        a: name of the first.
        b: name of the second.
        found: from `revisions.compare`.
        change: what lies between them.
        confidence: of the intervals.
        page: the file that shows it all, beside this one.
        latency: from `latency_changes.latency_changes`.
    """
    listed = _listed(found.differences)
    regressions = listed[listed["outcome"] == differences.REGRESSION].sort_values("value", kind="stable")
    gains = listed[listed["outcome"] == differences.GAIN].sort_values("value", ascending=False, kind="stable")
    names = ", ".join(one if one == other else f"{one} → {other}" for one, other in found.pairs)
    of_all = listed[(listed["slice"] == tables.ALL) & (listed["class"] == tables.ALL)]
    of_all = of_all[of_all["corruption"].isin([tables.CLEAN, tables.ALL])]
    blocks = [
        f"# {markdown_text(b)} against {markdown_text(a)}",
        f"**{verdict(found)}** Models: {markdown_text(names)}. All of it, with charts "
        f"and pictures: [{markdown_text(page)}]({quote(page)}).",
        f"Every figure is {markdown_text(b)} minus {markdown_text(a)}, paired over the same resampled clips or images, "
        f"with its {wording.confidence(confidence)} interval. mPC is over the corrupted ones of the {found.shared} "
        f"cells that both have. A line is told apart from chance when its interval leaves zero out and, among slices "
        f"and classes, q is at most {1 - confidence:.4g}.",
        "## The change",
        "\n".join(_change(a, b, change)),
        "## The largest shift",
        _largest(found.differences),
        *_table(f"Regressions told apart from chance ({len(regressions)})", regressions),
        *_table(f"Gains told apart from chance ({len(gains)})", gains),
        "## All data",
        _lines(of_all, 4 * MOST),
        "## Other metrics",
        "\n".join(f"- {markdown_text(text)}" for text in _metrics(found, confidence)),
        *_latency(a, b, latency),
        "## Not comparable",
        "\n".join(f"- {markdown_text(text)}" for text in found.left_out) or "Nothing was left out.",
        "## One example",
        _example(a, b, next(iter(found.fallen.to_dict("records")), None)),
    ]
    return "\n\n".join(blocks) + "\n"


def _latency(a: str, b: str, latency: Mapping[str, Any]) -> list[str]:
    """What both take on clean frames, or why that is not known."""
    lines = [
        [*(line[key] for key in ("model", "metric", "unit", "a", "b")), line["ratio"]] for line in latency["lines"]
    ]
    table = [markdown_table(["Model", "Figure", "In", a, b, "Ratio"], lines), LATENCY] if lines else []
    told = "\n".join(f"- {markdown_text(text)}" for text in latency["told"])
    return ["## Latency", *table, told or "No pair of models."]


def _metrics(found: Comparison, confidence: float) -> list[str]:
    told = []
    for scores, labels, pair in zip(found.scores, found.labels, found.pairs, strict=True):
        whole = scores[(scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL)]
        for task in numbers.tasks_of(scores):
            metrics = metric_changes.changes(whole, task, *labels, confidence)
            told.append(
                f"{terms.TASK_NAMES[task]}, {' → '.join(dict.fromkeys(pair))}: {metric_changes.sentence(metrics)}"
            )
    return told


def _listed(table: pd.DataFrame) -> pd.DataFrame:
    """Clean and mPC by slice and class, and by corruption on all data; those with a number."""
    clean = table["severity"] == 0
    mpc = (table["metric"] == "mpc") & (table["corruption"] == tables.ALL) & (table["family"] == tables.ALL)
    by_name = (table["metric"] == "mpc") & (table["corruption"] != tables.ALL)
    by_name &= (table["slice"] == tables.ALL) & (table["class"] == tables.ALL)
    chosen = (clean.fillna(False) | mpc | by_name) & table["value"].notna()
    return table[chosen.astype(bool)].reset_index(drop=True)


def counted(found: Comparison) -> dict[str, int]:
    """How many of the figures that count come to what: clean and mPC by slice and class, and by corruption."""
    return differences.tally(_listed(found.differences)["outcome"])


def verdict(found: Comparison) -> str:
    """What the comparison comes to, in one sentence."""
    tally = counted(found)
    return (
        f"{tally[differences.REGRESSION]} regression(s) and {tally[differences.GAIN]} gain(s) are told apart from "
        f"chance; {tally[differences.SAME]} figures are not, {tally[differences.FEW]} rest on too few units to tell."
    )


def _change(a: str, b: str, change: Change) -> list[str]:
    lines = [f"- commit {markdown_text(line)}" for line in change.commits[:MOST]]
    if len(change.commits) > MOST:
        lines.append(f"- … and {len(change.commits) - MOST} earlier commits")
    if change.missing:
        lines.append(f"- {markdown_text(b)} lacks {change.missing} commit(s) that {markdown_text(a)} has")
    lines += [
        f"- params `{key}`: {markdown_text(short(before))} → {markdown_text(short(after))}"
        for key, before, after in change.params[:MOST]
    ]
    if len(change.params) > MOST:
        lines.append(f"- … and {len(change.params) - MOST} more params")
    if change.files:
        more = f" and {len(change.files) - MOST} more" if len(change.files) > MOST else ""
        lines.append(f"- files: {', '.join(f'`{name}`' for name in change.files[:MOST])}{more}")
    if change.yardstick:
        lines.append(
            f"- what corrupts or measures changed itself ({change.yardstick} files): a shift may be due to that"
        )
    return lines or ["- nothing that git tracks"]


def short(value: Any) -> str:
    """A value of params in one line."""
    text = "not set" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _largest(table: pd.DataFrame) -> str:
    rows = table[(table["slice"] == tables.ALL) & (table["class"] == tables.ALL)]
    rows = rows[rows["severity"].notna() & rows["value"].notna()]
    if rows.empty:
        return "No cell has a figure in both."
    row = rows.iloc[int(rows["value"].abs().argmax())].to_dict()
    told = {
        differences.REGRESSION: "a regression told apart from chance",
        differences.GAIN: "a gain told apart from chance",
        differences.FEW: "on too few units to tell",
    }.get(row["outcome"], "not told apart from chance")
    return (
        f"{terms.TASK_NAMES[row['task']]} of {markdown_text(called(row))}, {figure(row)}: "
        f"**{_difference(row)}**, {told}. The largest of {len(rows)} figures of single cells "
        "is flattered by the choice."
    )


def called(row: Mapping[Any, Any]) -> str:
    """The pair of models that a difference is of; one name where both have it."""
    return " → ".join(dict.fromkeys((row["baseline"], row["model"])))


def figure(row: Mapping[Any, Any]) -> str:
    """What a difference is of."""
    metric = terms.metric(row["metric"])
    if not pd.isna(row["severity"]):
        metric = terms.metric(tables.HEADLINE[row["task"]])
        return f"{metric}, clean" if row["severity"] == 0 else f"{metric} under {_under(row)} {row['severity']}"
    return metric if row["corruption"] == tables.ALL else f"{metric} under {_under(row)}"


def _under(row: Mapping[Any, Any]) -> str:
    return terms.corruption(str(row["corruption"]))


def _difference(row: Mapping[Any, Any]) -> str:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    return wording.difference(value, low, high)


def _table(title: str, rows: pd.DataFrame) -> list[str]:
    return [f"## {title}", _lines(rows, MOST) if len(rows) else "None."]


def _lines(rows: pd.DataFrame, most: int) -> str:
    lines = [
        [
            terms.TASK_NAMES[row["task"]],
            called(row),
            wording.place(row),
            figure(row),
            str(row["n_units"]),
            _difference(row),
            wording.probability(row["p_value"]),
            wording.probability(row["q_value"]),
            row["outcome"],
        ]
        for row in rows.head(most).to_dict("records")
    ]
    more = f"\n\n… and {len(rows) - most} more." if len(rows) > most else ""
    return markdown_table(["Task", "Model", "Where", "Figure", "Units", "Difference", "p", "q", ""], lines) + more


def fall(row: Mapping[Any, Any]) -> str:
    """The fall of one frame's score, in a sentence without its end."""
    return (
        f"{terms.TASK_NAMES[row['task']]} of {row['model']}, frame {row['frame_index']} of {row['clip_id']} "
        f"(id {row['frame_id']}), {terms.cell(row['corruption'], row['severity'])}, "
        f"{row['score_a']:.2f} → {row['score_b']:.2f}"
    )


def evidence(a: str, b: str, row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """What each revision made of the frame: (revision, with its model where that has another name; what)."""
    of_a = f" ({row['model_a']})" if row["model_a"] != row["model"] else ""
    return [(a + of_a, str(row["evidence_a"] or "")), (b, str(row["evidence_b"] or ""))]


def command(row: Mapping[Any, Any]) -> str:
    """What draws the frame, in a checkout of the second revision."""
    return commands.example(row, "OUT")


def _example(a: str, b: str, row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return "No frame's score fell."
    here = "Here" if b == "WORKSPACE" else f"In a checkout of {markdown_text(b)}"
    told = [f"- {markdown_text(name)}: {markdown_text(text)}" for name, text in evidence(a, b, row)]
    first = f"The frame whose score fell most: {markdown_text(fall(row))}."
    return "\n".join([first, "", *told, "", f"{here} this draws it:", "", markdown_code([command(row)])])
