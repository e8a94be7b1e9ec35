"""A small run made by hand: tables and predictions as the earlier stages would leave them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import params, tables
from tasks.layout import Layout

OBJECTS = {3: "car", 5: "bus", 7: "cyclist", 9: "pedestrian"}
SEMANTIC = {0: "sky", 1: "road", 4: "vehicle", 6: "person"}
LABELS = {0: "red", 1: "green", 2: "amber"}
BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]


class Run:
    """Writes a run of `n_clips` clips x `n_frames` frames below `root`; predictions worsen with severity."""

    def __init__(self, root: Path, *, n_clips=6, n_frames=4, size=(48, 64), n_objects=4, n_stray=6, seed=0):
        self.layout, self.size, self.n_stray = Layout(root), size, n_stray
        self.rng = np.random.default_rng(seed)
        height, width = size
        rows, objects, maps = [], [], []
        for clip in range(n_clips):
            kinds = self.rng.choice(list(OBJECTS), n_objects)
            corner = self.rng.uniform(0, [width * 0.6, height * 0.6], (n_objects, 2))
            boxes = np.hstack([corner, corner + self.rng.uniform(0.1, 0.4, (n_objects, 2)) * [width, height]])
            for index in range(n_frames):
                frame_id = clip * 1000 + index
                rows.append(
                    {
                        "frame_id": frame_id,
                        "clip_id": f"clip{clip:03d}",
                        "frame_index": index,
                        "split": "test",
                        "source_file": "x.mp4",
                        "source_member": None,
                        "source_index": index,
                        "width_px": width,
                        "height_px": height,
                        "label_id": int(self.rng.integers(0, 3)),
                        "camera": ["north", "south", "east"][clip % 3],
                        "time_of_day": ["day", "night"][clip % 2],
                    }
                )
                boxes = boxes + self.rng.normal(0, 0.01 * width, boxes.shape)
                boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 3)
                label_map = np.zeros(size, dtype=np.uint8)
                label_map[height // 2 :] = 1
                label_map[:2] = 255
                for place in range(n_objects):
                    if self.rng.random() < 0.1:
                        continue  # hidden for a frame
                    x0, y0, x1, y1 = boxes[place]
                    label_map[max(int(y0), 0) : int(y1), max(int(x0), 0) : int(x1)] = 4 if kinds[place] < 6 else 6
                    objects.append(
                        {
                            "object_id": len(objects),
                            "frame_id": frame_id,
                            "class_id": int(kinds[place]),
                            **dict(zip(BOX, boxes[place], strict=True)),
                            "area_px": float((x1 - x0) * (y1 - y0)),
                            "mask": None,
                            "track_id": place + 1,
                            "crowd": False,
                            "ignore": bool(self.rng.random() < 0.03),
                            "occlusion": None,
                            "truncation": None,
                            "occluded": ["yes", "no"][int(self.rng.random() < 0.7)],
                        }
                    )
                maps.append({"frame_id": frame_id, "label_map": tables.encode_label_map(label_map)})
        self.frames, self.objects = pd.DataFrame(rows), pd.DataFrame(objects)
        self.semantic = pd.DataFrame(maps)
        kinds = {"object": OBJECTS, "semantic": SEMANTIC, "label": LABELS}
        self.classes = pd.DataFrame(
            [{"kind": k, "class_id": i, "name": n} for k, names in kinds.items() for i, n in names.items()]
        )
        self.described, self.cells = {}, []

    def write_tables(self):
        """Write what `prepare` would."""
        for name in ("frames", "objects", "semantic", "classes"):
            tables.write(name, getattr(self, name), self.layout.tables / f"{name}.parquet")

    def predict(self, model: str, severity: int, noise: float) -> pd.DataFrame:
        """Predictions of one cell: truth shaken by `noise`, some missed, some from nowhere."""
        rng = np.random.default_rng([len(model), severity, int(noise * 1000)])
        height, width = self.size
        rows = []
        by_frame = dict(iter(self.objects.groupby("frame_id")))
        empty = dict.fromkeys([*BOX, "class_id", "score", "mask", "track_id", "label_map", "probabilities"])
        for frame in self.frames.itertuples():
            some = []
            for thing in by_frame.get(frame.frame_id, self.objects[:0]).itertuples():
                if rng.random() < noise:
                    continue
                box = np.array([getattr(thing, name) for name in BOX]) + rng.normal(0, 4 * noise, 4)
                box[2:] = np.maximum(box[2:], box[:2] + 1)
                class_id = thing.class_id if rng.random() > noise / 2 else rng.choice(list(OBJECTS))
                track = thing.track_id + (10 if rng.random() < noise / 4 else 0)
                some.append((int(class_id), rng.uniform(0.4, 1), box, track))
            for _ in range(rng.integers(0, self.n_stray + 1)):
                corner = rng.uniform(0, [width * 0.8, height * 0.8])
                box = np.r_[corner, corner + rng.uniform(3, 20, 2)]
                some.append((int(rng.choice(list(OBJECTS))), rng.uniform(0.01, 0.6), box, None))
            some.sort(key=lambda item: -item[1])
            for class_id, score, box, track in some:
                rows.append(
                    empty
                    | dict(zip(BOX, box, strict=True))
                    | {"frame_id": frame.frame_id, "class_id": class_id, "score": score, "track_id": track}
                )
            true = tables.decode_label_map(self.semantic.set_index("frame_id").label_map[frame.frame_id])
            read = np.where(true == 255, 0, true).astype(np.uint8)
            wrong = rng.random(self.size) < noise / 2
            read[wrong] = rng.choice(list(SEMANTIC), int(wrong.sum())).astype(np.uint8)
            logits = rng.normal(0, 1, 3) + np.eye(3)[frame.label_id] * (2 - 2 * noise)
            shares = np.exp(logits) / np.exp(logits).sum()
            rows.append(
                empty
                | {"frame_id": frame.frame_id, "label_map": tables.encode_label_map(read)}
                | {"probabilities": shares.astype(np.float32)}
            )
        table = pd.DataFrame(rows)
        table["prediction_id"] = np.arange(len(table))
        for name in ("class_id", "track_id"):
            table[name] = table[name].astype("Int64")
        return table

    def add(self, model: str, corruption: str, family: str, severity: int, predictions, *, status="ok", n_shards=2):
        """Store a cell in shards of whole clips, or note that it failed or does not apply."""
        own = self.frames[self.frames["split"] == ("validation" if corruption == "validation" else "test")]
        clips = own["clip_id"].unique()
        for shard in range(n_shards):
            name, part = f"shard-{shard:04d}", None
            if status == "ok":
                part = f"{model}/{corruption}/{severity}/{name}.parquet"
                inside = own[own["clip_id"].isin(clips[shard::n_shards])]["frame_id"]
                rows = predictions[predictions["frame_id"].isin(inside)].copy()
                tables.write("predictions", rows, self.layout.predictions / part)
            self.cells.append(
                {
                    "model": model,
                    "corruption": corruption,
                    "family": family,
                    "severity": severity,
                    "strength": None if severity == 0 else severity * 1.5,
                    "strength_unit": None if severity == 0 else "px",
                    "shard": name,
                    "part": part,
                    "status": status,
                    "message": None if status == "ok" else "did not work",
                }
            )

    def describe(self, model: str, **changes):
        """Note a model's own classes: the data set's, unless changed."""
        names = {"object": OBJECTS, "semantic": SEMANTIC, "label": LABELS} | changes
        self.described[model] = {kind: {str(i): n for i, n in known.items()} for kind, known in names.items()}
        self.described[model]["tasks"] = ["classification", "detection", "semantic"]

    def finish(self):
        """Write cells.parquet and models.json."""
        cells = pd.DataFrame(self.cells)
        cells["strength"] = cells["strength"].astype("float64")
        tables.write("cells", cells, self.layout.predictions / "cells.parquet")
        (self.layout.predictions / "models.json").write_text(json.dumps(self.described))


def choices(**changes):
    """Params of two models under three corruptions of two families."""
    model = {"adapter": "small", "weights": "x.safetensors", "tracker": {"name": "bytetrack"}}
    return params.parse(
        {
            "dataset": {"split": "test"},
            "models": {"v1": model, "v2": model},
            "baseline": "v1",
            "corruptions": {"blur": ["defocus_blur", "motion_blur"], "weather": ["fog"]},
            "severities": [1, 3],
            "metrics": {"min_units": 2, "resamples": 100},
            "slices": {
                "attributes": ["camera", "time_of_day"],
                "crossed": [["camera", "time_of_day"]],
                "object": ["size", "occluded"],
                "query": {"start": "frame_index < 2", "late": "time_of_day == 'night'"},
            },
        }
        | changes
    )


def made(root: Path, chosen=None, *, held_out=0, **shape) -> Run:
    """A whole run below `root`, every cell there; the last `held_out` clips are the validation split."""
    chosen = chosen or choices()
    run = Run(root, **shape)
    clips = run.frames["clip_id"].unique()
    run.frames.loc[run.frames["clip_id"].isin(clips[len(clips) - held_out :]), "split"] = "validation"
    run.write_tables()
    for skill, model in enumerate(chosen.models):
        run.describe(model)
        clean = run.predict(model, 0, 0.2 - 0.05 * skill)
        run.add(model, "clean", "clean", 0, clean)
        if held_out:
            run.add(model, "validation", "clean", 0, clean, n_shards=1)
        for choice in chosen.choices():
            for severity in choice.severities(chosen.severities):
                noise = 0.25 + 0.1 * severity - 0.05 * skill
                run.add(model, choice.name, choice.family, severity, run.predict(model + choice.name, severity, noise))
    run.finish()
    return run


@pytest.fixture(scope="session")
def make_run():
    return made


@pytest.fixture(scope="session")
def make_params():
    return choices
