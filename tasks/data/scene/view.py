"""One moment through one camera: the picture and everything that is known about it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.data.scene import optics, raster, textures, world
from tasks.data.scene.backdrop import Backdrop, backdrop, rays, sunlit
from tasks.data.scene.bodies import body
from tasks.data.scene.traffic import Mover, Snapshot, positions
from tasks.data.scene.world import Camera, Light

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

LAMP_COLOURS: Final = {
    "pedestrians_go": (1.0, 0.16, 0.12),
    "caution": (1.0, 0.72, 0.10),
    "vehicles_go": (0.12, 1.0, 0.50),
}
_HEAD_M: Final = (0.66, 1.80)  # width and height of a signal's head
_HEAD_Z_M: Final = 3.7


@dataclass(frozen=True)
class Thing:
    """A road user as this frame shows it."""

    mover: Mover
    mask: npt.NDArray[np.bool_]  # visible pixels, (H, W)
    occlusion: float  # hidden share of what lies inside the frame
    truncation: float  # share outside the frame


@dataclass(frozen=True)
class View:
    """A rendered moment before exposure, at subsample resolution, and its truth at frame resolution."""

    colour: Bytes  # (2H, 2W, 3)
    glow: Bytes
    depth_m: Floats  # (2H, 2W) along the optical axis, inf for the sky
    range_m: Floats  # (2H, 2W) along each ray
    semantic: Bytes  # (H, W)
    things: list[Thing]


def look(camera: Camera, time_of_day: str, snapshot: Snapshot, *, seed: int) -> View:
    """Render `snapshot` through `camera`; `seed` is the scene's (its textures)."""
    light = world.LIGHTS[time_of_day]
    still = backdrop(camera, time_of_day, seed)
    canvas = raster.Canvas(
        still.colour.copy(),
        still.inverse_depth.copy(),
        still.semantic.copy(),
        still.glow.copy(),
        np.zeros(still.semantic.shape, np.uint8),
    )
    movers = snapshot.movers
    sunlight = _sun_share(movers, light)
    _light_ground(canvas, camera, still, movers, sunlight, light)
    grain = textures.noise_tile(seed + 11)
    toward_sun = np.array(light.sun, np.float32) / np.float32(np.linalg.norm(light.sun))
    covered: list[tuple[int, int]] = []
    for number, (mover, sun) in enumerate(zip(movers, sunlight, strict=True)):
        x, y = mover.position
        lamp = world.lamp_light(np.array([x]), np.array([y]))[0]
        shade = raster.Shade(
            ambient=np.array(light.ambient_rgb, np.float32) + lamp * np.array(light.lamp_rgb, np.float32),
            sun=sun * np.array(light.sun_rgb, np.float32),
            toward_sun=toward_sun,
            sky=np.array(light.horizon_rgb, np.float32),
            lamps_on=light.lamps_on,
        )
        sprite = raster.paint(
            body(mover.kind, mover.style, mover.gait), camera, (x, y), mover.heading, shade, grain[mover.number :, :]
        )
        if sprite is None:
            covered.append((0, 0))
            continue
        covered.append((raster.merge(canvas, sprite, number), sprite.total))
    _signals(canvas, camera, snapshot.phase, light)
    owners = raster.resolve_owners(canvas.owner)
    with np.errstate(divide="ignore"):
        depth = np.where(canvas.inverse_depth > 0, 1 / canvas.inverse_depth, np.inf).astype(np.float32)
    return View(
        colour=canvas.colour,
        glow=canvas.glow,
        depth_m=depth,
        range_m=depth * _ray_lengths(camera),
        semantic=raster.resolve_semantic(canvas.semantic),
        things=_things(movers, covered, canvas.owner, owners),
    )


@lru_cache(maxsize=4)
def _ray_lengths(camera: Camera) -> Floats:
    return np.asarray(np.linalg.norm(rays(camera), axis=2), np.float32)


def _things(movers: list[Mover], covered: list[tuple[int, int]], subsamples: Bytes, owners: Bytes) -> list[Thing]:
    seen = np.bincount(subsamples.ravel(), minlength=len(movers) + 1)
    things = []
    for number, (mover, (inside, total)) in enumerate(zip(movers, covered, strict=True)):
        if inside == 0 or seen[number + 1] == 0:
            continue
        mask = owners == number + 1
        if mask.any():
            things.append(Thing(mover, mask, 1 - seen[number + 1] / inside, 1 - inside / total))
    return things


def _sun_share(movers: list[Mover], light: Light) -> Floats:
    """How much of the sun reaches each mover: four points of it, (N,)."""
    if not movers:
        return np.zeros(0, np.float32)
    places = positions(movers)
    points = [[x + a, y + b, 0.8] for x, y in places for a, b in ((0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, -0.5))]
    return np.asarray(sunlit(np.array(points, np.float32), light).reshape(-1, 4).mean(1), np.float32)


def _footprint(mover: Mover, *, grow: float = 0.0) -> npt.NDArray[np.float64]:
    (x, y), (east, north) = mover.position, mover.heading
    ahead, aside = mover.length_m / 2 + grow, mover.kind.width_m * mover.style.scale / 2 + grow
    return np.array(
        [
            [x + a * ahead * east + b * aside * north, y + a * ahead * north - b * aside * east, 0.0]
            for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
        ]
    )


