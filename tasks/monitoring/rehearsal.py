"""How good the forecast is: every clip of the validated run takes its turn as new footage that nobody has seen.

Clips are held out in groups, each of one camera. The rest is fitted to, each clip of the group in each cell is forecast
and compared with what the group scored there. What goes wrong then is what intervals are made from, as in
cross-conformal prediction (Vovk, Annals of Mathematics and Artificial Intelligence 2015): so their coverage is that of
footage like none of the fitted clips, or of a corruption like none of the fitted ones.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.monitoring.likeness import Floats, Looks, Signatures, Space, expected

Bools = npt.NDArray[np.bool_]

GROUP_CLIPS: Final = 4
"""Clips of a group, at least: what a single short clip scores is mostly chance."""

GROUP_FRAMES: Final = 40
"""Frames of a group, about: seconds of video, or so many photographs."""

MOST_GROUPS: Final = 24
"""Of a large data set so many groups are enough, and take seconds."""

LEAST_GROUPS: Final = 6
"""Of a small one groups get smaller until there are so many."""

LEAST_REFERENCE: Final = 8
"""Frames from which a camera's reference is one."""

FARTHEST: Final = 0.99
"""What lies farther than this share of the rehearsed cases is outside everything validated."""

HELD_OUT: Final = "held_out_clips"
LEFT_OUT: Final = "left_out_corruption"
OTHER_CAMERA: Final = "left_out_camera"
UNKNOWN: Final = "unknown_camera"
UNKNOWN_LEFT_OUT: Final = "unknown_camera_and_corruption"

WITH_REFERENCE: Final = frozenset({HELD_OUT, LEFT_OUT})
WITHOUT: Final = frozenset({UNKNOWN, UNKNOWN_LEFT_OUT})
"""Which cases intervals are made from, where the camera has a reference and where it has none."""


CASES: Final = {
    "validation": "object",
    "metric": "object",
    "group": "object",
    "camera": "object",
    "corruption": "object",
    "distance": "float64",
    "named": "object",
    "value": "float64",
    "actual": "float64",
    "naive": "float64",
}


class Calibration(NamedTuple):
    """What errors were like.

    Attributes:
        usual: the median distance of clips from the cell that they are of.
        farthest: beyond it nothing is forecast.
        low, high: by metric, quantiles of (actual - forecast) / clean score over (usual + distance).
    """

    usual: float
    farthest: float
    low: Mapping[str, float]
    high: Mapping[str, float]

    def interval(self, metric: str, value: float, naive: float, distance: float) -> tuple[float, float]:
        """Ends within 0 and 1: every headline metric is a share."""
        reach = naive * (self.usual + distance)
        return max(0.0, value + self.low[metric] * reach), min(1.0, value + self.high[metric] * reach)


NOTHING: Final = Calibration(math.nan, math.nan, {}, {})


