"""What frames and streams look like, without any truth: measured of data sets, of corrupted cells and of new footage.

`luma` measures a frame in five numbers and `frame` in twenty; `stream` (frames missing, frozen, doubled; bits) and
`tampering` (the lens covered or out of focus, the camera moved) look at footage.
"""

from tasks.quality.frame import FEATURES, VERSION, Features, features
from tasks.quality.luma import Pixels, Quality, measure

__all__ = ["FEATURES", "VERSION", "Features", "Pixels", "Quality", "features", "measure"]
