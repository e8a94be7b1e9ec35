"""Each clip of the scored frames in time order, with truth and tracks frame by frame."""

import numpy as np

from tasks.errors import InputError
from tasks.metrics import tracking
from tasks.metrics.instances import Detections, Ints
from tasks.metrics.truth import GroundTruth

Clip = tuple[Ints, list[tracking.Moment]]
"""The positions of a clip's frames, and what is in them."""


def in_time(truth: GroundTruth) -> list[Ints]:
    """By clip, the positions of its frames in time order."""
    order = np.lexsort((truth.frames["frame_index"].to_numpy(np.int64), truth.clip_of))
    ends = np.searchsorted(truth.clip_of[order], np.arange(1, len(truth.clips)))
    return [part.astype(np.int64) for part in np.split(order, ends)]


def clips(found: Detections, tracks: Ints, truth: GroundTruth) -> list[Clip]:
    """What tracking is measured on; truth without a track id is an ignored region.

    Args:
        found: boxes that a track holds.
        tracks: (N,) their track ids.
        truth: what against.

    Raises:
        InputError: a frame holds a track id twice.
    """
    objects, n_frames = truth.objects, len(truth.frame_ids)
    order = np.argsort(found.frame, kind="stable")
    found, tracks = found.take(order), tracks[order]
    track_ends = np.searchsorted(found.frame, np.arange(n_frames + 1))
    truth_ends = np.searchsorted(objects.frame, np.arange(n_frames + 1))
    ignored = objects.ignored | ~truth.tracked
    result = []
    for clip, frames in enumerate(in_time(truth)):
        moments = []
        for frame in frames:
            theirs = slice(track_ends[frame], track_ends[frame + 1])
            there = slice(truth_ends[frame], truth_ends[frame + 1])
            none = np.zeros(theirs.stop - theirs.start, dtype=bool)
            given = tracking.Boxes(tracks[theirs], found.kind[theirs], found.boxes[theirs], none, none)
            true = tracking.Boxes(
                truth.tracks[there], objects.kind[there], objects.boxes[there], objects.crowd[there], ignored[there]
            )
            for side, ids in (("truth", true.ids[~true.ignored]), ("predictions", given.ids)):
                if len(set(ids.tolist())) != len(ids):
                    raise InputError(
                        f"The {side} of clip {truth.clips[clip]}, frame {truth.frame_ids[frame]}, hold a track id "
                        "twice: an id names one object of a frame."
                    )
            moments.append(tracking.moment(true, given))
        result.append((frames, moments))
    return result
