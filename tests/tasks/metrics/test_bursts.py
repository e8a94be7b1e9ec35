"""Bursts: figures before, during and after are those of a data set that is cut to these frames."""

import pytest

from tasks import tables
from tasks.metrics.score import score

NAME = "fog during 1:3"
PARTS = {
    "before": lambda index: index < 1,
    "during": lambda index: (index >= 1) & (index < 3),
    "after": lambda i: i >= 3,
}


@pytest.fixture(scope="module")
def chosen(make_params):
    return make_params(corruptions={"weather": [NAME]}, severities=[3], slices={}, baseline=None)


@pytest.fixture(scope="module")
def run(make_run, chosen, tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("whole"), chosen, n_clips=4, n_frames=6)
    score(chosen, run.layout)
    return run


def figures(layout, slice_):
    """By model, task, corruption, metric and class: value and how much stands behind it."""
    found = tables.read("scores", layout.scores / "scores.parquet")
    found = found[(found["slice"] == slice_) & found["severity"].notna() & (found["model"] != "trivial")]
    keys = ["model", "task", "corruption", "metric", "class"]
    return found.set_index(keys)[["value", "low", "high", "n_units", "n_frames", "n_objects", "status"]]


@pytest.mark.parametrize("part", PARTS)
def test_a_stretch_is_measured_as_a_data_set_of_its_frames(part, run, chosen, make_run, tmp_path):
    other = make_run(tmp_path, chosen, n_clips=4, n_frames=6)  # the same again, then cut
    kept = PARTS[part](other.frames["frame_index"])
    frame_ids = other.frames.loc[kept, "frame_id"]
    other.frames = other.frames[kept]
    other.objects = other.objects[other.objects["frame_id"].isin(frame_ids)]
    other.semantic = other.semantic[other.semantic["frame_id"].isin(frame_ids)]
    other.write_tables()
    for path in other.layout.predictions.glob("*/*/*/*.parquet"):
        rows = tables.read("predictions", path)
        tables.write("predictions", rows[rows["frame_id"].isin(frame_ids)], path)
    score(chosen.model_copy(update={"corruptions": {"weather": (NAME,)}}), other.layout)
    inside, alone = figures(run.layout, f"burst 1:3={part}"), figures(other.layout, "all")
    assert {task for _, task, *_ in inside.index} == {"classification", "detection", "semantic", "tracking"}
    assert {corruption for _, _, corruption, *_ in inside.index} == {"clean", NAME}
    headline = [key for key in inside.index if key[3] == tables.HEADLINE[key[1]] and key[4] == "all"]
    assert len(headline) == 2 * 4 * 2
    for key in headline:
        assert inside.loc[key, "status"] == "ok", key
        assert inside.loc[key].drop("status").tolist() == pytest.approx(alone.loc[key].drop("status").tolist()), key
    for key in inside.index:  # by class; what thresholds decide is left out, for they are chosen on all frames
        if inside.loc[key, "status"] == "ok" and key[3] == tables.HEADLINE[key[1]]:
            assert inside.loc[key, "value"] == pytest.approx(alone.loc[key, "value"]), key


def test_summaries_of_a_stretch_are_of_its_figures(run):
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    rows = scores[(scores["slice"] == "burst 1:3=after") & (scores["metric"] == "mpc") & (scores["task"] == "tracking")]
    whole = rows[(rows["corruption"] == "all") & (rows["family"] == "all") & (rows["class"] == "all")]
    for row in whole.to_dict("records"):
        key = (row["model"], "tracking", NAME, "hota", "all")
        assert row["value"] == pytest.approx(figures(run.layout, "burst 1:3=after").loc[key, "value"])


def test_a_run_without_bursts_has_no_such_slices(make_run, make_params, tmp_path):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[3], slices={}, baseline=None)
    run = make_run(tmp_path, chosen, n_clips=3, n_frames=3)
    score(chosen, run.layout)
    assert set(tables.read("scores", run.layout.scores / "scores.parquet")["slice"]) == {"all"}
