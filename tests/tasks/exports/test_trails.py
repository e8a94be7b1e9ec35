from itertools import pairwise

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tasks.exports.tracks import Box
from tasks.exports.trails import COLOURS, Trails, colour_of

SIZE = (120, 320)
FACTOR = 2  # 320 px wide frames are enlarged to 640


def box(x: float, state: str = "followed", track: int | None = 1) -> Box:
    return Box(0, 1, 0.9, (x, 40.0, x + 30, 60.0), track, state)


def rgb(state: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(COLOURS[state][0][1:]))


def has(picture: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((picture[: SIZE[0] * FACTOR] == colour).all(axis=2).any())


@pytest.mark.parametrize("state", ["new", "followed", "found again", "no track"])
def test_a_box_has_the_colour_of_its_state(state: str) -> None:
    frame = np.full((*SIZE, 3), 128, np.uint8)
    drawn = Trails({1: "car"}, trail_frames=5).draw(
        frame, [box(100, state, None if state == "no track" else 1)], [], None
    )
    assert has(drawn, rgb(state))
    assert not any(has(drawn, rgb(other)) for other in COLOURS if other != state)
    assert (frame == 128).all()


def test_a_lost_track_is_dashed() -> None:
    drawn = Trails({1: "car"}, trail_frames=5).draw(np.zeros((*SIZE, 3), np.uint8), [], [box(100, "lost")], None)
    row = (drawn[60 * FACTOR, 100 * FACTOR : 130 * FACTOR] == rgb("lost")).all(axis=1)
    assert 4 <= np.count_nonzero(np.diff(row.astype(int))) <= 20
    assert 0.3 < row.mean() < 0.8


def test_trails_fade_with_age_and_end() -> None:
    pen = Trails({1: "car"}, trail_frames=4)
    black = np.zeros((*SIZE, 3), np.uint8)
    for x in (20, 80, 140):
        drawn = pen.draw(black, [box(x)], [], None)
    level = 60 * FACTOR + 1  # just below the boxes' lower edge runs the trail from middle to middle
    old, young = (int(drawn[level - 1 : level + 2, x * FACTOR].max()) for x in (60, 125))
    assert 0 < old < young
    for _ in range(5):
        drawn = pen.draw(black, [], [], None)
    assert not drawn[: SIZE[0] * FACTOR].any()


def test_masks_take_the_colour_of_their_track() -> None:
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[70:100, 200:240] = 1
    grey = np.full((*SIZE, 3), 100, np.uint8)
    drawn = Trails({1: "car"}, trail_frames=4).draw(grey, [box(20)], [], [coco_mask.encode(mask)["counts"]])
    expected = np.round(0.6 * 100 + 0.4 * np.array(colour_of(1)))
    np.testing.assert_array_equal(drawn[85 * FACTOR, 220 * FACTOR], expected)
    np.testing.assert_array_equal(drawn[85 * FACTOR, 250 * FACTOR], [100, 100, 100])


def test_neighbouring_ids_look_different_and_sides_are_even() -> None:
    colours = [np.array(colour_of(track)) for track in range(1, 30)]
    assert min(np.abs(a - b).max() for a, b in pairwise(colours)) > 60
    drawn = Trails({1: "car"}, trail_frames=4).draw(np.zeros((121, 641, 3), np.uint8), [], [], None)
    assert drawn.shape[0] % 2 == drawn.shape[1] % 2 == 0
