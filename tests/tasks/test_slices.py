"""Slices against masks written out by hand."""

import numpy as np
import pandas as pd
import pytest

from tasks import slices
from tasks.errors import InputError
from tasks.params import Slices

FRAMES = pd.DataFrame(
    {
        "frame_id": [1, 2, 3, 4, 5],
        "clip_id": ["a", "a", "a", "b", "b"],
        "frame_index": [0, 1, 2, 0, 1],
        "camera": ["north", "north", "south", "south", None],
        "night": [True, True, True, False, False],
        "lux": pd.array([1, 2, 3, None, 5], dtype="Int64"),
    }
)
OBJECTS = pd.DataFrame(
    {
        "object_id": [0, 1, 2],
        "frame_id": [1, 1, 4],
        "occlusion": np.array([0.0, 0.4, 0.9], dtype=np.float32),
        "truncation": np.array([np.nan, 0.0, 0.0], dtype=np.float32),
        "occluded": ["yes", "no", None],
    }
)
for name in ("class_id", "x0_px", "y0_px", "x1_px", "y1_px", "area_px", "mask", "track_id", "crowd", "ignore"):
    OBJECTS[name] = 0


def built(**choice):
    return {item.name: item for item in slices.build(Slices(**choice), FRAMES, OBJECTS)}


def test_attributes_are_a_slice_for_each_value_and_lift_to_clips_by_majority():
    found = built(attributes=("camera", "night"))
    assert list(found) == ["all", "camera=north", "camera=south", "night=no", "night=yes"]
    assert found["all"].frames.all()
    assert found["camera=north"].frames.tolist() == [True, True, False, False, False]
    assert found["camera=north"].clips.tolist() == [True, False]
    assert found["camera=south"].clips.tolist() == [False, False]  # one frame of two is no majority
    assert found["night=yes"].frames.tolist() == [True, True, True, False, False]


def test_crossed_holds_the_combinations_that_occur():
    found = built(crossed=(("camera", "night"),))
    assert list(found)[1:] == ["camera=north & night=yes", "camera=south & night=no", "camera=south & night=yes"]
    assert found["camera=south & night=yes"].frames.tolist() == [False, False, True, False, False]


def test_query_is_lifted_only_where_it_cuts_no_clip():
    found = built(query={"first": "frame_index == 0", "dark": "night", "dim": "lux < 3"})
    assert found["query:first"].frames.tolist() == [True, False, False, True, False]
    assert found["query:first"].clips is None
    assert found["query:dark"].clips.tolist() == [True, False]
    assert found["query:dim"].frames.tolist() == [True, True, False, False, False]  # an unknown value is outside


def test_objects_are_sliced_by_size_tag_and_share():
    found = built(object=("size", "occluded", "occlusion", "truncation"))
    assert list(found)[1:] == [
        *("size=small", "size=medium", "size=large"),
        *("occluded=no", "occluded=yes"),
        *("occlusion=heavy", "occlusion=none", "occlusion=partial"),
        "truncation=none",
    ]
    assert found["size=medium"].area_px2 == (1024, 9216)
    assert not found["size=medium"].recall_only
    assert found["occluded=yes"].recall_only
    assert found["occluded=yes"].objects.tolist() == [True, False, False]
    assert found["occlusion=heavy"].objects.tolist() == [False, False, True]
    assert found["truncation=none"].objects.tolist() == [False, True, True]


def thirds(values: list[float | None], clips: list[str] | None = None) -> dict[str, list[int]]:
    """Slices by thirds of `values`, as positions of frames."""
    n = len(values)
    frames = pd.DataFrame({"frame_id": range(n), "clip_id": clips or [str(i) for i in range(n)], "frame_index": 0})
    order = np.random.default_rng(n).permutation(n)  # rows go by frame_id, not by place
    quality = pd.DataFrame({"frame_id": range(n), "brightness": pd.array(values, dtype="Float64")}).iloc[order]
    quality["brightness"] = quality["brightness"].astype(float)
    found = slices.build(Slices(derived=("brightness",)), frames, OBJECTS, quality)[1:]
    assert all(item.clips is not None for item in found)
    return {item.name.removeprefix("brightness="): np.flatnonzero(item.frames).tolist() for item in found}


