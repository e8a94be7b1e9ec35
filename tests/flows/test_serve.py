"""Scans that a schedule starts, on a real Prefect server: files that come while one is on, a kill, Ctrl-C."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psutil
import pytest
import yaml

from flows import server
from tasks import tables
from tasks.footage.ledger import Ledger
from tests.flows.conftest import ROOT, corrupted, environment, footage_params

PATIENCE_S = 240.0
"""For a machine that is busy: a scan takes ten seconds on one that is not."""


def wait_for(done: Callable[[], Any], served: "subprocess.Popen[bytes]", what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := done()):
        assert time.monotonic() < deadline, f"{what}: not in {PATIENCE_S:.0f} s"
        assert served.poll() is None, f"{what}: serve ended with {served.returncode}"
        time.sleep(0.3)
    return found


@contextmanager
def serving(root: Path, out: Path, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`stormglass serve`, ended with all that it started."""
    with (root / "serve.log").open("ab") as log:
        served = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve", "--params", str(root / "params.yaml"), "--out", str(out)],
            cwd=root,
            env=environment(**more),
            stdout=log,
            stderr=log,
        )
    try:
        yield served
    finally:
        below = psutil.Process(served.pid).children(recursive=True) if served.poll() is None else []
        for process in (*below, served):
            process.kill()
        served.wait()


