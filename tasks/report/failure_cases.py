"""failure_cases.md: what the failure rules of params catch among the stored examples; no model runs."""

import fnmatch
from collections.abc import Sequence
from typing import Final

import pandas as pd

from tasks import slices, tables, terms
from tasks.layout import Layout
from tasks.params import FailureRule, Params
from tasks.report import wording
from tasks.report.commands import example
from tasks.report.summary import markdown_code, markdown_table, markdown_text

WORST: Final = 5
MOST_SLICES: Final = 12


def failure_cases(params: Params, layout: Layout) -> str:
    """The report on all rules as Markdown.

    Raises:
        InputError: a table is missing, or a slice of params does not fit.
    """
    head = [
        "# Failure cases",
        "What the rules under `failures` of params.yaml catch among the scored frames: by stored score, kind of error "
        "and cell, without running a model. A rule counts answers: what one model made of one frame in one cell.",
    ]
    if not params.failures:
        return "\n\n".join([*head, "params.yaml has no rules."]) + "\n"
    examples = tables.read("examples", layout.scores / "examples.parquet")
    frames = tables.read("frames", layout.tables / "frames.parquet")
    frames = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    examples = examples[examples["frame_id"].isin(frames["frame_id"]) & examples["score"].notna()]
    cut = _slices(params, layout, frames)
    blocks = [text for name, rule in params.failures.items() for text in _rule(name, rule, examples, frames, cut)]
    return "\n\n".join([*head, *blocks]) + "\n"


def caught(rule: FailureRule, examples: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each example meets every condition of a rule; one with nothing wrong meets none."""
    score = examples["score"].astype(float)
    found = (score < 1) & (score <= rule.max_score)
    for column in ("task", "model", "error_kind"):
        wanted = getattr(rule, column)
        if wanted is not None:
            found &= examples[column] == wanted
    if rule.severity:
        found &= examples["severity"].isin(rule.severity)
    for_name, for_family = (
        examples[column].isin(
            [name for name in examples[column].unique() if fnmatch.fnmatchcase(name, rule.corruption)]
        )
        for column in ("corruption", "family")
    )
    return (found & (for_name | for_family)).astype(bool)


def _slices(params: Params, layout: Layout, frames: pd.DataFrame) -> list[tuple[str, set[int]]]:
    """The slices of frames, by name, with their frames."""
    path = layout.tables / "quality.parquet"
    quality = tables.read("quality", path) if path.exists() else None
    choice = params.slices.model_copy(update={"object": ()})
    trial = params.dataset.limit is not None
    built = slices.build(choice, frames, pd.DataFrame(), quality, bursts=params.bursts, trial=trial)
    ids = frames["frame_id"].astype(int)
    return [(item.name, set(ids[item.frames])) for item in built if item.name != tables.ALL]


def _rule(
    name: str,
    rule: FailureRule,
    examples: pd.DataFrame,
    frames: pd.DataFrame,
    cut: Sequence[tuple[str, set[int]]],
) -> list[str]:
    """A rule's section; shares are of the answers that it looks at: those of its task, model and cells."""
    anything = rule.model_copy(update={"max_score": 1.0, "error_kind": None})
    looked = examples[caught(anything, examples.assign(score=0.0))]
    hits = examples[caught(rule, examples)]
    blocks = [f"## {name}", f"{_told(rule)}. Caught {len(hits)} of {_count(len(looked), 'answer')}"]
    if hits.empty:
        return [*blocks[:1], f"{blocks[1]}."]
    by_model = ", ".join(f"{markdown_text(str(m))} {n}" for m, n in hits["model"].value_counts().items())
    blocks[1] += f" on {_count(hits['frame_id'].nunique(), 'frame')} ({by_model})."
    by_name = [
        [terms.corruption(str(corruption)), *_share(len(own), int((looked["corruption"] == corruption).sum()))]
        for corruption, own in sorted(hits.groupby("corruption"), key=lambda pair: -len(pair[1]))
    ]
    blocks.append(markdown_table(["Corruption", "Caught", "Of", "Share"], by_name))
    inside = [
        (title, int(hits["frame_id"].isin(ids).sum()), int(looked["frame_id"].isin(ids).sum())) for title, ids in cut
    ]
    inside = sorted((line for line in inside if line[1]), key=lambda line: -line[1] / line[2])
    if inside:
        lines = [[wording.slice_name(title), *_share(n, of)] for title, n, of in inside[:MOST_SLICES]]
        blocks.append(markdown_table(["Slice", "Caught", "Of", "Share"], lines))
    return [*blocks, *_worst(name, hits, frames)]


def _worst(name: str, hits: pd.DataFrame, frames: pd.DataFrame) -> list[str]:
    """The worst answers, one a clip: neighbouring frames fail alike."""
    place = frames.set_index("frame_id")
    shown = hits.assign(clip=hits["frame_id"].map(place["clip_id"]))
    shown = shown.sort_values(["score", "severity", "frame_id", "model"], kind="stable")
    shown = shown.drop_duplicates("clip").head(WORST)
    lines, commands = [], []
    for row in shown.to_dict("records"):
        frame = place.loc[row["frame_id"]]
        under = terms.cell(row["corruption"], row["severity"])
        where = f"frame {frame['frame_index']} of {frame['clip_id']}"
        told = str(row["evidence"] or "")
        lines.append([f"{row['score']:.2f}", row["model"], terms.TASK_NAMES[row["task"]], under, where, told])
        commands.append(example(row, f"{name}-{len(lines)}"))
    head = ["Score", "Model", "Task", "Under", "Where", "Evidence"]
    return [
        f"The worst {len(lines)}, one a clip:",
        markdown_table(head, lines),
        markdown_code(commands),
    ]


def _told(rule: FailureRule) -> str:
    """A rule's conditions in words."""
    parts = [
        f"{name.replace('_', ' ')} {value}"
        for name in ("task", "model", "error_kind")
        if (value := getattr(rule, name))
    ]
    if rule.max_score < 1:
        parts.append(f"score at most {rule.max_score:g}")
    if rule.corruption != "*":
        parts.append(f"corruption {rule.corruption}")
    if rule.severity:
        parts.append(f"severity {', '.join(map(str, rule.severity))}")
    return markdown_text(", ".join(parts) or "anything wrong").capitalize()


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _share(n: int, of: int) -> list[str]:
    return [str(n), str(of), wording.percent(n / of)]
