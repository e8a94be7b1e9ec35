"""A run in small with every task, made up, as the stages before the gallery would leave it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from pycocotools import mask as coco_mask

from tasks import tables
from tasks.gallery import picks
from tasks.layout import Layout
from tasks.params import Params, parse

WIDTH, HEIGHT, CLIPS, LENGTH = 400, 240, 3, 4
MODELS = ("v1", "v2")
TASKS = ("detection", "instance", "semantic", "tracking", "classification")
NOISE = "gaussian_noise + gamma during 1:3"
CELLS = [("clean", "clean", 0)] + [
    (name, family, severity)
    for name, family in (("defocus_blur", "blur"), (NOISE, "noise"), ("h264", "compression"))
    for severity in (1, 3)
]


def frame_of(frame_id: int) -> np.ndarray:
    rng = np.random.default_rng(frame_id)
    small = rng.integers(0, 255, (12, 20, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> bytes:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    mask[y0:y1, x0:x1] = 1
    return coco_mask.encode(mask)["counts"]


def write(root: Path) -> tuple[Params, Layout]:
    """A run of 3 clips of 4 frames with every task, as the stages before the gallery would leave it."""
    layout = Layout(root)
    params = parse(
        {
            "dataset": {"path": str(root / "data")},
            "models": {name: {"adapter": "small", "weights": f"{name}.safetensors"} for name in MODELS},
            "corruptions": {
                "blur": ["defocus_blur"],
                "noise": [NOISE],
                "compression": [{"h264": {"crf": [23, 37, 51]}}],
            },
            "severities": [1, 3],
            "scale_to": 120,
            "report": {"pictures": 60},
            "run": {"seed": 7},
        }
    )
    (root / "data").mkdir()
    frames, objects, maps = [], [], []
    for clip in range(CLIPS):
        for index in range(LENGTH):
            frame_id = clip * LENGTH + index
            Image.fromarray(frame_of(frame_id)).save(root / "data" / f"{frame_id}.png")
            frames.append(
                {
                    **dict.fromkeys(tables.SCHEMAS["frames"].names),
                    "frame_id": frame_id,
                    "clip_id": f"clip{clip}",
                    "frame_index": index,
                    "label_id": index % 2,
                    "source_file": f"{frame_id}.png",
                    "width_px": WIDTH,
                    "height_px": HEIGHT,
                }
            )
            for place in range(2 + (frame_id == 5)):
                box = (40 + 120 * place, 60, 100 + 120 * place, 160)
                objects.append(
                    {
                        **dict.fromkeys(tables.SCHEMAS["objects"].names),
                        "object_id": len(objects),
                        "frame_id": frame_id,
                        "class_id": 3,
                        "area_px": 6000.0,
                        **dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), map(float, box), strict=True)),
                        "mask": rectangle(*box),
                        "track_id": place,
                        "crowd": False,
                        "ignore": False,
                    }
                )
            truth = np.zeros((HEIGHT, WIDTH), np.uint8)
            truth[HEIGHT // 2 :] = 1
            truth[:10] = tables.IGNORE
            maps.append({"frame_id": frame_id, "label_map": tables.encode_label_map(truth)})
    classes = [("object", 3, "car"), ("semantic", 0, "sky"), ("semantic", 1, "road")]
    classes += [("label", 0, "red"), ("label", 1, "green")]
    tables.write("frames", pd.DataFrame(frames), layout.tables / "frames.parquet")
    tables.write("objects", pd.DataFrame(objects), layout.tables / "objects.parquet")
    tables.write("semantic", pd.DataFrame(maps), layout.tables / "semantic.parquet")
    class_table = pd.DataFrame(classes, columns=["kind", "class_id", "name"])
    tables.write("classes", class_table, layout.tables / "classes.parquet")
    _predictions(layout)
    _scores(layout)
    return params, layout


def _predictions(layout: Layout) -> None:
    cells = []
    # The model's own ids differ from the data set's; they meet by name.
    described = {"object": {"0": "car"}, "semantic": {"4": "sky", "5": "road"}, "label": {"1": "green", "2": "red"}}
    for model in MODELS:
        for name, family, severity in CELLS:
            rows = []
            for frame_id in range(CLIPS * LENGTH):
                empty = dict.fromkeys(tables.SCHEMAS["predictions"].names)
                for box, score, track in (((42, 60, 100, 160), 0.9, 1), ((300, 20, 360, 60), 0.6, None)):
                    row = {**empty, "frame_id": frame_id, "class_id": 0, "score": score, "track_id": track}
                    row |= dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), map(float, box), strict=True))
                    rows.append({**row, "mask": rectangle(*box)})
                rows.append({**rows[-1], "score": 0.1})
                found = np.full((HEIGHT, WIDTH), 4, np.uint8)
                found[HEIGHT // 2 + 20 :] = 5
                more = {"label_map": tables.encode_label_map(found), "probabilities": [0.25, 0.75]}
                rows.append({**empty, "frame_id": frame_id, **more})
            table = pd.DataFrame(rows)
            table["prediction_id"] = range(len(table))
            table["track_id"] = table["track_id"].astype("Int64")
            part = f"{model}/{name}/{severity}/a.parquet"
            tables.write("predictions", table, layout.predictions / part)
            cells.append(
                {
                    **dict.fromkeys(tables.SCHEMAS["cells"].names),
                    "model": model,
                    "corruption": name,
                    "family": family,
                    "severity": severity,
                    "shard": "a",
                    "part": part,
                    "status": "ok",
                }
            )
    tables.write("cells", pd.DataFrame(cells), layout.predictions / "cells.parquet")
    facts = [
        {"corruption": "h264", "family": "compression", "severity": severity, "clip_id": f"clip{clip}"}
        | {"fact": "bitrate_kbps", "value": 100.0 / severity + clip}
        for severity in (1, 3)
        for clip in range(CLIPS)
    ]
    tables.write("coding", pd.DataFrame(facts), layout.predictions / "coding.parquet")
    text = json.dumps({model: {**described, "tasks": list(TASKS)} for model in MODELS})
    (layout.predictions / "models.json").write_text(text)


def _scores(layout: Layout) -> None:
    row = dict.fromkeys(tables.SCHEMAS["scores"].names)
    row |= {"corruption": "clean", "family": "clean", "severity": 0, "slice": "all", "class": "all", "status": "ok"}
    row |= {"n_units": 3, "n_frames": 12, "n_objects": 25, "metric": "operating_threshold", "value": 0.5}
    rows = [{**row, "model": model, "task": task} for model in MODELS for task in ("detection", "instance")]
    tables.write("scores", pd.DataFrame(rows), layout.scores / "scores.parquet")
    examples = [
        {
            "model": model,
            "task": task,
            "corruption": name,
            "family": family,
            "severity": severity,
            "frame_id": frame_id,
            "score": score_of(model, task, name, severity, frame_id),
            "error_kind": "miss",
            "evidence": f"evidence of {frame_id}",
        }
        for model in MODELS
        for task in TASKS
        for name, family, severity in CELLS
        for frame_id in range(CLIPS * LENGTH)
    ]
    tables.write("examples", pd.DataFrame(examples), layout.scores / "examples.parquet")
    switch = {"model": "v1", "task": "tracking", "corruption": "h264", "family": "compression", "severity": 3}
    switch |= {"clip_id": "clip1", "frame_id": 6, "true_track": 0, "track_before": 9, "track_now": 1}
    switches = pd.DataFrame([{**switch, "class": "car", "circumstance": "missed"}])
    tables.write("switches", switches, layout.scores / "switches.parquet")


def score_of(*key: object) -> float:
    return round(int(picks.order_key(1, hash_of(key)), 16) % 1000 / 1000, 3)


def hash_of(key: tuple[object, ...]) -> int:
    return sum(ord(letter) * (i + 1) for i, letter in enumerate("/".join(map(str, key))))
