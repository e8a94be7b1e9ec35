"""The adapter of networks that carry their own code: TorchScript and torch.export's programs, by what the file holds.

Params say what the output means (`decoder`), how frames are prepared (`input`), and what the classes are (`classes`).
"""

import importlib
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch.export.passes import move_to_device_pass

from tasks.errors import InputError, brief
from tasks.models import decoders
from tasks.models.decoded import predictor
from tasks.models.execution import PLAIN, Execution
from tasks.models.interface import Adapter
from tasks.models.outputs import Description, Predictor
from tasks.models.steering import steered
from tasks.params import Model

VERSION: Final = 4


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow.

    Raises:
        InputError: no such decoder, no names of classes, or frames prepared as it cannot.
    """
    decoders.check(model)
    if model.classes is None:
        raise InputError("Adapter 'torchscript' needs classes: the file does not tell what the network's outputs mean.")


def describe(model: Model, weights: Path) -> Description:
    """The classes that params name, of objects without a leading background."""
    assert isinstance(model.classes, tuple)  # resolved
    decoder = decoders.DECODERS[str(model.decoder)]
    return decoders.described(decoder, decoders.by_names(decoder, model.classes))


def load(model: Model, *, weights: Path, device: str, threads: int | None, execution: Execution = PLAIN) -> Predictor:
    """The network on `device`; `threads` is the process's matter here (`torch.set_num_threads`).

    Raises:
        InputError: the file is neither TorchScript nor an exported program, or damaged.
    """
    opened = _open(weights, device)
    network = steered(opened, execution, device)
    if _takes_a_list(opened):
        warnings.filterwarnings("ignore", message=".*always returns a .* tuple in scripting")  # which is known here
        taken: Callable[..., Any] = lambda pixels: network(list(pixels))  # noqa: E731
    else:
        taken = network
    return predictor(taken, model, describe(model, weights), who=weights.name, device=device)


def _open(weights: Path, device: str) -> Callable[..., Any]:
    importlib.import_module("torchvision")  # its detectors call operations that are known from here on
    form = _form(weights)
    try:
        if form == "program":
            with weights.open("rb") as file:  # by its name torch takes .pt2 alone
                program = torch.export.load(file)
            if device != "cpu":
                program = move_to_device_pass(program, device)
            module: Callable[..., Any] = program.module()
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch would rather have everybody export
            return torch.jit.load(str(weights), map_location=device).eval()  # type: ignore[no-any-return,no-untyped-call]
    except Exception as error:  # of many undocumented kinds
        raise InputError(f"{weights} cannot be opened by torch {torch.__version__} ({brief(error)}).") from None


def _form(weights: Path) -> str:
    """`script` or `program`, by what is in the file.

    Raises:
        InputError: neither is.
    """
    elsewhere = (
        "a state dict of torchvision's networks wants adapter 'torchvision', a checkpoint of Ultralytics' 'ultralytics'"
    )
    wanted = "expected TorchScript (torch.jit.save) or an exported program (torch.export.save)"
    try:
        with zipfile.ZipFile(weights) as archive:
            members = {name.partition("/")[2] for name in archive.namelist()} | set(archive.namelist())
    except zipfile.BadZipFile:
        what = "an empty file" if not weights.stat().st_size else "no archive of torch, or one that was cut short"
        raise InputError(f"{weights} is {what}: {wanted}; {elsewhere}.") from None
    if "constants.pkl" in members:
        return "script"
    if members & {"archive_format", "serialized_exported_program.json"}:
        return "program"
    if "data.pkl" in members:
        raise InputError(
            f"{weights} holds tensors or objects without the code of a network (torch.save): {wanted}; {elsewhere}."
        )
    raise InputError(f"{weights} is an archive, but none of torch: {wanted}.")


def _takes_a_list(network: Callable[..., Any]) -> bool:
    """Whether the network wants a list of images (3, h, w), as torchvision's detectors do, not a batch."""
    if isinstance(network, torch.jit.ScriptModule):
        schema: Any = network.forward.schema  # type: ignore[attr-defined]
        return len(schema.arguments) > 1 and bool(schema.arguments[1].type.kind() == "ListType")
    return False


ADAPTER: Final = Adapter(version=VERSION, check=check, describe=describe, load=load, torch=True)
