"""`stormglass infer`: faults seen in Prefect, kills, interrupts; in processes as a user starts them."""

import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest

from tasks import inference, tables
from tasks.corruptions import CORRUPTIONS, gather
from tasks.inference import shards
from tasks.layout import Layout
from tests import tiny
from tests.flows.conftest import environment

FAULT = """
def frame(pixels, level, moment):
    if os.environ.get("FAULT") == "second clip" and pixels[0, 0, 0] == 1:
        raise ValueError("this clip")
    if "SLOW_S" in os.environ:
        open("slow", "w").close()
        time.sleep(float(os.environ["SLOW_S"]))
    return 255 - pixels
"""

SMALL = """
from tasks.inference import shards
shards.MIN_PIXELS, shards.MIN_FRAMES = 0, 4
"""
"""A module that makes shards of four frames, so that a tiny data set has several."""

SMALL_SHARDS = """
import sys
import small
from tasks import processes
ahead = processes.ahead
processes.ahead = lambda modules: ahead([*modules, "small"])
from flows.cli import main
sys.exit(main())
"""
"""The command with that module, in its own process and in those that it has loaded ahead."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tiny.plug(tmp_path / "site", tiny.CORRUPTION.format(function=FAULT))
    corruptions: dict[str, list[object]] = {"test": ["plugged"], "noise": ["gaussian_noise"]}
    return tiny.write(tmp_path, clips=3, frames=4, models=1, corruptions=corruptions)


def start(path: Path, *arguments: str, **more: str) -> "subprocess.Popen[str]":
    paths = [path.parent / "site"]
    (paths[0] / "small.py").write_text(SMALL)
    if "PREFECT_API_URL" not in more:  # switched off: then Prefect may not even be imported
        (path.parent / "without").mkdir(exist_ok=True)
        (path.parent / "without/prefect.py").write_text("raise RuntimeError('Prefect was imported')")
        paths.append(path.parent / "without")
    return subprocess.Popen(
        [sys.executable, "-c", SMALL_SHARDS, *arguments],
        cwd=path.parent,
        env=environment(PYTHONPATH=os.pathsep.join(map(str, paths)), **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the suite in the background has its children ignore interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def parts(path: Path, store: str = ".stormglass/parts") -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in (path.parent / store).glob("*/*.json")}


def looks(path: Path) -> pd.DataFrame:
    return tables.read("cell_quality", path.parent / "predictions/quality.parquet")


def shown(path: Path) -> dict[str, pd.DataFrame]:
    folder = path.parent / "predictions"
    found = {str(part.relative_to(folder)): tables.read("predictions", part) for part in folder.glob("*/*/*/*.parquet")}
    return found | {"cells": tables.read("cells", folder / "cells.parquet")}


def test_a_failing_shard_is_retried_and_named(path: Path, prefect: dict[str, str]) -> None:
    tiny.change(path, run={"prefect": True, "retries": 2})
    status, errors = finish(start(path, "infer", FAULT="second clip", **prefect))
    assert status == 1
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("stormglass: 2 of 15 parts failed, the others are done: m0 under plugged 1, shard-0001: ")
    assert "ValueError: this clip" in last
    assert last.endswith(" (1 more the same).")
    cells = tables.read("cells", path.parent / "predictions/cells.parquet")
    assert cells.groupby("status").size().to_dict() == {"ok": 13, "failed": 2}

    url = prefect["PREFECT_API_URL"]
    wrong = {"name": {"any_": ["infer"]}}, {"state": {"type": {"any_": ["FAILED"]}}}
    (run,) = httpx.post(f"{url}/flow_runs/filter", json=dict(zip(("flows", "flow_runs"), wrong, strict=True))).json()
    deadline = time.monotonic() + 60
    while True:  # records arrive a second later
        runs = httpx.post(f"{url}/task_runs/filter", json={"flow_runs": {"id": {"any_": [run["id"]]}}}).json()
        states = {run["name"]: (run["state"]["type"], run["run_count"]) for run in runs}
        if sorted(state for state, _ in states.values()) == ["COMPLETED"] * 8 + ["FAILED"]:
            break
        assert time.monotonic() < deadline, states
        time.sleep(0.5)
    assert states["plugged shard-0001"] == ("FAILED", 3)
    assert {count for name, (_, count) in states.items() if name != "plugged shard-0001"} == {1}


def test_after_a_kill_only_the_rest_is_computed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = start(path, "infer", SLOW_S="0.3")
    deadline = time.monotonic() + 120
    while len(parts(path)) < 6:
        assert time.monotonic() < deadline
        assert slow.poll() is None
        time.sleep(0.02)
    below = psutil.Process(slow.pid).children(recursive=True)
    slow.kill()
    slow.communicate()
    assert psutil.wait_procs(below, timeout=20)[1] == []
    before = parts(path)
    assert 6 <= len(before) < 30
    assert not (path.parent / "predictions").exists()
    status, errors = finish(start(path, "infer"))
    assert status == 0, errors
    after = parts(path)
    assert before.items() <= after.items()
    assert len(after) == 30  # detections and tracks
    again, looked = shown(path), looks(path)
    assert len(again) == 16
    assert len(looked) == 12 * 5
    assert not (path.parent / ".stormglass/prefect").exists()

    monkeypatch.syspath_prepend(str(path.parent / "site"))
    offered = importlib.metadata.entry_points(group="stormglass.corruptions", name="plugged")
    monkeypatch.setitem(CORRUPTIONS, "plugged", gather((), offered)["plugged"])
    monkeypatch.setattr(shards, "MIN_PIXELS", 0)
    monkeypatch.setattr(shards, "MIN_FRAMES", 4)
    layout = Layout(path.parent)
    assert inference.infer(tiny.change(path, run={"store": "uninterrupted"}), layout) == []
    for name, table in shown(path).items():
        pd.testing.assert_frame_equal(again[name], table, check_exact=True)
    pd.testing.assert_frame_equal(looked, looks(path), check_exact=True)

    levels = {"test": ["plugged"], "compression": [{"jpeg_compression": {"quality": [40]}}]}
    plan = inference.plan(tiny.change(path, run={"store": ".stormglass/parts"}, corruptions=levels), layout)
    assert {unit.corruption for unit in plan.units} == {"jpeg_compression"}
    assert (len(plan.cells), plan.n_missing) == (12, 3)


@pytest.mark.parametrize(
    ("with_prefect", "interrupt"),
    [(False, os.kill), (False, os.killpg), (True, os.killpg)],
    ids=["the command", "all, as a terminal does", "all, with Prefect"],
)
def test_an_interrupt_ends_everything(
    path: Path, prefect: dict[str, str], with_prefect: bool, interrupt: Callable[[int, int], None]
) -> None:
    tiny.change(path, run={"prefect": with_prefect})
    process = start(path, "infer", SLOW_S="30", **(prefect if with_prefect else {}))
    deadline = time.monotonic() + 120
    while not (path.parent / "slow").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    interrupt(process.pid, signal.SIGINT)
    status, errors = finish(process)
    assert status == 130
    assert errors.strip().splitlines()[-1] == "stormglass: interrupted"
    assert "Traceback" not in errors
    assert psutil.wait_procs(below, timeout=20)[1] == []
    assert not (path.parent / "predictions").exists()
