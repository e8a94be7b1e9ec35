"""The shapes of road users: faces and limbs in metres, x ahead, y to the left, z up, origin on the ground."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.data.scene.world import CYCLE, PERSON, RGB, VEHICLE

Point = tuple[float, float, float]

GLASS: Final[RGB] = (0.16, 0.20, 0.25)
RUBBER: Final[RGB] = (0.07, 0.07, 0.075)
TRIM: Final[RGB] = (0.13, 0.13, 0.14)
HEADLIGHT: Final[RGB] = (1.0, 0.97, 0.86)
TAIL_LIGHT: Final[RGB] = (0.85, 0.08, 0.06)


@dataclass(frozen=True)
class Face:
    """A flat polygon, seen from outside only. Faces of a higher layer lie on those of a lower one."""

    corners: tuple[Point, ...]
    colour: RGB
    semantic: int = VEHICLE
    layer: int = 0
    shines: bool = False  # by its own light, when lamps are on
    glass: bool = False

    @cached_property
    def normal(self) -> npt.NDArray[np.float64]:
        """The unit normal that points out of the body, by Newell's method; (3,)."""
        corners = np.array(self.corners)
        normal = np.cross(corners, np.roll(corners, -1, axis=0)).sum(0)
        middle = corners.mean(0)
        inward = np.array([np.clip(middle[0], -1, 1), 0, 0.9]) - middle
        normal = normal / np.linalg.norm(normal)
        return np.asarray(-normal if normal @ inward > 0 else normal)


@dataclass(frozen=True)
class Limb:
    """A rounded stroke between two points, of one radius; a ball when they coincide."""

    start: Point
    end: Point
    radius_m: float
    colour: RGB
    semantic: int
    layer: int = 0


@dataclass(frozen=True)
class Body:
    """A shape in its own axes."""

    faces: tuple[Face, ...]
    limbs: tuple[Limb, ...]


@dataclass(frozen=True)
class Style:
    """What tells one road user from the next of its kind."""

    colours: tuple[RGB, RGB, RGB]
    skin: RGB
    scale: float


@dataclass(frozen=True)
class Kind:
    """A class of road user that the renderer can draw."""

    name: str
    moves: str  # lane | cycle | walk
    length_m: float
    width_m: float
    height_m: float
    share: float  # of the road users that move as it does
    palette: tuple[RGB, ...]
    build: Callable[[Style, float], Body]  # style and gait phase (radians)


def _side(profile: Sequence[tuple[float, float]], half: Callable[[float], float], sign: int) -> tuple[Point, ...]:
    return tuple((x, sign * half(z), z) for x, z in profile)


def _shell(
    profile: Sequence[tuple[float, float]], half: Callable[[float], float], colour: RGB, glass: Sequence[int] = ()
) -> list[Face]:
    """The outline `profile` (x, z), drawn across a width of 2 * half(z); edges in `glass` are windows."""
    faces = []
    for number, ((x0, z0), (x1, z1)) in enumerate(zip(profile, (*profile[1:], profile[0]), strict=True)):
        corners = ((x0, -half(z0), z0), (x0, half(z0), z0), (x1, half(z1), z1), (x1, -half(z1), z1))
        pane = number in glass
        faces.append(Face(corners, GLASS if pane else colour, glass=pane))
    return [*faces, *(Face(_side(profile, half, sign), colour) for sign in (-1, 1))]


def _panel(x0: float, x1: float, z0: float, z1: float, y: float, colour: RGB, **how: bool) -> list[Face]:
    """The same rectangle on both sides, at y and -y."""
    return [
        Face(((x0, s * y, z0), (x1, s * y, z0), (x1, s * y, z1), (x0, s * y, z1)), colour, layer=1, **how)
        for s in (-1, 1)
    ]


def _end(x: float, y0: float, y1: float, z0: float, z1: float, colour: RGB, **how: bool) -> Face:
    """A rectangle across the front or the back."""
    return Face(((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)), colour, layer=2, **how)


def _wheels(places: Sequence[float], radius: float, half: float) -> list[Face]:
    faces = []
    angles = np.arange(12) * np.pi / 6
    for x in places:
        for sign in (-1, 1):
            for size, colour, layer in ((1.18, TRIM, 1), (1.0, RUBBER, 2), (0.55, (0.55, 0.56, 0.58), 3)):
                ring = [(x + radius * size * np.cos(a), radius + radius * size * np.sin(a)) for a in angles]
                faces.append(
                    Face(tuple((px, sign * (half + 0.01), max(pz, 0.0)) for px, pz in ring), colour, layer=layer)
                )
    return faces