def drop(source: Path, target: Path) -> None:
    """Put a file into an inbox as programs do that care: under a hidden name first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}")
    shutil.copyfile(source, hidden)
    hidden.rename(target)


def project(root: Path, validated: Path) -> Path:
    """A folder with params and an inbox that holds a foggy clip and a broken one; where clips to drop are."""
    (root / "params.yaml").write_text(yaml.safe_dump(footage_params(validated)))
    films = validated / "data/footage"
    drop(films / "foggy.mp4", root / "inbox/north/foggy.mp4")
    (root / "inbox/south").mkdir()
    (root / "inbox/south/broken.mp4").write_bytes(corrupted((films / "defocused.mp4").read_bytes()))
    return films


def statuses(root: Path) -> dict[str, str]:
    if not (root / "runs/ledger.sqlite").exists():
        return {}
    clips = Ledger(root / "runs/ledger.sqlite").clips()
    return dict(zip(clips["file"], clips["status"], strict=True))


def under_way(root: Path) -> list[Path]:
    """The folders that scans are writing."""
    return [path for path in (root / "runs").glob(".2*") if path.is_dir()]


def each_once(root: Path, expected: dict[str, str]) -> list[Path]:
    """Folders of whole scans, after the check that together they hold each file once."""
    assert statuses(root) == expected
    places = sorted(path for path in (root / "runs").glob("2*") if path.is_dir())
    rows = [row for place in places for row in tables.read("footage_clips", place / "clips.parquet").to_dict("records")]
    assert sorted((row["file"], row["status"]) for row in rows) == sorted(expected.items())
    for place in places:
        assert (place / "footage.html").stat().st_size > 10_000
    return places


def ask(url: str, what: str, **body: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.post(f"{url}/{what}/filter", json=body).raise_for_status().json()
    return found


def _clips_table(url: str, file: str) -> list[dict[str, Any]]:
    """The rows of a table of clips in Prefect that names a file; none where there is none."""
    found = ask(url, "artifacts", artifacts={"key": {"any_": ["stormglass-footage-clips"]}})
    rows: list[list[dict[str, Any]]] = [json.loads(artifact["data"]) for artifact in found]
    return next((table for table in rows if file in {row["file"] for row in table}), [])


@pytest.mark.slow
def test_files_that_come_are_scanned_by_schedule(prefect: dict[str, str], validated: Path, tmp_path: Path) -> None:
    films = project(tmp_path, validated)
    with serving(tmp_path, validated, **prefect) as served:
        wait_for(lambda: under_way(tmp_path), served, "a scan")
        drop(films / "clear.mp4", tmp_path / "inbox/east/clear.mp4")
        expected = {"north/foggy.mp4": "ok", "south/broken.mp4": "quarantined", "east/clear.mp4": "ok"}
        wait_for(lambda: statuses(tmp_path) == expected, served, "all three files")
        wait_for(lambda: ask(prefect["PREFECT_API_URL"], "artifacts"), served, "artifacts")
        (tmp_path / "inbox/notes.txt").write_text("of the site")  # a scan that finds nothing else says so all the same
        newest = wait_for(lambda: _clips_table(prefect["PREFECT_API_URL"], "notes.txt"), served, "a file left alone")
        assert {row["file"]: row["status"] for row in newest}["notes.txt"] == "left alone"
        assert len(newest) > 1, "beside the clips of the newest scan that has some"
        below = psutil.Process(served.pid).children(recursive=True)
        served.send_signal(signal.SIGINT)
        assert served.wait(timeout=60) == 130
        assert not psutil.wait_procs(below, timeout=10)[1], "Ctrl-C leaves nothing running"
    nearest = pd.concat(
        tables.read("footage_nearest", place / "nearest.parquet") for place in each_once(tmp_path, expected)
    )
    first = nearest[nearest["rank"] == 1].set_index("camera")["corruption"]
    assert first.to_dict() == {"north": "fog", "east": "clean"}
    told = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert sorted(alert["camera"] for alert in told if alert["camera"] != "east") == ["north", "south"], "once each"
    line = next(line for line in (tmp_path / "serve.log").read_text().splitlines() if line.startswith("Scans"))
    assert line.startswith("Scans inbox every 5 s with crossing-v2. Prefect: http://127.0.0.1:")
    runs = ask(prefect["PREFECT_API_URL"], "flow_runs", flows={"name": {"any_": ["scan"]}})
    assert {run["auto_scheduled"] for run in runs} == {True}
    assert {run["state_name"] for run in runs} <= {"Completed", "Cancelled", "Crashed", "Scheduled", "Late"}
    keys = {artifact["key"] for artifact in ask(prefect["PREFECT_API_URL"], "artifacts")}
    assert {"stormglass-footage", "stormglass-footage-clips", "stormglass-footage-page"} <= keys
    cameras = [f"stormglass.camera.{name}" for name in ("north", "south", "east")]
    asked = {"event": {"name": ["stormglass.alert"]}, "resource": {"id": cameras}}  # other tests use this server too
    events = ask(prefect["PREFECT_API_URL"], "events", filter=asked)["events"]  # type: ignore[call-overload]
    assert sorted(event["payload"]["id"] for event in events) == sorted(alert["id"] for alert in told)


@pytest.mark.slow
def test_a_kill_loses_nothing_and_repeats_nothing(validated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"  # with a server of its own, which keeps its files in this folder
    out.mkdir()
    for name in ("data", "models", "tables", "predictions", "scores"):
        (out / name).symlink_to(validated / name)
    films = project(tmp_path, validated)
    drop(films / "clear.mp4", tmp_path / "inbox/east/clear.mp4")
    home = out / ".stormglass/prefect"
    try:
        with serving(tmp_path, out) as served:
            wait_for(lambda: [*(tmp_path / "runs").glob(".2*/clips/*.mp4")], served, "a scan that has done something")
            below = psutil.Process(served.pid).children(recursive=True)
            scans = [process for process in below if "flows.server" not in process.cmdline()]
            assert scans
            for process in (served, *scans):  # who serves first: it would take note
                os.kill(process.pid, signal.SIGKILL)
            psutil.wait_procs(scans, timeout=10)
        assert under_way(tmp_path), "killed in the middle of a scan"
        assert "ok" not in statuses(tmp_path).values()
        killed = server.find(home)
        assert killed is not None
        assert killed.alive
        expected = {"north/foggy.mp4": "ok", "south/broken.mp4": "quarantined", "east/clear.mp4": "ok"}
        with serving(tmp_path, out) as served:
            wait_for(lambda: statuses(tmp_path) == expected, served, "all three files")
            os.kill(killed.pid, signal.SIGKILL)  # and the server: it is started again where it was
            after = len(Ledger(tmp_path / "runs/ledger.sqlite").history()["run"].unique())
            wait_for(lambda: _scans(tmp_path) > after, served, "a scan after the server died")
            found = server.find(home)
            assert found is not None
            assert (found.url, found.pid != killed.pid) == (killed.url, True)
            runs = ask(found.url, "flow_runs", flow_runs={"state": {"name": {"any_": ["Crashed"]}}})
            assert any("together with what served it" in run["state"]["message"] for run in runs)
            served.send_signal(signal.SIGTERM)
            assert served.wait(timeout=60) == 130
            assert not found.alive, "its own server ends with it"
        each_once(tmp_path, expected)
        assert not under_way(tmp_path)
    finally:
        server.stop(home)


@pytest.mark.slow
def test_a_server_of_others_notices_that_a_scan_is_dead(
    prefect: dict[str, str], validated: Path, tmp_path: Path
) -> None:
    films = project(tmp_path, validated)
    for name in ("clear", "defocused"):  # enough for a heartbeat to arrive before the scan is over
        drop(films / f"{name}.mp4", tmp_path / f"inbox/east/{name}.mp4")
    mine = {"name": {"any_": [f"{validated.name}-{hashlib.sha256(str(validated).encode()).hexdigest()[:6]}"]}}

    def beats() -> int:
        heartbeat = {"event": {"name": ["prefect.flow-run.heartbeat"]}}
        return int(ask(prefect["PREFECT_API_URL"], "events", filter=heartbeat)["total"])  # type: ignore[call-overload]

    def states() -> set[str]:
        return {run["state_name"] for run in ask(prefect["PREFECT_API_URL"], "flow_runs", deployments=mine)}

    before = beats()
    with serving(tmp_path, validated, **prefect) as served:
        wait_for(lambda: beats() > before, served, "a heartbeat")
        below = psutil.Process(served.pid).children(recursive=True)
        for process in (served, *below):
            os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(below, timeout=10)
    assert "Running" in states()
    deadline = time.monotonic() + PATIENCE_S
    while "Running" in states():
        assert time.monotonic() < deadline, "the automation has not fired"
        time.sleep(1)
    assert "Crashed" in states()
    with serving(tmp_path, validated, **prefect) as served:  # its place is free again
        expected = {"north/foggy.mp4": "ok", "south/broken.mp4": "quarantined"}
        expected |= {"east/clear.mp4": "ok", "east/defocused.mp4": "ok"}
        wait_for(lambda: statuses(tmp_path) == expected, served, "a scan after one that was killed")
        served.send_signal(signal.SIGINT)
        assert served.wait(timeout=60) == 130


@pytest.mark.slow
def test_a_worker_runs_the_deployment_of_prefect_yaml(prefect: dict[str, str], validated: Path, tmp_path: Path) -> None:
    for name in ("data", "models", "tables", "predictions", "scores"):
        (tmp_path / name).symlink_to(validated / name)
    project(tmp_path, validated)
    shutil.copy(ROOT / "prefect.yaml", tmp_path)
    command = str(Path(sys.executable).with_name("prefect"))

    def call(*words: str) -> None:
        done = subprocess.run(
            [command, "--no-prompt", *words],
            cwd=tmp_path,
            env=environment(**prefect),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    call("work-pool", "create", "--type", "process", "stormglass")
    call("deploy", "--all")
    (made,) = ask(prefect["PREFECT_API_URL"], "deployments", deployments={"name": {"any_": ["footage"]}})
    assert made["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert (made["global_concurrency_limit"]["limit"], made["schedules"][0]["active"]) == (1, True)
    call("deployment", "run", "scan/footage")
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [command, "worker", "start", "--pool", "stormglass"],
            cwd=tmp_path,
            env=environment(**prefect),
            stdout=log,
            stderr=log,
        )
        try:
            expected = {"north/foggy.mp4": "ok", "south/broken.mp4": "quarantined"}
            wait_for(lambda: statuses(tmp_path) == expected, worker, "a scan by a worker")
        finally:
            below = psutil.Process(worker.pid).children(recursive=True) if worker.poll() is None else []
            worker.terminate()
            worker.wait(60)
            for process in psutil.wait_procs(below, timeout=10)[1]:
                process.kill()
            call("deployment", "delete", "scan/footage")
    each_once(tmp_path, expected)


def _scans(root: Path) -> int:
    return int(Ledger(root / "runs/ledger.sqlite").history()["run"].nunique())
