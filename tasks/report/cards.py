"""The failure gallery as the page shows it: each picture once, cards that refer to them, boxes as SVG paths."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks.errors import InputError
from tasks.report import wording

STATES: Final = (
    ("truth", "matched", "truth-matched", "truth, found"),
    ("truth", "missed", "truth-missed", "truth, missed"),
    ("prediction", "matched", "prediction-matched", "prediction, right"),
    ("prediction", "false positive", "prediction-false", "prediction, false"),
    ("truth", "ignored", "ignored", "ignored region"),
    ("prediction", "ignored", "ignored", "ignored region"),
)
"""(side, match state, CSS class, words); the legend and the paths go by it."""

PICKS: Final[Mapping[str, str]] = {
    "worst": "worst",
    "random": "random",
    "strip": "strip frame",
    "same_frame": "same frame, other model",
}


class Pictures:
    """The pictures that the page embeds: file name -> id in the page, in order of first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, dict[str, Any]] = {}

    def use(self, name: str, width: int, height: int) -> str:
        """The id of a picture, which is read when first asked for.

        Raises:
            InputError: gallery.parquet names a picture that is not there.
        """
        if name not in self.found:
            path = self.folder / name
            if not path.is_file():
                raise InputError(f"Expected the picture {path}, found none: run the stage gallery again.")
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            self.found[name] = {"id": f"p{len(self.found)}", "width": width, "height": height, "data": data}
        return str(self.found[name]["id"])

    def all(self) -> Iterable[dict[str, Any]]:
        """Every picture in use: id, width, height, data (base64 WebP)."""
        return self.found.values()


def cards(gallery: pd.DataFrame, pictures: Pictures) -> list[dict[str, Any]]:
    """The cards of the gallery in the order that the page shows them: worst first, then random, then the others."""
    place = {pick: i for i, pick in enumerate(PICKS)}
    rows = gallery.assign(_pick=gallery["pick"].map(place), _score=gallery["score"].astype(float))
    # Equal scores are common (nothing found at all): a hash mixes their cells, the table's order would group them.
    rows["_mixed"] = [hashlib.sha256(name.encode()).hexdigest() for name in rows["example_id"]]
    rows = rows.sort_values(["_pick", "_score", "_mixed"], kind="stable")
    return [_card(row, pictures) for row in rows.to_dict("records")]


def _card(row: dict[Any, Any], pictures: Pictures) -> dict[str, Any]:
    drawn = json.loads(row["overlay"])
    width, height = int(row["width_px"]), int(row["height_px"])
    where = _where(row)
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
            panels.append({"picture": picture, "caption": caption, "label": f"{caption} map of the frame"})
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
    return {
        "id": row["example_id"],
        "model": row["model"],
        "task": row["task"],
        "task_name": wording.TASK_NAMES[row["task"]],
        "corruption": row["corruption"],
        "severity": int(row["severity"]),
        "pick": row["pick"],
        "pick_name": PICKS[row["pick"]],
        "where": where,
        "frame": frame,
        "width": width,
        "height": height,
        "panels": panels,
        "labels": drawn if "top" in drawn else None,
        "score": wording.number(row["score"]),
        "error_kind": _words(row["error_kind"]),
        "evidence": _words(row["evidence"], keep=True),
        "rank": f"rank {rank[0]} of {rank[1]} in this cell, worst first" if rank else "",
    }


def overlays(gallery: pd.DataFrame) -> dict[str, Any]:
    """What the dialog draws over a picture, by example: boxes with class, score, id and state."""
    found = {}
    for row in gallery.to_dict("records"):
        drawn = json.loads(row["overlay"])
        if isinstance(drawn.get("truth"), list):
            keep = {"truth": drawn["truth"], "prediction": drawn["prediction"], "threshold": drawn.get("threshold")}
            found[row["example_id"]] = keep
    return found


def _where(row: dict[Any, Any]) -> str:
    if not row["severity"]:
        return "clean data"
    level = wording.strength(row["strength"], row["strength_unit"])
    return f"{wording.corruption(row['corruption'])}, severity {row['severity']}" + (f" ({level})" if level else "")


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
