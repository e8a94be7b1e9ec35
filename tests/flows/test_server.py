"""The run's own Prefect server: found or started once, of use, and gone when nobody needs it."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from flows import server
from tests.flows.conftest import environment

TASKS = """
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

@task(cache_policy=NO_CACHE)
def one(number):
    return number

@flow
def many():
    futures = [one.submit(number) for number in range(500)]
    assert sum(future.result() for future in futures) == 124750

many()
"""

TICK = """
import os, sys, threading, time
from pathlib import Path
from prefect import flow

def end_with(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

@flow
def tick(path: str):
    with Path(path).open("a") as file:
        file.write("tick\\n")

if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    tick.serve(name="tick", interval=5, limit=1, parameters={"path": sys.argv[1]})  # one at a time, else they pile up
"""

START = """
import sys, time
from pathlib import Path
from flows import server
home = Path(sys.argv[1])
started = server.start(home)
server.wait(started, home)
print(started.pid)
"""


def test_500_tasks_are_recorded(prefect: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", TASKS], env=environment(**prefect), check=True, timeout=300)
    wanted = {"flows": {"name": {"any_": ["many"]}}, "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    deadline = time.monotonic() + 60
    while (found := httpx.post(f"{prefect['PREFECT_API_URL']}/task_runs/count", json=wanted).json()) < 500:
        assert time.monotonic() < deadline, f"{found} of 500 tasks recorded"
        time.sleep(0.5)
    assert found == 500


def test_a_schedule_ticks(prefect: dict[str, str], tmp_path: Path) -> None:
    script, ticks = tmp_path / "tick.py", tmp_path / "ticks"
    script.write_text(TICK)
    served = subprocess.Popen(
        [sys.executable, str(script), str(ticks)],
        env=environment(**prefect),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not ticks.exists():
            assert time.monotonic() < deadline, "no scheduled run in two minutes: is the scheduler alive?"
            assert served.poll() is None
            time.sleep(0.5)
    finally:
        below = psutil.Process(served.pid).children(recursive=True)
        served.terminate()
        served.wait(60)
        for process in psutil.wait_procs(below, timeout=10)[1]:
            process.kill()


def test_two_stages_at_once_start_one_server_which_ends_unused(tmp_path: Path) -> None:
    home = tmp_path / "prefect"
    home.mkdir()
    dead = {"url": "http://127.0.0.1:1/api", "pid": 2**22 + 1, "created": 0.0}  # left by a killed one
    (home / "server.json").write_text(str(dead).replace("'", '"'))
    stages = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(home)],
            env=environment(STORMGLASS_SERVER_IDLE_S="3"),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    pids = {stage.communicate(timeout=200)[0] for stage in stages}
    assert [stage.returncode for stage in stages] == [0, 0]
    assert len(pids) == 1
    found = server.find(home)
    assert found is not None
    assert str(found.pid) == pids.pop().strip()
    deadline = time.monotonic() + 60
    while found.alive:
        assert time.monotonic() < deadline, "it runs on though nobody uses it"
        time.sleep(0.2)
    assert psutil.Process().children(recursive=True) == [] or not found.alive
