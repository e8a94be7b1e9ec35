"""policy.json applied to new footage, against a count by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import tables
from tasks.errors import InputError
from tasks.monitoring.policy import ADVICE, Policy, clean_abstention, condition, decisions, read

ROOT = Path(__file__).parents[3]
POLICY = Policy(
    thresholds={"car": (0.5, 0.2), "bus": (np.inf, 0.4), "van": (np.inf, np.inf)},
    cells={("fog", 1): "act", ("fog", 4): "observe", ("snow", 5): "fall_back"},
    slices={"camera=west": "observe", "camera=north": "act"},
)
NOTHING = pd.DataFrame(
    {"frame": pd.Series(dtype=int), "class": pd.Series(dtype=object), "score": pd.Series(dtype=float)}
)


def boxes(*rows: tuple[int, str | None, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["frame", "class", "score"])


def near(corruption: str, severity: int) -> pd.DataFrame:
    """Ranks out of order: the first is the one of rank 1."""
    return pd.DataFrame({
        "clip_id": "c", "camera": "north", "rank": [2, 1], "corruption": ["rain", corruption],
        "severity": [1, severity], "similarity": [0.1, 0.9], "distance": [3.0, 1.0],
    })  # fmt: skip


def counted(found: pd.DataFrame) -> dict[str, tuple[int, int]]:
    tables.to_arrow("footage_decisions", found)
    return {row.advice: (row.n_frames, row.n_boxes) for row in found.itertuples()}


def test_frames_are_as_good_as_their_best_box() -> None:
    seen = boxes(
        (0, "car", 0.5), (0, "car", 0.3), (0, "bus", 0.1),  # act, observe, abstain
        (1, "car", 0.49), (2, "bus", 0.99), (3, "van", 0.99), (4, "cat", 0.99),
        (5, "car", 0.09), (6, None, 0.99),  # shown to nobody: as frames without a box
    )  # fmt: skip
    found = decisions(seen, policy=POLICY, clip_id="c", camera="east", n_frames=10)
    assert counted(found) == {
        "act": (1, 1), "observe": (2, 3), "nothing_seen": (5, 0), "abstain": (2, 3), "fall_back": (0, 0)
    }  # fmt: skip
    assert dict(zip(found["advice"], found["share"], strict=True)) == {
        "act": 0.1, "observe": 0.2, "nothing_seen": 0.5, "abstain": 0.2, "fall_back": 0.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("camera", "nearest", "status", "expected"),
    [
        ("north", None, "ok", "act"),
        ("east", ("clean", 0), "ok", "act"),
        ("north", ("fog", 1), "ok", "act"),
        ("north", ("fog", 4), "ok", "observe"),
        ("north", ("snow", 5), "ok", "fall_back"),
        ("north", ("sleet", 2), "ok", "observe"),  # no such cell in the policy: nothing is known of it
        ("west", ("clean", 0), "ok", "observe"),
        ("west", ("snow", 5), "ok", "fall_back"),
        ("north", ("fog", 1), "outside_validated", "abstain"),
    ],
)
def test_what_is_known_of_the_conditions_bounds_the_advice(
    camera: str, nearest: tuple[str, int] | None, status: str, expected: str
) -> None:
    forecast = pd.DataFrame({"clip_id": "c", "camera": camera, "metric": ["map", "hota"], "status": ["ok", status]})
    found = None if nearest is None else near(*nearest)
    assert condition(POLICY, camera=camera, nearest=found, forecast=forecast) == expected
    seen = boxes((0, "car", 0.9), (1, "car", 0.3), (2, "car", 0.15))
    told = decisions(seen, policy=POLICY, clip_id="c", camera=camera, n_frames=4, nearest=found, forecast=forecast)
    got = {advice: counts for advice, counts in counted(told).items() if counts != (0, 0)}
    assert (
        got
        == {
            "act": {"act": (1, 1), "observe": (1, 1), "abstain": (1, 1), "nothing_seen": (1, 0)},
            "observe": {"observe": (2, 2), "abstain": (1, 1), "nothing_seen": (1, 0)},
            "abstain": {"abstain": (4, 3)},
            "fall_back": {"fall_back": (4, 3)},
        }[expected]
    )


def test_a_clip_without_boxes_or_frames() -> None:
    found = decisions(NOTHING, policy=POLICY, clip_id="c", camera="east", n_frames=3)
    assert counted(found) == {**dict.fromkeys(ADVICE, (0, 0)), "nothing_seen": (3, 0)}, "no box is no confidence"
    found = decisions(NOTHING, policy=POLICY, clip_id="c", camera="east", n_frames=0)
    assert found["share"].isna().all()
    assert found["n_frames"].sum() == 0
    with pytest.raises(ValueError, match="boxes stand in 2 frames, and it has 1"):
        decisions(boxes((3, "car", 1), (4, "car", 1)), policy=POLICY, clip_id="c", camera="e", n_frames=1)


BOXES = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["car", "bus", "van", "cat", None]), st.floats(0, 1)))


@settings(max_examples=100, deadline=None)
@given(BOXES, st.sampled_from([("clean", 0), ("fog", 4), ("snow", 5)]))
def test_counts_as_by_hand(rows: list[tuple[int, str | None, float]], nearest: tuple[str, int]) -> None:
    bound = {"clean": "act", "fog": "observe", "snow": "fall_back"}[nearest[0]]
    n_boxes, best = dict.fromkeys(ADVICE, 0), {}
    for frame, name, score in rows:
        act, observe = {"car": (0.5, 0.2), "bus": (2, 0.4)}.get(str(name), (2, 2))
        if name is None or score < min(0.1, observe):
            continue
        grade = "act" if score >= act else "observe" if score >= observe else "abstain"
        best[frame] = min(best.get(frame, "fall_back"), grade, key=ADVICE.index)
        n_boxes[max(grade, bound, key=ADVICE.index)] += 1
    n_frames = dict.fromkeys((*ADVICE, "nothing_seen"), 0)
    for frame in range(7):
        empty = frame not in best and bound in ("act", "observe")
        n_frames["nothing_seen" if empty else max(best.get(frame, "act"), bound, key=ADVICE.index)] += 1
    seen = boxes(*rows) if rows else NOTHING
    found = decisions(seen, policy=POLICY, clip_id="c", camera="east", n_frames=7, nearest=near(*nearest))
    assert counted(found) == {advice: (n_frames[advice], n_boxes.get(advice, 0)) for advice in n_frames}


def test_reference_of_abstention_by_camera() -> None:
    frames = pd.DataFrame({"frame_id": [10, 11, 12, 13], "camera": ["north", "north", "south", "south"]})
    seen = boxes((10, "car", 0.9), (10, "car", 0.15), (11, "car", 0.15), (12, "car", 0.05), (99, "car", 0.15))
    assert clean_abstention(seen, frames, policy=POLICY) == {"north": 0.5, "south": 0.0, "all": 0.25}
    assert clean_abstention(seen, frames.drop(columns="camera"), policy=POLICY) == {"all": 0.25}
    assert clean_abstention(NOTHING, frames, policy=POLICY)["all"] == 0
    assert clean_abstention(seen, frames.iloc[:0], policy=POLICY) == {}


def test_the_policy_that_the_run_has_published() -> None:
    path = ROOT / "reports/policy.json"
    content = json.loads(path.read_text())["models"]["crossing-v2"]
    found = read(path, "crossing-v2")
    assert found is not None
    assert found.thresholds["car"][0] == content["thresholds"]["car"]["act"]["score"]
    assert found.thresholds["car"][1] == content["thresholds"]["car"]["observe"]["score"]
    assert {(c["corruption"], c["severity"]) for c in content["abstain"] if "corruption" in c} == {
        cell for cell, advice in found.cells.items() if advice != "act"
    }
    assert found.slices["camera=north"] == "act"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected the policy that `stormglass score` writes"),
        ("{", "is no JSON"),
        ("[]", "expected a policy of schema 1, got None"),
        ('{"schema": 2}', "expected a policy of schema 1, got 2"),
        ('{"schema": 1, "models": {"v1": {}}}', "has no model 'v2', only v1"),
        ('{"schema": 1, "models": {"v2": {"status": "ok"}}}', "model 'v2' is not as docs/policy.md says"),
    ],
)
def test_a_policy_that_cannot_be_used(tmp_path: Path, content: str | None, expected: str) -> None:
    path = tmp_path / "policy.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=expected) as told:
        read(path, "v2")
    assert str(path) in str(told.value)


def test_a_model_without_boxes_has_none(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"schema": 1, "models": {"v2": {"status": "not_applicable", "reason": "no boxes are scored"}}}')
    assert read(path, "v2") is None
    entry = {
        "status": "ok",
        "cells": [],
        "slices": [],
        "thresholds": {"car": {"act": {"score": None}, "observe": {"score": 0.3}}},
    }
    path.write_text(json.dumps({"schema": 1, "models": {"v2": entry}}))
    found = read(path, "v2")
    assert found is not None
    assert found.thresholds == {"car": (np.inf, 0.3)}
