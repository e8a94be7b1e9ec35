"""What each frame of a cell shows: a score from 0 to 1, the kind of error and a sentence of evidence with numbers.

The gallery picks its pictures from these rows, the report quotes the sentences.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.metrics import matching, segmentation, tracking
from tasks.metrics.classification import answered
from tasks.metrics.instances import Bools, Detections, Ints, Truth, join, overlap

POOR_IOU: Final = 0.1
"""A box of the right class that overlaps by this much but less than MATCH_IOU is a poor box, below it is elsewhere."""

MATCH_IOU: Final = 0.5

_SHOWN: Final = 2  # errors told one by one in a sentence

_ORDER: Final = ("wrong_class", "poor_box", "miss", "duplicate", "false_positive")  # which of equally frequent kinds


@dataclass
class Examples:
    """Rows of the table `examples` for one task of one cell."""

    frame: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    error_kind: list[str | None] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)

    def add(self, frame: int, score: float, kind: str | None, evidence: str) -> None:
        """Add a row; `frame` is a position."""
        self.frame.append(frame)
        self.score.append(score)
        self.error_kind.append(kind)
        self.evidence.append(evidence)


def of_detection(
    truth: Truth,
    found: Detections,
    *,
    threshold: float,
    names: Sequence[str],
    n_frames: int,
    tags: dict[str, npt.NDArray[np.bool_]],
    masks: bool = False,
) -> Examples:
    """F1 at IoU 0.5 of each frame over the detections that reach `threshold`; 1 where nothing is there nor reported."""
    shape = "mask" if masks else "box"
    kept = found.take(found.score >= threshold)
    pairs = matching.candidates(truth, kept, len(names), masks=masks)
    kept = pairs.detections
    partner = matching.assign(pairs, truth.ignored)[0]
    matched = partner >= 0
    hit = matched & ~truth.ignored[partner] if len(truth) else matched
    taken = np.zeros(len(truth), dtype=bool)
    taken[partner[matched]] = True
    missed = np.flatnonzero(~taken & ~truth.ignored)
    stray = np.flatnonzero(~matched)
    n_hit, n_missed, n_stray, n_truth = (
        np.bincount(frames, minlength=n_frames)
        for frames in (kept.frame[hit], truth.frame[missed], kept.frame[stray], truth.frame[~truth.ignored])
    )
    causes, explained = _causes(truth, kept, missed, stray, masks=masks)
    stories: dict[int, list[tuple[str, str]]] = {}
    for (kind, other, iou), place in zip(causes, missed, strict=True):
        name = names[truth.kind[place]]
        if kind == "wrong_class":
            told = f"a {name} taken for {names[kept.kind[other]]} at IoU {iou:.2f}"
        elif kind == "poor_box":
            told = f"{shape} IoU {iou:.2f} on a {name}"
        else:
            told = f"no {shape} on a {name}"
        marks = [tag for tag, values in tags.items() if values[place]]
        stories.setdefault(int(truth.frame[place]), []).append(
            (kind, told + (f" ({', '.join(marks)})" if marks else ""))
        )
    doubled = _doubled(truth, kept, stray, taken & ~truth.ignored, masks=masks)
    for place, again in zip(stray, doubled, strict=True):
        if place in explained:
            continue
        name, score = names[kept.kind[place]], kept.score[place]
        told = f"a second {shape} on a {name} at {score:.2f}" if again else f"a {name} at {score:.2f} where none is"
        stories.setdefault(int(kept.frame[place]), []).append(("duplicate" if again else "false_positive", told))
    rows = Examples()
    for frame in range(n_frames):
        wrong = int(n_missed[frame] + n_stray[frame])
        total = 2 * int(n_hit[frame]) + wrong
        score = 2 * int(n_hit[frame]) / total if total else 1.0
        rows.add(
            frame, score, *_tell(stories.get(frame, []), int(n_truth[frame]), int(n_missed[frame]), int(n_stray[frame]))
        )
    return rows


def _tell(stories: list[tuple[str, str]], n_truth: int, n_missed: int, n_stray: int) -> tuple[str | None, str]:
    if not stories:
        return None, f"all {n_truth} found, no false alarm" if n_truth else "nothing there, nothing reported"
    counts = Counter(kind for kind, _ in stories)
    kind = min(counts, key=lambda name: (-counts[name], _ORDER.index(name)))
    told = [text for _, text in sorted(stories, key=lambda story: story[0] != kind)][:_SHOWN]
    head = [f"{n_missed} of {n_truth} missed"] if n_missed else [f"all {n_truth} found"] if n_truth else []
    if n_stray:
        head.append(f"{n_stray} false alarm{'s' if n_stray > 1 else ''}")
    return kind, f"{', '.join(head)}: {'; '.join(told)}"


def _causes(
    truth: Truth, found: Detections, missed: Ints, stray: Ints, *, masks: bool
) -> tuple[list[tuple[str, int, float]], set[int]]:
    """Why each missed object was missed (kind, detection, overlap), and the stray detections that this explains."""
    row, column = join(truth.frame[missed], found.frame[stray])
    row, column = missed[row], stray[column]
    iou = overlap(found, truth, column, row, masks=masks)
    same = truth.kind[row] == found.kind[column]
    wrong_class = ~same & (iou >= MATCH_IOU)
    poor = same & (iou >= POOR_IOU)
    best: dict[int, tuple[str, int, float]] = {}
    for place in np.flatnonzero(wrong_class | poor)[np.argsort(-iou[wrong_class | poor], kind="stable")]:
        kind = "wrong_class" if wrong_class[place] else "poor_box"
        best.setdefault(int(row[place]), (kind, int(column[place]), float(iou[place])))
    causes = [best.get(int(place), ("miss", -1, 0.0)) for place in missed]
    return causes, {other for _, other, _ in causes if other >= 0}


def _doubled(truth: Truth, found: Detections, stray: Ints, taken: Bools, *, masks: bool) -> Bools:
    """Whether each stray detection lies on an object of its class that another one has found."""
    there = np.flatnonzero(taken)
    row, column = join(found.frame[stray], truth.frame[there])
    again = overlap(found, truth, stray[row], there[column], masks=masks) >= MATCH_IOU
    again &= found.kind[stray[row]] == truth.kind[there[column]]
    doubled = np.zeros(len(stray), dtype=bool)
    doubled[row[again]] = True
    return doubled


def of_classification(scores: npt.NDArray[np.float32], labels: Ints, names: Sequence[str]) -> Examples:
    """1 where the label is right, else 0, of every labelled frame."""
    rows = Examples()
    for frame in np.flatnonzero(labels >= 0):
        best, true = int(answered(scores[frame : frame + 1])[0]), int(labels[frame])
        right = best == true
        sure = "none of the data set's classes" if best < 0 else f"{names[best]} at {float(scores[frame, best]):.2f}"
        told = f"{sure}, as it is" if right else f"{sure}, is {names[true]} ({max(float(scores[frame, true]), 0):.2f})"
        rows.add(int(frame), float(right), None if right else "wrong_label", told)
    return rows


@dataclass
class Confusions:
    """The greatest confusion of each frame, gathered while its pixels are counted."""

    names: Sequence[str]
    told: dict[int, str] = field(default_factory=dict)

    def put(self, frame: int, confusion: Ints) -> None:
        """Enter a frame's confusion matrix (n_classes, n_classes + 1)."""
        wrong = confusion.copy()
        np.fill_diagonal(wrong, 0)
        if not wrong.any():
            return
        true, read = divmod(int(wrong.argmax()), wrong.shape[1])
        share = wrong[true, read] / confusion[true].sum()
        other = self.names[read] if read < len(self.names) else "another class"
        self.told[frame] = f"{share:.0%} of {self.names[true]} read as {other}"


