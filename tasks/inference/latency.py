"""Latency and memory of every model of a run, measured where they are not known yet, each in a process of its own."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.inference import measuring, workers
from tasks.inference.batches import on_processor
from tasks.inference.facts import device_name
from tasks.inference.measuring import Place, Spec
from tasks.inference.parts import Plan
from tasks.inference.planning import levels_of
from tasks.models import elsewhere, recorded
from tasks.params import Latency, Params
from tasks.store import part_key

VERSION: Final = 2
"""Rises when what is measured changes."""

FILE: Final = "latency.parquet"


def measure(plan: Plan, *, say: Callable[[str], None] = lambda model: None) -> None:
    """Write latency/latency.parquet: what the store knows of the models, and what it does not know measured now.

    Facts are found by the model's clean parts, device, threads, batch and frames. A model that cannot be measured has
    a row that says why; only what was measured is kept in the store.

    Args:
        plan: of a run whose parts are done.
        say: hears the name of each model before it is measured.
    """
    wanted = plan.params.latency
    found = [
        _absent(name, "not_applicable", "params have no section `latency`")
        if wanted is None
        else _absent(name, "not_applicable", "recorded predictions: no latency")
        if plan.params.models[name].adapter == recorded.NAME
        else _facts(plan, name, wanted, say)
        for name in plan.params.models
    ]
    tables.write("latency", pd.concat(found, ignore_index=True), plan.layout.latency / FILE)


def _facts(plan: Plan, name: str, wanted: Latency, say: Callable[[str], None]) -> pd.DataFrame:
    spec = _spec(plan, name, wanted)
    clean = [c.part.key for c in plan.cells if c.part.model == name and c.corruption == tables.CLEAN]
    decided_by = {
        "latency": VERSION,
        "parts": clean,  # which follow from the model, its tracker and the frames
        "frames": spec.frames["frame_id"].tolist(),
        "scenes": [scene["frame_id"].tolist() for scene in spec.scenes],
        "places": [asdict(place) for place in spec.places],
        "scale_to": plan.params.scale_to,
        "device": device_name(spec.device),
        "threads": spec.threads,
        "batch_size": spec.batch_size,
        "take": wanted.take,
    }
    key = part_key(decided_by)
    known = plan.store.kept("latency", key)
    if known is None:
        say(name)
        try:
            if name in plan.away:
                elsewhere.ready(plan.params.models[name])  # no limit on the measurement cuts that short
            known = workers.alone(
                measuring.measure,
                spec,
                device=spec.device,
                threads=spec.threads,
                limit_s=plan.params.run.unit_limit_s,
            )
        except (RuntimeError, ValueError) as error:  # an InputError too: the parts are there, the run goes on
            return _absent(name, "failed", str(error))
        plan.store.keep("latency", key, known)
    return known.assign(model=name)


def _spec(plan: Plan, name: str, wanted: Latency) -> Spec:
    params, device = plan.params, plan.devices[0]
    frames = tables.read("frames", plan.layout.tables / "frames.parquet")
    scored = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    quality = tables.read("quality", plan.layout.tables / "quality.parquet")
    chosen = measuring.spread(scored, wanted.frames)
    places = [Place()]
    for choice in params.choices():
        levels = dict(levels_of(choice, params))
        asked = [severity for corruption, severity in wanted.asked() if corruption == choice.name]
        places += [Place(choice.name, choice.family, severity, levels[severity]) for severity in asked]
    return Spec(
        params=params,
        name=name,
        frames=chosen,
        places=tuple(places),
        device=device,
        threads=wanted.threads,
        batch_size=_batch_size(params, chosen, device),
        scenes=measuring.crowded(scored, quality),
    )


def _batch_size(params: Params, frames: pd.DataFrame, device: str) -> int | None:
    """As a run has it for these frames; None where a run finds it by trying."""
    if params.run.batch_size != "auto":
        return int(params.run.batch_size)
    if device.startswith("cuda"):
        return None
    sizes = zip(frames["height_px"], frames["width_px"], strict=True)
    return min(on_processor(int(height), int(width)) for height, width in sizes)


def _absent(name: str, status: str, note: str) -> pd.DataFrame:
    """The one row of a model without figures."""
    row: dict[str, Any] = dict.fromkeys(tables.SCHEMAS["latency"].names)
    clean = {"corruption": tables.CLEAN, "family": tables.CLEAN, "severity": 0}
    return pd.DataFrame([{**row, **clean, "model": name, "fact": "wall_ms", "status": status, "note": note}])
