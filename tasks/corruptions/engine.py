"""Carries one corruption over frames: seeds, clips, arrays and tensors."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tasks.corruptions.interface import Corruption, Level, Moment, Pixels
from tasks.errors import InputError

SMALLEST_PX = 32  # the reference's floor


def corrupt_frames(
    frames: Any, corruption: Corruption, level: Level, *, seed: int, clips: Any, first_frame: Any
) -> Any:
    """`frames`, uint8 (T, H, W, 3), corrupted: a new array or tensor of the same kind, on the same device."""
    pixels, give_back = _as_array(frames)
    if pixels.ndim != 4:
        raise InputError(f"{corruption.name}: expected frames of shape (T, H, W, 3), got {pixels.shape}.")
    if len(pixels):
        _check_frame(pixels[0], corruption.name)
    elif pixels.dtype != np.uint8 or pixels.shape[3] != 3:
        raise InputError(f"{corruption.name}: expected uint8 (T, H, W, 3), got {pixels.dtype} {pixels.shape}.")
    clip_of, index_of = _places(len(pixels), clips, first_frame, corruption.name)
    out = np.empty_like(pixels, order="C")
    if corruption.frame is not None:
        for at, frame in enumerate(pixels):
            out[at] = corruption.frame(
                _read_only(frame), level, moment(corruption.name, seed, clip_of[at], index_of[at])
            )
    elif corruption.clip is not None:
        for clip in dict.fromkeys(clip_of):
            places = [at for at, owner in enumerate(clip_of) if owner == clip]
            coded = corruption.clip((_read_only(pixels[at]) for at in places), level)
            for at, frame in zip(places, coded, strict=True):
                out[at] = frame
    return give_back(out)


def corrupt_each(
    frames: Iterable[Any], corruption: Corruption, level: Level, *, seed: int, clip: str, first_frame: int
) -> Iterator[Any]:
    """The frames (H, W, 3) of one clip, corrupted, one by one as they come."""
    if corruption.frame is not None:
        for at, frame in enumerate(frames):
            pixels, give_back = _as_array(frame)
            _check_frame(pixels, corruption.name)
            when = moment(corruption.name, seed, clip, first_frame + at)
            yield give_back(corruption.frame(_read_only(pixels), level, when))
        return
    assert corruption.clip is not None
    # All frames of a clip are of one kind: what is true of the last one read holds for those still in the encoder.
    kind: list[Callable[[Pixels], Any]] = []

    def arrays() -> Iterator[Pixels]:
        for frame in frames:
            pixels, give_back = _as_array(frame)
            _check_frame(pixels, corruption.name)
            kind[:] = [give_back]
            yield _read_only(pixels)

    for coded in corruption.clip(arrays(), level):
        yield kind[0](coded)


def moment(name: str, seed: int, clip: str, frame_index: int) -> Moment:
    """The seeds of a frame: SHA-256 of (seed, corruption, clip) and (seed, corruption, clip, frame), 32 bits each.

    Example:
        >>> first, later = moment("fog", 0, "north", 0), moment("fog", 0, "north", 7)
        >>> first.clip_seed == later.clip_seed, first.frame_seed == later.frame_seed
        (True, False)
    """
    return Moment(
        clip_seed=_hash(seed, name, clip),
        frame_seed=_hash(seed, name, clip, frame_index),
        frame_index=frame_index,
    )


def _hash(*words: int | str) -> int:
    # repr keeps the words apart: ("a", "bc") and ("ab", "c") differ.
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:4], "little")


def _as_array(frames: Any) -> tuple[Pixels, Callable[[Pixels], Any]]:
    """`frames` as a NumPy array, and what makes a result the kind that came."""
    torch = sys.modules.get("torch")  # a tensor can only come where torch has been imported
    if torch is not None and isinstance(frames, torch.Tensor):
        device = frames.device
        return frames.detach().cpu().numpy(), lambda out: torch.from_numpy(out).to(device)
    if not isinstance(frames, np.ndarray):
        raise InputError(f"Expected frames as a NumPy array or a torch tensor, got {type(frames).__name__}.")
    return frames, lambda out: out


def _check_frame(frame: Pixels, name: str) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"{name}: expected RGB frames, uint8 (H, W, 3), got {frame.dtype} {frame.shape}.")
    height, width = frame.shape[:2]
    if min(height, width) < SMALLEST_PX:
        raise InputError(
            f"{name}: expected frames of at least {SMALLEST_PX} x {SMALLEST_PX} px, got {width} x {height} px."
        )


def _read_only(frame: Pixels) -> Pixels:
    """A view that cannot be written to: a corruption that tries is an error, not a damaged input."""
    view = np.ascontiguousarray(frame)[:]
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
