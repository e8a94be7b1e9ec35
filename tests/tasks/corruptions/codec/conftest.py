"""Clips to code, and a way to code them that keeps what is recorded."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions.codec import ENTRIES
from tasks.corruptions.interface import Coding

Frames = NDArray[np.uint8]
Through = Callable[..., tuple[Frames, dict[str, float]]]

NAMED = {entry.name: entry for entry in ENTRIES}


@pytest.fixture(scope="session")
def through() -> Through:
    """`through(name, frames, severity=... or level=..., seed=0, first_frame=0)`: the frames, and the facts recorded."""

    def run(
        name: str,
        frames: Frames,
        *,
        severity: int | None = None,
        level: float | None = None,
        seed: int = 0,
        first_frame: int = 0,
    ) -> tuple[Frames, dict[str, float]]:
        records: list[Any] = []
        entry = NAMED[name]
        assert entry.clip is not None
        coding = Coding(seed, first_frame, records.append)
        out = np.stack(list(entry.clip(iter(frames), entry.at(severity, level), coding)))
        [facts] = records  # once a clip
        return out, dict(facts)

    return run


@pytest.fixture(scope="session")
def street() -> Frames:
    """A textured scene under a slow pan, with two blocks that cross it: 60 frames of 96 x 128."""
    random = np.random.default_rng(3)
    height, width, count = 96, 128, 60
    wide = width + count
    scene = np.full((height, wide, 3), 110.0)
    for cell in (32, 16, 8, 4, 2, 1):
        noise = random.normal(size=(height // cell + 1, wide // cell + 1, 1)) * (1.5 + cell)
        scene += np.kron(noise, np.ones((cell, cell, 1)))[:height, :wide]
    frames = np.stack([scene[:, at : at + width] for at in range(count)])
    for at, frame in enumerate(frames):
        frame[20:40, 2 * at : 2 * at + 24] = (200, 40, 40)
        frame[60:84, 100 - at : 130 - at] += 70
    clip = np.clip(frames, 0, 255).astype(np.uint8)
    clip.flags.writeable = False
    return clip


@pytest.fixture(scope="session")
def cars() -> Frames:
    """60 frames of real footage, 768 x 432, with cars in them."""
    root = os.environ.get("STORMGLASS_REAL_DATA")
    if not root:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    import av

    with av.open(str(Path(root) / "footage" / "car-detection.mp4")) as file:
        return np.stack(
            [frame.to_ndarray(format="rgb24") for frame in itertools.islice(file.decode(video=0), 190, 250)]
        )
