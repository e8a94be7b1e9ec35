"""An embedded model fitted to other light or weather without a label: its batch norms' statistics taken anew.

Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift adaptation", with all of the
statistics from the new frames.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tasks.errors import InputError
from tasks.models import small
from tasks.params import Model

BATCH: Final = 8
"""Frames whose mean and variance are taken at once; the statistics are the mean over such batches."""


def check(model: Model, source: Path) -> None:
    """Refuse weights without batch norms.

    Args:
        model: its params.
        source: its weights.

    Raises:
        InputError: another adapter than 'small', or exported weights, whose batch norms are merged into convolutions.
    """
    if model.adapter != "small" or source.suffix != ".safetensors":
        raise InputError(
            f"Only batch norms of adapter 'small' with trained weights (.safetensors) can be fitted anew, "
            f"{source.name} of adapter '{model.adapter}' holds none: adapt first, export afterwards."
        )


def write(source: Path, target: Path, frames: Sequence[npt.NDArray[np.uint8]]) -> int:
    """Write the weights of `source` with batch-norm statistics of `frames`; how many layers have them.

    Args:
        source: weights of adapter 'small', as trained.
        target: the new weights, written whole or not at all.
        frames: uint8 RGB (H, W, 3), of any sizes.
    """
    network = small.read(source)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    with torch.no_grad():
        for _, group in groupby(sorted(frames, key=lambda frame: frame.shape), key=lambda frame: frame.shape):
            alike = list(group)
            for start in range(0, len(alike), BATCH):
                network(small.padded(np.stack(alike[start : start + BATCH]), torch.device("cpu")))
    small.save(network.eval(), small.read_classes(source), target)
    return len(layers)
