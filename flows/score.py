"""Measure every cell against the truth."""

from flows import runtime
from tasks.metrics import score as scoring
from tasks.models.tracking import track


@runtime.stage
def score(
    params: str = "params.yaml", out: str | None = None, only: str | None = None, limit: int | None = None
) -> None:
    """Write scores/."""
    run = runtime.open_run(params, out, only, limit)
    scoring.score(run.params, run.layout, workers=runtime.workers(run.params), track=track)