def groups(frames: pd.DataFrame, cameras: Mapping[str, str]) -> dict[str, str]:
    """clip_id -> the name of its group, of one camera; clips that are in none are never held out.

    Args:
        frames: rows of the table `frames`.
        cameras: clip_id -> camera of the clips to be grouped.

    Examples:
        >>> frames = pd.DataFrame({"clip_id": list("abcdefgh")})
        >>> sorted(set(groups(frames, dict.fromkeys("abcdefgh", "north")).values()))
        ['north 0', 'north 1', 'north 2', 'north 3', 'north 4', 'north 5', 'north 6', 'north 7']
    """
    lengths = frames["clip_id"].astype(str).value_counts()
    mean = max(float(lengths.reindex(list(cameras)).fillna(1).mean()), 1.0)
    size = max(GROUP_CLIPS, math.ceil(GROUP_FRAMES / mean))
    size = max(1, min(size, len(cameras) // LEAST_GROUPS))
    found: dict[str, str] = {}
    for camera in sorted(set(cameras.values())):
        own = sorted((clip for clip in cameras if cameras[clip] == camera), key=_shuffled)
        for at in range(max(1, len(own) // size)):
            part = own[at * size : (at + 1) * size]
            found |= dict.fromkeys(part, f"{camera} {at}".strip())
    kept = sorted(set(found.values()), key=_shuffled)[:MOST_GROUPS]
    return {clip: group for clip, group in found.items() if group in kept}


def _shuffled(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def cases(looks: Looks, group_of: Mapping[str, str], figures: pd.DataFrame) -> pd.DataFrame:
    """One row for each clip of a group, cell, metric and kind of rehearsal.

    Args:
        looks: of all clips.
        group_of: clip_id -> group.
        figures: what `tasks.metrics.grouped.figures` gives for these groups.

    Returns:
        Columns as in CASES: `named` is the nearest corruption, `value` the forecast, `naive` the clean score. Without
        the rows that have no actual figure.
    """
    member = np.array([group_of.get(clip, "") for clip in looks.clips], dtype=object)
    names = [name for name in dict.fromkeys(group_of.values()) if name in member]
    scored = {metric: _scored(figures, str(metric), looks, names) for metric in dict.fromkeys(figures["metric"])}
    found: list[pd.DataFrame] = []
    for place, name in enumerate(names if len(names) > 1 else ()):
        inside = member == name
        camera = str(looks.cameras[inside][0])
        near = looks.cameras == camera
        others = np.array([bool((near & (member == other)).any()) for other in names])
        for validation, keep, rest, left, known in _plan(looks, inside, near, others, place):
            cells = np.array([corruption != left for corruption, _ in looks.cells])
            signatures = Signatures.of(looks, keep, cells)
            space, origins = _seen_from(looks, signatures, inside, near if known and camera else None, known=known)
            at = np.array([place for place, cell in enumerate(looks.cells) if not left or cell[0] == left])
            moved = looks.means[np.ix_(at, inside)] - origins
            there = np.isfinite(moved).all(axis=2)
            at = np.repeat(at, there.sum(axis=1))
            points = space.place(space.origin + moved[there])
            names_of, _, away = space.nearest(points)
            first = away.argmin(axis=1)
            rows = {
                "validation": validation,
                "group": name,
                "camera": camera,
                "corruption": [looks.cells[cell][0] for cell in at],
                "distance": away.min(axis=1),
                "named": np.array(names_of, dtype=object)[first],
            }
            kept = [looks.cells.index(cell) for cell in space.cells]
            for metric, by_group in scored.items():
                means = _means(by_group[kept][:, rest])
                if means[0] > 0:
                    forecast = expected(space, points, means / means[0]) * means[0]
                    figures_of = {"metric": metric, "value": forecast, "actual": by_group[at, place]}
                    found.append(pd.DataFrame({**rows, **figures_of, "naive": means[0]}))
    told = pd.concat([pd.DataFrame(columns=list(CASES)), *found], ignore_index=True)
    return told[told["actual"].notna()].astype(CASES)


def _scored(figures: pd.DataFrame, metric: str, looks: Looks, names: list[str]) -> Floats:
    """(C, G) the figures of a metric; NaN where there is none."""
    own = figures[figures["metric"] == metric].set_index(["corruption", "severity", "group"])["value"]
    index = pd.MultiIndex.from_tuples([(*cell, name) for cell in looks.cells for name in names])
    return own.reindex(index).to_numpy(np.float64).reshape(len(looks.cells), len(names))


def _means(values: Floats) -> Floats:
    """(C,) over groups, (C, G), those that are known; NaN where none is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1)
    found: Floats = np.divide(total, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(axis=1))
    return found


def _plan(
    looks: Looks, inside: Bools, near: Bools, others: Bools, place: int
) -> Iterator[tuple[str, Bools, Bools, str, bool]]:
    """What is rehearsed with one group: kind, the clips and groups that are fitted to, the corruption left out, and
    whether the camera has a reference.
    """
    rest = np.arange(len(others)) != place
    corruptions = list(dict.fromkeys(corruption for corruption, _ in looks.cells[1:]))
    lone = len(corruptions) < 2  # without it nothing is left to compare with
    yield HELD_OUT, ~inside, rest, "", True
    for corruption in () if lone else corruptions:
        yield LEFT_OUT, ~inside, rest, corruption, True
    several = bool((~near).any()) and bool((~others).any())
    keep, rest = (~near, ~others) if several else (~inside, rest)
    if several:
        yield OTHER_CAMERA, keep, rest, "", True
    yield UNKNOWN, keep, rest, "", False
    for corruption in () if lone else corruptions:
        yield UNKNOWN_LEFT_OUT, keep, rest, corruption, False


def _seen_from(
    looks: Looks, signatures: Signatures, inside: Bools, near: Bools | None, *, known: bool
) -> tuple[Space, Floats]:
    """The space as a group's clips are compared, and (K, D) the features that each clip's shift is taken from.

    The reference is other clean clips of the camera (`near`); of a clip whose camera nobody named, its own frames when
    clean; and where none is `known`, all that is fitted to.
    """
    if not known:
        space = signatures.against(None)
    else:
        if near is not None:
            reference = looks.clean[(near & ~inside)[looks.clip_of]]
            if len(reference) >= LEAST_REFERENCE:
                space = signatures.against(reference)
                return space, np.broadcast_to(space.origin, looks.means[0, inside].shape)
        own = looks.means[0, inside]
        return signatures.against(own[:1], spread=np.zeros(own.shape[1])), own
    return space, np.broadcast_to(space.origin, looks.means[0, inside].shape)


def calibration(found: pd.DataFrame, confidence: float) -> Calibration | None:
    """From the cases of one kind of reference; None without any.

    Held-out clips and left-out corruptions are taken apart, and the wider ends of the two count: many cases of the one
    do not make up for what the other is missed by.
    """
    usual = float(found.loc[found["validation"].isin([HELD_OUT, UNKNOWN]), "distance"].median())
    if math.isnan(usual):
        return None
    tail = (1 - confidence) / 2
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    off = (found["actual"] - found["value"]) / found["naive"] / (usual + found["distance"])
    for (name, _), own in off.groupby([found["metric"], found["validation"]], sort=False):
        metric, values = str(name), own.to_numpy()
        low[metric] = min(low.get(metric, math.inf), float(np.quantile(values, tail, method="lower")))
        high[metric] = max(high.get(metric, -math.inf), float(np.quantile(values, 1 - tail, method="higher")))
    return Calibration(usual, float(found["distance"].quantile(FARTHEST)), low, high)


def validation(found: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The table `footage_validation`: errors beside those of the clean score, and the coverage of intervals.

    The interval of a case is made from others alone: of other groups, where a corruption was left out of other
    corruptions, and where a camera was, of other cameras.
    """
    judged = pd.concat(
        [_judged(found, kinds, confidence) for kinds in (WITH_REFERENCE | {OTHER_CAMERA}, WITHOUT)], ignore_index=True
    )
    rows = []
    for (kind, metric), own in judged.groupby(["validation", "metric"], sort=False):
        for corruption, some in ((None, own), *own.groupby("corruption", sort=False)):
            told = some[~some["outside"]]
            rows.append(
                {
                    "validation": kind,
                    "metric": metric,
                    "corruption": corruption,
                    "n": len(some),
                    "error": (told["value"] - told["actual"]).abs().mean(),
                    "naive_error": (told["naive"] - told["actual"]).abs().mean(),
                    "coverage": told["covered"].astype(float).mean(),
                    "width": (told["high"] - told["low"]).mean(),
                    "confidence": confidence,
                    "outside": float(some["outside"].mean()),
                    "named_first": None
                    if kind in (LEFT_OUT, UNKNOWN_LEFT_OUT)
                    else float((some["named"] == some["corruption"]).mean()),
                }
            )
    return pd.DataFrame(rows, columns=tables.SCHEMAS["footage_validation"].names)


def _judged(found: pd.DataFrame, kinds: frozenset[str], confidence: float) -> pd.DataFrame:
    """The cases of these kinds with the interval that the others give each, and whether it holds the actual figure."""
    own = found[found["validation"].isin(kinds)].reset_index(drop=True)
    without = own["validation"].isin([LEFT_OUT, UNKNOWN_LEFT_OUT])
    results = []
    for (kind, group, left), some in own.groupby(
        ["validation", "group", own["corruption"].where(without, "")], sort=False
    ):
        apart = (own["validation"] != OTHER_CAMERA) & (own["group"] != group) & (own["corruption"] != left)
        other = own["camera"] != some["camera"].iloc[0]
        if kind not in (HELD_OUT, LEFT_OUT) and other.any():
            apart &= other
        rule = calibration(own[apart], confidence)
        if rule is not None:
            results.append(_with_interval(some[some["metric"].isin(list(rule.low))], rule))
    return pd.concat(results, ignore_index=True) if results else _with_interval(own.iloc[:0], NOTHING)


def _with_interval(some: pd.DataFrame, rule: Calibration) -> pd.DataFrame:
    ends = [
        rule.interval(metric, value, naive, distance)
        for metric, value, naive, distance in zip(
            some["metric"], some["value"], some["naive"], some["distance"], strict=True
        )
    ]
    low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
    covered = (some["actual"] >= low) & (some["actual"] <= high)
    return some.assign(low=low, high=high, covered=covered, outside=some["distance"] > rule.farthest)
