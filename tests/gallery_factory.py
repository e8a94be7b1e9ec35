"""What the made-up run of report_factory has around its pictures when asked: clean frames, slices, filmstrips."""

import json
from typing import Any

import pandas as pd

from tasks import tables
from tasks.layout import Layout
from tasks.params import Params, Slices
from tests import report_factory

NORTH = {0, 2}
"""Frames of the camera north; the others are of east."""

FILM_FRAMES = (7, 8, 9, 10, 11)


def params(**more: Any) -> Params:
    """Params of the made-up run with two cameras, objects by size and a failure rule."""
    run = report_factory.params(**more)
    rules = report_factory.parse({**run.model_dump(by_alias=True, exclude_none=True), "failures": RULES}).failures
    cut = Slices(attributes=("camera",), object=("size",))
    return run.model_copy(update={"slices": cut, "failures": rules})


RULES = {"blind": {"task": "detection", "max_score": 0.05, "severity": [5]}}


def write(run: Params, layout: Layout) -> None:
    """Add them to what report_factory.write wrote."""
    _frames(layout)
    table = tables.read("gallery", layout.gallery / "gallery.parquet")
    table = pd.concat([table, _clean(table)], ignore_index=True)
    tables.write("gallery", table, layout.gallery / "gallery.parquet")
    path = layout.gallery / "about.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    models = list(run.models)
    about |= {"sampling_films": "By chance.", "films": [_film(models[0], 9, "occlusion"), _film(models[1], 9, "none")]}
    path.write_text(json.dumps(about), encoding="utf-8")


def _clean(gallery: pd.DataFrame) -> pd.DataFrame:
    """The frames of the corrupted examples without corruption, a little better."""
    first = gallery.drop_duplicates(["model", "task", "frame_id"])
    made = first.assign(corruption="clean", family="clean", severity=0, strength=None, strength_unit=None, pick="strip")
    names = zip(made["model"], made["task"], made["frame_id"], strict=True)
    made["example_id"] = [f"{model}/{task}/clean/0/{frame}" for model, task, frame in names]
    return made.assign(corrupted_file=made["clean_file"], score=made["score"] + 0.5)


def _frames(layout: Layout) -> None:
    frames, objects = [], []
    for frame in range(3):
        row = dict.fromkeys(tables.SCHEMAS["frames"].names)
        row |= {"frame_id": frame, "clip_id": "clip-000", "frame_index": frame, "source_file": f"{frame}.png"}
        frames.append({**row, "width_px": 640, "height_px": 384, "camera": "north" if frame in NORTH else "east"})
        row = dict.fromkeys(tables.SCHEMAS["objects"].names)
        row |= {"object_id": frame, "frame_id": frame, "class_id": 0, "crowd": False, "ignore": False}
        row |= {"x0_px": 9.0, "y0_px": 9.0, "x1_px": 19.0, "y1_px": 19.0, "area_px": 100.0 if frame == 1 else 9000.0}
        objects.append(row)
    tables.write("frames", pd.DataFrame(frames), layout.tables / "frames.parquet")
    tables.write("objects", pd.DataFrame(objects), layout.tables / "objects.parquet")


def _film(model: str, frame_id: int, circumstance: str) -> dict[str, Any]:
    """Five frames in which a car goes from id 7 to id 12, lost in the second one."""
    on = (7, None, 12, 12, 12)
    frames = []
    for place, frame in enumerate(FILM_FRAMES):
        box = [60.0 + 10 * place, 60.0, 110.0 + 10 * place, 100.0]
        tracks = [] if on[place] is None else [[on[place], [v + 2 for v in box]]]
        facts = {"frame_id": frame, "frame_index": frame, "file": f"clean-{place % 2}.webp"}
        frames.append({**facts, "truth": box, "tracks": tracks, "on": on[place]})
    return {
        "example_id": f"{model}/switch/clean/0/{frame_id}/3",
        "model": model,
        "corruption": "clean",
        "severity": 0,
        "strength": None,
        "strength_unit": None,
        "clip_id": "clip-000",
        "frame_id": frame_id,
        "true_track": 3,
        "track_before": 7,
        "track_now": 12,
        "name": "car",
        "circumstance": circumstance,
        "width_px": 320,
        "height_px": 192,
        "view": [40.0, 30.0, 140.0, 105.0],
        "frames": frames,
    }
