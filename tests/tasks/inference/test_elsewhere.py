"""Models that run elsewhere, in a whole run: real workers, and the local server of tests/rekognition_server.py."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3", reason="needs the extra 'rekognition'")

from flows import doctor
from tasks import inference, tables
from tasks.errors import InputError
from tasks.layout import Layout
from tests import tiny
from tests.conftest import stormglass
from tests.rekognition_server import ARN, Service, serving

ROOT = Path(__file__).parents[3]
BILLED = ("StartProjectVersion", "StopProjectVersion")


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    keys = {"AWS_ACCESS_KEY_ID": "AKIANOBODYSKEY", "AWS_SECRET_ACCESS_KEY": "nobodys-secret"}
    for name, value in (keys | {"XDG_STATE_HOME": str(tmp_path / "state"), "NO_PROXY": "127.0.0.1"}).items():
        monkeypatch.setenv(name, value)
    with serving() as found:
        yield found


def write(root: Path, service: Service, **sections: Any) -> Path:
    path = tiny.write(root, clips=2, frames=2, models=0, corruptions={"noise": ["gaussian_noise"]}, run={"workers": 2})
    options = {"start": True, "endpoint_url": service.url}
    given = {"adapter": "rekognition", "weights": ARN, "classes": ["bus", "car"], "options": options}
    tiny.change(path, models={"hosted": given}, **sections)
    return path


def test_two_models_of_one_version_use_it_in_one_way(tmp_path: Path, service: Service) -> None:
    path = write(tmp_path, service)
    hosted = {"adapter": "rekognition", "weights": ARN, "classes": ["bus", "car"]}
    options = {"start": True, "endpoint_url": service.url}
    sure = hosted | {"options": options | {"max_side_px": 640}, "score_threshold": 0.5}
    params = tiny.change(path, models={"all": hosted | {"options": options}, "sure": sure})
    inference.plan(params, Layout(tmp_path))  # what is sent and what is kept of it may differ
    kept = sure | {"options": options | {"stop_after": False}}
    params = tiny.change(path, models={"all": hosted | {"options": {}}, "kept": kept})
    with pytest.raises(InputError) as caught:
        inference.plan(params, Layout(tmp_path))
    assert str(caught.value) == (
        f"models.all and models.kept share {ARN}, which runs once for both: give both the same "
        f"options.endpoint_url (None and {service.url}), options.start (False and True), options.stop_after "
        "(True and False)."
    )
    assert service.log == []


@pytest.mark.slow
def test_a_run_starts_it_once_and_stops_it_once(tmp_path: Path, service: Service) -> None:
    """Workers are killed at the end of their work and the latency is measured in a process of its own."""
    path = write(tmp_path, service, latency={"frames": 16}, run={"workers": 1})
    params = tiny.load(path)
    assert inference.infer(params, Layout(tmp_path)) == []
    assert [name for name in service.log if name in BILLED] == list(BILLED)
    assert service.log[-1] == "StopProjectVersion"
    latency = tables.read("latency", Layout(tmp_path).latency / "latency.parquet")
    assert {"infer_ms", "preprocess_ms"} <= set(latency["fact"])
    assert (latency["status"] == "ok").all()
    service.log.clear()
    assert inference.infer(params, Layout(tmp_path)) == []  # everything is known
    assert service.log == []


@pytest.mark.slow
def test_a_run_that_is_killed_is_cleaned_up_after(tmp_path: Path, service: Service) -> None:
    path = write(tmp_path, service)
    asked, go = threading.Event(), threading.Event()

    def labels(pixels: object) -> list[dict[str, Any]]:
        asked.set()
        go.wait()
        return []

    service.labels = labels
    run = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "infer", "--params", str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    assert asked.wait(120)
    run.send_signal(signal.SIGKILL)
    run.wait()
    go.set()
    service.labels = lambda pixels: []
    assert service.status == "RUNNING"
    stormglass("infer", "--params", path, cwd=tmp_path)
    assert [name for name in service.log if name in BILLED] == list(BILLED)
    assert doctor._rekognition() == "nothing left running"
