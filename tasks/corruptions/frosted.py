"""The benchmark's frost: cuttings of photographs of ice, which come with imagecorruptions."""

import functools
import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.interface import Pixels
from tasks.corruptions.seeds import uniform
from tasks.errors import InputError

# The reference draws one of the first five: `randint(5)` over six files.
PICTURES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
_LARGER = 1.1  # than the frame must be, so that there is something to cut
_KEPT = 10  # enlarged pictures: two sizes of frames


def cuttings(seeds: NDArray[np.uint64], height: int, width: int) -> Pixels:
    """One for each seed, uint8 RGB (U, height, width, 3)."""
    out = np.empty((len(seeds), height, width, 3), np.uint8)
    chosen, down, across = (uniform(seeds, stream) for stream in range(3))
    for at in range(len(seeds)):
        ice = picture(int(chosen[at] * len(PICTURES)), height, width)
        top = int(down[at] * (ice.shape[0] - height))
        left = int(across[at] * (ice.shape[1] - width))
        out[at] = ice[top : top + height, left : left + width]
    return out


@functools.lru_cache(maxsize=_KEPT)
def picture(number: int, height: int, width: int) -> Pixels:
    """The photograph as the reference enlarges it for frames of a size, uint8 RGB."""
    import cv2

    ice = _decoded(number)
    tall, wide = ice.shape[:2]
    # A picture that is large enough stays; else the side that needs it more decides.
    factor = _LARGER * max(1.0, height / tall, width / wide)
    enlarged = cv2.resize(ice, (math.ceil(wide * factor), math.ceil(tall * factor)), interpolation=cv2.INTER_CUBIC)
    enlarged.flags.writeable = False
    return np.asarray(enlarged)


@functools.cache
def _decoded(number: int) -> Any:
    import cv2

    package = importlib.util.find_spec("imagecorruptions")
    if package is None or package.origin is None:
        raise InputError(
            "frost needs the pictures of the package imagecorruptions, which is not installed: install it."
        )
    path = Path(package.origin).with_name("frost") / PICTURES[number]
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError(f"frost: expected a picture in {path}, which comes with imagecorruptions: install it again.")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
