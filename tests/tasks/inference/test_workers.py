"""Worker processes: real ones, with a third party's corruption that fails or hangs when told to."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from tasks import inference, tables
from tasks.corruptions import CORRUPTIONS, gather
from tasks.errors import InputError
from tasks.inference import planning, shards, workers
from tasks.inference.workers import PoolClosed, UnitFailed
from tasks.layout import Layout
from tests import tiny

FAULT = """
def frame(pixels, level, moment):
    fault = Path(os.environ["FAULT"])
    kind = fault.read_text() if fault.exists() else ""
    if kind == "once":
        fault.unlink()
        raise ValueError("this time")
    if kind == "second clip" and pixels[0, 0, 0] == 1:
        raise ValueError("this clip")
    if kind.startswith("hang") and pixels[0, 0, 0] == 0:
        time.sleep(600)
    if kind.endswith("die") and pixels[0, 0, 0] == 2:
        os._exit(9)
    return 255 - pixels
"""


SLOW = """
import time

class Slow:
    classes = {"object": {0: "car"}}

    def __init__(self, device):
        time.sleep(600)

    def __call__(self, frames):
        return []
"""


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that says what the corruption `plugged` does wrong; shards are single clips of ten."""
    folder = tiny.plug(tmp_path / "site", tiny.CORRUPTION.format(function=FAULT))
    monkeypatch.setenv("FAULT", str(tmp_path / "fault"))
    monkeypatch.syspath_prepend(str(folder))
    import importlib.metadata

    points = importlib.metadata.entry_points(group="stormglass.corruptions", name="plugged")
    monkeypatch.setitem(CORRUPTIONS, "plugged", gather((), points)["plugged"])
    monkeypatch.setattr(shards, "MIN_PIXELS", 0)
    monkeypatch.setattr(shards, "MIN_FRAMES", 10)
    return tmp_path / "fault"


def write(tmp_path: Path, **run: object) -> Path:
    corruptions: dict[str, list[object]] = {"test": ["plugged"], "noise": ["gaussian_noise"]}
    return tiny.write(tmp_path, clips=3, frames=10, models=1, corruptions=corruptions, run=run)


def infer(path: Path, **sections: Any) -> list[inference.Failed]:
    return inference.infer(tiny.change(path, **sections), Layout(path.parent))


def shown(root: Path) -> dict[str, pd.DataFrame]:
    found = {
        str(part.relative_to(root)): tables.read("predictions", part)
        for part in root.glob("predictions/*/*/*/*.parquet")
    }
    found["cells"] = tables.read("cells", root / "predictions/cells.parquet")
    return found


