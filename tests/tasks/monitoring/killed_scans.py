"""Scans whose process is killed with -9 at one step after the other, and started again: run by test_alert_state.py.

`python -m tests.tasks.monitoring.killed_scans FOLDER URL`: for each step a folder of its own, in which two scans are
made by a process that dies at that step, and then finished by a second one. Prints the number of steps.
"""

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.monitoring import alert_state, delivery
from tasks.monitoring.alert_records import Signal
from tasks.params.alerts import Alerts

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SAID: list[dict[str, float]] = [{"north": 2.0, "south": 2.0}, {"north": 0.0}]
"""Of each scan, by camera: two alerts and one more."""


def how(url: str) -> Alerts:
    return Alerts(cooldown_s=0, clear_after=1, log=False, file=Path("alerts.jsonl"), webhook={"url": url}, deliver_s=20)  # type: ignore[arg-type]


def said(n: int) -> list[Signal]:
    return [
        Signal(name="forecast", camera=camera, value=value, limit=1, evidence=f"scan {n}")
        for camera, value in SAID[n].items()
    ]


def run_name(n: int) -> str:
    return (START + timedelta(hours=n)).strftime("%Y%m%dT%H%M%SZ")


def scans(folder: Path, settings: Alerts) -> None:
    """What the flow does, as far as alerts go; scans whose folder is there are done."""
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    last = START + timedelta(hours=len(SAID))
    for n in range(len(SAID)):
        alert_state.commit(runs, settings)
        delivery.deliver(runs, settings, folder=folder, now=last)
        if (runs / run_name(n)).exists():
            continue
        hidden = runs / f".{run_name(n)}.begun"
        hidden.mkdir(exist_ok=True)
        now = START + timedelta(hours=n)
        found = alert_state.preview(runs, said(n), settings, run=run_name(n), now=now)
        (hidden / alert_state.DOCUMENT).write_text(json.dumps(found))
        hidden.rename(runs / run_name(n))
    alert_state.commit(runs, settings, run=run_name(len(SAID) - 1))
    delivery.deliver(runs, settings, folder=folder, now=last)


def killed_at(step: int) -> list[int]:
    """From here on this process kills itself before its `step`-th change of the world; a list that counts them."""
    seen = [0]

    def dying(act: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if seen[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            seen[0] += 1
            found = act(*args, **kwargs)
            if seen[0] == step:  # also between the act and whatever comes after it
                os.kill(os.getpid(), signal.SIGKILL)
            seen[0] += 1
            return found

        return wrapped

    os.fsync = lambda _: None  # a killed process leaves what it wrote; what the power leaves is not tested here
    for name in ("fsync", "replace", "rename", "ftruncate", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    urllib.request.OpenerDirector.open = dying(urllib.request.OpenerDirector.open)  # type: ignore[method-assign]
    return seen


def forked(folder: Path, settings: Alerts, step: int) -> int:
    """The wait status of a process that makes the scans and dies at `step`, if it comes to it."""
    pid = os.fork()
    if pid == 0:
        try:
            killed_at(step)
            scans(folder, settings)
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    root, url = Path(sys.argv[1]), sys.argv[2]
    step = 0
    while True:
        folder = root / f"{step:03d}"
        settings = how(f"{url}/{step:03d}")
        killed = os.WIFSIGNALED(forked(folder, settings, step))
        if not killed:
            break
        if os.WIFSIGNALED(forked(folder, settings, 10**9)):
            raise SystemExit(f"killed twice at {step}")
        step += 1
    print(step)


if __name__ == "__main__":
    main()
