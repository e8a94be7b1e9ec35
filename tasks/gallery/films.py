"""Filmstrips around identity switches: the frames before, at and after one, with the object and the tracks on it."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd

from tasks.gallery.picks import Pick

TASK: Final = "tracking"

AROUND: Final = 2
"""Frames shown before the switch, and after it."""

ON_IT: Final = 0.5
"""A track is on the object from this overlap of their boxes on, as CLEAR counts it."""

LEAST_VIEW_PX: Final = 90.0
"""The cropped view is at least this wide: less would show nothing of what is around."""

ASPECT: Final = 4 / 3

SAMPLING: Final = (
    "Identity switches are drawn by chance, by a hash of the seed and the switch: circumstances, models and corruptions"
    " take turns, at most one of a clip, and those with two frames on either side first. A filmstrip has the two frames"
    " before the switch, the switch and the two after it."
)


@dataclass(frozen=True)
class Film:
    """One identity switch and the frames around it."""

    model: str
    corruption: str
    severity: int
    clip_id: str
    frame_id: int
    true_track: int
    track_before: int
    track_now: int
    name: str  # of the object's class
    circumstance: str
    frames: tuple[int, ...]  # frame ids, in time order

    def picks(self) -> list[Pick]:
        """The pictures that it needs."""
        return [Pick(self.corruption, self.severity, frame_id, "film") for frame_id in self.frames]


def choose(
    switches: pd.DataFrame, frames: pd.DataFrame, *, models: Sequence[str], budget: int, seed: int
) -> list[Film]:
    """The switches whose frames fit `budget` pictures; `SAMPLING` says how.

    Args:
        switches: The table `switches`.
        frames: The table `frames`, those that can be shown.
        models: In the order of params.
        budget: Picture files at most.
        seed: Orders the switches.
    """
    known = switches[switches["frame_id"].isin(frames["frame_id"]) & switches["model"].isin(list(models))]
    lists: dict[tuple[str, str], list[_Candidate]] = {}
    clips = {str(clip): rows.sort_values("frame_index") for clip, rows in frames.groupby("clip_id", sort=False)}
    for row in known.to_dict("records"):
        film = _film(row, _around(clips[row["clip_id"]], row["frame_id"]))
        name = f"{seed}:{film.corruption}:{film.severity}:{film.frame_id}:{film.true_track}"
        lacking = 2 * AROUND + 1 - len(film.frames)
        group = lists.setdefault((film.circumstance, film.model), [])
        group.append((lacking, hashlib.sha256(name.encode()).hexdigest(), film))
    causes = sorted({cause for cause, _ in lists})
    # Both change from one to the next.
    places = {key: (causes.index(key[0]), models.index(key[1])) for key in lists}
    turns = sorted(lists, key=lambda key: (sum(places[key]) % len(models), places[key]))
    found: list[Film] = []
    while True:
        before = len(found)
        for key in turns:
            # One of a clip: frames next to one another fail alike. Corruptions that were shown less often come first.
            clips_used = {film.clip_id for film in found}
            counts = Counter(film.corruption for film in found)
            free = [entry for entry in lists[key] if entry[2].clip_id not in clips_used]
            best = min(free, key=lambda entry: (entry[0], counts[entry[2].corruption], entry[1]), default=None)
            if best is None:
                continue
            if sum(len(film.frames) for film in (*found, best[2])) > budget:
                return found
            found.append(best[2])
        if len(found) == before:
            return found


_Candidate = tuple[int, str, Film]
"""Frames that it lacks, the hash that orders it, and the film."""


def _around(clip: pd.DataFrame, frame_id: int) -> list[int]:
    ids = [int(one) for one in clip["frame_id"]]
    place = ids.index(int(frame_id))
    return ids[max(0, place - AROUND) : place + AROUND + 1]


def _film(row: Mapping[Any, Any], frames: Iterable[int]) -> Film:
    return Film(
        model=str(row["model"]),
        corruption=str(row["corruption"]),
        severity=int(row["severity"]),
        clip_id=str(row["clip_id"]),
        frame_id=int(row["frame_id"]),
        true_track=int(row["true_track"]),
        track_before=int(row["track_before"]),
        track_now=int(row["track_now"]),
        name=str(row["class"]),
        circumstance=str(row["circumstance"]),
        frames=tuple(frames),
    )


def scene(film: Film, frame_id: int, drawn: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """What is drawn over one frame of a film.

    Args:
        film: Whose.
        frame_id: One of its frames.
        drawn: From `overlay.boxes` of tracking.

    Returns:
        truth (the object's box, None where it is not annotated), tracks ([id, box] of the two ids of the switch and of
        any other that is on the object) and on (the id of the track on the object, None without one). As in CLEAR a
        track keeps the object while it is on it, even where another one overlaps more.
    """
    truth = next((item["box"] for item in drawn["truth"] if item.get("id") == film.true_track), None)
    tracks = [(item["id"], item["box"]) for item in drawn["prediction"]]
    overlaps = {track: _iou(box, truth) for track, box in tracks} if truth else {}
    on_it = {track: iou for track, iou in overlaps.items() if iou >= ON_IT}
    switched = film.frames.index(frame_id) >= film.frames.index(film.frame_id)
    kept = film.track_now if switched else film.track_before
    on = kept if kept in on_it else max(on_it, key=lambda track: on_it[track], default=None)
    shown = {film.track_before, film.track_now, on}
    return {"truth": truth, "tracks": [[track, box] for track, box in tracks if track in shown], "on": on}


def view(boxes: Iterable[Sequence[float]], size: tuple[int, int]) -> list[float]:
    """The part of the pictures that a film shows, x, y, width and height in px: around `boxes`, inside the picture.

    Examples:
        >>> view([[100, 60, 130, 80], [110, 60, 140, 80]], (320, 192))
        [70.0, 32.5, 100.0, 75.0]
        >>> view([[0, 0, 300, 20]], (320, 192))
        [0.0, 0.0, 320.0, 192.0]
    """
    width, height = size
    corners = list(zip(*boxes, strict=True)) or [(0.0,), (0.0,), (float(width),), (float(height),)]
    x0, y0, x1, y1 = min(corners[0]), min(corners[1]), max(corners[2]), max(corners[3])
    wide = max(LEAST_VIEW_PX, 2.5 * (x1 - x0), 2.5 * ASPECT * (y1 - y0))
    wide, high = min(wide, float(width)), min(wide / ASPECT, float(height))
    left = min(max(0.0, (x0 + x1 - wide) / 2), width - wide)
    top = min(max(0.0, (y0 + y1 - high) / 2), height - high)
    return [round(value, 1) for value in (left, top, wide, high)]


def told(
    film: Film,
    scenes: Sequence[Mapping[str, Any]],
    *,
    size: tuple[int, int],
    strength: tuple[float | None, str | None],
) -> dict[str, Any]:
    """A film as about.json holds it: the switch, and each frame with its picture and what is drawn over it."""
    boxes = [one["truth"] for one in scenes if one["truth"]]
    return {
        **{name: value for name, value in asdict(film).items() if name != "frames"},
        "example_id": f"{film.model}/switch/{film.corruption}/{film.severity}/{film.frame_id}/{film.true_track}",
        "strength": strength[0],
        "strength_unit": strength[1],
        "width_px": size[0],
        "height_px": size[1],
        "view": view(boxes, size),
        "frames": list(scenes),
    }


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    inter = math.prod(max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - inter
    return inter / whole if whole > 0 else 0.0
