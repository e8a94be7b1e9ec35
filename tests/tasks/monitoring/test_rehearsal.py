"""What the forecast is said to be off by: on a made-up run whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from tasks import tables
from tasks.monitoring import rehearsal
from tasks.monitoring.likeness import Looks
from tests.tasks.monitoring import made_up


def frames(n_clips: int, n_frames: int) -> pd.DataFrame:
    return pd.DataFrame({"clip_id": [f"c{clip:02d}" for clip in range(n_clips) for _ in range(n_frames)]})


def rehearsed(**how: float) -> pd.DataFrame:
    looks = Looks.of(made_up.quality())
    groups = rehearsal.groups(frames(24, 12), dict(zip(looks.clips, looks.cameras, strict=True)))
    return rehearsal.cases(looks, groups, made_up.figures(groups, **how))


@pytest.fixture(scope="module")
def cases():
    return rehearsed()


def test_groups_are_of_one_camera_and_whole():
    cameras = {f"c{clip:02d}": made_up.CAMERAS[clip % 3] for clip in range(24)}
    found = rehearsal.groups(frames(24, 12), cameras)
    members = pd.Series(found).groupby(pd.Series(found)).groups
    assert len(members) == 6
    assert {len(clips) for clips in members.values()} == {4}
    assert all(len({cameras[clip] for clip in clips}) == 1 for clips in members.values())
    assert found == rehearsal.groups(frames(24, 12)[::-1], cameras)


def test_a_large_data_set_holds_out_some_groups_alone():
    cameras = dict.fromkeys((f"c{clip:04d}" for clip in range(1000)), "")
    found = rehearsal.groups(pd.DataFrame({"clip_id": list(cameras)}), cameras)
    assert len(set(found.values())) == rehearsal.MOST_GROUPS
    assert pd.Series(found).value_counts().unique().tolist() == [rehearsal.GROUP_FRAMES]


def test_every_clip_meets_every_cell_in_every_way(cases):
    n_cells = sum(map(len, made_up.STRENGTHS.values()))
    counts = cases["validation"].value_counts()
    assert counts[rehearsal.HELD_OUT] == counts[rehearsal.OTHER_CAMERA] == counts[rehearsal.UNKNOWN] == 24 * n_cells
    assert counts[rehearsal.LEFT_OUT] == counts[rehearsal.UNKNOWN_LEFT_OUT] == 24 * (n_cells - 1)


def test_a_corruption_that_is_left_out_is_never_named(cases):
    left_out = cases[cases["validation"] == rehearsal.LEFT_OUT]
    assert (left_out["named"] != left_out["corruption"]).all()
    known = cases[(cases["validation"] == rehearsal.HELD_OUT) & (cases["corruption"] != "clean")]
    assert (known["named"] == known["corruption"]).mean() > 0.9
    assert left_out["distance"].median() > known["distance"].median()


def test_intervals_hold_what_they_say_and_the_forecast_beats_the_clean_score(cases):
    found = rehearsal.validation(cases, 0.9)
    whole = found[found["corruption"].isna()].set_index("validation")
    known = whole.loc[rehearsal.HELD_OUT]
    assert known["error"] < 0.4 * known["naive_error"]
    assert known["coverage"] > 0.85
    assert known["named_first"] > 0.85
    assert whole["named_first"].isna()[rehearsal.LEFT_OUT]
    assert (found["n"] >= 24).all()
    tables.to_arrow("footage_validation", found)


def test_the_interval_of_a_case_is_made_from_other_groups(cases):
    """One group whose figures are nothing like the others': its own errors do not widen its interval."""
    odd = cases["group"].iloc[0]
    spoilt = cases.assign(actual=np.where(cases["group"] == odd, 0.0, cases["actual"]))
    alone = rehearsal.validation(spoilt[spoilt["group"] != odd], 0.9)
    with_it = rehearsal._judged(spoilt, rehearsal.WITH_REFERENCE, 0.9)
    held = with_it[(with_it["validation"] == rehearsal.HELD_OUT) & (with_it["corruption"] == "clean")]
    assert not held.loc[held["group"] == odd, "covered"].any()
    assert alone["coverage"].notna().any()


def test_noisier_figures_make_wider_intervals(cases):
    own = [part[part["validation"].isin(rehearsal.WITH_REFERENCE)] for part in (cases, rehearsed(noise=0.1))]
    calm, wild = (rehearsal.calibration(part, 0.9) for part in own)
    assert calm is not None
    assert wild is not None
    assert wild.high["map"] - wild.low["map"] > 1.5 * (calm.high["map"] - calm.low["map"])
    near, far = (calm.interval("map", 0.4, 0.6, distance) for distance in (1.0, 6.0))
    assert far[1] - far[0] > near[1] - near[0]
    assert calm.interval("map", 0.01, 0.6, 50.0)[0] == 0.0


def test_one_clip_leaves_nothing_to_hold_out():
    looks = Looks.of(made_up.quality(n_clips=1))
    groups = rehearsal.groups(frames(1, 12), dict.fromkeys(looks.clips, "north"))
    found = rehearsal.cases(looks, groups, made_up.figures(groups))
    assert found.empty
    assert rehearsal.calibration(found, 0.9) is None
    assert rehearsal.validation(found, 0.9).empty
