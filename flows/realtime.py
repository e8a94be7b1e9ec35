"""HOTA of models that have to keep up with their clips."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows import runtime
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.metrics import realtime as scoring
from tasks.metrics.requests import Request
from tasks.params import Params, Tracker


@runtime.stage
def realtime(
    params: str = "params.yaml", out: str | None = None, only: str | None = None, limit: int | None = None
) -> None:
    """Write realtime/."""
    run = runtime.open_run(params, out, only, limit)
    again = partial(replay, run.params, run.layout)
    scoring.measure(run.params, run.layout, replay=again, workers=runtime.workers(run.params))


def replay(
    params: Params, layout: Layout, predictions: pd.DataFrame, frames: pd.DataFrame, tracker: Tracker, cell: Request
) -> pd.DataFrame:
    """`tasks.inference.rows.replayed`; a tracker that looks at frames sees them made again as the model saw them.

    To the bit where the run corrupted on the CPU; what a GPU made differs as far as docs/corruptions.md says.
    What this needs, torch too, is loaded where a tracker has to run again.
    """
    from tasks.gallery.source import Source
    from tasks.inference.rows import replayed

    source = Source(params, layout)

    def images(clip: pd.DataFrame) -> Iterator[npt.NDArray[np.uint8]]:
        for _, _, frame in source.corrupted(cell.corruption, cell.severity, clip["frame_id"]):
            yield frame
        if source.unreadable:
            raise InputError(next(iter(source.unreadable.values())))

    return replayed(predictions, frames, tracker, images=images)
