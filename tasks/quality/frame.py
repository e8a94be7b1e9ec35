"""What a frame looks like in twenty numbers: enough to tell most corruptions apart and their strengths.

The five of `tasks.quality.luma` and fifteen more. Those that are taken from a small copy, 320 px wide (`SMALL_PX`),
hardly depend on the frame's size; sharpness, noise, blockiness, blur, detail, grain, impulses and flat_share are taken
from the frame's own pixels, where noise and coding are, and compare frames of about one size. The table `quality` of
`prepare`, which slices are cut by, holds the five alone: thirds of the others mean little to people, and tables that
were prepared before stay valid.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tasks.quality import luma
from tasks.quality.luma import Pixels

SMALL_PX: Final = 320
"""Width of the copy in which structure and colour are measured; a smaller frame is taken as it is."""

DARK: Final = 32
"""Luma below which a pixel counts as dark: an eighth of the range."""

BRIGHT: Final = 250
"""Luma from which on a pixel counts as clipped: 255, less what coding and resizing take off."""

IMPULSE: Final = 48
"""Grey levels off the median of 3x3 px from which on a pixel is an impulse; white noise of sigma 12 hardly ever is."""

EDGE: Final = 24.0
"""Grey levels a pixel from which on a gradient of the small copy is an edge; low contrast has few, noise few."""

PATCH_PX: Final = 7
"""Side of the dark channel's patch in the small copy: He et al. take 15 px of pictures about twice as wide."""

BLOCK_PX: Final = 8
"""Side of the blocks of the small copy over which contrast is local."""


class Features(NamedTuple):
    """The features of one frame; the names are columns of the table `cell_quality`. NaN: too small a frame to tell.

    Attributes:
        brightness, contrast, sharpness, noise, blockiness: as `tasks.quality.luma.Quality`.
        blur: 0 (sharp) to 1, by how little a blur changes the frame.
        detail: binary logarithm of the amplitude of fine structure over that of structure four times as coarse.
        haze: 0 to 1, mean of the dark channel: how light the darkest colours are all over the frame.
        dark_share, bright_share: 0 to 1, of pixels near black, and clipped or nearly so.
        entropy: of the histogram of luma, 0 to 8 bits.
        cast_a, cast_b: mean a* and b* of CIE L*a*b*: above 0 for red and yellow, below for green and blue.
        colourfulness: 0 (grey) and up, about 110 at most for photographs.
        grain: standard deviation of noise in luma, grey levels, from the calmer half of the frame.
        impulses: 0 to 1, share of pixels that stick out from all around them.
        edge_density: 0 to 1, share of the small copy's pixels that are on edges.
        local_contrast: mean standard deviation of luma within blocks of the small copy, grey levels.
        anisotropy: 0 (edges in all directions alike) to 1 (in one direction alone).
        flat_share: 0 to 1, of pairs of neighbours that have the same luma.
    """

    brightness: float
    contrast: float
    sharpness: float
    noise: float
    blockiness: float
    blur: float
    detail: float
    haze: float
    dark_share: float
    bright_share: float
    entropy: float
    cast_a: float
    cast_b: float
    colourfulness: float
    grain: float
    impulses: float
    edge_density: float
    local_contrast: float
    anisotropy: float
    flat_share: float


FEATURES: Final = Features._fields

VERSION: Final = 3
"""Rises when the features of a frame change: what is stored of them is measured again."""


def features(frame: Pixels) -> Features:
    """All features of `frame`, uint8 RGB (H, W, 3); it is not changed.

    Raises:
        ValueError: it is of another type or shape, or holds no pixel.

    Examples:
        >>> flat = features(np.full((64, 64, 3), 100, np.uint8))
        >>> flat.brightness, flat.blur, round(flat.haze, 3), flat.entropy, flat.flat_share
        (100.0, 1.0, 0.392, 0.0, 1.0)
    """
    seen = luma.layers(frame)
    five = luma.measured(seen)
    small = _small(frame)
    small_grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    channels = [np.asarray(channel, np.uint8) for channel in cv2.split(small)]
    median = np.asarray(cv2.medianBlur(seen.luma, 3), np.uint8)
    shares = _histogram(seen.luma) / seen.luma.size
    levels = shares[shares > 0]
    edge_density, anisotropy = _edges(small_grey)
    cast_a, cast_b = _cast(small)
    return Features(
        *five,
        blur=blur(median),
        detail=_detail(seen.luma, five.sharpness),
        haze=_haze(channels),
        dark_share=float(shares[:DARK].sum()),
        bright_share=float(shares[BRIGHT:].sum()),
        entropy=max(0.0, float(-(levels * np.log2(levels)).sum())),
        cast_a=cast_a,
        cast_b=cast_b,
        colourfulness=_colourfulness(channels),
        grain=_grain(seen.texture),
        impulses=_impulses(seen.luma, median),
        edge_density=edge_density,
        local_contrast=_local_contrast(small_grey),
        anisotropy=anisotropy,
        flat_share=_flat_share(seen.steps),
    )


