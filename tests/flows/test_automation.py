"""The automation of docs/automation.yaml reacts to alerts of level rollback, as Prefect itself reads and runs it."""

import asyncio
import datetime
import json
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.monitoring import delivery
from tasks.monitoring.alert_records import Alert, Signal, State
from tasks.monitoring.alerts import step
from tasks.params.alerts import Alerts
from tests.flows.conftest import environment

FILE = Path(__file__).parents[2] / "docs/automation.yaml"
NOW = datetime.datetime(2026, 11, 22, 3, 15, tzinfo=datetime.UTC)


def alert(*names: Any, camera: str = "north") -> Alert:
    """What a camera's signals make of it."""
    given = [Signal(name=name, camera=camera, value=1, limit=1, evidence=f"{name} is high") for name in names]
    _, told = step(State(), given, Alerts(raise_after=1), run="20261122T031500Z", now=NOW)
    return told[0]


def test_it_covers_alerts_that_ask_for_a_rollback_of_a_camera() -> None:
    from prefect.events.schemas.automations import AutomationCore  # seconds long, so not for collecting the tests
    from prefect.server.events.schemas.automations import Automation, EventTrigger, TriggeredAction
    from prefect.server.events.schemas.events import ReceivedEvent

    content = yaml.safe_load(FILE.read_text())
    AutomationCore.model_validate(content)  # what the command does
    read = Automation.model_validate({**content, "id": uuid.uuid4()})  # and the server
    assert isinstance(read.trigger, EventTrigger)

    def covered(told: Alert) -> bool:
        return bool(read.trigger.covers(ReceivedEvent(**delivery.event(told))))

    assert covered(alert("forecast", "output_drift"))
    assert not covered(alert("forecast"))
    assert not covered(alert("missed_scans", camera="*"))
    event = ReceivedEvent(**delivery.event(alert("forecast", "output_drift")))
    (action,) = read.actions
    triggered = TriggeredAction(
        automation=read, action=action, triggering_event=event, triggered=NOW, triggering_labels={}
    )
    with ThreadPoolExecutor(1) as thread:  # where no test of the browser has left its loop
        parameters = thread.submit(asyncio.run, action.render_parameters(triggered)).result()
    assert parameters == {
        "camera": "north",
        "reason": "camera north: rollback (raised): forecast is high; output_drift is high.",
    }


def test_the_same_alert_is_the_same_event() -> None:
    from prefect.server.events.schemas.events import ReceivedEvent  # as above

    one = delivery.event(alert("forecast"))
    assert one == delivery.event(alert("forecast"))
    assert one["id"] != delivery.event(alert("forecast", camera="south"))["id"]
    event = ReceivedEvent(**one)
    assert event.resource.id == "stormglass.camera.north"
    assert event.occurred == NOW


SCRIPT = """
import json, sys, time
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from tasks.monitoring import delivery

emit_event(**delivery.event(json.loads(sys.argv[1])))
asked = {"filter": {"event": {"name": ["prefect.automation.triggered"]}}, "limit": 10}
with get_client(sync_client=True) as client:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = client.request("POST", "/events/filter", json=asked).json()["events"]
        if found:
            break
        time.sleep(0.3)
print(json.dumps([event["resource"]["prefect.resource.name"] for event in found]))
"""


@pytest.mark.slow
def test_a_server_takes_the_file_and_reacts(prefect: dict[str, str]) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env=environment(**prefect), capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = run("-m", "prefect", "automation", "create", "--from-file", str(FILE))
    assert "Created automation 'Roll back when a camera asks for it'" in " ".join(told.split())
    # A camera of its own: other tests look for theirs on the same server.
    fired = run("-c", SCRIPT, json.dumps(alert("forecast", "output_drift", camera="dock")))
    assert json.loads(fired.splitlines()[-1]) == ["Roll back when a camera asks for it"]
