"""The benchmark's spatter: water or mud on the lens. Definition: imagecorruptions 1.1.2."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Level
from tasks.corruptions.seeds import Moments, streams

_WATER = (175.0, 238.0, 238.0)  # codes: pale turquoise
_MUD = (63.0, 42.0, 20.0)
_LUMA = (0.2989, 0.5870, 0.1140)  # the reference's, for grey frames
_MUD_FROM = 0.8  # of the blurred mask: what is thinner is no mud
_CANNY = (50, 150)
_FARTHEST_PX = 20.0  # from an edge: beyond it a drop is equally thick
_RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # lit from one side

Maker = Callable[[NDArray[np.float32], Level, NDArray[np.float64]], NDArray[Any]]
"""A clip's layers (...) of its liquid (H, W) and its colour (C,)."""


def spatter(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Drops of a clip, which stay put: water is added to the frame, mud covers it.

    The drops are made in the host's memory with OpenCV (edges, distances and histograms are no array operations), once
    for each clip; what is done to a frame is array operations. A frame that no drop hits stays as it is.
    """
    height, width, channels = frames.shape[1:]

    def layers(make: Maker, colour: tuple[float, ...]) -> Array:
        codes = np.array(colour if channels == 3 else [np.dot(colour, _LUMA)])

        def of_clips(seeds: NDArray[np.uint64]) -> Array:
            words = arrays.host(arrays.field(streams(seeds, 0), (height, width)))
            return arrays.array(np.stack([make(_liquid(own, level), level, codes) for own in words]))

        return arrays.per_clip(moments, (make.__name__, level, height, width, channels), of_clips)

    if level["mud_sigma_px"] <= 0:
        return arrays.add_codes(frames, layers(_water, _WATER))
    mud = layers(_mud, _MUD)
    return arrays.to_codes(arrays.to_float(frames) * mud[:, 0] + mud[:, 1])


def _liquid(words: NDArray[Any], level: Level) -> NDArray[np.float32]:
    """A blurred field of N(loc, scale), and nothing where it is below the threshold."""
    import cv2

    noise = cv2.LUT(words.astype(np.uint16), normal_table()[None]) * level["scale"] + level["loc"]
    liquid = _blurred(noise, level["drop_sigma_px"])
    liquid[liquid < level["threshold"]] = 0
    return liquid


def _water(liquid: NDArray[np.float32], level: Level, colour: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What is added, codes (H, W, C). Added to whole numbers, what it has behind the point would be cut anyway."""
    import cv2

    thickness = (liquid * 255).astype(np.uint8)
    inside = cv2.distanceTransform(255 - cv2.Canny(thickness, *_CANNY), cv2.DIST_L2, 5)
    inside = cv2.equalizeHist(cv2.blur(np.minimum(inside, _FARTHEST_PX), (3, 3)).astype(np.uint8))
    light = cv2.blur(cv2.filter2D(inside, cv2.CV_8U, _RELIEF), (3, 3)).astype(np.float32)
    light *= thickness
    brightest = float(light.max())
    if brightest:
        light *= level["water"] / brightest
    return np.stack([np.minimum(light * code, 255).astype(np.uint8) for code in colour], axis=-1)


def _mud(liquid: NDArray[np.float32], level: Level, colour: NDArray[np.float64]) -> NDArray[np.float32]:
    """What is kept of the frame, and what is added, (2, H, W, C)."""
    covered = _blurred((liquid > level["threshold"]).astype(np.float32), level["mud_sigma_px"])
    covered[covered < _MUD_FROM] = 0
    layers = np.empty((2, *liquid.shape, len(colour)), np.float32)
    layers[0] = (1 - covered)[..., None]
    for channel, code in enumerate(colour):
        np.multiply(covered, np.float32(code), out=layers[1, ..., channel])
    return layers


def _blurred(plane: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """scikit-image's Gaussian filter: four standard deviations of it, edges held."""
    import cv2

    side = 2 * int(4 * sigma_px + 0.5) + 1
    return np.asarray(cv2.GaussianBlur(plane, (side, side), sigma_px, borderType=cv2.BORDER_REPLICATE))


@functools.cache
def normal_table() -> NDArray[np.float32]:
    """16 bits as a standard normal number: its quantiles at (i + 0.5) / 65536."""
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(65536) + 0.5) / 65536), dtype=np.float32)


@functools.lru_cache(maxsize=8)
def normal_on(arrays: Arrays) -> Array:
    """The same table on a device."""
    return arrays.array(normal_table())
