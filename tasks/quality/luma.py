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


class Layers(NamedTuple):
    """What the measurements of one frame are taken from, each made once; empty: the frame is too small for it.

    Attributes:
        luma: uint8 (H, W).
        texture: luma less flat parts, slopes and straight edges, int16 (H - 2, W - 2): see `noise`.
        steps: absolute differences of neighbours in luma, uint8, within columns (H - 1, W) and within rows (H, W - 1).
    """

    luma: Pixels
    texture: npt.NDArray[np.int16]
    steps: tuple[Pixels, Pixels]


def measure(frame: Pixels) -> Quality:
    """All measurements of `frame`, uint8 RGB (H, W, 3); it is not changed.

    Raises:
        ValueError: it is of another type or shape, or holds no pixel.

    Examples:
        >>> measure(np.full((64, 64, 3), 100, np.uint8))
        Quality(brightness=100.0, contrast=0.0, sharpness=0.0, noise=0.0, blockiness=1.0)
    """
    return measured(layers(frame))


def layers(frame: Pixels) -> Layers:
    """The layers of `frame`, uint8 RGB (H, W, 3).

    Raises:
        ValueError: it is of another type or shape, or holds no pixel.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"expected a uint8 frame (H, W, 3), got {frame.dtype} {frame.shape}")
    luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    texture = cv2.sepFilter2D(luma, cv2.CV_16S, _SECOND_DIFFERENCE, _SECOND_DIFFERENCE)[1:-1, 1:-1]
    pairs = (luma[1:], luma[:-1]), (luma[:, 1:], luma[:, :-1])
    columns, rows = (np.asarray(cv2.absdiff(*pair) if pair[0].size else pair[0], np.uint8) for pair in pairs)
    return Layers(luma, np.asarray(texture, np.int16), (columns, rows))


def measured(seen: Layers) -> Quality:
    """All measurements of the frame that `seen` is of."""
    mean, deviation = cv2.meanStdDev(seen.luma)
    brightness, contrast = float(mean[0, 0]), float(deviation[0, 0])
    return Quality(brightness, contrast, sharpness(seen.luma), noise(seen.texture), blockiness(seen.steps))


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
    # By two sums of whole numbers: cv2.meanStdDev, which takes them too, is several times as slow at int16.
    mean, square = cv2.sumElems(filtered)[0] / filtered.size, cv2.norm(filtered, cv2.NORM_L2SQR) / filtered.size
    return float(max(0.0, square - mean * mean))


def noise(texture: npt.NDArray[np.int16]) -> float:
    """Standard deviation of white noise in luma, grey levels, by the texture of `Layers`; NaN where that is empty.

    The difference of two Laplacians, N = [1 -2 1]^T [1 -2 1], removes flat parts, slopes and straight edges; what is
    left of Gaussian noise has the mean absolute value 6 sigma sqrt(2 / pi). Fine texture is taken for noise: the
    estimate is a bound from above. Noise of equal strength in each of R, G and B, independent, is 0.668 of that in
    luma: sqrt(0.299^2 + 0.587^2 + 0.114^2).

    Source: J. Immerkaer, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64 (2), 1996.
    """
    if not texture.size:
        return math.nan
    return float(math.sqrt(math.pi / 2) * cv2.norm(texture, cv2.NORM_L1) / (6 * texture.size))


def blockiness(steps: tuple[Pixels, Pixels]) -> float:
    """Mean absolute step in luma across the borders of 8x8 blocks over that within blocks, by the steps of `Layers`.

    Steps are those between neighbours, along rows and along columns together. About 1 without blocks, and 1 of a frame
    of one level. The grid starts at the frame's first pixel: a picture that was cut or resized after it was coded has
    its borders elsewhere, and shows none. NaN for a frame of one block.

    Source: Z. Wang, H. R. Sheikh, A. C. Bovik, "No-reference perceptual quality assessment of JPEG compressed images",
    ICIP 2002, B (differences across block borders), here relative to those within.
    """
    across = within = 0.0
    n_across = n_within = 0
    for axis, of_axis in enumerate(steps):
        if not of_axis.size:
            continue
        sums = cv2.reduce(of_axis, 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
        borders = sums[BLOCK_PX - 1 :: BLOCK_PX]
        across += float(borders.sum())
        within += float(sums.sum()) - float(borders.sum())
        n_across += borders.size * of_axis.shape[1 - axis]
        n_within += (sums.size - borders.size) * of_axis.shape[1 - axis]
    if not n_across:
        return math.nan
    if across == within == 0:
        return 1.0
    return (across / n_across) / max(within / n_within, LEAST_STEP)
