"""Frames that stand still: which, how many, and nested over levels."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions.codec import ENTRIES
from tasks.corruptions.codec.timing import FREEZE_EVERY
from tasks.corruptions.interface import Coding

Frames = NDArray[np.uint8]
Through = Callable[..., tuple[Frames, dict[str, float]]]
NAMED = {entry.name: entry for entry in ENTRIES}


def numbered(count: int) -> Frames:
    """Frames that carry their index in their first two codes."""
    frames = np.zeros((count, 2, 2, 3), np.uint8)
    frames[:, 0, 0, 0], frames[:, 0, 0, 1] = np.divmod(np.arange(count), 256)
    return frames


def indices(frames: Frames) -> list[int]:
    return [int(frame[0, 0, 0]) * 256 + int(frame[0, 0, 1]) for frame in frames]


def test_a_dropped_frame_shows_the_one_before(through: Through) -> None:
    out, facts = through("frame_drop", numbered(4000), severity=2, seed=11)
    shown = indices(out)
    assert shown[0] == 0
    dropped = [at for at in range(4000) if shown[at] != at]
    for at in range(1, 4000):
        assert shown[at] in (at, shown[at - 1])
    assert facts == {"frames_dropped": len(dropped)}
    assert len(dropped) / 4000 == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4000) ** 0.5)


def test_dropped_frames_are_those_of_higher_levels_too(through: Through) -> None:
    before: set[int] = set()
    for severity in (1, 2, 3, 4, 5):
        shown = indices(through("frame_drop", numbered(500), severity=severity, seed=3)[0])
        dropped = {at for at in range(500) if shown[at] != at}
        assert before < dropped
        before = dropped


def test_ends_of_the_drop_scale(through: Through) -> None:
    assert indices(through("frame_drop", numbered(20), level=0)[0]) == list(range(20))
    assert indices(through("frame_drop", numbered(20), level=100)[0]) == [0] * 20


@pytest.mark.parametrize("length", [0, 1, 5, 20, 40, 49])
def test_one_freeze_in_each_stretch(through: Through, length: int) -> None:
    count = 40 * FREEZE_EVERY
    out, facts = through("frame_freeze", numbered(count), level=length, seed=5)
    shown = np.array(indices(out))
    frozen = shown != np.arange(count)
    assert facts == {"frames_frozen": 40 * length}
    starts = set()
    for stretch in frozen.reshape(40, FREEZE_EVERY):
        places = np.flatnonzero(stretch)
        assert len(places) == length
        assert not len(places) or places[-1] - places[0] == length - 1
        starts |= set(places[:1].tolist())
    assert len(starts) > 5 or length in (0, 49)  # seeded, so spread
    for at in np.flatnonzero(frozen):
        assert shown[at] == shown[at - 1]


def test_freezes_lie_within_those_of_higher_levels(through: Through) -> None:
    before: set[int] = set()
    for length in range(FREEZE_EVERY):
        shown = indices(through("frame_freeze", numbered(300), level=length, seed=9)[0])
        frozen = {at for at in range(300) if shown[at] != at}
        assert before <= frozen
        before = frozen


@pytest.mark.parametrize("name", ["frame_drop", "frame_freeze"])
def test_places_are_those_of_the_clip(through: Through, name: str) -> None:
    whole = indices(through(name, numbered(200), severity=3, seed=4)[0])
    late = indices(through(name, numbered(200)[80:], severity=3, seed=4, first_frame=80)[0])
    kept = [at for at in range(80, 200) if whole[at] == at]
    assert kept == [at for at in range(80, 200) if late[at - 80] == at and (at > 80 or whole[80] == 80)]
    assert late[0] == 80  # the first frame given is always shown
    other = indices(through(name, numbered(200), severity=3, seed=5)[0])
    assert other != whole


@pytest.mark.parametrize("name", ["frame_drop", "frame_freeze"])
def test_nothing_is_held_and_the_callers_frames_are_their_own(name: str) -> None:
    entry, taken = NAMED[name], 0
    assert entry.clip is not None

    def source():  # type: ignore[no-untyped-def]
        nonlocal taken
        for frame in numbered(100):
            taken += 1
            yield frame

    for given, frame in enumerate(entry.clip(source(), entry.at(4, None), Coding(1)), start=1):
        assert taken == given
        expected_next = frame.copy()
        frame[:] = 255
        assert (expected_next[0, 1] == 0).all()
    assert list(entry.clip(iter(()), entry.at(4, None), Coding(1))) == []


def test_a_still_stays(through: Through) -> None:
    still = numbered(1)
    for name in ("frame_drop", "frame_freeze"):
        np.testing.assert_array_equal(through(name, still, severity=5)[0], still)


@pytest.mark.parametrize("name", ["frame_drop", "frame_freeze"])
def test_distortion_rises_with_severity(street: Frames, through: Through, name: str) -> None:
    outs = [through(name, street, severity=severity, seed=2)[0] for severity in (1, 2, 3, 4, 5)]
    errors = [np.abs(street - out.astype(int)).mean() for out in outs]
    assert errors == sorted(set(errors))
    assert errors[0] > 0
