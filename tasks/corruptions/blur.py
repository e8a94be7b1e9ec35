"""Blur of the benchmark, as imagecorruptions 1.1.2 defines it, in float32: one code away at most."""

import math

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions import reference
from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level
from tasks.corruptions.seeds import Moments, streams, uniform

_GRID_PX = 8  # the reference's array of a kernel reaches so far from its centre, and further for larger disks only


def gaussian_blur(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """A Gaussian of `sigma_px`."""
    return arrays.to_codes(_softened(arrays, frames, level["sigma_px"]))


def _softened(arrays: Arrays, frames: Array, sigma_px: float) -> Array:
    kernel = gaussian_kernel(sigma_px, truncate=4)
    return arrays.separable(frames, kernel, kernel, "edge")


def gaussian_kernel(sigma_px: float, *, truncate: float) -> NDArray[np.float64]:
    """A Gaussian as scipy's, cut off at the pixel nearest to `truncate` sigmas; of sum 1.

    Example:
        >>> gaussian_kernel(0.5, truncate=4).round(3).tolist()
        [0.0, 0.106, 0.787, 0.106, 0.0]
    """
    reach = int(truncate * sigma_px + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma_px, 1e-9)) ** 2)
    return np.asarray(kernel / kernel.sum())


def defocus_blur(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """A disk of `radius_px`, its edge softened by a Gaussian of `edge_sigma_px`.

    Where the disk reaches the end of the reference's array of a kernel (radius 8, and all above), the softening mirrors
    what lies inside instead of spilling over: its sum is a little above 1, and frames become 1 % brighter. So here.
    """
    radius_px, edge_sigma_px = level["radius_px"], level["edge_sigma_px"]
    soft = edge_kernel(radius_px, edge_sigma_px)
    half_widths = disk(radius_px)
    share = 1 / (2 * half_widths + 1).sum()
    blurred = arrays.run_sums(frames, half_widths.tolist(), "reflect")
    steps, weights = _rim(radius_px, half_widths, float(soft[len(soft) // 2 + 1]))
    if steps:
        blurred += arrays.shifted_sum(frames, steps, weights, "reflect")
    return arrays.to_codes(arrays.separable(blurred, soft * share, soft, "reflect"))


def disk(radius_px: float) -> NDArray[np.int64]:
    """How far a disk reaches to each side in its rows, top to bottom: pixels with x^2 + y^2 <= radius^2.

    Example:
        >>> disk(3).tolist()
        [0, 2, 2, 3, 2, 2, 0]
    """
    rows = np.arange(-int(radius_px), int(radius_px) + 1)
    return np.asarray(np.sqrt(radius_px**2 - rows**2 + 1e-9).astype(np.int64))


def edge_kernel(radius_px: float, sigma_px: float) -> NDArray[np.float64]:
    """The reference's softening: three pixels wide up to radius 8, five above."""
    side = np.arange(-1, 2) if radius_px <= _GRID_PX else np.arange(-2, 3)
    kernel = np.exp(-0.5 * (side / max(sigma_px, 1e-3)) ** 2)
    return np.asarray(kernel / kernel.sum())


def _rim(radius_px: float, half_widths: NDArray[np.int64], spill: float) -> tuple[list[tuple[int, int]], list[float]]:
    """What the end of the reference's array does to the disk before it is softened (see `defocus_blur`).

    On each of the four sides the column before the last one comes again in the last one, and what the last one would
    spill is gone, both times the softening's share of the next pixel. Each is a run of equal weights; three pixels
    stand for it, within 0.1 of 255.
    """
    grid_px, reach = max(_GRID_PX, int(radius_px)), len(half_widths) // 2
    steps, weights = [], []
    for place, column, sign in ((grid_px, grid_px - 1, 1), (grid_px + 1, grid_px, -1)):
        if column > reach:
            continue
        half = int(half_widths[reach + column])
        third = (2 * half + 1) / 3
        along = (-round(third), 0, round(third)) if half else (0,)
        for offset in along:
            weight = sign * spill * (2 * half + 1) / len(along)
            for step in ((place, offset), (-place, offset), (offset, place), (offset, -place)):
                steps.append(step)
                weights.append(weight)
    return steps, weights


def glass_blur(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Pixels take the value of a near one, between two Gaussians of `sigma_px`: as through patterned glass.

    Which one, belongs to the clip. The reference's swap of two NumPy views is in truth a copy (the second value is
    overwritten before it is read); so it is here.
    """
    height, width = frames.shape[1:3]
    reach_px, passes = round(level["reach_px"]), round(level["passes"])
    origins = arrays.per_clip(
        moments,
        ("glass_blur", height, width, reach_px, passes),
        lambda seeds: glass_origins(arrays, seeds, height, width, reach_px=reach_px, passes=passes),
    )
    soft = arrays.to_codes(_softened(arrays, frames, level["sigma_px"]))
    return arrays.to_codes(_softened(arrays, arrays.gather(soft, origins), level["sigma_px"]))


def glass_origins(
    arrays: Arrays, seeds: NDArray[np.uint64], height: int, width: int, *, reach_px: int, passes: int
) -> Array:
    """Which pixel each pixel shows, y W + x, whole numbers (N, height, width).

    The reference visits pixels from the last to the first, and copies to each the one at a random step, -reach to
    reach - 1 px down and across. A pixel that takes from one visited earlier takes what that one has taken: the chain
    from pixel to pixel is followed to its end, by all pixels at once; each step leaves less than half of them going.
    """
    count = height * width
    steps = (np.arange(65536) * (2 * reach_px) >> 16) - reach_px
    across, down = (arrays.array(table.astype(np.int32)) for table in (steps, steps * width))
    bottom, right = (max(0, size - reach_px + 1) for size in (height, width))
    here = arrays.array(np.arange(len(seeds) * count))
    origin = here
    for turn in range(passes):
        move, downwards = (
            arrays.lut(arrays.field(streams(seeds, 2 * turn + way), (height, width)), table)
            for way, table in enumerate((across, down))
        )
        move += downwards
        # What lies next to the frame's edges is not visited.
        move[:, : reach_px + 1] = move[:, bottom:] = 0
        move[:, :, : reach_px + 1] = move[:, :, right:] = 0
        source = here + move.reshape(-1)
        # Pixels further on are visited earlier: who takes from one of them, takes what that one has taken.
        chained = move.reshape(-1) > 0
        taking = arrays.places(chained)
        nearer = source[taking]
        going = arrays.places(chained[nearer])
        while len(going):
            further = source[nearer[going]]
            nearer[going] = further
            going = going[arrays.places(chained[further])]
        source[taking] = source[nearer]
        origin = origin[source] if turn else source
    origin = origin.reshape(len(seeds), height, width)
    origin -= arrays.array(np.arange(len(seeds)) * count).reshape(len(seeds), 1, 1)
    return origin


def motion_blur(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """One-sided, as a shutter that opens on a moving camera: half a Gaussian of `sigma_px`, cut off at 2 x `radius_px`.

    The direction, within 45 degrees of the horizontal, belongs to the clip.
    """
    angles_deg = uniform(moments.clip_seeds, 0) * 90 - 45
    trails = [
        motion_trail(angle, level["radius_px"], level["sigma_px"], *frames.shape[1:3]) for angle in angles_deg.tolist()
    ]
    steps, weights = (np.stack(part) for part in zip(*trails, strict=True))
    return arrays.to_codes(arrays.trails(frames, steps, weights, "edge"))


def motion_trail(
    angle_deg: float, radius_px: float, sigma_px: float, height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What a pixel gathers: steps (K, 2) down and across in px, weights (K,), 0 from where a step leaves the frame."""
    places = np.arange(2 * round(radius_px) + 1)
    weights = np.exp(-(places**2) / (2 * max(sigma_px, 1e-9) ** 2))
    weights /= weights.sum()
    angle = math.radians(angle_deg)
    # Rounded half down, as the reference does.
    steps = np.ceil(places[:, None] * np.array([math.sin(angle), math.cos(angle)])[None] - 0.5).astype(np.int64)
    outside = np.logical_or.accumulate((np.abs(steps) >= (height, width)).any(axis=1))
    steps[outside], weights[outside] = 0, 0
    return steps, weights


def zoom_blur(arrays: Arrays, frames: Array, level: Level, _moments: Moments) -> Array:
    """The mean of the frame and of its enlargements up to `zoom`, `step` by `step`: a camera that moves in."""
    height, width = frames.shape[1:3]
    layers = zooms(level["zoom"], level["step"])
    views = []
    for zoom in layers[1:].tolist():
        # scipy's zoom: the crop's first and last pixels stay the first and last ones, also where it is cut afterwards.
        crop = [math.ceil(size / zoom) for size in (height, width)]
        down, across = ((kept - 1) / (round(kept * zoom) - 1) for kept in crop)
        views.append(((height - crop[0]) // 2, (width - crop[1]) // 2, down, across))
    total = arrays.stretch_sum(frames, 2, views)  # twice the frame: itself, and its enlargement by 1
    total *= 1 / (len(layers) + 1)
    return arrays.to_codes(total)


def zooms(zoom: float, step: float) -> NDArray[np.float64]:
    """The enlargements, from 1 to `zoom`: at the table's the reference's `np.arange(1, stop, step)`, to the last bit.

    Example:
        >>> zooms(1.11, 0.01).round(2).tolist()[-2:], zooms(1.05, 0.03).round(3).tolist()
        ([1.1, 1.11], [1.0, 1.025, 1.05])
    """
    count = max(1, round((zoom - 1) / step))
    # Rounded: as the number that the table has, where it is one.
    pace = round((zoom - 1) / count, 9)
    return np.arange(1, 1 + (count + 0.5) * pace, pace) if pace else np.ones(1)


ENTRIES = (
    Corruption(
        name="defocus_blur",
        family="blur",
        table={"radius_px": (3, 4, 6, 8, 10), "edge_sigma_px": (0.1, 0.5, 0.5, 0.5, 0.5)},
        measure="px",
        bounds=(0.5, 200),
        version=2,
        temporal="constant",
        stage="optics",
        source=reference.SOURCE,
        benchmark="common",
        batch=defocus_blur,
        note="from 8 px on frames become 1 % brighter, as the reference's",
    ),
    Corruption(
        name="glass_blur",
        family="blur",
        table={"sigma_px": (0.7, 0.9, 1.0, 1.1, 1.5), "reach_px": (1, 2, 2, 3, 4), "passes": (2, 1, 3, 2, 2)},
        measure="px",
        bounds=(0.1, 20),
        version=2,
        temporal="clip",
        stage="optics",
        source=reference.SOURCE,
        moves_pixels=True,
        benchmark="common",
        batch=glass_blur,
        rises=False,  # from severity 3 to 4 a pass less
        note="reach (1 2 2 3 4 px) and passes (2 1 3 2 2) change with severity too",
    ),
    Corruption(
        name="motion_blur",
        family="blur",
        table={"sigma_px": (3, 5, 8, 12, 15), "radius_px": (10, 15, 15, 15, 20)},
        measure="px",
        bounds=(0.1, 200),
        version=2,
        temporal="clip",
        stage="optics",
        source=reference.SOURCE,
        benchmark="common",
        batch=motion_blur,
        note="a direction within 45 degrees of the horizontal, one for the clip; radius 10 15 15 15 20 px",
    ),
    Corruption(
        name="zoom_blur",
        family="blur",
        # The largest zoom that NumPy's arange(1, stop, step) of the reference gives: 1.11 at severity 1 by rounding.
        table={"zoom": (1.11, 1.15, 1.2, 1.24, 1.3), "step": (0.01, 0.01, 0.02, 0.02, 0.03)},
        measure="times",
        bounds=(1.0, 4.0),
        version=3,
        temporal="constant",
        stage="optics",
        source=reference.SOURCE,
        moves_pixels=True,
        rises=False,  # from severity 2 to 3, and 4 to 5, fewer layers
        benchmark="common",
        batch=zoom_blur,
        note="the mean over 12 16 11 13 11 enlargements",
    ),
    Corruption(
        name="gaussian_blur",
        family="blur",
        table={"sigma_px": (1, 2, 3, 4, 6)},
        measure="px",
        bounds=(0.1, 100),
        version=2,
        temporal="constant",
        stage="optics",
        source=reference.SOURCE,
        benchmark="validation",
        batch=gaussian_blur,
    ),
)
