"""Draw the pictures that the page shows: corrupts the picked frames again, runs no model."""

import json
import os
import shutil
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import pandas as pd

from tasks import corruptions, tables
from tasks.gallery import about, films, overlay, picks, pictures
from tasks.gallery.source import Source
from tasks.layout import Layout
from tasks.params import Params

__all__ = ["ABOUT", "draw"]

ABOUT: Final = "about.json"
"""Beside gallery.parquet: how frames were picked, the palettes, the filmstrips, the corruptions' facts and strips."""


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
    strips_of_switches = _films(source)
    choose = partial(
        picks.choose,
        examples,
        corruptions=[choice.name for choice in params.choices()],
        models=list(params.models),
        seed=params.run.seed,
    )
    made_anyway = [*strips, *(pick for film in strips_of_switches for pick in film.picks())]
    in_file = chosen = choose(budget=params.report.pictures, strips=made_anyway)
    if params.report.form == "directory":  # the folder shows what the file does, and then more by the same rule
        chosen = choose(budget=params.report.folder_pictures, strips=in_file)
    rows: list[dict[str, Any]] = []
    shown: dict[tuple[str, int, int], str] = {}
    scenes: dict[tuple[films.Film, int], dict[str, Any]] = {}
    for (corruption, severity), group in _grouped(chosen):
        by_frame: dict[int, list[picks.Pick]] = {}
        for pick in group:
            by_frame.setdefault(pick.frame_id, []).append(pick)
        own_films = [f for f in strips_of_switches if (f.corruption, f.severity) == (corruption, severity)]
        cell = examples[(examples["corruption"] == corruption) & (examples["severity"] == severity)]
        predictions = {
            model: source.predictions(model, corruption, severity, set(by_frame))
            for model in dict.fromkeys([*cell["model"], *(film.model for film in own_films)])
        }
        for frame_id, clean, made in source.corrupted(corruption, severity, by_frame):
            place = [corruption, severity, frame_id] if severity else ["clean", frame_id]
            files = {"corrupted_file": folder.photograph(place, made)}
            shown[corruption, severity, frame_id] = files["corrupted_file"]
            for film in own_films:
                if frame_id in film.frames:
                    drawn = _boxes(source, film, frame_id, predictions[film.model].get(frame_id))
                    index = int(source.frame(frame_id)["frame_index"])
                    facts = {"frame_id": frame_id, "frame_index": index, "file": files["corrupted_file"]}
                    scenes[film, frame_id] = {**facts, **films.scene(film, frame_id, drawn)}
            own = cell[cell["frame_id"] == frame_id]
            for example in own.to_dict("records"):
                # A frame that was picked twice in a cell is shown once for a task, as it was picked first.
                for one in [one for one in by_frame[frame_id] if one.shows(str(example["task"]))][:1]:
                    files["clean_file"] = folder.photograph(["clean", frame_id], clean)
                    found = predictions[example["model"]].get(frame_id)
                    rows += _row(source, folder, scores, one, example, cell, files, found)
    table = _table(rows)
    tables.write("gallery", table, folder.path / "gallery.parquet")
    told = [
        films.told(
            film,
            [scenes[film, f] for f in film.frames],
            size=source.picture_size(film.frame_id),
            strength=source.strength(film.corruption, film.severity),
        )
        for film in strips_of_switches
        if all((film, f) in scenes for f in film.frames)
    ]
    facts = about.describe(source, strips, told, shown)
    facts |= {"candidates": len(examples), "beyond_file": _beyond(table, in_file)}
    text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False)
    (folder.path / ABOUT).write_text(text + "\n", encoding="utf-8")


def _beyond(table: pd.DataFrame, in_file: Iterable[picks.Pick]) -> list[str]:
    """The examples that are not within the quota of the single file."""
    shown = {(p.corruption, p.severity, p.frame_id, task) for p in in_file for task in tables.TASKS if p.shows(task)}
    places = zip(table["corruption"], table["severity"], table["frame_id"], table["task"], strict=True)
    return [str(name) for name, place in zip(table["example_id"], places, strict=True) if place not in shown]


def _films(source: Source) -> list[films.Film]:
    path = source.layout.scores / "switches.parquet"
    if not path.exists():  # of a run from before they were kept
        return []
    switches = tables.read("switches", path)
    params = source.params
    named = {(choice.name, level) for choice in params.choices() for level in choice.severities(params.severities)}
    cells = zip(switches["corruption"], switches["severity"].astype(int), strict=True)
    kept = pd.Series([cell in named | {(tables.CLEAN, 0)} for cell in cells], index=switches.index, dtype=bool)
    return films.choose(
        switches[kept],
        source.frames,
        models=list(params.models),
        budget=int(params.report.pictures * picks.FILM_SHARE),
        seed=params.run.seed,
    )


