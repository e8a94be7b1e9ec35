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
from tasks.data.frames import FrameReader
from tasks.gallery import overlay, pictures
from tasks.gallery.source import Source
from tasks.layout import Layout
from tasks.params import Params, parse
from tests import gallery_run
from tests.gallery_run import CLIPS, HEIGHT, LENGTH, NOISE, TASKS, WIDTH, frame_of, score_of


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Params, Layout]:
    return gallery_run.write(tmp_path_factory.mktemp("run"))


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
    named |= {frame["file"] for film in about["films"] for frame in film["frames"]}
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
    kinds = {
        name: tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for name, colour, _ in about["palette_difference"]
    }
    assert looks["difference"].getpixel((10, 100)) == kinds["confused (blue)"], "both classes are in the frame"
    assert looks["difference"].getpixel((10, 40)) == kinds["right (dark)"]
    assert looks["difference"].getpixel((10, 2)) == (128, 128, 128) == kinds["not counted (grey)"]
    # Of 230 rows that count 20 are read as sky.
    found = json.loads(row["overlay"])["difference"]
    expected = {"right (dark)": 210 / 230, "confused (blue)": 20 / 230, "missed (amber)": 0, "invented (pink)": 0}
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_filmstrip_has_the_frames_around_a_switch(made, drawn):
    _, layout = made
    (film,) = json.loads((layout.gallery / gallery.ABOUT).read_text())["films"]
    assert (film["model"], film["corruption"], film["severity"]) == ("v1", "h264", 3)
    assert (film["strength"], film["strength_unit"]) == (51.0, "crf")
    assert [frame["frame_id"] for frame in film["frames"]] == [4, 5, 6, 7], (
        "two before and, at the clip's end, one after"
    )
    assert [frame["frame_index"] for frame in film["frames"]] == [0, 1, 2, 3]
    assert [frame["file"] for frame in film["frames"]] == [f"h264-3-{frame}.webp" for frame in (4, 5, 6, 7)]
    for frame in film["frames"]:
        assert frame["truth"] == [32.0, 48.0, 80.0, 128.0]
        assert frame["tracks"] == [[1, [33.6, 48.0, 80.0, 128.0]]]
        assert frame["on"] == 1
    x, y, width, height = film["view"]
    assert x <= 32
    assert x + width >= 80
    assert y <= 48
    assert y + height >= 128


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


def test_frames_are_made_as_they_are_asked_for(made, monkeypatch):
    """A clip of any length takes no more memory than a frame, or than a codec looks ahead."""
    params, layout = made
    read = FrameReader.read
    asked: list[int] = []

    def noted(reader, rows):
        asked.extend(rows["frame_id"].astype(int))
        return read(reader, rows)

    monkeypatch.setattr(FrameReader, "read", noted)
    ids = Source(params, layout).frames.groupby("clip_id")["frame_id"].get_group("clip0").tolist()
    for corruption, severity in (("clean", 0), (NOISE, 3)):
        asked.clear()
        frames = Source(params, layout).corrupted(corruption, severity, ids)
        for place, frame_id in enumerate(ids, 1):
            assert next(frames)[0] == frame_id
            assert asked == ids[:place]


def test_a_folder_shows_what_the_file_does_and_more(made, drawn, tmp_path):
    params, layout = made
    for name in ("tables", "predictions", "scores"):
        (tmp_path / name).symlink_to(layout.root / name)
    report = params.report.model_copy(update={"form": "directory", "directory_pictures": params.report.pictures + 30})
    gallery.draw(params.model_copy(update={"report": report}), Layout(tmp_path))
    found = tables.read("gallery", tmp_path / "gallery" / "gallery.parquet")
    about = json.loads((tmp_path / "gallery" / gallery.ABOUT).read_text(encoding="utf-8"))
    beyond = set(about["beyond_file"])
    assert set(found["example_id"]) - beyond == set(drawn["example_id"])
    assert len(beyond) == len(found) - len(drawn) > 0
    pictures_of = len(list((tmp_path / "gallery").glob("*.webp")))
    assert params.report.pictures < pictures_of <= params.report.pictures + 30
    alone = json.loads((layout.gallery / gallery.ABOUT).read_text(encoding="utf-8"))
    assert alone["beyond_file"] == []
    assert (
        alone["candidates"] == about["candidates"] == len(tables.read("examples", layout.scores / "examples.parquet"))
    )


def test_no_pictures_asked_for(made, tmp_path):
    params, layout = made
    for name in ("tables", "predictions", "scores"):
        (tmp_path / name).symlink_to(layout.root / name)
    none = params.model_copy(update={"report": params.report.model_copy(update={"pictures": 0})})
    gallery.draw(none, Layout(tmp_path))
    assert tables.read("gallery", tmp_path / "gallery" / "gallery.parquet").empty
    assert not list((tmp_path / "gallery").glob("*.webp"))


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
