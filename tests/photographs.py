"""Real photographs, for tests that want them."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def photographs(count: int) -> list[np.ndarray]:
    """The first `count` photographs that are not square, uint8 RGB, from the folder that STORMGLASS_REAL_DATA names."""
    given = os.environ.get("STORMGLASS_REAL_DATA")
    if not given:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of real material")
    frames = []
    for path in sorted((Path(given) / "coco" / "images").glob("*.jpg")):
        frame = np.array(Image.open(path).convert("RGB"))
        if frame.shape[0] != frame.shape[1]:
            frames.append(frame)
    assert len(frames) >= count, f"{given} has {len(frames)} photographs that are not square, {count} are wanted"
    return frames[:count]
