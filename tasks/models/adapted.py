"""Networks fitted to other light or weather without a label: the statistics of their batch norms taken anew.

Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift adaptation", with all of the
statistics from the new frames.
"""

import math
from collections.abc import Callable, Sequence
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

    Frames go through it in batches as alike in shape as can be, and of about one length: statistics of batches of one
    would lack what differs between frames.

    Args:
        network: in evaluation mode.
        frames: uint8 RGB (H, W, 3), of any sizes.
        run: puts frames, at most BATCH of any sizes, through the network at once (see `cut_alike`).

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
            near = sorted(frames, key=lambda frame: (frame.shape[1] / frame.shape[0], frame.shape))
            for batch in np.array_split(np.arange(len(near)), math.ceil(len(near) / BATCH)):
                run([near[place] for place in batch])
    except InputError:
        raise
    except ValueError as error:  # of torch, which wants more than one value a channel
        raise InputError(f"The frames are too few or too small for statistics ({error}).") from None
    network.eval()
    for layer, old in zip(layers, before, strict=True):
        if layer.num_batches_tracked == 0:
            layer.load_state_dict(old, strict=False)


def cut_alike(pixels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Images (..., 3, h, w) as a batch (B, 3, h', w') of the largest part that all have, from their middles."""
    height, width = (min(one.shape[axis] for one in pixels) for axis in (-2, -1))
    cut = []
    for one in pixels:
        top, left = (one.shape[-2] - height) // 2, (one.shape[-1] - width) // 2
        cut.append(one[..., top : top + height, left : left + width].reshape(-1, 3, height, width))
    return torch.cat(cut)


def _statistics(layer: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in layer.named_buffers()}
