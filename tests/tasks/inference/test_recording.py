"""Recorded predictions, from their files to the scores: against pycocotools on the same two files."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tasks import inference, tables
from tasks.data.coco import import_coco
from tasks.data.frames import FrameReader
from tasks.data.prepare import prepare
from tasks.errors import InputError
from tasks.inference import planning, shards
from tasks.inference.bench import Bench, Spec
from tasks.inference.rows import with_tracks
from tasks.layout import Layout
from tasks.metrics.score import score
from tasks.params import TRIVIAL, Params
from tests import tiny

REAL = os.environ.get("STORMGLASS_REAL_DATA")
HEIGHT, WIDTH = 160, 200
NAMES = {3: "car", 7: "bus", 9: "person"}
CORRUPTIONS: dict[str, list[object]] = {"weather": ["fog"], "noise": ["gaussian_noise"]}


def rle(box: Any) -> dict[str, Any]:
    """An ellipse in a box [x, y, width, height]."""
    x, y, width, height = box
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = ((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2 <= 0.25
    found = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {"size": [HEIGHT, WIDTH], "counts": found["counts"].decode()}


class World:
    """A COCO set of `n_images` stills below `root`, prepared, and what a detector might say of it."""

    def __init__(self, root: Path, *, n_images: int = 24) -> None:
        self.root, self.rng = root, np.random.default_rng(5)
        images, self.truth = [], []
        for place in range(n_images):
            number = 700 - 3 * place  # ids that fall with the file names: two orders of frames
            name = f"images/{place:02d}.png"
            (root / "data/images").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(root / "data" / name)
            images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
            images[-1]["attributes"] = {"camera": ["north", "south"][place % 2]}
            for _ in range(int(self.rng.integers(0, 7))):
                size = self.rng.uniform(6, 155, 2)
                box = [*(self.rng.uniform(0, 1, 2) * ([WIDTH, HEIGHT] - size)), *size]
                mask = rle(box)
                self.truth.append(
                    {"id": len(self.truth) + 1, "image_id": number, "category_id": int(self.rng.choice(list(NAMES)))}
                    | {"bbox": np.round(box, 2).tolist(), "area": float(coco_mask.area(mask)), "segmentation": mask}
                    | {"iscrowd": int(self.rng.random() < 0.08)}
                )
        self.images = [image["id"] for image in images]
        categories = [{"id": key, "name": name} for key, name in NAMES.items()]
        document = {"info": {}, "images": images, "annotations": self.truth, "categories": categories}
        (root / "data/dataset.json").write_text(json.dumps(document))
        prepare(root / "data", Layout(root).tables, strict=True)

    def said(self, spread: float, *, masks: bool = False) -> list[dict[str, Any]]:
        """Results near the truth and strays; scores of two decimals, so that many are equal."""
        found = []
        near = [entry for entry in self.truth if self.rng.random() < 0.85]
        for entry in [*near, *near[::3], *self.truth[::4]]:
            box = np.abs(np.array(entry["bbox"]) + self.rng.normal(0, spread, 4)).round(2)
            kind = int(self.rng.choice(list(NAMES))) if self.rng.random() < 0.2 else entry["category_id"]
            image = int(self.rng.choice(self.images)) if self.rng.random() < 0.15 else entry["image_id"]
            result = {"image_id": image, "category_id": kind, "score": round(float(self.rng.random()), 2)}
            found.append(result | ({"segmentation": rle(box)} if masks else {"bbox": box.tolist()}))
        order = self.rng.permutation(len(found))
        return [found[place] for place in order]

    def record(self, name: str, content: Any) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def params(self, weights: str, **model: Any) -> Params:
        path = self.root / "params.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "dataset": {"path": "data", "split": None},
                    "models": {"theirs": {"adapter": "recorded", "weights": weights, **model}},
                    "corruptions": CORRUPTIONS,
                    "severities": [1, 3],
                    "slices": {"object": ["size"]},
                    "metrics": {"resamples": 100},
                    "run": {"device": "cpu", "workers": 1, "prefect": False},
                }
            )
        )
        return tiny.change(path)

    def scored(self) -> pd.DataFrame:
        return tables.read("scores", self.root / "scores/scores.parquet")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Several shards; no pixel may be read."""
    made = World(tmp_path)
    monkeypatch.setattr(shards, "MIN_PIXELS", 0)
    monkeypatch.setattr(shards, "MIN_FRAMES", 10)

    def read(*_: object) -> None:
        raise AssertionError("a frame was decoded")

    monkeypatch.setattr(FrameReader, "read", read)
    return made


