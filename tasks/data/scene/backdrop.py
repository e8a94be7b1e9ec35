"""The still part of a view, cast ray by ray: colour, inverse depth and semantic class of every subsample."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from tasks.data.scene import textures, world
from tasks.data.scene.world import Box, Camera, Crown, Light

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Backdrop:
    """A camera's view of the empty junction at one hour, at subsample resolution (384, 640)."""

    colour: Bytes  # (H, W, 3), lit
    inverse_depth: Floats  # 1/m along the optical axis, 0 for the sky
    semantic: Bytes
    glow: Bytes  # (H, W, 3): what shines by itself
    ground: npt.NDArray[np.bool_]  # (H, W): where shadows fall


@dataclass
class _Hits:
    """The nearest surface of each ray so far."""

    depth: Floats
    surface: npt.NDArray[np.int16]  # -1 sky, 0 ground, then boxes, then crowns
    normal: Floats


def rays(camera: Camera, *, step: int = 1) -> Floats:
    """Directions through the subsample centres with unit depth, (H / step, W / step, 3)."""
    height, width = world.SUBSAMPLES * world.HEIGHT_PX, world.SUBSAMPLES * world.WIDTH_PX
    u = (np.arange(0, width, step) + step / 2 - width / 2) / camera.focal_px
    v = (np.arange(0, height, step) + step / 2 - height / 2) / camera.focal_px
    right, down, forward = camera.axes
    return np.asarray(forward + v[:, None, None] * down + u[None, :, None] * right, np.float32)


@lru_cache(maxsize=16)
def backdrop(camera: Camera, time_of_day: str, seed: int) -> Backdrop:
    """The empty junction; the same arguments give the same pixels in any process."""
    light = world.LIGHTS[time_of_day]
    directions = rays(camera)
    origin = np.array(camera.position, np.float32)
    hits = _cast(camera)
    points = origin + directions * np.where(np.isfinite(hits.depth), hits.depth, 0)[..., None]
    albedo, semantic, glow = _surfaces(points, hits, seed, light)
    colour = albedo * _lighting(camera, points, hits, light)
    sky = hits.surface < 0
    colour[sky] = _sky(directions[sky], light, seed)
    shining = glow.max(axis=2) > 0
    colour[shining] = glow[shining]
    return Backdrop(
        colour=_bytes(colour),
        inverse_depth=np.where(sky, 0, 1 / hits.depth).astype(np.float32),
        semantic=semantic,
        glow=_bytes(glow),
        ground=hits.surface == 0,
    )


def _bytes(values: Floats) -> Bytes:
    return np.asarray((values * 255 + 0.5).clip(0, 255), np.uint8)


@lru_cache(maxsize=4)
def _cast(camera: Camera) -> _Hits:
    origin, directions = np.array(camera.position, np.float32), rays(camera)
    with np.errstate(divide="ignore"):
        ground = np.where(directions[..., 2] < -1e-4, -origin[2] / directions[..., 2], np.inf).astype(np.float32)
    near = np.hypot(*(origin + directions * np.where(ground < 200, ground, 0)[..., None])[..., :2].transpose(2, 0, 1))
    ground[(near > 60) | (ground > 200)] = np.inf
    hits = _Hits(ground, np.where(np.isfinite(ground), 0, -1).astype(np.int16), np.zeros_like(directions))
    hits.normal[..., 2] = 1
    for number, box in enumerate(world.BOXES, start=1):
        corners = np.array([[x, y, z] for x in _ends(box, 0) for y in _ends(box, 1) for z in _ends(box, 2)])
        window = _window(camera, corners)
        toward = directions[window]
        depth, axis = _enter_box(origin, toward, box)
        closer = depth < hits.depth[window]
        hits.depth[window][closer], hits.surface[window][closer] = depth[closer], number
        normal = np.zeros((int(closer.sum()), 3), np.float32)
        normal[np.arange(len(normal)), axis[closer]] = 1
        hits.normal[window][closer] = -np.sign(toward[closer]) * normal
    for number, crown in enumerate(world.CROWNS, start=1 + len(world.BOXES)):
        reach = 1.8 * crown.radius_m * np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
        window = _window(camera, np.array(crown.centre) + reach)
        toward = directions[window]
        depth = _enter_crown(origin, toward, crown, ragged=True)
        closer = depth < hits.depth[window]
        hits.depth[window][closer], hits.surface[window][closer] = depth[closer], number
        outward = origin + toward[closer] * depth[closer][:, None] - np.array(crown.centre, np.float32)
        hits.normal[window][closer] = outward / np.linalg.norm(outward, axis=1, keepdims=True).clip(1e-6)
    return hits


