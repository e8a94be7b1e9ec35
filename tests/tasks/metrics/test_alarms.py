"""Alarms against a simulation that lives through every clip frame by frame."""

from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import alarms
from tasks.metrics.resampling import Resampler, unit_weights

N_CLASSES = 2


@st.composite
def clips(draw):
    """Clips as lists of frames (truth, boxes): truth as {(id, class)}, boxes as {(track, class): found or None}."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    result = []
    for _ in range(draw(st.integers(1, 4))):
        things = [(int(rng.integers(1, 5)), int(rng.integers(0, N_CLASSES))) for _ in range(rng.integers(0, 4))]
        things = list(dict.fromkeys(things))
        tracks = [(int(rng.integers(1, 6)), int(rng.integers(0, N_CLASSES))) for _ in range(rng.integers(0, 5))]
        tracks = list(dict.fromkeys(tracks))
        there, seen, lucky = rng.uniform(0.2, 1, 3)
        frames = []
        for _ in range(draw(st.integers(1, 14))):
            truth = {thing for thing in things if rng.random() < there}
            boxes = {}
            for track in tracks:
                if rng.random() >= seen:
                    continue
                free = [thing for thing in truth if thing[1] == track[1] and thing not in boxes.values()]
                boxes[track] = free[rng.integers(0, len(free))] if free and rng.random() < lucky else None
            frames.append((truth, boxes))
        result.append(frames)
    return result


def simulated(frames, needed, window):
    """The alarms of one clip, as (track, class, moment, detected), and its truth tracks, as {thing: (first, long)}."""
    raised, memory, sightings, things = [], {}, {}, {}
    for moment, (truth, boxes) in enumerate(frames):
        for thing in truth:
            sightings.setdefault(thing, deque()).append(moment)
            things.setdefault(thing, [moment, False])
        for thing, moments in sightings.items():
            while moments and moments[0] <= moment - window:
                moments.popleft()
            things[thing][1] |= len(moments) >= needed
        for track, found in boxes.items():
            memory.setdefault(track, []).append((moment, found))
        for track, history in memory.items():
            recent = [found for at, found in history if at > moment - window]
            if len(recent) < needed or any(track == other for other, _, _ in raised):
                continue
            right = [found for found in recent if found is not None]
            detected = None
            if len(right) >= needed / 2:
                most = max(Counter(right).values())
                detected = next(found for found in right if right.count(found) == most)
            raised.append((track, moment, detected))
    return raised, things


def arrays(given_clips):
    """The same clips as the product takes them."""
    truth, boxes, found = [], [], []
    for clip, frames in enumerate(given_clips):
        for moment, (there, seen) in enumerate(frames):
            truth += [(clip, moment, *thing) for thing in there]
            for track, thing in seen.items():
                boxes.append((clip, moment, *track))
                found.append(None if thing is None else (clip, moment, *thing))
    places = {row: place for place, row in enumerate(truth)}
    partner = np.array([-1 if row is None else places[row] for row in found], dtype=np.int64)

    def seen_of(rows):
        return alarms.Seen(*np.array(rows, dtype=np.int64).reshape(-1, 4).T)

    return seen_of(truth), seen_of(boxes), partner


@settings(max_examples=300, deadline=None)
@given(clips(), st.integers(1, 4), st.integers(0, 3))
def test_alarms_equal_a_simulation(given_clips, needed, more):
    window = needed + more
    truth, boxes, partner = arrays(given_clips)
    there, event_of = alarms.events(truth, needed, window)
    event = np.r_[event_of, -1][partner]
    found = alarms.raised(boxes, event, needed, window)
    name = {int(event_of[i]): (int(truth.track[i]), int(truth.kind[i])) for i in range(len(event_of))}
    rows = zip(found.clip, found.track, found.kind, found.moment, found.event, strict=True)
    own = {(int(c), (int(t), int(k)), int(m), name.get(int(e))) for c, t, k, m, e in rows}
    lived = [simulated(frames, needed, window) for frames in given_clips]
    assert own == {(clip, *alarm) for clip, (raised, _) in enumerate(lived) for alarm in raised}
    assert (found.true == (found.event >= 0)).all()
    known = {(int(there.clip[e]), name[e]): [int(there.first[e]), bool(there.long[e])] for e in name}
    assert known == {(clip, thing): told for clip, (_, things) in enumerate(lived) for thing, told in things.items()}

    n_frames = np.array([len(frames) for frames in given_clips])
    frame_s = np.linspace(0.1, 0.2, len(given_clips))
    switches = np.ones((len(given_clips), 1 + N_CLASSES))
    sums = alarms.sums(there, found, alarms.jumps(boxes, event, np.zeros((len(event), 2))), switches, n_frames, frame_s)
    figures = sums.figures()
    for place, kinds in enumerate((set(range(N_CLASSES)), *({kind} for kind in range(N_CLASSES)))):
        eligible = [
            (clip, thing)
            for clip, (_, things) in enumerate(lived)
            for thing, (_, long) in things.items()
            if long and thing[1] in kinds
        ]
        delays, seconds, false = [], [], 0
        for clip, (raised, things) in enumerate(lived):
            false += sum(detected is None and track[1] in kinds for track, _, detected in raised)
            for thing in {detected for _, _, detected in raised} - {None}:
                if (clip, thing) in eligible:
                    first = min(moment for _, moment, detected in raised if detected == thing)
                    delays.append(first - things[thing][0])
                    seconds.append(delays[-1] * frame_s[clip])
        expected = {
            "missed_events": 1 - len(delays) / len(eligible) if eligible else np.nan,
            "time_to_detect_frames": np.mean(delays) if delays else np.nan,
            "time_to_detect_s": np.mean(seconds) if delays else np.nan,
            "false_alarms_per_1000_frames": 1000 * false / n_frames.sum(),
            "false_alarms_per_minute": 60 * false / (n_frames * frame_s).sum(),
            "switches_per_200_frames": 200 * len(given_clips) / n_frames.sum(),
        }
        assert min(delays, default=0) >= 0
        for metric, value in expected.items():
            assert figures[metric][place] == pytest.approx(value, nan_ok=True), metric


def test_evidence_is_told_by_hand():
    """Frames 0, 2 and 4 of five: three of the last five at frame 4; two of them found truth of id 7, one of id 8."""
    boxes = alarms.Seen(*np.array([[0, 0, 1, 0], [0, 2, 1, 0], [0, 4, 1, 0]]).T)
    found = alarms.raised(boxes, np.array([1, 0, 1]), 3, 5)
    assert (found.moment.tolist(), found.true.tolist(), found.event.tolist()) == ([4], [True], [1])
    assert not len(alarms.raised(boxes, np.array([1, 0, 1]), 3, 4).clip)
    assert alarms.raised(boxes, np.array([-1, -1, 1]), 3, 5).event.tolist() == [-1]


def test_jitter_is_what_changes_and_not_what_stays():
    boxes = alarms.Seen(*np.array([[0, m, track, 0] for track in (1, 2) for m in (0, 1, 2, 4)]).T)
    event = np.array([0, 0, 0, 0, 1, -1, 1, 1])
    error = np.array([[0.1, 0], [0.1, 0.3], [0.5, 0.6], [9, 9], [0, 0], [5, 5], [0, 1], [0, 2]])
    later, lengths = alarms.jumps(boxes, event, error)
    assert later.moment.tolist() == [1, 2]  # frame 3 is missing, and frame 1 of the second track found nothing
    assert lengths.tolist() == pytest.approx([0.3, 0.5])


def test_unknown_frame_rates_and_counts_of_none_have_no_false_confidence():
    truth = alarms.Seen(*np.array([[clip, m, 1, 0] for clip in range(3) for m in range(4)]).T)
    there, event = alarms.events(truth, 2, 3)
    raised = alarms.raised(truth, event, 2, 3)
    jumped = alarms.jumps(truth, event, np.zeros((len(event), 2)))
    sums = alarms.sums(there, raised, jumped, np.zeros((3, 3)), np.full(3, 4), np.array([0.1, np.nan, 0.1]))
    none = alarms.sums(there, raised, jumped, np.zeros((3, 3)), np.full(3, 4), np.full(3, np.nan)).figures()
    figures = sums.figures()
    again = sums.resampled(Resampler(np.repeat(np.arange(3), 4), unit_weights(["a", "b", "c"], 100), 0.95, 2))
    assert np.isnan(none["time_to_detect_s"]).all()
    assert np.isnan(none["false_alarms_per_minute"]).all()
    assert figures["time_to_detect_s"][0] == pytest.approx(0.1 * figures["time_to_detect_frames"][0])
    assert figures["time_to_detect_frames"][0] == 1
    assert np.ptp(again["time_to_detect_frames"][0]) < 1e-6
    assert (figures["false_alarms_per_1000_frames"][0], again["false_alarms_per_1000_frames"][0]) == (0, None)
    assert (figures["missed_events"][0], again["missed_events"][0].max()) == (0, 0)
