"""Decode, corrupt, predict, track: from the data set's frames to predictions/, by way of the part store.

A run is `plan`, `take_recorded`, `run` for every unit of the plan (by a scheduler, or by `run_all`), then `finish`;
then, with nothing else running, `measure_latency`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from tasks import processes
from tasks.inference import facts, latency, looks, planning, results, workers
from tasks.inference.bench import Spec
from tasks.inference.parts import Part, Plan, Unit
from tasks.inference.recording import check_recorded, take_recorded
from tasks.inference.results import Failed
from tasks.inference.trial import try_models
from tasks.inference.workers import Pool, PoolClosed, UnitFailed
from tasks.layout import Layout
from tasks.models import elsewhere
from tasks.params import Params

__all__ = [
    "Failed", "Part", "Plan", "Pool", "PoolClosed", "Unit", "UnitFailed", "check_recorded", "finish", "infer",
    "measure_latency", "open_pool", "plan", "run", "run_all", "take_recorded", "try_models", "worth_another_try",
]  # fmt: skip


def plan(params: Params, layout: Layout) -> Plan:
    """What `params` asks for and what of it is left to do; see `tasks.inference.planning.make`."""
    return processes.apart(_plan, params, layout)


def _plan(params: Params, layout: Layout) -> Plan:
    return planning.make(params, layout, devices=workers.devices(params.run.device, params.run.workers))


@contextmanager
def open_pool(work: Plan) -> Iterator[Pool]:
    """The workers for `work`: no more than it has units; none is left when the block ends."""
    names = tuple(dict.fromkeys(part.model for unit in work.units for part in unit.parts))
    _make_ready(work)
    spec = Spec(params=work.params, store=work.store.url, names=names)
    with Pool(spec, work.devices[: max(1, len(work.units))] if work.units else ()) as pool:
        yield pool


def _make_ready(work: Plan) -> None:
    """Start the models that run elsewhere and have frames to see: here, for no limit on workers may cut that short."""
    parts = [part for unit in work.units for part in unit.parts if part.model in work.away]
    for name in dict.fromkeys(part.model for part in parts if not work.store.has(part.detections)):
        elsewhere.ready(work.params.models[name])


def run(work: Plan, pool: Pool, unit: Unit, *, done: Callable[[Part], None]) -> None:
    """One try at a unit; what fails is noted in `work.messages`.

    Raises:
        UnitFailed: some parts are missing; `again` says whether another try may help.
        InputError: no unit can be done: a model cannot be loaded.
        PoolClosed: the run is being ended.
    """
    parts = tuple(part for part in unit.parts if not work.store.has(part.key))  # a second try has less to do
    unseen = tuple(look for look in unit.looks if work.store.kept_arrow(looks.TABLE, look.key) is None)
    try:
        again = Unit(unit.corruption, unit.shard, parts, unseen)
        pool.run(again, limit_s=work.params.run.unit_limit_s, done=done)
    except UnitFailed as error:
        work.messages.update(error.messages)
        raise


def worth_another_try(error: object) -> bool:
    """Whether `run` may succeed after it raised `error`."""
    return isinstance(error, UnitFailed) and error.again


def run_all(work: Plan, *, done: Callable[[Part], None]) -> None:
    """Every unit of `work` in threads of this process's own, each tried `run.retries` times more.

    Raises:
        InputError: as `run`.
    """
    with open_pool(work) as pool, ThreadPoolExecutor(max(1, len(work.devices))) as threads:

        def persist(unit: Unit) -> None:
            for left in reversed(range(work.params.run.retries + 1)):
                try:
                    return run(work, pool, unit, done=done)
                except UnitFailed as error:
                    if not left or not worth_another_try(error):
                        return None
            return None

        futures: list[Future[None]] = [threads.submit(persist, unit) for unit in work.units]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            pool.close()
            raise


def finish(work: Plan) -> list[Failed]:
    """Link what params name into predictions/ and note the facts of the run; the parts that are missing."""
    failed = results.link(work)
    facts.write(work.layout.run_facts, devices=work.devices, folder=work.params.folder, models=work.settings)
    return failed


def measure_latency(work: Plan, *, say: Callable[[str], None] = lambda model: None) -> None:
    """Measure what is not known of the models' latency and memory; see `tasks.inference.latency.measure`."""
    latency.measure(work, say=say)


def infer(params: Params, layout: Layout, *, done: Callable[[Part], None] = lambda part: None) -> list[Failed]:
    """All of it without a scheduler; the parts that are missing.

    Raises:
        InputError: what the user gave cannot be run.
    """
    work = plan(params, layout)
    take_recorded(work, done=done)
    with elsewhere.services():
        run_all(work, done=done)
        failed = finish(work)
        measure_latency(work)
    return failed
