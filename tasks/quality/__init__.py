"""What frames and streams look like, without any truth: measured of data sets, of corrupted cells and of new footage.

`luma` measures a frame in five numbers and `frame` in twenty; `stream` (frames missing, frozen, doubled; bits) and
`tampering` (the lens covered or out of focus, the camera moved) look at footage.
"""

from tasks.quality.frame import FEATURES, VERSION, Features, features
from tasks.quality.luma import BLOCK_PX, LEAST_STEP, Pixels, Quality, blockiness, measure, noise, sharpness

__all__ = [
    "BLOCK_PX", "FEATURES", "LEAST_STEP", "VERSION", "Features", "Pixels", "Quality", "blockiness", "features",
    "measure", "noise", "sharpness",
]  # fmt: skip
