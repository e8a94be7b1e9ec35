"""What suites share: one small run of the whole way, with a tiny model trained for it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

SMALL = {
    "crossing": {
        "seed": 3,
        "classes": ["car", "bus", "cyclist", "pedestrian", "van"],
        "train_clips": 6,
        "train_frames": 12,
        "validation_clips": 2,
        "validation_frames": 6,
        "test_clips": 6,
        "unseen_clips": 2,
        "test_frames": 6,
    },
    "dataset": {"path": "data/crossing", "split": "test"},
    "train": {"epochs": 2},
    "models": {
        name: {
            "adapter": "small",
            "weights": f"models/{name}.safetensors",
            "score_threshold": 0.05,
            "tracker": {"name": "bytetrack"},
        }
        for name in ("crossing-v1", "crossing-v2")
    },
    "baseline": "crossing-v1",
    "corruptions": {"low_light": ["low_light"], "compression": ["jpeg_compression", {"h264": {"crf": [37, 51]}}]},
    "severities": [2, 5],
    "slices": {"attributes": ["camera"], "object": ["size", "occluded"]},
    "metrics": {"min_units": 2, "resamples": 100},
    "gates": [
        {"metric": "miou", "min": 0.0},
        {"metric": "miou", "slice": "*", "against": "baseline", "max_drop": 1.0},
    ],
    "report": {"pictures": 24},
    "run": {"prefect": False, "workers": 2},
}


@dataclass(frozen=True)
class SmallRun:
    """The folder of a finished run and the params it was made with."""

    root: Path

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"


def stormglass(*words: str | Path, cwd: Path, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would; `status` is what it must exit with (None: anything)."""
    command = [sys.executable, "-m", "flows.cli", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert status is None or done.returncode == status, f"{words} exited {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


ONE_BY_ONE = """
import json, sys
from flows import cli
for words in json.loads(sys.argv[1]):
    print(*words, file=sys.stderr)
    if status := cli.main(words):
        sys.exit(status)
"""


def run_stages(root: Path, stages: Sequence[Sequence[str]]) -> None:
    """Commands one after the other, in one process: what each of them needs is loaded once."""
    command = [sys.executable, "-c", ONE_BY_ONE, json.dumps(stages)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all test processes of a session share; who comes first makes what others find there."""
    own = tmp_path_factory.getbasetemp()
    return own if os.environ.get("PYTEST_XDIST_WORKER") is None else own.parent


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """`crossing` in small with a fifth class, two models of two epochs, three corruptions, all the way to the page."""
    root = common(tmp_path_factory) / "small"
    with FileLock(f"{root}.lock"):
        if not (root / "done").exists():
            root.mkdir(exist_ok=True)
            (root / "params.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False), encoding="utf-8")
            train = [["train", name] for name in SMALL["models"]]  # type: ignore[attr-defined]
            run_stages(root, [["crossing"], ["prepare"], *train, ["infer"], ["score"], ["gallery"], ["publish"]])
            (root / "done").touch()
    return SmallRun(root)
