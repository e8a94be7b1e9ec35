"""What a model says about one frame, and what every loaded model can do.

Where latency is measured, `predict` may say what it is at by `mark("infer")` just before the network runs and
`mark("postprocess")` just after; what comes before is "preprocess". An adapter that marks nothing works as well: all of
its time then counts as "infer". A call that works in several steps marks each of them, "preprocess" too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

Description = dict[str, Any]
"""`{"object": {id: name}, "semantic": {id: name}, "label": {id: name}, "tasks": [...]}`: a model's own classes.

Where files of its own say how frames are prepared, `frames` tells that in words.
"""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One frame's predictions, instances by descending score.

    Attributes:
        boxes: float32 (float64 of recorded predictions) (N, 4), 0-based half-open xyxy in pixels of the frame given.
        scores: likewise (N,), 0..1.
        class_ids: int64 (N,), the model's own classes.
        track_ids: int64 (N,), from a system that tracks by itself; None otherwise.
        masks: N instance masks as COCO's compressed RLE at the frame's size; None from a model without them.
        label_map: uint8 (H, W) of the model's semantic class ids; None from a model without them.
        probabilities: float32 (K,), one a frame label in ascending id order, summing to 1; None from a model without.
    """

    boxes: npt.NDArray[np.float32] | npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32] | npt.NDArray[np.float64]
    class_ids: npt.NDArray[np.int64]
    track_ids: npt.NDArray[np.int64] | None = None
    masks: list[bytes] | None = None
    label_map: npt.NDArray[np.uint8] | None = None
    probabilities: npt.NDArray[np.float32] | None = None


def whole_frame(
    *, label_map: npt.NDArray[np.uint8] | None = None, probabilities: npt.NDArray[np.float32] | None = None
) -> Output:
    """The output of a model that finds no objects."""
    return Output(
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        class_ids=np.zeros(0, np.int64),
        label_map=label_map,
        probabilities=probabilities,
    )


class Predictor(Protocol):
    """A loaded model. What it says of a frame depends on no other frame of the call."""

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks (`tasks.tables.TASKS`) that its outputs can be scored for; tracking follows from boxes."""
        ...

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """One output for each frame, uint8 RGB (H, W, 3); sizes may differ. The frames are left as they are."""
        ...


_WATCHER: Final[ContextVar[Callable[[str], None] | None]] = ContextVar("watcher", default=None)


def mark(stage: Literal["preprocess", "infer", "postprocess"]) -> None:
    """Say what a `predict` call is at from here on; heard where latency is measured, and nothing anywhere else."""
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher(stage)


@contextmanager
def watched(watcher: Callable[[str], None]) -> Iterator[None]:
    """Within the block `watcher` hears every `mark` of this thread."""
    before = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(before)
