"""Rain falls, as densely as it says, and lets the scene shine through."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import corrupt
from tasks.corruptions.rain import falling_drops, streaks

Frames = NDArray[np.uint8]
VIEW = {"height_px": 120, "width_px": 160, "length_px": 12.0, "seed": 4}


def test_drops_fall_two_lengths_a_frame_along_their_streak() -> None:
    (before, lean_px, _), (after, _, _) = (falling_drops(**VIEW, drops_in_view=300, frame_index=t) for t in (10, 11))
    step = after - before
    still_in_view = step[:, 1] > 0  # the others have come back at the top
    assert still_in_view.mean() > 0.7
    down = step[still_in_view, 1] / 12
    assert down.min() >= 2 * 0.85 - 1e-6
    assert down.max() <= 2 * 1.15 + 1e-6
    np.testing.assert_allclose(step[still_in_view, 0], lean_px * down, atol=1e-6)
    returned = ~still_in_view
    assert (after[returned, 1] < before[returned, 1]).all()


def test_rain_is_as_dense_as_it_says_everywhere_and_always() -> None:
    for frame_index in (0, 1, 1000, 10**6):
        starts, lean_px, _ = falling_drops(**VIEW, drops_in_view=4000, frame_index=frame_index)
        # A streak is in view by its middle.
        x, y = starts[:, 0] + lean_px / 2, starts[:, 1] + 6
        seen = (x >= 0) & (x < 160) & (y >= 0) & (y < 120)
        assert seen.sum() == pytest.approx(4000, abs=5 * 4000**0.5)
        counts, _, _ = np.histogram2d(x[seen], y[seen], bins=(4, 4), range=((0, 160), (0, 120)))
        assert counts.min() > 250 - 5 * 16
        assert counts.max() < 250 + 5 * 16


def test_heavier_rain_keeps_the_drops_of_the_lighter() -> None:
    few, _, _ = falling_drops(**VIEW, drops_in_view=100, frame_index=3)
    many, _, _ = falling_drops(**VIEW, drops_in_view=300, frame_index=3)
    np.testing.assert_array_equal(many[: len(few)], few)


@pytest.mark.parametrize("height", [192, 480])
def test_streaks_are_partly_transparent_and_of_many_lengths(height: int) -> None:
    plane = streaks(height, height * 4 // 3, 200, 7, 3) / 255.0
    assert 0.02 < (plane > 0.02).mean() < 0.3
    assert plane.max() < 0.8, "what is behind a streak is seen"
    # No hard sticks: half of what is wet is less than half as opaque as the strongest streak.
    wet = plane[plane > 0.02]
    assert np.median(wet) < 0.5 * plane.max()
    # Long and thin: along the fall neighbours are alike, across it they are not.
    down = np.corrcoef(plane[:-3].ravel(), plane[3:].ravel())[0, 1]
    across = np.corrcoef(plane[:, :-3].ravel(), plane[:, 3:].ravel())[0, 1]
    assert down > 0.5
    assert down > 2 * across


def test_rain_is_seen_to_fall() -> None:
    dark = np.full((2, 192, 320, 3), 20, np.uint8)
    first, second = corrupt(dark, name="rain", level=60, clips="a").astype(float).mean(axis=-1)
    first, second = first - np.median(first), second - np.median(second)
    assert 0.002 < (first > 10).mean() < 0.2, "streaks are visible, and not a wall"
    # Where the second frame looks most like the first one moved down: two lengths of the near streaks (43 px each) or
    # of the middle ones (21 px), give or take their spread in speed.
    match = {
        (down, aside): float((first[: 192 - down, 60:260] * second[down:, 60 + aside : 260 + aside]).sum())
        for down in range(1, 120, 2)
        for aside in range(-24, 25, 2)
    }
    (down, _), best = max(match.items(), key=lambda item: item[1])
    assert 30 <= down <= 100
    assert best > 2 * np.median(list(match.values()))


def test_rain_darkens_and_streaks_are_bright() -> None:
    bright = np.full((1, 192, 320, 3), 200, np.uint8)
    backgrounds = [float(np.median(corrupt(bright, name="rain", severity=s))) for s in range(1, 6)]
    assert backgrounds == sorted(backgrounds, reverse=True)
    assert backgrounds[0] > 175
    assert 130 < backgrounds[-1] < 165
    grey = np.full((1, 192, 320, 3), 90, np.uint8)
    for severity in range(1, 6):
        out = corrupt(grey, name="rain", severity=severity)
        assert out.max() > np.median(out) + 20


def test_contrast_falls_with_the_rain(frame: Frames) -> None:
    spread = [corrupt(frame[None], name="rain", severity=s).std() for s in (1, 3, 5)]
    assert frame.std() > spread[0] > spread[1] > spread[2]


def test_no_rain_is_no_change() -> None:
    grey = np.full((1, 40, 40, 3), 120, np.uint8)
    np.testing.assert_array_equal(corrupt(grey, name="rain", level=0), grey)


def test_rain_looks_the_same_at_any_size() -> None:
    small, large = (
        corrupt(np.full((1, height, height * 4 // 3, 3), 60, np.uint8), name="rain", severity=4)[0, ..., 0].astype(
            float
        )
        for height in (240, 720)
    )
    assert small.mean() == pytest.approx(large.mean(), abs=2)
    halved = large.reshape(240, 3, 320, 3).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.7
