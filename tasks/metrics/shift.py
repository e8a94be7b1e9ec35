"""Real shift against simulated: what other data cost, and at which severity a corruption costs as much.

The real drop is the clean figure on the reference frames minus that on the shifted frames. Both are resampled by the
same weights of the same units, but hold different clips: unpaired in content, drawn jointly. The simulated drop is
clean minus corrupted on the reference frames, paired. Where the drops by severity cross the real one, linear between
severities and from nothing at 0, lies the severity that costs as much; what lies beyond every severity is not reached.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks import slices, tables
from tasks.metrics import cell, robustness
from tasks.metrics.instances import Bools
from tasks.metrics.plan import Row
from tasks.metrics.predictions import ModelFacts
from tasks.metrics.requests import Request
from tasks.metrics.resampling import Replicates, Spread, interval, open_interval
from tasks.metrics.robustness import Figure
from tasks.metrics.truth import GroundTruth
from tasks.params import Params

Cells = Mapping[tuple[str, int], tuple[Figure, Figure]]
"""By corruption and severity, a model's figure on the reference frames and on the shifted ones."""


def table(
    params: Params,
    truth: GroundTruth,
    models: Mapping[str, ModelFacts],
    requests: Sequence[Request],
    scored: Mapping[Request, cell.Scored],
    rows: Mapping[str, list[Row]],
) -> pd.DataFrame:
    """The table `shifts`, empty where params declare none.

    Args:
        params: the run's choices.
        truth: the scored frames.
        models: by name.
        requests: every cell that params name.
        scored: those that are there.
        rows: of each cell, by task.
    """
    built = {item.name: item.frames for item in truth.slices}
    found: list[dict[str, Any]] = []
    for name, shift in params.slices.shifted.items():
        inside, reference = slices.of_shift(params.slices, name)
        if inside not in built or reference not in built:
            continue  # a trial on the first clips alone, which do not hold it
        found += ({"shift": name, **line} for line in composition(truth, built[reference], built[inside]))
        like = [item for item in dict.fromkeys(r.corruption for r in requests) if item in shift.like]
        for task, planned in rows.items():
            headline = tables.HEADLINE[task]
            at = {row.slice: row for row in planned if (row.class_, row.metric) == (tables.ALL, headline)}
            cells = {
                model: _cells(task, [r for r in requests if r.model == model], scored, (reference, inside))
                for model, facts in models.items()
                if task in facts.tasks
            }
            lines = drops(cells, like, (at[reference], at[inside]), params.metrics.confidence)
            found += ({"shift": name, "task": task, **line} for line in lines)
    result = pd.DataFrame(found, columns=tables.SCHEMAS["shifts"].names)
    result[["value", "low", "high"]] = result[["value", "low", "high"]].astype("float64").round(6) + 0.0
    return result.astype({"severity": "Int16", "n_units": "Int32"})


def _cells(
    task: str, requests: Sequence[Request], scored: Mapping[Request, cell.Scored], names: tuple[str, str]
) -> Cells:
    missing = Figure(math.nan, "not_defined")
    found = {}
    for request in requests:
        if request in scored:
            figures = scored[request].figures[task]
            one, other = (figures.get((name, tables.ALL, tables.HEADLINE[task]), missing) for name in names)
        else:
            one = other = Figure(math.nan, "not_applicable" if request.status == "not_applicable" else "failed")
        found[request.corruption, request.severity] = one, other
    return found


CLEAN: Final = (tables.CLEAN, 0)


