"""One real Prefect server for all tests of the flows, and the command as a user runs it."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from filelock import FileLock

from flows import runtime, server
from tests.conftest import SMALL, SmallRun, common, run_stages

ROOT = Path(__file__).parent.parent.parent
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """The environment of a process of its own: nothing of Prefect but what `more` says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "STORMGLASS_"))}
    kept["PYTHONPATH"] = os.pathsep.join([*filter(None, [more.pop("PYTHONPATH", "")]), str(ROOT)])
    return {**kept, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of processes that use the session's server; the last test process to need it ends it."""
    home = common(tmp_path_factory) / "prefect"
    started = server.start(home)
    server.wait(started, home)
    yield {**server.settings(home), "PREFECT_API_URL": started.url}
    server.leave(home)


@pytest.fixture(scope="module")
def footage() -> Iterator[ModuleType]:
    """flows.footage without Prefect: loaded when that is switched off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(runtime.SWITCH, "off")
        yield importlib.import_module("flows.footage")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`stormglass ...` in a process of its own, in the test's folder."""

    def run(*arguments: object, timeout: float = 300, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**more),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def validated(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has validated one model of the small run, in fog and out of focus too."""
    root = common(tmp_path_factory) / "validated"
    with FileLock(f"{root}.lock"):
        if not (root / "done").exists():
            root.mkdir(exist_ok=True)
            for name in ("data", "models", "tables"):
                (root / name).symlink_to(small_run.root / name)
            params = footage_params(root)
            del params["footage"]
            (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
            run_stages(root, [["infer"], ["score"]])
            (root / "done").touch()
    return root


def footage_params(validated: Path, **footage: Any) -> dict[str, Any]:
    """Params of scans for a folder of their own, with the run in `validated`, and `footage` changed by keyword."""
    models: Any = SMALL["models"]
    return {
        "dataset": {"path": str(validated / "data/crossing"), "split": "test", "validation": None},
        "models": {
            "crossing-v2": models["crossing-v2"] | {"weights": str(validated / "models/crossing-v2.safetensors")}
        },
        "corruptions": {"weather": ["fog"], "blur": ["defocus_blur"], "low_light": ["low_light"]},
        "severities": [2, 5],
        "metrics": {"min_units": 2, "resamples": 100},
        "footage": {
            "inbox": "inbox",
            "runs": "runs",
            "model": "crossing-v2",
            "interval_s": 5,
            "settle_s": 0.2,
            "window_s": 1,
            "missed_scans": 1000,
            "alerts": {"file": "alerts.jsonl", "cooldown_s": 0, "limits": {"forecast_drop": 0.001}},
            **footage,
        },
        "run": {"prefect": False, "workers": 2},
    }


def corrupted(video: bytes) -> bytes:
    """An MP4 file whose boxes are whole and whose pictures are not."""
    start = video.index(b"mdat") + 4
    return video[:start] + bytes(byte ^ 0xA5 for byte in video[start : start + 20_000]) + video[start + 20_000 :]
