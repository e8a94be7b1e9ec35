"""What a card of the gallery belongs to: the slices of its frame, and the failure rules that caught it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pandas as pd

from tasks import slices, tables
from tasks.layout import Layout
from tasks.params import Params
from tasks.report import failure_cases


@dataclass(frozen=True)
class Tags:
    """Slices of the frames that are shown.

    Attributes:
        names: those that hold any of them, in the order of params.
        frames: frame_id -> the places in `names` of the slices that it is in; in one of objects when it shows such.
        told: the places of those that a card names: what says something about the frame, each thing once.
    """

    names: tuple[str, ...] = ()
    frames: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    told: frozenset[int] = frozenset()

    def of(self, frame_id: int) -> tuple[int, ...]:
        """The places of the slices of one frame."""
        return self.frames.get(frame_id, ())

    def words(self, frame_id: int) -> str:
        """The slices of one frame that a card names; not a shift that is called as one of its tags.

        Examples:
            >>> names = ("time_of_day=night", "size=small", "shift=night", "shift=new_camera")
            >>> Tags(names, {7: (0, 1, 2, 3)}, frozenset({0, 2, 3})).words(7)
            'time of day night, shift new camera'
        """
        found = [self.names[place] for place in self.of(frame_id) if place in self.told]
        said = {name.partition("=")[2] for name in found if not name.startswith("shift=")}
        found = [name for name in found if not (name.startswith("shift=") and name.partition("=")[2] in said)]
        return ", ".join(name.removeprefix("query:").replace("_", " ").replace("=", " ") for name in found)


def of_slices(params: Params, layout: Layout, frame_ids: Collection[int]) -> Tags:
    """The slices of `frame_ids`; none where the tables of frames and objects are not here.

    Raises:
        InputError: a slice of params does not fit the tables.
    """
    if not all((layout.tables / f"{name}.parquet").exists() for name in ("frames", "objects")):
        return Tags()
    frames = tables.read("frames", layout.tables / "frames.parquet")
    frames = tables.select(frames, split=params.dataset.split, limit=params.dataset.limit)
    objects = tables.read("objects", layout.tables / "objects.parquet")
    objects = objects[objects["frame_id"].isin(frames["frame_id"])].reset_index(drop=True)
    wanted = {int(frame) for frame in frame_ids}
    names: list[str] = []
    found: dict[int, list[int]] = {}
    told = set()
    middle = {f"{column}=mid" for column in params.slices.derived}  # what most frames are
    for item in slices.load(params, layout.tables):
        if item.name == tables.ALL:
            continue
        if item.area_px2 is not None:
            low, high = item.area_px2
            inside = objects.loc[objects["area_px"].between(low, high), "frame_id"]
        elif item.objects is not None:
            inside = objects.loc[item.objects, "frame_id"]
        else:
            inside = frames["frame_id"][item.frames]
        here = wanted & {int(frame) for frame in inside}
        if not here:
            continue
        if not item.of_objects and item.name not in middle and _tells(item.name):
            told.add(len(names))
        for frame in here:
            found.setdefault(frame, []).append(len(names))
        names.append(item.name)
    return Tags(tuple(names), {frame: tuple(places) for frame, places in found.items()}, frozenset(told))


def _tells(name: str) -> bool:
    """Whether a slice of frames says something about a frame; crossed ones repeat what they are crossed of.

    Examples:
        >>> [_tells(name) for name in ("camera=north", "query:wet", "shift=night")]
        [True, True, True]
        >>> [_tells(name) for name in ("shift=none", "shift=night, reference", "camera=north & time_of_day=night")]
        [False, False, False]
    """
    reference = name == slices.UNSHIFTED or (name.startswith("shift=") and name.endswith(", reference"))
    return not reference and " & " not in name


def of_rules(params: Params, gallery: pd.DataFrame) -> dict[str, list[str]]:
    """The failure rules of params that caught each example of the gallery, by example."""
    found: dict[str, list[str]] = {}
    for name, rule in params.failures.items():
        for example in gallery.loc[failure_cases.caught(rule, gallery), "example_id"]:
            found.setdefault(str(example), []).append(name)
    return found
