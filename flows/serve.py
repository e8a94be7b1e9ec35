"""`stormglass serve`: scans of new footage by schedule, as a Prefect deployment, and a watch over them."""

import asyncio
import datetime
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from flows import footage, runtime, server
from flows.runtime import Run
from tasks.params import Footage

WATCH_S: Final = 60.0
"""At most so long between two looks at when the last scan was completed."""

BEAT_S: Final = 2.0
"""Between two looks at whether the server is alive."""

ZOMBIE_S: Final = 90
"""A run that has not been heard of for three heartbeats is dead."""

ZOMBIES: Final = "stormglass: scans that died are marked as crashed"


def keep(run: Run, params: Path) -> None:
    """Scan by the schedule of `params` until interrupted: one scan at a time, and none for what is due meanwhile.

    Args:
        run: the validated one; Prefect's server is up (`runtime.launch`).
        params: the params file.

    Raises:
        InputError: what a scan needs is not there.
        WorkFailed: Prefect's server does not start again.
        KeyboardInterrupt: by Ctrl-C; nothing runs on but a server that others use.
    """
    home = runtime.home(run.layout.root)
    own = os.environ.get("PREFECT_HOME") == str(home)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have jobs in the background ignore it
    try:
        section = footage.check(run)
        footage.arrived(run, section)
        if own:
            _bury(run)
        _mark_zombies()
        when = f"by cron '{section.cron}' (UTC)" if section.cron else f"every {section.interval_s:g} s"
        address = os.environ["PREFECT_API_URL"].removesuffix("/api")
        print(f"Scans {section.inbox} {when} with {section.model}. Prefect: {address} (until Ctrl-C)", flush=True)
        with _watch(run, home, own=own):
            while True:
                _serve(run, params, section, own=own)
                server.wait(server.start(home), home)
    finally:
        if own:
            server.leave(home)


def name(root: Path) -> str:
    """The deployment's: that of the folder, and unlike that of any other on a server that several use.

    Example:
        >>> name(Path("/srv/crossing"))
        'crossing-8b2fec'
    """
    return f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:6]}"


def _serve(run: Run, params: Path, section: Footage, *, own: bool) -> None:
    """Until interrupted, or, with a server of our own, until that does not answer any more."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.runner import Runner
    from prefect.types.entrypoint import EntrypointType

    one: Any = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    schedule: dict[str, Any] = {"cron": section.cron} if section.cron else {"interval": section.interval_s}
    runner = Runner(name=name(run.layout.root), pause_on_shutdown=True)
    # Its own answer to SIGTERM is a coroutine that nobody awaits.
    runner.handle_sigterm = lambda *_: os.kill(os.getpid(), signal.SIGINT)  # type: ignore[method-assign]
    try:
        runner.add_flow(
            footage.scan,  # type: ignore[arg-type]
            name=name(run.layout.root),
            parameters={"params": str(params.resolve()), "out": str(run.layout.root.resolve())},
            concurrency_limit=one,
            entrypoint_type=EntrypointType.MODULE_PATH,  # this package may lie anywhere, whatever the working folder
            **schedule,
        )
        asyncio.run(runner.start())
    except Exception as error:
        if not own:
            raise
        print(f"stormglass: serving again after {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _bury(run: Run) -> None:
    """Mark scans as crashed that an earlier `serve` left when it was killed: they keep the one place there is."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.states import Crashed

    going = FlowRunFilter.model_validate({"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}})
    ours = DeploymentFilter.model_validate({"name": {"any_": [name(run.layout.root)]}})
    with get_client(sync_client=True) as client:
        for left in client.read_flow_runs(flow_run_filter=going, deployment_filter=ours):
            client.set_flow_run_state(left.id, Crashed(message="Killed together with what served it."), force=True)


def _mark_zombies() -> None:
    """Have the server mark scans as crashed that are not heard of any more: where a worker died, nobody else does."""
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    trigger = EventTrigger(
        after={"prefect.flow-run.heartbeat"},  # events of states come late, when those before them are missing
        expect={"prefect.flow-run.heartbeat", *ends},
        match_related=ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": footage.scan.__name__}
        ),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=datetime.timedelta(seconds=ZOMBIE_S),
    )
    try:
        Automation.read(name=ZOMBIES)  # type: ignore[unused-coroutine]
    except ValueError:  # it is not there
        action = ChangeFlowRunState(state=StateType.CRASHED, message="Not heard of any more: it was killed.")
        Automation(name=ZOMBIES, trigger=trigger, actions=[action]).create()


@contextmanager
def _watch(run: Run, home: Path, *, own: bool) -> Iterator[None]:
    """Meanwhile it is told when no scan completes, and a server of our own that died is started again.

    At the same address, so that who serves may not even notice: it stands three failures, half a minute.
    """
    ended = threading.Event()
    since = datetime.datetime.now(datetime.UTC)
    pause_s = min(WATCH_S, (footage.settings(run).due(since, 1) - since).total_seconds())

    def look() -> None:
        next_s = time.monotonic() + pause_s
        while not ended.wait(BEAT_S):
            try:
                known = server.find(home)
                if own and (known is None or not known.alive):
                    print("stormglass: Prefect's server died and is started again", file=sys.stderr, flush=True)
                    server.start(home)
                if time.monotonic() > next_s:
                    next_s = time.monotonic() + pause_s
                    footage.watch(run, since=since)
            except Exception as error:  # the next look may be luckier
                print(f"stormglass: the watch over scans: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(timeout=10)
