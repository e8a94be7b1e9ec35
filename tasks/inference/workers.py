"""Worker processes: they hold models, answer one unit at a time, and can be killed."""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

from tasks.errors import InputError
from tasks.inference.parts import Part, Unit
from tasks.processes import FRESH, adopt, context, end_with_parent, for_processes, interrupts_held

START_LIMIT_S: Final = 600.0
"""Loading libraries and models takes seconds; a network drive or a GPU driver may take minutes."""

_SETTINGS: Final = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",  # else torch.compile leaves processes behind a worker that is killed
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
"""Of every worker's environment; with one thread each, digits do not depend on how many workers there are."""

_ENVIRONMENT = threading.Lock()

Result = TypeVar("Result")


class UnitFailed(RuntimeError):
    """Some parts of a unit could not be made; the message names the first reason.

    Attributes:
        messages: the reason for each part, by key.
        again: whether another try may help: not when the input is at fault.
    """

    def __init__(self, messages: dict[str, str], *, again: bool) -> None:
        self.messages = messages
        self.again = again
        super().__init__(next(iter(messages.values())))


class PoolClosed(RuntimeError):
    """The run is being ended."""


def devices(device: str, workers: int | str) -> tuple[str, ...]:
    """The device of each worker: every GPU once, or the CPU `workers` times (auto: once a core).

    Raises:
        InputError: no such device.
    """
    from tasks.models import resolve_device

    kind = resolve_device(device)
    if kind == "cuda":
        import torch

        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if kind != "cpu":
        return (kind,)
    return ("cpu",) * (len(os.sched_getaffinity(0)) if workers == "auto" else int(workers))


class Worker:
    """One process on one device, started again after it was killed or died."""

    def __init__(self, spec: Any, device: str) -> None:
        self._spec, self._device = spec, device
        self._lock = threading.Lock()
        self._stopped = False
        self._start()

    def run(self, unit: Unit, *, limit_s: float, done: Callable[[Part], None]) -> None:
        """Work on `unit`, `done` hearing of each part that the store now holds.

        Raises:
            UnitFailed: parts could not be made, the process died, or it was too slow: at its start, or with the unit.
            InputError: a model cannot be loaded because of what the user gave, or the store not written.
        """
        left = {part.key: part for part in unit.parts}
        looks = [look.key for look in unit.looks]
        late = f"outran run.unit_limit_s ({limit_s:g} s) and was stopped"
        try:
            self._ready()
            self._pipe.send(unit)
            deadline = time.monotonic() + limit_s
            while True:
                kind, content = self._receive(deadline - time.monotonic(), late=late)
                if kind == "mistake":
                    raise InputError(content)
                if kind == "done":
                    done(left.pop(content))
                elif kind == "unit":
                    break
        except TimeoutError as error:
            self._restart()
            raise UnitFailed(dict.fromkeys([*left, *looks], str(error)), again=True) from None
        except (EOFError, OSError):
            code = self._restart()
            message = f"the worker process died ({_exit(code)})"
            raise UnitFailed(dict.fromkeys([*left, *looks], message), again=True) from None
        if content:
            raise UnitFailed(
                {failure.part.key: failure.message for failure in content},
                again=not all(failure.mistake for failure in content),
            )

    def stop(self) -> None:
        """Kill the process for good; a `run` in another thread ends."""
        with self._lock:
            self._stopped = True
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        origin: Any = context() if self._device == "cpu" else FRESH
        self._pipe, theirs = origin.Pipe()
        with _ENVIRONMENT, for_processes(others=_SETTINGS), interrupts_held():
            given = (theirs, self._spec, self._device, dict(os.environ))
            self._process = origin.Process(target=_serve, args=given, daemon=True)
            self._process.start()
        theirs.close()
        self._started = False

    def _restart(self) -> int | None:
        self._process.join(timeout=1)  # a dying process: wait for its exit code
        with self._lock:
            code: int | None = self._process.exitcode
            self._process.kill()
            self._process.join()
            self._pipe.close()
            if not self._stopped:
                self._start()
        return code

    def _ready(self) -> None:
        if not self._started:
            late = f"libraries and models did not load within {START_LIMIT_S:g} s, and the worker process was stopped"
            kind, content = self._receive(START_LIMIT_S, late=late)
            if kind == "mistake":
                raise InputError(content)
            self._started = True

    def _receive(self, seconds: float, *, late: str) -> tuple[str, Any]:
        """What the process says next.

        Raises:
            TimeoutError: nothing within so many seconds; `late` is its message.
        """
        if not self._pipe.poll(max(0.0, seconds)):
            raise TimeoutError(late)
        kind, content = self._pipe.recv()
        return kind, content