def drops(
    cells: Mapping[str, Cells], like: Sequence[str], sides: tuple[Row, Row], confidence: float
) -> Iterator[dict[str, Any]]:
    """One shift and task: by model `real_drop`, `simulated_drop`, `equal_severity`; at last `rank_agreement`.

    Args:
        cells: by model.
        like: the corruptions that are meant to imitate the shift.
        sides: what stands behind the reference and the shifted frames.
        confidence: of the intervals.
    """
    reference, shifted = sides
    n_both = min(reference.n_units, shifted.n_units)
    means: dict[str, dict[str, Figure]] = {name: {} for name in like}
    for model, known in cells.items():
        clean, other = known[CLEAN]
        real = unpaired(clean, other, (reference.spread, shifted.spread), confidence)
        yield _line("real_drop", real, n_both, model=model)
        for name in like:
            levels = [severity for corruption, severity in known if corruption == name]
            simulated = [robustness.difference(clean, known[name, severity][0]) for severity in levels]
            for severity, figure in zip(levels, simulated, strict=True):
                told = _paired(figure, reference.spread, confidence)
                yield _line("simulated_drop", told, reference.n_units, model=model, corruption=name, severity=severity)
            point = equal_severity(real, list(zip(levels, simulated, strict=True)))
            point = _open(point, _joint(clean, other, (reference.spread, shifted.spread)), confidence)
            yield _line("equal_severity", point, n_both, model=model, corruption=name)
            means[name][model] = robustness.mean(simulated)
    for name in like if len(cells) > 1 else ():
        figure = rank_agreement({model: known[CLEAN] for model, known in cells.items()}, means[name], sides, confidence)
        yield _line("rank_agreement", figure, n_both, corruption=name)


def unpaired(one: Figure, other: Figure, spreads: tuple[Spread | None, Spread | None], confidence: float) -> Figure:
    """`one` minus `other`, each on units of its own, with the interval that their joint replicates give.

    Where every unit of a side is at a bound, resampling shows nothing of it: then the distances of the two figures'
    own ends are put together in quadrature (Newcombe, Statistics in Medicine 1998, method 10).
    """
    found = robustness.difference(one, other)
    spread = _joint(one, other, spreads)
    if spread is not None:
        return _paired(found, spread, confidence)
    if found.status == "ok" and not any(math.isnan(end) for side in (one, other) for end in (side.low, side.high)):
        down = math.hypot(one.value - one.low, other.high - other.value)
        up = math.hypot(one.high - one.value, other.value - other.low)
        return replace(found, low=found.value - down, high=found.value + up)
    return found


def _joint(one: Figure, other: Figure, spreads: tuple[Spread | None, Spread | None]) -> Spread | None:
    """The spread of a difference between figures on units of their own; None where resampling cannot show it.

    Each side's variance over resamples, inflated as its truth asks for, adds; degrees of freedom by Welch and
    Satterthwaite.
    """
    if one.replicates is None or other.replicates is None or None in spreads:
        return None
    seen = np.array([np.var(figure.replicates.astype(np.float64)) for figure in (one, other)])  # type: ignore[union-attr]
    if not seen.all():
        return None
    degrees, inflation = (np.array(part) for part in zip(*(s for s in spreads if s is not None), strict=True))
    true = seen * inflation
    return Spread(float(true.sum() ** 2 / (true**2 / degrees).sum()), float(true.sum() / seen.sum()))


def _paired(figure: Figure, spread: Spread | None, confidence: float) -> Figure:
    """The same figure with the interval of its replicates, where its data bear one."""
    if figure.status != "ok" or figure.replicates is None or spread is None:
        return figure
    (low,), (high,) = interval(figure.replicates[None], [spread], confidence)
    return replace(figure, low=float(low), high=float(high))


def equal_severity(real: Figure, simulated: Sequence[tuple[int, Figure]]) -> Figure:
    """The severity at which a simulated drop first reaches the real one, linear between severities.

    Args:
        real: the real drop.
        simulated: (severity, drop) from the mildest on; at severity 0 nothing is lost.

    Returns:
        0 where the real shift costs nothing; `not_reached` where no severity costs as much, then with replicates still:
        infinite in resamples that do not reach it.
    """
    if not simulated:
        return Figure(math.nan, "not_applicable")
    severities = np.array([0.0, *(severity for severity, _ in simulated)])

    def crossing(wanted: Any, *levels: Any) -> Any:
        values = np.stack(np.broadcast_arrays(np.zeros_like(wanted), *levels))
        reached = values >= wanted
        first = reached.argmax(axis=0)
        last = np.maximum(first - 1, 0)
        behind, ahead = (np.take_along_axis(values, at[None], axis=0)[0] for at in (last, first))
        part = np.where(first == last, 0, (wanted - behind) / np.where(first == last, 1, ahead - behind))
        at = severities[last] + part * (severities[first] - severities[last])
        return np.where(reached.any(axis=0), at, math.inf)

    figures = (real, *(drop for _, drop in simulated))
    status = robustness.combine(lambda first, *_: first, *figures).status  # the worst of all
    if not all(figure.known for figure in figures):
        return Figure(math.nan, status)
    value = float(crossing(*(np.float64(figure.value) for figure in figures)))
    given = [figure.replicates.astype(np.float64) for figure in figures if figure.replicates is not None]
    replicates: Replicates | None = None
    if len(given) == len(figures) and status == "ok":
        replicates = crossing(*given).astype(np.float32)
    if math.isfinite(value):
        return Figure(value, status, replicates)
    return Figure(math.nan, "not_reached", replicates, note=f"beyond severity {simulated[-1][0]}")


