"""Digital processing of the benchmark, and its two still-image compressions. Formulas: imagecorruptions 1.1.2."""

from io import BytesIO

import numpy as np

from tasks.corruptions import reference
from tasks.corruptions.interface import Corruption, Level, Moment, Pixels


def contrast(frame: Pixels, level: Level, _moment: Moment) -> Pixels:
    """Deviations from each channel's mean, times `factor`."""
    x = frame / 255.0
    means = np.mean(x, axis=(0, 1), keepdims=True)
    # Cut, not rounded: as the reference.
    return np.asarray((np.clip((x - means) * level.strength + means, 0, 1) * 255).astype(np.uint8))


def pixelate(frame: Pixels, level: Level, _moment: Moment) -> Pixels:
    """Down by boxes to `scale` of the size, up again by nearest neighbours."""
    from PIL import Image

    height, width = frame.shape[:2]
    small = (max(1, int(width * level.strength)), max(1, int(height * level.strength)))
    image = Image.fromarray(frame).resize(small, Image.Resampling.BOX)
    return np.array(image.resize((width, height), Image.Resampling.NEAREST))


def jpeg_compression(frame: Pixels, level: Level, _moment: Moment) -> Pixels:
    """Coded as JPEG at `quality` by Pillow's libjpeg, and decoded."""
    from PIL import Image

    coded = BytesIO()
    Image.fromarray(frame).save(coded, "JPEG", quality=int(level.strength))
    with Image.open(coded) as image:
        return np.array(image)


ENTRIES = (
    Corruption(
        name="contrast",
        family="digital",
        parameter="factor",
        measure="times",
        levels=(0.4, 0.3, 0.2, 0.1, 0.05),
        bounds=(0.0, 10.0),
        version=1,
        temporal="constant",
        stage="processing",
        source=reference.SOURCE,
        benchmark="common",
        frame=contrast,
        note="lower is worse",
    ),
    Corruption(
        name="elastic_transform",
        family="digital",
        parameter="alpha",
        measure="of 250",
        levels=(0.05, 0.065, 0.085, 0.1, 0.12),
        version=1,
        temporal="clip",
        stage="lens",
        source=reference.SOURCE,
        moves_pixels=True,
        benchmark="common",
        frame=reference.through("elastic_transform"),
        note="sigma 0.01 of the size",
    ),
    Corruption(
        name="saturate",
        family="digital",
        parameter="factor",
        measure="times",
        levels=(0.3, 0.1, 2.0, 5.0, 20.0),
        version=1,
        temporal="constant",
        stage="processing",
        source=reference.SOURCE,
        benchmark="validation",
        frame=reference.through("saturate"),
        note="severities 1 and 2 take colour away, 3 to 5 add some: no curve over strength",
    ),
    Corruption(
        name="pixelate",
        family="compression",
        parameter="scale",
        measure="times",
        levels=(0.6, 0.5, 0.4, 0.3, 0.25),
        bounds=(0.01, 1.0),
        version=1,
        temporal="constant",
        stage="processing",
        source=reference.SOURCE,
        benchmark="common",
        frame=pixelate,
        note="lower is worse",
    ),
    Corruption(
        name="jpeg_compression",
        family="compression",
        parameter="quality",
        measure="libjpeg quality",
        levels=(25, 18, 15, 10, 7),
        bounds=(1, 95),
        whole_levels=True,
        version=1,
        temporal="constant",
        stage="coding",
        source=reference.SOURCE,
        benchmark="common",
        frame=jpeg_compression,
        note="lower is worse",
    ),
)