class Pool:
    """Workers behind one door: `run` is called from as many threads as there are workers."""

    def __init__(self, spec: Any, devices: tuple[str, ...]) -> None:
        self._workers = [Worker(spec, device) for device in devices]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._closed = False

    def run(self, unit: Unit, *, limit_s: float, done: Callable[[Part], None]) -> None:
        """As `Worker.run`, on the next idle worker.

        Raises:
            PoolClosed: the run is being ended.
        """
        worker = self._idle.get()
        try:
            if self._closed:
                raise PoolClosed
            worker.run(unit, limit_s=limit_s, done=done)
        except UnitFailed:
            if self._closed:
                raise PoolClosed from None
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Kill every worker; a `run` under way ends with PoolClosed."""
        self._closed = True
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def alone(function: Callable[..., Result], *arguments: Any, device: str, threads: int, limit_s: float) -> Result:
    """What `function` returns in a process of its own, in which nothing has run before.

    Raises:
        InputError: as the function.
        RuntimeError: it raised anything else, outran the limit, or the process died.
    """
    ours, theirs = FRESH.Pipe(duplex=False)
    process = FRESH.Process(target=_once, args=(theirs, device, threads, function, arguments), daemon=True)
    with _ENVIRONMENT, for_processes(threads, _SETTINGS), interrupts_held():
        process.start()
    theirs.close()
    try:
        if not ours.poll(limit_s):
            raise RuntimeError(f"outran {limit_s:g} s and was stopped")
        error, result = ours.recv()
    except EOFError:
        process.join(timeout=1)
        raise RuntimeError(f"the process died ({_exit(process.exitcode)})") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _once(pipe: Connection, device: str, threads: int, function: Callable[..., Any], given: tuple[Any, ...]) -> None:
    """The process of `alone`: errors go back as one line."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    _steady(device, threads)
    try:
        pipe.send((None, function(*given)))
    except InputError as error:
        pipe.send((error, None))
    except Exception as error:
        pipe.send((RuntimeError(" ".join(f"{type(error).__name__}: {error}".split())), None))


def _serve(pipe: Connection, spec: Any, device: str, environment: Mapping[str, str]) -> None:
    """The worker process: load, then answer units until the pipe ends."""
    adopt(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches everybody: the command ends its workers
    threading.Thread(target=end_with_parent, daemon=True).start()
    from tasks.inference.bench import Bench  # after the environment is set: libraries read it

    _steady(device)
    try:
        bench = Bench(spec, device)
    except InputError as error:
        pipe.send(("mistake", str(error)))
        return
    pipe.send(("ready", None))
    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("unit", bench.work(unit, lambda part: pipe.send(("done", part.key)))))
        except InputError as error:
            pipe.send(("mistake", str(error)))


def _steady(device: str, threads: int = 1) -> None:
    """So many threads, and on GPUs full float32 and repeatable sums."""
    import cv2

    cv2.setNumThreads(threads)
    if device == "cpu" and "torch" not in sys.modules:
        return  # where a model loads it later, it has as many threads as the environment says
    import torch

    torch.set_num_threads(threads)
    with contextlib.suppress(RuntimeError):  # only before the first parallel work
        torch.set_num_interop_threads(1)
    if device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def _exit(code: int | None) -> str:
    if code is None:
        return "no exit status"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}" + (": out of memory?" if -code == signal.SIGKILL else "")
    return f"exit status {code}"
