"""HOTA of models that have to keep up with their clips."""

import pandas as pd

from flows import runtime
from tasks.metrics import realtime as scoring
from tasks.params import Tracker


@runtime.stage
def realtime(
    params: str = "params.yaml", out: str | None = None, only: str | None = None, limit: int | None = None
) -> None:
    """Write realtime/."""
    run = runtime.open_run(params, out, only, limit)
    scoring.measure(run.params, run.layout, replay=replay, workers=runtime.workers(run.params))


def replay(predictions: pd.DataFrame, frames: pd.DataFrame, tracker: Tracker) -> pd.DataFrame:
    """`tasks.inference.rows.replayed`; torch, which comes with it, is loaded where a tracker has to run again."""
    from tasks.inference.rows import replayed

    return replayed(predictions, frames, tracker)
