"""Multi-object tracking: HOTA, CLEAR and Identity by TrackEval's metric classes, in process.

Each clip is evaluated once, for all classes together and one by one; a slice combines the results of its clips as
TrackEval combines sequences (counts summed, AssA weighted by true positives).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.metrics.instances import Bools, Floats, Ints, box_iou
from tasks.metrics.resampling import Replicates, Resampler

MATCH_IOU: Final = 0.5
"""The overlap at which CLEAR and Identity, and the removal of ignored regions, match (TrackEval's default)."""

_TINY: Final = 1e-10
"""Keeps a ratio of nothing to nothing at 0."""

_SUMMED: Final[Mapping[str, tuple[str, ...]]] = {
    "hota": ("HOTA_TP", "HOTA_FN", "HOTA_FP", "AssA", "LocA"),
    "clear": ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "Frag", "MOTP_sum"),
    "identity": ("IDTP", "IDFN", "IDFP"),
}
"""TrackEval's fields, by metric, that clips add up."""

Result = dict[str, Any]
Results = dict[str, Result]


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame of a clip: boxes of truth and tracks with what they overlap.

    Attributes:
        truth_ids, track_ids: (G,) and (T,) ids, unique within the frame.
        truth_kinds, track_kinds: positions of classes.
        iou: (G, T).
    """

    truth_ids: Ints
    track_ids: Ints
    truth_kinds: Ints
    track_kinds: Ints
    iou: Floats

    def of(self, kind: int) -> "Moment":
        """The same frame with the boxes of one class alone."""
        truth, track = self.truth_kinds == kind, self.track_kinds == kind
        return Moment(
            self.truth_ids[truth],
            self.track_ids[track],
            self.truth_kinds[truth],
            self.track_kinds[track],
            self.iou[truth][:, track],
        )


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one frame: of truth (with crowd and ignored regions) or of tracks; (N,) and (N, 4) xyxy."""

    ids: Ints
    kinds: Ints
    boxes: Floats
    crowd: Bools
    ignored: Bools


def moment(truth: Boxes, tracks: Boxes) -> Moment:
    """One frame's truth and tracks without what falls on ignored regions.

    As TrackEval's preprocessing does (KITTI 2D): a track's box that an assignment of greatest overlap gives to an
    ignored object is removed; then each unmatched box that lies by more than half in a crowd; then the ignored truth.
    """
    keep = np.ones(len(tracks.ids), dtype=bool)
    everything = overlaps(truth.boxes, tracks.boxes)
    if truth.ignored.any() and len(keep):
        from scipy.optimize import linear_sum_assignment

        single = ~truth.crowd
        iou = np.where(everything >= MATCH_IOU, everything, 0)[single]
        rows, columns = linear_sum_assignment(-iou)
        matched = iou[rows, columns] > 0
        rows, columns = rows[matched], columns[matched]
        keep[columns[truth.ignored[single][rows]]] = False
        free = np.ones(len(keep), dtype=bool)
        free[columns] = False
        if truth.crowd.any():
            row, column = (part.ravel() for part in np.indices((int(truth.crowd.sum()), len(keep))))
            covered = box_iou(
                tracks.boxes[column], truth.boxes[truth.crowd][row], np.ones(len(row), dtype=bool)
            ).reshape(-1, len(keep))
            keep &= ~(free & (covered > MATCH_IOU).any(axis=0))
    counts = ~truth.ignored
    return Moment(
        truth.ids[counts],
        tracks.ids[keep],
        truth.kinds[counts],
        tracks.kinds[keep],
        everything[counts][:, keep],
    )


def overlaps(left: Floats, right: Floats) -> Floats:
    """(G, T) intersection over union of every pair."""
    pairs = np.repeat(left, len(right), axis=0), np.tile(right, (len(left), 1))
    return box_iou(*pairs).reshape(len(left), len(right))


