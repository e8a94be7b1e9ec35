"""What suites share: one small run of the whole way, with a tiny model trained for it."""

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


def run_stages(root: Path, stages: Sequence[Sequence[str]]) -> None:
    for words in stages:
        stormglass(*words, cwd=root)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """`crossing` in small with a fifth class, two models of two epochs, three corruptions, all the way to the page."""
    alone = os.environ.get("PYTEST_XDIST_WORKER") is None
    # Each of several test processes has a folder of its own in one that they share: the first one there makes the run.
    root = (tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent) / "small"
    with FileLock(f"{root}.lock"):
        if not (root / "done").exists():
            root.mkdir(exist_ok=True)
            (root / "params.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False), encoding="utf-8")
            train = [["train", name] for name in SMALL["models"]]  # type: ignore[attr-defined]
            run_stages(root, [["crossing"], ["prepare"], *train, ["infer"], ["score"], ["gallery"], ["publish"]])
            (root / "done").touch()
    return SmallRun(root)
