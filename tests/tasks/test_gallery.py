"""The gallery: what is picked, what is drawn, and that pictures are the pixels that the models saw."""

import io
import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tasks import corruptions, gallery, tables
from tasks.gallery import overlay, picks, pictures
from tasks.gallery.source import Source
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


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Params, Layout]:
    """A run of 3 clips of 4 frames with every task, as the stages before the gallery would leave it."""
    root = tmp_path_factory.mktemp("run")
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


def score_of(*key: object) -> float:
    return round(int(picks.order_key(1, hash_of(key)), 16) % 1000 / 1000, 3)


def hash_of(key: tuple[object, ...]) -> int:
    return sum(ord(letter) * (i + 1) for i, letter in enumerate("/".join(map(str, key))))


@pytest.fixture(scope="module")
def drawn(made) -> pd.DataFrame:
    params, layout = made
    gallery.draw(params, layout)
    return tables.read("gallery", layout.gallery / "gallery.parquet")


def rows_of(table: pd.DataFrame, **keys: object) -> pd.DataFrame:
    for key, value in keys.items():
        table = table[table[key] == value]
    return table


def test_quota_holds_and_every_file_is_named(made, drawn):
    params, layout = made
    files = {path.name for path in layout.gallery.glob("*.webp")}
    columns = ["clean_file", "corrupted_file", "truth_file", "prediction_file", "difference_file"]
    named = {name for column in columns for name in drawn[column].dropna()}
    about = json.loads((layout.gallery / gallery.ABOUT).read_text())
    named |= {name for fact in about["corruptions"] for name in fact["strip"].values()}
    assert files == named
    assert 40 <= len(files) <= params.report.pictures
    assert set(drawn["task"]) == set(TASKS)
    assert {"worst", "random", "strip"} <= set(drawn["pick"])
    for file in files:
        with Image.open(layout.gallery / file) as picture:
            assert picture.format == "WEBP"
            assert picture.size == (320, 192)


def test_worst_are_the_worst(drawn):
    checked = 0
    for (model, task, name, severity), rows in drawn[drawn["pick"] == "worst"].groupby(
        ["model", "task", "corruption", "severity"]
    ):
        scores = sorted((score_of(model, task, name, severity, f), f) for f in range(CLIPS * LENGTH))
        strip = set(rows_of(drawn, corruption=name, severity=severity, pick="strip")["frame_id"])
        others = set(rows_of(drawn, corruption=name, severity=severity)["frame_id"]) - set(rows["frame_id"])
        free = [f for _, f in scores if f not in strip | others]
        assert set(rows["frame_id"]) == set(free[: len(rows)])
        checked += 1
    assert checked > 5


def test_rank_counts_the_frames_that_are_worse(drawn):
    row = rows_of(drawn, task="detection").iloc[0]
    scores = [score_of(row["model"], row["task"], row["corruption"], row["severity"], f) for f in range(CLIPS * LENGTH)]
    assert json.loads(row["overlay"])["rank"] == [sum(s < row["score"] for s in scores) + 1, CLIPS * LENGTH]


