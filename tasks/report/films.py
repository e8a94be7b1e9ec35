"""Filmstrips around identity switches, as the page shows them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tasks.report.card_tags import Tags
from tasks.report.cards import Pictures, cell_words

CIRCUMSTANCES: Final[Mapping[str, str]] = {
    "re_entry": "re-entry, it had been out of view",
    "crossing": "crossing of another object",
    "occlusion": "occlusion",
    "missed": "no track was on it just before",
    "none": "in plain view",
}

TEXT: Final = 0.1
"""The height of ids as a share of the view's width: readable in a card, five frames side by side."""

STYLES: Final = (
    ("film-truth", "the object, as annotated"),
    ("film-before", "track with the id before"),
    ("film-now", "track with the id now"),
    ("film-other", "another track on the object"),
)
"""(CSS class, words); the legend and the paths go by it."""


def films(about: Mapping[str, Any], pictures: Pictures, tags: Tags) -> list[dict[str, Any]]:
    """A card for each filmstrip of gallery/about.json; `tags` are the slices of its frames."""
    return [_film(one, pictures, tags) for one in about.get("films", [])]


def _film(film: Mapping[str, Any], pictures: Pictures, tags: Tags) -> dict[str, Any]:
    before, now = film["track_before"], film["track_now"]
    place = next(i for i, frame in enumerate(film["frames"]) if frame["frame_id"] == film["frame_id"])
    index = film["frames"][place]["frame_index"]
    circumstance = CIRCUMSTANCES.get(film["circumstance"], film["circumstance"])
    return {
        "id": film["example_id"],
        "model": film["model"],
        "corruption": film["corruption"],
        "severity": film["severity"],
        "frame_id": film["frame_id"],
        "slices": " ".join(map(str, tags.of(film["frame_id"]))),
        "tags": tags.words(film["frame_id"]),
        "where": cell_words(film),
        "frame": f"frame {index} of {film['clip_id']}",
        "width": film["width_px"],
        "height": film["height_px"],
        "view": " ".join(f"{value:g}" for value in film["view"]),
        "font": round(film["view"][2] * TEXT, 1),
        "told": f"Track {film['true_track']} ({film['name']}) changes from id {before} to id {now} in frame {index}: "
        f"{circumstance}.",
        "panels": [_panel(film, i, frame, pictures, switch=i == place) for i, frame in enumerate(film["frames"])],
    }


def _panel(
    film: Mapping[str, Any], place: int, frame: Mapping[str, Any], pictures: Pictures, *, switch: bool
) -> dict[str, Any]:
    on = f"id {frame['on']}" if frame["on"] is not None else "no track" if frame["truth"] else "not there"
    caption = f"frame {frame['frame_index']}: {on}"
    tracks = []
    for track, box in frame["tracks"]:
        style = {film["track_before"]: "film-before", film["track_now"]: "film-now"}.get(track, "film-other")
        tracks.append({"style": style, "path": _path(box), "text": f"id {track}", **_label(film["view"], box, style)})
    return {
        "picture": pictures.use(frame["file"], film["width_px"], film["height_px"]),
        "caption": caption,
        "switch": switch,
        "label": f"{caption}{', the switch' if switch else ''}",
        "truth": _path(frame["truth"]) if frame["truth"] else "",
        "tracks": tracks,
    }


def _label(view: Sequence[float], box: Sequence[float], style: str) -> dict[str, float]:
    """Where a track's id stands: above its box, the new one's below; inside the view."""
    left, top, width, height = view
    size = width * TEXT
    y = box[3] + size if style == "film-now" else box[1] - 0.25 * size
    x = min(max(box[0], left + 0.2 * size), left + width - 3 * size)
    return {"x": round(x, 1), "y": round(min(max(y, top + size), top + height - 0.3 * size), 1)}


def _path(box: Sequence[float]) -> str:
    x0, y0, x1, y1 = box
    return f"M{x0:g} {y0:g}H{x1:g}V{y1:g}H{x0:g}Z"
