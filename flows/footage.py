"""A scan of new footage: what has arrived is looked at, compared with the validated run, and told of."""

import datetime
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from flows import findings, progress, runtime, shipped
from flows.runtime import Run
from flows.shipped import Look, Shipped
from tasks.errors import InputError, WorkFailed
from tasks.footage import inbox, runs
from tasks.footage.ledger import Clip
from tasks.models import elsewhere
from tasks.monitoring import alert_state, delivery, forecast, memory, signals
from tasks.monitoring.alert_records import Signal
from tasks.params import Footage

KEPT = ".kept"
"""In the folder of runs: what is worked out once and used again, and what is known of each camera."""

FIT: Final = datetime.timedelta(hours=1)
"""A scan that fits the forecast has so long before the time counts in which none completes."""


@runtime.stage
def scan(params: str = "params.yaml", out: str | None = None) -> None:
    """Look at each clip that has arrived, write what was found to a folder of its own in `footage.runs`.

    Raises:
        InputError: params or the validated run lack what a scan needs, or the inbox is not there.
        WorkFailed: clips could not be looked at though they are not broken; the others are done.
    """
    try:
        _scan(runtime.open_run(params, out))
    except Exception as error:
        if _scheduled():  # who started it by hand is told by the command line
            print(f"scan: {error}", file=sys.stderr, flush=True)
        raise


def _scan(run: Run) -> None:
    section = check(run)
    started = _now()
    kept = runs.Runs(run.params.resolve(section.runs))
    kept.recover()
    memory.settle(kept.root, kept.root / KEPT)
    _tell(run, kept.root, section)  # what a scan that died had still to tell
    missed = _missed(run, kept, section, since=None if _scheduled() else started)
    found = arrived(run, section)
    with kept.begin() as new:
        batch = new.take(found, minutes=section.minutes_per_run)
        ready: Shipped | None = None
        looks: list[Look] = []
        if batch.clips:
            with elsewhere.services():
                ready = shipped.ready(run, section, kept.root / KEPT)
                looks = _look(run, ready, new, batch.clips, kept.root / KEPT)
        clips = new.table()
        seen = findings.Findings(run, section, new, clips, batch, looks, ready, missed, started, _now())
        rows, speaks = seen.write(kept)
        place = new.finish(rows, now=seen.finished, keep_folder=bool(len(clips)) or speaks)
    memory.settle(kept.root, kept.root / KEPT)
    _tell(run, kept.root, section, finished=new.name)
    for line in findings.told(clips, batch, place):
        print(line, file=sys.stderr, flush=True)
    if runtime.enabled():
        findings.artifacts(place, batch.left, root=kept.root)
    kept.prune(keep_days=section.keep_days)
    failed = clips[clips["status"] == "failed"]
    if len(failed):
        first = failed.iloc[0]
        raise WorkFailed(
            f"{len(failed)} of {len(clips)} clip(s) failed, the first is {first['file']}: {first['reason']}"
        )


def settings(run: Run) -> Footage:
    """`footage` of params.

    Raises:
        InputError: there is no such section.
    """
    if run.params.footage is None:
        raise InputError("params has no section 'footage': where new footage arrives, and which model looks at it.")
    return run.params.footage


def check(run: Run) -> Footage:
    """`footage` of params, where all that a scan needs is there.

    Raises:
        InputError: something is not.
    """
    section = settings(run)
    delivery.check(section.alerts)
    shipped.check(run, section)
    return section


def retry(run: Run, clip_ids: Sequence[str]) -> None:
    """Have the next scan take quarantined and failed clips once more.

    Raises:
        InputError: there are no such clips.
    """
    kept = runs.Runs(run.params.resolve(settings(run).runs))
    unknown = [clip_id for clip_id in clip_ids if not kept.ledger.retry([clip_id])]
    if unknown:
        raise InputError(
            f"--retry: no clip {', '.join(unknown)} was quarantined or failed; the page lists those there are."
        )


def arrived(run: Run, section: Footage) -> inbox.Listing:
    """What lies in the inbox.

    Raises:
        InputError: there is no such place.
        WorkFailed: the store does not answer.
    """
    place = section.inbox if "://" in section.inbox else run.params.resolve(section.inbox)
    return inbox.listing(place, settle_s=section.settle_s)


