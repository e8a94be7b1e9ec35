"""Identity switches: as many as TrackEval's CLEAR counts, each circumstance on a scene made for it, and all of them
against the definition spelled out frame by frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackeval.metrics import CLEAR

from tasks import tables
from tasks.metrics import switches, tracking
from tasks.metrics.score import score
from tests.tasks.metrics.test_tracking import QUIET, boxes_at, plain, their_sequence

HERE, TOUCHING, FAR = [0, 0, 10, 10], [8, 0, 18, 10], [80, 0, 90, 10]
COVERING, LARGE = [0, 0, 10, 6], [0, 0, 40, 10]


def annotated(truth, occlusion=np.nan, tagged=(), ignored=(), crowd=()):
    """Annotations of a clip given as {track: box} by frame; `tagged`, `ignored` and `crowd` name (frame, track)."""
    rows = [(frame, track, box) for frame, there in enumerate(truth) for track, box in there.items()]
    frame, track = (np.array([row[place] for row in rows], dtype=np.int64) for place in (0, 1))

    def named(pairs):
        return np.array([(f, t) in pairs for f, t, _ in rows], dtype=bool)

    return switches.Annotations(
        frame=frame,
        tracks=track,
        boxes=np.array([box for *_, box in rows], dtype=float).reshape(-1, 4),
        counts=~named(ignored) & ~named(crowd),
        crowd=named(crowd),
        occlusion=np.full(len(rows), occlusion, dtype=float),
        tagged=named(tagged),
    )


def found(truth, tracks, **marks):
    """(frame, object, before, now, circumstance) of each switch of a clip."""
    objects = annotated(truth, **marks)
    moments = []
    for frame, there in enumerate(tracks):
        own = objects.frame == frame
        counted = own & objects.counts
        moments.append(
            tracking.moment(
                plain(objects.tracks[counted], objects.boxes[counted]), plain(list(there), list(there.values()))
            )
        )
    told = switches.of_clip(np.arange(len(truth)), moments, tracking.events(moments), objects)
    return [(one.frame, one.true_track, one.track_before, one.track_now, one.circumstance) for one in told]


def test_in_plain_view():
    assert found([{1: HERE}] * 2, [{5: HERE}, {6: HERE}]) == [(1, 1, 5, 6, "none")]
    assert found([{1: HERE, 2: FAR}] * 2, [{5: HERE}, {6: HERE, 7: FAR}]) == [(1, 1, 5, 6, "none")]


def test_missed_in_between():
    assert found([{1: HERE}] * 3, [{5: HERE}, {}, {6: HERE}]) == [(2, 1, 5, 6, "missed")]


def test_absent_or_ignored_in_between():
    tracks = [{5: HERE}, {}, {6: HERE}]
    assert found([{1: HERE}, {}, {1: HERE}], tracks) == [(2, 1, 5, 6, "re_entry")]
    assert found([{1: HERE}] * 3, tracks, ignored={(1, 1)}) == [(2, 1, 5, 6, "re_entry")]
    hidden = {(0, 1), (2, 1)}
    assert found([{1: HERE}, {}, {1: HERE}], tracks, tagged=hidden) == [(2, 1, 5, 6, "re_entry")]


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_hidden_by_tag_at_any_time_from_the_last_match_on(frame):
    tracks = [{5: HERE}, {}, {6: HERE}, {6: HERE}]
    assert found([{1: HERE}] * 4, tracks, tagged={(frame, 1)}) == [(2, 1, 5, 6, "occlusion")]
    assert found([{1: HERE}] * 4, tracks, tagged={(3, 1)}) == [(2, 1, 5, 6, "missed")]


def test_hidden_by_the_annotated_share():
    tracks = [{5: HERE}, {6: HERE}]
    assert found([{1: HERE}] * 2, tracks, occlusion=0.51) == [(1, 1, 5, 6, "occlusion")]
    assert found([{1: HERE}] * 2, tracks, occlusion=0.5) == [(1, 1, 5, 6, "none")]  # `partial` to the slices
    assert found([{1: HERE}] * 2, tracks, occlusion=0.49) == [(1, 1, 5, 6, "none")]


def test_hidden_by_another_box_where_no_share_is_annotated():
    tracks, truth = [{5: HERE}, {6: HERE}], [{1: HERE, 2: COVERING}] * 2
    assert found(truth, tracks) == [(1, 1, 5, 6, "occlusion")]
    assert found(truth, tracks, ignored={(0, 2), (1, 2)}) == [(1, 1, 5, 6, "occlusion")]
    assert found(truth, tracks, crowd={(0, 2), (1, 2)}) == [(1, 1, 5, 6, "none")]
    assert found(truth, tracks, occlusion=0.0) == [(1, 1, 5, 6, "none")]  # it stands in front
    assert found([{1: HERE, 2: TOUCHING}] * 2, tracks) == [(1, 1, 5, 6, "none")]


def test_crossing():
    # The track of 2, last seen in frame 0, passes to 1, which overlaps it.
    truth = [{1: HERE, 2: TOUCHING}] * 2
    assert found(truth, [{5: HERE, 6: TOUCHING}, {6: HERE}]) == [(1, 1, 5, 6, "crossing")]
    # The track of 1 passes to 2.
    assert found(truth, [{5: HERE, 6: TOUCHING}, {7: HERE, 5: TOUCHING}]) == [
        (1, 1, 5, 7, "crossing"),
        (1, 2, 6, 5, "crossing"),
    ]
    # No overlap: the track of 2 passes on, but not by a crossing; two that exchange theirs crossed anyhow.
    apart = [{1: HERE, 2: FAR}] * 2
    assert found(apart, [{5: HERE, 6: FAR}, {6: HERE}]) == [(1, 1, 5, 6, "none")]
    assert [one[-1] for one in found(apart, [{5: HERE, 6: FAR}, {6: HERE, 5: FAR}])] == ["crossing"] * 2
    # Hidden, missed and exchanged: the ids name the other.
    covered = [{1: HERE, 2: LARGE}] * 3
    told = found(covered, [{5: HERE, 6: LARGE}, {6: LARGE}, {6: HERE, 5: LARGE}])
    assert [one[-1] for one in told] == ["crossing"] * 2


def test_an_exchange_that_takes_several_frames():
    truth = [{1: HERE, 2: FAR}] * 4
    tracks = [{5: HERE, 6: FAR}, {6: HERE}, {6: HERE}, {6: HERE, 5: FAR}]
    # When 1 takes the track of 2 nobody has taken its own yet.
    assert found(truth, tracks) == [(1, 1, 5, 6, "none"), (3, 2, 6, 5, "crossing")]


@st.composite
def crowded(draw):
    """One clip of few objects in little room, its tracks often wrong, as (truth, tracks, marks)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_objects, n_frames = draw(st.integers(1, 4)), draw(st.integers(2, 9))
    boxes = boxes_at(rng, n_objects) * draw(st.sampled_from([0.5, 1.0, 3.0]))
    names = list(range(20, 20 + n_objects))
    truth, tracks = [], []
    for _ in range(n_frames):
        boxes = boxes + np.repeat(rng.normal(0, 4, (n_objects, 2)), 2, axis=0).reshape(n_objects, 4)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        if rng.random() < 0.3:
            rng.shuffle(names)
        if rng.random() < 0.2:
            names[rng.integers(n_objects)] = 100 + len(truth)
        truth.append({place: boxes[place].tolist() for place in range(n_objects) if rng.random() < 0.85})
        tracks.append({names[p]: boxes[p].tolist() for p in range(n_objects) if rng.random() < 0.75})
    pairs = [(frame, track) for frame, there in enumerate(truth) for track in there]
    some = {name: {pair for pair in pairs if rng.random() < 0.1} for name in ("tagged", "ignored", "crowd")}
    return truth, tracks, some | {"occlusion": draw(st.sampled_from([np.nan, 0.2, 0.5, 0.7]))}


