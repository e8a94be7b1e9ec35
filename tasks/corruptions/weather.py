"""Weather: the benchmark's snow, frost, fog and spatter. Definitions: imagecorruptions 1.1.2."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import frosted, reference
from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level
from tasks.corruptions.plasma import plasma
from tasks.corruptions.seeds import Moments, streams, uniform
from tasks.corruptions.spattered import normal_on, spatter

# Snow. From frame to frame a near flake falls by two standard deviations of its streak, a far one more slowly.
_STREAKS_PER_FRAME = 2.0
_FAR_SPEED = 0.6  # of the near flakes'
_FINEST_FLAKE_PX = 2.0  # of all severities: their flakes come from one field
# Fog. It drifts by this share of the frame's height from frame to frame: at 25 frames a second through it in 80 s.
_DRIFT = 0.0005


def snow(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Whitened, and two sheets of flakes added: a field's peaks, smeared along the wind, and the same turned by 180.

    The field of a clip repeats for ever; each frame sees it through a window that moves against the fall, more slowly
    for the turned sheet. Frame 0 sees both at one place: the reference's picture.
    """
    height, width, channels = frames.shape[1:]
    flakes = arrays.per_clip(
        moments, ("snow", level, height, width), lambda seeds: _flakes(arrays, seeds, level, height, width)
    )
    tall, wide = (_grid(side, level["flake_px"])[1] for side in (height, width))
    wind = np.deg2rad(uniform(moments.clip_seeds, 1) * 90 - 135)
    upwind = np.stack([np.sin(wind), np.cos(wind)], axis=-1)  # (N, 2): rows and columns
    travelled_px = upwind * (moments.frame_indices * _STREAKS_PER_FRAME * level["sigma_px"])[:, None]
    steps, weights = streak(upwind, level["radius_px"], level["sigma_px"])

    def sheet(top_left_px: NDArray[np.float64]) -> Array:
        top, left = np.rint(top_left_px).astype(np.int64).T
        seen = arrays.window(flakes, top, left, height=tall, width=wide)
        smeared = arrays.trails(seen, steps, [255 * weight for weight in weights], "edge")[:, :height, :width]
        return arrays.to_codes(smeared + 0.5)

    near = sheet(travelled_px)
    far = sheet(-travelled_px * _FAR_SPEED) if moments.frame_indices.any() else near  # a still image is a frame 0
    added = arrays.add_codes(near, arrays.turned(far))
    # c x + (1 - c) max(x, 1.5 luma + 0.5) + flakes, as the larger one of its two cases: codes cut the same.
    kept = 1 - level["whitening"]
    white = arrays.luma(frames)
    white *= 1.5 * level["whitening"]
    white += 127.5 * level["whitening"]
    white += added
    whitened = arrays.to_codes(arrays.mix(frames, kept, arrays.spread(white, channels), 1.0))
    return arrays.maximum(arrays.add_codes(frames, arrays.spread(added, channels)), whitened)


def _flakes(arrays: Arrays, seeds: NDArray[np.uint64], level: Level, height: int, width: int) -> Array:
    """Peaks of a field of N(loc, scale), one value in `flake_px` px and straight lines between, (U, H', W'), 0..1.

    It is larger than a frame, and its last row and column go over into the first.
    """
    # All severities read the same numbers, those of small flakes more of them.
    finest_px = max(1.0, _FINEST_FLAKE_PX * level.pixel_scale)
    words = arrays.field(streams(seeds, 0), tuple(_grid(side, finest_px)[0] + 1 for side in (height, width)))
    grids = [_grid(side, level["flake_px"]) for side in (height, width)]
    # The reference zooms as scipy does: the corners of both grids lie on each other.
    steps = [(cells - 1) / (length_px - 1) for cells, length_px in grids]
    tall, wide = (cells + 1 for cells, _ in grids)
    values = arrays.lut(words[:, :tall, :wide], normal_on(arrays))
    start = np.zeros(len(seeds), dtype=np.int64)
    fine = arrays.stretch(
        arrays.window(values, start, start, height=tall + 1, width=wide + 1),
        height=round(tall / steps[0]),
        width=round(wide / steps[1]),
        top=0.0,
        left=0.0,
        step=steps[0],
        step_across=steps[1],
    )
    fine *= level["scale"]
    fine += level["loc"]
    return arrays.clip(fine * (fine >= level["threshold"]), 0.0, 1.0)


def _grid(side_px: int, flake_px: float) -> tuple[int, int]:
    """How many values lie along a side, and how many px they are enlarged to: at least the side."""
    flake_px = max(1.0, flake_px)
    cells = max(2, math.ceil(side_px / flake_px))
    return cells, max(side_px, round(cells * flake_px))


