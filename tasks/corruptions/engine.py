"""Carries corruptions over frames: seeds, clips, arrays and tensors, several at once, bursts."""

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Coding, Corruption, Level, Pixels
from tasks.corruptions.seeds import Moments, digest, moment
from tasks.errors import InputError

SMALLEST_PX = 32  # the reference's floor


@dataclass(frozen=True)
class Setting:
    """One corruption as it is to be carried out.

    Attributes:
        corruption: What.
        level: How strongly.
        seed: The run's seed.
        scale_to: Parameters in pixels are meant for frames whose shorter side has this many; None: for the frame's own.
        record: Takes facts of coded clips: the clip's id, and name to value.
    """

    corruption: Corruption
    level: Level
    seed: int = 0
    scale_to: int | None = None
    record: Callable[[str, Mapping[str, float]], None] = lambda _clip, _facts: None

    def steps(self) -> "list[Setting]":
        """One setting for each corruption that acts, in order."""
        if not self.corruption.parts:
            return [self]
        return [
            step
            for part in self.corruption.parts
            for step in Setting(part.corruption, part.level(self.level), self.seed, self.scale_to, self.record).steps()
        ]

    def level_for(self, height: int, width: int) -> Level:
        """The parameters for frames of a size."""
        return self.level if self.scale_to is None else self.level.scaled(min(height, width) / self.scale_to)

    def coding(self, clip: str, first_frame: int) -> Coding:
        """What a clip's function is told."""
        seed = digest(self.seed, self.corruption.seeded_as, clip)
        return Coding(seed, first_frame, functools.partial(self.record, clip))

    def acts(self, frame_index: int) -> bool:
        """Whether the frame of this index is corrupted at all."""
        during = self.corruption.during
        return during is None or during[0] <= frame_index < during[1]


def corrupt_frames(frames: Any, setting: Setting, *, clips: Any, first_frame: Any, arrays: Arrays | None = None) -> Any:
    """`frames`, uint8 (T, H, W, C), corrupted: a new array or tensor of the same kind, on the same device."""
    name = setting.corruption.name
    if arrays is None and _in_host(frames):
        pixels, give_back = _as_array(frames)
        return give_back(corrupt_frames(pixels, setting, clips=clips, first_frame=first_frame, arrays=host()))
    arrays = arrays or on_device(frames.device)
    _check_batch(frames, name)
    clip_of, index_of = _places(len(frames), clips, first_frame, name)
    out = frames
    if len(frames):
        for step in setting.steps():
            out = _one_step(out, step, clip_of, index_of, arrays)
    if out is frames:  # outside a burst: still a new array
        out = frames.copy() if isinstance(frames, np.ndarray) else frames.clone()
    return out


def _one_step(frames: Any, step: Setting, clip_of: list[str], index_of: list[int], arrays: Arrays) -> Any:
    acting = [at for at, index in enumerate(index_of) if step.acts(index)]
    if len(acting) == len(index_of):
        return _changed(frames, step, clip_of, index_of, arrays)
    if not acting:
        return frames
    out = frames.copy() if isinstance(frames, np.ndarray) else frames.clone()
    out[acting] = _changed(
        frames[acting], step, [clip_of[at] for at in acting], [index_of[at] for at in acting], arrays
    )
    return out