def _ends(box: Box, axis: int) -> tuple[float, float]:
    return box.low[axis], box.high[axis]


def _window(camera: Camera, corners: npt.NDArray[np.float64]) -> tuple[slice, slice]:
    """The part of the view that can hold a thing with these corners: all of it when it reaches behind the camera."""
    pixels, depth = camera.project(corners)
    if (depth < 0.1).all():
        return slice(0, 0), slice(0, 0)
    if (depth < 0.1).any():
        return slice(None), slice(None)
    low, high = np.floor(pixels.min(0)).clip(0), np.ceil(pixels.max(0) + 1).clip(0)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _enter_box(origin: Floats, directions: Floats, box: Box) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Depth at which rays enter `box` (inf: they miss) and the axis of the face; the slab method (Kay, Kajiya 1986)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (np.array(box.low, np.float32) - origin) / directions
        b = (np.array(box.high, np.float32) - origin) / directions
    first, last = np.minimum(a, b), np.maximum(a, b)
    depth = first.max(axis=-1)
    missed = (depth > last.min(axis=-1)) | (depth < 0.05)
    return np.where(missed, np.inf, depth).astype(np.float32), first.argmax(axis=-1)


def _enter_crown(origin: Floats, directions: Floats, crown: Crown, *, ragged: bool) -> Floats:
    offset = origin - np.array(crown.centre, np.float32)
    a = (directions**2).sum(-1)
    b = (directions * offset).sum(-1)
    radius_squared = np.float32(crown.radius_m**2)
    core = b**2 - a * ((offset**2).sum(-1) - radius_squared)
    rim = core / (a * radius_squared)  # 0 at the outline, 1 in the middle
    depth = (-b - np.sqrt(np.maximum(core, 0))) / a
    missed = (core <= 0) | (depth < 0.05)
    if ragged:  # leaves do not end in a circle
        tile = textures.noise_tile(77)
        chosen = ~missed
        spot = directions[chosen] * depth[chosen][:, None]
        noise = textures.sample(tile, spot[:, 0] + spot[:, 2], spot[:, 1] - spot[:, 2], per_m=26)
        missed[chosen] |= rim[chosen] < 0.16 + 0.16 * noise
    return np.where(missed, np.inf, depth).astype(np.float32)


def sunlit(points: Floats, light: Light) -> Floats:
    """Share of sunlight that reaches `points` (N, 3) past blocks and trees: 0 or 1, (N,)."""
    if max(light.sun_rgb) == 0:
        return np.zeros(len(points), np.float32)
    sun = np.array(light.sun, np.float32) / np.float32(np.linalg.norm(light.sun))
    directions = np.broadcast_to(sun, points.shape)
    free = np.ones(len(points), bool)
    for box in world.BOXES:
        if box.high[2] > 1.0:
            free &= ~np.isfinite(_enter_box(points, directions, box)[0])
    for crown in world.CROWNS:
        free &= ~np.isfinite(_enter_crown(points, directions, crown, ragged=False))
    return free.astype(np.float32)


