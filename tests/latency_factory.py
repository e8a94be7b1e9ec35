"""A made-up table `latency`: the stages of a frame follow from its number, so that tests can compute figures anew."""

from collections.abc import Sequence

import pandas as pd

from tasks import tables
from tests.report_factory import unit

DEVICE = "cpu: Some Processor, 4 cores"
STAGES = {"decode": 1.0, "preprocess": 0.5, "infer": 8.0, "postprocess": 1.5, "track": 0.6, "output": 0.4, "idle": 0.01}


def stages(model: str, frame: int, *, factor: float = 1.0) -> dict[str, float]:
    """Milliseconds of one frame by stage; every 25th frame takes a third longer."""
    slow = 1.33 if frame % 25 == 24 else 1.0
    return {
        stage: round(factor * ms * slow * (0.9 + 0.2 * unit(model, stage, frame)), 6) for stage, ms in STAGES.items()
    }


def table(
    models: Sequence[str] = ("crossing-v1", "crossing-v2"),
    *,
    frames: int = 100,
    factors: Sequence[float] = (1.0, 1.25),
    cells: Sequence[tuple[str, str, int]] = ((tables.CLEAN, tables.CLEAN, 0),),
    absent: dict[str, str] | None = None,
    busy: float = 0.98,
    crowded: Sequence[int] = (),
) -> pd.DataFrame:
    """The table.

    Args:
        models: in order; the k-th takes `factors[k]` times as long.
        frames: of each.
        factors: 1 where there are more models.
        cells: corruption, family and severity; each further one takes 10 % longer.
        absent: model to why it was not measured.
        busy: the processor's time over that on the clock.
        crowded: frames of the most crowded scenes, measured apart: twice as long, 40 detections.
    """
    rows = []
    for at, model in enumerate(models):
        factor = factors[at] if at < len(factors) else 1.0
        blank = {"model": model, "device": DEVICE, "threads": 1, "batch_size": 1, "frame_id": None, "note": None}
        blank |= {"status": "ok"}
        for place, (corruption, family, severity) in enumerate(cells):
            here = {**blank, "corruption": corruption, "family": family, "severity": severity}
            for frame in range(frames):
                took = stages(model, frame, factor=factor * (1 + 0.1 * place))
                facts = {f"{stage}_ms": ms for stage, ms in took.items()}
                facts |= {"wall_ms": sum(took.values()), "detections": float(3 + frame % 7)}
                rows += [{**here, "frame_id": frame, "fact": fact, "value": value} for fact, value in facts.items()]
            if not severity:
                facts = {"cpu_share": busy, "peak_memory_mb": 80.0 * factor, "process_memory_mb": 700.0 + 80 * factor}
                rows += [{**here, "fact": fact, "value": value} for fact, value in facts.items()]
                rows += [
                    {**here, "batch_size": 8, "fact": "batch_ms", "value": 64 * factor * (1 + 0.02 * (batch % 3))}
                    for batch in range(12)
                ]
        for frame in crowded:
            took = stages(model, frame, factor=2 * factor)
            facts = {f"{stage}_ms": ms for stage, ms in took.items()}
            facts |= {"wall_ms": sum(took.values()), "detections": 40.0}
            here = {**blank, "corruption": tables.CROWDED, "family": tables.CLEAN, "severity": 0, "frame_id": frame}
            rows += [{**here, "fact": fact, "value": value} for fact, value in facts.items()]
    made = pd.DataFrame(rows)
    for model, why in (absent or {}).items():
        row: dict[str, object] = dict.fromkeys(tables.SCHEMAS["latency"].names)
        row |= {"model": model, "corruption": "clean", "family": "clean", "severity": 0, "fact": "wall_ms"}
        made = pd.concat([made[made["model"] != model], pd.DataFrame([{**row, "status": "failed", "note": why}])])
    arrow = tables.to_arrow("latency", made.reset_index(drop=True))
    return tables.from_arrow("latency", arrow)