def _small(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    if width <= SMALL_PX:
        return np.ascontiguousarray(frame)
    rows, factor = max(1, round(height * SMALL_PX / width)), round(width / SMALL_PX)
    if factor == 1 or height < factor:
        return np.asarray(cv2.resize(frame, (SMALL_PX, rows), interpolation=cv2.INTER_AREA), np.uint8)
    if width % SMALL_PX:
        # OpenCV takes several times as long over means of parts of pixels as over this and whole ones.
        size = (SMALL_PX * factor, rows * factor)
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return _shrunk(frame, factor)


def _shrunk(pixels: Pixels, factor: int) -> Pixels:
    """Means of blocks of `factor` x `factor` whole pixels; what is left of one at the far sides does not count."""
    while factor > 2 and factor % 2 == 0:  # OpenCV takes a fraction of the time for halves
        pixels, factor = _shrunk(pixels, 2), factor // 2
    height, width = (side // factor for side in pixels.shape[:2])
    whole = pixels[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _histogram(levels: Pixels) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.calcHist([levels], [0], None, [256], [0, 256]).ravel(), np.float64)


def blur(grey: Pixels) -> float:
    """How little a further blur changes `grey`, uint8 (H, W): 0 sharp, 1 blurred; NaN below 3x3 px.

    Steps between neighbours are compared with those after a mean over 9 px in their direction; what they lose is what
    there was to lose. Every second column and row is looked at; the worse of the two directions counts, so blur by
    motion does. A frame of one level is blurred. Noise would look sharp: give it a median-filtered frame.

    Source: F. Crete, T. Dolmiere, P. Ladret, M. Nicolas, "The blur effect: perception and estimation with a new
    no-reference perceptual blur metric", SPIE 6492, 2007.
    """
    if min(grey.shape) < 3:
        return math.nan
    worst = 0.0
    for one in (np.ascontiguousarray(grey[:, ::2]), np.asarray(cv2.transpose(grey[::2]), np.uint8)):
        blurred = _column_means(one)
        steps, after = cv2.absdiff(one[1:], one[:-1]), cv2.absdiff(blurred[1:], blurred[:-1])
        had = cv2.sumElems(steps)[0]
        lost = cv2.sumElems(cv2.subtract(steps, after))[0]  # below 0 is 0
        worst = max(worst, 1 - lost / had if had else 1.0)
    return worst


def _column_means(grey: Pixels) -> Pixels:
    """Means over 9 px within columns, rounded. Four columns go as the channels of one: OpenCV takes half as long."""
    height, width = grey.shape
    wide = cv2.copyMakeBorder(grey, 0, 0, 0, -width % 4, cv2.BORDER_REPLICATE).reshape(height, -1, 4)
    means = cv2.blur(wide, (1, 9), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(means, np.uint8).reshape(height, -1)[:, :width]


def _detail(grey: Pixels, fine: float) -> float:
    """log2 of the Laplacian's amplitude, whose square is `fine`, over that at a quarter of the size.

    Contrast cancels. Amplitudes of natural scenes fall as 1 / frequency, which makes it nearly one number for all of
    them; blur lowers it, noise raises it. NaN below 12x12 px or without structure.

    Source: D. J. Field, "Relations between the statistics of natural images and the response properties of cortical
    cells", JOSA A 4 (12), 1987.
    """
    if min(grey.shape) < 12:
        return math.nan
    coarse = luma.sharpness(_shrunk(grey, 4))
    return 0.5 * math.log2(fine / coarse) if fine > 0 and coarse > 0 else math.nan


def _haze(channels: Sequence[Pixels]) -> float:
    """Mean of the dark channel, 0..1: the least of R, G and B within patches.

    Source: K. He, J. Sun, X. Tang, "Single image haze removal using dark channel prior", CVPR 2009: without haze it is
    near 0 everywhere but in the sky and on white things.
    """
    darkest = cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    return float(cv2.mean(cv2.erode(darkest, np.ones((PATCH_PX, PATCH_PX), np.uint8)))[0]) / 255


def _cast(small: Pixels) -> tuple[float, float]:
    """Mean a* and b*, of the means of 4x4 px: their length is the equivalent circle's distance from grey.

    Source: F. Gasparini, R. Schettini, "Color balancing of digital photos using simple image statistics", Pattern
    Recognition 37 (6), 2004.
    """
    coarse = _shrunk(small, 4) if min(small.shape[:2]) >= 4 else small
    _, a, b, _ = cv2.mean(cv2.cvtColor(coarse, cv2.COLOR_RGB2Lab))
    return a - 128, b - 128


def _colourfulness(channels: Sequence[Pixels]) -> float:
    """Spread of the opponent colours plus 0.3 of their mean's distance from grey.

    Source: D. Hasler, S. Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003, eq. 1: M(3).
    """
    each = 1 / channels[0].size
    red, green, blue = (cv2.sumElems(channel)[0] for channel in channels)
    rg, rb, gb = (round(cv2.norm(one, other, cv2.NORM_L2SQR)) for one, other in combinations(channels, 2))
    means = (red - green) * each, ((red + green) / 2 - blue) * each
    # Squares of (R + G) / 2 - B from those of differences: (R + G - 2 B)^2 = 2 (R - B)^2 + 2 (G - B)^2 - (R - G)^2.
    squares = rg * each, (2 * rb + 2 * gb - rg) / 4 * each
    spread = sum(max(0.0, square - mean * mean) for square, mean in zip(squares, means, strict=True))
    return math.sqrt(spread) + 0.3 * math.hypot(*means)


def _grain(texture: npt.NDArray[np.int16]) -> float:
    """As `luma.noise`, by the median of the filter's response rather than its mean: texture and edges, where they are
    less than half of the frame, hardly count. Of every second row; NaN where there is none; 63 at most, where the
    response ends.

    Source: D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81 (3), 1994:
    sigma as the median absolute value of the finest detail over 0.6745.
    """
    if not texture.size:
        return math.nan
    counts = _histogram(np.asarray(cv2.convertScaleAbs(texture[::2]), np.uint8)).cumsum()
    half = counts[-1] / 2
    level = int(np.searchsorted(counts, half))
    below = counts[level - 1] if level else 0.0
    # Within the level's half-open bin, -1/2 to 1/2 around it, as if spread evenly: whole levels are too coarse.
    median = max(0.0, level - 0.5 + (half - below) / (counts[level] - below)) if level else 0.0
    return float(median / 0.6745 / 6)


def _impulses(grey: Pixels, median: Pixels) -> float:
    """Share of pixels that are not like those around them.

    Source: as switching median filters find them, T. Sun, Y. Neuvo, "Detail-preserving median based filters in image
    processing", Pattern Recognition Letters 15 (4), 1994.
    """
    return np.count_nonzero(cv2.absdiff(grey, median) >= IMPULSE) / grey.size


def _edges(small: Pixels) -> tuple[float, float]:
    """The share of pixels on edges, and how far gradients keep to one direction; NaN below 3x3 px.

    Sources: I. Sobel, G. Feldman, 1968, for the gradient; J. Bigun, G. H. Granlund, "Optimal orientation detection of
    linear symmetry", ICCV 1987: coherence, here of the whole frame's structure tensor; motion blur leaves the
    gradients across the motion.
    """
    if min(small.shape) < 3:
        return math.nan, math.nan
    x, y = (one[1:-1, 1:-1].astype(np.float32) for one in cv2.spatialGradient(small))  # eightfold
    share = np.count_nonzero(cv2.magnitude(x, y) >= 8 * EDGE) / x.size
    xx, yy, xy = (float(np.vdot(one, other)) for one, other in ((x, x), (y, y), (x, y)))
    return share, math.hypot(xx - yy, 2 * xy) / (xx + yy) if xx + yy else 0.0


def _local_contrast(small: Pixels) -> float:
    """Mean standard deviation within blocks of 8x8 px; what is left of a block at the far sides does not count.

    Source: E. Peli, "Contrast in complex images", JOSA A 7 (10), 1990: contrast of a picture is local.
    """
    height, width = (side // BLOCK_PX * BLOCK_PX for side in small.shape)
    if not height * width:
        return math.nan
    values = small[:height, :width].astype(np.float32)
    size = (width // BLOCK_PX, height // BLOCK_PX)
    mean, square = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (values, values * values))
    return float(np.sqrt(np.maximum(square - mean * mean, 0)).mean())


def _flat_share(steps: tuple[Pixels, Pixels]) -> float:
    """Coding that leaves out detail makes neighbours equal, as do black and clipped parts. NaN for one pixel.

    Source: as `luma.blockiness` (activity), here as how often there is none.
    """
    n = sum(one.size for one in steps)
    return 1 - sum(cv2.countNonZero(one) for one in steps if one.size) / n if n else math.nan
