"""Killed with -9 in the midst of taking footage in, and started again: nothing is lost, nothing is there twice."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import footage_scans

SCRIPT = Path(__file__).with_name("killed.py")
NAMES = ("north/a.mp4", "north/b.mp4", "south/c.mp4", "top.mp4")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where the system has such a place: a killed process loses nothing that it wrote, and a disk is slow."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inbox")
    for at, name in enumerate(NAMES):
        footage_scans.write_video(folder / name, seed=at, frames=2)
    return folder


def killed(*words: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[3])}
    command = [sys.executable, SCRIPT, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def events(inbox: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many moments there are to be killed at."""
    return int(killed(inbox, tmp_path_factory.mktemp("counted")))


def check(inbox: Path, folder: Path, words: list[str]) -> None:
    ends = json.loads(killed(inbox, folder, *words))
    assert ends == {word: [-9] * (word.count(",") + 1) + [0] for word in words}
    for word in words:
        found = footage_scans.agreement(folder / word)
        assert found == dict.fromkeys(footage_scans.digests(inbox), "ok"), f"killed at {word}"
        assert not footage_scans.leftovers(folder / word), f"killed at {word}"


def test_killed_at_30_moments(inbox: Path, events: int, folder: Path) -> None:
    """Half of them while the run is finished, from the renaming of its folder to the end."""
    check(
        inbox,
        folder,
        [str(1 + at * (events - 16) // 14) for at in range(15)] + [*map(str, range(events - 14, events + 1))],
    )


def test_killed_twice(inbox: Path, events: int, folder: Path) -> None:
    """The second time while what the first one left is put in order: recovery comes first in a scan."""
    dice = random.Random(0)
    check(inbox, folder, [f"{dice.randint(1, events)},{dice.randint(1, events // 4)}" for _ in range(8)])


@pytest.mark.slow
def test_killed_at_every_moment(inbox: Path, events: int, folder: Path) -> None:
    check(inbox, folder, [str(moment) for moment in range(1, events + 1)])
