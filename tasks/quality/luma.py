"""What a frame looks like, in five numbers: brightness, contrast, sharpness, noise and blockiness.

All are taken from luma, Y' = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601-7, 2.5.1) rounded to whole grey levels, 0..255.
They compare frames of one size and one source; none of them is an opinion of how good a picture looks.
"""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

BLOCK_PX: Final = 8
"""Side of the blocks that JPEG transforms (ITU-T T.81, A.3.1), and of the grid that H.264 filters (8.7) at most."""

LEAST_STEP: Final = 0.01
"""Grey levels: the least mean step within blocks that blockiness divides by; blocks of one level each stay finite."""

_LAPLACIAN: Final = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
_SECOND_DIFFERENCE: Final = np.array([1, -2, 1], np.float32)


class Quality(NamedTuple):
    """The measurements of one frame. NaN: the frame is too small to tell.

    Attributes:
        brightness: mean luma, grey levels 0..255.
        contrast: standard deviation of luma, grey levels 0..127.5 (root-mean-square contrast).
        sharpness: variance of the Laplacian of luma, squared grey levels, 0 and up.
        noise: standard deviation of white noise in luma, grey levels, 0 and up.
        blockiness: steps across the borders of 8x8 blocks over those within, a ratio; about 1 without blocks.
    """

    brightness: float
    contrast: float
    sharpness: float
    noise: float
    blockiness: float


def measure(frame: Pixels) -> Quality:
    """All measurements of `frame`, uint8 RGB (H, W, 3); it is not changed.

    Raises:
        ValueError: it is of another type or shape, or holds no pixel.

    Examples:
        >>> measure(np.full((64, 64, 3), 100, np.uint8))
        Quality(brightness=100.0, contrast=0.0, sharpness=0.0, noise=0.0, blockiness=1.0)
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"expected a uint8 frame (H, W, 3), got {frame.dtype} {frame.shape}")
    luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    mean, deviation = cv2.meanStdDev(luma)
    return Quality(float(mean[0, 0]), float(deviation[0, 0]), sharpness(luma), noise(luma), blockiness(luma))


def sharpness(luma: Pixels) -> float:
    """Variance of the Laplacian of `luma`, uint8 (H, W), in squared grey levels; NaN below 3x3 px.

    The kernel is that of four neighbours; the outermost pixels, which lack some, do not count. It depends on size: the
    same picture made smaller has steeper edges per pixel and more variance, so compare frames of one size only. Noise
    raises it as well.

    Source: J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study", ICPR 2000,
    the measure LAPV.
    """
    if min(luma.shape) < 3:
        return math.nan
    filtered = cv2.filter2D(luma, cv2.CV_16S, _LAPLACIAN)[1:-1, 1:-1]
    return float(cv2.meanStdDev(filtered)[1][0, 0]) ** 2


def noise(luma: Pixels) -> float:
    """Standard deviation of white noise in `luma`, uint8 (H, W), in grey levels; NaN below 3x3 px.

    The difference of two Laplacians, N = [1 -2 1]^T [1 -2 1], removes flat parts, slopes and straight edges; what is
    left of Gaussian noise has the mean absolute value 6 sigma sqrt(2 / pi). Fine texture is taken for noise: the
    estimate is a bound from above. Noise of equal strength in each of R, G and B, independent, is 0.668 of that in
    luma: sqrt(0.299^2 + 0.587^2 + 0.114^2).

    Source: J. Immerkaer, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64 (2), 1996.
    """
    height, width = luma.shape
    if min(height, width) < 3:
        return math.nan
    filtered = cv2.sepFilter2D(luma, cv2.CV_16S, _SECOND_DIFFERENCE, _SECOND_DIFFERENCE)[1:-1, 1:-1]
    return float(math.sqrt(math.pi / 2) * cv2.norm(filtered, cv2.NORM_L1) / (6 * (width - 2) * (height - 2)))


def blockiness(luma: Pixels) -> float:
    """Mean absolute step of `luma`, uint8 (H, W), across the borders of 8x8 blocks over that within blocks.

    Steps are those between neighbours, along rows and along columns together. About 1 without blocks, and 1 of a frame
    of one level. The grid starts at the frame's first pixel: a picture that was cut or resized after it was coded has
    its borders elsewhere, and shows none. NaN for a frame of one block.

    Source: Z. Wang, H. R. Sheikh, A. C. Bovik, "No-reference perceptual quality assessment of JPEG compressed images",
    ICIP 2002, B (differences across block borders), here relative to those within.
    """
    across = within = 0.0
    n_across = n_within = 0
    for axis in (0, 1):
        if luma.shape[axis] < 2:
            continue
        ahead, behind = (luma[1:], luma[:-1]) if axis == 0 else (luma[:, 1:], luma[:, :-1])
        steps = cv2.reduce(cv2.absdiff(ahead, behind), 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
        borders = steps[BLOCK_PX - 1 :: BLOCK_PX]
        across += float(borders.sum())
        within += float(steps.sum()) - float(borders.sum())
        n_across += borders.size * luma.shape[1 - axis]
        n_within += (steps.size - borders.size) * luma.shape[1 - axis]
    if not n_across:
        return math.nan
    if across == within == 0:
        return 1.0
    return (across / n_across) / max(within / n_within, LEAST_STEP)
