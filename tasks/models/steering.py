"""Networks that torch runs in the precision that a run asks for, compiled or not, and frames' way to their device."""

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import torch
from torch.utils._pytree import tree_map

from tasks.errors import brief
from tasks.models.execution import PLAIN, Execution

LOGGER = logging.getLogger(__name__)

_REDUCED: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16}

Module = TypeVar("Module", bound=torch.nn.Module)


def steered(network: Callable[..., Any], execution: Execution, device: str) -> Callable[..., Any]:
    """`network`, a module or another callable, as `execution` says; what it gives is float32 where it is a float.

    Only the network is under autocast: frames are prepared and outputs read in float32.
    """
    run = _Compiled(network) if execution.compile else network
    if execution.precision == "float32":
        return run
    kind, dtype = torch.device(device).type, _REDUCED[execution.precision]
    _lay_out(network, kind)

    def reduced(*given: Any, **named: Any) -> Any:
        with torch.autocast(kind, dtype=dtype):
            said = run(*given, **named)
        return tree_map(_full, said)

    return reduced


def steer(module: Module, execution: Execution, device: str) -> Module:
    """`steered` in place, for a module that others call."""
    if execution.precision != "float32":
        _lay_out(module, torch.device(device).type)
    if execution != PLAIN:
        module.forward = steered(module.forward, execution, device)
    return module


def exactly(module: torch.nn.Module, device: str) -> None:
    """Keep a part of a network in float32 within autocast, in place: one that computes coordinates."""
    forward, kind = module.forward, torch.device(device).type

    def full(*given: Any, **named: Any) -> Any:
        with torch.autocast(kind, enabled=False):
            return forward(*tree_map(_full, given), **tree_map(_full, named))

    module.forward = full


def to_device(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`pixels` on `device`; to a GPU through pinned memory, so that the processor need not wait for the copy."""
    if device.type != "cuda":
        return pixels.to(device)
    return pixels.pin_memory().to(device, non_blocking=True)


def _lay_out(network: Callable[..., Any], kind: str) -> None:
    """Channels last, in place, where a GPU's reduced precision is fast that way.

    In float32 digits would change for nothing: on the CPU torchvision's detectors were no faster, in pairs.
    """
    if kind != "cuda" or not isinstance(network, torch.nn.Module) or isinstance(network, torch.jit.ScriptModule):
        return
    if all(weights.ndim < 5 for weights in network.parameters()):  # there is no such order of volumes
        network.to(memory_format=torch.channels_last)


def _full(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _REDUCED.values() else value


class _Compiled:
    """A network through torch.compile, as it is from the first call on at which that fails.

    One graph serves all sizes of frames (`dynamic`): else what is said of a frame would hang on those before it.
    """

    def __init__(self, network: Callable[..., Any]) -> None:
        self._network = network
        self._compiled: Callable[..., Any] | None = None
        if isinstance(network, torch.jit.ScriptModule):
            LOGGER.warning("run.compile: a TorchScript network is compiled already, and runs as it is.")
        else:
            self._compiled = torch.compile(network, dynamic=True)

    def __call__(self, *given: Any, **named: Any) -> Any:
        if self._compiled is None:
            return self._network(*given, **named)
        try:
            return self._compiled(*given, **named)
        except Exception as error:
            reason = brief(f"{type(error).__name__}: {error}")
        said = self._network(*given, **named)  # raises where not compiling but the network is at fault
        LOGGER.warning("run.compile: torch.compile failed (%s), the network runs as it is.", reason)
        self._compiled = None
        return said
