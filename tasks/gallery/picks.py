"""Which frames are shown: worst and random examples of each cell, within a quota of pictures.

A picture is one image file. The clean picture of a frame and its corrupted picture in a cell are stored once, whatever
the number of models and tasks that are shown over them; semantic maps cost further pictures.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd

from tasks import tables

SEMANTIC: Final = "semantic"

STRIP_SHARE: Final = 1 / 3
"""The strips of the data set card take at most this share of the quota; beyond it they show fewer severities."""

FILM_SHARE: Final = 1 / 8
"""Filmstrips around identity switches take at most this share, five pictures each."""

SERIES_SHARE: Final = 1 / 4
"""Worst frames that are drawn at the other severities too take at most this share."""

MOST: Final = {"worst": 12, "random": 6}
"""Frames of a cell, as far as the quota goes."""

SAMPLING: Final = (
    "Cells take turns, middle severity first, then the highest, clean, the lowest and the rest: one worst frame by"
    " stored score (first at the middle and highest severity and on clean frames), one random, two worst, one random,"
    " up to 12 worst and 6 random a cell, as far as the quota of pictures goes. Tasks and models take turns for the"
    " worst; random ones go by a hash of the seed and the frame, so the same frames come up in every cell. The first"
    " worst frame of a corruption is drawn at its other severities too, while that takes no more than a quarter of the"
    " quota, and the frame of the strips stands in its cells. A picked frame is shown for every model; a random one for"
    " every task but semantic segmentation, whose maps are pictures of their own, unless there is no other task."
)


@dataclass(frozen=True)
class Pick:
    """One frame of one cell to be shown. `task` and `model` are whose worst frame it is; None for all tasks' frames.

    A `series` is a worst frame of another severity of the same corruption; a `film` has no card of its own.
    """

    corruption: str
    severity: int
    frame_id: int
    kind: str  # worst | series | random | strip | film
    task: str | None = None
    model: str | None = None

    def shows(self, task: str) -> bool:
        """Whether examples of `task` are shown on this frame: its own task, else all but semantic maps."""
        if self.kind == "film":
            return False
        return task == self.task if self.task is not None else task != SEMANTIC

    def files(self, models: Sequence[str]) -> set[tuple[object, ...]]:
        """The picture files that it needs."""
        cell = (self.corruption, self.severity, self.frame_id)
        if self.kind == "film":
            return {cell}
        needed: set[tuple[object, ...]] = {(tables.CLEAN, 0, self.frame_id), cell}
        if self.task == SEMANTIC:
            needed.add(("truth", self.frame_id))
            needed |= {(kind, model, *cell) for kind in ("prediction", "difference") for model in models}
        return needed


def order_key(seed: int, frame_id: int) -> str:
    """The hash that orders frames for random picks and breaks ties among the worst."""
    return hashlib.sha256(f"{seed}:{frame_id}".encode()).hexdigest()


def strip_severities(severities: Sequence[int], corruptions: int, budget: int) -> list[int]:
    """The severities that the strips can show within their share: evenly thinned, the highest always kept.

    Examples:
        >>> strip_severities([1, 2, 3, 4, 5], 8, 240), strip_severities([1, 2, 3, 4, 5], 22, 240)
        ([1, 2, 3, 4, 5], [1, 3, 5])
    """
    room = int(budget * STRIP_SHARE - 1) // max(1, corruptions)
    if room >= len(severities):
        return list(severities)
    if room <= 0:
        return []
    if room == 1:
        return [severities[-1]]
    last = len(severities) - 1
    return [severities[round(i * last / (room - 1))] for i in range(room)]


def severity_order(severities: Iterable[int]) -> list[int]:
    """Whose turn comes first: the middle severity, the highest, clean, the lowest, then the rest.

    Examples:
        >>> severity_order([1, 2, 3, 4, 5])
        [3, 5, 0, 1, 2, 4]
    """
    found = sorted(set(severities) - {0})
    if not found:
        return [0]
    first = [found[(len(found) - 1) // 2], found[-1], 0, found[0]]
    return list(dict.fromkeys([*first, *found]))


def choose(
    examples: pd.DataFrame,
    *,
    corruptions: Sequence[str],
    models: Sequence[str],
    budget: int,
    seed: int,
    strips: Sequence[Pick] = (),
) -> list[Pick]:
    """The picks that fit `budget` pictures, the strips' first; `SAMPLING` says how.

    Args:
        examples: The `examples` table of the frames that can be shown.
        corruptions: In the order of params; clean is added.
        models: In the order of params.
        budget: Picture files at most.
        seed: Orders the random picks.
        strips: Picks that are made in any case, as long as they fit.
    """
    owners = [
        (t, m) for t in tables.TASKS for m in models if ((examples["task"] == t) & (examples["model"] == m)).any()
    ]
    tasks = {task for task, _ in owners}
    purse = _Purse(budget, models, tasks - {SEMANTIC})
    for pick in strips:
        purse.take([pick])
    at_random = (SEMANTIC, None) if tasks == {SEMANTIC} else (None, None)
    ranked = _ranked(examples, seed)
    order = severity_order(int(s) for s in examples["severity"].unique())
    cells = [
        (corruption, severity)
        for severity in order
        for corruption in ([tables.CLEAN] if severity == 0 else corruptions)
        if (corruption, severity) in ranked
    ]
    series = int(budget * SERIES_SHARE)
    idle, turn = 0, 0
    while idle < 3 * len(owners):
        added = False
        for place, (corruption, severity) in enumerate(cells):
            if turn == 0 and severity not in order[:3]:
                continue  # a series may come there, and a random frame does before the quota is used up
            owner = None if turn % 3 == 1 else owners[(place + turn) % len(owners)]
            kind = "random" if owner is None else "worst"
            if purse.count(corruption, severity, kind) == MOST[kind]:
                continue
            for frame_id in ranked[corruption, severity].get(owner, ()):
                pick = Pick(corruption, severity, frame_id, kind, *(owner or at_random))
                if purse.covers(pick):
                    continue
                if purse.take([pick]):
                    added = True
                    if turn == 0 and severity == order[0] and severity:
                        series -= _draw_series(purse, pick, cells, series)
                break
        idle = 0 if added else idle + 1
        turn += 1
    return purse.picks


def _draw_series(purse: "_Purse", pick: Pick, cells: Sequence[tuple[str, int]], room: int) -> int:
    """Take `pick`'s frame at the other severities of its corruption and clean, if `room` is enough; files used."""
    others = [
        replace(pick, corruption=corruption, severity=severity, kind="series")
        for corruption, severity in cells
        if corruption in (pick.corruption, tables.CLEAN) and severity != pick.severity
    ]
    others = [other for other in others if not purse.covers(other)]
    cost = purse.cost(others)
    return cost if cost <= room and purse.take(others) else 0


