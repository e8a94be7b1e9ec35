"""When alerts are told: on changes alone, after so many scans, at most so often."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.monitoring.alert_records import INBOX, Alert, Signal, State
from tasks.monitoring.alerts import document, level_of, step
from tasks.params.alerts import LEVELS, Alerts

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
ONE_BY_ONE = Alerts(at_once=(), raise_after=2, clear_after=3, cooldown_s=3600)
"""Limits of 1 in these tests: values are shares of the limit."""


def signals(camera: str, values: Mapping[str, float | None]) -> list[Signal]:
    return [
        Signal(name=name, camera=camera, value=value, limit=1, evidence=f"{name} is {value}")  # type: ignore[arg-type]
        for name, value in values.items()
    ]


class Scans:
    """Scans of one camera, `minutes` apart."""

    def __init__(self, how: Alerts, *, minutes: float = 120) -> None:
        self.how, self.minutes, self.n, self.state = how, minutes, 0, State()

    def see(self, **values: float | None) -> list[Alert]:
        now = START + timedelta(minutes=self.minutes * self.n)
        self.n += 1
        self.state, told = step(self.state, signals("north", values), self.how, run=f"run{self.n}", now=now)
        return list(told)


def test_raised_after_so_many_scans_in_a_row_and_told_once() -> None:
    scans = Scans(ONE_BY_ONE)
    assert scans.see(input_drift=2) == []
    assert scans.see(input_drift=0.9) == []
    assert scans.see(input_drift=1) == []
    (told,) = scans.see(input_drift=1.5)
    assert (told["change"], told["level"], told["camera"], told["run"]) == ("raised", "ticket", "north", "run4")
    assert told["signals"][0]["evidence"] == "input_drift is 1.5"
    assert told["added"] == ["input_drift"]
    assert [scans.see(input_drift=9) for _ in range(5)] == [[]] * 5


def test_cleared_after_so_many_scans_below_a_lower_threshold() -> None:
    scans = Scans(ONE_BY_ONE)
    scans.see(input_drift=1), scans.see(input_drift=1)
    for value in (0.5, 0.5, 0.9, 0.5, 0.5, 0.8, 0.5, 0.5):  # 0.8 and above are no sign of its going
        assert scans.see(input_drift=value) == []
    (told,) = scans.see(input_drift=0.79)
    assert (told["change"], told["level"], told["level_before"]) == ("resolved", None, "ticket")
    assert told["cleared"] == ["input_drift"]
    assert told["signals"] == []


def test_a_scan_that_does_not_know_counts_neither_way() -> None:
    scans = Scans(ONE_BY_ONE)
    scans.see(abstention=1), scans.see(abstention=None), scans.see()
    assert scans.see(abstention=1)[0]["change"] == "raised"
    assert [scans.see(abstention=v) for v in (0, None, 0, None)] == [[]] * 4
    assert scans.see(abstention=0)[0]["change"] == "resolved"


def test_not_a_number_is_not_known() -> None:
    assert not Signal(name="forecast", camera="north", value=float("nan"), limit=1, evidence="").over
    assert Signal(name="forecast", camera="north", value=float("inf"), limit=1, evidence="").value is None
    with pytest.raises(ValidationError):
        Signal(name="forecast", camera="north", value=1, limit=0, evidence="")


def test_one_scan_is_enough_for_what_params_name() -> None:
    assert Scans(Alerts()).see(quarantined=1)[0]["level"] == "ticket"
    assert Scans(Alerts()).see(input_drift=1) == []


@pytest.mark.parametrize(
    ("raised", "level"),
    [
        ({"backlog"}, "ticket"),
        ({"input_drift"}, "ticket"),
        ({"input_drift", "quarantined"}, "ticket"),
        ({"input_drift", "output_drift"}, "review"),
        ({"forecast"}, "review"),
        ({"forecast", "output_drift"}, "rollback"),
        (set(), None),
    ],
)
def test_level_of_signals_together(raised: set[Any], level: str | None) -> None:
    assert level_of(raised, Alerts()) == level


def test_more_signals_escalate_and_fewer_lower() -> None:
    scans = Scans(Alerts(clear_after=1))
    assert scans.see(forecast=1)[0]["level"] == "review"
    (told,) = scans.see(forecast=1, output_drift=2) or scans.see(forecast=1, output_drift=2)
    assert (told["change"], told["level"], told["level_before"]) == ("escalated", "rollback", "review")
    assert told["added"] == ["output_drift"]
    assert told["text"] == "camera north: rollback (escalated, was review): forecast is 1; output_drift is 2."
    (told,) = scans.see(forecast=1, output_drift=0)
    assert (told["change"], told["level"], told["cleared"]) == ("lowered", "review", ["output_drift"])
    (told,) = scans.see(forecast=1, quarantined=1)
    assert (told["change"], told["level"]) == ("changed", "review")


def test_within_the_cooldown_changes_wait_and_are_counted() -> None:
    scans = Scans(Alerts(clear_after=1, cooldown_s=3600), minutes=10)
    assert len(scans.see(quarantined=1)) == 1  # 0 min
    assert scans.see(quarantined=0) == []  # resolved, held back
    assert scans.see(quarantined=1) == []  # as it was told
    assert scans.see(quarantined=0) == []  # held back
    assert [scans.see() for _ in range(2)] == [[], []]
    (told,) = scans.see()  # 60 min
    assert (told["change"], told["held_back"]) == ("resolved", 3)
    assert "held back: 3" in told["text"]


def test_a_higher_level_does_not_wait() -> None:
    scans = Scans(Alerts(clear_after=1), minutes=1)
    assert scans.see(quarantined=1)[0]["level"] == "ticket"
    assert scans.see(quarantined=1, forecast=1)[0]["level"] == "review"
    assert scans.see(quarantined=1, forecast=0) == []
    assert scans.see(quarantined=1, forecast=1) == []  # told already
    assert scans.see(forecast=1, output_drift=1) == []
    assert scans.see(forecast=1, output_drift=1)[0]["level"] == "rollback"


def test_after_all_clear_a_ticket_waits_and_a_review_does_not() -> None:
    scans = Scans(Alerts(clear_after=1), minutes=30)
    assert len(scans.see(quarantined=1)) == 1  # 0 min
    assert scans.see(quarantined=0) == []
    assert scans.see()[0]["change"] == "resolved"  # 60 min
    assert scans.see(quarantined=1) == []
    assert scans.see(quarantined=1)[0]["level"] == "ticket"  # 120 min
    scans.see(quarantined=0)
    assert scans.see()[0]["change"] == "resolved"  # 180 min
    assert scans.see(forecast=1)[0]["level"] == "review"


def test_cameras_do_not_silence_each_other() -> None:
    given = [*signals("north", {"forecast": 1}), *signals("south", {"forecast": 1}), *signals(INBOX, {"backlog": 1})]
    _, told = step(State(), given, Alerts(), run="run", now=START)
    assert [alert["camera"] for alert in told] == [INBOX, "north", "south"]
    assert told[0]["text"] == "inbox: ticket (raised): backlog is 1."
    assert len({alert["id"] for alert in told}) == 3


def test_an_alert_is_known_by_what_it_says() -> None:
    def told(run: str, camera: str, **values: float) -> str:
        return step(State(), signals(camera, values), Alerts(), run=run, now=START)[1][0]["id"]

    first = told("run", "north", forecast=1)
    assert len(first) == 32
    assert first == told("run", "north", forecast=7)
    others = {told("ruN", "north", forecast=1), told("run", "south", forecast=1), told("run", "north", backlog=1)}
    assert first not in others
    assert len(others) == 3


def test_a_signal_may_stand_once() -> None:
    with pytest.raises(ValueError, match="forecast of camera north stands twice in run r"):
        step(State(), signals("north", {"forecast": 1}) * 2, Alerts(), run="r", now=START)


def test_a_clock_that_was_wrong_silences_nobody() -> None:
    state, _ = step(State(), signals("n", {"forecast": 1}), Alerts(), run="a", now=START + timedelta(days=400))
    for n in range(3):
        state, told = step(state, signals("n", {"forecast": 0}), Alerts(), run=f"b{n}", now=START)
    assert [alert["change"] for alert in told] == ["resolved"]


def test_document_of_a_scan() -> None:
    given = [*signals("north", {"forecast": 1, "abstention": None}), *signals("south", {"quarantined": 0})]
    state, told = step(State(), given, Alerts(), run="run", now=START)
    found = document(state, told, given, Alerts(), run="run", now=START)
    assert (found["schema"], found["run"], found["at_utc"]) == (1, "run", "2026-11-22T03:00:00Z")
    assert found["alerts"] == list(told)
    (standing,) = found["raised"]
    assert (standing["camera"], standing["level"], standing["told"]) == ("north", "review", True)
    assert [signal["value"] for signal in found["signals"]] == [1, None, 0]


NAMES = ("input_drift", "output_drift", "forecast")
VALUES = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 0.79, 0.8, 0.9, 1.0, 3.0]))
SCANS = st.lists(
    st.tuples(
        st.integers(0, 90),  # minutes since the one before
        st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)),
        st.fixed_dictionaries({}, optional={"forecast": VALUES, "backlog": VALUES}),
    ),
    max_size=25,
)
HOW = st.builds(
    Alerts,
    raise_after=st.integers(1, 3),
    clear_after=st.integers(1, 3),
    cooldown_s=st.sampled_from([0, 1800, 3600, 10800]),
    at_once=st.sampled_from([(), ("forecast",)]),
)


def rank(level: str | None) -> int:
    return 0 if level is None else LEVELS.index(level) + 1  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(SCANS, HOW)
def test_any_sequence_of_scans(scans: list[tuple[int, dict[str, Any], dict[str, Any]]], how: Alerts) -> None:
    """What holds whatever happens, told from the values alone."""
    state, now, alerts = State(), START, []
    known: dict[tuple[str, str], list[float]] = {}
    raised: dict[str, list[tuple[str, ...]]] = {"north": [()], "south": [()]}
    changed: dict[str, set[int]] = {"north": set(), "south": set()}
    for n, (minutes, north, south) in enumerate(scans):
        now += timedelta(minutes=minutes)
        given_ = signals("north", north) + signals("south", south)
        before = state.model_dump_json()
        after, told = step(state, given_, how, run=f"r{n}", now=now)
        assert state.model_dump_json() == before
        assert State.model_validate_json(after.model_dump_json()) == after
        for signal in given_:
            if signal.value is not None:
                known.setdefault((signal.camera, signal.name), []).append(signal.value)
        for camera in raised:
            is_raised = after.cameras[camera].raised if camera in after.cameras else ()
            was = raised[camera][-1]
            for name in set(is_raised) - set(was):
                needed = 1 if name in how.at_once else how.raise_after
                assert len(known[camera, name]) >= needed
                assert min(known[camera, name][-needed:]) >= 1
            for name in set(was) - set(is_raised):
                assert len(known[camera, name]) > how.clear_after
                assert max(known[camera, name][-how.clear_after :]) < how.clear_share
            if is_raised != was:
                changed[camera].add(n)
            raised[camera].append(is_raised)
        alerts += [(n, now, alert) for alert in told]
        state = after
    assert len({alert["id"] for *_, alert in alerts}) == len(alerts)
    assert [item.alert for item in state.outbox] == [alert for *_, alert in alerts]
    for camera, seen in raised.items():
        own = [entry for entry in alerts if entry[2]["camera"] == camera]
        told_as = [((), None), *((tuple(s["name"] for s in a["signals"]), a["level"]) for *_, a in own)]
        assert all(one != other for one, other in pairwise(told_as)), "told without a change"
        for n, now_, alert in own:
            assert tuple(s["name"] for s in alert["signals"]) == seen[n + 1]
            recent = [e for e in own if e[0] < n and (now_ - e[1]).total_seconds() < how.cooldown_s]
            assert not recent or rank(alert["level"]) >= rank("review"), "told within the cooldown"
            assert all(rank(alert["level"]) > rank(e[2]["level"]) for e in recent), "no higher than what was told"
        # Every change is told by itself, counted by a later alert, or still to be counted.
        at_once = len({n for n, *_ in own} & changed[camera])
        waiting = state.cameras[camera].held_back if camera in state.cameras else 0
        assert at_once + sum(alert["held_back"] for *_, alert in own) + waiting == len(changed[camera])
    # Nothing is held back for ever: once the cooldown is over, the next look tells what is.
    later, told = step(state, [], how, run="later", now=now + timedelta(days=1))
    for camera, seen in raised.items():
        if camera in later.cameras:
            assert later.cameras[camera].told_signals == seen[-1]
        else:
            assert seen[-1] == ()
