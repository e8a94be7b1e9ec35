"""Files of tensors: state dicts as torch or safetensors write them; nothing in them is ever executed."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tasks.errors import InputError, brief

_WRAPPED: tuple[str, ...] = ("model", "state_dict", "model_state_dict")
"""Where checkpoints of training scripts keep the state dict among other things."""


def read_state(path: Path) -> Mapping[str, torch.Tensor]:
    """Tensor by name, on the CPU, mapped from the file rather than read where that goes.

    Taken out of a checkpoint that holds more than them, and without the prefix of data-parallel training.

    Raises:
        InputError: another kind of file, or one that holds more than tensors and plain values.
    """
    if path.suffix == ".safetensors":
        try:
            return _plain(load_file(str(path)), path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is not a readable safetensors file ({error}).") from None
    if not path.stat().st_size:
        raise InputError(f"{path} is empty: expected a state dict, saved by torch.save or safetensors.")
    try:
        held = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as first:
        try:
            # Files from before torch 1.6 cannot be mapped.
            held = torch.load(str(path), map_location="cpu", weights_only=True)
        except Exception:
            foreign = re.search(r"Unsupported (?:global|class|operand)\W*(?:GLOBAL )?([\w.]+)", str(first))
            reason = f"it holds a {foreign[1]}" if foreign else brief(first)
            raise InputError(
                f"{path} is not a state dict of tensors alone, which is all that is read ({reason}): save "
                "model.state_dict() by torch.save or safetensors."
            ) from None
    return _plain(held, path)


def _plain(held: object, path: Path) -> Mapping[str, torch.Tensor]:
    if isinstance(held, Mapping):
        for key in _WRAPPED:
            if isinstance(held.get(key), Mapping):
                held = held[key]
                break
    if not isinstance(held, Mapping) or not held or not all(isinstance(one, torch.Tensor) for one in held.values()):
        raise InputError(f"{path} is no state dict: expected names with tensors, got {type(held).__name__}.")
    prefix = "module."
    if all(str(name).startswith(prefix) for name in held):
        return {str(name).removeprefix(prefix): tensor for name, tensor in held.items()}
    return {str(name): tensor for name, tensor in held.items()}
