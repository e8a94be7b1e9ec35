"""Alarms: events that rest on several frames, and how late, how often wrongly and how steadily they come.

An event of the truth is a track: an id of one class in one clip. A model raises an alarm for one of its tracks at the
first frame at which at least `needed` of the clip's last `window` frames hold a box of that track and class that
scores enough. The alarm is true when at least half of those boxes found truth (the matching of boxes at IoU 0.5); then
it detects the truth track that most of them found, of equals the one found first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.resampling import Replicates, Resampler


@dataclass(frozen=True, eq=False)
class Seen:
    """Boxes of tracks, (N,) each.

    Attributes:
        clip: position of the clip.
        moment: place of the frame within its clip, from 0.
        track: id, of one box a frame.
        kind: position of the class.
    """

    clip: Ints
    moment: Ints
    track: Ints
    kind: Ints

    def take(self, chosen: Bools | Ints) -> "Seen":
        """Those chosen by a mask or by positions."""
        return Seen(self.clip[chosen], self.moment[chosen], self.track[chosen], self.kind[chosen])

    def grouped(self) -> tuple[Ints, Ints]:
        """The order by clip, track, class and moment, and for each place of that order the number of its track."""
        order = np.lexsort((self.moment, self.kind, self.track, self.clip))
        keys = np.stack([self.clip, self.track, self.kind])[:, order]
        group = np.cumsum(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)][: len(order)]) - 1
        return order, group.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Events:
    """The tracks of the truth, (T,) each.

    Attributes:
        clip, kind: of each.
        first: the moment at which it is first there.
        long: it is there for long enough to give the evidence.
    """

    clip: Ints
    kind: Ints
    first: Ints
    long: Bools


@dataclass(frozen=True, eq=False)
class Alarms:
    """Alarms, (A,) each.

    Attributes:
        clip, kind, track, moment: whose, and when.
        true: whether half of the evidence found truth.
        event: the truth track that it detects, -1 where it is false.
    """

    clip: Ints
    kind: Ints
    track: Ints
    moment: Ints
    true: Bools
    event: Ints


def events(truth: Seen, needed: int, window: int) -> tuple[Events, Ints]:
    """The tracks of the truth, and (N,) which of them each box is of."""
    order, group = truth.grouped()
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    n_events = len(starts)
    long = np.zeros(n_events, dtype=bool)
    long[group[_reached(group, truth.moment[order], needed, window)]] = True
    event_of = np.empty(len(order), dtype=np.int64)
    event_of[order] = group
    first = order[starts]
    return Events(truth.clip[first], truth.kind[first], truth.moment[first], long), event_of


def raised(boxes: Seen, event: Ints, needed: int, window: int) -> Alarms:
    """The alarm of each track of a model that raises one.

    Args:
        boxes: those of its tracks that score enough.
        event: (N,) the truth track that each found, -1 for none.
        needed: M, frames with a box.
        window: N, frames looked back on, at least M.
    """
    order, group = boxes.grouped()
    reached = _reached(group, boxes.moment[order], needed, window)
    last = reached[np.unique(group[reached], return_index=True)[1]]
    # At the first such frame there are just `needed` boxes: their number grows by one a frame.
    found = event[order][last[:, None] + np.arange(1 - needed, 1)]
    true = 2 * (found >= 0).sum(axis=1) >= needed
    votes = ((found[:, :, None] == found[:, None, :]) & (found >= 0)[:, :, None]).sum(axis=2)
    detected = found[np.arange(len(found)), votes.argmax(axis=1)]
    at = boxes.take(order[last])
    return Alarms(at.clip, at.kind, at.track, at.moment, true, np.where(true, detected, -1))


def _reached(group: Ints, moment: Ints, needed: int, window: int) -> Ints:
    """The places, of boxes ordered by track and moment, at which the last `window` frames hold `needed` of a track."""
    last = np.arange(needed - 1, len(group))
    first = last - (needed - 1)
    reached: Ints = last[(group[last] == group[first]) & (moment[last] - moment[first] < window)]
    return reached


def jumps(boxes: Seen, event: Ints, error: Floats) -> tuple[Seen, Floats]:
    """How far the error of a box's centre jumps from one frame to the next.

    Our own definition of a box's unrest: a constant offset is none, as the eye sees none. Zhang and Wang (On the
    stability of video detection and tracking, 2016) take the spread of the offsets over a whole track instead, which a
    slow drift raises as well.

    Args:
        boxes: of a model's tracks.
        event: (N,) the truth track that each found, -1 for none.
        error: (N, 2) box centre minus truth centre, in diagonals of the truth box.

    Returns:
        The later box of each two of one track that found the same truth in neighbouring frames, and the length of the
        change of `error` between them.
    """
    some = np.flatnonzero(event >= 0)
    boxes, event, error = boxes.take(some), event[some], error[some]
    order, group = boxes.grouped()
    same = (group[1:] == group[:-1]) & (event[order[1:]] == event[order[:-1]])
    same &= np.diff(boxes.moment[order]) == 1
    later, before = order[1:][same], order[:-1][same]
    return boxes.take(later), np.linalg.norm(error[later] - error[before], axis=1)


@dataclass(frozen=True, eq=False)
class Sums:
    """What the figures are ratios of: by metric, numerator and denominator, (n_clips, 1 + n_classes), all first.

    A ratio is not defined where its denominator is 0 or NaN.
    """

    ratios: Mapping[str, tuple[Floats, Floats]]

    def figures(self) -> dict[str, Floats]:
        """(1 + n_classes,) each."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: above.sum(axis=0) / below.sum(axis=0) for name, (above, below) in self.ratios.items()}

    def resampled(self, resampler: Resampler) -> dict[str, list[Replicates | None]]:
        """The same in every resample. None where nothing was counted: resampling would show a rate of 0 as certain.

        A share of events keeps its resamples, for `study` knows what to make of one that is 0 or 1.
        """
        found: dict[str, list[Replicates | None]] = {}
        for name, (above, below) in self.ratios.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                values = (resampler.sums(above) / resampler.sums(below)).astype(np.float32)
            known = [name == "missed_events" or bool(column.any()) for column in above.T]
            found[name] = [values[:, place] if there else None for place, there in enumerate(known)]
        return found


