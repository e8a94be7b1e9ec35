"""The state of alerts on the disk: taken in once, whole or not at all, whatever kills the process."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import WorkFailed
from tasks.monitoring import alert_state, signals
from tasks.monitoring.alert_records import INBOX, Alert, Signal, State
from tasks.monitoring.alerts import step
from tasks.params.alerts import Alerts
from tests.tasks.monitoring import killed_scans
from tests.tasks.monitoring.receiver import receiver

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOW = Alerts(cooldown_s=0, clear_after=1)


def said(value: float, name: str = "forecast", camera: str = "north") -> Signal:
    return Signal(name=name, camera=camera, value=value, limit=1, evidence="so it is")  # type: ignore[arg-type]


def scan(runs: Path, run: str, *given: Signal, now: datetime = START, how: Alerts = HOW) -> list[Alert]:
    """A scan that is finished and taken in; what it told."""
    folder = runs / run
    folder.mkdir(parents=True)
    found = alert_state.preview(runs, given, how, run=run, now=now)
    (folder / alert_state.DOCUMENT).write_text(json.dumps(found))
    told = alert_state.commit(runs, how, run=run)
    assert found["alerts"] == told, "the page shows what is told"
    return told


def test_a_scan_is_taken_in_once(tmp_path: Path) -> None:
    assert [alert["change"] for alert in scan(tmp_path, "20261122T030000Z", said(1))] == ["raised"]
    assert alert_state.commit(tmp_path, HOW) == []
    assert alert_state.commit(tmp_path, HOW, run="20261122T030000Z") == []
    state = alert_state.read(tmp_path)
    assert [item.alert["change"] for item in state.outbox] == ["raised"]
    assert state.runs == ("20261122T030000Z",)


def test_scans_that_nobody_took_in_are_taken_in_by_the_next_in_order(tmp_path: Path) -> None:
    scan(tmp_path, "20261122T030000Z", said(0))
    for run, value in (("20261122T031500Z", 1), ("20261122T031500Z-2", 0), ("20261122T031500Z-10", 1)):
        (tmp_path / run).mkdir()
        document = {"schema": 1, "at_utc": "2026-11-22T03:15:00Z", "signals": [said(value).model_dump()]}
        (tmp_path / run / alert_state.DOCUMENT).write_text(json.dumps(document))
    (tmp_path / ".20261122T040000Z.begun").mkdir()
    (tmp_path / ".20261122T040000Z.begun" / alert_state.DOCUMENT).write_text("{}")
    told = alert_state.commit(tmp_path, HOW)
    assert [(alert["run"][16:], alert["change"]) for alert in told] == [
        ("", "raised"), ("-2", "resolved"), ("-10", "raised"),
    ]  # fmt: skip


def test_a_scan_of_a_clock_that_was_set_back_is_new(tmp_path: Path) -> None:
    scan(tmp_path, "20271122T030000Z", said(0))
    assert len(scan(tmp_path, "20261122T030000Z", said(1))) == 1
    assert alert_state.commit(tmp_path, HOW) == []


def test_watching_tells_that_scans_fail_to_come(tmp_path: Path) -> None:
    scan(tmp_path, "20261122T030000Z", said(0))

    def look(minutes: float) -> list[Alert]:
        now = START + timedelta(minutes=minutes)
        late = signals.missed(START, now, since=START - timedelta(days=1), interval_s=900, missed_scans=3)
        return alert_state.watch(tmp_path, HOW, late, now=now)

    assert [look(minutes) for minutes in (10, 44)] == [[], []]
    (told,) = look(45)
    assert (told["change"], told["level"], told["camera"]) == ("raised", "review", INBOX)
    assert "no scan has completed for 3.0 intervals of 900 s: the last did at 2026-11-22T03:00:00Z" in told["text"]
    assert [look(minutes) for minutes in (60, 600)] == [[], []]
    assert look(0) == [], "time that passes clears nothing"
    done = Signal(name="missed_scans", camera=INBOX, value=0.9, limit=3, evidence="in time")
    assert [alert["change"] for alert in scan(tmp_path, "20261122T040000Z", done)] == ["resolved"]


def test_watching_tells_what_was_held_back(tmp_path: Path) -> None:
    how = Alerts(cooldown_s=3600, clear_after=1)
    scan(tmp_path, "20261122T030000Z", said(1), how=how)
    scan(tmp_path, "20261122T031500Z", said(0), now=START + timedelta(minutes=15), how=how)
    late = Signal(name="missed_scans", camera=INBOX, value=0.1, limit=3, evidence="")
    assert alert_state.watch(tmp_path, how, late, now=START + timedelta(minutes=30)) == []
    (told,) = alert_state.watch(tmp_path, how, late, now=START + timedelta(minutes=60))
    assert (told["camera"], told["change"], told["held_back"]) == ("north", "resolved", 1)


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "cameras": {"n": {"odd": 1}}}', "\0" * 9]
)
def test_a_damaged_state_is_set_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    scan(tmp_path, "20261122T030000Z", said(1))
    (tmp_path / alert_state.STATE).write_text(damage)
    assert alert_state.read(tmp_path) == State()
    with caplog.at_level(logging.WARNING):
        told = scan(tmp_path, "20261122T031500Z", said(1))
    assert [alert["change"] for alert in told] == ["raised"]
    (aside,) = tmp_path.glob("alert_state.damaged-*.json")
    assert aside.read_text() == damage
    (line,) = caplog.messages
    assert "is damaged (" in line
    assert aside.name in line
    assert "\n" not in line
    assert len(alert_state.read(tmp_path).outbox) == 1


def test_an_unreadable_document_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scan(tmp_path, "20261122T030000Z", said(0))
    (tmp_path / "20261122T031500Z").mkdir()
    (tmp_path / "20261122T031500Z" / alert_state.DOCUMENT).write_text("{")
    assert alert_state.commit(tmp_path, HOW) == []
    assert "20261122T031500Z" in caplog.text
    assert "passed over" in caplog.text
    assert len(scan(tmp_path, "20261122T033000Z", said(1))) == 1


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Alerts(deliver_s=0.05)
    monkeypatch.setattr(alert_state, "WAIT_S", 0.05)
    held = pytest.raises(WorkFailed, match=r"another process has held it for 0\.1 s")
    with alert_state.locked(tmp_path, how), held, alert_state.locked(tmp_path, how):
        pass
    with alert_state.locked(tmp_path, how):
        pass


def test_a_state_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    scan(tmp_path, "20261122T030000Z", said(0))
    (tmp_path / f".{alert_state.STATE}.new").mkdir()
    with pytest.raises(WorkFailed, match="cannot be written"):
        scan(tmp_path, "20261122T031500Z", said(1))
    (tmp_path / f".{alert_state.STATE}.new").rmdir()
    assert len(alert_state.commit(tmp_path, HOW)) == 1


def test_killed_at_any_step_nothing_is_lost_and_nothing_made_up(tmp_path: Path) -> None:
    """A real SIGKILL before and after every change of the disk and the network, then a second process."""
    how = killed_scans.how("http://127.0.0.1:1")
    state, expected = State(), []
    for n in range(len(killed_scans.SAID)):
        now = killed_scans.START + timedelta(hours=n)
        state, told = step(state, killed_scans.said(n), how, run=killed_scans.run_name(n), now=now)
        expected += told
    assert [alert["change"] for alert in expected] == ["raised", "raised", "resolved"]
    with receiver() as there:
        command = [sys.executable, "-m", "tests.tasks.monitoring.killed_scans", str(tmp_path), there.url]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        steps = int(done.stdout)
        assert steps > 60
        for n in range(steps):
            folder = tmp_path / f"{n:03d}"
            lines = (folder / "alerts.jsonl").read_text().splitlines()
            assert [json.loads(line) for line in lines] == expected, f"killed at step {n}"
            left = alert_state.read(folder / "runs")
            assert left.outbox == ()
            assert left.given_up == 0
            assert left.cameras == state.cameras
            keys = [key for key, path in zip(there.keys, there.paths, strict=True) if path == f"/{n:03d}"]
            assert list(dict.fromkeys(keys)) == [alert["id"] for alert in expected], "in order, none lost"
            assert len(keys) <= len(expected) + 1, "what was in hand may come twice, nothing else"
