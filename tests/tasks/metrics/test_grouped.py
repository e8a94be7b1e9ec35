"""Figures of groups of clips: those that scoring gives slices of the same clips."""

import numpy as np
import pandas as pd
import pytest

from tasks import params, tables
from tasks.metrics import grouped
from tasks.metrics.score import score

CHOSEN = {
    "dataset": {"split": "test"},
    "models": {"v1": {"adapter": "small", "weights": "x.safetensors", "tracker": {"name": "bytetrack"}}},
    "baseline": "v1",
    "corruptions": {"weather": ["fog"]},
    "severities": [2],
    "metrics": {"min_units": 2, "resamples": 100},
    "slices": {"attributes": ["camera"], "object": []},
}


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), params.parse(CHOSEN), n_clips=6, n_frames=3)


def test_a_group_scores_what_a_slice_of_its_clips_scores(run):
    chosen = params.parse(CHOSEN)
    score(chosen, run.layout)
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    of_clip = run.frames.drop_duplicates("clip_id").set_index("clip_id")["camera"]
    found = grouped.figures(chosen, run.layout, "v1", of_clip.to_dict())
    assert set(found["metric"]) == {"accuracy", "map", "miou", "hota"}
    assert len(found) == 4 * 2 * 3  # metrics, cells, cameras
    whole = scores[
        (scores["model"] == "v1") & scores["baseline"].isna() & (scores["class"] == "all") & scores["severity"].notna()
    ]
    wanted = whole.set_index(["metric", "corruption", "severity", "slice"])["value"]
    keys = zip(found["metric"], found["corruption"], found["severity"], "camera=" + found["group"], strict=True)
    assert np.allclose(found["value"], [wanted[key] for key in keys], rtol=0, atol=1e-6)
    assert found["value"].nunique() > 12


def test_clips_of_no_group_count_for_nothing(run):
    chosen = params.parse(CHOSEN)
    clips = sorted(run.frames["clip_id"].unique())
    alone = grouped.figures(chosen, run.layout, "v1", {clips[0]: "one"})
    beside = grouped.figures(chosen, run.layout, "v1", {clips[0]: "one", clips[1]: "two"})
    pd.testing.assert_frame_equal(alone, beside[beside["group"] == "one"].reset_index(drop=True))


def test_a_group_without_truth_has_no_figure(make_run, tmp_path):
    chosen = params.parse(CHOSEN)
    run = make_run(tmp_path, chosen, n_clips=4, n_frames=2)
    first = run.frames["clip_id"].iloc[0]
    inside = run.frames.loc[run.frames["clip_id"] == first, "frame_id"]
    rest = run.objects[~run.objects["frame_id"].isin(inside)]
    tables.write("objects", rest, run.layout.tables / "objects.parquet")
    found = grouped.figures(chosen, run.layout, "v1", {first: "empty", run.frames["clip_id"].iloc[-1]: "full"})
    by_group = found[found["metric"].isin(["map", "hota"])].groupby("group")["value"]
    assert by_group.apply(lambda values: np.isnan(values).all()).to_dict() == {"empty": True, "full": False}
