"""The kinds of models there are, by name; each is loaded when a run first asks for it, for most load torch."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from tasks.errors import InputError
from tasks.models.interface import Adapter

GROUP: Final = "stormglass.models"
"""Of entry points: a package adds its kind by one whose value is an `Adapter`."""

BUILT_IN: Final = (
    "classical", "onnx", "python", "recorded", "rekognition", "small", "torchscript", "torchvision", "transformers",
    "ultralytics",
)  # fmt: skip


class Registry(Mapping[str, Adapter]):
    """Adapters by the name that params' `adapter` gives.

    Attributes:
        loaded: those that were asked for so far.
    """

    def __init__(self, entries: Iterable[EntryPoint]) -> None:
        """Take the names of `entries`, and load none yet.

        Raises:
            InputError: two of them have one name.
        """
        self._entries: dict[str, EntryPoint] = {}
        self.loaded: dict[str, Adapter] = {}
        for entry in entries:
            if entry.name in self._entries:
                raise InputError(f"Two adapters are called '{entry.name}'; one is {entry.value}: rename or remove it.")
            self._entries[entry.name] = entry

    def __getitem__(self, name: str) -> Adapter:
        """An adapter.

        Raises:
            InputError: its entry point does not load, or is no `Adapter`.
        """
        if name not in self.loaded:
            entry = self._entries[name]
            try:
                adapter = entry.load()
            except Exception as error:
                raise InputError(f"The adapter '{name}' ({entry.value}) does not load: {error}.") from error
            if not isinstance(adapter, Adapter):
                kind = type(adapter).__name__
                raise InputError(f"The adapter '{name}' ({entry.value}): expected a tasks.models.Adapter, got {kind}.")
            self.loaded[name] = adapter
        return self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


MODELS: Final = Registry(
    [*(EntryPoint(name, f"tasks.models.{name}:ADAPTER", GROUP) for name in BUILT_IN), *entry_points(group=GROUP)]
)