def reference(truth: Path, results: Path, kind: str) -> Any:
    """The 12 numbers of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        given = COCO(str(truth))
        evaluation = COCOeval(given, given.loadRes(str(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def figures(scores: pd.DataFrame, corruption: str, severity: int, prefix: str = "") -> list[float]:
    """The same of our scores: AP, AP50, AP75, and AP of small, medium and large objects."""
    scores = scores[(scores["model"] != TRIVIAL) & (scores["class"] == "all")]
    cell = scores[(scores["corruption"] == corruption) & (scores["severity"] == severity)]
    values = {(row["slice"], row["metric"]): row["value"] for row in cell.to_dict(orient="records")}
    whole = [values["all", prefix + metric] for metric in ("map", "ap50", "ap75")]
    return whole + [values[f"size={size}", f"{prefix}map"] for size in ("small", "medium", "large")]


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_the_same_as_pycocotools_on_the_same_files(world: World, masks: bool) -> None:
    spreads = {("clean", 0): 1.5, ("fog", 1): 4.0, ("fog", 3): 9.0, ("gaussian_noise", 1): 6.0}
    files = {
        cell: world.record(
            "said/clean.json" if cell[0] == "clean" else f"said/{cell[0]}/{cell[1]}.json",
            world.said(spread, masks=masks),
        )
        for cell, spread in spreads.items()
    }
    files["gaussian_noise", 3] = world.record("said/gaussian_noise/3.json", [])
    params, layout = world.params("said"), Layout(world.root)
    assert inference.infer(params, layout) == []
    score(params, layout)
    scores = world.scored()
    assert set(scores["task"]) == {"instance" if masks else "detection"}
    truth = world.root / "data/dataset.json"
    for (corruption, severity), file in files.items():
        found = figures(scores, corruption, severity, "mask_" if masks else "")
        if (corruption, severity) == ("gaussian_noise", 3):
            assert found == [0.0] * 6  # pycocotools cannot load an empty list
            continue
        expected = reference(truth, file, "segm" if masks else "bbox")
        assert 0.05 < expected[0] < 0.95
        assert found == pytest.approx(expected[:6].tolist(), abs=1e-9)
    mpc = scores[(scores["metric"] == "mpc") & (scores["corruption"] == "all") & (scores["family"] == "all")]
    assert set(mpc.loc[mpc["slice"] == "all", "status"]) <= {"ok", "insufficient"}


@pytest.mark.real
@pytest.mark.skipif(REAL is None, reason="STORMGLASS_REAL_DATA is not set")
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_cocos_own_files_score_as_pycocotools_says(tmp_path: Path, kind: str) -> None:
    """Its fake boxes reach thresholds of the IoU exactly: a coordinate rounded to float32 costs 5e-4 of AP."""
    folder = Path(str(REAL)) / "conformance"
    truth = folder / "instances_val2014_100.json"
    for image in json.loads(truth.read_text())["images"]:
        (tmp_path / "images").mkdir(exist_ok=True)
        pixels = np.zeros((image["height"], image["width"]), np.uint8)  # the photographs decide nothing
        Image.fromarray(pixels).save(tmp_path / "images" / image["file_name"])
    import_coco(truth, tmp_path / "images", tmp_path / "data")
    prepare(tmp_path / "data", tmp_path / "tables", strict=True)
    results = folder / f"instances_val2014_fake{kind}100_results.json"
    path = tmp_path / "params.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "dataset": {"path": "data"},
                "models": {"theirs": {"adapter": "recorded", "weights": str(results)}},
                "slices": {"object": ["size"]},
                "metrics": {"resamples": 100},
                "run": {"device": "cpu", "workers": 1, "prefect": False},
            }
        )
    )
    params, layout = tiny.change(path), Layout(tmp_path)
    assert inference.infer(params, layout) == []
    score(params, layout)
    expected = json.loads((folder / "expected_pycocotools.json").read_text())[kind]
    scores = tables.read("scores", layout.scores / "scores.parquet")
    found = figures(scores, "clean", 0, "mask_" if kind == "segm" else "")
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    assert found == pytest.approx([expected[name] for name in names], abs=1e-9)


def test_what_was_not_recorded_is_named(world: World) -> None:
    for name in ("said/clean.json", "said/fog/1.json", "said/fog/3.json", "said/gaussian_noise/1.json"):
        world.record(name, world.said(3))
    params, layout = world.params("said"), Layout(world.root)
    failed = inference.infer(params, layout)
    n_shards = len({part.shard for part in failed})
    assert n_shards == len(failed) == 3
    assert {str(part).split(": ")[1] for part in failed} == {"no recorded predictions for gaussian_noise 3 in said"}
    cells = tables.read("cells", layout.predictions / "cells.parquet")
    assert cells.groupby("status").size().to_dict() == {"ok": 12, "failed": 3}
    score(params, layout)
    scores = world.scored()
    mpc = scores[(scores["metric"] == "mpc") & (scores["slice"] == "all") & (scores["class"] == "all")]
    status = {(row["corruption"], row["family"]): row["status"] for row in mpc.to_dict(orient="records")}
    assert status["all", "all"] == status["gaussian_noise", "noise"] == "incomplete"
    assert status["fog", "weather"] in ("ok", "insufficient")


def test_clean_alone_leaves_corruptions_out(world: World) -> None:
    world.record("clean-only.json", world.said(3))
    params, layout = world.params("clean-only.json"), Layout(world.root)
    assert inference.infer(params, layout) == []
    cells = tables.read("cells", layout.predictions / "cells.parquet")
    states = cells.groupby(["corruption", "status"]).size().to_dict()
    assert states == {("clean", "ok"): 3, ("fog", "not_applicable"): 6, ("gaussian_noise", "not_applicable"): 6}
    assert "on clean frames alone" in cells.loc[cells["corruption"] == "fog", "message"].iloc[0]
    score(params, layout)
    scores = world.scored()
    assert set(scores.loc[scores["metric"] == "mpc", "status"]) == {"not_applicable"}


def test_parts_follow_the_files(world: World) -> None:
    for name in ("said/clean.json", "said/fog/1.json", "said/fog/3.json", "said/gaussian_noise/1.json"):
        world.record(name, [])
    world.record("said/gaussian_noise/3.json", world.said(3))
    params, layout = world.params("said"), Layout(world.root)
    plan = inference.plan(params, layout)
    assert (len(plan.cells), plan.n_parts, plan.n_missing, plan.units) == (15, 6, 6, [])  # four cells say the same
    done: list[inference.Part] = []
    assert inference.infer(params, layout, done=done.append) == []
    assert len(done) == 6
    assert inference.plan(params, layout).n_missing == 0
    world.record("said/clean.json", world.said(3))
    assert inference.plan(params, layout).n_missing == 3
    inference.infer(params, layout)
    frames = tables.read("frames", layout.tables / "frames.parquet")
    parts = sorted((layout.predictions / "theirs/clean/0").glob("*.parquet"))
    shown = pd.concat([tables.read("predictions", part) for part in parts])
    place = {frame: row for row, frame in enumerate(frames["frame_id"])}
    assert (np.diff(shown["frame_id"].map(place)) >= 0).all()
    assert shown["prediction_id"].is_unique
    assert shown["track_id"].isna().all()


def test_a_mistake_leaves_nothing_behind(world: World) -> None:
    good = world.said(3)
    file = world.record("said/clean.json", [*good, {**good[0], "image_id": 1}])
    params, layout = world.params("said"), Layout(world.root)
    with pytest.raises(InputError, match=rf"{file}: entry {len(good)}, counted from 0: image_id 1 is no image"):
        inference.infer(params, layout)
    with pytest.raises(InputError, match="image_id 1 is no image"):
        inference.check_recorded(inference.plan(params, layout))
    assert not list((world.root / ".stormglass/parts").rglob("*.parquet"))
    assert not layout.predictions.exists()


def test_another_class_map_or_slice_only_scores_again(world: World) -> None:
    world.record("said.json", world.said(3))
    params, layout = world.params("said.json"), Layout(world.root)
    inference.infer(params, layout)
    before = {path: path.stat().st_mtime_ns for path in layout.predictions.rglob("*")}
    score(params, layout)
    scored = [world.scored()]
    model = {"adapter": "recorded", "weights": "said.json", "class_map": {"car": "car", "bus": "car", "person": None}}
    path = world.root / "params.yaml"
    for change in ({"models": {"theirs": model}}, {"slices": {"attributes": ["camera"]}}):
        params = tiny.change(path, **change)
        assert inference.plan(params, layout).n_missing == 0
        score(params, layout)
        scored.append(world.scored())
    assert {path: path.stat().st_mtime_ns for path in layout.predictions.rglob("*")} == before
    values = [figures(scores, "clean", 0)[0] for scores in scored[:2]]
    assert values[0] != values[1]
    assert {"camera=north", "camera=south"} <= set(scored[2]["slice"])


def test_a_tracker_over_recorded_boxes(world: World) -> None:
    world.record("said.json", world.said(3))
    params, layout = world.params("said.json", tracker={"name": "bytetrack"}), Layout(world.root)
    plan = planning.make(params, layout, devices=("cpu",))
    assert plan.n_missing == plan.n_parts == sum(len(unit.parts) for unit in plan.units) == 3
    spec = Spec(params=params, store=plan.store.url, names=("theirs",))
    (lost, *_) = Bench(spec, "cpu").work(plan.units[0], lambda part: None)
    assert "left the store" in lost.message
    inference.take_recorded(plan, done=lambda part: pytest.fail("there is tracking left"))
    worker = Bench(spec, "cpu")
    for unit in plan.units:
        assert worker.work(unit, lambda part: None) == []
        (part,) = unit.parts
        assert part.tracked is not None
        tracker = params.models["theirs"].tracker
        assert tracker is not None
        expected = with_tracks(plan.store.get(part.detections), unit.shard.frames, tracker)
        assert plan.store.get(part.tracked)["track_id"].tolist() == expected["track_id"].tolist()
    assert inference.finish(plan) == []


def tracks(path: Path, *, swap: bool) -> str:
    """The truth of one tiny clip as MOTChallenge's text; swapped: another id from the third frame on."""
    objects = tables.read("objects", path / "tables/objects.parquet")
    frames = tables.read("frames", path / "tables/frames.parquet").set_index("frame_id")
    lines = []
    for row in objects.to_dict(orient="records"):
        frame = frames.loc[row["frame_id"]]
        if frame["clip_id"] == "clip-1":
            index, box = int(frame["frame_index"]), [row["x0_px"], row["y0_px"]]
            size = [row["x1_px"] - row["x0_px"], row["y1_px"] - row["y0_px"]]
            number = 8 if swap and index >= 2 else 5
            lines.append(",".join(map(str, [index + 1, number, *box, *size, 0.9, 1, 1])))
    return "\n".join(lines)