def _lighting(camera: Camera, points: Floats, hits: _Hits, light: Light) -> Floats:
    step = world.SUBSAMPLES  # shadows at frame resolution: their edges come out soft
    coarse = points[::step, ::step]
    normals = hits.normal[::step, ::step]
    lit = sunlit((coarse + 0.06 * normals).reshape(-1, 3), light).reshape(coarse.shape[:2])
    lit = cv2.GaussianBlur(cv2.resize(lit, points.shape[1::-1], interpolation=cv2.INTER_LINEAR), (0, 0), 1.0)
    sun = np.array(light.sun, np.float32) / np.float32(np.linalg.norm(light.sun))
    facing = np.maximum((hits.normal * sun).sum(-1), 0) * lit
    upward = 0.75 + 0.25 * hits.normal[..., 2]
    lamps = world.lamp_light(points[..., 0], points[..., 1]) * np.where(points[..., 2] < 4.5, 1.0, 0.35)
    total = (
        upward[..., None] * np.array(light.ambient_rgb, np.float32)
        + facing[..., None] * np.array(light.sun_rgb, np.float32)
        + lamps[..., None] * np.array(light.lamp_rgb, np.float32)
    )
    return np.asarray(total, np.float32)


def _sky(directions: Floats, light: Light, seed: int) -> Floats:
    """Sky colours for rays (N, 3): a gradient with drifts of cloud."""
    rise = (directions[:, 2] / np.linalg.norm(directions, axis=1)).clip(0, 0.5) / 0.5
    low, high = np.array(light.horizon_rgb, np.float32), np.array(light.zenith_rgb, np.float32)
    colour = low + (high - low) * np.sqrt(rise)[:, None]
    tile = textures.noise_tile(seed + 5)
    bearing = np.arctan2(directions[:, 1], directions[:, 0]).astype(np.float32)
    cloud = textures.sample(tile, bearing, directions[:, 2] * 2.5, per_m=90).clip(0, 2)
    return np.asarray(colour + (0.10 * cloud * (0.25 + low.mean()))[:, None], np.float32)


def _surfaces(points: Floats, hits: _Hits, seed: int, light: Light) -> tuple[Floats, Bytes, Floats]:
    """Albedo (H, W, 3), semantic ids (H, W) and own light (H, W, 3) of what the rays hit."""
    albedo = np.zeros_like(points)
    glow = np.zeros_like(points)
    semantic = np.full(points.shape[:2], world.SKY, np.uint8)
    tile = textures.noise_tile(seed)
    for surface in np.unique(hits.surface):
        chosen = hits.surface == surface
        x, y, z = points[chosen].T
        if surface < 0:
            continue
        if surface == 0:
            albedo[chosen], semantic[chosen] = _ground(tile, x, y)
        elif surface <= len(world.BOXES):
            box = world.BOXES[surface - 1]
            along = np.where(np.abs(hits.normal[chosen][:, 0]) > 0.5, y, x)
            flat = hits.normal[chosen][:, 2] > 0.5
            albedo[chosen], semantic[chosen], glow[chosen] = _block(
                tile, box, along, z, flat, light, int(surface), np.hypot(x, y)
            )
        else:
            crown = world.CROWNS[surface - 1 - len(world.BOXES)]
            albedo[chosen] = textures.foliage(tile, x + z, y - 0.7 * z, crown.colour)
            semantic[chosen] = world.VEGETATION
    return albedo, semantic, glow


def _ground(tile: Floats, x: Floats, y: Floats) -> tuple[Floats, Bytes]:
    a, b = np.abs(x), np.abs(y)
    aside, ahead = np.minimum(a, b), np.maximum(a, b)  # across and along the nearer road
    across = np.where(a < b, x, y)
    colour = textures.foliage(tile, x, y, (0.26, 0.36, 0.17))
    semantic = np.full(x.shape, world.VEGETATION, np.uint8)
    paved = (aside < world.PAVEMENT_HALF_M) | (ahead > 26) & (aside < 12)
    colour[paved], semantic[paved] = textures.slabs(tile, x[paved], y[paved]), world.PAVEMENT
    kerb = (aside > world.ROAD_HALF_M) & (aside < world.ROAD_HALF_M + 0.22)
    colour[kerb] = textures.mixed((0.68, 0.67, 0.64), 0.08 * textures.sample(tile, x[kerb], y[kerb], per_m=20))
    road = aside < world.ROAD_HALF_M
    colour[road], semantic[road] = textures.asphalt(tile, x[road], y[road]), world.ROAD
    tracks = road & (ahead > 8) & (np.abs(np.abs(np.abs(across) - 1.75) - 0.75) < 0.25)
    colour[tracks] *= 0.86
    arm = ahead > world.ROAD_HALF_M
    centre = road & (aside < 0.09) & (ahead > 9) & (np.mod(ahead, 3.0) < 1.7)
    zebra = road & arm & (ahead > 4.8) & (ahead < 7.2) & (np.mod(across + 20, 1.2) < 0.62)
    rightward = np.where(a < b, -np.sign(y) * x, np.sign(x) * y)  # > 0: the lane towards the centre
    stop = road & (ahead > 7.7) & (ahead < 8.15) & (rightward > 0.1)
    edge = road & (np.abs(aside - 2.85) < 0.05) & (ahead > 8.2)
    painted = centre | zebra | stop | edge
    wear = textures.sample(tile, x[painted] + 3, y[painted], per_m=14)
    colour[painted] = textures.mixed((0.82, 0.82, 0.78), -0.10 * np.abs(wear) - 0.12 * (wear > 1.2))
    cover = road & (np.hypot(a - 9.5, b - 1.0) < 0.38) | road & (np.hypot(a - 1.6, b - 1.9) < 0.4)
    colour[cover] *= 0.55
    return colour, semantic