def test_thirds_hold_equal_counts():
    assert thirds([5, 1, 9, 2, 7, 3]) == {"low": [1, 3], "mid": [0, 5], "high": [2, 4]}
    for n in (3, 4, 5, 7, 100, 577):
        counts = [len(part) for part in thirds(list(range(n))).values()]
        assert sum(counts) == n
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4, 4, 4, 4, 4, 4], {}),
        ([4], {}),
        ([], {}),
        ([None, None, 3], {}),
        ([0, 0, 0, 0, 0, 8], {"low": [0, 1, 2, 3, 4], "high": [5]}),
        ([0, 8, 8, 8, 8, 8], {"low": [0], "high": [1, 2, 3, 4, 5]}),
        ([0, 0, 0, 0, 5, 9], {"low": [0, 1, 2, 3], "high": [4, 5]}),
        ([0, 0, 0, 5, 9, 9], {"low": [0, 1, 2], "mid": [3], "high": [4, 5]}),
        ([7, None, 8, 9, None], {"low": [0], "mid": [2], "high": [3]}),
    ],
)
def test_ties_stay_together_and_what_has_no_value_is_outside(values, expected):
    assert thirds(values) == expected


def test_thirds_hold_whole_clips_by_their_mean():
    clips = [name for name in "abcdef" for _ in range(4)]
    # Clips a and d hold the brightest frame and the darkest one, and lie in the middle.
    values = [255, 0, 100, 101, *[10] * 4, *[20] * 4, 0, 255, 90, 92, *[200] * 4, *[220] * 4]
    assert thirds(values, clips) == {
        "low": [4, 5, 6, 7, 8, 9, 10, 11],
        "mid": [0, 1, 2, 3, 12, 13, 14, 15],
        "high": [16, 17, 18, 19, 20, 21, 22, 23],
    }
    assert thirds([1, 2, 3], ["a", "a", "a"]) == {}  # one clip has no thirds
    assert thirds([1, None, 3, 5], ["a", "a", "b", "c"]) == {"low": [0, 1], "mid": [2], "high": [3]}


def test_queries_know_measurements_and_the_data_sets_own_columns_go_first():
    quality = pd.DataFrame({"frame_id": [5, 4, 3, 2, 1], "crowding": [0, 0, 3, 4, 5], "lux": 9})
    choice = Slices(query={"full": "crowding >= 3 and camera == 'north'", "dim": "lux < 3"})
    found = {item.name: item for item in slices.build(choice, FRAMES, OBJECTS, quality)}
    assert found["query:full"].frames.tolist() == [True, True, False, False, False]
    assert found["query:dim"].frames.tolist() == [True, True, False, False, False]


def test_measurements_that_are_not_there_are_told():
    with pytest.raises(InputError, match=r"slices.derived: 'crowding' needs the table quality.*stormglass prepare"):
        built(derived=("crowding",))
    quality = pd.DataFrame({"frame_id": [1, 2, 3, 4], "crowding": 0})
    with pytest.raises(InputError, match="quality has no row of frame 5"):
        slices.build(Slices(derived=("crowding",)), FRAMES, OBJECTS, quality)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"attributes": ("camra",)}, r"slices.attributes: 'camra' .* did you mean 'camera'"),
        ({"crossed": (("camera", "hour"),)}, r"slices.crossed: 'hour' .* known: camera, night, lux"),
        ({"object": ("ocluded",)}, r"slices.object: 'ocluded' .* did you mean 'occluded'"),
        ({"query": {"x": "camra == 'north'"}}, r"slices.query.x: .*camra.*columns: frame_id, .*camera"),
        ({"query": {"x": "frame_index + 1"}}, r"slices.query.x: .*no yes or no"),
        ({"query": {"x": "camera =="}}, r"slices.query.x: "),
        ({"attributes": ("camera", "camera")}, "twice"),
    ],
)
def test_what_the_tables_do_not_have_is_refused(choice, told):
    with pytest.raises(InputError, match=told):
        built(**choice)


