"""One frame through every model, before a run gives them thousands."""

from pathlib import Path

import pandas as pd

from tasks import models, tables
from tasks.data.frames import FrameReader
from tasks.errors import InputError
from tasks.inference import workers
from tasks.inference.parts import Plan
from tasks.inference.rows import Rows
from tasks.models import Execution, failures, recorded
from tasks.params import Params


def try_models(work: Plan) -> None:
    """Load the models that this machine runs, one after the other, and let each see the first frame.

    Args:
        work: the plan; what is in the store already is tried all the same.

    Raises:
        InputError: a model cannot be loaded, or fails on the frame.
    """
    names = [
        name for name, model in work.params.models.items() if model.adapter != recorded.NAME and name not in work.away
    ]
    if not names:
        return
    frames = tables.read("frames", work.layout.tables / "frames.parquet")
    dataset = work.params.dataset
    first = tables.select(frames, split=dataset.split, limit=dataset.limit).iloc[:1]
    device, limit_s = work.devices[0], workers.START_LIMIT_S * len(names)
    try:
        workers.alone(_try, work.params, names, first, device, device=device, threads=1, limit_s=limit_s)
    except RuntimeError as error:
        raise InputError(f"The models {', '.join(names)} cannot be tried on one frame: {error}.") from None


def _try(params: Params, names: list[str], first: pd.DataFrame, device: str) -> None:
    reader = FrameReader(params.resolve(params.dataset.path))
    frame, file = reader.read(first), Path(str(first["source_file"].iloc[0])).name
    for name in names:
        with failures.named(name, f"the first frame ({file})"):
            model = models.load(
                params.models[name], folder=params.folder, device=device, threads=1, execution=Execution.of(params.run)
            )
            Rows(first["frame_id"].tolist()).add([0], model.predict(frame))
    reader.close()
