"""The adapter of any importable Python callable: `weights: python:package.module:function`.

The callable is given a list of frames, uint8 RGB (H, W, 3), and returns a list of as many dicts with

- `boxes` (N, 4) x0, y0, x1, y1 in pixels of the frame, `scores` (N,) 0..1, `class_ids` (N,): a detector;
- `masks` (N, H, W) bool beside them, where it segments instances (`boxes` may then be left out);
- `label_map` (H, W) of class ids, where it segments the frame;
- `probabilities` (K,), one a frame label by rising id, where it labels frames.

Values are NumPy arrays, torch tensors or lists. It carries `classes`: `{"object": {0: "car"}}`, with kinds `object`,
`semantic` and `label`; `tasks`, where they do not follow from these (`("detection", "instance")` with masks); and
`version`, whose change says that the outputs change: without one, that is the content of its file (of an instance or a
`functools.partial`, the files of its class or function and of the module that makes it).

A function or class with a parameter `device` is a factory instead: it is called once, `factory(device="cpu",
**options)` with params' `options`, and what it returns is given the frames; `classes` and the rest sit on the factory.
"""

import functools
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError
from tasks.models.checked import checked
from tasks.models.interface import Adapter
from tasks.models.outputs import Description, Output
from tasks.params import Model, ModelInput

VERSION: Final = 1

_WORDING: Final = re.compile(r"python:([A-Za-z_][\w.]*):([A-Za-z_]\w*)")

_KINDS: Final = {"object": "detection", "semantic": "semantic", "label": "classification"}


def check(model: Model) -> None:
    """Refuse settings that this adapter cannot follow: the callable prepares frames and chooses boxes by itself.

    Raises:
        InputError: no callable is named as it should be, or a setting of networks is given.
    """
    if model.weights is None or not _WORDING.fullmatch(str(model.weights)):
        raise InputError(
            f"Adapter 'python' needs weights: python:package.module:function, got "
            f"{'none' if model.weights is None else repr(str(model.weights))}."
        )
    settings = ("variant", "decoder", "score_threshold", "nms_iou", "nms", "nms_sigma")
    given = [name for name in settings if name in model.model_fields_set]
    tiles = {"tile": model.input.tile, "overlap": model.input.overlap}
    if model.input != ModelInput().model_copy(update=tiles):
        given.append("input (but for tile and overlap)")
    if model.input.tile is not None:  # merging is ours
        given = [name for name in given if name not in ("nms_iou", "nms")]
    if given:
        raise InputError(f"Adapter 'python' leaves that to the callable: remove {', '.join(given)}; options reach it.")


def describe(model: Model, weights: Path) -> Description:
    """The classes and tasks that the callable carries.

    Raises:
        InputError: there is no such callable, or it does not say its classes.
    """
    return _described(_find(model, weights.parent), str(model.weights))


def digest(model: Model, folder: Path) -> str:
    """The callable's own `version`; without one the sha256 of the file that it is in, or the files.

    Raises:
        InputError: there is no such callable, or no file of it, as of what is built into Python.
    """
    found = _find(model, folder)
    version = getattr(found, "version", None)
    if version is not None:
        return f"{model.weights} version {version}"
    content = b"".join(file.read_bytes() for file in _files(found, str(model.weights)))
    return f"{model.weights} {hashlib.sha256(content).hexdigest()}"


def load(model: Model, *, weights: Path, device: str, threads: int | None) -> "PythonModel":
    """The callable, made by its factory where it is one.

    Raises:
        InputError: there is no such callable, it says no classes, or it does not take the options.
    """
    name = str(model.weights)
    found = _find(model, weights.parent)
    described = _described(found, name)
    parameters = inspect.signature(found).parameters
    if "device" not in parameters:
        if inspect.isclass(found):
            raise InputError(
                f"{name} is a class: expected its __init__ to take `device` (what it makes is called with frames), or "
                "the name of an instance."
            )
        if model.options:
            raise InputError(f"options reach a factory alone: give {name} a parameter `device`, or remove them.")
        return PythonModel(found, described, name)
    try:
        inspect.signature(found).bind(device=device, **model.options)
    except TypeError as error:
        takes = ", ".join(option for option in parameters if option != "device")
        raise InputError(f"{name}: {error}; params give its options, which are {takes or 'none'}.") from None
    made = found(device=device, **model.options)
    if not callable(made):
        raise InputError(
            f"{name} has a parameter `device` and so is a factory: expected a callable from it, got {made!r}."
        )
    return PythonModel(made, described, name)


