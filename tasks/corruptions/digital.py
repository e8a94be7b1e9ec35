"""Elastic distortion, and the two still-image compressions of the benchmark. Formulas: imagecorruptions 1.1.2."""

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import reference
from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.blur import gaussian_kernel
from tasks.corruptions.interface import Corruption, Level, Pixels
from tasks.corruptions.seeds import Moment, Moments, streams

_ALPHA = 250.0  # the reference's alpha at strength 1
_SIGMA = 0.01  # of the height down the columns, of the width along the rows
_DRAWN = 0.005  # steps are drawn from +- this share of the height


def elastic_transform(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Each pixel shows a place nearby: uniform steps, softened and enlarged, one field for the clip."""
    height, width = frames.shape[1:3]
    strength_px = _ALPHA * level["alpha"] * _DRAWN * height

    def places(way: int) -> Array:
        # Without the strength: the same for all severities.
        steps = arrays.per_clip(
            moments,
            ("elastic_transform", way, height, width),
            lambda seeds: elastic_field(arrays, seeds, way, height, width),
        )
        start = np.arange((height, width)[way], dtype=np.float32).reshape((1, -1, 1) if way == 0 else (1, 1, -1))
        return steps * strength_px + arrays.array(start)

    return arrays.to_codes(arrays.sample(frames, places(0), places(1), "symmetric"))


def elastic_field(arrays: Arrays, seeds: NDArray[np.uint64], way: int, height: int, width: int) -> Array:
    """Uniform numbers in -1..1, softened by a Gaussian of 0.01 of the size; way 0 is down, 1 across."""
    drawn = arrays.array(((np.arange(65536) + 0.5) / 32768 - 1).astype(np.float32))
    noise = arrays.lut(arrays.field(streams(seeds, way), (height, width)), drawn)
    down, along = (gaussian_kernel(_SIGMA * size, truncate=3) for size in (height, width))
    return arrays.separable(noise, down, along, "symmetric")


def pixelate(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """Down by boxes to `scale` of the size, up again by nearest neighbours."""
    height, width = frames.shape[1:3]
    small = arrays.shrink(frames, max(1, int(height * level["scale"])), max(1, int(width * level["scale"])))
    return arrays.enlarge(small, height, width)


def jpeg_compression(frame: Pixels, level: Level, _moment: Moment) -> Pixels:
    """Coded as JPEG at `quality` by OpenCV's libjpeg, and decoded: Pillow's pixels, sooner."""
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, int(level["quality"])]
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality)
    return np.asarray(cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


ENTRIES = (
    Corruption(
        name="elastic_transform",
        family="digital",
        table={"alpha": (0.05, 0.065, 0.085, 0.1, 0.12)},
        measure="of 250",
        bounds=(0.0, 2.0),
        version=2,
        temporal="clip",
        stage="optics",
        source=reference.SOURCE,
        moves_pixels=True,
        benchmark="common",
        batch=elastic_transform,
        note="sigma 0.01 of the size",
    ),
    Corruption(
        name="pixelate",
        family="compression",
        table={"scale": (0.6, 0.5, 0.4, 0.3, 0.25)},
        measure="times",
        bounds=(0.01, 1.0),
        version=1,
        temporal="constant",
        stage="sensor",
        source=reference.SOURCE,
        benchmark="common",
        batch=pixelate,
        note="lower is worse",
    ),
    Corruption(
        name="jpeg_compression",
        family="compression",
        table={"quality": (25, 18, 15, 10, 7)},
        measure="libjpeg quality",
        bounds=(1, 95),
        whole_levels=True,
        version=1,
        temporal="constant",
        stage="codec",
        source=reference.SOURCE,
        benchmark="common",
        frame=jpeg_compression,
        note="lower is worse",
    ),
)