def assert_equal(left: dict[str, pd.DataFrame], right: dict[str, pd.DataFrame]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        pd.testing.assert_frame_equal(left[name], right[name], check_exact=True)


def test_one_or_two_workers_and_a_retry_give_the_same(tmp_path: Path, fault: Path) -> None:
    path = write(tmp_path)
    assert infer(path, run={"workers": 1}) == []
    one = shown(tmp_path)
    assert len(one) == 3 * 5 + 1
    fault.write_text("once")
    assert infer(path, run={"workers": 2, "store": "second"}) == []
    assert not fault.exists()
    assert_equal(shown(tmp_path), one)
    facts = json.loads(Layout(tmp_path).run_facts.read_text())
    assert facts["workers"] == 2
    assert facts["versions"]["torch"]
    assert set(facts) >= {"commit", "dirty", "device", "versions", "date", "command"}
    described = json.loads((tmp_path / "predictions/models.json").read_text())
    assert described["m0"]["object"] == {"1": "car", "2": "bus"}
    assert described["m0"]["fingerprint"]["adapter"] == "small"


def test_a_failed_part_is_named_and_the_others_go_on(tmp_path: Path, fault: Path) -> None:
    path = write(tmp_path)
    fault.write_text("second clip")
    failed = infer(path)
    assert {(part.model, part.corruption, part.severity, part.shard) for part in failed} == {
        ("m0", "plugged", 1, "shard-0001"),
        ("m0", "plugged", 3, "shard-0001"),
    }
    assert str(failed[0]) == "m0 under plugged 1, shard-0001: ValueError: this clip"
    cells = tables.read("cells", tmp_path / "predictions/cells.parquet")
    assert cells.groupby("status").size().to_dict() == {"ok": 13, "failed": 2}
    wrong = cells[cells["status"] == "failed"]
    assert wrong["part"].isna().all()
    assert (wrong["message"] == "ValueError: this clip").all()
    for part in cells.loc[cells["status"] == "ok", "part"]:
        assert (tmp_path / "predictions" / part).is_file()
    fault.unlink()
    left = planning.make(tiny.change(path), Layout(tmp_path), devices=("cpu",))
    assert [(unit.name, len(unit.parts)) for unit in left.units] == [("plugged shard-0001", 2)]


def test_a_worker_that_hangs_or_dies_is_started_again(tmp_path: Path, fault: Path) -> None:
    path = write(tmp_path, unit_limit_s=8, retries=0)
    fault.write_text("hang, die")
    failed = {part.shard: part for part in infer(path)}
    assert set(failed) == {"shard-0000", "shard-0002"}
    assert failed["shard-0000"].message == "outran run.unit_limit_s (8 s) and was stopped"
    assert failed["shard-0002"].message == "the worker process died (exit status 9)"
    cells = tables.read("cells", tmp_path / "predictions/cells.parquet")
    assert set(cells.loc[cells["status"] == "failed", "corruption"]) == {"plugged"}
    assert (cells["status"] == "ok").sum() == 11  # the next process did the rest


def test_a_slow_start_is_not_blamed_on_the_limit_of_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "START_LIMIT_S", 0.2)
    (tmp_path / "of_workers.py").write_text(SLOW)
    model = {"adapter": "python", "weights": "python:of_workers:Slow"}
    params = tiny.change(tiny.write(tmp_path, clips=1, frames=2, models=0), models={"slow": model})
    planned = planning.make(params, Layout(tmp_path), devices=("cpu",))
    unit = planned.units[0]
    with inference.open_pool(planned) as pool, pytest.raises(UnitFailed) as caught:
        pool.run(unit, limit_s=1000, done=lambda part: None)
    told = "libraries and models did not load within 0.2 s, and the worker process was stopped"
    assert caught.value.messages == dict.fromkeys([one.key for one in (*unit.parts, *unit.looks)], told)
    assert caught.value.again


def test_no_worker_outlives_the_run(tmp_path: Path, fault: Path) -> None:
    fault.write_text("hang")
    params = tiny.change(write(tmp_path), corruptions={"test": ["plugged"]})
    work = planning.make(params, Layout(tmp_path), devices=("cpu",))
    with inference.open_pool(work) as pool:
        (process,) = [psutil.Process(worker._process.pid) for worker in pool._workers]
        assert process.is_running()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    with pytest.raises(PoolClosed):
        pool.run(work.units[0], limit_s=1, done=lambda part: None)


def test_weights_that_do_not_fit_end_the_run(tmp_path: Path, fault: Path) -> None:
    path = write(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = tmp_path / "models/m0.safetensors"
    from safetensors import safe_open

    with safe_open(str(weights), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(weights)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, weights, metadata=metadata)
    with pytest.raises(InputError, match=r"m0\.safetensors.*does not fit|does not fit"):
        infer(path)
    assert not (tmp_path / "predictions").exists()


def test_a_store_that_cannot_be_written_any_more_ends_the_run_with_a_sentence(tmp_path: Path, fault: Path) -> None:
    path = write(tmp_path, workers=1)
    work = inference.plan(tiny.change(path), Layout(tmp_path))
    parts = Path(work.store.url)
    with inference.open_pool(work) as pool:
        inference.run(work, pool, work.units[0], done=lambda part: None)
        shutil.rmtree(parts)
        parts.write_text("in the way")
        with pytest.raises(InputError, match=r"run\.store: cannot write parts to .*parts"):
            pool.run(work.units[1], limit_s=60, done=lambda part: None)


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path, fault: Path) -> None:
    fault.write_text("hang")
    path = write(tmp_path)
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from tasks import inference, params; from tasks.layout import Layout\n"
        "inference.infer(params.load(Path(sys.argv[1])), Layout(Path(sys.argv[1]).parent))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{Path.cwd()}"}
    parent = subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".stormglass/parts/*/*.json")):  # the clean part: then a worker hangs in the next unit
        assert time.monotonic() < deadline
        assert parent.poll() is None
        time.sleep(0.1)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