class PythonModel:
    """A loaded callable."""

    def __init__(self, function: Callable[..., Any], described: Description, name: str) -> None:
        """`name` begins the sentence about a mistake in its outputs."""
        self._function = function
        self._described = described
        self._name = name
        self.tasks = frozenset(described["tasks"])

    def predict(self, frames: Sequence[npt.NDArray[np.uint8]]) -> list[Output]:
        """What the callable says, checked; frames are lent to it read-only.

        Raises:
            InputError: not one dict a frame, or something in one that cannot be.
        """
        lent = []
        for frame in frames:
            view = frame.view()
            view.flags.writeable = False
            lent.append(view)
        said = self._function(lent)
        if not isinstance(said, Sequence) or len(said) != len(frames):
            count = f"{len(said)}" if isinstance(said, Sequence) else f"a {type(said).__name__}"
            raise InputError(f"{self._name}: expected a list of {len(frames)} dicts, one a frame, got {count}.")
        return [
            checked(one, frame.shape, self._described, who=self._name) for one, frame in zip(said, frames, strict=True)
        ]


def _find(model: Model, folder: Path) -> Callable[..., Any]:
    """The callable; its module may lie beside params.yaml."""
    found = _WORDING.fullmatch(str(model.weights))
    assert found is not None  # check
    module_name, name = found.groups()
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.append(path)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # it is the user's own code that runs here
        raise InputError(
            f"{model.weights}: module {module_name} could not be imported "
            f"({type(error).__name__}: {' '.join(str(error).split())}); it is looked for in {folder.resolve()} too."
        ) from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"{model.weights}: {module.__file__} has no callable '{name}'.")
    result: Callable[..., Any] = function
    return result


def _files(found: Callable[..., Any], name: str) -> list[Path]:
    """The file of a function or class. Of an instance or partial that of its class or function, and that of the module
    `name` is in: the arguments that it was made with stand there.
    """
    code: Any = inspect.unwrap(found)
    while isinstance(code, functools.partial):
        code = inspect.unwrap(code.func)
    if not inspect.isroutine(code) and not inspect.isclass(code):
        code = type(code)
    try:
        sources = [inspect.getsourcefile(code)]
    except (TypeError, OSError):  # built in, or made by no module
        sources = [None]
    if code is not inspect.unwrap(found):
        sources.append(sys.modules[name.split(":")[1]].__file__)
    files = [Path(source) for source in dict.fromkeys(sources) if source is not None and Path(source).is_file()]
    if sources[0] is None or not files:
        raise InputError(f"{name} has no file that could be hashed: give it an attribute `version`.")
    return files


def _described(found: Callable[..., Any], name: str) -> Description:
    given = getattr(found, "classes", None)
    if not isinstance(given, Mapping) or not given or not given.keys() <= _KINDS.keys():
        raise InputError(
            f'{name} should carry `classes`, as {{"object": {{0: "car"}}}}, of kinds object, semantic, label; '
            f"got {given!r}."
        )
    classes = {kind: dict(given.get(kind, {})) for kind in _KINDS}
    for kind, table in classes.items():
        wrong = [key for key in table if not isinstance(key, int) or key < 0]
        if wrong:
            raise InputError(f"{name}: ids of {kind} classes are whole numbers from 0, got {wrong[0]!r}.")
    tasks = list(getattr(found, "tasks", [task for kind, task in _KINDS.items() if classes[kind]]))
    needs = {"detection": "object", "instance": "object", "semantic": "semantic", "classification": "label"}
    for task in tasks:
        if task not in needs:
            raise InputError(f"{name}: `tasks` should be some of {', '.join(needs)}, got {task!r}.")
        if not classes[needs[task]]:
            raise InputError(f"{name}: task {task} needs classes of kind {needs[task]}, `classes` has none.")
    if not tasks:
        raise InputError(f"{name}: `classes` and `tasks` are empty: nothing could be scored.")
    named = {kind: {key: str(value) for key, value in table.items()} for kind, table in classes.items()}
    return {**named, "tasks": tasks}


ADAPTER: Final = Adapter(version=VERSION, check=check, describe=describe, load=load, digest=digest)
