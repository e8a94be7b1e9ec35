"""Every model's predictions on clean and corrupted frames: a Prefect task for each unit of work that is left."""

import sys
from collections.abc import Callable, Sequence

from flows import progress, runtime
from tasks import inference
from tasks.errors import InputError, WorkFailed
from tasks.inference import Part, Plan
from tasks.models import elsewhere


@runtime.stage
def infer(
    params: str = "params.yaml", out: str | None = None, only: str | None = None, limit: int | None = None
) -> None:
    """Compute the parts that the store lacks, link the rest.

    Raises:
        WorkFailed: parts are missing after all tries; predictions/ is there and marks their cells as failed.
    """
    run = runtime.open_run(params, out, only, limit)
    work = inference.plan(run.params, run.layout)
    total, left = work.n_parts, work.n_missing
    print(f"infer: {total} parts, {total - left} already in the store", file=sys.stderr, flush=True)
    with elsewhere.services():
        if left or work.units:  # a unit without parts is left to look at
            with progress.parts("infer", left) as done:
                inference.take_recorded(work, done=done)
                if work.units:
                    (_submit if runtime.enabled() else inference.run_all)(work, done=done)
        failed = inference.finish(work)
        inference.measure_latency(
            work, say=lambda model: print(f"infer: latency of {model}", file=sys.stderr, flush=True)
        )
    if failed:
        raise WorkFailed(f"{len(failed)} of {len(work.cells)} parts failed, the others are done: {_told(failed)}")


def _told(failed: Sequence[inference.Failed]) -> str:
    """The first part of each of the first five reasons, and how many more have the same one."""
    alike: dict[str, list[inference.Failed]] = {}
    for part in failed:
        alike.setdefault(part.message, []).append(part)
    told = [
        str(parts[0]).rstrip(".") + (f" ({len(parts) - 1} more the same)" if len(parts) > 1 else "")
        for parts in alike.values()
    ]
    return "; ".join(told[:5]) + ("; ..." if len(told) > 5 else ".")


def _submit(work: Plan, *, done: Callable[[Part], None]) -> None:
    """A Prefect task for each unit, as many at a time as there are workers; each waits for a worker process."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE
    from prefect.futures import as_completed
    from prefect.task_runners import ThreadPoolTaskRunner

    units = {unit.name: unit for unit in work.units}

    @task(
        name="unit",
        task_run_name="{unit}",
        retries=work.params.run.retries,
        retry_condition_fn=lambda task, run, state: inference.worth_another_try(state.data),
        cache_policy=NO_CACHE,  # the store is the truth; a cache of Prefect's would be a second one
    )
    def compute(unit: str) -> None:
        inference.run(work, pool, units[unit], done=done)

    with (
        inference.open_pool(work) as pool,
        ThreadPoolTaskRunner(max_workers=len(work.devices)) as runner,  # type: ignore[var-annotated]
    ):
        try:
            futures = [runner.submit(compute, {"unit": name}) for name in units]
            for future in as_completed(futures):
                error = future.result(raise_on_failure=False)
                if isinstance(error, InputError):  # no unit can succeed
                    raise error
        except BaseException:
            pool.close()  # the tasks that wait for a worker end at once
            raise