def test_a_measurement_is_no_attribute():
    frames = pd.concat([FRAMES.iloc[:1]] * 60, ignore_index=True).assign(lux=np.arange(60))
    with pytest.raises(InputError, match="60 different values"):
        slices.build(Slices(attributes=("lux",)), frames, OBJECTS)


def test_bursts_cut_clips_by_frame_index():
    found = {item.name: item for item in slices.build(Slices(), FRAMES, OBJECTS, bursts=[(1, 2)])}
    assert list(found) == ["all", "burst 1:2=before", "burst 1:2=during", "burst 1:2=after"]
    assert found["burst 1:2=before"].frames.tolist() == [True, False, False, True, False]
    assert found["burst 1:2=during"].frames.tolist() == [False, True, False, False, True]
    assert found["burst 1:2=after"].frames.tolist() == [False, False, True, False, False]
    assert found["burst 1:2=before"].clips is None  # whole clips are not inside, yet tracking is measured
    assert all(item.stretch == (name != "all") for name, item in found.items())


def test_a_stretch_that_no_frame_lies_in_is_no_slice():
    found = slices.build(Slices(), FRAMES, OBJECTS, bursts=[(0, 2), (5, 9)])
    assert [item.name for item in found[1:]] == ["burst 0:2=during", "burst 0:2=after", "burst 5:9=before"]


def shifted(frames=FRAMES, trial=False, **shifts):
    return {item.name: item for item in slices.build(Slices(shifted=shifts), frames, OBJECTS, trial=trial)}


def test_shifts_are_compared_with_the_frames_outside_all_of_them_or_with_their_own():
    found = shifted(
        dark={"where": "night"},
        late={"where": "clip_id == 'b' and frame_index == 1"},
        bright={"where": "lux > 2", "reference": "lux < 2"},
    )
    assert list(found)[1:] == ["shift=dark", "shift=late", "shift=bright", "shift=bright, reference", "shift=none"]
    assert found["shift=dark"].frames.tolist() == [True, True, True, False, False]
    assert found["shift=none"].frames.tolist() == [False, False, False, True, False]
    assert found["shift=bright"].frames.tolist() == [False, False, True, False, True]
    assert found["shift=bright, reference"].frames.tolist() == [True, False, False, False, False]
    assert found["shift=dark"].clips.tolist() == [True, False]
    assert found["shift=none"].clips is None  # half of clip b
    choice = Slices(shifted={"a": {"where": "night"}, "b": {"where": "night", "reference": "not night"}})
    assert slices.of_shift(choice, "a") == ("shift=a", "shift=none")
    assert slices.of_shift(choice, "b") == ("shift=b", "shift=b, reference")


@pytest.mark.parametrize(
    ("shift", "told"),
    [
        ({"where": "camera == 'west'"}, r"shifted.x.where: 'camera == 'west'' holds for none of the 5 scored frames"),
        ({"where": "night", "reference": "lux > 9"}, r"shifted.x.reference: 'lux > 9' holds for none of the 5"),
        ({"where": "frame_index >= 0"}, r"shifted.x: every one of the 5 scored frames lies in some shift.*`reference`"),
        ({"where": "night", "reference": "lux < 2"}, r"shifted.x: 1 frame\(s\) are in `where` and in `reference`"),
        ({"where": "nigth"}, r"shifted.x.where: 'nigth' fails.*did you mean 'night'\?"),
    ],
)
def test_a_shift_needs_frames_on_both_sides(shift, told):
    with pytest.raises(InputError, match=told):
        shifted(x=shift)


def test_a_trial_leaves_out_shifts_that_its_frames_do_not_hold():
    found = shifted(FRAMES.iloc[:3], trial=True, dark={"where": "night"}, south={"where": "camera == 'south'"})
    assert list(found) == ["all"]  # every frame is dark: nothing to compare with
    found = shifted(trial=True, dark={"where": "night"}, west={"where": "camera == 'west'"})
    assert list(found) == ["all", "shift=dark", "shift=none"]
