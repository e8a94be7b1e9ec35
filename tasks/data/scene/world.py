"""What stands at the junction, the cameras that see it, and the light of the hours.

World axes in metres: x east, y north, z up; the roads' axes cross at the origin. Traffic keeps to the right.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

WIDTH_PX: Final = 320
HEIGHT_PX: Final = 192
SUBSAMPLES: Final = 2  # a frame is rendered at twice its size each way, then averaged
FRAME_RATE: Final = 10.0

ROAD_HALF_M: Final = 3.8
PAVEMENT_HALF_M: Final = 7.6
STOP_LINE_M: Final = 8.2  # before the centre
PORTAL_M: Final = 23.0  # the viaduct's arches: traffic comes out of their dark and goes back into it

SEMANTIC: Final = ("sky", "building", "road", "pavement", "vegetation", "vehicle", "person", "cycle")
SKY, BUILDING, ROAD, PAVEMENT, VEGETATION, VEHICLE, PERSON, CYCLE = range(len(SEMANTIC))
FURNITURE: Final = 255  # poles and signals: none of the classes, so not scored

PHASES: Final = ("vehicles_go", "caution", "pedestrians_go")
TIMES: Final = ("day", "dusk", "night")
TRAFFIC: Final = ("quiet", "busy")

RGB = tuple[float, float, float]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A fixed pinhole camera; `tint` are the gains of its sensor's channels."""

    name: str
    position: tuple[float, float, float]
    target: tuple[float, float]  # the ground point that it is turned towards
    pitch_deg: float  # downwards
    field_deg: float  # horizontal field of view
    tint: RGB

    @cached_property
    def axes(self) -> Vector:
        """Rows: right, down, forward; (3, 3)."""
        heading = np.array(self.target, float) - np.array(self.position[:2], float)
        heading /= np.linalg.norm(heading)
        pitch = np.deg2rad(self.pitch_deg)
        forward = np.array([*(heading * np.cos(pitch)), -np.sin(pitch)])
        right = np.array([heading[1], -heading[0], 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    @cached_property
    def focal_px(self) -> float:
        """Focal length in subsample pixels."""
        return SUBSAMPLES * WIDTH_PX / 2 / float(np.tan(np.deg2rad(self.field_deg) / 2))

    def project(self, points: Vector) -> tuple[Vector, Vector]:
        """World points (N, 3) as subsample pixels (N, 2) and depth along the optical axis in metres (N,)."""
        seen = (points - np.array(self.position)) @ self.axes.T
        depth = seen[:, 2]
        safe = np.maximum(depth, 1e-6)
        centre = np.array([SUBSAMPLES * WIDTH_PX / 2, SUBSAMPLES * HEIGHT_PX / 2])
        return centre + self.focal_px * seen[:, :2] / safe[:, None], depth


CAMERAS: Final = (
    Camera("north", (-6.4, 16.6, 6.4), (1.4, -3.0), 12.6, 51, (1.00, 1.00, 1.00)),
    Camera("east", (16.8, 6.2, 6.2), (-3.0, -1.0), 12.2, 52, (1.04, 1.00, 0.95)),
    Camera("west", (-16.2, -6.3, 6.7), (3.0, 1.2), 13.4, 52, (0.96, 1.00, 1.05)),
    Camera("south", (6.2, -17.0, 6.3), (-1.2, 3.0), 12.4, 51, (1.02, 0.99, 0.99)),
)
UNSEEN_CAMERA: Final = "south"  # of the test split alone


@dataclass(frozen=True)
class Box:
    """An axis-aligned block. surface: brick | plaster | viaduct | hedge | metal."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    surface: str
    colour: RGB


@dataclass(frozen=True)
class Crown:
    """A ball of leaves."""

    centre: tuple[float, float, float]
    radius_m: float
    colour: RGB


@dataclass(frozen=True)
class Light:
    """The light of an hour, as multiples of albedo; `sun` points towards it."""

    sun: tuple[float, float, float]
    sun_rgb: RGB
    ambient_rgb: RGB
    lamp_rgb: RGB  # under a street lamp
    zenith_rgb: RGB  # the sky, as displayed
    horizon_rgb: RGB
    lamps_on: bool
    grain: float  # standard deviation of sensor noise in grey levels at mid grey


LIGHTS: Final = {
    "day": Light(
        (0.45, -0.35, 0.82), (0.92, 0.88, 0.80), (0.52, 0.56, 0.62), (0, 0, 0), (0.36, 0.56, 0.86), (0.78, 0.86, 0.93),
        False, 1.2,
    ),
    "dusk": Light(
        (-0.86, 0.34, 0.38), (0.62, 0.38, 0.22), (0.30, 0.29, 0.38), (0.20, 0.17, 0.12), (0.27, 0.27, 0.45),
        (0.88, 0.56, 0.40), True, 1.7,
    ),
    "night": Light(
        (0.0, 0.0, 1.0), (0, 0, 0), (0.115, 0.125, 0.17), (0.56, 0.48, 0.36), (0.025, 0.03, 0.06), (0.08, 0.08, 0.12),
        True, 2.3,
    ),
}  # fmt: skip

LAMP_POSTS: Final = ((5.0, 12.0), (-5.0, -12.0), (12.0, -5.0), (-12.0, 5.0))
LAMP_REACH_M: Final = 6.5
MASTS: Final = ((-4.7, 4.7), (4.7, 4.7), (4.7, -4.7), (-4.7, -4.7))  # the signals


def lamp_light(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Street light on the ground at (x, y), about 1 under a lamp; the shape of `x`."""
    total = np.zeros(np.shape(x), np.float32)
    for lamp_x, lamp_y in (*LAMP_POSTS, (0.0, 0.0)):  # one more hangs over the middle
        total += np.exp(-((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / (2 * LAMP_REACH_M**2)).astype(np.float32)
    return np.minimum(total, 1.6)


_TREES: Final = ((8.8, 8.8), (-8.8, -8.8), (8.8, -9.0), (-9.0, 8.8), (-14.5, -8.8), (14.5, 8.9))


def _blocks() -> tuple[Box, ...]:
    corners: list[Box] = []
    walls: dict[tuple[int, int], tuple[tuple[str, RGB, float], tuple[str, RGB, float]]] = {
        (1, 1): (("brick", (0.56, 0.30, 0.22), 8.5), ("plaster", (0.70, 0.64, 0.50), 5.2)),
        (1, -1): (("plaster", (0.62, 0.60, 0.56), 6.0), ("brick", (0.46, 0.26, 0.21), 10.5)),
        (-1, -1): (("brick", (0.50, 0.38, 0.28), 9.5), ("plaster", (0.48, 0.55, 0.58), 5.0)),
        (-1, 1): (("plaster", (0.66, 0.52, 0.42), 5.6), ("brick", (0.60, 0.36, 0.26), 8.0)),
    }
    for (east, north), (near, far) in walls.items():
        for start, end, y0, y1, (surface, colour, height) in (
            (10.2, 16.0, 10.2, 16.0, near),
            (16.4, 21.5, 10.8, 19.0, far),
            (10.8, 16.0, 16.4, 21.5, far),
        ):
            xs, ys = sorted((east * start, east * end)), sorted((north * y0, north * y1))
            corners.append(Box((xs[0], ys[0], 0.0), (xs[1], ys[1], height), surface, colour))
    far_off: list[Box] = []
    for number, angle in enumerate(np.arange(0, 360, 30)):
        x, y = 48 * np.cos(np.deg2rad(angle + 8)), 48 * np.sin(np.deg2rad(angle + 8))
        half, height = 4.0 + number % 3, 9.0 + 5 * (number * 7 % 4)
        tone = 0.42 + 0.05 * (number % 4)
        far_off.append(
            Box((x - half, y - half, 0), (x + half, y + half, height), "plaster", (tone, tone * 0.96, tone * 0.92))
        )
    return (*corners, *far_off)


def _viaduct() -> tuple[Box, ...]:
    inner, outer = PORTAL_M, PORTAL_M + 3
    stone = (0.52, 0.47, 0.41)
    return (
        Box((inner, -outer, 0), (outer, outer, 5.6), "viaduct", stone),
        Box((-outer, -outer, 0), (-inner, outer, 5.6), "viaduct", stone),
        Box((-inner, inner, 0), (inner, outer, 5.6), "viaduct", stone),
        Box((-inner, -outer, 0), (inner, -inner, 5.6), "viaduct", stone),
    )


def _posts() -> tuple[Box, ...]:
    grey = (0.34, 0.35, 0.36)
    posts = [Box((x - 0.11, y - 0.11, 0), (x + 0.11, y + 0.11, 6.0), "metal", grey) for x, y in LAMP_POSTS]
    posts += [Box((x - 0.10, y - 0.10, 0), (x + 0.10, y + 0.10, 4.4), "metal", (0.22, 0.22, 0.23)) for x, y in MASTS]
    return tuple(posts)


def _hedges() -> tuple[Box, ...]:
    green = (0.16, 0.30, 0.12)
    return tuple(
        Box((min(a, b), min(c, d), 0), (max(a, b), max(c, d), 0.9), "hedge", green)
        for a, b, c, d in ((8.1, 9.3, 10, 21), (-8.1, -9.3, -10, -21), (10, 21, -8.1, -9.3), (-10, -21, 8.1, 9.3))
    )


def _crowns() -> tuple[Crown, ...]:
    crowns: list[Crown] = []
    for number, (x, y) in enumerate(_TREES):
        green = (0.20 + 0.03 * (number % 3), 0.34 + 0.03 * (number % 4), 0.13)
        for dx, dy, z, radius in ((0, 0, 3.7, 1.3), (0.7, 0.4, 3.1, 0.9), (-0.6, 0.6, 3.3, 1.0), (0.1, -0.8, 3.0, 0.9)):
            crowns.append(Crown((x + dx, y + dy, z), radius, green))
    for number, angle in enumerate(np.arange(0, 360, 24)):  # a wood behind the viaduct
        x, y = 34 * np.cos(np.deg2rad(angle)), 34 * np.sin(np.deg2rad(angle))
        crowns.append(Crown((x, y, 5.0 + number % 3), 4.2, (0.17, 0.30 + 0.02 * (number % 3), 0.13)))
    return tuple(crowns)


TRUNKS: Final = tuple(
    Box((x - 0.16, y - 0.16, 0), (x + 0.16, y + 0.16, 3.0), "bark", (0.28, 0.21, 0.15)) for x, y in _TREES
)
BOXES: Final = (*_blocks(), *_viaduct(), *_hedges(), *TRUNKS, *_posts())
CROWNS: Final = _crowns()
