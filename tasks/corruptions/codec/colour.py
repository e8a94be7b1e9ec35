"""RGB to the codecs' 4:2:0 and back, and the one place where PyAV is imported."""

import os
from typing import Any

import numpy as np

from tasks.corruptions.interface import Pixels
from tasks.errors import InputError


class Colour:
    """RGB to 4:2:0 and back by swscale, with the flags without which it is off by one to two levels.

    BT.709, limited range, both ways. Odd sizes are padded by repeating the last row and column, and cut again.
    """

    def __init__(self, av: Any) -> None:
        self._av = av
        names = av.video.reformatter
        flags = names.Interpolation
        # BITEXACT: the same pixels on every kind of CPU; the others: rounded, and chroma at full width.
        how = flags.BICUBIC | flags.ACCURATE_RND | flags.BITEXACT | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP
        both = {
            "interpolation": how,
            "src_colorspace": names.Colorspace.ITU709,
            "dst_colorspace": names.Colorspace.ITU709,
            "threads": 1,
        }
        full, limited = names.ColorRange.JPEG, names.ColorRange.MPEG
        self._forth = {**both, "format": "yuv420p", "src_color_range": full, "dst_color_range": limited}
        self._back = {**both, "format": "rgb24", "src_color_range": limited, "dst_color_range": full}
        self._reformatters = names.VideoReformatter(), names.VideoReformatter()

    def to_yuv(self, frame: Pixels) -> Any:
        """A PyAV frame in yuv420p of even size."""
        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return self._reformatters[0].reformat(self._av.VideoFrame.from_ndarray(even, format="rgb24"), **self._forth)

    def to_rgb(self, picture: Any, shape: tuple[int, ...]) -> Pixels:
        """The pixels of a decoded frame, cut to `shape`."""
        # The decoder says where the chroma samples lie (left, in H.264), the way forth took them as centred: without a
        # fresh frame, which says nothing, colour would come back half a pixel aside.
        unsaid = self._av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
        rgb = self._reformatters[1].reformat(unsaid, **self._back).to_ndarray()
        return np.ascontiguousarray(rgb[: shape[0], : shape[1]])


def pyav(name: str) -> Any:
    """The module av, for the corruption `name`.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings for each clip otherwise
    try:
        import av
        import av.video.reformatter
    except ImportError:
        raise InputError(f"{name} needs the package av (PyAV), which is not installed: install it.") from None
    return av
