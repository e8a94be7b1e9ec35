"""How far the features of new footage lie from those of the validated run, camera by camera.

Clips that a camera sends within one scan share the hour, the weather and the traffic, so they are not several draws
from what the validated run has seen: many clips of one night would be found strange beside a run of days and nights.
They count as one unit, and the question is whether the camera's footage could be one more clip of the run. A camera is
compared with its own clips there, or with all where those are too few (`tasks/monitoring/permutation.py` has the test).

False alarms, measured: of the 48 clean test clips of `crossing`, each held out in turn, 2 have any of the outputs' 29
features outside when compared with their camera's 11 others, three at most, and none when compared with all 47.
`tasks/monitoring/permutation.py` has those of single p-values.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks import tables
from tasks.metrics.resampling import q_values
from tasks.monitoring.outputs import SHARES
from tasks.monitoring.permutation import STATISTICS, TAIL_INDEX, Sample, measure, p_values
from tasks.monitoring.windows import blocks

LEAST_CLASS_SHARE: Final = 0.01
"""Of boxes, pixels or frames: a class that is rarer on both sides is not compared. Detectors of eighty classes name
most of them once in a while, and a test of each would drown those that matter."""


@dataclass(frozen=True, eq=False)
class Drift:
    """The table `footage_drift`, and by camera a sentence on what it is compared with."""

    table: pd.DataFrame
    reference: dict[str, str]


def compare(
    new: Mapping[str, pd.DataFrame],
    reference: Mapping[str, pd.DataFrame],
    *,
    level: float = 0.05,
    confidence: float = 0.95,
    min_units: int = 10,
    together: bool = True,
    permutations: int = 999,
    seed: int = 0,
    block_s: float | None = None,
    source: str = "the validated run",
) -> Drift:
    """Compare the footage of each camera with the reference, feature by feature.

    A camera is compared with its own clips of the reference where there are `min_units` of them, else with all clips.
    Shares of classes that are rare on both sides are left out.

    Args:
        new: by kind, `input` and `output`, windows as `windows.COLUMNS`.
        reference: the same of the validated run, or of a camera's earlier footage; cut alike.
        level: the false discovery rate up to which features are `outside`, of those of one camera and kind by one
            statistic.
        confidence: of the band of the reference's windows.
        min_units: clips of the reference that it takes to tell anything; too few to reach the level tell nothing in any
            case.
        together: a camera's footage counts as one unit. False: each of its clips is one, for footage that was gathered
            over as many hours as the camera's reference; compared with other cameras' clips, it is one unit anyway.
        permutations: drawn where there are more than so many.
        seed: of what is drawn.
        block_s: units are blocks of so many seconds instead of clips. Only for a reference of few, long clips: blocks
            of a clip are more alike than clips are, so there are more false alarms.
        source: how the reference is called.

    Returns:
        `value` of wasserstein is in standard deviations of the reference's windows, NaN where those are all the same;
        low, high: the band that holds `confidence` of them; share_outside: of the footage's windows; n: how many those
        are. status: outside | inside; `insufficient` where so few units could never be `outside`; `no_reference` where
        the reference has not that feature.
    """
    rows: list[dict[str, Any]] = []
    told: dict[str, dict[str, str]] = {}
    for kind, footage in new.items():
        old = reference.get(kind, footage.iloc[:0])
        if block_s is not None:
            footage, old = blocks(footage, block_s), blocks(old, block_s)
        for camera, own in footage.groupby("camera", sort=True):
            side, is_own, sentence = _side(old, str(camera), min_units, source, block_s)
            told.setdefault(str(camera), {})[kind] = sentence
            for feature, footage_of, reference_of in _samples(own, side):
                if not len(footage_of.values) or _rare(feature, footage_of, reference_of):
                    continue
                place = {"camera": str(camera), "kind": kind, "feature": feature}
                rng = np.random.default_rng(seed)
                chances = partial(p_values, one_unit=together or not is_own, permutations=permutations, rng=rng)
                found = _rows(footage_of, reference_of, chances, level, confidence, min_units)
                rows += ({**place, **row} for row in found)
    table = pd.DataFrame(rows, columns=tables.SCHEMAS["footage_drift"].names)
    table["q_value"] = table.groupby(["camera", "kind", "statistic"])["p_value"].transform(q_values)
    table.loc[table["q_value"] <= level, "status"] = "outside"
    sentences = {
        camera: next(iter(texts.values()))
        if len(set(texts.values())) == 1
        else " ".join(f"{kind.capitalize()}: {text}" for kind, text in texts.items())
        for camera, texts in told.items()
    }
    return Drift(table.astype({"n": "int64"}), sentences)


def signals(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By camera `input_drift` and `output_drift`: the share of features outside, by the Wasserstein distance.

    Features without a verdict count on no side; a camera and kind with none of them has no signal.
    """
    judged = table[(table["statistic"] == "wasserstein") & table["status"].isin(["inside", "outside"])]
    found: dict[str, dict[str, float]] = {}
    for (camera, kind), rows in judged.groupby(["camera", "kind"]):
        found.setdefault(str(camera), {})[f"{kind}_drift"] = float((rows["status"] == "outside").mean())
    return found