def streak(
    towards: NDArray[np.float64], radius_px: float, sigma_px: float
) -> tuple[NDArray[np.int64], Sequence[float]]:
    """The reference's motion blur: steps (N, K, 2) along directions (N, 2), and half a Gaussian's K weights, sum 1."""
    along = np.arange(2 * max(1, round(radius_px)) + 1)
    weights = np.exp(-(along**2) / (2 * max(sigma_px, 1e-3) ** 2))
    steps = np.ceil(towards[:, None, :] * along[None, :, None] - 0.5)
    return steps.astype(np.int64), (weights / weights.sum()).tolist()


def fog(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """A plasma field times `strength` is added; the brightest value stays. The field drifts slowly with the clip."""
    height, width, channels = frames.shape[1:]
    size = 1 << (max(height, width) - 1).bit_length()
    thickness = arrays.per_clip(
        moments,
        ("fog", level["decay"], size),
        lambda seeds: plasma(arrays, seeds, size=size, decay=level["decay"]),
    )
    wind = 2 * np.pi * uniform(moments.clip_seeds, 1)
    drifted_px = moments.frame_indices * _DRIFT * height
    top, left = (np.rint(drifted_px * along(wind)).astype(np.int64) for along in (np.sin, np.cos))
    seen = arrays.spread(arrays.window(thickness, top, left, height=height, width=width), channels)
    fog_white = 255 * level["strength"]
    white = arrays.highest(frames)
    hazy = arrays.mix(frames, 1.0, seen, fog_white)
    hazy *= white / (white + max(fog_white, 1e-6))
    return arrays.to_codes(hazy)


def frost(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """A cutting of a photograph of ice is added to the dimmed frame."""
    height, width, channels = frames.shape[1:]
    ice = arrays.per_clip(
        moments, ("frost", height, width), lambda seeds: arrays.array(frosted.cuttings(seeds, height, width))
    )
    if channels == 1:
        ice = arrays.luma(ice)[..., None]
    return arrays.to_codes(arrays.mix(frames, level["image_weight"], ice, level["ice"]))


ENTRIES = (
    Corruption(
        name="snow",
        family="weather",
        table={
            "whitening": (0.2, 0.3, 0.3, 0.35, 0.45),
            "loc": (0.1, 0.2, 0.55, 0.55, 0.55),
            "scale": (0.3, 0.3, 0.3, 0.3, 0.3),
            "flake_px": (3, 2, 4, 4.5, 2.5),
            "threshold": (0.5, 0.5, 0.9, 0.85, 0.85),
            "radius_px": (10, 12, 12, 12, 12),
            "sigma_px": (4, 4, 8, 8, 12),
        },
        measure="share of the picture",
        bounds=(0.0, 1.0),
        version=2,
        temporal="falling",
        stage="scene",
        source=reference.SOURCE,
        batch=snow,
        rises=False,
        benchmark="common",
        note="size, density and blur of the flakes change with severity too; published curves are not monotone here",
    ),
    Corruption(
        name="frost",
        family="weather",
        table={"image_weight": (1.0, 0.8, 0.7, 0.65, 0.6), "ice": (0.4, 0.6, 0.7, 0.7, 0.75)},
        measure="share of the picture",
        bounds=(0.0, 1.0),
        version=2,
        temporal="clip",
        stage="optics",
        source=reference.SOURCE,
        batch=frost,
        rises=False,  # from severity 3 to 4 the frame is dimmed under equal ice: a little less of both
        benchmark="common",
        note="lower is worse; ice added at 0.4 0.6 0.7 0.7 0.75; as in the reference, the sixth picture is never used",
    ),
    Corruption(
        name="fog",
        family="weather",
        table={"strength": (1.5, 2.0, 2.5, 2.5, 3.0), "decay": (2.0, 2.0, 1.7, 1.5, 1.4)},
        measure="times white",
        bounds=(0.0, 20.0),
        version=2,
        temporal="clip",
        stage="scene",
        source=reference.SOURCE,
        batch=fog,
        benchmark="common",
        note="the fog's grain changes with severity too (decay 2 2 1.7 1.5 1.4); it knows no depth; it drifts slowly",
    ),
    Corruption(
        name="spatter",
        family="weather",
        table={
            "drop_sigma_px": (4, 3, 2, 1, 1),
            "loc": (0.65, 0.65, 0.65, 0.65, 0.67),
            "scale": (0.3, 0.3, 0.3, 0.3, 0.4),
            "threshold": (0.69, 0.68, 0.68, 0.65, 0.65),
            "water": (0.6, 0.6, 0.5, 0, 0),
            "mud_sigma_px": (0, 0, 0, 1.5, 1.5),
        },
        measure="px",
        bounds=(0.5, 100.0),
        version=2,
        temporal="clip",
        stage="optics",
        source=reference.SOURCE,
        batch=spatter,
        rises=False,
        benchmark="validation",
        note="water at severities 1 to 3, mud at 4 and 5; drops are made on the host, once for a clip",
    ),
)