def sequence(moments: Iterable[Moment]) -> Result:
    """A clip in TrackEval's form: ids counted from 0 within the clip, in order of their value."""
    moments = list(moments)
    truth = np.unique(np.concatenate([m.truth_ids for m in moments])) if moments else np.zeros(0, dtype=np.int64)
    track = np.unique(np.concatenate([m.track_ids for m in moments])) if moments else np.zeros(0, dtype=np.int64)
    return {
        "num_timesteps": len(moments),
        "num_gt_dets": sum(len(m.truth_ids) for m in moments),
        "num_tracker_dets": sum(len(m.track_ids) for m in moments),
        "num_gt_ids": len(truth),
        "num_tracker_ids": len(track),
        "gt_ids": [np.searchsorted(truth, m.truth_ids) for m in moments],
        "tracker_ids": [np.searchsorted(track, m.track_ids) for m in moments],
        "similarity_scores": [m.iou for m in moments],
    }


class Evaluator:
    """TrackEval's three metrics, made once."""

    def __init__(self) -> None:
        from tasks.metrics.hota import fast_hota

        quiet = {"PRINT_CONFIG": False, "THRESHOLD": MATCH_IOU}
        from trackeval.metrics import CLEAR, Identity

        self._metrics = {"hota": fast_hota(), "clear": CLEAR(quiet), "identity": Identity(quiet)}

    def clip(self, moments: Sequence[Moment]) -> Results:
        """The results of one clip, by metric."""
        data = sequence(moments)
        return {name: metric.eval_sequence(data) for name, metric in self._metrics.items()}

    def figures(self, clips: Mapping[str, Results]) -> dict[str, float]:
        """The figures of several clips together; NaN where there is no truth, or for what only matches have.

        MOTP and LocA are means over matched boxes: without any they are NaN, where TrackEval says 0 and 1.
        """
        names = ("hota", "deta", "assa", "loca", "mota", "motp", "idf1", "id_switches", "fragmentations")
        if not clips:
            return dict.fromkeys(names, float("nan"))
        together = {
            metric: evaluate.combine_sequences({clip: found[metric] for clip, found in clips.items()})
            for metric, evaluate in self._metrics.items()
        }
        hota, clear, identity = together["hota"], together["clear"], together["identity"]
        if hota["HOTA_TP"][0] + hota["HOTA_FN"][0] == 0:
            return dict.fromkeys(names, float("nan"))
        return {
            "hota": float(np.mean(hota["HOTA"])),
            "deta": float(np.mean(hota["DetA"])),
            "assa": float(np.mean(hota["AssA"])),
            "loca": float(np.mean(hota["LocA"])) if hota["HOTA_TP"].any() else float("nan"),
            "mota": float(clear["MOTA"]),
            "motp": float(clear["MOTP"]) if clear["CLR_TP"] else float("nan"),
            "idf1": float(identity["IDF1"]),
            "id_switches": float(clear["IDSW"]),
            "fragmentations": float(clear["Frag"]),
        }


def by_clip(
    clips: Mapping[int, Results], n_clips: int, metrics: Iterable[str] = ("hota", "clear", "identity")
) -> dict[tuple[str, str], Floats]:
    """The sums behind the figures by clip, (n_clips, ...): those of HOTA at each threshold; 0 for clips without any."""
    sums: dict[tuple[str, str], Floats] = {}
    for metric in metrics:
        for name in _SUMMED[metric]:
            sums[metric, name] = np.zeros((n_clips, 19) if metric == "hota" else (n_clips,))
            for place, found in clips.items():
                # AssA and LocA are means over matched boxes: TrackEval weights them by those.
                weight = found[metric]["HOTA_TP"] if name in ("AssA", "LocA") else 1
                sums[metric, name][place] = found[metric][name] * weight
    return sums


