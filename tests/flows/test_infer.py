"""`stormglass infer`: faults seen in Prefect, kills, interrupts; in processes as a user starts them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest

from tasks import tables
from tests import tiny
from tests.flows.conftest import ROOT, Command, environment

FAULT = """
def frame(pixels, level, moment):
    if os.environ.get("FAULT") == "second clip" and pixels[0, 0, 0] == 1:
        raise ValueError("this clip")
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    return 255 - pixels
"""

SMALL_SHARDS = """
import sys
from tasks.inference import shards
shards.MIN_PIXELS, shards.MIN_FRAMES = 0, 4
from flows.cli import main
sys.exit(main())
"""
"""The command on shards of four frames, so that a tiny data set has several."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tiny.plug(tmp_path / "site", tiny.CORRUPTION.format(function=FAULT))
    corruptions: dict[str, list[object]] = {"test": ["plugged"], "noise": ["gaussian_noise"]}
    return tiny.write(tmp_path, clips=3, frames=4, models=1, corruptions=corruptions)


def start(path: Path, *arguments: str, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SMALL_SHARDS, *arguments],
        cwd=path.parent,
        env=environment(PYTHONPATH=str(path.parent / "site"), **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def parts(path: Path, store: str = ".stormglass/parts") -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in (path.parent / store).glob("*/*.json")}


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
    cells = tables.read("cells", path.parent / "predictions/cells.parquet")
    assert cells.groupby("status").size().to_dict() == {"ok": 13, "failed": 2}

    url = prefect["PREFECT_API_URL"]
    deadline = time.monotonic() + 60
    while True:  # records arrive a second later
        runs = httpx.post(f"{url}/task_runs/filter", json={"flows": {"name": {"any_": ["infer"]}}}).json()
        states = {run["name"]: (run["state"]["type"], run["run_count"]) for run in runs}
        if sorted(state for state, _ in states.values()) == ["COMPLETED"] * 8 + ["FAILED"]:
            break
        assert time.monotonic() < deadline, states
        time.sleep(0.5)
    assert states["plugged shard-0001"] == ("FAILED", 3)
    assert {count for name, (_, count) in states.items() if name != "plugged shard-0001"} == {1}
    (flow,) = httpx.post(f"{url}/flow_runs/filter", json={"flows": {"name": {"any_": ["infer"]}}}).json()
    assert flow["state"]["type"] == "FAILED"


def test_after_a_kill_only_the_rest_is_computed(path: Path) -> None:
    whole_status, _ = finish(start(path, "infer"))
    assert whole_status == 0
    whole = shown(path)
    assert len(whole) == 16
    tiny.change(path, run={"store": "second"})
    slow = start(path, "infer", SLOW_S="0.3")
    deadline = time.monotonic() + 120
    while len(parts(path, "second")) < 6:
        assert time.monotonic() < deadline
        assert slow.poll() is None
        time.sleep(0.02)
    below = psutil.Process(slow.pid).children(recursive=True)
    slow.kill()
    slow.communicate()
    assert psutil.wait_procs(below, timeout=20)[1] == []
    before = parts(path, "second")
    assert 6 <= len(before) < 30
    assert shown(path).keys() == whole.keys()  # what the first run left is whole still
    status, errors = finish(start(path, "infer"))
    assert status == 0, errors
    after = parts(path, "second")
    assert before.items() <= after.items()
    assert len(after) == 30  # detections and tracks
    again = shown(path)
    assert again.keys() == whole.keys()
    for name, table in whole.items():
        pd.testing.assert_frame_equal(again[name], table, check_exact=True)


def test_a_changed_corruption_computes_its_own_cells_only(path: Path) -> None:
    assert finish(start(path, "infer"))[0] == 0
    before = parts(path)
    tiny.change(path, corruptions={"test": ["plugged"], "compression": [{"jpeg_compression": {"quality": [40]}}]})
    status, errors = finish(start(path, "infer"))
    assert status == 0
    assert "infer: 12 parts, 9 already in the store" in errors
    added = {name: stamp for name, stamp in parts(path).items() if name not in before}
    assert before.items() <= parts(path).items()
    assert len(added) == 2 * 3
    assert {part.parent.parent.name for part in (path.parent / "predictions").glob("*/*/*/*.parquet")} == {
        "clean", "plugged", "jpeg_compression",
    }  # fmt: skip


@pytest.mark.parametrize("with_prefect", [False, True])
def test_an_interrupt_ends_everything(path: Path, prefect: dict[str, str], with_prefect: bool) -> None:
    tiny.change(path, run={"prefect": with_prefect})
    process = start(path, "infer", SLOW_S="30", **(prefect if with_prefect else {}))
    deadline = time.monotonic() + 120
    while len(parts(path)) < 2:  # the clean parts are there, the slow corruption is next
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    status, errors = finish(process)
    assert status == 130
    assert errors.strip().splitlines()[-1] == "stormglass: interrupted"
    assert "Traceback" not in errors
    assert psutil.wait_procs(below, timeout=20)[1] == []
    assert not (path.parent / "predictions").exists()


def test_no_prefect_is_imported_when_it_is_switched_off(path: Path, command: Command) -> None:
    tiny.change(path, corruptions={"noise": ["gaussian_noise"]}, severities=[1])
    (path.parent / "site/prefect.py").write_text("raise RuntimeError('imported')")
    done = command("infer", PYTHONPATH=str(path.parent / "site"))
    assert done.returncode == 0, done.stderr
    assert not (path.parent / ".stormglass/prefect").exists()
    assert ROOT.joinpath("flows").is_dir()
