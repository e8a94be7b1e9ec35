"""Identity switches one by one, as CLEAR counts them, each with its circumstance.

The circumstance is what the frames from the object's last match to the switch, both included, say:

- `re_entry`: in between it was absent from the truth, not annotated or ignored, for at least one frame.
- `crossing`: it exchanged tracks with another object, or its box overlaps that of an object which held one of the two
  tracks in that time.
- `occlusion`: it was hidden, see `Annotations.hidden`.
- `missed`: no track was on it for at least one frame in between.
- `none`: it was in plain view and tracked in the frame before.

The first that holds is given, for the later ones mostly follow from the earlier: who is away is not found, who crosses
is hidden, who is hidden is missed. What is absent nobody can find, so that comes first. A crossing comes before an
occlusion, for there the ids name the other object, while hidden objects also switch to tracks of their own.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from tasks.metrics.instances import Bools, Floats, Ints
from tasks.metrics.moments import Clip
from tasks.metrics.tracking import FrameEvents, Moment
from tasks.metrics.truth import GroundTruth

CIRCUMSTANCES: Final = ("re_entry", "crossing", "occlusion", "missed", "none")
"""In the order of precedence."""

HIDDEN_SHARE: Final = 0.5
"""An object is hidden when more of it is: the cut that the slices of `occlusion` make."""

HIDDEN_TAG: Final = "occluded"
"""The tag of objects that says the same, at the data set's own share."""