def _open(figure: Figure, spread: Spread | None, confidence: float) -> Figure:
    """The same severity with its interval; an end that no severity reaches is open."""
    if figure.replicates is None or spread is None:
        return figure
    low, high = open_interval(figure.replicates, spread, confidence)
    return replace(figure, low=low, high=high)


def rank_agreement(
    clean: Mapping[str, tuple[Figure, Figure]],
    simulated: Mapping[str, Figure],
    sides: tuple[Row, Row],
    confidence: float,
) -> Figure:
    """Kendall's tau between the models' real drops and their mean simulated ones: 1 the same order, -1 the reverse.

    Args:
        clean: by model, the clean figures on the reference and on the shifted frames.
        simulated: by model, the mean of the simulated drops over severities.
        sides: what stands behind the two.
        confidence: a pair of models is told apart where the interval of the difference of drops leaves zero out.
    """
    score = told = pairs = 0
    spreads = sides[0].spread, sides[1].spread
    for a, b in combinations(clean, 2):
        one, other = (robustness.difference(clean[a][side], clean[b][side]) for side in (0, 1))
        real = unpaired(one, other, spreads, confidence)
        copy = _paired(robustness.difference(simulated[a], simulated[b]), spreads[0], confidence)
        if not (real.known and copy.known):
            return Figure(math.nan, "incomplete")
        pairs += 1
        score += int(np.sign(real.value) * np.sign(copy.value))
        told += all(figure.low > 0 or figure.high < 0 for figure in (real, copy))
    return Figure(score / pairs, "ok", note=f"{told} of {pairs} pairs of models told apart on both sides")


def composition(truth: GroundTruth, reference: Bools, shifted: Bools) -> Iterator[dict[str, Any]]:
    """What else differs between the two sides: amounts, sizes and mixes of classes.

    `*_mix_distance` is the total variation distance of the shares of classes: 0 the same mix, 1 nothing in common.
    """
    boxes = truth.objects
    low_px2, high_px2 = slices.SIZES["small"]
    small = (boxes.area_px2 >= low_px2) & (boxes.area_px2 <= high_px2)
    mixes: dict[str, list[np.ndarray[Any, Any]]] = {"object": [], "label": [], "semantic": []}
    for side, frames in (("reference", reference), ("shifted", shifted)):
        own = ~boxes.ignored & frames[boxes.frame]
        n_units, n_frames, n_objects = len(np.unique(truth.clip_of[frames])), int(frames.sum()), int(own.sum())
        figures = {"units": n_units, "frames": n_frames}
        yield from (_line(name, Figure(value), n_units, side=side) for name, value in figures.items())
        if not boxes.ignored.all():
            yield _line("objects_per_frame", Figure(n_objects / n_frames), n_units, side=side)
            share = Figure(float(small[own].mean())) if n_objects else Figure(math.nan, "not_defined")
            yield _line("small_share", share, n_units, side=side)
        labels = truth.labels[frames]
        mixes["object"].append(np.bincount(boxes.kind[own], minlength=len(truth.names("detection"))))
        mixes["label"].append(np.bincount(labels[labels >= 0], minlength=len(truth.names("classification"))))
        mixes["semantic"].append(truth.semantic_pixels[frames].sum(axis=0))
    for kind, (one, other) in mixes.items():
        if one.sum() and other.sum():
            distance = np.abs(one / one.sum() - other / other.sum()).sum() / 2
            yield _line(f"{kind}_mix_distance", Figure(float(distance)), None)


def _line(figure: str, found: Figure, n_units: int | None, **place: Any) -> dict[str, Any]:
    ends = {"value": found.value, "low": found.low, "high": found.high, "status": found.status, "note": found.note}
    return {"figure": figure, "n_units": n_units, **place, **ends}
