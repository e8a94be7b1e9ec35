"""Who moves where: a clip's road users and signal, frame by frame."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.data.scene import world
from tasks.data.scene.bodies import KINDS, Kind, Style

LANE_M: Final = 1.75  # lane centre from the road's axis
CYCLE_LANE_M: Final = 3.25
GAP_M: Final = 1.6  # between standing vehicles
WARM_UP: Final = 30  # frames driven before the first one is seen, so that queues have formed
END_M: Final = world.PORTAL_M + 1

PHASE_FRAMES: Final = {"vehicles_go": (11, 16), "caution": (8, 11), "pedestrians_go": (11, 16)}


@dataclass
class Mover:
    """A road user on a straight path: `along` metres past the centre in its direction, `aside` metres to the right."""

    number: int
    kind: Kind
    style: Style
    heading: tuple[int, int]
    aside: float
    along: float
    cruise: float  # m/s
    speed: float
    gait: float = 0.0

    @property
    def length_m(self) -> float:
        """From end to end."""
        return self.kind.length_m * self.style.scale

    @property
    def position(self) -> tuple[float, float]:
        """World x and y."""
        east, north = self.heading
        return east * self.along + north * self.aside, north * self.along - east * self.aside


@dataclass
class Snapshot:
    """One moment of a clip."""

    phase: str
    movers: list[Mover] = field(default_factory=list)


def simulate(rng: np.random.Generator, *, classes: tuple[str, ...], traffic: str, n_frames: int) -> list[Snapshot]:
    """The moments of one clip, `FRAME_RATE` a second.

    One of the two roads has the right of way for the whole clip and moves while the signal says vehicles_go; the other
    one queues, and people cross it. So what stands where does not give the phase away: a standing queue is there in
    every phase.
    """
    active = int(rng.integers(2))  # 0: east-west, 1: north-south
    kinds = [KINDS[name] for name in classes]
    movers = _vehicles(rng, [k for k in kinds if k.moves == "lane"], active, traffic, n_frames)
    movers += _cyclists(rng, [k for k in kinds if k.moves == "cycle"], active, traffic)
    movers += _pedestrians(rng, [k for k in kinds if k.moves == "walk"], active, traffic)
    for number, mover in enumerate(movers):
        mover.number = number
    phases = _phases(rng, WARM_UP + n_frames)
    moments = []
    for step, phase in enumerate(phases):
        _advance(movers, active, phase)
        if step >= WARM_UP:
            seen = [m for m in movers if abs(m.along) - m.length_m / 2 < END_M]
            moments.append(Snapshot(phase, [Mover(**vars(m)) for m in seen]))
    return moments


def _phases(rng: np.random.Generator, n_frames: int) -> list[str]:
    order = world.PHASES
    start = int(rng.integers(len(order)))
    phases: list[str] = []
    while len(phases) < n_frames + 20:
        name = order[start % len(order)]
        phases += [name] * int(rng.integers(*PHASE_FRAMES[name], endpoint=True))
        start += 1
    skip = int(rng.integers(20))
    return phases[skip : skip + n_frames]


def _style(rng: np.random.Generator, kind: Kind) -> Style:
    chosen = [kind.palette[int(i)] for i in rng.integers(len(kind.palette), size=3)]
    jitter = rng.uniform(0.88, 1.12, size=3)
    first = (chosen[0][0] * jitter[0], chosen[0][1] * jitter[1], chosen[0][2] * jitter[2])
    tone = float(rng.uniform(0.35, 1.0))
    skin = (0.86 * tone, 0.64 * tone, 0.52 * tone)
    third = (0.10 + 0.3 * tone * float(rng.random()), 0.09, 0.08) if kind.moves == "walk" else chosen[2]
    spread = 0.05 if kind.moves == "lane" else 0.09
    return Style((first, chosen[1], third), skin, float(rng.uniform(1 - spread, 1 + spread)))


def _pick(rng: np.random.Generator, kinds: list[Kind]) -> Kind:
    shares = np.array([kind.share for kind in kinds])
    return kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]


def _headings(axis: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return ((1, 0), (-1, 0)) if axis == 0 else ((0, 1), (0, -1))


def _vehicles(rng: np.random.Generator, kinds: list[Kind], active: int, traffic: str, n_frames: int) -> list[Mover]:
    if not kinds:
        return []
    busy = traffic == "busy"
    movers: list[Mover] = []

    def add(heading: tuple[int, int], front: float, cruise: float) -> Mover:
        kind = _pick(rng, kinds)
        style = _style(rng, kind)
        mover = Mover(0, kind, style, heading, LANE_M, 0.0, cruise, cruise)
        mover.along = front - mover.length_m / 2
        movers.append(mover)
        return mover

    for heading in _headings(active):
        front = float(rng.uniform(6, 22))
        while front > -24 - 0.55 * (WARM_UP + n_frames):
            mover = add(heading, front, float(rng.uniform(4.6, 5.6)))
            front -= mover.length_m + float(rng.uniform(5, 17) if busy else rng.uniform(16, 38))
    for heading in _headings(1 - active):
        front = -world.STOP_LINE_M - float(rng.uniform(0.1, 0.8))
        for _ in range(int(rng.integers(0, 3) if busy else rng.integers(0, 2))):
            mover = add(heading, front, 4.0)
            mover.speed = 0.0
            front -= mover.length_m + GAP_M + float(rng.uniform(0, 1))
        if rng.random() < (0.3 if busy else 0.15):  # somebody who has just driven off, through the warm-up and a bit
            add(heading, float(rng.uniform(2, 8)), 3.0)
    return movers


def _cyclists(rng: np.random.Generator, kinds: list[Kind], active: int, traffic: str) -> list[Mover]:
    if not kinds:
        return []
    movers = []
    for axis in (0, 1):
        for heading in _headings(axis):
            front = float(rng.uniform(8, 20)) if axis == active else -world.STOP_LINE_M - 0.3
            for _ in range(int(rng.choice(3, p=(0.35, 0.45, 0.2) if traffic == "busy" else (0.65, 0.35, 0.0)))):
                kind = _pick(rng, kinds)
                style = _style(rng, kind)
                cruise = float(rng.uniform(2.3, 3.1))
                along = front - kind.length_m / 2
                movers.append(Mover(0, kind, style, heading, CYCLE_LANE_M, along, cruise, cruise))
                front -= float(rng.uniform(3.5, 14))
    return movers


def _pedestrians(rng: np.random.Generator, kinds: list[Kind], active: int, traffic: str) -> list[Mover]:
    if not kinds:
        return []
    movers = []
    for _ in range(int(rng.integers(5, 8) if traffic == "busy" else rng.integers(2, 5))):
        kind = _pick(rng, kinds)
        style = _style(rng, kind)
        axis = int(rng.integers(2))
        heading = _headings(axis)[int(rng.integers(2))]
        aside = float(rng.uniform(4.8, 6.9)) * (1 if rng.random() < 0.5 else -1)
        along = float(rng.uniform(-15, 12))
        if axis != active and abs(along) < 5.0:  # not on the road that has the right of way
            along = -5.2 - float(rng.uniform(0, 5)) if rng.random() < 0.5 else 5.2 + float(rng.uniform(0, 5))
        cruise = float(rng.uniform(0.9, 1.4))
        movers.append(Mover(0, kind, style, heading, aside, along, cruise, cruise, float(rng.uniform(0, 6.28))))
    return movers


def _advance(movers: list[Mover], active: int, phase: str) -> None:
    """One frame ahead: keep behind the one in front, stop at the line, walk across the standing road only."""
    seconds = 1 / world.FRAME_RATE
    lanes: dict[tuple[tuple[int, int], float], list[Mover]] = {}
    for mover in movers:
        if mover.kind.moves == "walk":
            crosses_active = (mover.heading[0] != 0) == (active == 1)
            kerb = -world.ROAD_HALF_M - 0.7
            room = kerb - mover.along if crosses_active and mover.along <= kerb else np.inf
            mover.speed = min(mover.cruise, max(room, 0) / seconds)
        else:
            lanes.setdefault((mover.heading, mover.aside), []).append(mover)
    for (heading, _), lane in lanes.items():
        lane.sort(key=lambda m: -m.along)
        go = phase == "vehicles_go" and (heading[0] != 0) == (active == 0)
        leader: Mover | None = None
        for mover in lane:
            front = mover.along + mover.length_m / 2
            room = np.inf if leader is None else leader.along - leader.length_m / 2 - GAP_M - front
            to_line = -world.STOP_LINE_M - front
            if not go and to_line > -0.3 and mover.speed**2 <= 2 * 5.0 * max(to_line, 0.02) + 0.3:
                room = min(room, to_line)
            wanted = min(mover.cruise, float(np.sqrt(2 * 2.5 * max(room - 0.05, 0))))
            mover.speed = float(np.clip(wanted, mover.speed - 6 * seconds, mover.speed + 1.8 * seconds))
            mover.speed = max(0.0, min(mover.speed, max(room, 0) / seconds))
            leader = mover
    for mover in movers:
        mover.along += mover.speed * seconds
        mover.gait += mover.speed * seconds * (4.2 if mover.kind.moves == "walk" else 2.6)


def positions(movers: list[Mover]) -> npt.NDArray[np.float64]:
    """World x and y of each, (N, 2)."""
    return np.array([m.position for m in movers], float).reshape(-1, 2)