def watch(run: Run, *, since: datetime.datetime) -> None:
    """Between scans: tell when none is completed, and what could not be told before.

    Args:
        run: the validated one.
        since: when scans began to be due.
    """
    section = settings(run)
    kept = runs.Runs(run.params.resolve(section.runs))
    alert_state.watch(kept.root, section.alerts, _missed(run, kept, section, since=since), now=_now())
    _deliver(run, kept.root, section)


def _look(run: Run, ready: Shipped, new: runs.Run, clips: Sequence[Clip], keep: Path) -> list[Look]:
    """Look at each clip, one after the other; those that are broken or fail are noted by `new` and left out."""
    stated = (clip.facts.n_frames or clip.facts.duration_s * clip.facts.frame_rate for clip in clips)
    with progress.parts("scan", max(1, round(sum(stated))), "frames") as done:

        def frames(count: int) -> None:
            for _ in range(count):
                done(None)

        known = memory.Memory(keep, new.folder / memory.STAGED)
        look = partial(ready.look, folder=new.folder, known=known, done=frames)
        found = []
        for clip in clips:
            one = new.process(clip, _tried(look, clip, run.params.run.retries))
            if one is None:  # broken, failed or changed meanwhile: nothing of it is shown
                (new.folder / "clips" / f"{clip.clip_id}.mp4").unlink(missing_ok=True)
            else:
                ready.learn(one, known)
                found.append(one)
        return found


def _tried(look: Callable[[Clip], Look], clip: Clip, retries: int) -> Callable[[Clip], Look]:
    """`look`, as a Prefect task where Prefect is on; what fails is tried again, a broken clip is not."""
    if runtime.enabled():
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        @task(
            name="clip",
            task_run_name=clip.file,
            retries=retries,
            retry_condition_fn=lambda task, run, state: not isinstance(state.data, InputError),
            cache_policy=NO_CACHE,  # the ledger is the truth; a cache of Prefect's would be a second one
        )
        def one() -> Look:
            return look(clip)

        return lambda _: one()

    def persist(given: Clip) -> Look:
        for _ in range(retries):
            try:
                return look(given)
            except InputError:
                raise
            except Exception:
                continue
        return look(given)

    return persist


def _scheduled() -> bool:
    """Whether a deployment's schedule started this: scans that somebody starts by hand miss nothing."""
    if not runtime.enabled():
        return False
    from prefect.runtime import deployment

    return deployment.id is not None


def _missed(run: Run, kept: runs.Runs, section: Footage, *, since: datetime.datetime | None) -> Signal:
    """How many scans were due since the last completed one, or since `since` or the forecast's fit if later."""
    last = kept.ledger.last_completed()
    before = None if last is None else datetime.datetime.fromisoformat(last)

    def counted(*times: datetime.datetime | None) -> Signal:
        start = max((time for time in times if time is not None), default=_now())
        interval_s = (section.due(start, section.missed_scans) - start).total_seconds() / section.missed_scans
        return signals.missed(before, _now(), since=start, interval_s=interval_s, missed_scans=section.missed_scans)

    found = counted(before, since)
    return counted(before, since, _fitted(run, kept, section)) if found.over else found


def _fitted(run: Run, kept: runs.Runs, section: Footage) -> datetime.datetime | None:
    """When the forecast was fitted: now, where a scan is about it; None, where it is not and nobody does."""
    done = forecast.fitted(run.params, run.layout, section.model, kept.root / KEPT / shipped.FORECAST)
    begun = kept.under_way()
    return done if done is not None or begun is None else min(_now(), begun + FIT)


def _tell(run: Run, root: Path, section: Footage, *, finished: str | None = None) -> None:
    """Take in what finished scans have to tell, and bring it to where it goes."""
    alert_state.commit(root, section.alerts, run=finished)
    _deliver(run, root, section)


def _deliver(run: Run, root: Path, section: Footage) -> None:
    emit = findings.emit if runtime.enabled() and section.alerts.events else None
    delivery.deliver(root, section.alerts, folder=run.params.folder, now=_now(), emit=emit)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
