"""Versions made from an embedded model: its network in another runtime, or fitted to other frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.errors import InputError
from tasks.models import adapted, exported, small
from tasks.models.adapted import Frame
from tasks.models.network import SmallNetwork
from tasks.params import Model


def export(model: Model, weights: Path, form: str, target: Path) -> dict[str, Any]:
    """Write the network as `form` ('onnx' or 'torchscript') to `target`; nothing else in its params changes.

    Raises:
        InputError: the weights are an exported form themselves.
    """
    exported.write(form, small.folded(_trained(weights)), small.read_classes(weights), target)
    return {}


def adapt(model: Model, weights: Path, target: Path, frames: Sequence[Frame]) -> None:
    """Write the weights with batch-norm statistics of `frames` to `target`, whole or not at all.

    Raises:
        InputError: the weights are an exported form, whose batch norms are merged into the convolutions.
    """
    network = _trained(weights)
    cpu = torch.device("cpu")
    adapted.fit(
        network,
        frames,
        lambda batch: network(adapted.cut_alike([small.padded(frame[None], cpu) for frame in batch])),
    )
    small.save(network, small.read_classes(weights), target)


def _trained(weights: Path) -> SmallNetwork:
    if weights.suffix != ".safetensors":
        raise InputError(
            f"{weights.name} is exported already, which only trained weights (.safetensors) can be: adapt first, "
            "export afterwards."
        )
    return small.read(weights)