def _ranked(examples: pd.DataFrame, seed: int) -> dict[tuple[str, int], dict[tuple[str, str] | None, list[int]]]:
    """Frames of each cell by owner, worst first (those with nothing wrong left out), and under None in random order."""
    keys = {int(frame_id): order_key(seed, int(frame_id)) for frame_id in examples["frame_id"].unique()}
    ranked: dict[tuple[str, int], dict[tuple[str, str] | None, list[int]]] = {}
    for (corruption, severity), cell in examples.groupby(["corruption", "severity"], sort=False):
        lists: dict[tuple[str, str] | None, list[int]] = {
            None: sorted({int(f) for f in cell["frame_id"]}, key=keys.__getitem__)
        }
        for (task, model), own in cell.groupby(["task", "model"], sort=False):
            rows = zip(own["score"].astype(float), own["frame_id"].astype(int), strict=True)
            faulty = [(score, keys[frame], frame) for score, frame in rows if not math.isnan(score) and score < 1]
            lists[str(task), str(model)] = [frame for _, _, frame in sorted(faulty)]
        ranked[str(corruption), int(str(severity))] = lists
    return ranked


class _Purse:
    """The picks so far and the picture files that they need."""

    def __init__(self, budget: int, models: Sequence[str], tasks: set[str]) -> None:
        self.budget = budget
        self.models = models
        self.tasks = tasks  # all but semantic segmentation
        self.picks: list[Pick] = []
        self._files: set[tuple[object, ...]] = set()
        self._taken: dict[tuple[str, int, int], list[Pick]] = {}
        self._counts: Counter[tuple[str, int, str]] = Counter()

    def cost(self, picks: Iterable[Pick]) -> int:
        """How many files `picks` add."""
        return len({file for pick in picks for file in pick.files(self.models)} - self._files)

    def covers(self, pick: Pick) -> bool:
        """Whether the frame is shown in its cell already, for all that it is picked for."""
        there = self._taken.get((pick.corruption, pick.severity, pick.frame_id), ())
        wanted = self.tasks if pick.task is None else {pick.task}
        return all(any(one.shows(task) for one in there) for task in wanted)

    def count(self, corruption: str, severity: int, kind: str) -> int:
        """How many picks of a kind a cell has."""
        return self._counts[corruption, severity, kind]

    def take(self, picks: Sequence[Pick]) -> bool:
        """Add all of `picks` if their files fit."""
        if len(self._files) + self.cost(picks) > self.budget:
            return False
        for pick in picks:
            self._files |= pick.files(self.models)
            self._taken.setdefault((pick.corruption, pick.severity, pick.frame_id), []).append(pick)
            self._counts[pick.corruption, pick.severity, pick.kind] += 1
            self.picks.append(pick)
        return True