def _lamps(front: float, back: float, half: float, z: float, tall: float = 0.16) -> list[Face]:
    faces = []
    for sign in (-1, 1):
        y0, y1 = sign * half * 0.62, sign * half * 0.96
        faces.append(_end(front + 0.01, y0, y1, z, z + tall, HEADLIGHT, shines=True))
        faces.append(_end(back - 0.01, y0, y1, z + 0.1, z + 0.1 + tall, TAIL_LIGHT, shines=True))
    faces.append(_end(front + 0.01, -half * 0.5, half * 0.5, z - 0.06, z + tall - 0.02, TRIM))
    faces.append(_end(back - 0.01, -0.26, 0.26, z - 0.14, z - 0.01, (0.80, 0.79, 0.62)))
    return faces


def _scaled(body: Body, scale: float) -> Body:
    def grow(point: Point) -> Point:
        return (point[0] * scale, point[1] * scale, point[2] * scale)

    return Body(
        tuple(Face(tuple(map(grow, f.corners)), f.colour, f.semantic, f.layer, f.shines, f.glass) for f in body.faces),
        tuple(Limb(grow(m.start), grow(m.end), m.radius_m * scale, m.colour, m.semantic, m.layer) for m in body.limbs),
    )


def car(style: Style, gait: float) -> Body:
    """A saloon."""
    paint = style.colours[0]
    profile = ((-2.15, 0.28), (-2.2, 0.92), (-1.75, 1.02), (-1.2, 1.46), (0.25, 1.50), (1.05, 1.0), (2.1, 0.80),
               (2.2, 0.30))  # fmt: skip

    def half(z: float) -> float:
        return 0.90 if z <= 1.02 else 0.90 - 0.35 * (z - 1.02)

    faces = _shell(profile, half, paint, glass=(2, 4))
    for x in ((-1.45, -1.12, -0.42, -0.42), (-0.32, -0.32, 0.22, 0.82)):
        for sign in (-1, 1):
            outline = ((x[0], 1.06), (x[1], 1.40), (x[2], 1.42), (x[3], 1.06))
            faces.append(Face(tuple((a, sign * (half(z) + 0.005), z) for a, z in outline), GLASS, layer=1, glass=True))
    faces += [Face(f.corners, TRIM, layer=1) for f in _panel(-2.1, 2.1, 0.28, 0.40, 0.905, TRIM)]
    faces += _wheels((-1.35, 1.35), 0.34, 0.90)
    faces += _lamps(2.2, -2.2, 0.9, 0.55)
    return _scaled(Body(tuple(faces), ()), style.scale)


def van(style: Style, gait: float) -> Body:
    """A delivery van: a high closed body with a short bonnet."""
    paint = style.colours[0]
    profile = ((-2.5, 0.32), (-2.5, 2.25), (0.9, 2.30), (1.75, 1.30), (2.45, 1.08), (2.5, 0.34))
    faces = _shell(profile, lambda z: 0.98 - 0.04 * max(z - 1.2, 0), paint, glass=(2,))
    faces += _panel(0.35, 1.15, 1.25, 1.85, 0.985, GLASS, glass=True)
    faces += _panel(-2.3, 0.1, 0.95, 1.15, 0.985, style.colours[1])
    faces += _panel(-2.4, 2.4, 0.32, 0.5, 0.985, TRIM)
    faces += [
        _end(-2.51, -0.8, -0.06, 1.3, 1.9, GLASS, glass=True),
        _end(-2.51, 0.06, 0.8, 1.3, 1.9, GLASS, glass=True),
    ]
    faces += _wheels((-1.55, 1.6), 0.36, 0.98)
    faces += _lamps(2.5, -2.5, 0.96, 0.72)
    return _scaled(Body(tuple(faces), ()), style.scale)