def _boxes(source: Source, film: films.Film, frame_id: int, predictions: pd.DataFrame | None) -> dict[str, Any]:
    where = (film.model, film.corruption, film.severity, frame_id)
    return _overlay(source, films.TASK, *where, predictions, threshold=None)


def _grouped(chosen: Iterable[picks.Pick]) -> list[tuple[tuple[str, int], list[picks.Pick]]]:
    cells: dict[tuple[str, int], list[picks.Pick]] = {}
    for pick in chosen:
        cells.setdefault((pick.corruption, pick.severity), []).append(pick)
    return list(cells.items())


def _strip_picks(source: Source, budget: int) -> list[picks.Pick]:
    """The frame with the most truth boxes (ties by hash) in every corruption, at the severities that fit, and clean."""
    counts = {frame_id: len(source.objects.get(frame_id, ())) for frame_id in source.frames["frame_id"].astype(int)}
    seed = source.params.run.seed
    frame_id = min(counts, key=lambda key: (-counts[key], picks.order_key(seed, key)))
    choices = source.params.choices()
    found = [
        picks.Pick(choice.name, severity, frame_id, "strip")
        for choice in choices
        for severity in picks.strip_severities(list(choice.severities(source.params.severities)), len(choices), budget)
    ]
    return [*found, picks.Pick(tables.CLEAN, 0, frame_id, "strip")] if found else []


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
    """The gallery's row of one example on a picked frame; none where a semantic map is missing."""
    task, model = str(example["task"]), str(example["model"])
    frame = source.frame(pick.frame_id)
    width, height = source.picture_size(pick.frame_id)
    maps: dict[str, str | None] = dict.fromkeys(("truth_file", "prediction_file", "difference_file"))
    drawn: dict[str, Any]
    if task == picks.SEMANTIC:
        found = _maps(source, folder, pick, model, predictions)
        if found is None:
            return []
        maps, drawn = found[0], {"difference": found[1]}
    elif task == "classification":
        drawn = _labels(source, model, frame, predictions)
    else:
        threshold = _threshold(scores, task, model)
        where = (model, pick.corruption, pick.severity, pick.frame_id)
        drawn = _overlay(source, task, *where, predictions, threshold=threshold)
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


def _overlay(
    source: Source,
    task: str,
    model: str,
    corruption: str,
    severity: int,
    frame_id: int,
    predictions: pd.DataFrame | None,
    *,
    threshold: float | None,
) -> dict[str, Any]:
    """Truth and predicted boxes of one frame in picture pixels."""
    frame = source.frame(frame_id)
    width, height = source.picture_size(frame_id)
    empty = pd.DataFrame(columns=[*tables.SCHEMAS["predictions"].names, "_size"])
    return overlay.boxes(
        source.truth(frame_id, corruption, severity),
        empty if predictions is None else predictions,
        names=source.names("object"),
        mapping=source.mapping(model, task),
        scale=(width / int(frame["width_px"]), height / int(frame["height_px"])),
        task=task,
        threshold=threshold,
    )


def _maps(
    source: Source, folder: pictures.Folder, pick: picks.Pick, model: str, predictions: pd.DataFrame | None
) -> tuple[dict[str, str | None], dict[str, float]] | None:
    """Truth, prediction and difference as pictures, and what became of the pixels; None where either map is missing."""
    real = source.truth_map(pick.frame_id, pick.corruption, pick.severity)
    stored = [] if predictions is None else [m for m in predictions["label_map"] if isinstance(m, bytes)]
    if real is None or not stored:
        return None
    colours = pictures.palette(source.names("semantic"))
    found = overlay.mapped_labels(tables.decode_label_map(stored[0]), source.mapping(model, "semantic"))
    where = [model, pick.corruption, pick.severity, pick.frame_id]
    apart = pictures.difference(real, found)
    kinds = {place: colour for place, (colour, _) in enumerate(pictures.DIFFERENCE.values())}
    return {
        "truth_file": folder.drawing(_truth_name(pick), pictures.paint(real, colours)),
        "prediction_file": folder.drawing(["prediction", *where], pictures.paint(found, colours)),
        "difference_file": folder.drawing(["difference", *where], pictures.paint(apart, kinds)),
    }, pictures.shares(apart)


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