def resampled(
    sums: Mapping[tuple[str, str], Floats], resampler: Resampler, inside: Bools | None = None
) -> dict[str, Replicates]:
    """`Evaluator.figures` in every resample, combined as TrackEval combines sequences.

    Args:
        sums: from `by_clip`; the clip is the sampling unit.
        resampler: the units and their weights.
        inside: (n_clips,) the clips that count; None for all.
    """
    figures = hota_resampled(sums, resampler, inside)
    if not figures:
        return {}
    clear = {field: _total(sums["clear", field], resampler, inside) for field in _SUMMED["clear"]}
    kept, unkept, unreal = (_total(sums["identity", field], resampler, inside) for field in _SUMMED["identity"])
    found, lost, wrong = clear["CLR_TP"], clear["CLR_FN"], clear["CLR_FP"]
    # Counts are of as many clips as there are inside.
    weight = (resampler.weights if inside is None else resampler.weights[inside]).mean(axis=0)
    rest = {
        "mota": (found - wrong - clear["IDSW"]) / np.maximum(found + lost, _TINY),
        "idf1": kept / np.maximum(kept + unkept / 2 + unreal / 2, _TINY),
        "id_switches": clear["IDSW"] / weight,
        "fragmentations": clear["Frag"] / weight,
    }
    if found.any():
        rest["motp"] = clear["MOTP_sum"] / np.maximum(found, _TINY)
    return figures | {name: values.astype(np.float32) for name, values in rest.items()}


def hota_resampled(
    sums: Mapping[tuple[str, str], Floats], resampler: Resampler, inside: Bools | None = None
) -> dict[str, Replicates]:
    """HOTA, DetA, AssA and LocA in every resample; the arguments are those of `resampled`."""
    hits, missed, false, association, overlap = (
        _total(sums["hota", field], resampler, inside) for field in _SUMMED["hota"]
    )
    if not (hits[:, 0] + missed[:, 0]).any():
        return {}
    deta = hits / np.maximum(hits + missed + false, _TINY)
    assa = association / np.maximum(hits, _TINY)
    figures = {
        "hota": np.sqrt(deta * assa).mean(axis=1),
        "deta": deta.mean(axis=1),
        "assa": assa.mean(axis=1),
    }
    if hits.any():
        figures["loca"] = (np.maximum(overlap, _TINY) / np.maximum(hits, _TINY)).mean(axis=1)
    return {name: values.astype(np.float32) for name, values in figures.items()}


def _total(by_unit: Floats, resampler: Resampler, inside: Bools | None) -> Floats:
    return resampler.sums(by_unit if inside is None else (by_unit.T * inside).T)


@dataclass(frozen=True, eq=False)
class FrameEvents:
    """What CLEAR's matching finds in one frame.

    Attributes:
        matched: pairs of places in the frame's truth and tracks.
        switched: (place in truth, id before, id now) of each identity switch.
    """

    matched: npt.NDArray[np.int64]
    switched: tuple[tuple[int, int, int], ...]


def events(moments: Sequence[Moment]) -> list[FrameEvents]:
    """CLEAR's matches and identity switches frame by frame (TrackEval's CLEAR.eval_sequence keeps only their sums)."""
    from scipy.optimize import linear_sum_assignment

    before: dict[int, int] = {}  # the last track of each truth id
    previous: dict[int, int] = {}  # the same, of the last frame that had both truth and tracks
    found = []
    for m in moments:
        if not len(m.truth_ids) or not len(m.track_ids):
            found.append(FrameEvents(np.zeros((0, 2), dtype=np.int64), ()))
            continue
        held = np.array([previous.get(int(i), -1) for i in m.truth_ids])
        known = np.array([int(i) in previous for i in m.truth_ids])
        continued = known[:, None] & (held[:, None] == m.track_ids[None, :])
        score = 1000 * continued + m.iou
        score[m.iou < MATCH_IOU - np.finfo("float").eps] = 0
        rows, columns = linear_sum_assignment(-score)
        real = score[rows, columns] > np.finfo("float").eps
        rows, columns = rows[real], columns[real]
        switched = []
        previous = {}
        for row, column in zip(rows, columns, strict=True):
            truth, track = int(m.truth_ids[row]), int(m.track_ids[column])
            if truth in before and before[truth] != track:
                switched.append((int(row), before[truth], track))
            before[truth] = previous[truth] = track
        found.append(FrameEvents(np.column_stack([rows, columns]).astype(np.int64), tuple(switched)))
    return found
