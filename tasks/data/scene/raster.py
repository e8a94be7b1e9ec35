"""Bodies to pixels: each is painted face by face on a canvas of its own, then merged into the view by depth."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tasks.data.scene import world
from tasks.data.scene.bodies import Body, Face, Limb
from tasks.data.scene.world import Camera

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

Job = tuple[int, float, Face | Limb, npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Layer, minus the depth, the part, its outline (N, 2) in subsamples, and its plane: 1/depth = a u + b v + c."""

_SHIFT = 4  # OpenCV's polygon corners carry 4 binary places


@dataclass(frozen=True)
class Sprite:
    """One body as seen with nothing in front of it, cut at the border of the view."""

    left: int  # subsample pixels of the canvas's corner in the view
    top: int
    total: int  # subsamples that the body would cover without that border
    covered: npt.NDArray[np.bool_]  # (h, w)
    colour: Bytes
    inverse_depth: Floats
    semantic: Bytes
    shines: npt.NDArray[np.bool_]


@dataclass
class Canvas:
    """The view at subsample resolution while bodies are merged into it."""

    colour: Bytes  # (H, W, 3)
    inverse_depth: Floats
    semantic: Bytes
    glow: Bytes
    owner: npt.NDArray[np.uint8]  # 0: backdrop, else 1 + the place of the sprite


@dataclass(frozen=True)
class Shade:
    """The light on one body."""

    ambient: Floats  # RGB multiples of albedo
    sun: Floats
    toward_sun: Floats
    sky: Floats  # what glass mirrors
    lamps_on: bool


