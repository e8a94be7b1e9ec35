import numpy as np
import pandas as pd
import pytest

from tasks.exports import tracks

CLASSES = {1: "car", 2: "bus"}
IDS = [[1, None], [1, 2], [2], [1, 2, None]]
KINDS = [[1, 1], [2, 2], [2], [1, 2, 1]]


def detections() -> list[tracks.Detections]:
    found = []
    for frame, kinds in enumerate(KINDS):
        x = np.arange(len(kinds)) * 30.0 + frame
        boxes = np.column_stack([x, x, x + 20.5, x + 10]).astype(np.float32)
        scores = np.linspace(0.9, 0.4, len(kinds)).astype(np.float32)
        found.append((boxes, scores, np.array(kinds, dtype=np.int64)))
    return found


@pytest.fixture
def frames() -> list[list[tracks.Box]]:
    ids = [pd.array(row, dtype="Int64") for row in IDS]
    return tracks.boxes(detections(), ids, least_score=0.5)


def test_states_follow_a_track_from_frame_to_frame(frames: list[list[tracks.Box]]) -> None:
    assert [[(box.track, box.state) for box in here] for here in frames] == [
        [(1, "new")],  # the other box scores 0.4 and has no track
        [(1, "followed"), (2, "new")],
        [(2, "followed")],
        [(1, "found again"), (2, "followed")],
    ]
    plain = tracks.boxes(detections(), [pd.array(row, dtype="Int64") for row in IDS], least_score=0.4)
    assert [box.state for box in plain[3]] == ["found again", "followed", "no track"]


def test_lost_tracks_stand_where_they_were_last(frames: list[list[tracks.Box]]) -> None:
    gone = tracks.lost([*frames, [], []], for_frames=1)
    assert [[(box.track, box.box[0]) for box in here] for here in gone] == [
        [],
        [],
        [(1, 1.0)],
        [],
        [(1, 3.0), (2, 33.0)],
        [],
    ]


def test_mot_text_counts_frames_from_one(frames: list[list[tracks.Box]]) -> None:
    lines = tracks.mot(frames).splitlines()
    assert lines[0] == "1,1,0.00,0.00,20.50,10.00,0.9000,-1,-1,-1"
    assert [line.split(",")[:2] for line in lines] == [
        ["1", "1"],
        ["2", "1"],
        ["2", "2"],
        ["3", "2"],
        ["4", "1"],
        ["4", "2"],
    ]


def test_the_document_sums_up_tracks_and_the_log_tells_of_boxes(frames: list[list[tracks.Box]]) -> None:
    assert tracks.document(frames, CLASSES)["tracks"] == [
        {"id": 1, "class": "car", "first_frame": 0, "last_frame": 3, "n_boxes": 3, "gaps": 1, "mean_score": 0.9},
        {"id": 2, "class": "bus", "first_frame": 1, "last_frame": 3, "n_boxes": 3, "gaps": 0, "mean_score": 0.65},
    ]
    log = tracks.log(frames, CLASSES)["log"]
    assert [entry["frame"] for entry in log] == [0, 1, 2, 3]
    assert log[2]["boxes"] == [
        {"id": 2, "state": "followed", "class": "bus", "score": 0.9, "box": [2.0, 2.0, 22.5, 12.0]}
    ]
