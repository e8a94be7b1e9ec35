"""Rain falls; fog and ice stay; snow keeps its wind."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions import CORRUPTIONS, corrupt
from tasks.corruptions.weather import falling_drops

Frames = NDArray[np.uint8]
VIEW = {"height_px": 120, "width_px": 160, "length_px": 12, "seed": 4}


def test_drops_fall_two_lengths_a_frame_along_their_streak() -> None:
    (before, lean_px), (after, _) = (falling_drops(**VIEW, drops_in_view=300, frame_index=t) for t in (10, 11))
    step = after - before
    still_in_view = step[:, 1] > 0  # the others have come back at the top
    assert still_in_view.mean() > 0.7
    down = step[still_in_view, 1] / 12
    assert down.min() >= 2 * 0.85 - 0.1
    assert down.max() <= 2 * 1.15 + 0.1
    np.testing.assert_allclose(step[still_in_view, 0], lean_px * down, atol=1.5)
    returned = ~still_in_view
    assert (after[returned, 1] < before[returned, 1]).all()


def test_rain_is_as_dense_as_it_says_everywhere_and_always() -> None:
    for frame_index in (0, 1, 1000, 10**6):
        starts, lean_px = falling_drops(**VIEW, drops_in_view=4000, frame_index=frame_index)
        # A streak is in view by its middle.
        x, y = starts[:, 0] + lean_px / 2, starts[:, 1] + 6
        seen = (x >= 0) & (x < 160) & (y >= 0) & (y < 120)
        assert seen.sum() == pytest.approx(4000, abs=5 * 4000**0.5)
        counts, _, _ = np.histogram2d(x[seen], y[seen], bins=(4, 4), range=((0, 160), (0, 120)))
        assert counts.min() > 250 - 5 * 16
        assert counts.max() < 250 + 5 * 16


def test_heavier_rain_keeps_the_drops_of_the_lighter() -> None:
    few, _ = falling_drops(**VIEW, drops_in_view=100, frame_index=3)
    many, _ = falling_drops(**VIEW, drops_in_view=300, frame_index=3)
    np.testing.assert_array_equal(many[: len(few)], few)


def test_rain_is_seen_to_fall() -> None:
    black = np.zeros((2, 192, 320, 3), np.uint8)
    first, second = corrupt(black, name="rain", level=60, clips="a").astype(float).mean(axis=-1)
    assert 0.002 < (first > 10).mean() < 0.2, "streaks are visible, and not a wall"
    # Where the second frame looks most like the first one moved down: two lengths of the near streaks (27 px each),
    # give or take their spread in speed.
    match = {
        (down, aside): float((first[: 192 - down, 60:260] * second[down:, 60 + aside : 260 + aside]).sum())
        for down in range(1, 120, 2)
        for aside in range(-24, 25, 2)
    }
    (down, _), _ = max(match.items(), key=lambda item: item[1])
    assert 20 <= down <= 66


def test_rain_darkens_and_streaks_are_bright() -> None:
    grey = np.full((1, 192, 320, 3), 120, np.uint8)
    values = [corrupt(grey, name="rain", severity=s) for s in range(1, 6)]
    backgrounds = [float(np.median(v)) for v in values]
    assert backgrounds == sorted(backgrounds, reverse=True)
    assert backgrounds[0] > 105
    assert all(v.max() > np.median(v) + 30 for v in values)


def test_no_rain_is_no_change() -> None:
    grey = np.full((1, 40, 40, 3), 120, np.uint8)
    np.testing.assert_array_equal(corrupt(grey, name="rain", level=0), grey)


@pytest.mark.parametrize("name", [name for name, c in CORRUPTIONS.items() if c.temporal == "clip"])
def test_what_belongs_to_the_clip_stays(clip: Frames, name: str) -> None:
    still = np.stack([clip[0]] * 3)
    out = corrupt(still, name=name, severity=3, clips="a", first_frame=50)
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_array_equal(out[0], out[2])


def test_fog_kept_for_a_clip_is_that_clips_own(clip: Frames) -> None:
    # The field is drawn once and kept: the caches of other clips, sizes and severities must not answer for it.
    def one(owner: str, severity: int, side: int) -> Frames:
        return corrupt(clip[:1, :side, :side], name="fog", severity=severity, clips=owner)

    keys = [(owner, severity, side) for owner in ("a", "b") for severity in (1, 2, 3, 4) for side in (32, 40)]
    forth = {key: one(*key) for key in keys}
    for key in reversed(keys):
        np.testing.assert_array_equal(one(*key), forth[key])
    assert len({out.tobytes() for out in forth.values()}) == len(keys)


def test_snow_falls_one_way_within_a_clip() -> None:
    # The reference turns the wind within 90 degrees from frame to frame. Direction of streaks by the structure tensor.
    def direction_deg(frame: Frames) -> float:
        grey = frame[..., 0].astype(float)
        down, across = np.gradient(grey)
        normal = 0.5 * np.arctan2(2 * (across * down).sum(), (across**2 - down**2).sum())
        return float(np.rad2deg(normal))

    black = np.zeros((6, 128, 128, 3), np.uint8)
    within = [direction_deg(f) for f in corrupt(black, name="snow", severity=2, clips="a")]
    between = [direction_deg(corrupt(black[:1], name="snow", severity=2, clips=str(c))[0]) for c in range(6)]
    assert np.ptp(within) < 8
    assert np.ptp(between) > 20