def spelled_out(truth, tracks, marks):
    """The definition, frame by frame, with nothing carried along but who was matched to what."""
    off = marks["ignored"] | marks["crowd"]
    counted = [{t: box for t, box in there.items() if (f, t) not in off} for f, there in enumerate(truth)]
    held = []  # by frame: object -> track, by CLEAR's own matching
    moments = [
        tracking.moment(plain(list(c), list(c.values())), plain(list(t), list(t.values())))
        for c, t in zip(counted, tracks, strict=True)
    ]
    for moment, event in zip(moments, tracking.events(moments), strict=True):
        held.append({int(moment.truth_ids[row]): int(moment.track_ids[column]) for row, column in event.matched})

    def shared(a, b):
        return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))

    def latest(other, frame):
        return next((held[f][other] for f in range(frame, -1, -1) if other in held[f]), None)

    def why(one, last, now):
        span = range(last, now + 1)
        if any(one not in counted[f] for f in span):
            return "re_entry"
        before, after = held[last][one], held[now][one]
        for other in {o for there in held for o in there} - {one}:
            if latest(other, last) == after and latest(other, now) == before:
                return "crossing"
            meets = any(other in counted[f] and shared(counted[f][one], counted[f][other]) > 0 for f in span)
            if meets and {latest(other, last), *(held[f].get(other) for f in span)} & {before, after}:
                return "crossing"
        for f in span:
            box = truth[f][one]
            area = (box[2] - box[0]) * (box[3] - box[1])
            over = [shared(box, b) for o, b in truth[f].items() if o != one and (f, o) not in marks["crowd"]]
            known = not np.isnan(marks["occlusion"])
            if (f, one) in marks["tagged"] or (known and marks["occlusion"] > 0.5):
                return "occlusion"
            if not known and any(2 * part > area for part in over):
                return "occlusion"
        return "missed" if now - last > 1 else "none"

    told = []
    for now, there in enumerate(held):
        for one, track in there.items():
            last = next((f for f in range(now - 1, -1, -1) if one in held[f]), None)
            if last is not None and held[last][one] != track:
                told.append((now, one, held[last][one], track, why(one, last, now)))
    return told


