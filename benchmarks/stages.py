"""How long a command of the pipeline is at each of its stages, on the wall and on processors."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import psutil


def by_stage(command: list[str], folder: Path) -> dict[str, float]:
    """Run `stormglass` on the params in `folder`; seconds by the stage that it says to be at, `start` before the first.

    And, as `STAGE cpu`, those that processors spent meanwhile on it and the processes below it.

    Raises:
        RuntimeError: the command failed.
    """
    told: list[str] = []
    found: dict[str, float] = {}
    stage, since = "start", perf_counter()
    given = [*command, "--params", str(folder / "params.yaml"), "--out", str(folder)]
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *given],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    ) as process:
        assert process.stderr is not None
        running, spent = psutil.Process(process.pid), 0.0
        for line in process.stderr:
            told.append(line)
            if line.startswith("stormglass: "):
                now, before = perf_counter(), spent
                spent = processor_seconds(running)
                found |= {stage: now - since, f"{stage} cpu": spent - before}
                stage, since = line.split()[1], now
    found[stage] = perf_counter() - since
    if process.returncode:
        raise RuntimeError(f"stormglass {' '.join(given)} ended with {process.returncode}:\n{''.join(told)}")
    return found


def processor_seconds(process: psutil.Process) -> float:
    """What processors have spent on a process and those below it, with the ones that each of them has waited for."""
    found = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += sum(one.cpu_times()[:4])
    return found
