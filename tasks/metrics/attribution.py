"""What of the lost HOTA the detector lost, and what the tracker: two runs, in each of which one of the two is perfect.

DetA and AssA do not tell them apart: a missed box lowers both, for it also breaks a track.

- Oracle association: the boxes that HOTA scores, each with the identity of the object that it lies on. What is still
  lost their detection lost, boxes that the tracker held in no track included. It may lie a little below HOTA, which
  also matches boxes to objects that they do not overlap most.
- Oracle detection: the model's own tracker on the true boxes. What is still lost the tracker lost, the frames that it
  takes to confirm a track included. No pixel takes part, so the figure is the same for every cell of a model.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks import tables
from tasks.metrics import ORACLE_ASSOCIATION, ORACLE_DETECTION, moments, tracking
from tasks.metrics.hota import fast_hota
from tasks.metrics.instances import Detections
from tasks.metrics.resampling import Replicates, Resampler
from tasks.metrics.study import Study, Values
from tasks.metrics.tracking import Moment
from tasks.metrics.truth import GroundTruth
from tasks.params import Tracker

LOWEST_IOU: Final = 0.05 - np.finfo(float).eps
"""The lowest of HOTA's thresholds, taken as TrackEval takes it: what overlaps less is no match at any."""

Frame = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""One frame's boxes (N, 4) xyxy in pixels, scores (N,) and classes (N,)."""


class Track(Protocol):
    """What gives boxes their track ids, such as `tasks.models.tracking.track`."""

    def __call__(
        self, clips: Sequence[Sequence[Frame]], *, tracker: Tracker
    ) -> Sequence[Sequence[pd.arrays.IntegerArray]]:
        """For each clip and frame (N,) ids, null where a box has no track."""


def put_association(values: Values, clips: Sequence[Sequence[Moment]], resampler: Resampler) -> None:
    """Enter HOTA with oracle association.

    Args:
        values: of the cell.
        clips: what HOTA scores; left as they are.
        resampler: the clips' weights.
    """
    _put(values, ORACLE_ASSOCIATION, [with_true_ids(clip) for clip in clips], resampler)


def of_tracker(study: Study, track: Track, tracker: Tracker) -> Values:
    """HOTA with oracle detection.

    Args:
        study: the truth.
        track: what gives boxes their ids.
        tracker: its settings.
    """
    values = Values()
    _put(values, ORACLE_DETECTION, on_true_boxes(study.truth, track, tracker), study.resampler)
    return values


def _put(values: Values, metric: str, clips: Sequence[Sequence[Moment]], resampler: Resampler) -> None:
    value, resampled = hota(clips, resampler)
    values.put(tables.ALL, tables.ALL, {metric: value}, {} if resampled is None else {metric: resampled})


def hota(clips: Sequence[Sequence[Moment]], resampler: Resampler) -> tuple[float, Replicates | None]:
    """HOTA of all clips together and in every resample; NaN and None without truth."""
    metric = fast_hota()
    results = {place: {"hota": metric.eval_sequence(tracking.sequence(clip))} for place, clip in enumerate(clips)}
    sums = tracking.by_clip(results, len(clips), metrics=("hota",))
    resampled = tracking.hota_resampled(sums, resampler)
    if not resampled:
        return float("nan"), None
    together = metric.combine_sequences({str(place): found["hota"] for place, found in results.items()})
    return float(np.mean(together["HOTA"])), resampled["hota"]


def with_true_ids(clip: Sequence[Moment]) -> list[Moment]:
    """The same boxes with the identities of the objects that they lie on.

    In each frame those pairs of object and box are taken whose overlaps have the greatest sum, among pairs that overlap
    by HOTA's lowest threshold; each box left over is a track of its own.
    """
    from scipy.optimize import linear_sum_assignment

    lowest = min((int(moment.truth_ids.min()) for moment in clip if len(moment.truth_ids)), default=0)
    free = min(lowest, 0)  # ids below it are nobody's
    found = []
    for moment in clip:
        ids = free - 1 - np.arange(len(moment.track_ids), dtype=np.int64)
        free -= len(ids)
        near = np.where(moment.iou >= LOWEST_IOU, moment.iou, 0)
        rows, columns = linear_sum_assignment(near, maximize=True)
        real = near[rows, columns] > 0
        ids[columns[real]] = moment.truth_ids[rows[real]]
        found.append(replace(moment, track_ids=ids))
    return found


def on_true_boxes(truth: GroundTruth, track: Track, tracker: Tracker) -> list[list[Moment]]:
    """What a tracker makes of the true boxes, each with score 1, by clip.

    It sees the objects that count: neither crowds and ignored ones nor those without a track.
    """
    objects = truth.objects
    rows = np.flatnonzero(~objects.ignored & truth.tracked)
    given = Detections(
        objects.frame[rows], objects.kind[rows], objects.boxes[rows], np.ones(len(rows)), objects.area_px2[rows]
    )
    ends = np.searchsorted(given.frame, np.arange(len(truth.frame_ids) + 1))
    slices = [[slice(ends[frame], ends[frame + 1]) for frame in frames] for frames in moments.in_time(truth)]
    boxes, score = given.boxes.astype(np.float32), given.score.astype(np.float32)
    tracks = np.zeros(len(rows), dtype=np.int64)
    held = np.zeros(len(rows), dtype=bool)
    answers = track([[(boxes[at], score[at], given.kind[at]) for at in clip] for clip in slices], tracker=tracker)
    for clip, answer in zip(slices, answers, strict=True):
        for at, ids in zip(clip, answer, strict=True):
            tracks[at], held[at] = ids.to_numpy(np.int64, na_value=0), ~ids.isna()
    return [found for _, found in moments.clips(given.take(held), tracks[held], truth)]
