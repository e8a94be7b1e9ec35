"""Worker processes: real ones, with a third party's corruption that fails or hangs when told to."""

import json
import os
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
from tasks.inference import planning, shards
from tasks.inference.workers import PoolClosed
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
    if kind == "hang":
        fault.unlink()
        time.sleep(600)
    if kind == "die":
        fault.unlink()
        os._exit(9)
    return 255 - pixels
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
    assert infer(path, run={"workers": 2, "store": "second"}) == []
    assert_equal(shown(tmp_path), one)
    fault.write_text("once")
    assert infer(path, run={"workers": 2, "store": "third"}) == []
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
    before = {part: part.stat().st_mtime_ns for part in tmp_path.glob(".stormglass/parts/*/*.parquet")}
    fault.unlink()
    assert infer(path) == []
    after = {part: part.stat().st_mtime_ns for part in tmp_path.glob(".stormglass/parts/*/*.parquet")}
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("kind", "limit", "message"), [("hang", 8, "unit_limit_s"), ("die", 600, "worker process died")]
)
def test_a_worker_that_hangs_or_dies_is_started_again(
    tmp_path: Path, fault: Path, kind: str, limit: float, message: str
) -> None:
    path = write(tmp_path, unit_limit_s=limit, retries=0)
    fault.write_text(kind)
    failed = infer(path)
    assert {(part.corruption, part.shard) for part in failed} == {("plugged", "shard-0000")}
    assert all(message in part.message for part in failed)
    cells = tables.read("cells", tmp_path / "predictions/cells.parquet")
    assert (cells["status"] == "ok").sum() == 13  # the next process did the rest


def test_a_damaged_part_is_computed_again(tmp_path: Path, fault: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path)
    assert infer(path) == []
    whole = shown(tmp_path)
    victim = tmp_path / "predictions/m0/gaussian_noise/3/shard-0002.parquet"  # the same file as the store's
    victim.write_bytes(victim.read_bytes()[:-10] + b"0123456789")
    assert infer(path) == []
    assert "damaged" in caplog.text
    assert_equal(shown(tmp_path), whole)


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
    while fault.exists():  # until a worker hangs inside a unit
        assert time.monotonic() < deadline
        assert parent.poll() is None
        time.sleep(0.1)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
