"""Corruptions of images and video: the registry, and the functions that apply it.

Adding one is a function and an entry in its family's file. Another package adds its own by an entry point of the group
`stormglass.corruptions` that names a `Corruption`.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from tasks.corruptions import blur, codec, digital, engine, light, noise, weather
from tasks.corruptions.interface import SEVERITIES, STAGES, Corruption, Level, Moment
from tasks.errors import InputError
from tasks.params import CorruptionChoice

__all__ = [
    "BENCHMARK",
    "CORRUPTIONS",
    "SEVERITIES",
    "STAGES",
    "Corruption",
    "Level",
    "Moment",
    "check_choice",
    "corrupt",
    "corrupt_stream",
    "find",
    "strength",
]

GROUP = "stormglass.corruptions"

Frames = TypeVar("Frames")  # a NumPy array or a torch tensor


def gather(own: Iterable[Corruption], others: Iterable[EntryPoint]) -> dict[str, Corruption]:
    """The registry: our own corruptions, then those that other packages offer.

    Raises:
        InputError: a name that stands twice; an entry point that does not load, or is no `Corruption`.
    """
    registry: dict[str, Corruption] = {}
    for corruption in own:
        _add(registry, corruption, "stormglass")
    for point in others:
        try:
            corruption = point.load()
        except Exception as error:
            raise InputError(f"The corruption '{point.name}' ({point.value}) does not load: {error}.") from error
        if not isinstance(corruption, Corruption):
            kind = type(corruption).__name__
            raise InputError(f"The corruption '{point.name}' ({point.value}): expected a Corruption, got {kind}.")
        _add(registry, corruption, point.value)
    return registry


def _add(registry: dict[str, Corruption], corruption: Corruption, where: str) -> None:
    if corruption.name in registry or corruption.name == "clean":
        raise InputError(f"The corruption name '{corruption.name}' ({where}) is taken already; each stands once.")
    registry[corruption.name] = corruption


CORRUPTIONS = gather(
    (*noise.ENTRIES, *blur.ENTRIES, *light.ENTRIES, *weather.ENTRIES, *digital.ENTRIES, *codec.ENTRIES),
    entry_points(group=GROUP),
)

BENCHMARK = tuple(name for name, corruption in CORRUPTIONS.items() if corruption.benchmark == "common")
"""The 15 names of the published benchmark, over which its mPC is the mean."""


def corrupt(
    frames: Frames,
    *,
    name: str,
    severity: int | None = None,
    level: float | None = None,
    seed: int = 0,
    clips: str | Sequence[str] = "",
    first_frame: int | Sequence[int] = 0,
) -> Frames:
    """Corrupt frames; the input stays as it is.

    The result depends on pixels, name, strength, seed, clip and frame index alone: not on batch, order, thread or
    process. So `corrupt(frames[8:16], first_frame=8)` equals `corrupt(frames)[8:16]` to the bit; codecs excepted,
    which need the whole clip (`CORRUPTIONS[name].whole_clip`).

    Args:
        frames: uint8 RGB (T, H, W, 3), at least 32 x 32 px, a NumPy array or a torch tensor.
        name: A name of `CORRUPTIONS`.
        severity: 1..5; or
        level: the physical strength, in the parameter's unit, where the corruption accepts one.
        seed: The run's seed.
        clips: One id where the frames follow each other in one clip, or one id for each frame.
        first_frame: The first frame's index in its clip, or an index for each frame.

    Returns:
        The corrupted frames: the same kind, shape and device.

    Raises:
        InputError: an unknown name, a severity or level that does not exist, frames of another shape, type or size.

    Example:
        >>> import numpy as np
        >>> grey = np.full((2, 32, 48, 3), 128, dtype=np.uint8)
        >>> darker = corrupt(grey, name="low_light", severity=2, clips="north-1")
        >>> darker.shape, bool(darker.mean() < 80)
        ((2, 32, 48, 3), True)
    """
    corruption = find(name)
    corrupted: Frames = engine.corrupt_frames(
        frames, corruption, corruption.at(severity, level), seed=seed, clips=clips, first_frame=first_frame
    )
    return corrupted


def corrupt_stream(
    frames: Iterable[Frames],
    *,
    name: str,
    severity: int | None = None,
    level: float | None = None,
    seed: int = 0,
    clips: str = "",
    first_frame: int = 0,
) -> Iterator[Frames]:
    """Corrupt the frames (H, W, 3) of one clip as they come, in bounded memory; the same pixels as `corrupt`.

    Arguments and errors as for `corrupt`; those that need no frame are raised at the call.

    Example:
        >>> import numpy as np
        >>> clip = (np.full((32, 32, 3), value, dtype=np.uint8) for value in (10, 200))
        >>> [frame.shape for frame in corrupt_stream(clip, name="pixelate", severity=3)]
        [(32, 32, 3), (32, 32, 3)]
    """
    corruption = find(name)
    return engine.corrupt_each(
        frames, corruption, corruption.at(severity, level), seed=seed, clip=clips, first_frame=first_frame
    )


def strength(name: str, severity: int | None = None, level: float | None = None) -> tuple[float, str]:
    """The physical strength, and its unit: the parameter's name, as params.yaml has it.

    Example:
        >>> strength("jpeg_compression", severity=3)
        (15.0, 'quality')
        >>> strength("h264", level=28)
        (28.0, 'crf')
        >>> strength("defocus_blur", severity=1)
        (3.0, 'radius_px')
    """
    corruption = find(name)
    return corruption.at(severity, level).strength, corruption.unit


def find(name: str) -> Corruption:
    """The entry of `name`.

    Raises:
        InputError: unknown; the message names the nearest known one.
    """
    if name in CORRUPTIONS:
        return CORRUPTIONS[name]
    if name == "clean":
        raise InputError("'clean' is no corruption: it is the frame as it is.")
    near = difflib.get_close_matches(name, CORRUPTIONS, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(CORRUPTIONS)}."
    raise InputError(f"Unknown corruption '{name}'; {hint}")


def check_choice(choice: CorruptionChoice) -> None:
    """Check one entry of params.yaml's corruptions before anything runs.

    Raises:
        InputError: an unknown name, own levels for a corruption without them, another parameter's name, a level
            out of bounds, or one that stands twice.

    Example:
        >>> check_choice(CorruptionChoice(family="compression", name="h264", parameter="crf", levels=(18, 28)))
    """
    where = f"corruptions.{choice.family}"
    try:
        corruption = find(choice.name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if choice.levels is None:
        return
    if not corruption.accepts_levels:
        able = ", ".join(name for name, other in CORRUPTIONS.items() if other.accepts_levels)
        raise InputError(
            f"{where}.{choice.name} has severities only, no levels of its own; corruptions that accept levels: {able}."
        )
    if choice.parameter != corruption.parameter:
        raise InputError(
            f"{where}.{choice.name}: expected the parameter '{corruption.parameter}', got '{choice.parameter}'."
        )
    for level in choice.levels:
        try:
            corruption.at(None, level)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    if len(set(choice.levels)) < len(choice.levels):
        raise InputError(f"{where}.{choice.name}: each level may stand once, got {list(choice.levels)}.")
