"""How flows meet Prefect, in a process of its own: Prefect reads its settings when it is loaded."""

import subprocess
import sys

from tests.flows.conftest import environment

ATTENDED = """
from flows import runtime
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

def now():
    return get_current_settings().model_dump()

given = now()
with runtime.attended():
    found = now()
with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
    expected = now()
print(given["flows"]["heartbeat_frequency"], found["flows"]["heartbeat_frequency"], found == expected, now() == given)
"""


def test_attended_flows_send_no_heartbeat_and_keep_all_other_settings() -> None:
    said = subprocess.run(
        [sys.executable, "-c", ATTENDED],
        env=environment(PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30"),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert said.stdout.split() == ["30", "None", "True", "True"]
