import os
import subprocess
import sys

import pytest

from tasks import threads


def test_processes_started_within_have_so_many_and_the_environment_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.delenv("OTHER", raising=False)
    ask = [sys.executable, "-c", "import os; print(*(os.environ[name] for name in os.environ['ASKED'].split()))"]
    with threads.for_processes(2, {"OTHER": "x", "ASKED": "OTHER " + " ".join(threads.LIBRARIES)}):
        told = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()
    assert told == ["x", "2", "2", "2", "2"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert not {"MKL_NUM_THREADS", "OTHER", "ASKED"} & set(os.environ)
