"""The failure gallery as the page shows it: each picture once, cards that refer to them, boxes as SVG paths."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from tasks import terms
from tasks.errors import InputError
from tasks.params import Params
from tasks.report import card_tags, wording

STATES: Final = (
    ("truth", "matched", "truth-matched", "truth, found"),
    ("truth", "missed", "truth-missed", "truth, missed"),
    ("prediction", "matched", "prediction-matched", "prediction, right"),
    ("prediction", "false positive", "prediction-false", "prediction, false"),
    ("truth", "ignored", "ignored", "ignored region"),
    ("prediction", "ignored", "ignored", "ignored region"),
)
"""(side, match state, CSS class, words); the legend and the paths go by it."""

SIDES: Final = ("truth", "prediction")
MATCHES: Final = ("matched", "missed", "false positive", "ignored")

NO_TAGS: Final = card_tags.Tags()

PICKS: Final[Mapping[str, str]] = {
    "worst": "worst",
    "random": "random",
    "series": "same frame, other severity",
    "strip": "strip frame",
    "same_frame": "same frame, other model",
}


class Pictures:
    """The pictures of a page, in order of first use: inside it, or files in the folder `beside` it."""

    def __init__(self, folder: Path, *, beside: str | None = None) -> None:
        self.folder = folder
        self.beside = beside
        self.found: dict[str, dict[str, Any]] = {}

    def use(self, name: str, width: int, height: int) -> str:
        """What the page calls a picture: an id in it, for which the file is read, or the file's place beside it.

        Raises:
            InputError: gallery.parquet names a picture that is not there.
        """
        if name not in self.found:
            path = self.folder / name
            if not path.is_file():
                raise InputError(f"Expected the picture {path}, found none: run the stage gallery again.")
            place = f"p{len(self.found)}" if self.beside is None else f"{self.beside}/{name}"
            data = base64.b64encode(path.read_bytes()).decode("ascii") if self.beside is None else None
            self.found[name] = {"id": place, "width": width, "height": height, "data": data}
        return str(self.found[name]["id"])

    def inside(self) -> Iterable[dict[str, Any]]:
        """Every picture inside the page: id, width, height, data (base64 WebP)."""
        return self.found.values() if self.beside is None else ()


def in_file(gallery: pd.DataFrame, about: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of the gallery that are within the quota of the single file; the others are in the folder alone."""
    return gallery[~gallery["example_id"].isin(about.get("beyond_file", ()))]


