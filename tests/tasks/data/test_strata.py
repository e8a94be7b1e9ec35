import pandas as pd
import pytest

from tasks.data import strata
from tasks.errors import InputError


@pytest.fixture
def frames() -> pd.DataFrame:
    """By day three clips of 20 frames each, at night one of 4."""
    rows = [(f"day-{clip}", "day") for clip in range(3) for _ in range(20)] + [("night-0", "night")] * 4
    table = pd.DataFrame(rows, columns=["clip_id", "light"])
    return table.assign(frame_id=range(100, 100 + len(table)), lane=1)


def test_the_rare_condition_is_there_as_often_as_the_common_one(frames: pd.DataFrame) -> None:
    chosen = strata.even(frames, ["light"], 8)
    assert chosen["light"].value_counts().to_dict() == {"day": 4, "night": 4}
    assert chosen[chosen["light"] == "day"]["clip_id"].nunique() == 3
    assert strata.even(frames, ["light"], 20)["light"].value_counts().to_dict() == {"day": 16, "night": 4}
    assert chosen["frame_id"].is_monotonic_increasing


def test_without_attributes_by_clips_and_the_same_every_time(frames: pd.DataFrame) -> None:
    chosen = strata.even(frames, [], 8)
    assert chosen["clip_id"].value_counts().to_dict() == dict.fromkeys(frames["clip_id"].unique(), 2)
    again = strata.even(frames.sample(frac=1, random_state=0), [], 8)
    assert sorted(again["frame_id"]) == chosen["frame_id"].tolist()
    assert len(strata.even(frames, [], 1000)) == len(frames)


def test_slices_by_attributes(frames: pd.DataFrame) -> None:
    assert len(strata.matching(frames, "light=night")) == 4
    assert len(strata.matching(frames, "light=day & lane=1")) == 60
    with pytest.raises(InputError, match="No frame lies in the slice 'light=dusk'"):
        strata.matching(frames, "light=dusk")
    for wrong in ("night", "dark=yes"):
        with pytest.raises(InputError, match=f"got '{wrong}'; columns: clip_id, light"):
            strata.matching(frames, wrong)
    with pytest.raises(InputError, match="no attribute 'dark'"):
        strata.even(frames, ["dark"], 3)
