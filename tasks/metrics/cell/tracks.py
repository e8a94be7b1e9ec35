"""Tracking of one cell."""

from collections.abc import Sequence

import numpy as np

from tasks import tables
from tasks.metrics import attribution, examples, moments, switches, tracking
from tasks.metrics.cell import deployed
from tasks.metrics.cell.measured import Measured
from tasks.metrics.instances import Floats
from tasks.metrics.plan import slices_of
from tasks.metrics.predictions import CellPredictions
from tasks.metrics.study import Study, Values
from tasks.slices import Slice


def measure(found: CellPredictions, study: Study, limits: deployed.Limits | None) -> Measured:
    """Tracking, clip by clip.

    Args:
        found: the cell's predictions.
        study: what against.
        limits: the policy's thresholds, which alarms rest on; None without: then there are none.

    Raises:
        InputError: a frame holds a track id twice.
    """
    truth = study.truth
    names = truth.names("tracking")
    clips = moments.clips(found.detections.take(found.tracked), found.tracks[found.tracked], truth)
    values, switched = score_clips([there for _, there in clips], study)
    if limits is not None:
        deployed.alarm(values, found, limits, switched, study)
    attribution.put_association(values, [there for _, there in clips], study.resampler)
    events = [tracking.events(there) for _, there in clips]
    rows = {"switches": switches.rows(clips, events, truth, names)}
    return Measured(values, examples.of_tracking(clips, events, names), rows)


def score_clips(
    clips: Sequence[Sequence[tracking.Moment]], study: Study, *, by_class: bool = True
) -> tuple[Values, Floats]:
    """Every metric of every slice and class.

    Args:
        clips: in the order of the truth's.
        study: what against.
        by_class: False: of all classes together alone.

    Returns:
        The figures, and identity switches by clip, (n_clips, 1 + n_classes): over all classes, then by class.
    """
    names = study.truth.names("tracking")
    evaluator = tracking.Evaluator()
    values = Values()
    switched = np.zeros((len(clips), 1 + len(names)))
    for place, kind in enumerate((None, *range(len(names))) if by_class else (None,)):
        results = _evaluated(evaluator, clips, kind)
        sums = tracking.by_clip(results, len(clips))
        switched[:, place] = sums["clear", "IDSW"]
        for item in slices_of("tracking", study.truth, once=True):
            if item.stretch:
                some = _evaluated(evaluator, _within(clips, item, study), kind)
                own, inside = tracking.by_clip(some, len(clips)), None
            elif item.clips is None:
                continue
            else:
                some = {clip: result for clip, result in results.items() if item.clips[clip]}
                own, inside = sums, item.clips
            points = evaluator.figures({str(clip): result for clip, result in some.items()})
            resampled = tracking.resampled(own, study.resampler, inside)
            values.put(item.name, tables.ALL if kind is None else names[kind], points, resampled)
    values.share(study.truth.twins)
    return values, switched


def _evaluated(
    evaluator: tracking.Evaluator, clips: Sequence[Sequence[tracking.Moment]], kind: int | None
) -> dict[int, tracking.Results]:
    """The results of each clip that holds anything, by its place: of one class, or of all."""
    results = {}
    for clip, there in enumerate(clips):
        chosen = there if kind is None else [moment.of(kind) for moment in there]
        if any(len(moment.truth_ids) or len(moment.track_ids) for moment in chosen):
            results[clip] = evaluator.clip(chosen)
    return results


def _within(clips: Sequence[Sequence[tracking.Moment]], item: Slice, study: Study) -> list[list[tracking.Moment]]:
    """The moments of each clip that lie in a stretch of time."""
    return [
        [moment for frame, moment in zip(frames, there, strict=True) if item.frames[frame]]
        for frames, there in zip(moments.in_time(study.truth), clips, strict=True)
    ]
