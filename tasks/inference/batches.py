"""How many frames a model is given at once: what fits into memory, found before it runs out and mended when it does."""

import re
import sys
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.models.outputs import Predictor

BATCH_SIZE: Final = {"cpu": 8, "cuda": 32}
"""Where nothing else is known. On a CPU a batch only has to stay in the caches; on a GPU it has to fill it."""

BATCH_BYTES: Final = 2**26
"""Of a batch of decoded frames on a CPU: 10 of full HD. Corrupting takes ten and more times that, for each worker."""

CAP: Final = 64
"""Frames at once on a GPU: beyond this detectors get no faster, and a shard seldom has more frames of one size."""

SHARE: Final = 0.5
"""Of a GPU's free memory that a batch may take: corrupted frames, fragments and other sizes of frames want some too."""

_OUT_OF_MEMORY: Final = re.compile(r"out of memory|can't allocate memory|failed to allocate memory|bad_alloc", re.I)

Frame = npt.NDArray[np.uint8]


def on_processor(height_px: int, width_px: int) -> int:
    """Frames of a size at once on a CPU: as many as stay within BATCH_BYTES, 1 at least and 8 at most.

    Examples:
        >>> on_processor(1080, 1920), on_processor(2160, 3840), on_processor(20_000, 20_000)
        (8, 2, 1)
    """
    return max(1, min(BATCH_SIZE["cpu"], BATCH_BYTES // (3 * height_px * width_px)))


def in_memory(free: int, one: int, two: int, *, cap: int = CAP) -> int:
    """The largest power of two of frames, `cap` at most, that a share of the free memory holds.

    Args:
        free: bytes that a call may take now.
        one: bytes that a call with one frame took at its peak, beyond the model.
        two: likewise with two frames; each further frame is taken to need as much again as the second.
        cap: at most so many.

    Examples:
        >>> in_memory(24_000, 1_000, 1_500), in_memory(24_000, 1_000, 1_000), in_memory(24_000, 20_000, 40_000)
        (16, 64, 1)
    """
    size = 1
    while 2 * size <= cap and one + (2 * size - 1) * max(two - one, 0) <= SHARE * free:
        size *= 2
    return size


def fitting(predictors: Iterable[Predictor], frame: Frame, device: str) -> int:
    """Frames such as `frame` that each of the models takes at once.

    On a GPU each model sees the frame once and then twice over; of memory that torch did not give away nothing is known
    here, and such a model is taken to need none. A model that fails is left to fail where it is heard.
    """
    if not device.startswith("cuda"):
        return on_processor(frame.shape[0], frame.shape[1])
    return min((_fitting(predictor, frame, device) for predictor in predictors), default=CAP)


def _fitting(predictor: Predictor, frame: Frame, device: str) -> int:
    import torch

    def taken(count: int) -> int:
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        predictor.predict([frame] * count)
        return torch.cuda.max_memory_allocated(device) - before

    try:
        taken(1)  # kernels are chosen and their workspaces kept
        one = taken(1)
        two = taken(2)
    except Exception as error:
        return 1 if out_of_memory(error) else CAP
    finally:
        empty_device_cache()
    return in_memory(torch.cuda.mem_get_info(device)[0], one, two)


def out_of_memory(error: Exception) -> bool:
    """NumPy's, torch's (CPU and CUDA) and onnxruntime's ways of saying it."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def empty_device_cache() -> None:
    """Give back what torch holds of a GPU's memory without using it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
