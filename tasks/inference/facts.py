"""run.json: facts of a run that decide nothing and enter no digest."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "stormglass", "torch", "onnxruntime", "numpy", "opencv-python", "imagecorruptions", "albumentations", "av",
    "trackers", "trackeval", "faster-coco-eval", "torchmetrics", "pandas", "pyarrow", "prefect", "dvc",
)  # fmt: skip

_WRITTEN: Final = (":(exclude)dvc.lock", ":(exclude)reports")


def write(path: Path, *, devices: tuple[str, ...], folder: Path, models: Mapping[str, str]) -> None:
    """Write the facts to `path`, whole or not at all.

    Args:
        path: `Layout.run_facts`.
        devices: one a worker.
        folder: of params.yaml; its git commit is noted, where it has one.
        models: what each is given and what is kept of its output, in words.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    told = {**gather(devices=devices, folder=folder), "models": models}
    temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def gather(*, devices: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """commit, dirty, device, workers, versions, date, command.

    dirty: tracked files differ from the commit, apart from what a run writes itself (dvc.lock, reports/).
    """
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", *_WRITTEN)
    return {
        "commit": commit,
        "dirty": None if commit is None else bool(changes),
        "device": device_name(devices[0]),
        "workers": len(devices),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def device_name(device: str) -> str:
    """A device in words, as exactly as this machine tells: `cuda:0: NVIDIA H200`."""
    if device.startswith("cuda"):
        import torch

        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"cpu: {_processor() or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _processor() -> str | None:
    """The processor's name as Linux tells it; other than Intel's and AMD's often go without."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
