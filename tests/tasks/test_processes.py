import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks import processes


def test_processes_started_within_have_so_many_and_the_environment_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.delenv("OTHER", raising=False)
    ask = [sys.executable, "-c", "import os; print(*(os.environ[name] for name in os.environ['ASKED'].split()))"]
    with processes.for_processes(2, {"OTHER": "x", "ASKED": "OTHER " + " ".join(processes.LIBRARIES)}):
        told = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()
    assert told == ["x", "2", "2", "2", "2"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert not {"MKL_NUM_THREADS", "OTHER", "ASKED"} & set(os.environ)


SCRIPT = """
import os, sys, time
from contextlib import nullcontext
from pathlib import Path
from tasks import processes

folder = Path(sys.argv[1])

def prepare(word):
    (folder / f"{os.getpid()}.{word}").touch()

def ask(_):
    time.sleep(0.2)
    return os.getpid(), "colorsys" in sys.modules, os.environ.get("SAID"), os.environ["OMP_NUM_THREADS"]

def sleep(_):
    time.sleep(600)

if __name__ == "__main__":
    (folder / "broken.py").write_text("raise ValueError")
    with processes.ahead(["broken", "colorsys"]) if "ahead" in sys.argv else nullcontext():
        os.environ["SAID"] = "since"
        with processes.pool(2, prepare, "ready") as pool:
            for answer in pool.map(ask, range(6)):
                print(*answer, flush=True)
            if "sleep" in sys.argv:
                print("asleep", os.getpid(), flush=True)
                list(pool.map(sleep, range(4)))
    with processes.ahead(["colorsys"]) if "again" in sys.argv else nullcontext():
        with processes.pool(1, prepare, "ready") as pool:
            print(*next(pool.map(ask, range(1))))
"""


def script(folder: Path, *words: str) -> list[str]:
    (folder / "script.py").write_text(SCRIPT)
    return [sys.executable, str(folder / "script.py"), str(folder), *words]


@pytest.mark.parametrize("words", [(), ("ahead",), ("ahead", "again")])
def test_processes_of_a_pool_have_what_was_loaded_ahead_and_the_environment_of_now(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        script(tmp_path, *words), cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    *told, later = [line.split() for line in done.stdout.splitlines()]
    assert len(told) == 6
    assert later[1:] == ["False", "since", "1"], "once: what was loaded may be out of date"
    assert {tuple(line[1:4]) for line in told} == {(str(bool(words)), "since", "1")}
    assert {f"{line[0]}.ready" for line in (*told, later)} == {file.name for file in tmp_path.glob("*.ready")}
    assert done.stderr == ""


@pytest.mark.parametrize("words", [("sleep",), ("sleep", "ahead")])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_pool_ends_with_the_process_that_has_it(tmp_path: Path, words: tuple[str, ...], number: int) -> None:
    with subprocess.Popen(
        script(tmp_path, *words),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        assert running.stdout is not None
        told = [next(running.stdout).split() for _ in range(7)]
        below = psutil.Process(running.pid).children(recursive=True)
        assert {int(line[0]) for line in told[:6]} <= {process.pid for process in below}
        assert told[6] == ["asleep", str(running.pid)]
        if number == signal.SIGINT:
            os.killpg(running.pid, number)  # as a terminal does
        else:
            running.kill()
        assert running.wait(timeout=20) != 0
        assert not psutil.wait_procs(below, timeout=20)[1]


APART = """
import os, sys
from contextlib import nullcontext
from tasks import processes
from tasks.errors import InputError

def ask(word):
    if word == "wrong":
        raise InputError("no such thing")
    return os.getpid() != int(os.environ["PARENT"]), "colorsys" in sys.modules

if __name__ == "__main__":
    os.environ["PARENT"] = str(os.getpid())
    with processes.ahead(["colorsys"]) if "ahead" in sys.argv else nullcontext():
        print(*processes.apart(ask, "right"))
        try:
            processes.apart(ask, "wrong")
        except InputError as error:
            print(error)
    print("colorsys" in sys.modules)
"""


@pytest.mark.parametrize(("words", "told"), [((), "False False"), (("ahead",), "True True")])
def test_work_apart_is_done_where_its_libraries_are_loaded(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(APART)
    done = subprocess.run(
        [sys.executable, str(script), *words], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [told, "no such thing", "False"]
    assert done.stderr == ""
