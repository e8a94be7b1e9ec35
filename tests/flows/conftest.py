"""One real Prefect server for all tests of the flows, and the command as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import server

ROOT = Path(__file__).parent.parent.parent
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """The environment of a process of its own: nothing of Prefect but what `more` says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "STORMGLASS_"))}
    kept["PYTHONPATH"] = os.pathsep.join([*filter(None, [more.pop("PYTHONPATH", "")]), str(ROOT)])
    return {**kept, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of processes that use the session's server."""
    home = tmp_path_factory.mktemp("prefect")
    started = server.start(home)
    server.wait(started, home)
    yield {**server.settings(home), "PREFECT_API_URL": started.url}
    server.stop(home)


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
