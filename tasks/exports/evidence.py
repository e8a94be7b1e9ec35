"""What a model made of a frame, for whoever checks annotations and models: pictures, maps and a summary, by folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from tasks import exports, tables, terms
from tasks.errors import InputError
from tasks.exports import drawing
from tasks.gallery import overlay
from tasks.gallery.source import Source
from tasks.layout import Layout, slug
from tasks.metrics import THRESHOLD
from tasks.params import Params

Content = dict[str, Any]


def write(params: Params, layout: Layout, chosen: pd.DataFrame, out: Path) -> int:
    """Write a folder OUT/MODEL/CORRUPTION-SEVERITY/FRAME for each answer of a model that `chosen` names.

    It holds picture.png as the model saw it, overlay-TASK.png, label maps and masks as maps of numbers where there
    are any, and summary.json. index.csv lists them all. Whole or not at all.

    Args:
        params: of the run.
        layout: of the run.
        chosen: rows of `selection.choose`.
        out: a folder that does not exist yet, or an empty one.

    Returns:
        How many answers.

    Raises:
        InputError: a table is missing, a frame cannot be read, or `out` is taken.
    """
    source = Source(params, layout)
    scores = tables.read("scores", layout.scores / "scores.parquet")
    scores = scores[scores["metric"] == THRESHOLD]
    index = []
    with exports.staged(out) as folder:
        for (corruption, severity), cell in chosen.groupby(["corruption", "severity"], sort=False):
            name, level = str(corruption), int(str(severity))
            ids = {int(frame) for frame in cell["frame_id"]}
            found = {model: source.predictions(model, name, level, ids) for model in cell["model"].unique()}
            for frame_id, _, pixels in source.corrupted(name, level, ids):
                for model, rows in cell[cell["frame_id"] == frame_id].groupby("model", sort=False):
                    place = Path(slug(str(model))) / f"{slug(name)}-{level}" / str(frame_id)
                    answer = _Answer(source, scores, str(model), name, level, frame_id, found[model].get(frame_id))
                    index.append(_line(answer.write(folder / place, pixels, rows), place))
        if source.unreadable:
            raise InputError(next(iter(source.unreadable.values())))
        order = ["model", "corruption", "severity", "frame_id"]
        pd.DataFrame(index).sort_values(order, kind="stable").to_csv(
            folder / "index.csv", index=False, lineterminator="\n"
        )
    return len(index)


class _Answer:
    """What one model made of one frame in one cell."""

    def __init__(self, source: Source, scores: pd.DataFrame, model: str, corruption: str, severity: int,
                 frame_id: int, predictions: pd.DataFrame | None) -> None:  # fmt: skip
        self.source = source
        self.scores = scores
        self.model, self.corruption, self.severity, self.frame_id = model, corruption, severity, frame_id
        self.frame = source.frame(frame_id)
        self.size = int(self.frame["height_px"]), int(self.frame["width_px"])
        empty = pd.DataFrame(columns=[*tables.SCHEMAS["predictions"].names, "_size"])
        self.predictions = empty if predictions is None else predictions
        self.truth = source.truth(frame_id, corruption, severity)

    def write(self, folder: Path, pixels: npt.NDArray[np.uint8], rows: pd.DataFrame) -> Content:
        """Write the files of this answer; its summary."""
        folder.mkdir(parents=True)
        files = {"picture": _save(folder, "picture.png", pixels)}
        maps = self._label_maps()
        files |= {name: _save(folder, f"{name}.png", content) for name, content in maps.items()}
        for name, table in (("truth_masks", self.truth), ("prediction_masks", self.predictions)):
            if any(isinstance(mask, bytes) for mask in table["mask"]):
                files[name] = _save(folder, f"{name}.png", drawing.instances(table["mask"], self.size))
        results = []
        for row in rows.sort_values("task").to_dict("records"):
            drawn = self._drawn(row["task"])
            results.append({**{k: _plain(row[k]) for k in ("task", "score", "error_kind", "evidence")}, **drawn})
            picture = self._overlay(pixels, row, drawn, maps)
            files[f"overlay_{row['task']}"] = _save(folder, f"overlay-{row['task']}.png", picture)
        strength, unit = self.source.strength(self.corruption, self.severity)
        summary = {
            "model": self.model,
            "corruption": self.corruption,
            "severity": self.severity,
            "strength": strength,
            "strength_unit": unit,
            "frame": {name: _plain(value) for name, value in self.frame.items()},
            "results": results,
            "files": files,
        }
        text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return summary

    def _label_maps(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Semantic maps in the data set's class ids; 255 is no class."""
        found = {}
        real = self.source.truth_map(self.frame_id, self.corruption, self.severity)
        if real is not None:
            found["truth_map"] = real
        stored = [data for data in self.predictions["label_map"] if isinstance(data, bytes)]
        if stored:
            mapping = self.source.mapping(self.model, "semantic")
            found["prediction_map"] = overlay.mapped_labels(tables.decode_label_map(stored[0]), mapping)
        return found

    def _drawn(self, task: str) -> Content:
        if task == "semantic":
            return {"classes": {str(key): name for key, name in self.source.names("semantic").items()}}
        if task == "classification":
            given = [p for p in self.predictions["probabilities"] if p is not None]
            return overlay.labels(
                None if pd.isna(self.frame["label_id"]) else int(self.frame["label_id"]),
                list(given[0]) if given else None,
                names=self.source.names("label"),
                model_labels=self.source.model_classes(self.model, "label"),
                mapping=self.source.mapping(self.model, task),
            )
        threshold = self._threshold(task)
        drawn = overlay.boxes(
            self.truth,
            self.predictions,
            names=self.source.names("object"),
            mapping=self.source.mapping(self.model, task),
            scale=(1.0, 1.0),
            task=task,
            threshold=threshold,
        )
        return {"threshold": threshold, **drawn}

    def _threshold(self, task: str) -> float | None:
        """The score that boxes are drawn from: where the model works best on clean frames."""
        rows = self.scores[(self.scores["task"] == task) & (self.scores["model"] == self.model)]
        values = rows["value"].dropna()
        return float(values.iloc[0]) if len(values) else None

    def _overlay(
        self,
        pixels: npt.NDArray[np.uint8],
        row: Mapping[Any, Any],
        drawn: Content,
        maps: Mapping[str, npt.NDArray[np.uint8]],
    ) -> npt.NDArray[np.uint8]:
        under = terms.cell(self.corruption, self.severity)
        caption = f"{self.model}, {row['task']}, {under}, score {row['score']:.2f}: {row['evidence'] or ''}"
        if "truth" in drawn and "prediction" in drawn:
            return drawing.boxes(pixels, drawn, caption)
        if row["task"] == "semantic" and len(maps) == 2:
            return drawing.mistakes(pixels, maps["truth_map"], maps["prediction_map"], f"{caption} (orange: wrong)")
        return drawing.words(pixels, caption)


def _save(folder: Path, name: str, pixels: npt.NDArray[Any]) -> str:
    Image.fromarray(pixels).save(folder / name)
    return name


def _line(summary: Content, place: Path) -> Content:
    worst = min(summary["results"], key=lambda result: float(result["score"]))
    return {
        **{name: summary[name] for name in ("model", "corruption", "severity")},
        **{name: summary["frame"][name] for name in ("frame_id", "clip_id", "frame_index")},
        "tasks": " ".join(result["task"] for result in summary["results"]),
        "lowest_score": worst["score"],
        "error_kind": worst["error_kind"],
        "evidence": worst["evidence"],
        "folder": place.as_posix(),
    }


def _plain(value: Any) -> Any:
    """A value of a table as JSON knows it."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
