"""What a model says, in figures: by hand, and as SciPy and pycocotools count."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask
from scipy import stats

from tasks.errors import InputError
from tasks.inference.rows import Rows
from tasks.models.outputs import Output, whole_frame
from tasks.monitoring import outputs
from tasks.monitoring.windows import COLUMNS

OBJECTS = {"object": {"0": "car", "1": "bus"}, "semantic": {}, "label": {}, "tasks": ["detection"]}


def frames(n: int, *, clip: str = "a", first: int = 0, rate: float = 10.0, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "frame_id": np.arange(first, first + n),
            "clip_id": clip,
            "frame_index": np.arange(n),
            "width_px": 100,
            "height_px": 50,
            "timestamp_s": np.arange(n) / rate,
            **columns,
        }
    )


def boxes(*rows: tuple[int, float, float], tracks: list[int] | None = None) -> Output:
    """Each (class, score, side in px) at the frame's corner."""
    return Output(
        boxes=np.array([[0, 0, side, side] for _, _, side in rows], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in rows], np.float32),
        class_ids=np.array([kind for kind, _, _ in rows], np.int64),
        track_ids=None if tracks is None else np.array(tracks, np.int64),
    )


def said(table: pd.DataFrame, given: list[Output]) -> pd.DataFrame:
    """The rows of a part, as `infer` stores them."""
    rows = Rows(table["frame_id"].tolist())
    rows.add(range(len(table)), given)
    return rows.table()


def values(found: pd.DataFrame) -> dict[str, Any]:
    """By feature the values of its windows; a single one as a number."""
    listed = found.groupby("feature")["value"].apply(list)
    return {name: column[0] if len(column) == 1 else column for name, column in listed.items()}


def test_boxes_by_hand() -> None:
    table = frames(4)
    given = [boxes((0, 0.9, 10), (1, 0.5, 20)), boxes(), boxes((0, 0.3, 10), (0, 0.05, 50)), boxes((0, 0.7, 30))]
    found = outputs.describe(said(table, given), table, window_s=10, names=OBJECTS, act={0: 0.6, 1: None})
    scores = [0.9, 0.5, 0.3, 0.7]
    assert list(found.columns) == COLUMNS
    assert set(found["camera"]) == {"all"}
    assert values(found) == pytest.approx(
        {
            "boxes_per_frame": 1.0,  # the box at 0.05 is none
            "empty_share": 0.25,
            "confidence_mean": np.mean(scores),
            "confidence_p10": np.quantile(scores, 0.1),
            "confidence_p50": 0.6,
            "confidence_p90": np.quantile(scores, 0.9),
            "below_act_share": 0.5,  # the bus, which has no act score, and the car at 0.3
            "class_share:car": 0.75,
            "class_share:bus": 0.25,
            "box_area_share": np.mean([100, 400, 100, 900]) / 5000,
            "flicker_share": 1.0,  # the car that frame 1 lacks
        }
    )


def test_nothing_is_said_of_what_there_is_not() -> None:
    """A silent clip still has boxes a frame, and tracks where a tracker ran."""
    table = frames(3)
    found = outputs.describe(said(table, [boxes()] * 3), table, window_s=10, names=OBJECTS, act={0: 0.5}, tracked=True)
    assert values(found) == {"boxes_per_frame": 0.0, "empty_share": 1.0, "tracks_per_frame": 0.0}
    assert "tracks_per_frame" not in values(
        outputs.describe(said(table, [boxes()] * 3), table, window_s=10, names=OBJECTS)
    )


def test_windows_and_cameras() -> None:
    """Clips together give what each gives by itself; rows of frames that were not asked for count for nothing."""
    one, other = frames(20, camera="north"), frames(10, clip="b", first=20, camera="south")
    both = pd.concat([one, other], ignore_index=True)
    rng = np.random.default_rng(3)
    given = [
        boxes(*[(int(rng.integers(2)), float(rng.uniform(0.2, 1)), 10.0)] * int(rng.integers(3)), tracks=None)
        for _ in range(30)
    ]
    part = said(both, given)
    together = outputs.describe(part, both, window_s=1.0, names=OBJECTS)
    apart = [outputs.describe(part, table, window_s=1.0, names=OBJECTS) for table in (one, other)]
    joined = pd.concat(apart)
    order = ["clip_id", "t_s", "feature"]
    pd.testing.assert_frame_equal(
        together.sort_values(order, ignore_index=True), joined.sort_values(order, ignore_index=True)
    )
    assert together.groupby("clip_id")["t_s"].unique().map(list).to_dict() == {"a": [0.0, 1.0], "b": [0.0]}
    assert together.groupby("clip_id")["camera"].unique().map(list).to_dict() == {"a": ["north"], "b": ["south"]}