def bus(style: Style, gait: float) -> Body:
    """A city bus with a row of windows and a lit destination sign."""
    paint, band = style.colours[0], style.colours[1]
    half_length, width = 3.9, 1.2
    profile = ((-half_length, 0.32), (-half_length, 2.85), (half_length - 0.15, 2.85), (half_length, 0.32))
    faces = _shell(profile, lambda z: width, paint)
    faces += _panel(-half_length, half_length - 0.02, 0.95, 1.18, width + 0.005, band)
    for x in np.linspace(-half_length + 0.3, half_length - 2.0, 5):
        faces += _panel(float(x), float(x) + 1.08, 1.35, 2.35, width + 0.005, GLASS, glass=True)
    faces += _panel(half_length - 0.95, half_length - 0.2, 0.5, 2.35, width + 0.005, GLASS, glass=True)
    faces.append(_end(half_length + 0.01, -1.05, 1.05, 1.15, 2.3, GLASS, glass=True))
    faces.append(_end(half_length - 0.1, -0.8, 0.8, 2.45, 2.75, (0.95, 0.70, 0.20), shines=True))
    faces.append(_end(-half_length - 0.01, -0.95, 0.95, 1.5, 2.35, GLASS, glass=True))
    faces += _panel(-half_length, half_length, 0.32, 0.5, width + 0.005, TRIM)
    faces += _wheels((-2.3, 2.4), 0.46, width)
    faces += _lamps(half_length, -half_length, width, 0.6)
    roof = ((-1.6, -0.7, 2.86), (-1.6, 0.7, 2.86), (0.4, 0.7, 2.86), (0.4, -0.7, 2.86))
    faces.append(Face(roof, tuple(0.8 * c for c in paint), layer=1))  # type: ignore[arg-type]
    return _scaled(Body(tuple(faces), ()), style.scale)


def truck(style: Style, gait: float) -> Body:
    """A lorry: a cab and a box behind it."""
    load = ((-3.1, 0.75), (-3.1, 3.0), (1.35, 3.0), (1.35, 0.75))
    cab = ((1.5, 0.35), (1.5, 2.35), (2.85, 2.40), (3.1, 1.45), (3.1, 0.35))
    faces = _shell(load, lambda z: 1.2, style.colours[1])
    faces += [
        Face(f.corners, f.colour, f.semantic, 4, f.shines, f.glass)
        for f in _shell(cab, lambda z: 1.12, style.colours[0], glass=(2,))
    ]
    faces += [
        Face(f.corners, f.colour, f.semantic, 5, f.shines, f.glass)
        for f in _panel(1.85, 2.75, 1.45, 2.1, 1.125, GLASS, glass=True)
    ]
    faces += _panel(-3.1, 1.35, 0.5, 0.78, 1.1, TRIM)
    faces += _panel(-2.6, 0.9, 1.6, 2.3, 1.205, style.colours[2])
    faces += _wheels((-2.1, -1.1, 2.2), 0.46, 1.15)
    faces += _lamps(3.1, -3.1, 1.1, 0.7)
    return _scaled(Body(tuple(faces), ()), style.scale)


def pedestrian(style: Style, gait: float) -> Body:
    """Somebody walking: legs and arms swing with the gait."""
    coat, trousers, hair = style.colours
    swing = 0.30 * float(np.sin(gait))
    limbs = [
        Limb((swing, 0.11, 0.06), (0, 0.09, 0.92), 0.105, trousers, PERSON),
        Limb((-swing, -0.11, 0.06), (0, -0.09, 0.92), 0.105, trousers, PERSON),
        Limb((swing + 0.07, 0.11, 0.05), (swing - 0.04, 0.11, 0.05), 0.07, TRIM, PERSON),
        Limb((-swing + 0.07, -0.11, 0.05), (-swing - 0.04, -0.11, 0.05), 0.07, TRIM, PERSON),
        Limb((0, 0, 0.86), (0.02, 0, 1.42), 0.225, coat, PERSON),
        Limb((0.06, 0.1, 1.0), (0.06, 0.1, 1.38), 0.08, _brighter(coat, 1.18), PERSON),
        Limb((0, 0.27, 1.42), (-0.8 * swing, 0.30, 0.92), 0.075, _brighter(coat, 0.85), PERSON),
        Limb((0, -0.27, 1.42), (0.8 * swing, -0.30, 0.92), 0.075, _brighter(coat, 0.85), PERSON),
        Limb((0.04, 0, 1.74), (0.04, 0, 1.74), 0.135, style.skin, PERSON),
        Limb((-0.02, 0, 1.80), (-0.02, 0, 1.80), 0.135, hair, PERSON),
    ]
    return _scaled(Body((), tuple(limbs)), style.scale)