def paint(
    body: Body, camera: Camera, place: tuple[float, float], heading: tuple[int, int], shade: Shade, grain: Floats
) -> Sprite | None:
    """The sprite of `body` standing at `place`, or None when it is not in front of the camera at all.

    Within a body faces are painted from low layers to high and from far to near (the painter's algorithm); every pixel
    then takes the depth of its face's plane, 1/depth being affine in the picture.
    """
    turn = np.array([[heading[0], -heading[1], 0], [heading[1], heading[0], 0], [0, 0, 1.0]])
    origin = turn.T @ (np.array(camera.position) - np.array([*place, 0.0]))  # the camera, in the body's axes
    axes = camera.axes @ turn
    faces = [face for face in body.faces if face.normal @ (np.array(face.corners[0]) - origin) < 0]
    points = [corner for face in faces for corner in face.corners]
    points += [end for limb in body.limbs for end in (limb.start, limb.end)]
    if not points:
        return None
    pixels, depth = camera.project(np.array(points) @ turn.T + np.array([*place, 0.0]))
    if depth.min() < 1.0:
        return None
    jobs: list[Job] = []
    at = 0
    centre = np.array([world.SUBSAMPLES * world.WIDTH_PX / 2, world.SUBSAMPLES * world.HEIGHT_PX / 2])
    for face in faces:
        part = slice(at, at + len(face.corners))
        at = part.stop
        slope = axes @ face.normal / (face.normal @ (np.array(face.corners[0]) - origin))
        across = slope[:2] / camera.focal_px
        plane = np.array([*across, slope[2] - across @ centre])
        jobs.append((face.layer, -float(depth[part].mean()), face, pixels[part], plane))
    for limb in body.limbs:
        part = slice(at, at + 2)
        at = part.stop
        middle = float(depth[part].mean())
        outline = _stroke(pixels[part], limb.radius_m * camera.focal_px / depth[part])
        jobs.append((limb.layer, -middle, limb, outline, np.array([0, 0, 1 / (middle - limb.radius_m)])))
    jobs.sort(key=lambda job: job[:2])
    everything = np.concatenate([job[3] for job in jobs])
    low, high = np.floor(everything.min(0)).astype(int) - 1, np.ceil(everything.max(0)).astype(int) + 2
    width, height = world.SUBSAMPLES * world.WIDTH_PX, world.SUBSAMPLES * world.HEIGHT_PX
    if low[0] >= width or low[1] >= height or high[0] <= 0 or high[1] <= 0:
        return None
    index = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    for number, job in enumerate(jobs, start=1):
        corners = np.rint((job[3] - low - 0.5) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(index, [corners], number, shift=_SHIFT)
    inside = (
        slice(max(-low[1], 0), min(height - low[1], index.shape[0])),
        slice(max(-low[0], 0), min(width - low[0], index.shape[1])),
    )
    return _shaded(index[inside], low.clip(0), int(np.count_nonzero(index)), jobs, turn, shade, grain)


_CIRCLE = np.stack([np.cos(np.arange(12) * (np.pi / 6)), np.sin(np.arange(12) * (np.pi / 6))], axis=1)


def _stroke(ends: npt.NDArray[np.float64], radii: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The outline of a stroke between two pixels: the hull of two discs."""
    both = np.concatenate([ends[0] + radii[0] * _CIRCLE, ends[1] + radii[1] * _CIRCLE])
    return np.asarray(cv2.convexHull(both.astype(np.float32))[:, 0], float)


def _shaded(
    index: Bytes,
    low: npt.NDArray[np.int_],
    total: int,
    jobs: list[Job],
    turn: npt.NDArray[np.float64],
    shade: Shade,
    grain: Floats,
) -> Sprite:
    colours = np.zeros((len(jobs) + 1, 3), np.float32)
    planes = np.zeros((len(jobs) + 1, 3), np.float32)
    semantic = np.zeros(len(jobs) + 1, np.uint8)
    shines = np.zeros(len(jobs) + 1, bool)
    texture = np.zeros(len(jobs) + 1, np.float32)
    for number, (_, _, part, _, plane) in enumerate(jobs, start=1):
        albedo = np.array(part.colour, np.float32)
        planes[number], semantic[number] = plane, part.semantic
        if isinstance(part, Limb):
            colours[number], texture[number] = albedo * (shade.ambient + 0.55 * shade.sun), 0.10
            continue
        if part.shines and shade.lamps_on:
            colours[number], shines[number] = albedo, True
            continue
        normal = turn @ part.normal
        facing = max(float(normal @ shade.toward_sun), 0.0)
        lit = albedo * (shade.ambient * (0.8 + 0.2 * normal[2]) + facing * shade.sun)
        if part.glass:
            lit = 0.55 * lit + 0.45 * shade.sky * (0.35 + 0.65 * max(float(normal[2]), 0.0))
        colours[number], texture[number] = lit, 0.16 if part.glass else 0.06
    rows = (np.arange(index.shape[0], dtype=np.float32) + low[1] + 0.5)[:, None]
    columns = (np.arange(index.shape[1], dtype=np.float32) + low[0] + 0.5)[None, :]
    inverse = planes[:, 0][index] * columns + planes[:, 1][index] * rows + planes[:, 2][index]
    noise = np.tile(grain, (index.shape[0] // grain.shape[0] + 1, index.shape[1] // grain.shape[1] + 1))
    worn = 1 + texture[index] * noise[: index.shape[0], : index.shape[1]]
    covered = index > 0
    colour = colours[index] * (worn * 255)[..., None]
    glowing = shines[index]
    colour[glowing] = colours[index[glowing]] * 255
    return Sprite(
        int(low[0]),
        int(low[1]),
        total,
        covered,
        colour.clip(0, 255).astype(np.uint8),
        inverse,
        semantic[index],
        glowing,
    )


def merge(canvas: Canvas, sprite: Sprite, number: int) -> int:
    """Put `sprite` into `canvas` where it is nearest; the covered subsamples inside the view, hidden or not."""
    rows, columns = sprite.covered.shape
    there = (slice(sprite.top, sprite.top + rows), slice(sprite.left, sprite.left + columns))
    nearer = sprite.covered & (sprite.inverse_depth > canvas.inverse_depth[there])
    canvas.colour[there][nearer] = sprite.colour[nearer]
    canvas.inverse_depth[there][nearer] = sprite.inverse_depth[nearer]
    canvas.semantic[there][nearer] = sprite.semantic[nearer]
    canvas.glow[there][nearer] = np.where(sprite.shines[nearer][:, None], sprite.colour[nearer], 0)
    canvas.owner[there][nearer] = number + 1
    return int(np.count_nonzero(sprite.covered))


def resolve_owners(owner: Bytes) -> Bytes:
    """Which body each pixel belongs to: the one with most of its subsamples, and at least two; (H/2, W/2).

    Bodies win a tie against the backdrop, so masks of neighbours never overlap.
    """
    samples = np.stack([owner[i::2, j::2] for i in range(2) for j in range(2)])
    votes = (samples[:, None] == samples[None]).sum(0)
    best = (2 * votes + (samples > 0)).argmax(0)[None]
    winner = np.take_along_axis(samples, best, 0)[0]
    return np.where(np.take_along_axis(votes, best, 0)[0] >= 2, winner, 0).astype(np.uint8)


def resolve_semantic(semantic: Bytes) -> Bytes:
    """The class that three of a pixel's four subsamples agree on, else 255: a blended edge; (H/2, W/2)."""
    samples = np.stack([semantic[i::2, j::2] for i in range(2) for j in range(2)])
    votes = (samples[:, None] == samples[None]).sum(0)
    best = votes.argmax(0)[None]
    agreed = np.take_along_axis(votes, best, 0)[0] >= 3
    return np.where(agreed, np.take_along_axis(samples, best, 0)[0], 255).astype(np.uint8)
