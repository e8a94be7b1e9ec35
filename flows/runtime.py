"""How flows meet Prefect: its settings, its server, and running without it.

Nothing here imports Prefect until a stage is declared, for it reads its settings from the environment at import.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flows import server
from tasks import params as parameters
from tasks.layout import Layout
from tasks.params import Params

SWITCH = "STORMGLASS_PREFECT"
"""Environment variable; `off`: stages are plain functions and Prefect is never imported."""

Stage = TypeVar("Stage", bound=Callable[..., None])


@dataclass(frozen=True)
class Run:
    """What every stage starts from."""

    params: Params
    layout: Layout


def home(root: Path) -> Path:
    """Where the Prefect server of a run keeps everything."""
    return (Layout(root).state / "prefect").resolve()


def enabled() -> bool:
    """Whether stages are Prefect flows."""
    return os.environ.get(SWITCH) != "off"


def launch(root: Path, *, prefect: bool = True) -> Callable[[], None]:
    """Point this process at `PREFECT_API_URL` or else at the run's own server, started now if it does not run yet.

    Call before a stage is imported. The server starts in the background.

    Args:
        root: the run's folder.
        prefect: `run.prefect`; False: no server, stages are plain functions.

    Returns:
        A function that waits until the server answers.
    """
    if not prefect:
        os.environ[SWITCH] = "off"
        return lambda: None
    os.environ[SWITCH] = "on"
    place = home(root)
    if os.environ.get("PREFECT_API_URL"):
        theirs = {name: value for name, value in server.settings(place).items() if name != "PREFECT_HOME"}
        for name, value in theirs.items():
            os.environ.setdefault(name, value)
        return lambda: None
    started = server.start(place)
    os.environ.update({**server.settings(place), "PREFECT_API_URL": started.url})
    loopback = ["127.0.0.1", "localhost"]
    os.environ["NO_PROXY"] = ",".join([*filter(None, [os.environ.get("NO_PROXY")]), *loopback])
    return lambda: server.wait(started, place)


def stage(function: Stage) -> Stage:
    """`function` as a Prefect flow of its name; as it is where Prefect is switched off."""
    if not enabled():
        return function
    from prefect import flow

    return flow(name=function.__name__, validate_parameters=True)(function)  # type: ignore[return-value]


@contextmanager
def attended() -> Iterator[None]:
    """Around flows that somebody waits for: they send no heartbeat, whose thread holds up the end by up to a second."""
    if not enabled():
        yield
        return
    from prefect.context import SettingsContext, get_settings_context

    given = get_settings_context()
    flows = given.settings.flows.model_copy(update={"heartbeat_frequency": None})
    # As `prefect.settings.temporary_settings`, which reads all settings anew for it: a tenth of a second.
    with SettingsContext(profile=given.profile, settings=given.settings.model_copy(update={"flows": flows})):
        yield


def open_run(params: str, out: str | None = None, only: str | None = None, limit: int | None = None) -> Run:
    """The params and folders of a run.

    Args:
        params: the params file.
        out: the run's folder; None: that of the params file.
        only: a glob of corruptions and families.
        limit: the first clips that hold this many frames.

    Raises:
        InputError: the params are wrong.
    """
    chosen = parameters.load(Path(params)).only(only).limited(limit)
    return Run(chosen, Layout(chosen.folder if out is None else Path(out).resolve()))


def workers(params: Params) -> int:
    """Processes for work on the CPU."""
    count = params.run.workers
    return len(os.sched_getaffinity(0)) if count == "auto" else int(count)