def shown(params: Params, gallery: pd.DataFrame, about: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    """What the page shows of the examples that could be shown, by which quota, and where the others are.

    Args:
        params: of the run.
        gallery: all rows.
        about: gallery/about.json.
        pictures: those of the page, all of them in use.
    """
    folder = pictures.beside is not None
    rows = gallery if folder else in_file(gallery, about)
    text = f"{len(rows):,} examples on {len(pictures.found):,} pictures"
    if (candidates := about.get("candidates")) is not None:
        text += f", of {candidates:,} candidates (one frame by one model and task in one cell)"
    quota, key = (
        (params.report.folder_pictures, "directory_pictures") if folder else (params.report.pictures, "pictures")
    )
    text += f"; at most {quota:,} pictures (report.{key} in params.yaml)."
    more = len(gallery) - len(rows)
    if more:
        text += f" {more:,} further examples stand in the folder beside this file:"
    elif not folder and params.report.form == "file" and (candidates or 0) > len(rows):
        text += (
            f" With report.form: directory there is a folder as well, with up to"
            f" {params.report.folder_pictures:,} pictures."
        )
    return {"text": text, "link": "robustness/index.html" if more else None}


def cards(
    gallery: pd.DataFrame,
    pictures: Pictures,
    tags: card_tags.Tags = NO_TAGS,
    caught: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """The cards of the gallery in the order that the page shows them: worst first, then random, then the others.

    Args:
        gallery: the rows that are shown.
        pictures: of the page.
        tags: the slices of their frames.
        caught: the failure rules that caught an example, by example.
    """
    place = {pick: i for i, pick in enumerate(PICKS)}
    rows = gallery.assign(_pick=gallery["pick"].map(place), _score=gallery["score"].astype(float))
    # Equal scores are common (nothing found at all): a hash mixes their cells, the table's order would group them.
    rows["_mixed"] = [hashlib.sha256(name.encode()).hexdigest() for name in rows["example_id"]]
    rows = rows.sort_values(["_pick", "_score", "_mixed"], kind="stable")
    return [_card(row, pictures, tags, caught.get(row["example_id"], ())) for row in rows.to_dict("records")]


def _card(row: dict[Any, Any], pictures: Pictures, tags: card_tags.Tags, caught: Sequence[str]) -> dict[str, Any]:
    drawn = json.loads(row["overlay"])
    width, height = int(row["width_px"]), int(row["height_px"])
    where = cell_words(row)
    frame = f"frame {row['frame_index']} of {row['clip_id']}"
    panels: list[dict[str, Any]] = [
        {"picture": pictures.use(row["clean_file"], width, height), "caption": "Clean", "label": f"Clean {frame}"}
    ]
    if row["severity"]:
        corrupted = pictures.use(row["corrupted_file"], width, height)
        panels.append({"picture": corrupted, "caption": "Corrupted", "label": f"The same frame, {where}"})
    if row["truth_file"] is not None and not pd.isna(row["truth_file"]):
        for kind, caption in (("truth", "Truth"), ("prediction", "Prediction"), ("difference", "Difference")):
            picture = pictures.use(row[f"{kind}_file"], width, height)
            told = _shares(drawn.get("difference", {})) if kind == "difference" else ""
            label = f"{caption} map of the frame{': ' if told else ''}{told}"
            caption = f"{caption}: {told}" if told else caption
            panels.append({"picture": picture, "caption": caption, "label": label})
    elif "truth" in drawn and isinstance(drawn["truth"], list):
        panels.append(
            {
                "picture": panels[-1]["picture"],
                "caption": "Prediction against truth",
                "label": _counted(drawn),
                "paths": _paths(drawn),
            }
        )
    rank = drawn.get("rank")
    frame_id = int(row["frame_id"])
    evidence = [
        _words(row["evidence"], keep=True),
        tags.words(frame_id),
        terms.cell(row["corruption"], row["severity"]),
    ]
    right = not pd.isna(row["score"]) and float(row["score"]) >= 1
    return {
        "id": row["example_id"],
        "model": row["model"],
        "task": row["task"],
        "task_name": terms.TASK_NAMES[row["task"]],
        "corruption": row["corruption"],
        "severity": int(row["severity"]),
        "frame_id": frame_id,
        "slices": " ".join(map(str, tags.of(frame_id))),
        "pick": row["pick"],
        "pick_name": PICKS[row["pick"]],
        "where": where,
        "frame": frame,
        "width": width,
        "height": height,
        "panels": panels,
        "labels": drawn if "top" in drawn else None,
        "score": wording.number(row["score"]),
        "right": right,
        "error_kind": _words(row["error_kind"]),
        "evidence": "; ".join(filter(None, evidence)),
        "rank": f"rank {rank[0]} of {rank[1]} in this cell, worst first" if rank else "",
        "rules": list(caught),
    }


def overlays(gallery: pd.DataFrame) -> dict[str, Any]:
    """What the dialog draws over a picture: class names, and by example the boxes of truth and of predictions.

    A box is x0, y0, x1, y1, the place of its class in `names`, the place of its state in `states`, its score, its id
    and the rings of its outline, where there are such: what is absent at the end is left out.
    """
    names: dict[str, int] = {}
    boxes = {}
    for row in gallery.to_dict("records"):
        drawn = json.loads(row["overlay"])
        if not isinstance(drawn.get("truth"), list):
            continue
        tracked = row["task"] == "tracking"
        boxes[row["example_id"]] = [
            [_packed(item, names.setdefault(item["class"], len(names)), tracked=tracked) for item in drawn[side]]
            for side in SIDES
        ]
    return {"names": list(names), "states": list(MATCHES), "boxes": boxes}


def _packed(item: Mapping[str, Any], name: int, *, tracked: bool) -> list[Any]:
    found = [*item["box"], name, MATCHES.index(item["state"]), item.get("score")]
    found += [item.get("id") if tracked else None, item.get("outline")]
    while found[-1] is None:
        found.pop()
    return found


def _shares(found: Mapping[str, float]) -> str:
    """What became of the pixels, those that are more than half a percent."""
    return ", ".join(f"{100 * share:.0f} % {name}" for name, share in found.items() if share >= 0.005)


def cell_words(row: Mapping[Any, Any]) -> str:
    """A cell with its physical strength."""
    if not row["severity"]:
        return "clean data"
    level = wording.strength(row["strength"], row["strength_unit"])
    return f"{terms.corruption(row['corruption'])}, severity {row['severity']}" + (f" ({level})" if level else "")


def _words(text: Any, *, keep: bool = False) -> str:
    if text is None or pd.isna(text):
        return ""
    return str(text) if keep else str(text).replace("_", " ")


def _counted(drawn: dict[str, Any]) -> str:
    counts = []
    for side, state, _, words in STATES:
        number = sum(item["state"] == state for item in drawn[side])
        if number and not (side == "truth" and state == "matched"):
            counts.append(f"{number} × {words}")
    return "Boxes over the frame: " + (", ".join(counts) or "none")


def _paths(drawn: dict[str, Any]) -> list[tuple[str, str]]:
    """(CSS class, path data) of each state that occurs: all its boxes, or mask outlines, in one path."""
    paths: dict[str, str] = {}
    for side, state, style, _ in STATES:
        for item in drawn[side]:
            if item["state"] == state:
                paths[style] = paths.get(style, "") + _shape(item)
    return list(paths.items())


def _shape(item: dict[str, Any]) -> str:
    if item.get("outline"):
        return "".join(
            "M" + "L".join(f"{ring[i]:g} {ring[i + 1]:g}" for i in range(0, len(ring), 2)) + "Z"
            for ring in item["outline"]
        )
    x0, y0, x1, y1 = item["box"]
    return f"M{x0:g} {y0:g}H{x1:g}V{y1:g}H{x0:g}Z"