def _side(
    reference: pd.DataFrame, camera: str, min_units: int, source: str, block_s: float | None
) -> tuple[pd.DataFrame, bool, str]:
    """What a camera is compared with, whether that is its own, and a sentence that says so."""
    same = reference[(reference["camera"] == camera) & (camera != "all")]
    n_same, n_all = same["clip_id"].nunique(), reference["clip_id"].nunique()
    unit = "clips" if block_s is None else f"blocks of {block_s:g} s"
    if not n_all:
        return reference, False, f"{source[:1].upper()}{source[1:]} has nothing to compare with."
    if n_same == n_all or n_same >= min_units:
        return same, True, f"Compared with {n_same} {unit} of this camera in {source}."
    reason = f"{n_same} of this camera are too few" if n_same else "none is of this camera"
    if camera == "all":
        reason = "the footage names no camera"
    return reference, False, f"Compared with all {n_all} {unit} of {source}: {reason}."


def _samples(new: pd.DataFrame, old: pd.DataFrame) -> Iterator[tuple[str, Sample, Sample]]:
    """Each feature's windows on both sides; the share of a class that does not come is 0 where its kind has shares."""
    both = pd.concat([new.assign(new=True), old.assign(new=False)])
    wide = both.pivot(index=["new", "clip_id", "t_s"], columns="feature", values="value")
    is_new = wide.index.get_level_values("new").to_numpy(bool)
    clip = pd.factorize(wide.index.get_level_values("clip_id"))[0].astype(np.int64)
    names, values = [str(name) for name in wide.columns], wide.to_numpy(np.float64, copy=True)
    for kind in SHARES:
        own = np.flatnonzero([name.startswith(f"{kind}:") for name in names])
        some = ~np.isnan(values[:, own]).all(axis=1)
        values[np.ix_(some, own)] = np.nan_to_num(values[np.ix_(some, own)])
    for name, column in zip(names, values.T, strict=True):
        yield name, Sample.of(column[is_new], clip[is_new]), Sample.of(column[~is_new], clip[~is_new])


def _rare(feature: str, new: Sample, old: Sample) -> bool:
    return feature.partition(":")[0] in SHARES and max(new.mean(), old.mean()) < LEAST_CLASS_SHARE


def _rows(
    new: Sample,
    old: Sample,
    chances: Callable[[Sample, Sample], tuple[dict[str, float], int]],
    level: float,
    confidence: float,
    min_units: int,
) -> Iterator[dict[str, Any]]:
    """The rows of one feature, but for its place and q-values; nothing is outside yet."""
    row: dict[str, Any] = {"n": len(new.values), "low": math.nan, "high": math.nan, "share_outside": math.nan}
    if not len(old.values):
        nothing = {"value": math.nan, "p_value": math.nan, "status": "no_reference"}
        yield from ({**row, "statistic": name, **nothing} for name in STATISTICS)
        return
    low, high = old.quantiles([(1 - confidence) / 2, (1 + confidence) / 2])
    outside = float(new.weights[(new.values < low) | (new.values > high)].sum())
    row |= {"low": low, "high": high, "share_outside": outside}
    told, n_permuted = chances(new, old)
    for name, value in measure(new, old).items():
        # The greatest of the permuted distances is at least the nth part of that of the footage: no p is less.
        least = 1 / n_permuted * (old.n_clips**-TAIL_INDEX if name == "wasserstein" else 1)
        able = old.n_clips >= min_units and least <= level
        found = {"value": value, "p_value": told[name] if able else math.nan}
        yield {**row, "statistic": name, **found, "status": "inside" if able else "insufficient"}