def _block(
    tile: Floats,
    box: Box,
    along: Floats,
    z: Floats,
    flat: npt.NDArray[np.bool_],
    light: Light,
    number: int,
    radius_m: Floats,
) -> tuple[Floats, int, Floats]:
    glow = np.zeros((len(z), 3), np.float32)
    if box.surface == "hedge":
        return textures.foliage(tile, along + 0.3 * z, z + 0.2 * along, box.colour), world.VEGETATION, glow
    if box.surface == "bark":
        return textures.mixed(box.colour, 0.2 * textures.sample(tile, along, z, per_m=40)), world.VEGETATION, glow
    if box.surface == "metal":
        colour = textures.mixed(box.colour, 0.12 * textures.sample(tile, along, z, per_m=25))
        if light.lamps_on and box.high[2] > 5:
            glow[z > box.high[2] - 0.5] = (1.0, 0.93, 0.76)
        return colour, world.FURNITURE, glow
    if box.surface == "plaster":
        colour = textures.mixed(
            box.colour,
            0.07 * textures.sample(tile, along, z, per_m=12) - 0.10 * np.exp(-z / 0.5),
        )
    else:
        colour = textures.brick(tile, along, z, box.colour)
    if box.surface == "viaduct":
        arch = 4.2 - 0.03 * along**2
        opening = (np.abs(along) < world.PAVEMENT_HALF_M) & (z < arch) & ~flat
        colour[opening] = textures.mixed((0.06, 0.06, 0.065), 0.2 * textures.sample(tile, along, z, per_m=8))[opening]
        colour[(z > 5.2) & ~flat] *= 1.2
        return colour, world.BUILDING, glow
    colour[flat] = textures.mixed((0.36, 0.34, 0.33), 0.1 * textures.sample(tile, along, z + along, per_m=9))[flat]
    column, row = np.floor(along / 1.9), np.floor((z - 0.9) / 2.5)
    inside = (np.abs(np.mod(along, 1.9) - 0.95) < 0.52) & (np.abs(np.mod(z - 0.9, 2.5) - 0.85) < 0.68)
    window = inside & (row >= 0) & (z < box.high[2] - 0.7) & ~flat
    frame = window & ((np.abs(np.mod(along, 1.9) - 0.95) > 0.44) | (np.abs(np.mod(z - 0.9, 2.5) - 0.85) > 0.60))
    draw = np.sin(41.3 * column + 17.7 * row + 5.1 * number) * 43758.5453
    draw = draw - np.floor(draw)
    colour[window] = textures.mixed((0.20, 0.25, 0.31), 0.9 * (draw - 0.4))[window]
    colour[frame] = (0.75, 0.74, 0.70)
    if light.lamps_on:
        lit = window & ~frame & (draw < 0.34) & (radius_m < 70)
        glow[lit] = textures.mixed((0.86, 0.68, 0.38), 0.6 * (draw - 0.3))[lit]
    return colour, world.BUILDING, glow
