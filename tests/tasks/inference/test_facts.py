"""What run.json says of the state of the project's files."""

import subprocess
from pathlib import Path

import pytest

from tasks.inference import facts


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("changed", "dirty"), [(None, False), ("dvc.lock", False), ("reports/summary.md", False), ("params.yaml", True)]
)
def test_what_a_run_writes_itself_is_no_local_change(tmp_path: Path, changed: str | None, dirty: bool) -> None:
    git(tmp_path, "init", "-q")
    for name in ("dvc.lock", "params.yaml", "reports/summary.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    if changed:
        (tmp_path / changed).write_text("b")
    (tmp_path / "notes.txt").write_text("not tracked")
    found = facts.gather(devices=("cpu",), folder=tmp_path)
    assert len(found["commit"]) == 40
    assert found["dirty"] is dirty


def test_without_a_repository_nothing_is_said(tmp_path: Path) -> None:
    found = facts.gather(devices=("cpu",), folder=tmp_path)
    assert (found["commit"], found["dirty"]) == (None, None)
