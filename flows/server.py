"""A run's own Prefect server: one process on loopback, in the run's folder, that ends when nobody uses it any more.

`python -m flows.server HOME` is that process; the functions are for those who start and find it. In HOME lie
`server.json` (url and process), `users/` (a file for each process that uses the server), `server.log` and Prefect's
own files.
"""

import contextlib
import fcntl
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from tasks.errors import WorkFailed

if TYPE_CHECKING:
    import uvicorn

IDLE_S: Final = 300.0
"""The stages of a run follow each other within seconds; a look at the report between two runs takes minutes."""

START_LIMIT_S: Final = 180.0
"""A fresh server takes 11-14 s on two free cores (it builds its database); a loaded machine several times that."""


@dataclass(frozen=True)
class Server:
    """A server process."""

    url: str
    pid: int
    created: float

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return _runs(self.pid, self.created)

    @property
    def healthy(self) -> bool:
        """Whether it answers, and will at once: FastAPI builds its routes for the first who asks for one, which takes a
        fifth of a second, and `/health` lies before them.
        """
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/admin/version", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def settings(home: Path) -> dict[str, str]:
    """Environment of the server and of every process that uses it."""
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",  # unfit: it loses records and takes 8-15 s a flow
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",  # the defaults drop records past ~2,000 tasks
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # In memory, which is the default, a server that ends takes with it who holds a slot, and the slot stays taken.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS": "4",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the command line reports; details are in the server
        "PREFECT_CLI_PROMPT": "false",
    }


def start(home: Path) -> Server:
    """The server of `home`, found or started but not waited for; this process counts as a user of it until it ends."""
    home.mkdir(parents=True, exist_ok=True)
    _use(home)
    with _locked(home):
        server = find(home)
        if server is not None and server.alive:
            return server
        before = "" if server is None else server.url  # some may still know it by that
        (home / "server.json").unlink(missing_ok=True)
        with (home / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.server", str(home), before],
                cwd=Path(__file__).parent.parent,  # wherever the command was given, `flows` is found
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C and the end of this run leave it running
            )
        deadline = time.monotonic() + START_LIMIT_S
        while (server := find(home)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise _no_server(home)
            time.sleep(0.05)
        return server


def wait(server: Server, home: Path) -> None:
    """Until the server answers.

    Raises:
        WorkFailed: it does not.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while not server.healthy:
        if not server.alive or time.monotonic() > deadline:
            raise _no_server(home)
        time.sleep(0.2)


def find(home: Path) -> Server | None:
    """The server that was last started in `home`, alive or not."""
    try:
        return Server(**json.loads((home / "server.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def stop(home: Path) -> None:
    """End the server of `home`, if there is one."""
    server = find(home)
    if server is not None and server.alive:
        os.kill(server.pid, signal.SIGTERM)
        with contextlib.suppress(psutil.Error):
            psutil.Process(server.pid).wait(timeout=30)


def leave(home: Path) -> None:
    """This process needs the server of `home` no more; the last one that says so ends it."""
    (home / "users" / str(os.getpid())).unlink(missing_ok=True)
    with _locked(home):
        if not _used(home):
            stop(home)


def _no_server(home: Path) -> WorkFailed:
    return WorkFailed(
        f"Prefect's server did not start; its log is {home / 'server.log'}. "
        "`run.prefect: false` in params.yaml runs the same work without it."
    )


def _runs(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _use(home: Path) -> None:
    users = home / "users"
    users.mkdir(exist_ok=True)
    (users / str(os.getpid())).write_text(str(psutil.Process().create_time()))


def _used(home: Path) -> bool:
    """Whether a process that uses the server still runs; files of others are cleared away."""
    used = False
    for user in (home / "users").glob("*"):
        with contextlib.suppress(FileNotFoundError, ValueError):
            if _runs(int(user.name), float(user.read_text() or "nan")):
                used = True
            elif time.time() - user.stat().st_mtime > 60:  # not one that is being written
                user.unlink()
    return used


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def serve(home: Path, before: str = "", *, idle_s: float) -> None:
    """Be the server of `home` until nobody has used it for `idle_s`, or `home` is gone.

    Args:
        home: its folder.
        before: the URL of an earlier one, which is taken again if it is free.
        idle_s: seconds.
    """
    # Where a socket names its protocol asyncio sends at once (TCP_NODELAY); else an answer waits 40 ms for the client.
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(("127.0.0.1", urllib.parse.urlsplit(before).port or 0))  # loopback only
    except OSError:
        door.bind(("127.0.0.1", 0))  # the system gives a free port
    port = door.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    address = {"PREFECT_API_URL": url, "PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(port)}
    os.environ.update({**settings(home), **address, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"})
    state = {"url": url, "pid": os.getpid(), "created": psutil.Process().create_time()}
    temporary = home / f".server.json.{os.getpid()}"
    temporary.write_text(json.dumps(state))
    temporary.replace(home / "server.json")

    gc.disable()  # until all is loaded, see `_watch`
    import uvicorn  # after the environment: Prefect reads its settings when it is loaded
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(final=True), log_level="warning", timeout_keep_alive=5))
    threading.Thread(target=_watch, args=(server, home, idle_s), daemon=True).start()
    server.run(sockets=[door])


def _watch(server: "uvicorn.Server", home: Path, idle_s: float) -> None:
    last_used = time.monotonic()
    while time.monotonic() - last_used < idle_s and (home / "server.json").exists():
        time.sleep(min(2.0, idle_s / 4))
        if server.started and not gc.isenabled():
            # What is loaded stays: to go through it for garbage takes a quarter of a second, in which nobody is served.
            gc.freeze()
            gc.enable()
        if _used(home):
            last_used = time.monotonic()
    server.should_exit = True
    time.sleep(30)
    os._exit(0)  # a service that does not stop when asked


if __name__ == "__main__":
    serve(Path(sys.argv[1]), *sys.argv[2:], idle_s=float(os.environ.get("STORMGLASS_SERVER_IDLE_S", IDLE_S)))