def _changed(frames: Any, step: Setting, clip_of: list[str], index_of: list[int], arrays: Arrays) -> Any:
    corruption = step.corruption
    level = step.level_for(*frames.shape[1:3])
    when = [moment(corruption.seeded_as, step.seed, clip, index) for clip, index in zip(clip_of, index_of, strict=True)]
    if corruption.batch is not None:
        if not isinstance(frames, np.ndarray):
            return corruption.batch(arrays, frames, level, Moments.of(when)).contiguous()
        if len(when) == 1:
            return _own(corruption.batch(arrays, _read_only(frames), level, Moments.of(when)))
        out = np.empty(frames.shape, np.uint8)
        for at, one in enumerate(when):  # frame by frame: it stays in the processor's cache
            out[at] = corruption.batch(arrays, _read_only(frames[at : at + 1]), level, Moments.of([one]))[0]
        return out
    pixels, give_back = _as_array(frames)
    out = np.empty_like(pixels, order="C")
    if corruption.frame is not None:
        for at, one in enumerate(when):
            out[at] = _like(pixels[at], corruption.frame(_read_only(_rgb(pixels[at])), level, one))
    elif corruption.clip is not None:
        for clip in dict.fromkeys(clip_of):
            places = [at for at, owner in enumerate(clip_of) if owner == clip]
            coded = corruption.clip(
                (_read_only(_rgb(pixels[at])) for at in places), level, step.coding(clip, index_of[places[0]])
            )
            for at, frame in zip(places, coded, strict=True):
                out[at] = _like(pixels[at], frame)
    return give_back(out)


def waves_of(
    setting: Setting, clip: str, indices: Sequence[int], height: int, width: int
) -> list[tuple[int, NDArray[np.float64]]]:
    """By what the frames of a clip are displaced: (place among `indices`, (3,) as `Corruption.waves` says) of each."""
    found = []
    for step in setting.steps():
        function = step.corruption.waves
        places = [place for place, index in enumerate(indices) if step.acts(index)]
        if function is None or not places:
            continue
        when = Moments.of([moment(step.corruption.seeded_as, step.seed, clip, indices[place]) for place in places])
        found += list(zip(places, function(step.level_for(height, width), when, height, width), strict=True))
    return found


def corrupt_each(frames: Iterable[Any], setting: Setting, *, clip: str, first_frame: int) -> Iterator[Any]:
    """The frames (H, W, C) of one clip, corrupted, one by one as they come."""
    for step in setting.steps():
        frames = _each_step(frames, step, clip, first_frame)
    return iter(frames)


def _each_step(frames: Iterable[Any], step: Setting, clip: str, first_frame: int) -> Iterator[Any]:
    if step.corruption.clip is None:
        for index, frame in enumerate(frames, first_frame):
            _check_frame(frame, step.corruption.name)
            yield corrupt_frames(frame[None], step, clips=clip, first_frame=index)[0]
        return
    waiting = iter(frames)
    start, stop = step.corruption.during or (first_frame, sys.maxsize)
    for _ in range(first_frame, min(start, stop)):
        for frame in waiting:
            yield frame
            break
    yield from _coded(waiting, step, clip, max(first_frame, start), stop)
    yield from waiting


def _coded(frames: Iterator[Any], step: Setting, clip: str, first_frame: int, stop: int) -> Iterator[Any]:
    """The frames before `stop` through a clip's function; the rest of `frames` is left where it is."""
    function = step.corruption.clip
    assert function is not None
    kind: list[Callable[[Pixels], Any]] = []
    # All frames of a clip are of one kind and size: what is true of the first holds for those still in the encoder.
    first = next(frames, None) if first_frame < stop else None
    if first is None:
        return
    _check_frame(first, step.corruption.name)

    def arrays() -> Iterator[Pixels]:
        rest = (frame for _, frame in zip(range(first_frame + 1, stop), frames, strict=False))
        for frame in chain([first], rest):
            _check_frame(frame, step.corruption.name)
            pixels, give_back = _as_array(frame)
            kind[:] = [give_back]
            yield _read_only(_rgb(pixels))

    level = step.level_for(*first.shape[:2])
    for coded in function(arrays(), level, step.coding(clip, first_frame)):
        yield kind[0](_like(first, coded))


@functools.cache
def host() -> Arrays:
    """The back end of NumPy and OpenCV, one for the process: it keeps what belongs to clips."""
    from tasks.corruptions.arrays.opencv import OpenCV

    return OpenCV()


