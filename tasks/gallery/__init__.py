"""Draw the pictures that the page shows: corrupts the picked frames again, runs no model."""

import json
import os
import shutil
from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

from tasks import corruptions, tables
from tasks.gallery import overlay, picks, pictures
from tasks.gallery.source import Source
from tasks.layout import Layout
from tasks.params import Params

__all__ = ["ABOUT", "draw"]

ABOUT: Final = "about.json"
"""Beside gallery.parquet: how frames were picked, the palette, the corruptions' facts and their strips."""


def draw(params: Params, layout: Layout) -> None:
    """Write gallery/: gallery.parquet, the WebP files that it names and about.json, whole or not at all.

    Raises:
        InputError: a table is missing or does not fit.
    """
    temporary = layout.gallery.with_name(f".gallery.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _draw(Source(params, layout), pictures.Folder(temporary))
        shutil.rmtree(layout.gallery, ignore_errors=True)
        temporary.replace(layout.gallery)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _draw(source: Source, folder: pictures.Folder) -> None:
    params, layout = source.params, source.layout
    scores = tables.read("scores", layout.scores / "scores.parquet")
    examples = tables.read("examples", layout.scores / "examples.parquet")
    examples = examples[examples["frame_id"].isin(source.frames.index)]
    strips = _strip_picks(source, params.report.pictures)
    chosen = picks.choose(
        examples,
        corruptions=[choice.name for choice in params.choices()],
        models=list(params.models),
        budget=params.report.pictures,
        seed=params.run.seed,
        strips=strips,
    )
    rows: list[dict[str, Any]] = []
    shown: dict[tuple[str, int, int], str] = {}
    for (corruption, severity), group in _grouped(chosen):
        by_frame = {pick.frame_id: pick for pick in group}
        cell = examples[(examples["corruption"] == corruption) & (examples["severity"] == severity)]
        predictions = {
            model: source.predictions(model, corruption, severity, set(by_frame)) for model in cell["model"].unique()
        }
        for frame_id, clean, made in source.corrupted(corruption, severity, by_frame):
            files = {"clean_file": folder.photograph(["clean", frame_id], clean)}
            files["corrupted_file"] = (
                files["clean_file"] if severity == 0 else folder.photograph([corruption, severity, frame_id], made)
            )
            shown[corruption, severity, frame_id] = files["corrupted_file"]
            own = cell[cell["frame_id"] == frame_id]
            for example in own.to_dict("records"):
                found = predictions[example["model"]].get(frame_id)
                rows += _row(source, folder, scores, by_frame[frame_id], example, cell, files, found)
    tables.write("gallery", _table(rows), folder.path / "gallery.parquet")
    about = _about(source, strips, shown)
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    (folder.path / ABOUT).write_text(text + "\n", encoding="utf-8")


def _grouped(chosen: Iterable[picks.Pick]) -> list[tuple[tuple[str, int], list[picks.Pick]]]:
    cells: dict[tuple[str, int], list[picks.Pick]] = {}
    for pick in chosen:
        cells.setdefault((pick.corruption, pick.severity), []).append(pick)
    return list(cells.items())


def _strip_picks(source: Source, budget: int) -> list[picks.Pick]:
    """The frame with the most truth boxes (ties by hash) in every corruption, at the severities that fit."""
    counts = {frame_id: len(source.objects.get(frame_id, ())) for frame_id in source.frames["frame_id"].astype(int)}
    seed = source.params.run.seed
    frame_id = min(counts, key=lambda key: (-counts[key], picks.order_key(seed, key)))
    choices = source.params.choices()
    return [
        picks.Pick(choice.name, severity, frame_id, "strip")
        for choice in choices
        for severity in picks.strip_severities(list(choice.severities(source.params.severities)), len(choices), budget)
    ]


def _row(
    source: Source,
    folder: pictures.Folder,
    scores: pd.DataFrame,
    pick: picks.Pick,
    example: dict[Any, Any],
    cell: pd.DataFrame,
    files: dict[str, str],
    predictions: pd.DataFrame | None,
) -> list[dict[str, Any]]:
    """The gallery's row of one example on a picked frame; none where the pick is not for its task."""
    task, model = str(example["task"]), str(example["model"])
    frame = source.frame(pick.frame_id)
    width, height = _size(source, pick.frame_id)
    if not pick.shows(task):
        return []
    maps: dict[str, str | None] = dict.fromkeys(("truth_file", "prediction_file", "difference_file"))
    drawn: dict[str, Any]
    if task == "semantic":
        found = _maps(source, folder, pick, model, predictions)
        if found is None:
            return []
        maps, drawn = found, {}
    elif task == "classification":
        drawn = _labels(source, model, frame, predictions)
    else:
        threshold = _threshold(scores, task, model)
        empty = pd.DataFrame(columns=[*tables.SCHEMAS["predictions"].names, "_size"])
        drawn = overlay.boxes(
            source.truth(pick.frame_id, pick.corruption, pick.severity),
            empty if predictions is None else predictions,
            names=source.names("object"),
            mapping=source.mapping(model, task),
            scale=(width / int(frame["width_px"]), height / int(frame["height_px"])),
            task=task,
            threshold=threshold,
        )
        drawn["threshold"] = threshold
    own = cell[(cell["task"] == task) & (cell["model"] == model)]["score"].astype(float)
    if not pd.isna(example["score"]):
        drawn["rank"] = [int((own < float(example["score"])).sum()) + 1, len(own)]
    picked_for = pick.kind != "worst" or (pick.task, pick.model) == (task, model)
    strength, unit = source.strength(pick.corruption, pick.severity)
    return [
        {
            "example_id": f"{model}/{task}/{pick.corruption}/{pick.severity}/{pick.frame_id}",
            "model": model,
            "task": task,
            "corruption": pick.corruption,
            "family": example["family"],
            "severity": pick.severity,
            "strength": strength,
            "strength_unit": unit,
            "frame_id": pick.frame_id,
            "clip_id": frame["clip_id"],
            "frame_index": int(frame["frame_index"]),
            "pick": pick.kind if picked_for else "same_frame",
            "score": example["score"],
            "error_kind": example["error_kind"],
            "evidence": example["evidence"],
            **files,
            **maps,
            "width_px": width,
            "height_px": height,
            "overlay": json.dumps(drawn, ensure_ascii=False, separators=(",", ":")),
        }
    ]


def _maps(
    source: Source, folder: pictures.Folder, pick: picks.Pick, model: str, predictions: pd.DataFrame | None
) -> dict[str, str | None] | None:
    """Truth, prediction and difference as pictures; None where either map is missing."""
    real = source.truth_map(pick.frame_id, pick.corruption, pick.severity)
    stored = [] if predictions is None else [m for m in predictions["label_map"] if isinstance(m, bytes)]
    if real is None or not stored:
        return None
    colours = pictures.palette(source.names("semantic"))
    found = overlay.mapped_labels(tables.decode_label_map(stored[0]), source.mapping(model, "semantic"))
    where = [model, pick.corruption, pick.severity, pick.frame_id]
    return {
        "truth_file": folder.drawing(_truth_name(pick), pictures.paint(real, colours)),
        "prediction_file": folder.drawing(["prediction", *where], pictures.paint(found, colours)),
        "difference_file": folder.drawing(["difference", *where], pictures.difference(real, found)),
    }


def _truth_name(pick: picks.Pick) -> list[object]:
    """One truth map serves all cells, but for those that displace it."""
    own = pick.severity and corruptions.find(pick.corruption).moves_truth
    return ["truth", pick.frame_id, *([pick.corruption, pick.severity] if own else [])]


def _labels(source: Source, model: str, frame: dict[Any, Any], predictions: pd.DataFrame | None) -> dict[str, Any]:
    stored = [] if predictions is None else [p for p in predictions["probabilities"] if p is not None]
    return overlay.labels(
        None if pd.isna(frame["label_id"]) else int(frame["label_id"]),
        list(stored[0]) if stored else None,
        names=source.names("label"),
        model_labels=source.model_classes(model, "label"),
        mapping=source.mapping(model, "classification"),
    )


def _threshold(scores: pd.DataFrame, task: str, model: str) -> float | None:
    """The score at which the model works best on clean data; tracking draws what has an id."""
    rows = scores[
        (scores["metric"] == "operating_threshold")
        & (scores["task"] == task)
        & (scores["model"] == model)
        & scores["value"].notna()
    ]
    return float(rows["value"].iloc[0]) if len(rows) else None


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    names = tables.SCHEMAS["gallery"].names
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values(["task", "corruption", "severity", "frame_id", "model"], kind="stable").reset_index(
        drop=True
    )


def _size(source: Source, frame_id: int) -> tuple[int, int]:
    frame = source.frame(frame_id)
    return pictures.size(int(frame["width_px"]), int(frame["height_px"]))


def _about(source: Source, strips: list[picks.Pick], shown: dict[tuple[str, int, int], str]) -> dict[str, Any]:
    semantic = source.names("semantic")
    colours = pictures.palette(semantic)
    facts = []
    for choice in source.params.choices():
        entry = corruptions.find(choice.name)
        own = [pick for pick in strips if pick.corruption == choice.name]
        facts.append(
            {
                "name": choice.name,
                "family": choice.family,
                "parameter": entry.parameter,
                "measure": entry.measure,
                "stage": entry.stage,
                "version": entry.version,
                "temporal": str(entry.temporal),
                "moves_pixels": bool(entry.moves_pixels),
                "moves_truth": bool(entry.moves_truth),
                "whole_clip": bool(entry.whole_clip),
                "source": entry.source,
                "note": str(entry.note or ""),
                "levels": [
                    [severity, *source.strength(choice.name, severity)]
                    for severity in choice.severities(source.params.severities)
                ],
                "coding": source.coding(choice.name),
                "strip": {
                    str(pick.severity): shown[pick.corruption, pick.severity, pick.frame_id]
                    for pick in own
                    if (pick.corruption, pick.severity, pick.frame_id) in shown
                },
            }
        )
    return {
        "sampling": picks.SAMPLING,
        "match_iou": overlay.MATCH_IOU,
        "palette": [[semantic[class_id], colour] for class_id, colour in colours.items()],
        "palette_difference": {"right": pictures.RIGHT, "wrong": pictures.WRONG, "not counted": pictures.NO_CLASS},
        "corruptions": facts,
        "strip_frame": strips[0].frame_id if strips else None,
        "strip_size": _size(source, strips[0].frame_id) if strips else None,
        "unreadable": dict(sorted((str(k), v) for k, v in source.unreadable.items())),
    }
