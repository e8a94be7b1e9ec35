"""Kinds of error and their evidence on scenes drawn by hand."""

import numpy as np
import pytest

from tasks.metrics import examples, tracking
from tasks.metrics.instances import Detections, Truth

NAMES = ["car", "bus"]
BOXES = {"a": [0, 0, 10, 10], "b": [30, 0, 40, 10], "half": [4, 0, 14, 10], "far": [80, 80, 90, 90]}


def told(truth, found, threshold=0.5, ignored=()):
    """truth: (box, class); found: (box, class, score); the one frame's row."""
    there = np.array([name in ignored for name, _ in truth], dtype=bool)
    boxes = np.array([BOXES[name] for name, _ in truth], dtype=float).reshape(-1, 4)
    rows = examples.of_detection(
        Truth(
            np.zeros(len(truth), dtype=np.int64),
            np.array([NAMES.index(kind) for _, kind in truth], dtype=np.int64),
            boxes,
            np.full(len(truth), 100.0),
            np.zeros(len(truth), dtype=bool),
            there,
        ),
        Detections(
            np.zeros(len(found), dtype=np.int64),
            np.array([NAMES.index(kind) for _, kind, _ in found], dtype=np.int64),
            np.array([BOXES[name] for name, _, _ in found], dtype=float).reshape(-1, 4),
            np.array([score for _, _, score in found], dtype=float),
            np.full(len(found), 100.0),
        ),
        threshold=threshold,
        names=NAMES,
        n_frames=1,
        tags={"occluded": np.array([name == "b" for name, _ in truth], dtype=bool)},
    )
    return rows.score[0], rows.error_kind[0], rows.evidence[0]


@pytest.mark.parametrize(
    ("truth", "found", "score", "kind", "evidence"),
    [
        ([], [], 1, None, "nothing there, nothing reported"),
        ([("a", "car")], [("a", "car", 0.9)], 1, None, "all 1 found, no false alarm"),
        ([("a", "car")], [("a", "car", 0.4)], 0, "miss", "1 of 1 missed: no box on a car"),
        (
            [("a", "car"), ("b", "bus")],
            [("a", "car", 0.9)],
            2 / 3,
            "miss",
            "1 of 2 missed: no box on a bus (occluded)",
        ),
        (
            [("a", "car")],
            [("half", "car", 0.9)],
            0,
            "poor_box",
            "1 of 1 missed, 1 false alarm: box IoU 0.43 on a car",
        ),
        (
            [("a", "car")],
            [("a", "bus", 0.9)],
            0,
            "wrong_class",
            "1 of 1 missed, 1 false alarm: a car taken for bus at IoU 1.00",
        ),
        (
            [("a", "car")],
            [("a", "car", 0.9), ("a", "car", 0.8)],
            2 / 3,
            "duplicate",
            "all 1 found, 1 false alarm: a second box on a car at 0.80",
        ),
        ([], [("far", "bus", 0.7)], 0, "false_positive", "1 false alarm: a bus at 0.70 where none is"),
    ],
)
def test_a_frame_of_boxes(truth, found, score, kind, evidence):
    assert told(truth, found) == (pytest.approx(score), kind, evidence)


def test_an_ignored_object_is_neither_missed_nor_a_false_alarm():
    assert told([("a", "car")], [("a", "car", 0.9)], ignored={"a"})[:2] == (1, None)
    assert told([("a", "car")], [], ignored={"a"})[:2] == (1, None)


def moment(truth, tracks):
    """One frame: ids by the name of their box."""

    def boxes(given):
        none = np.zeros(len(given), dtype=bool)
        places = np.array([BOXES[name] for name in given.values()], dtype=float).reshape(-1, 4)
        return tracking.Boxes(np.array(list(given), dtype=np.int64), none.astype(np.int64), places, none, none)

    return tracking.moment(boxes(truth), boxes(tracks))


def test_frames_of_a_clip_tell_switches_misses_and_strays():
    clip = [
        moment({1: "a", 2: "b"}, {7: "a", 8: "b"}),
        moment({1: "a", 2: "b"}, {9: "a", 8: "b"}),
        moment({1: "a", 2: "b"}, {9: "a"}),
        moment({}, {5: "far"}),
        moment({}, {}),
    ]
    rows = examples.of_tracking([(np.arange(5), clip)], [tracking.events(clip)], NAMES)
    assert rows.score == pytest.approx([1, 0.5, 2 / 3, 0, 1])
    assert rows.error_kind == [None, "id_switch", "miss", "false_positive", None]
    assert rows.evidence == [
        "all 2 tracked",
        "car 1: track 7 became 9",
        "1 of 2 without a track",
        "1 track on nothing",
        "nothing there, nothing tracked",
    ]