@functools.cache
def on_device(device: Any) -> Arrays:
    """The back end of tensors on a device, one for each."""
    from tasks.corruptions.arrays.on_torch import Torch

    return Torch(device)


def _in_host(frames: Any) -> bool:
    if isinstance(frames, np.ndarray):
        return True
    torch = sys.modules.get("torch")  # a tensor can only come where torch has been imported
    if torch is None or not isinstance(frames, torch.Tensor):
        raise InputError(f"Expected frames as a NumPy array or a torch tensor, got {type(frames).__name__}.")
    return bool(frames.device.type == "cpu")


def _as_array(frames: Array) -> tuple[Pixels, Callable[[Pixels], Any]]:
    """`frames` as a NumPy array, and what makes a result the kind that came."""
    if isinstance(frames, np.ndarray):
        return frames, lambda out: out
    import torch

    device = frames.device
    return frames.detach().cpu().numpy(), lambda out: torch.from_numpy(out).to(device)


def _check_batch(frames: Any, name: str) -> None:
    shape = tuple(frames.shape)
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise InputError(f"{name}: expected frames of shape (T, H, W, 3), or (T, H, W, 1) for grey, got {shape}.")
    _check_pixels(frames, shape[1:], name)


def _check_frame(frame: Any, name: str) -> None:
    shape = tuple(getattr(frame, "shape", ()))
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise InputError(f"{name}: expected RGB frames, uint8 (H, W, 3), or grey (H, W, 1), got {shape}.")
    _check_pixels(frame, shape, name)


def _check_pixels(frames: Any, shape: tuple[int, ...], name: str) -> None:
    if str(frames.dtype).removeprefix("torch.") != "uint8":
        raise InputError(f"{name}: expected frames of uint8, 0 to 255, got {frames.dtype}.")
    height, width = shape[:2]
    if min(height, width) < SMALLEST_PX:
        raise InputError(
            f"{name}: expected frames of at least {SMALLEST_PX} x {SMALLEST_PX} px, got {width} x {height} px."
        )


def _rgb(frame: Pixels) -> Pixels:
    """Grey frames as three equal channels, for functions that know colour alone."""
    return np.repeat(frame, 3, axis=2) if frame.shape[2] == 1 else frame


def _like(frame: Any, rgb: Pixels) -> Pixels:
    """A result with as many channels as its frame: of grey ones the luma, rounded (BT.601)."""
    if frame.shape[2] == 3:
        return rgb
    return np.asarray(np.rint(rgb @ np.array([0.299, 0.587, 0.114]))[..., None].astype(np.uint8))


def _own(frames: Pixels) -> Pixels:
    """A result as the caller's own: copied where it is somebody else's, kept for a clip or a view of the input."""
    return frames if frames.flags.writeable and frames.flags.c_contiguous else np.array(frames, order="C")


def _read_only(frames: Pixels) -> Pixels:
    """A view that cannot be written to: a corruption that tries is an error, not a damaged input."""
    view = np.ascontiguousarray(frames)[:]
    view.flags.writeable = False
    return view


def _places(count: int, clips: Any, first_frame: Any, name: str) -> tuple[list[str], list[int]]:
    """The clip and frame index of each of `count` frames."""
    owners = [clips] * count if isinstance(clips, str) else [str(clip) for clip in clips]
    if len(owners) != count:
        raise InputError(f"{name}: expected one clip id, or one for each of {count} frames, got {len(owners)}.")
    if isinstance(first_frame, (int, np.integer)):
        reached: dict[str, int] = {}
        indices = []
        for owner in owners:
            index = reached.get(owner, int(first_frame))
            indices.append(index)
            reached[owner] = index + 1
        return owners, indices
    given: Sequence[int] = [int(index) for index in first_frame]
    if len(given) != count:
        raise InputError(f"{name}: expected one first frame, or an index for each of {count} frames, got {len(given)}.")
    return owners, list(given)