@settings(max_examples=150, deadline=None)
@given(crowded())
def test_every_switch_of_clear_is_told_as_defined(scene):
    truth, tracks, marks = scene
    told = found(truth, tracks, **marks)
    assert sorted(told) == sorted(spelled_out(truth, tracks, marks))
    off = marks["ignored"] | marks["crowd"]
    frames = []
    for frame, (there, theirs) in enumerate(zip(truth, tracks, strict=True)):
        kept = {track: box for track, box in there.items() if (frame, track) not in off}
        frames.append((plain(list(kept), list(kept.values())), plain(list(theirs), list(theirs.values()))))
    assert len(told) == CLEAR(QUIET).eval_sequence(their_sequence(frames))["IDSW"]


def test_the_table_has_as_many_rows_a_cell_as_scores_says(tmp_path, make_run, make_params):
    chosen = make_params(corruptions={"weather": ["fog"]}, severities=[2])
    run = make_run(tmp_path, chosen, n_clips=4, n_frames=9)
    for described in run.described.values():
        described["tasks"] = ["detection"]
    run.finish()
    score(chosen, run.layout)
    table = tables.read("switches", run.layout.scores / "switches.parquet")
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    rows = scores[(scores["metric"] == "id_switches") & (scores["slice"] == "all") & (scores["class"] == "all")]
    cell = ["model", "corruption", "severity"]
    counts = table.groupby(cell).size().reindex(rows.set_index(cell).index, fill_value=0)
    assert counts.sum() > 20
    assert counts.tolist() == rows["value"].tolist()
    objects = run.objects.merge(run.frames[["frame_id", "clip_id"]])
    names = run.classes[run.classes["kind"] == "object"].set_index("class_id")["name"]
    merged = table.merge(objects, left_on=["frame_id", "true_track"], right_on=["frame_id", "track_id"])
    assert len(merged) == len(table)
    assert (merged["class"] == merged["class_id"].map(names)).all()
    assert (merged["clip_id_x"] == merged["clip_id_y"]).all()
    assert set(table["circumstance"]) <= set(switches.CIRCUMSTANCES)
    assert (table["track_before"] != table["track_now"]).all()