def test_tracks_keep_their_ids(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, clips=2, frames=4, models=0, corruptions={"weather": ["fog"]})
    for name in ("truth", "swapped"):
        for cell in ("clean", "fog/1", "fog/3"):
            folder = tmp_path / name / cell
            folder.mkdir(parents=True)
            (folder / "clip-0.txt").write_text("")
            (folder / "clip-1.txt").write_text(tracks(tmp_path, swap=name == "swapped"))
    models = {name: {"adapter": "recorded", "weights": name} for name in ("truth", "swapped")}
    params, layout = tiny.change(path, models=models), Layout(tmp_path)
    assert inference.infer(params, layout) == []
    shown = tables.read("predictions", layout.predictions / "swapped/fog/3/shard-0000.parquet")
    assert shown["frame_id"].tolist() == [5, 6, 7, 8]
    assert shown["track_id"].tolist() == [5, 5, 8, 8]
    score(params, layout)
    scores = tables.read("scores", layout.scores / "scores.parquet")
    assert set(scores["task"]) == {"tracking"}
    whole = scores[(scores["severity"] == 0) & (scores["class"] == "all") & (scores["slice"] == "all")]
    values = {(row["model"], row["metric"]): row["value"] for row in whole.to_dict(orient="records")}
    # Of the two clips' eight objects four are found, exactly: DetA = 4 / 8. A whole track: AssA = 1. Two halves of a
    # track of four: each hit's association is 2 / 4.
    assert values["truth", "deta"] == values["swapped", "deta"] == pytest.approx(0.5)
    assert values["truth", "assa"] == pytest.approx(1)
    assert values["swapped", "assa"] == pytest.approx(0.5)
    assert values["truth", "hota"] == pytest.approx(0.5**0.5)