def sums(
    there: Events,
    alarms: Alarms,
    jumped: tuple[Seen, Floats],
    switches: Floats,
    n_frames: Ints,
    frame_s: Floats,
) -> Sums:
    """Everything that a cell's figures are ratios of.

    - missed_events: share of the truth tracks that are there for long enough, that no alarm detects;
    - time_to_detect_frames, _s: of those detected, from the first frame with truth to the first alarm;
    - false_alarms_per_1000_frames, _per_minute;
    - switches_per_200_frames: identity switches as CLEAR counts them, whatever the score;
    - jitter: mean of `jumps`.

    Args:
        there: from `events`.
        alarms: from `raised`.
        jumped: from `jumps`.
        switches: (n_clips, 1 + n_classes) of all classes together, then of each.
        n_frames: (n_clips,).
        frame_s: (n_clips,) seconds from frame to frame, NaN where unknown: figures in seconds leave such clips out.
    """
    n_clips, n_columns = switches.shape

    def counted(clip: Ints, kind: Ints, amounts: npt.NDArray[np.floating] | None = None) -> Floats:
        by_class = np.bincount(clip * (n_columns - 1) + kind, amounts, n_clips * (n_columns - 1))
        by_class = by_class.reshape(n_clips, -1).astype(float)
        return np.hstack([by_class.sum(axis=1, keepdims=True), by_class])

    known = np.isfinite(frame_s)[:, None]
    seconds = np.nan_to_num(frame_s)
    true = np.flatnonzero(alarms.true)
    true = true[np.lexsort((alarms.moment[true], alarms.event[true]))]
    event, first = np.unique(alarms.event[true], return_index=True)
    at = alarms.moment[true[first]]
    event, at = event[there.long[event]], at[there.long[event]]
    detected = counted(there.clip[event], there.kind[event])
    delays = (at - there.first[event]).astype(float)
    eligible = counted(there.clip[there.long], there.kind[there.long])
    wrong = counted(alarms.clip[~alarms.true], alarms.kind[~alarms.true])
    frames = np.repeat(n_frames[:, None].astype(float), n_columns, axis=1)
    later, lengths = jumped
    return Sums(
        {
            "missed_events": (eligible - detected, eligible),
            "time_to_detect_frames": (counted(there.clip[event], there.kind[event], delays), detected),
            "time_to_detect_s": (
                counted(there.clip[event], there.kind[event], delays * seconds[there.clip[event]]),
                detected * known,
            ),
            "false_alarms_per_1000_frames": (wrong * 1000, frames),
            "false_alarms_per_minute": (wrong * 60 * known, frames * seconds[:, None]),
            "switches_per_200_frames": (switches * 200, frames),
            "jitter": (counted(later.clip, later.kind, lengths), counted(later.clip, later.kind)),
        }
    )