def _light_ground(
    canvas: raster.Canvas, camera: Camera, still: Backdrop, movers: list[Mover], sunlight: Floats, light: Light
) -> None:
    """Darken the ground under and beside road users, lighten it before headlights; changes `canvas.colour`."""
    gain = np.ones((world.HEIGHT_PX, world.WIDTH_PX), np.float32)
    sun = np.array(light.sun) / light.sun[2]
    for mover, share in zip(movers, sunlight, strict=True):
        base = _footprint(mover)
        if share > 0:
            top = base + np.array([0, 0, mover.kind.height_m * mover.style.scale])
            _fill(gain, camera, np.concatenate([base, top - top[:, 2:] * sun]), 1 - 0.5 * float(share))
        _fill(gain, camera, _footprint(mover, grow=0.12), 0.45)
    if light.lamps_on:
        for mover in movers:
            if mover.kind.moves == "lane":
                _fill(gain, camera, _beam(mover), 2.6 if light.sun_rgb == (0, 0, 0) else 1.5)
    soft = cv2.GaussianBlur(gain, (0, 0), 1.2)
    fine = cv2.resize(soft, canvas.colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    changed = still.ground & (np.abs(fine - 1) > 0.01)
    canvas.colour[changed] = (canvas.colour[changed] * fine[changed][:, None]).clip(0, 255).astype(np.uint8)


def _beam(mover: Mover) -> npt.NDArray[np.float64]:
    (x, y), (east, north) = mover.position, mover.heading
    front = mover.length_m / 2
    return np.array(
        [
            [x + (front + a) * east + b * north, y + (front + a) * north - b * east, 0.0]
            for a, b in ((0.4, -0.8), (0.4, 0.8), (7.0, 1.7), (7.0, -1.7))
        ]
    )


def _fill(gain: Floats, camera: Camera, ground_points: npt.NDArray[np.float64], value: float) -> None:
    pixels, depth = camera.project(ground_points)
    if depth.min() < 1.0:
        return
    hull = cv2.convexHull((pixels / world.SUBSAMPLES).astype(np.float32))
    cv2.fillConvexPoly(gain, np.rint(hull * 16).astype(np.int32), value, shift=4)


def _signals(canvas: raster.Canvas, camera: Camera, phase: str, light: Light) -> None:
    """The signals' heads, turned to the camera: three lamps on a mast, the phase's own alight."""
    for x, y in world.MASTS:
        pixels, depth = camera.project(np.array([[x, y, _HEAD_Z_M]]))
        if depth[0] < 3:
            continue
        scale = camera.focal_px / depth[0]
        half = np.array(_HEAD_M) / 2 * scale
        _plate(canvas, pixels[0], half, 1 / (depth[0] - 0.3), (0.05, 0.05, 0.055), (0.62, 0.60, 0.56), light)
        for place, name in enumerate(("pedestrians_go", "caution", "vehicles_go")):
            centre = pixels[0] + np.array([0, (place - 1) * 0.58 * scale])
            colour = np.array(LAMP_COLOURS[name]) * (255 if name == phase else 34)
            _disc(canvas, centre, 0.245 * scale, 1 / (depth[0] - 0.32), colour, shines=name == phase)


def _plate(
    canvas: raster.Canvas,
    centre: npt.NDArray[np.float64],
    half: npt.NDArray[np.float64],
    inverse_depth: float,
    colour: tuple[float, float, float],
    border: tuple[float, float, float],
    light: Light,
) -> None:
    bright = np.array(light.ambient_rgb) + 0.6 * np.array(light.sun_rgb) + 0.5 * np.array(light.lamp_rgb)
    for grow, paint in ((0.10 * half[0] + 0.6, border), (0.0, colour)):
        low = np.rint(centre - half - grow).astype(int).clip(0)
        high = np.rint(centre + half + grow).astype(int).clip(0)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        nearer = canvas.inverse_depth[window] <= np.float32(inverse_depth)
        canvas.colour[window][nearer] = (np.array(paint) * bright * 255).clip(0, 255).astype(np.uint8)
        canvas.inverse_depth[window][nearer] = inverse_depth
        canvas.semantic[window][nearer] = world.FURNITURE
        canvas.glow[window][nearer] = 0
        canvas.owner[window][nearer] = 0


def _disc(
    canvas: raster.Canvas,
    centre: npt.NDArray[np.float64],
    radius: float,
    inverse_depth: float,
    colour: npt.NDArray[np.float64],
    *,
    shines: bool,
) -> None:
    low = np.floor(centre - radius - 1).astype(int).clip(0)
    high = np.ceil(centre + radius + 2).astype(int).clip(0)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    rows, columns = np.ogrid[window]
    inside = (columns + 0.5 - centre[0]) ** 2 + (rows + 0.5 - centre[1]) ** 2 <= radius**2
    nearer = inside[: canvas.owner[window].shape[0], : canvas.owner[window].shape[1]]
    nearer = nearer & (canvas.inverse_depth[window] <= np.float32(inverse_depth))
    canvas.colour[window][nearer] = colour.clip(0, 255).astype(np.uint8)
    canvas.inverse_depth[window][nearer] = inverse_depth
    if shines:
        canvas.glow[window][nearer] = colour.clip(0, 255).astype(np.uint8)


def picture(view: View, camera: Camera, time_of_day: str, *, gain: float, rng: np.random.Generator) -> Bytes:
    """`view` as the camera's sensor delivers it: uint8 RGB (192, 320, 3)."""
    grain = world.LIGHTS[time_of_day].grain
    return optics.expose(view.colour, view.glow, tint=camera.tint, gain=gain, grain=grain, rng=rng)
