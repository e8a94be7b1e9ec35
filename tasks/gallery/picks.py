"""Which frames are shown: worst and random examples of each cell, within a quota of pictures.

A picture is one image file. The clean picture of a frame and its corrupted picture in a cell are stored once, whatever
the number of models and tasks that are shown over them; semantic maps cost further pictures.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from tasks import tables

STRIP_SHARE: Final = 1 / 3
"""The strips of the data set card take at most this share of the quota; beyond it they show fewer severities."""

SAMPLING: Final = (
    "Cells take turns, middle severity first, then the highest, clean, the lowest and the rest. Of every three picks of"
    " a cell two are the worst frames by stored score, the tasks and models taking turns, and one is random: by a hash"
    " of the seed and the frame, so the same frames come up in every cell. The frame of the strips is shown in its"
    " cells too. A picked frame is shown for every model; a random one for every task but semantic segmentation, whose"
    " maps are pictures of their own."
)


@dataclass(frozen=True)
class Pick:
    """One frame of one cell to be shown. `task` and `model` are whose worst frame it is; None for random and strip."""

    corruption: str
    severity: int
    frame_id: int
    kind: str  # worst | random | strip
    task: str | None = None
    model: str | None = None

    @property
    def maps(self) -> bool:
        """Whether semantic maps are drawn: further pictures."""
        return self.task == "semantic"

    def shows(self, task: str) -> bool:
        """Whether examples of `task` are shown on this frame: the task of a worst frame, else all but semantic maps."""
        return task == self.task if self.task is not None else task != "semantic"


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
    purse = _Purse(budget, models)
    picks = [pick for pick in strips if purse.pay(pick)]
    taken = {(pick.corruption, pick.severity, pick.frame_id) for pick in picks}
    owners = [
        (t, m) for t in tables.TASKS for m in models if ((examples["task"] == t) & (examples["model"] == m)).any()
    ]
    ranked = _ranked(examples, seed)
    cells = [
        (corruption, severity)
        for severity in severity_order(int(s) for s in examples["severity"].unique())
        for corruption in ([tables.CLEAN] if severity == 0 else corruptions)
        if (corruption, severity) in ranked
    ]
    idle, turn = 0, 0
    while idle < 3 * max(1, len(owners)) and owners:
        added = False
        for place, (corruption, severity) in enumerate(cells):
            task, model = owners[(place + turn) % len(owners)]
            owner = None if turn % 3 == 2 else (task, model)
            for frame_id in ranked[corruption, severity].get(owner, ()):
                if (corruption, severity, frame_id) in taken:
                    continue
                pick = Pick(corruption, severity, frame_id, "random" if owner is None else "worst", *(owner or ()))
                if purse.pay(pick):
                    picks.append(pick)
                    taken.add((corruption, severity, frame_id))
                    added = True
                break
        idle = 0 if added else idle + 1
        turn += 1
    return picks


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
    """Counts the picture files that the picks so far need."""

    def __init__(self, budget: int, models: Sequence[str]) -> None:
        self.budget = budget
        self.models = models
        self.files: set[tuple[object, ...]] = set()

    def pay(self, pick: Pick) -> bool:
        """Add the files of `pick` if they fit."""
        cell = (pick.corruption, pick.severity, pick.frame_id)
        needed: set[tuple[object, ...]] = {("clean", 0, pick.frame_id), cell}
        if pick.maps:
            needed.add(("truth", pick.frame_id))
            needed |= {(kind, model, *cell) for kind in ("prediction", "difference") for model in self.models}
        if len(self.files | needed) > self.budget:
            return False
        self.files |= needed
        return True