def cyclist(style: Style, gait: float) -> Body:
    """A rider on a bicycle: the pedals turn with the gait."""
    coat, frame, helmet = style.colours
    limbs = []
    angles = np.linspace(0, 2 * np.pi, 11)
    for centre in (-0.54, 0.54):
        ring = [(centre + 0.35 * float(np.cos(a)), 0.0, 0.37 + 0.35 * float(np.sin(a))) for a in angles]
        limbs += [Limb(a, b, 0.04, RUBBER, CYCLE) for a, b in pairwise(ring)]
        limbs.append(Limb((centre, 0, 0.37), (centre, 0, 0.37), 0.06, (0.6, 0.6, 0.62), CYCLE))
    for start, end in (
        ((-0.54, 0, 0.37), (-0.15, 0, 0.9)), ((-0.15, 0, 0.9), (0.4, 0, 0.85)), ((0.4, 0, 0.85), (0.54, 0, 0.37)),
        ((-0.02, 0, 0.35), (0.4, 0, 0.8)), ((-0.02, 0, 0.35), (-0.15, 0, 0.95)), ((-0.54, 0, 0.37), (-0.02, 0, 0.35)),
        ((0.40, -0.25, 1.08), (0.40, 0.25, 1.08)), ((0.4, 0, 0.85), (0.4, 0, 1.08)),
    ):  # fmt: skip
        limbs.append(Limb(start, end, 0.04, frame, CYCLE))
    for side, phase in ((0.11, gait), (-0.11, gait + np.pi)):
        foot = (-0.02 + 0.17 * float(np.cos(phase)), side, 0.36 + 0.17 * float(np.sin(phase)))
        knee = (0.22 + 0.05 * float(np.cos(phase)), side, 0.78 + 0.09 * float(np.sin(phase)))
        limbs.append(Limb((-0.18, side, 1.0), knee, 0.10, (0.16, 0.17, 0.22), PERSON))
        limbs.append(Limb(knee, foot, 0.08, (0.16, 0.17, 0.22), PERSON))
        limbs.append(Limb((0.20, 2 * side, 1.48), (0.42, 2 * side, 1.10), 0.075, coat, PERSON))
    limbs.append(Limb((-0.18, 0, 1.02), (0.18, 0, 1.45), 0.21, coat, PERSON))
    limbs.append(Limb((-0.08, 0.1, 1.2), (0.14, 0.1, 1.45), 0.08, _brighter(coat, 1.18), PERSON))
    limbs.append(Limb((0.30, 0, 1.74), (0.30, 0, 1.74), 0.135, style.skin, PERSON))
    limbs.append(Limb((0.28, 0, 1.82), (0.28, 0, 1.82), 0.145, helmet, PERSON))
    return _scaled(Body((), tuple(limbs)), style.scale)


def _brighter(colour: RGB, factor: float) -> RGB:
    return (min(colour[0] * factor, 1.0), min(colour[1] * factor, 1.0), min(colour[2] * factor, 1.0))


CAR_PAINT: Final[tuple[RGB, ...]] = (
    (0.80, 0.80, 0.80), (0.55, 0.57, 0.60), (0.11, 0.11, 0.13), (0.31, 0.32, 0.34), (0.62, 0.10, 0.09),
    (0.12, 0.22, 0.52), (0.10, 0.30, 0.22), (0.80, 0.62, 0.12), (0.42, 0.30, 0.22),
)  # fmt: skip
BUS_PAINT: Final[tuple[RGB, ...]] = ((0.72, 0.13, 0.10), (0.13, 0.42, 0.25), (0.85, 0.62, 0.10), (0.16, 0.33, 0.66))
VAN_PAINT: Final[tuple[RGB, ...]] = ((0.86, 0.86, 0.85), (0.75, 0.68, 0.30), (0.38, 0.45, 0.55))
CLOTHES: Final[tuple[RGB, ...]] = (
    (0.62, 0.13, 0.13), (0.14, 0.25, 0.55), (0.80, 0.76, 0.66), (0.13, 0.14, 0.16), (0.22, 0.42, 0.26),
    (0.85, 0.56, 0.14), (0.45, 0.22, 0.42), (0.40, 0.42, 0.45),
)  # fmt: skip

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("car", "lane", 4.4, 1.8, 1.5, 0.62, CAR_PAINT, car),
        Kind("bus", "lane", 7.8, 2.4, 2.85, 0.26, BUS_PAINT, bus),
        Kind("van", "lane", 5.0, 1.96, 2.3, 0.26, VAN_PAINT, van),
        Kind("truck", "lane", 6.2, 2.4, 3.0, 0.20, VAN_PAINT, truck),
        Kind("cyclist", "cycle", 1.85, 0.6, 1.9, 1.0, CLOTHES, cyclist),
        Kind("pedestrian", "walk", 0.6, 0.7, 1.9, 1.0, CLOTHES, pedestrian),
    )
}
"""What the renderer can draw; params name the classes that a data set has."""


@lru_cache(maxsize=256)
def _rigid(name: str, style: Style) -> Body:
    return KINDS[name].build(style, 0.0)


def body(kind: Kind, style: Style, gait: float) -> Body:
    """The shape of one road user at one moment; vehicles do not change theirs."""
    return _rigid(kind.name, style) if kind.moves == "lane" else kind.build(style, gait)
