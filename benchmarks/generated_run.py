"""A large made-up run for the report: tables and pictures of the size of the largest runs, from hashes; no model runs.

Four models, two tasks, 25 corruptions at five severities, 40 slices, 80 classes and 2,000 examples. Figures fall
as those of real runs do (`tests.report_factory`); pictures weigh what photographs weigh.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from tasks import tables
from tasks.gallery import picks, pictures
from tasks.layout import Layout
from tasks.params import Params
from tests import diagnostics_factory, report_factory

FAMILIES: Final[Mapping[str, Sequence[Any]]] = {
    "noise": ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"],
    "blur": ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"],
    "low_light": ["low_light", "gamma", "iso_noise"],
    "weather": ["snow", "frost", "fog", "spatter", "rain", "brightness"],
    "digital": ["contrast", "saturate", "elastic_transform"],
    "compression": ["pixelate", "jpeg_compression", {"h264": {"crf": [23, 30, 37, 44, 51]}}, "frame_drop"],
}
ATTRIBUTES: Final = ("camera", "time_of_day", "weather", "road", "traffic", "region", "lens", "height")
GATES: Final[Sequence[Mapping[str, Any]]] = (
    {"metric": "map", "family": "weather", "severity": 3, "min": 0.25},
    {"metric": "map", "slice": "*", "against": "baseline", "max_drop": 0.02},
    {"metric": "map", "corruption": "*", "severity": 5, "min": 0.1},
    {"metric": "hota", "severity": 0, "against": "baseline", "max_drop": 0.05},
)
WIDTH_PX: Final = 320
HEIGHT_PX: Final = 214


@dataclass(frozen=True)
class Size:
    """How large the run is."""

    models: int = 4
    slices: int = 40
    classes: int = 80
    frames_per_cell: int = 4  # of each of which every model gives an example
    tasks: tuple[str, ...] = ("detection", "tracking")


LARGE: Final = Size()


def params(size: Size = LARGE, *, pictures: int = 240, form: str = "file") -> Params:
    """Params of the run; the first model is the baseline."""
    run = report_factory.params(
        [f"detector-v{i + 1}" for i in range(size.models)], corruptions=FAMILIES, gates=GATES, pictures=pictures
    )
    return run.model_copy(update={"report": run.report.model_copy(update={"form": form})})


def write(layout: Layout, size: Size = LARGE) -> Params:
    """Everything that `publish` reads, on disk; the params that it was made with."""
    run = params(size)
    slices = [f"{ATTRIBUTES[i % len(ATTRIBUTES)]}=value {i // len(ATTRIBUTES)}" for i in range(size.slices)]
    classes = [f"class {i:02d}" for i in range(size.classes)]
    made = report_factory.scores(run, tasks=size.tasks, slices=slices, classes=classes)
    made = diagnostics_factory.explained(run, made)
    report_factory.write(run, layout, made, frames=1)
    diagnostics_factory.write(run, layout, size.tasks, classes=classes)
    _gallery(run, layout, size, classes)
    return run


def _gallery(run: Params, layout: Layout, size: Size, classes: Sequence[str]) -> None:
    """Examples of every cell, those that the stage `gallery` would choose of them, and their pictures."""
    cells = [(tables.CLEAN, tables.CLEAN, 0)]
    cells += [(c.name, c.family, s) for c in run.choices() for s in c.severities(run.severities)]
    examples = pd.DataFrame(
        [
            {
                "model": model,
                "task": "detection",
                "corruption": corruption,
                "family": family,
                "severity": severity,
                "frame_id": frame,
                "score": round(report_factory.unit(model, corruption, severity, frame) ** (1 + severity / 2), 4),
            }
            for corruption, family, severity in cells
            for frame in range(size.frames_per_cell)
            for model in run.models
        ]
    )
    about_path = layout.gallery / "about.json"
    about = json.loads(about_path.read_text(encoding="utf-8"))
    severities = picks.strip_severities(list(run.severities), len(list(run.choices())), run.report.pictures)
    strips = [picks.Pick(choice.name, severity, 0, "strip") for choice in run.choices() for severity in severities]
    chosen: dict[str, list[picks.Pick]] = {}
    for name, budget in (("file", run.report.pictures), ("directory", run.report.folder_pictures)):
        chosen[name] = picks.choose(
            examples,
            corruptions=[choice.name for choice in run.choices()],
            models=list(run.models),
            budget=budget,
            seed=run.run.seed,
            strips=chosen.get("file", strips),
        )
    kinds = {(pick.corruption, pick.severity, pick.frame_id): pick.kind for pick in chosen["directory"]}
    rows = [
        _row(layout, example, kinds[place], classes)
        for example in examples.to_dict("records")
        if (place := (example["corruption"], example["severity"], example["frame_id"])) in kinds
    ]
    table = pd.DataFrame(rows, columns=tables.SCHEMAS["gallery"].names)
    tables.write("gallery", table, layout.gallery / "gallery.parquet")
    in_file = {(pick.corruption, pick.severity, pick.frame_id) for pick in chosen["file"]}
    beyond = [r["example_id"] for r in rows if (r["corruption"], r["severity"], r["frame_id"]) not in in_file]
    about |= {"sampling": picks.SAMPLING, "candidates": len(examples), "beyond_file": beyond}
    about["strip_size"] = [WIDTH_PX, HEIGHT_PX]
    for fact in about["corruptions"]:
        fact["strip"] = {str(severity): _photograph(fact["name"], severity, 0) for severity in severities}
    about_path.write_text(json.dumps(about), encoding="utf-8")


def _row(layout: Layout, example: Mapping[str, Any], kind: str, classes: Sequence[str]) -> dict[str, Any]:
    corruption, severity, frame = example["corruption"], example["severity"], example["frame_id"]
    files = {
        "clean_file": _photograph(tables.CLEAN, 0, frame),
        "corrupted_file": _photograph(corruption, severity, frame),
    }
    for name in files.values():
        _picture(layout.gallery / name)
    boxes = np.random.default_rng(frame).uniform(0.05, 0.75, (7, 2)) * (WIDTH_PX, HEIGHT_PX)
    drawn: dict[str, Any] = {"truth": [], "prediction": [], "threshold": 0.4, "rank": [1, 40]}
    for place, (x, y) in enumerate(boxes.round(1).tolist()):
        box = {"box": [x, y, round(x + 41.5, 1), round(y + 33.5, 1)], "class": classes[place % len(classes)]}
        found = report_factory.unit(example["model"], corruption, severity, frame, place) > 0.1 * severity
        drawn["truth"].append({**box, "state": "matched" if found else "missed"})
        if found:
            off = report_factory.unit("off", example["model"], corruption, severity, frame, place)
            near = [round(end + 3 * off, 1) for end in box["box"]]
            drawn["prediction"].append({**box, "box": near, "score": round(off, 3), "state": "matched"})
    return {
        **dict.fromkeys(tables.SCHEMAS["gallery"].names),
        **example,
        "example_id": f"{example['model']}/detection/{corruption}/{severity}/{frame}",
        "strength": 1.0 * severity,
        "strength_unit": report_factory.UNITS.get(corruption),
        "clip_id": "clip-000",
        "frame_index": frame,
        "pick": kind,
        "error_kind": "miss",
        "evidence": f"{len(drawn['prediction'])} of {len(boxes)} objects found",
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        **files,
        "overlay": json.dumps(drawn),
    }


def _photograph(corruption: str, severity: int, frame: int) -> str:
    return f"photograph-{corruption}-{severity}-{frame}.webp"


def _picture(path: Path) -> None:
    """Smooth shapes with grain, WebP as the gallery stores photographs: about 10 kB."""
    if path.exists():
        return
    rng = np.random.default_rng(int(2**32 * report_factory.unit(path.name)))
    coarse = rng.uniform(0, 255, (HEIGHT_PX // 16, WIDTH_PX // 16, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 5, (HEIGHT_PX, WIDTH_PX, 1))
    image = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    Image.fromarray(image).save(path, format="WEBP", quality=pictures.QUALITY, method=4)
