"""Deployed behaviour in one cell: what the policy's thresholds give, and the alarms that rest on them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tasks import tables
from tasks.metrics import alarms, errors, matching, policy
from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.predictions import CellPredictions
from tasks.metrics.study import Study, Values
from tasks.metrics.truth import GroundTruth
from tasks.slices import Slice

Limits = Mapping[str, Floats]
"""By level (act, observe), the threshold of each class; NaN for a class that reaches none."""

_EVERY: Final = 1 << 62
"""Tracks are not cut off at the best boxes of a frame, as detections are."""


def find(values: Values, whole: matching.Matches, study: Study) -> Limits:
    """The thresholds that clean frames ask for, entered."""
    found = _limits(whole, study, None)
    _enter(values, study, {f"{level}_threshold": limits for level, limits in found.items()})
    return found


def nothing(study: Study) -> Limits:
    """No thresholds: what there is where clean frames could not be scored."""
    return {level: np.full(len(study.truth.names("detection")), np.nan) for level in policy.LEVELS}


def mix(
    values: Values, whole: matching.Matches, found: errors.Errors, order: Ints, limits: Limits, study: Study
) -> None:
    """Enter, where params name another mix of classes, the thresholds that it would ask for and what `limits` give.

    Args:
        values: where they go.
        whole: the matches of the clean cell.
        found: its errors.
        order: `Candidates.order`.
        limits: from `find`.
        study: what against.
    """
    names, shares = study.truth.names("detection"), study.policy.mix
    if not shares:
        return
    counts = np.bincount(whole.wanted[:, 1], minlength=len(names)).astype(float)
    weights = policy.shifted(found, order, counts, np.array([shares.get(name, 0.0) for name in names]))
    again = _limits(whole, study, weights[0])
    _enter(values, study, {f"mix_{level}_threshold": thresholds for level, thresholds in again.items()})
    _put(values, tables.ALL, names, "mix", policy.tally(whole, limits["act"], study.resampler, None, weights), study)


def _limits(whole: matching.Matches, study: Study, weight: Floats | None) -> dict[str, Floats]:
    act = policy.thresholds(whole, study.policy.act_precision, weight)
    observe = policy.thresholds(whole, study.policy.observe_precision, weight)
    return {"act": act, "observe": np.fmin(act, observe)}  # what is acted on is observed too


def _enter(values: Values, study: Study, by_metric: Mapping[str, Floats]) -> None:
    for metric, found in by_metric.items():
        for name, value in zip(study.truth.names("detection"), found, strict=True):
            values.point[tables.ALL, name, metric] = float(value)


def expect(
    values: Values, item: Slice, matches: matching.Matches, limits: Limits, study: Study, frames: Bools | None
) -> None:
    """Enter precision and recall at the thresholds: of all data for each level and class, of a slice of `act` alone."""
    whole = item.name == tables.ALL
    names = study.truth.names("detection") if whole else ()
    for level in policy.LEVELS if whole else policy.LEVELS[:1]:
        by_unit = policy.tally(matches, limits[level], study.resampler, frames)
        if item.recall_only:
            by_unit[..., 1] = np.nan
        _put(values, item.name, names, level, by_unit, study)


def _put(values: Values, slice_: str, names: Sequence[str], prefix: str, by_unit: Floats, study: Study) -> None:
    whole = by_unit.sum(axis=1, keepdims=True)
    together = np.concatenate([whole, by_unit], axis=1) if names else whole
    points, again = policy.rates(together.sum(axis=0)), policy.rates(study.resampler.sums(together))
    for place, name in enumerate((tables.ALL, *names)):
        values.put(
            slice_,
            name,
            {f"{prefix}_{metric}": float(found[place]) for metric, found in points.items()},
            {f"{prefix}_{metric}": rows[:, place].astype(np.float32) for metric, rows in again.items()},
        )


def alarm(values: Values, found: CellPredictions, limits: Limits, switches: Floats, study: Study) -> None:
    """Enter the figures of alarms. Boxes with a track id are matched among themselves: a tracker shows no others.

    Args:
        values: where they go.
        found: the cell's predictions.
        limits: of classes.
        switches: (n_clips, 1 + n_classes) identity switches of all classes together, then of each.
        study: what against.
    """
    truth, (needed, window) = study.truth, study.policy.evidence
    moment, frame_s = _moments(truth)
    counts = np.flatnonzero(~truth.objects.ignored & truth.tracked)
    frame = truth.objects.frame[counts]
    things = alarms.Seen(truth.clip_of[frame], moment[frame], truth.tracks[counts], truth.objects.kind[counts])
    there, event_of = alarms.events(things, needed, window)
    tracked = found.detections.take(found.tracked)
    # In the order that `candidates` gives them, so that ids and boxes go on standing side by side.
    order = np.lexsort((-tracked.score, tracked.frame, tracked.kind))
    tracked, tracks = tracked.take(order), found.tracks[found.tracked][order]
    ignored = truth.objects.ignored | ~truth.tracked
    objects = replace(truth.objects, ignored=ignored)
    pairs = matching.candidates(objects, tracked, len(truth.names("tracking")), best=_EVERY)
    partner = matching.assign(pairs, ignored)[0]
    counted = np.ones(len(partner), dtype=bool)
    counted[partner >= 0] = ~ignored[partner[partner >= 0]]
    events = np.full(len(truth.objects) + 1, -1, dtype=np.int64)  # the last place is that of no partner
    events[counts] = event_of
    event = events[partner]
    boxes = alarms.Seen(truth.clip_of[tracked.frame], moment[tracked.frame], tracks, tracked.kind)
    sure = counted & (tracked.score >= limits["act"][tracked.kind])
    sums = alarms.sums(
        there,
        alarms.raised(boxes.take(sure), event[sure], needed, window),
        alarms.jumps(boxes, event, _centre_errors(tracked.boxes, truth.objects.boxes, partner)),
        switches,
        np.bincount(truth.clip_of, minlength=len(truth.clips)),
        frame_s,
    )
    resampled = sums.resampled(study.resampler)
    names = (tables.ALL, *truth.names("tracking"))
    for metric, points in sums.figures().items():
        for name, value, rows in zip(names, points, resampled[metric], strict=True):
            values.put(tables.ALL, name, {metric: float(value)}, {} if rows is None else {metric: rows})


def _moments(truth: GroundTruth) -> tuple[Ints, Floats]:
    """(n_frames,) each frame's place within its clip, and (n_clips,) the seconds between frames, NaN where unknown."""
    n_clips = len(truth.clips)
    order = np.lexsort((truth.frames["frame_index"].to_numpy(np.int64), truth.clip_of))
    starts = np.searchsorted(truth.clip_of[order], np.arange(n_clips))
    moment = np.empty(len(order), dtype=np.int64)
    moment[order] = np.arange(len(order)) - starts[truth.clip_of[order]]
    frame_s = np.full(n_clips, np.nan)
    if "timestamp_s" in truth.frames:
        times = truth.frames["timestamp_s"].to_numpy(float)[order]
        for clip, own in enumerate(np.split(times, starts[1:])):
            if len(own) > 1 and np.isfinite(own).all():
                step = float(np.median(np.diff(own)))
                frame_s[clip] = step if step > 0 else np.nan
    return moment, frame_s


def _centre_errors(boxes: Floats, truth: Floats, partner: Ints) -> Floats:
    """(N, 2) box centre minus truth centre in diagonals of the truth box; 0 without a partner."""
    found = np.zeros((len(boxes), 2))
    there = np.flatnonzero(partner >= 0)
    own, other = boxes[there], truth[partner[there]]
    centres = (own[:, :2] + own[:, 2:] - other[:, :2] - other[:, 2:]) / 2
    found[there] = centres / np.linalg.norm(other[:, 2:] - other[:, :2], axis=1, keepdims=True)
    return found
