"""How much memory a corruption takes beside its input, and whether a long clip takes more than a short one.

What the process holds is asked of the system, after malloc has given back what is free; so Linux with glibc only, and
best in a process of its own (`in_own_process`).
"""

import ctypes
import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import pictures
from tasks.corruptions import CORRUPTIONS, corrupt, corrupt_stream

T = TypeVar("T")
Row = dict[str, Any]


def in_own_process(call: Callable[..., T], *arguments: Any) -> T:
    """What a call gives in a process that was started for it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        return child.submit(call, *arguments).result()


def measure(
    names: Sequence[str], sizes: Sequence[tuple[int, int]], *, coded_frames: int, long_frames: int
) -> list[Row]:
    """What each corruption takes at severity 5.

    - `peak_bytes_per_px_...`: the most in use beside the input, for each pixel of a frame: for one frame, the first of
      a new clip, with what is kept for the clip (the tables of the level are there already); of a codec, for a clip of
      `clip_frames`, streamed, at the first size only: encoder, decoder and the frames that they hold.
    - `growth_mb`: what streaming a clip of `long_frames` of 192x144 adds between its first quarter and its end.

    Args:
        names: Of corruptions.
        sizes: (height, width) of frames.
        coded_frames: In a codec's clip.
        long_frames: In the long clip.
    """
    import cv2

    cv2.setNumThreads(1)
    rows: dict[str, Row] = {}
    small = pictures.generated(144, 192)
    # Codecs last: their threads may still be giving memory back while the next one is measured.
    for name in sorted(names, key=lambda name: CORRUPTIONS[name].whole_clip):
        coded = CORRUPTIONS[name].whole_clip
        row: Row = {"name": name, "severity": 5, "clip_frames": coded_frames if coded else 1}
        for height, width in sizes[:1] if coded else sizes:
            frame = pictures.generated(height, width)
            corrupt(frame[None], name=name, severity=5, clips="before")
            peak = peak_bytes(lambda n=name, f=frame, c=row["clip_frames"]: _drain(n, f, c))
            row[f"peak_bytes_per_px_{width}x{height}"] = peak / (height * width)
        rows[name] = row | {"growth_mb": _growth(name, small, long_frames) / 1e6}
    return [rows[name] for name in names]


def totals(rows: Sequence[Row]) -> dict[str, float]:
    """The highest of all corruptions: of one frame, of a codec's clip, and what a long clip adds."""
    peaks = {
        coded: [
            value
            for row in rows
            for figure, value in row.items()
            if figure.startswith("peak") and (row["clip_frames"] > 1) == coded
        ]
        for coded in (False, True)
    }
    return {
        "frame_peak_bytes_per_px": max(peaks[False]),
        "clip_peak_bytes_per_px": max(peaks[True]),
        "stream_growth_mb": max(row["growth_mb"] for row in rows),
    }


def _growth(name: str, picture: NDArray[np.uint8], frames: int) -> int:
    held = []
    for number, _ in enumerate(corrupt_stream(_repeated(picture, frames), name=name, severity=5, clips="long")):
        if number in (frames // 4, frames - 1):
            held.append(held_bytes())
    return held[-1] - held[0]


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that the process holds during a call, less what it held before."""
    before = held_bytes()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): sets the peak back to what is held now
    result = call()
    peak = _status("VmHWM")
    del result
    return max(peak - before, 0)


def held_bytes() -> int:
    """What the process holds of the machine's memory."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def possible() -> bool:
    """Whether it can be asked here."""
    return Path("/proc/self/clear_refs").exists() and hasattr(ctypes.CDLL(None), "malloc_trim")


def _status(field: str) -> int:
    """A field of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def _repeated(picture: NDArray[np.uint8], frames: int) -> Iterator[NDArray[np.uint8]]:
    for number in range(frames):
        yield np.roll(picture, number, axis=1) if number else picture


def _drain(name: str, frame: NDArray[np.uint8], frames: int) -> None:
    for _ in corrupt_stream(_repeated(frame, frames), name=name, severity=5, clips="measured"):
        pass