@pytest.mark.parametrize(("name", "severity"), [("defocus_blur", 3), (NOISE, 1), ("h264", 3), ("clean", 0)])
def test_pictures_are_the_pixels_that_the_models_saw(made, drawn, name, severity):
    _, layout = made
    row = rows_of(drawn, corruption=name, severity=severity).iloc[0]
    clip = [frame_of(f) for f in range(row["frame_id"] // LENGTH * LENGTH, row["frame_id"] // LENGTH * LENGTH + LENGTH)]
    if severity:
        strength = {"level": 51} if name == "h264" else {"severity": severity}
        settings = {"seed": 7, "clips": row["clip_id"], "first_frame": 0, "scale_to": 120}
        seen = corruptions.corrupt(np.stack(clip), name=name, **settings, **strength)
    else:
        seen = np.stack(clip)
    encoded = io.BytesIO()
    small = cv2.resize(seen[row["frame_index"]], (320, 192), interpolation=cv2.INTER_AREA)
    Image.fromarray(small).save(encoded, format="WEBP", quality=75, method=4)
    shown = [
        np.asarray(Image.open(source).convert("RGB"), dtype=float)
        for source in (encoded, layout.gallery / row["corrupted_file"])
    ]
    assert np.abs(shown[0] - shown[1]).max() == 0


def test_boxes_are_in_picture_pixels_with_their_state(drawn):
    row = rows_of(drawn, task="detection", frame_id=5).iloc[0]
    found = json.loads(row["overlay"])
    assert [item["state"] for item in found["truth"]] == ["matched", "missed", "missed"]
    assert [item["state"] for item in found["prediction"]] == ["matched", "false positive"]
    assert [item["score"] for item in found["prediction"]] == [0.9, 0.6], "below the threshold nothing is drawn"
    assert found["truth"][0]["box"] == [32.0, 48.0, 80.0, 128.0]
    assert found["prediction"][0]["class"] == "car"
    assert found["threshold"] == 0.5


def test_tracking_draws_what_has_an_identity(drawn):
    found = json.loads(rows_of(drawn, task="tracking").iloc[0]["overlay"])
    assert [item["id"] for item in found["prediction"]] == [1]
    assert found["truth"][1]["id"] == 1


def test_instances_have_outlines(drawn):
    found = json.loads(rows_of(drawn, task="instance").iloc[0]["overlay"])
    (ring,) = found["truth"][0]["outline"]
    x, y = ring[::2], ring[1::2]
    assert min(x) == pytest.approx(32, abs=1)
    assert max(x) == pytest.approx(80, abs=1)
    assert min(y) == pytest.approx(48, abs=1)
    assert max(y) == pytest.approx(128, abs=1)
    assert found["prediction"][0]["state"] == "matched"


def test_semantic_maps_have_the_stated_colours(made, drawn):
    _, layout = made
    row = rows_of(drawn, task="semantic").iloc[0]
    about = json.loads((layout.gallery / gallery.ABOUT).read_text())
    colours = {name: tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for name, colour in about["palette"]}
    looks = {}
    for kind in ("truth", "prediction", "difference"):
        with Image.open(layout.gallery / row[f"{kind}_file"]) as picture:
            looks[kind] = picture.convert("RGB")
    assert looks["truth"].getpixel((10, 2)) == (128, 128, 128), "ignored"
    assert looks["truth"].getpixel((10, 40)) == colours["sky"]
    assert looks["truth"].getpixel((10, 100)) == colours["road"]
    assert looks["prediction"].getpixel((10, 100)) == colours["sky"]
    assert looks["prediction"].getpixel((10, 150)) == colours["road"]
    wrong = about["palette_difference"]["wrong"]
    assert looks["difference"].getpixel((10, 100)) == tuple(int(wrong[i : i + 2], 16) for i in (1, 3, 5))
    assert looks["difference"].getpixel((10, 2)) == (128, 128, 128)


def test_labels_meet_by_name(drawn):
    row = rows_of(drawn, task="classification").iloc[0]
    found = json.loads(row["overlay"])
    # The model's ascending ids are 1 green, 2 red; the data set's 0 red, 1 green.
    assert found["top"] == [["red", 0.75], ["green", 0.25]]
    assert found["truth"] == ("green" if row["frame_id"] % 2 else "red")
    assert found["correct"] == (found["truth"] == "red")


def test_strips_show_the_fullest_frame(made, drawn):
    _, layout = made
    about = json.loads((layout.gallery / gallery.ABOUT).read_text())
    assert about["strip_frame"] == 5
    blur, noise, h264 = about["corruptions"]
    assert set(blur["strip"]) == {"1", "3"}
    assert [level[1] for level in h264["levels"]] == [23.0, 37.0, 51.0]
    assert noise["family"] == "noise"
    assert set(noise["strip"].values()) <= {path.name for path in layout.gallery.glob("gaussian_noise..gamma.during*")}
    assert h264["coding"] == {
        "bitrate_kbps": {"1": [101.0, 100.0, 102.0], "3": [pytest.approx(103 / 3), 100 / 3, 106 / 3]}
    }
    assert blur["coding"] == {}


def test_the_same_again_and_nothing_left_behind(made, drawn):
    params, layout = made
    before = {path.name: path.read_bytes() for path in layout.gallery.iterdir()}
    gallery.draw(params, layout)
    assert {path.name: path.read_bytes() for path in layout.gallery.iterdir()} == before
    assert not list(layout.root.glob(".gallery*"))


def test_truth_is_drawn_where_the_picture_has_it(made, drawn, tmp_path):
    params, layout = made
    shutil.copytree(layout.tables, tmp_path / "tables")
    wave = {"amplitude_px": 12.0, "period_px": 1e9, "phase_rad": np.pi / 2}  # 12 px to the right, everywhere
    cell = {"corruption": NOISE, "family": "noise", "severity": 3, "frame_id": 5}
    tables.write("displacement", pd.DataFrame([{**cell, **wave}]), tmp_path / "predictions/displacement.parquet")
    found = Source(params, Layout(tmp_path))
    clean, moved = found.truth(5, "clean", 0), found.truth(5, NOISE, 3)
    assert (moved["x0_px"] - clean["x0_px"]).tolist() == pytest.approx([12, 12, 12])
    assert found.truth(5, NOISE, 1).equals(clean)
    assert coco_mask.toBbox({"size": [HEIGHT, WIDTH], "counts": moved["mask"].iloc[0]}).tolist() == [52, 60, 60, 100]
    assert (found.truth_map(5, NOISE, 3) == found.truth_map(5, "clean", 0)).all()  # its rows are of one class each


def test_an_unreadable_frame_is_noted_and_the_rest_drawn(made, tmp_path):
    params, layout = made
    source = params.dataset.path
    copy = tmp_path / "data"
    copy.mkdir()
    for path in source.iterdir():
        (copy / path.name).write_bytes(path.read_bytes() if path.name != "5.png" else b"no picture")
    changed = parse(json.loads(params.model_copy(update={"gates": ()}).model_dump_json(by_alias=True)))
    changed = changed.model_copy(update={"dataset": changed.dataset.model_copy(update={"path": copy})})
    other = Layout(tmp_path)
    for name in ("tables", "predictions", "scores"):
        (tmp_path / name).symlink_to(layout.root / name)
    gallery.draw(changed, other)
    table = tables.read("gallery", other.gallery / "gallery.parquet")
    assert len(table)
    assert 5 not in set(table["frame_id"])
    assert "5.png" in json.loads((other.gallery / gallery.ABOUT).read_text())["unreadable"]["5"]


def test_no_pictures_asked_for(made, tmp_path):
    params, layout = made
    for name in ("tables", "predictions", "scores"):
        (tmp_path / name).symlink_to(layout.root / name)
    none = params.model_copy(update={"report": params.report.model_copy(update={"pictures": 0})})
    gallery.draw(none, Layout(tmp_path))
    assert tables.read("gallery", tmp_path / "gallery" / "gallery.parquet").empty
    assert not list((tmp_path / "gallery").glob("*.webp"))


def test_random_frames_come_up_in_every_cell():
    keys = [("fog", 3), ("rain", 3), ("fog", 5)]
    examples = pd.DataFrame(
        [
            {"model": "v1", "task": "detection", "corruption": c, "severity": s, "frame_id": f, "score": 1.0}
            for c, s in keys
            for f in range(50)
        ]
    )
    chosen = picks.choose(examples, corruptions=["fog", "rain"], models=["v1"], budget=100, seed=0)
    by_cell = {key: [p.frame_id for p in chosen if (p.corruption, p.severity) == key] for key in keys}
    assert all(pick.kind == "random" for pick in chosen), "with nothing wrong there is no worst"
    first = {tuple(frames[:5]) for frames in by_cell.values()}
    assert len(first) == 1
    other = picks.choose(examples, corruptions=["fog", "rain"], models=["v1"], budget=100, seed=1)
    assert other != chosen


def test_matching_agrees_with_coco_on_ignored_and_double_boxes():
    overlap = np.array([[0.9, 0.0, 0.0], [0.8, 0.0, 0.0], [0.0, 0.6, 0.55], [0.0, 0.9, 0.0], [0.4, 0.0, 0.0]])
    truth, found = overlay.match(overlap, [1, 1, 1], [1, 1, 1, 1, 1], [False, True, False])
    assert truth == ["matched", "ignored", "matched"]
    assert found == ["matched", "false positive", "matched", "ignored", "false positive"]
    _, other_class = overlay.match(overlap[:1], [1, 1, 1], [2], [False, True, False])
    assert other_class == ["false positive"]


def test_palette_names_every_class_once():
    colours = pictures.palette({i: str(i) for i in range(60)})
    assert len(set(colours.values())) == 60
