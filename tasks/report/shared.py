"""What two revisions have in common: models, cells and slices; and what keeps them from being compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks import tables
from tasks.errors import InputError
from tasks.metrics.instances import Bools
from tasks.metrics.plan import Row, plan
from tasks.metrics.truth import GroundTruth, load
from tasks.params import Params

Place = tuple[str, str, int, float | None, str | None]
"""corruption, family, severity, strength, strength_unit: two cells are one when all of it is the same."""


@dataclass(frozen=True, eq=False)
class Revision:
    """What is read of one revision.

    Attributes:
        name: as the user gave it.
        params: of that revision.
        scores: its models' own rows of its table.
        whole: all of that table.
        replicates: its table.
        examples: its table.
        truth: its scored frames.
        gallery: the folder of its pictures; None where they are not at hand.
        no_gallery: why, as a sentence.
        latency: the table; None where it is not at hand.
        no_latency: why, as a sentence.
    """

    name: str
    params: Params
    scores: pd.DataFrame
    whole: pd.DataFrame
    replicates: pd.DataFrame
    examples: pd.DataFrame
    truth: GroundTruth
    gallery: Path | None = None
    no_gallery: str = ""
    latency: pd.DataFrame | None = None
    no_latency: str = "Its latency was not read."

    @classmethod
    def read(cls, name: str, params: Params, scores: Path, folder: Path) -> "Revision":
        """Read a revision from its folders scores/ and tables/, without pictures.

        Raises:
            InputError: a table is missing or made by another version.
        """
        own = tables.read("scores", scores / "scores.parquet")
        return cls(
            name=name,
            params=params,
            scores=own[own["baseline"].isna() & own["model"].isin(list(params.models))],
            whole=own,
            replicates=tables.read("replicates", scores / "replicates.parquet"),
            examples=tables.read("examples", scores / "examples.parquet"),
            truth=load(params, folder),
        )


def same_data(a: Revision, b: Revision) -> None:
    """Refuse what would not pair: differences between models on different data are not differences of models.

    Raises:
        InputError: frames, clips, classes, truth or the number of resamples differ.
    """
    one, other = a.truth, b.truth
    between = f"{a.name} and {b.name} cannot be compared"
    if not np.array_equal(one.frame_ids, other.frame_ids):
        common = len(np.intersect1d(one.frame_ids, other.frame_ids))
        raise InputError(
            f"{between}: they were scored on different frames ({len(one.frame_ids)} and {len(other.frame_ids)}, "
            f"{common} of them in both); give both the same data set, split and limit."
        )
    clips = [[found.clips[place] for place in found.clip_of] for found in (one, other)]
    if clips[0] != clips[1]:
        raise InputError(f"{between}: their frames are grouped into other clips, so their resamples do not pair.")
    if one.classes != other.classes:
        raise InputError(f"{between}: the classes of their data sets differ.")
    changed = next(_changed_truth(one, other), None)
    if changed is not None:
        raise InputError(f"{between}: the {changed} of the same frames differ; score both against one annotation.")
    resamples = [found.params.metrics.resamples for found in (a, b)]
    if resamples[0] != resamples[1]:
        raise InputError(f"{between}: metrics.resamples is {resamples[0]} in one and {resamples[1]} in the other.")


def _changed_truth(one: GroundTruth, other: GroundTruth) -> Iterator[str]:
    same_objects = (
        np.array_equal(one.objects.frame, other.objects.frame)
        and np.array_equal(one.objects.kind, other.objects.kind)
        and np.array_equal(one.objects.boxes, other.objects.boxes)
        and np.array_equal(one.objects.ignored, other.objects.ignored)
        and np.array_equal(one.objects.area_px2, other.objects.area_px2)
    )
    if not same_objects:
        yield "annotated objects"
    if not (np.array_equal(one.tracks, other.tracks) and np.array_equal(one.tracked, other.tracked)):
        yield "track ids"
    if (one.masks and one.masks.masks) != (other.masks and other.masks.masks):
        yield "masks"
    if not np.array_equal(one.labels, other.labels):
        yield "frame labels"
    if one.semantic != other.semantic:
        yield "semantic maps"


def pairs(a: Revision, b: Revision, given: Sequence[tuple[str, str]], left_out: list[str]) -> list[tuple[str, str]]:
    """The models to compare, as (A's, B's): those given, else those of the same name.

    Args:
        a: the first.
        b: the second.
        given: pairs that the user asked for.
        left_out: gets a sentence on models that only one has.

    Raises:
        InputError: there is no such model, or no name in common.
    """
    if given:
        for found, name in ((found, pair[side]) for pair in given for side, found in enumerate((a, b))):
            if name not in found.params.models:
                known = ", ".join(found.params.models)
                raise InputError(f"--model: {found.name} has no model '{name}'; it has: {known}.")
        return list(given)
    shared = [name for name in a.params.models if name in b.params.models]
    for found, other in ((a, b), (b, a)):
        alone = [name for name in found.params.models if name not in other.params.models]
        if alone:
            left_out.append(f"Only {found.name} has the model(s) {', '.join(alone)}.")
    if not shared:
        raise InputError(
            f"{a.name} ({', '.join(a.params.models)}) and {b.name} ({', '.join(b.params.models)}) share no model's "
            "name: say which to compare with --model A=B."
        )
    return [(name, name) for name in shared]


def cells(a: Revision, b: Revision, left_out: list[str]) -> list[Place]:
    """The cells that both have, in B's order.

    Args:
        a: the first.
        b: the second.
        left_out: gets a sentence on the others.

    Raises:
        InputError: they have none in common.
    """
    own = {id(found): _cells(found.scores) for found in (a, b)}
    for found, other in ((a, b), (b, a)):
        alone: dict[str, list[int]] = {}
        for place in own[id(found)]:
            if place not in own[id(other)]:
                alone.setdefault(place[0], []).append(place[2])
        if alone:
            told = ", ".join(f"{name} {'/'.join(map(str, sorted(levels)))}" for name, levels in alone.items())
            left_out.append(f"Only {found.name} has the cells (or has them at these strengths): {told}.")
    shared = [place for place in own[id(b)] if place in own[id(a)]]
    if not shared:
        raise InputError(f"{a.name} and {b.name} have no cell in common, not even clean frames.")
    return shared


def _cells(scores: pd.DataFrame) -> list[Place]:
    columns = ["corruption", "family", "severity", "strength", "strength_unit"]
    rows = scores.loc[scores["severity"].notna(), columns].drop_duplicates()
    return list(
        dict.fromkeys(
            (str(name), str(family), int(severity), None if pd.isna(strength) else float(strength), unit)
            for name, family, severity, strength, unit in rows.itertuples(index=False)
        )
    )


def rows(a: Revision, b: Revision, left_out: list[str]) -> dict[str, list[Row]]:
    """By task the rows of the headline that both have, of slices that hold the same frames and objects in both.

    Args:
        a: the first.
        b: the second.
        left_out: gets a sentence on the others.
    """
    slices = {found.name: found for found in a.truth.slices}
    changed, new = [], []
    for found in b.truth.slices:
        other = slices.pop(found.name, None)
        if other is None:
            new.append(found.name)
        elif not (
            np.array_equal(found.frames, other.frames)
            and found.area_px2 == other.area_px2
            and _same_objects(found.objects, other.objects)
        ):
            changed.append(found.name)
    for names, what in (
        (changed, "hold other frames"),
        (new, f"are only in {b.name}"),
        (list(slices), f"are only in {a.name}"),
    ):
        if names:
            left_out.append(f"Slices that {what}: {', '.join(names)}.")
    barred = {*changed, *new}
    kept = {}
    for task in tables.TASKS:
        if all((found.scores["task"] == task).any() for found in (a, b)):
            headline = tables.HEADLINE[task]
            kept[task] = [row for row in plan(task, b.truth) if row.metric == headline and row.slice not in barred]
    return kept


def _same_objects(one: Bools | None, other: Bools | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
