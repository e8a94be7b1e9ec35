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


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"attributes": ("camra",)}, r"slices.attributes: 'camra' .* did you mean 'camera'"),
        ({"crossed": (("camera", "hour"),)}, r"slices.crossed: 'hour' .* known: camera, night, lux"),
        ({"object": ("ocluded",)}, r"slices.object: 'ocluded' .* did you mean 'occluded'"),
        ({"query": {"x": "camra == 'north'"}}, r"slices.query.x: .*camra.*columns of frames: frame_id, .*camera"),
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