def test_low_scored_boxes_of_tracks_count_as_tracks() -> None:
    table = frames(3)
    given = [boxes((0, score, 10), tracks=[5]) for score in (0.9, 0.06, 0.9)]
    found = values(outputs.describe(said(table, given), table, window_s=10, names=OBJECTS))
    assert found["tracks_per_frame"] == 1.0
    assert found["track_gap_rate"] == 0.0
    assert found["flicker_share"] == 1.0
    assert found["boxes_per_frame"] == pytest.approx(2 / 3)


def test_single_frames_say_nothing_of_time() -> None:
    table = frames(2)
    part = said(table, [boxes((0, 0.9, 10), tracks=[1])] * 2)
    found = values(outputs.describe(part, table, window_s=0.0, names=OBJECTS))
    assert found["tracks_per_frame"] == [1.0, 1.0]
    assert found["boxes_per_frame"] == [1.0, 1.0]
    assert not [name for name in found if name.endswith("_rate") or name in ("flicker_share", "pixel_change_share")]


def test_masks_as_pycocotools_counts_them() -> None:
    table = frames(1)
    drawn = np.zeros((50, 100, 2), np.uint8, order="F")
    drawn[:10, :10, 0] = drawn[:30, :20, 1] = 1
    coded = [one["counts"] for one in coco_mask.encode(drawn)]
    given = replace(boxes((0, 0.9, 10), (1, 0.8, 30)), masks=coded)
    found = values(outputs.describe(said(table, [given]), table, window_s=10, names=OBJECTS))
    assert found["mask_area_share"] == pytest.approx((100 + 600) / 2 / 5000)


def test_label_maps_by_hand() -> None:
    table = frames(3)
    road, half = np.zeros((50, 100), np.uint8), np.zeros((50, 100), np.uint8)
    half[:, 50:] = 7
    given = [whole_frame(label_map=label_map) for label_map in (road, half, half)]
    names = {"object": {}, "semantic": {0: "road", 7: "sky", 9: "sea"}, "label": {}}
    found = values(outputs.describe(said(table, given), table, window_s=10, names=names))
    expected = {"pixel_share:road": 2 / 3, "pixel_share:sky": 1 / 3, "pixel_change_share": 0.25}
    assert found == pytest.approx(expected)
    with pytest.raises(InputError, match=r"class id\(s\) \[7\]"):
        outputs.describe(said(table, given), table, window_s=10, names={"semantic": {0: "road"}})


def test_probabilities_as_scipy_counts_them() -> None:
    table = frames(4, rate=2.0)
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.9, 0.0], [0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], np.float32)
    given = [whole_frame(probabilities=row) for row in shares]
    names = {"label": {"4": "go", "2": "stop", "9": "wait"}}  # in ascending order: stop, go, wait
    found = values(outputs.describe(said(table, given), table, window_s=10, names=names))
    expected = {
        "label_share:stop": 0.5,
        "label_share:go": 0.5,
        "entropy": stats.entropy(shares.astype(float), base=3, axis=1).mean(),
        "top_probability": shares.max(axis=1).mean(),
        "label_switch_rate": 2 / 1.5,
    }
    assert found == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="Expected 2 probabilities"):
        outputs.describe(said(table, given), table, window_s=10, names={"label": {0: "a", 1: "b"}})


def test_every_feature_is_explained() -> None:
    table = frames(3)
    label_map = np.zeros((50, 100), np.uint8)
    given = [
        replace(
            boxes((0, 0.9, 10), tracks=[1]),
            masks=[coco_mask.encode(np.ones((50, 100), np.uint8, order="F"))["counts"]],
            label_map=label_map,
            probabilities=np.array([0.5, 0.5], np.float32),
        )
    ] * 3
    names = {**OBJECTS, "semantic": {0: "road"}, "label": {0: "a", 1: "b"}}
    found = values(outputs.describe(said(table, given), table, window_s=10, names=names, act={0: 0.5}))
    assert {name.partition(":")[0] for name in found} == set(outputs.FEATURES)
    assert all(outputs.explain(name).unit for name in found)
    assert outputs.explain("blur").label == "Blur"


def test_act_scores_of_the_policy() -> None:
    policy = {
        "models": {
            "m": {"status": "ok", "thresholds": {"car": {"act": {"score": 0.4}}, "bus": {"act": {"score": None}}}},
            "n": {"status": "not_applicable", "reason": "no boxes"},
        }
    }
    assert outputs.act_scores(policy, "m", {2: "car", 7: "car", 5: "bus", 9: None}) == {
        2: 0.4,
        7: 0.4,
        5: None,
        9: None,
    }
    assert outputs.act_scores(policy, "n", {2: "car"}) == {} == outputs.act_scores(policy, "other", {})
