"""Schedules computed by hand, and against a simulation that goes through time a tick at a time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.metrics.arrivals import schedule, timetable, untimed
from tasks.params import Realtime

NONE = -1


@pytest.mark.parametrize(
    ("periods", "keep_newest", "taken", "shown"),
    [
        (0, False, [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]),
        (0, True, [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]),
        (1, False, [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]),  # it ends as the next one arrives
        (1.1, False, [0, 2, 4, 6], [NONE, 0, 0, 2, 2, 4, 4, 6]),
        (2.5, False, [0, 3, 6], [NONE, NONE, 0, 0, 0, 3, 3, 3]),
        # Taken at 0, 1.1, 2.2 ... 6.6: every frame, each late; taken at 0, 2.5, 5 and (arrived at 7) 7.5.
        (1.1, True, [0, 1, 2, 3, 4, 5, 6, 7], [NONE, 0, 1, 2, 3, 4, 5, 6]),
        (2.5, True, [0, 2, 5, 7], [NONE, NONE, 0, 0, 2, 2, 2, 5]),
        (100, False, [0], [NONE] * 8),
    ],
)
@pytest.mark.parametrize("period_s", [0.04, 1.0, 1 / 30])
def test_schedules_by_hand(periods, keep_newest, taken, shown, period_s):
    processed, found = schedule(np.arange(8) * period_s, periods * period_s, keep_newest=keep_newest)
    assert np.flatnonzero(processed).tolist() == taken
    assert found.tolist() == shown


def test_one_frame_has_all_the_time_there_is_and_none_is_no_clip():
    assert [part.tolist() for part in schedule(np.zeros(1), 60.0)] == [[True], [0]]


def simulated(arrival, latency, keep_newest):
    """The same by going through time tick by tick, for whole numbers."""
    n = len(arrival)
    last = arrival[-1] + (int(np.median(np.diff(arrival))) if n > 1 else 10**6)
    until = [*arrival[1:], last]
    busy_with, ends, waiting, newest_done = None, 0, None, NONE
    taken, shown = [], [NONE] * n
    for now in range(last + latency + 1):  # what is taken last may wait for what is being worked on
        arrived = arrival.index(now) if now in arrival else None
        if busy_with is not None and now >= ends:
            busy_with, newest_done = None, busy_with
        for frame in range(n):
            if until[frame] == now:  # what counted at this frame is settled before the next is taken
                shown[frame] = newest_done
        if arrived is not None:
            waiting = arrived
        if busy_with is None and waiting is not None:
            taken.append(waiting)
            busy_with, ends, waiting = waiting, now + latency, None
        elif not keep_newest:
            waiting = None
    return taken, shown


@given(
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    latency=st.integers(1, 30),
    keep_newest=st.booleans(),
)
def test_schedules_as_simulated_at_uneven_rates(steps, latency, keep_newest):
    steps = [2 * step for step in steps]  # so that the median is whole
    arrival = np.cumsum([0, *steps]).tolist()
    taken, shown = simulated(arrival, latency, keep_newest)
    processed, found = schedule(np.array(arrival, dtype=float), float(latency), keep_newest=keep_newest)
    assert np.flatnonzero(processed).tolist() == taken
    assert found.tolist() == shown


def table(times, clip="a"):
    return pd.DataFrame({"clip_id": clip, "frame_index": range(len(times)), "timestamp_s": times})


def test_every_clip_has_its_own_rate_unless_params_state_one():
    frames = pd.concat([table([5.0, 5.1, 5.2, 5.3]), table([0.0, 0.2, 0.4], "b"), table([7.0], "c")])
    frames = frames.reset_index(drop=True)
    found = timetable(frames, 0.15, Realtime())
    assert found.processed.tolist() == [True, False, True, False, True, True, True, True]
    assert found.source.tolist() == [-1, 0, 0, 2, 4, 5, 6, 7]
    assert found.frames_per_s == pytest.approx(1 / 0.15)  # the median of a 10th and a 5th of a second
    assert not found.whole
    stated = timetable(frames, 0.15, Realtime(frames_per_s=2))
    assert stated.whole
    assert stated.frames_per_s == pytest.approx(2)


def test_frames_without_times_or_with_times_that_fall_say_so():
    assert untimed(table([0.0, 0.1, 0.2]), Realtime()) is None
    assert "clip a has frames without timestamp_s" in str(untimed(table([0.0, None, 0.2]), Realtime()))
    assert "do not rise" in str(untimed(table([0.0, 0.1, 0.1]), Realtime()))
    assert untimed(table([None, None]), Realtime(frames_per_s=25)) is None
    assert untimed(table([None]), Realtime()) is None  # a still needs no time