_History = list[tuple[int, int]]
"""(time, track) of each match of one object, times rising."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """Annotated objects with what is known of their being hidden, (N,) each.

    Attributes:
        frame: position of the frame; ascending.
        tracks: track id; meaningless where an object does not count.
        boxes: (N, 4) xyxy.
        counts: is neither ignored nor without a track.
        crowd: is a region of many.
        occlusion: hidden share 0..1; NaN where nobody said.
        tagged: carries the tag `occluded`.
    """

    frame: Ints
    tracks: Ints
    boxes: Floats
    counts: Bools
    crowd: Bools
    occlusion: Floats
    tagged: Bools

    @classmethod
    def of(cls, truth: GroundTruth) -> "Annotations":
        """Those of a data set."""
        objects = truth.objects
        return cls(
            frame=objects.frame,
            tracks=truth.tracks,
            boxes=objects.boxes,
            counts=~objects.ignored & truth.tracked,
            crowd=objects.crowd,
            occlusion=truth.occlusion,
            tagged=truth.tags.get(HIDDEN_TAG, np.zeros(len(objects), dtype=bool)),
        )

    def around(self, frame: int, track: int) -> tuple[bool, set[int]]:
        """Whether an object that counts is hidden in a frame, and which others that count its box overlaps.

        Hidden is what carries the tag or an annotated share above HIDDEN_SHARE. Where no share is annotated, so
        is an object of whose box another one, ignored ones included but no crowd, covers as much: which of the two
        stands in front is then unknown.
        """
        start, stop = np.searchsorted(self.frame, [frame, frame + 1])
        here = slice(int(start), int(stop))
        own = int(np.flatnonzero(self.counts[here] & (self.tracks[here] == track))[0])
        boxes, place = self.boxes[here], int(start) + own
        ends = np.minimum(boxes[:, 2:], boxes[own, 2:]) - np.maximum(boxes[:, :2], boxes[own, :2])
        shared = np.clip(ends, 0, None).prod(axis=1)
        shared[own] = 0
        met = set(self.tracks[here][self.counts[here] & (shared > 0)].tolist())
        hidden = bool(self.tagged[place])
        if np.isnan(self.occlusion[place]):
            area = (boxes[own, 2:] - boxes[own, :2]).prod()
            hidden |= bool((shared[~self.crowd[here]] > HIDDEN_SHARE * area).any())
        else:
            hidden |= bool(self.occlusion[place] > HIDDEN_SHARE)
        return hidden, met


@dataclass(frozen=True)
class Switch:
    """One identity switch.

    Attributes:
        frame: position of the frame.
        true_track: the object's own id.
        track_before, track_now: ids of tracks.
        kind: position of the object's class.
        circumstance: one of CIRCUMSTANCES.
    """

    frame: int
    true_track: int
    track_before: int
    track_now: int
    kind: int
    circumstance: str


def rows(
    clips: Sequence[Clip], events: Sequence[Sequence[FrameEvents]], truth: GroundTruth, names: Sequence[str]
) -> pd.DataFrame:
    """Rows of the table `switches`, by clip and time.

    Args:
        clips: what tracking is measured on.
        events: of each clip, from `tracking.events`.
        truth: what the clips were made from.
        names: of the classes.
    """
    objects = Annotations.of(truth)
    found = [
        (clip, switch)
        for clip, ((frames, moments), happened) in enumerate(zip(clips, events, strict=True))
        for switch in of_clip(frames, moments, happened, objects)
    ]
    return pd.DataFrame(
        {
            "clip_id": pd.Series([truth.clips[clip] for clip, _ in found], dtype=object),
            "frame_id": truth.frame_ids[np.array([switch.frame for _, switch in found], dtype=np.int64)],
            "true_track": np.array([switch.true_track for _, switch in found], dtype=np.int64),
            "track_before": np.array([switch.track_before for _, switch in found], dtype=np.int64),
            "track_now": np.array([switch.track_now for _, switch in found], dtype=np.int64),
            "class": pd.Series([names[switch.kind] for _, switch in found], dtype=object),
            "circumstance": pd.Series([switch.circumstance for _, switch in found], dtype=object),
        }
    )


def of_clip(
    frames: Ints, moments: Sequence[Moment], events: Sequence[FrameEvents], objects: Annotations
) -> Iterator[Switch]:
    """The identity switches of one clip in time order.

    Args:
        frames: (n_frames,) positions of the clip's frames, as `Annotations.frame` counts.
        moments: what is in them.
        events: from `tracking.events`.
        objects: the truth that the moments were made from.
    """
    if not any(event.switched for event in events):
        return
    there: dict[int, list[int]] = {}
    histories: dict[int, _History] = {}
    for time, (moment, event) in enumerate(zip(moments, events, strict=True)):
        for track in moment.truth_ids.tolist():
            there.setdefault(track, []).append(time)
        for row, column in event.matched.tolist():
            histories.setdefault(int(moment.truth_ids[row]), []).append((time, int(moment.track_ids[column])))
    for now, (moment, event) in enumerate(zip(moments, events, strict=True)):
        for row, before, track in event.switched:
            true = int(moment.truth_ids[row])
            last = histories[true][_matches(histories[true], now - 1) - 1][0]
            lapse = now - last - 1
            seen = bisect_right(there[true], now - 1) - bisect_right(there[true], last)
            hidden, met = False, set()
            if seen == lapse:
                for frame in frames[last : now + 1]:
                    covered, others = objects.around(int(frame), true)
                    hidden |= covered
                    met |= others
            if seen < lapse:
                circumstance = "re_entry"
            elif any(
                _crossed(history, last, now, before, track, overlap=other in met)
                for other, history in histories.items()
                if other != true
            ):
                circumstance = "crossing"
            elif hidden:
                circumstance = "occlusion"
            else:
                circumstance = "missed" if lapse else "none"
            yield Switch(int(frames[now]), true, before, track, int(moment.truth_kinds[row]), circumstance)


def _matches(history: _History, time: int) -> int:
    """How many matches there were up to a time, itself included."""
    return bisect_right(history, time, key=lambda match: match[0])


def _crossed(history: _History, last: int, now: int, before: int, track: int, *, overlap: bool) -> bool:
    """Whether another object, with this history, took part in a switch from one track to another.

    Args:
        history: the other's matches.
        last: when the object that switched was matched before.
        now: when it switched.
        before: its track then.
        track: its track now.
        overlap: whether the two boxes overlapped in that time.
    """
    first = _matches(history, last)
    held = [own for _, own in history[max(first - 1, 0) : _matches(history, now)]]  # from its last match on
    exchanged = first > 0 and held[0] == track and held[-1] == before
    return exchanged or (overlap and (before in held or track in held))
