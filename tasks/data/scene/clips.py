"""The clips of the embedded data set: which there are, and the frames of one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.data.scene import traffic, truth, view, world
from tasks.data.scene.view import View
from tasks.data.scene.world import CAMERAS, UNSEEN_CAMERA, Camera
from tasks.params import Crossing

SPLITS: Final = ("train", "validation", "test", "footage")


@dataclass(frozen=True)
class Clip:
    """One clip to render."""

    number: int  # over the whole data set
    split: str
    place: int  # within its split
    camera: str
    time_of_day: str
    traffic: str
    n_frames: int

    @property
    def name(self) -> str:
        """The clip's id and the name of its folders."""
        return f"{self.split}-{self.place:03d}-{self.camera}-{self.time_of_day}-{self.traffic}"

    @property
    def attributes(self) -> dict[str, str]:
        """The slice tags of its frames."""
        return {"camera": self.camera, "time_of_day": self.time_of_day, "traffic": self.traffic}


@dataclass(frozen=True)
class Frame:
    """One rendered frame with its truth."""

    picture: npt.NDArray[np.uint8]  # RGB (192, 320, 3)
    semantic: npt.NDArray[np.uint8]  # (192, 320)
    label: str
    annotations: list[dict[str, Any]]


def plan(crossing: Crossing) -> list[Clip]:
    """The clips of all splits; each split turns evenly through cameras, hours and traffic."""
    known = [camera.name for camera in CAMERAS if camera.name != UNSEEN_CAMERA]
    clips: list[Clip] = []

    def add(split: str, place: int, camera: str, time: int, busy: int, n_frames: int) -> None:
        clips.append(Clip(len(clips), split, place, camera, world.TIMES[time % 3], world.TRAFFIC[busy % 2], n_frames))

    for split, count, n_frames in (
        ("train", crossing.train_clips, crossing.train_frames),
        ("validation", crossing.validation_clips, crossing.validation_frames),
        ("test", crossing.test_clips, crossing.test_frames),
    ):
        for i in range(
            count
        ):  # 18 in a row hold every combination once, 6 in a row each camera, hour and traffic alike
            add(split, i, known[i % 3], i + i // 3, i % 9 + i // 9, n_frames)
    for i in range(crossing.unseen_clips):
        add("test", crossing.test_clips + i, UNSEEN_CAMERA, i, i // 3, crossing.test_frames)
    return clips


def camera_named(name: str) -> Camera:
    """The camera of that name."""
    return next(camera for camera in CAMERAS if camera.name == name)


def _clip_rng(crossing: Crossing, split: str, place: int) -> np.random.Generator:
    """The random numbers of one clip."""
    return np.random.default_rng([crossing.seed, SPLITS.index(split), place])


def frames_of(crossing: Crossing, clip: Clip, *, effect: Callable[[View], View] | None = None) -> Iterator[Frame]:
    """The frames of one clip, in order; `effect` changes what reaches the sensor."""
    rng = _clip_rng(crossing, clip.split, clip.place)
    camera = camera_named(clip.camera)
    gain = float(rng.uniform(0.93, 1.08))
    moments = traffic.simulate(rng, classes=crossing.classes, traffic=clip.traffic, n_frames=clip.n_frames)
    for moment in moments:
        seen = view.look(camera, clip.time_of_day, moment, seed=crossing.seed)
        picture = view.picture(seen if effect is None else effect(seen), camera, clip.time_of_day, gain=gain, rng=rng)
        annotations = truth.annotate(seen, picture, classes=crossing.classes, first_track=1000 * clip.number + 1)
        yield Frame(picture, seen.semantic, moment.phase, annotations)