def of_semantic(counts: segmentation.Counts, confusions: Confusions) -> Examples:
    """Mean IoU over the classes present, of every frame with truth."""
    rows = Examples()
    iou, present = segmentation.frame_iou(counts), (counts.truth > 0).sum(axis=1)
    for frame in np.flatnonzero(~np.isnan(iou)):
        told = confusions.told.get(int(frame))
        text = f"mean IoU {iou[frame]:.2f} over {present[frame]} classes; {told or 'every pixel right'}"
        rows.add(int(frame), float(iou[frame]), "confusion" if told else None, text)
    return rows


def of_tracking(
    clips: Sequence[tuple[Ints, Sequence[tracking.Moment]]],
    events: Sequence[Sequence[tracking.FrameEvents]],
    names: Sequence[str],
) -> Examples:
    """F1 of each frame over matches that keep their identity (CLEAR's matching at IoU 0.5), of every frame.

    Args:
        clips: for each clip the positions of its frames in time order, and the frames.
        events: of each clip, from `tracking.events`.
        names: of the classes.
    """
    rows = Examples()
    for (frames, moments), happened in zip(clips, events, strict=True):
        for frame, moment, event in zip(frames, moments, happened, strict=True):
            n_truth, n_tracks = len(moment.truth_ids), len(moment.track_ids)
            missed, false = n_truth - len(event.matched), n_tracks - len(event.matched)
            kept = len(event.matched) - len(event.switched)
            score = 2 * kept / (n_truth + n_tracks) if n_truth + n_tracks else 1.0
            told = [
                f"{names[moment.truth_kinds[place]]} {moment.truth_ids[place]}: track {before} became {now}"
                for place, before, now in event.switched
            ]
            kind = "id_switch" if told else None
            told = told[:_SHOWN] + ([f"{len(told) - _SHOWN} more switches"] if len(told) > _SHOWN else [])
            if missed:
                told.append(f"{missed} of {n_truth} without a track")
            if false:
                told.append(f"{false} track{'s' if false > 1 else ''} on nothing")
            if kind is None and (missed or false):
                kind = "miss" if missed >= false else "false_positive"
            right = f"all {n_truth} tracked" if n_truth else "nothing there, nothing tracked"
            rows.add(int(frame), score, kind, "; ".join(told) or right)
    return rows
