"""A data set, a model and params small enough to run in seconds: real files, the real network with random weights."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from tasks.data.prepare import prepare
from tasks.layout import Layout
from tasks.models import small
from tasks.params import Params, load

CLASSES = {"object": {1: "car", 2: "bus"}, "semantic": {0: "road", 1: "sky"}, "label": {}}


def write(
    root: Path,
    *,
    clips: int = 3,
    frames: int = 4,
    size: tuple[int, int] = (48, 64),
    models: int = 2,
    corruptions: dict[str, list[object]] | None = None,
    run: dict[str, object] | None = None,
) -> Path:
    """Write params.yaml, data/, tables/ and models/ below `root`; the path of params.yaml.

    Clip k's first pixel is (k, k, k), which a test's own corruption can tell it by.
    """
    data = root / "data"
    generator = np.random.default_rng(0)
    images, annotations = [], []
    for clip in range(clips):
        ground = cv2.resize(generator.integers(0, 255, (6, 8, 3), dtype=np.uint8), size[::-1])
        for frame in range(frames):
            picture = np.roll(ground, 2 * frame, axis=1)
            picture[0, 0] = clip
            name = f"images/{clip}-{frame}.png"
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(data / name), picture)
            number = len(images) + 1
            images.append(
                {"id": number, "file_name": name, "height": size[0], "width": size[1], "video_id": clip + 1}
                | {"frame_index": frame}
            )
            annotations.append(
                {"id": number, "image_id": number, "category_id": 1, "bbox": [8, 8, 20, 16], "area": 320}
                | {"iscrowd": 0, "track_id": clip + 1}
            )
    document = {
        "info": {"description": "tiny"},
        "categories": [{"id": key, "name": name} for key, name in CLASSES["object"].items()],
        "videos": [{"id": clip + 1, "name": f"clip-{clip}"} for clip in range(clips)],
        "images": images,
        "annotations": annotations,
    }
    (data / "dataset.json").write_text(json.dumps(document))
    prepare(data, Layout(root).tables, strict=True)
    for seed in range(models):
        torch.manual_seed(seed)
        small.save(small.build(CLASSES), CLASSES, root / f"models/m{seed}.safetensors")
    params = {
        "dataset": {"path": "data", "split": None},
        "models": {
            f"m{seed}": {"adapter": "small", "weights": f"models/m{seed}.safetensors", "tracker": {"name": "bytetrack"}}
            for seed in range(models)
        },
        "metrics": {"min_units": 2, "resamples": 100},
        "corruptions": corruptions or {"noise": ["gaussian_noise"], "compression": ["jpeg_compression"]},
        "severities": [1, 3],
        "run": {"device": "cpu", "workers": 1, "prefect": False, "retries": 1} | (run or {}),
    }
    path = root / "params.yaml"
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    return path


def change(path: Path, **sections: object) -> Params:
    """Change sections of a params file (`run` by its keys, others whole); the params as read."""
    data = yaml.safe_load(path.read_text())
    for name, value in sections.items():
        data[name] = {**data[name], **value} if name == "run" else value  # type: ignore[dict-item]
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return load(path)


def plug(folder: Path, code: str) -> Path:
    """A package of a third party whose module `plugged` offers `CORRUPTION`; put `folder` on the import path."""
    information = folder / "plugged-0.1.dist-info"
    information.mkdir(parents=True)
    (folder / "plugged.py").write_text(code)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 0.1\n")
    (information / "entry_points.txt").write_text("[stormglass.corruptions]\nplugged = plugged:CORRUPTION\n")
    return folder


CORRUPTION = """
import os, time
from pathlib import Path
from tasks.corruptions import Corruption

{function}

CORRUPTION = Corruption(
    name="plugged", family="test", table={{"amount": (1, 2, 3, 4, 5)}}, measure="nothing", bounds=(0, 9), version=1,
    temporal="constant", stage="sensor", source="a test", frame=frame,
)
"""
"""A module for `plug`: fill in `frame(pixels, level, moment)`."""
