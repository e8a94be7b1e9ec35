"""Corruptions of images and video: the registry, and the functions that apply it.

Adding one is a function and an entry in its family's file. Another package adds its own by an entry point of the group
`stormglass.corruptions` that names a `Corruption`. Names are also put together: `low_light + rain + h264` acts in the
order of the light's way, `fog during 4:8` on the frames 4 to 7 of each clip (see `compose`).
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from tasks.corruptions import (
    blur,
    codec,
    colour,
    compose,
    digital,
    engine,
    geometry,
    lens,
    light,
    noise,
    occlusion,
    rain,
    weather,
)
from tasks.corruptions.interface import SEVERITIES, STAGES, Corruption, Level
from tasks.corruptions.seeds import Moment
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
    "displacement",
    "find",
    "strength",
]

GROUP = "stormglass.corruptions"

Frames = TypeVar("Frames")  # a NumPy array or a torch tensor

Record = Callable[[str, Mapping[str, float]], None]
"""Takes what is known of a coded clip: its id, and name (unit and all) to value."""


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
    (
        *(*noise.ENTRIES, *blur.ENTRIES, *light.ENTRIES, *weather.ENTRIES, *rain.ENTRIES, *lens.ENTRIES),
        *(*occlusion.ENTRIES, *colour.ENTRIES, *digital.ENTRIES, *geometry.ENTRIES, *codec.ENTRIES),
    ),
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
    scale_to: int | None = None,
    record: Record | None = None,
) -> Frames:
    """Corrupt frames; the input stays as it is.

    The result depends on pixels, name, strength, seed, clip and frame index alone: not on batch, order, thread or
    process. So `corrupt(frames[8:16], first_frame=8)` equals `corrupt(frames)[8:16]` to the bit; codecs excepted,
    which need the whole clip (`CORRUPTIONS[name].whole_clip`).

    Args:
        frames: uint8 RGB (T, H, W, 3), or grey (T, H, W, 1), at least 32 x 32 px; a NumPy array, or a torch tensor,
            which is corrupted on its device.
        name: A name of `CORRUPTIONS`, or several put together (`find`).
        severity: 1..5; or
        level: the physical strength, in the parameter's unit, within the corruption's bounds.
        seed: The run's seed.
        clips: One id where the frames follow each other in one clip, or one id for each frame.
        first_frame: The first frame's index in its clip, or an index for each frame.
        scale_to: The shorter side, in px, that parameters in pixels are meant for: they are scaled with the frame's.
            None: they are the frame's own pixels, as in the published benchmark.
        record: Called once for each coded clip with its bitrate and the like.

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
    setting = _setting(name, severity, level, seed, scale_to, record)
    corrupted: Frames = engine.corrupt_frames(frames, setting, clips=clips, first_frame=first_frame)
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
    scale_to: int | None = None,
    record: Record | None = None,
) -> Iterator[Frames]:
    """Corrupt the frames (H, W, 3) of one clip as they come, in bounded memory; the same pixels as `corrupt`.

    Arguments and errors as for `corrupt`; those that need no frame are raised at the call.

    Example:
        >>> import numpy as np
        >>> clip = (np.full((32, 32, 3), value, dtype=np.uint8) for value in (10, 200))
        >>> [frame.shape for frame in corrupt_stream(clip, name="pixelate", severity=3)]
        [(32, 32, 3), (32, 32, 3)]
    """
    setting = _setting(name, severity, level, seed, scale_to, record)
    return engine.corrupt_each(frames, setting, clip=clips, first_frame=first_frame)


def displacement(
    *,
    name: str,
    severity: int | None = None,
    level: float | None = None,
    seed: int = 0,
    clip: str = "",
    indices: Sequence[int],
    size: tuple[int, int],
    scale_to: int | None = None,
) -> list[tuple[int, tuple[float, float, float]]]:
    """By which waves `corrupt` moves the rows of a clip's frames sideways, where that is known.

    Args:
        name: As for `corrupt`.
        severity: 1..5; or
        level: the physical strength.
        seed: The run's seed.
        clip: The clip's id.
        indices: The frames' places in the clip.
        size: Their height and width.
        scale_to: The shorter side that parameters in pixels are meant for.

    Returns:
        For each wave the place among `indices` of the frame that it goes through, and its amplitude_px, period_px and
        phase_rad (`Corruption.waves`); empty for what moves nothing.

    Example:
        >>> ((place, (amplitude, _, _)),) = displacement(name="rolling_shutter", severity=2, indices=[7], size=(48, 64))
        >>> place, amplitude
        (0, 2.0)
        >>> displacement(name="low_light", severity=2, indices=[7], size=(48, 64))
        []
    """
    setting = _setting(name, severity, level, seed, scale_to, None)
    found = engine.waves_of(setting, clip, indices, *size)
    return [(place, (float(wave[0]), float(wave[1]), float(wave[2]))) for place, wave in found]


def _setting(
    name: str, severity: int | None, level: float | None, seed: int, scale_to: int | None, record: Record | None
) -> engine.Setting:
    corruption = find(name)
    if scale_to is not None and scale_to < 1:
        raise InputError(f"{name}: expected scale_to as a shorter side in px, 1 or more, got {scale_to}.")
    return engine.Setting(
        corruption, corruption.at(severity, level), seed, scale_to, record or (lambda _clip, _facts: None)
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
    return corruption.at(severity, level).strength, corruption.parameter


def find(name: str) -> Corruption:
    """The corruption of `name`, which may be put together of several: see `compose.read`.

    Raises:
        InputError: unknown, with the nearest known name; or not put together as names are.

    Example:
        >>> [part.corruption.name for part in find("h264 + low_light 2 + rain").parts]
        ['rain', 'low_light', 'h264']
    """
    if name in CORRUPTIONS:
        return CORRUPTIONS[name]
    if name == "clean":
        raise InputError("'clean' is no corruption: it is the frame as it is.")
    if compose.is_composed(name):
        return compose.read(name, find)
    near = difflib.get_close_matches(name, CORRUPTIONS, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(CORRUPTIONS)}."
    raise InputError(f"Unknown corruption '{name}'; {hint}")


def check_choice(choice: CorruptionChoice) -> None:
    """Check one entry of params.yaml's corruptions before anything runs.

    Raises:
        InputError: an unknown name, another parameter's name, a level out of bounds or one that stands twice; several
            severities of what is the same at all of them.

    Example:
        >>> check_choice(CorruptionChoice(family="compression", name="h264", parameter="crf", levels=(18, 28)))
    """
    where = f"corruptions.{choice.family}"
    try:
        corruption = find(choice.name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    fixed = corruption.parts and all(part.severity is not None for part in corruption.parts)
    if fixed and (choice.levels is None or len(choice.levels) > 1):
        raise InputError(
            f"{where}: each part of '{choice.name}' has a severity of its own, so all severities would be the same: "
            f"leave one part without, or ask for one alone, {{{choice.name}: {{severity: [3]}}}}."
        )
    if choice.levels is None:
        return
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
