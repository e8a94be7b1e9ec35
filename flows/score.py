"""Measure every cell against the truth."""

from collections.abc import Sequence

import pandas as pd

from flows import runtime
from tasks.metrics import score as scoring
from tasks.metrics.attribution import Frame
from tasks.params import Tracker


@runtime.stage
def score(
    params: str = "params.yaml", out: str | None = None, only: str | None = None, limit: int | None = None
) -> None:
    """Write scores/."""
    run = runtime.open_run(params, out, only, limit)
    scoring.score(run.params, run.layout, workers=runtime.workers(run.params), track=_track)


def _track(clips: Sequence[Sequence[Frame]], *, tracker: Tracker) -> list[list[pd.arrays.IntegerArray]]:
    """`tasks.models.tracking.track`, loaded when a model of the run has a tracker: torch comes along, for seconds."""
    from tasks.models.tracking import track

    return track(clips, tracker=tracker)
