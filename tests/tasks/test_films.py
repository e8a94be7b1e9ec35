"""Filmstrips around identity switches: which, which frames, and what is drawn."""

import pandas as pd
import pytest

from tasks.gallery import films

LENGTH = 8
CAUSES = ("crossing", "missed", "none")


def frames(clips: int) -> pd.DataFrame:
    rows = [(100 * clip + index, f"clip{clip}", index) for clip in range(clips) for index in range(LENGTH)]
    # As tables may have them: in no order.
    return pd.DataFrame(rows, columns=["frame_id", "clip_id", "frame_index"]).sample(frac=1, random_state=0)


def switch(clip: int, index: int, **more) -> dict:
    row = {"model": "v1", "task": "tracking", "corruption": "fog", "family": "weather", "severity": 3}
    row |= {"clip_id": f"clip{clip}", "frame_id": 100 * clip + index, "true_track": 7, "track_before": 1}
    return row | {"track_now": 2, "class": "car", "circumstance": "none"} | more


def choose(rows: list[dict], *, clips: int = 12, budget: int = 30, seed: int = 0) -> list[films.Film]:
    return films.choose(pd.DataFrame(rows), frames(clips), models=["v1", "v2"], budget=budget, seed=seed)


def test_two_frames_before_the_switch_and_two_after():
    (film,) = choose([switch(1, 4)])
    assert film.frames == (102, 103, 104, 105, 106)
    assert [(p.corruption, p.severity, p.frame_id, p.kind) for p in film.picks()] == [
        ("fog", 3, frame, "film") for frame in film.frames
    ]
    (film,) = choose([switch(1, 1)])
    assert film.frames == (100, 101, 102, 103), "a clip's beginning"


def test_whole_ones_first_one_of_a_clip_within_the_budget():
    rows = [switch(clip, index) for clip in range(12) for index in (1, 3, 5, 7)]
    found = choose(rows)
    assert len(found) == 6
    assert len({film.clip_id for film in found}) == 6
    assert {len(film.frames) for film in found} == {5}
    assert len(choose(rows, budget=29)) == 5
    assert choose(rows, budget=4) == []
    assert choose(rows) == found
    assert choose(rows, seed=1) != found


def test_causes_models_and_corruptions_take_turns():
    rows = [
        switch(clip, 4, circumstance=cause, model=model, corruption=corruption)
        for clip in range(12)
        for cause in CAUSES
        for model in ("v1", "v2")
        for corruption in ("fog", "rain", "snow")
    ]
    found = choose(rows)
    pairs = {(film.circumstance, film.model) for film in found}
    assert len(pairs) == 6, "each cause of each model once"
    assert {film.model for film in found[:3]} == {"v1", "v2"}
    assert sorted(film.corruption for film in found) == ["fog", "fog", "rain", "rain", "snow", "snow"]


def test_frames_that_cannot_be_shown_and_other_models_are_left_out():
    assert choose([switch(30, 4)]) == []
    assert choose([switch(1, 4, model="v9")]) == []
    nothing = pd.DataFrame(columns=list(switch(0, 0)))
    assert films.choose(nothing, frames(2), models=["v1"], budget=30, seed=0) == []


def box(x: float) -> list[float]:
    return [x, 10.0, x + 20, 30.0]


def drawn(truth: float | None, **tracks: float) -> dict:
    found = [] if truth is None else [{"id": 7, "box": box(truth)}, {"id": 8, "box": box(90)}]
    return {"truth": found, "prediction": [{"id": int(name[1:]), "box": box(x)} for name, x in tracks.items()]}


@pytest.mark.parametrize(
    ("frame", "shown", "on", "ids"),
    [
        (103, drawn(10, t1=14, t2=12), 1, {1, 2}),  # before: the old track holds on, though the new one overlaps more
        (104, drawn(10, t1=12, t2=14), 2, {1, 2}),  # from the switch on the new one does
        (104, drawn(10, t1=60, t3=11), 3, {1, 3}),  # a third one is on it: drawn as well
        (104, drawn(10, t1=60, t3=90), None, {1}),  # the third one is on something else
        (105, drawn(10), None, set()),
        (105, drawn(None, t2=10), None, {2}),
    ],
)
def test_the_track_on_the_object(frame, shown, on, ids):
    (film,) = choose([switch(1, 4)])
    scene = films.scene(film, frame, shown)
    assert scene["on"] == on
    assert {track for track, _ in scene["tracks"]} == ids
    assert scene["truth"] == (box(10) if shown["truth"] else None)


@pytest.mark.parametrize("at", [(0, 0), (150, 90), (290, 170)])
def test_the_view_holds_the_object_and_stays_in_the_picture(at):
    x, y = at
    boxes = [[x, y, x + 25, y + 20], [x + 5, y, x + 30, y + 22]]
    left, top, width, height = films.view(boxes, (320, 192))
    assert width == pytest.approx(4 / 3 * height, abs=0.1)
    assert 90 <= width <= 320
    assert 0 <= left <= x
    assert 0 <= top <= y
    assert x + 30 <= left + width <= 320.05
    assert y + 22 <= top + height <= 192.05
