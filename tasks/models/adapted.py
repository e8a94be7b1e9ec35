"""Networks fitted to other light or weather without a label: the statistics of their batch norms taken anew.

Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift adaptation", with all of the
statistics from the new frames.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tasks.errors import InputError

BATCH: Final = 8
"""Frames whose mean and variance are taken at once; the statistics are the mean over such batches."""

Frame = npt.NDArray[np.uint8]


def fit(network: nn.Module, frames: Sequence[Frame], run: Callable[[list[Frame]], object]) -> None:
    """Give the batch norms of `network` the statistics of `frames`, in place; those that no frame reaches stay.

    Args:
        network: in evaluation mode.
        frames: uint8 RGB (H, W, 3), of any sizes.
        run: puts frames of one size, at most BATCH, through the network.

    Raises:
        InputError: it has no batch norms, or their statistics are fixed (frozen ones are layers of another kind); or
            one frame is so small that a layer sees one value.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    layers = [layer for layer in layers if layer.track_running_stats]
    if not layers:
        raise InputError("The network has no batch norms whose statistics could be fitted: they are frozen, or none.")
    before = [_statistics(layer) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    try:
        with torch.no_grad():
            for _, group in groupby(sorted(frames, key=lambda frame: frame.shape), key=lambda frame: frame.shape):
                alike = list(group)
                for start in range(0, len(alike), BATCH):
                    run(alike[start : start + BATCH])
    except ValueError as error:  # of torch, which wants more than one value a channel
        raise InputError(f"The frames are too few or too small for statistics ({error}).") from None
    network.eval()
    for layer, old in zip(layers, before, strict=True):
        if layer.num_batches_tracked == 0:
            layer.load_state_dict(old, strict=False)


def _statistics(layer: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in layer.named_buffers()}
