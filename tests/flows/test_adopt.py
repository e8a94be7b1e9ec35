"""`stormglass adopt`: frames of a real video out, labels back, official figures; and what is refused."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from flows import cli, init
from tasks import models, tables
from tasks.data import video
from tasks.footage import adoption, labelling
from tasks.footage.ledger import clip_id_of
from tasks.params import load
from tests import footage_factory, tiny

RUN = footage_factory.RUN
COUNT = 40
SURE = 0.0103


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny run, a clip in the inbox and the folder of a scan that has measured it."""
    footage = {"model": "m0", "interval_s": 60, "window_s": 1}
    tiny.change(tiny.write(tmp_path, models=1), run={"prefect": False}, footage=footage)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.adopt.LEAST_SCORE", SURE)  # random weights are never as sure as a trained model
    inbox = tmp_path / "footage" / "inbox" / "north"
    inbox.mkdir(parents=True)
    ground = np.random.default_rng(0).integers(0, 256, (48, 160, 3), dtype=np.uint8)
    frames = (video.Timed(ground[:, at : at + 64], 512 * at) for at in range(COUNT))
    video.write(inbox / "0.mp4", frames, video.Facts(Fraction(10), Fraction(1, 5120), None), container=".mp4")
    _scanned(tmp_path / "footage" / "runs" / RUN, inbox / "0.mp4")
    return tmp_path


def _scanned(run: Path, clip: Path) -> None:
    """Tables of one clip of 4 s in windows of 1 s."""
    clip_id = clip_id_of(hashlib.sha256(clip.read_bytes()).hexdigest())
    own = {"clip_id": clip_id, "camera": "north"}
    row = footage_factory.clips().iloc[[0]].assign(**own, file="north/0.mp4", bytes=clip.stat().st_size)
    row = row.assign(
        duration_s=4.0, n_frames=pd.array([COUNT], dtype="Int64"), frame_rate=10.0, width_px=64, height_px=48
    )
    tables.write("footage_clips", row, run / "clips.parquet")
    for name, features in (("input", ("haze", "noise")), ("output", ("confidence_mean",))):
        table = footage_factory.windows(features)
        table = table[table["clip_id"] == footage_factory.clip_id(2, 0)]
        table = table[table["t_s"] < 40].assign(**own)
        tables.write(f"footage_{name}", table.assign(t_s=table["t_s"] / 10), run / f"{name}.parquet")
    drift = footage_factory.drift()
    tables.write("footage_drift", drift[drift["camera"] == "north"], run / "drift.parquet")
    forecast = footage_factory.forecast()
    forecast = forecast[forecast["clip_id"] == footage_factory.clip_id(2, 0)].assign(**own)
    tables.write("footage_forecast", forecast, run / "forecast.parquet")


@pytest.fixture
def adopt(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        status = cli.main(["adopt", RUN, *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def _labelled(folder: Path, path: Path) -> Path:
    """What a person might give back of half of the images: every second box that the model offered, and one more."""
    document = json.loads((folder / labelling.INSTANCES).read_text())
    document["images"] = document["images"][: max(1, len(document["images"]) // 2)]
    kept = {image["id"] for image in document["images"]}
    for image in document["images"]:
        image["file_name"] = f"upload/{image['file_name']}"
        del image["video_id"], image["frame_index"], image["attributes"]
    del document["videos"]
    offered = [one for one in json.loads((folder / labelling.PRELABELS).read_text()) if one["image_id"] in kept]
    boxes = [(one["image_id"], one["category_id"], one["bbox"]) for one in offered[::2]]
    boxes += [(image_id, 2, [2.0, 3.0, 30.0, 12.0]) for image_id in kept]
    document["annotations"] = [
        {"id": number, "image_id": image_id, "category_id": kind, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for number, (image_id, kind, box) in enumerate(boxes, start=1)
    ]
    path.write_text(json.dumps(document))
    return path


def test_frames_go_out_and_official_figures_come_back(
    project: Path, adopt: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = adopt("--frames", 4)
    assert status == 0, err
    folder = project / "adopted" / RUN
    assert f"Wrote 4 frame(s) of 1 clip(s) from 4 windows to {folder}" in out
    sample = tables.read("footage_sample", folder / adoption.SAMPLE)
    decoded = [frame.pixels for frame in video.read(project / "footage/inbox/north/0.mp4")]
    for row in sample.to_dict("records"):
        picture = np.asarray(Image.open(folder / labelling.IMAGES / row["file_name"]))
        assert np.array_equal(picture, decoded[row["frame_index"]]), "the very frame, without loss"
        assert row["t_s"] <= row["frame_index"] / 10 < row["t_s"] + 1

    params = load(project / "params.yaml")
    model = models.load(params.models["m0"], folder=project, device="cpu")
    said = json.loads((folder / labelling.PRELABELS).read_text())
    assert said
    for row in sample.to_dict("records"):
        (output,) = model.predict([decoded[row["frame_index"]]])
        expected = sorted(round(float(score), 4) for score in output.scores if score >= SURE)
        assert sorted(one["score"] for one in said if one["image_id"] == row["image_id"]) == expected

    labels = _labelled(folder, project / "labels.json")
    status, out, err = adopt("--labels", labels)
    assert status == 0, err
    assert "# Predicted against actual" in out
    made = folder / adoption.LABELLED
    dataset = json.loads((made / "dataset" / "dataset.json").read_text())
    assert len(dataset["images"]) == 2
    assert dataset["annotations"] == json.loads(labels.read_text())["annotations"]
    assert [image["attributes"] for image in dataset["images"]] == [{"camera": "north"}] * 2
    table = adoption.earlier(project / "adopted")
    assert list(table["camera"]) == ["all", "north"]
    assert set(table["metric"]) == {"map"}
    assert (made / "adoption.md").read_text() in out
    assert table["predicted"].iloc[0] == pytest.approx(0.6 * 0.52)
    assert table["n_frames"].iloc[0] == 2

    truth = COCO(made / "dataset" / "dataset.json")
    given = [
        {"image_id": image["id"], "category_id": int(kind), "bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(score)}
        for image in dataset["images"]
        for (output,) in [model.predict([np.asarray(Image.open(made / "dataset" / image["file_name"]))])]
        for (x0, y0, x1, y1), score, kind in zip(output.boxes.tolist(), output.scores, output.class_ids, strict=True)
    ]
    official = COCOeval(truth, truth.loadRes(given), "bbox")
    official.evaluate()
    official.accumulate()
    official.summarize()
    assert official.stats[0] > 0.05, "an average precision worth comparing"
    assert table["actual"].iloc[0] == pytest.approx(official.stats[0], abs=1e-6)

    status, _, err = adopt("--labels", labels)
    assert status == 2
    assert "is there already" in err


def test_a_second_sample_lies_beside_the_first_and_renamed_files_are_found(
    project: Path, adopt: Callable[..., tuple[int, str, str]]
) -> None:
    assert adopt("--frames", 2)[0] == 0
    clip = project / "footage/inbox/north/0.mp4"
    shutil.move(clip, project / "footage/inbox/later.mp4")
    assert adopt("--frames", 2)[0] == 0
    first, second = (
        tables.read("footage_sample", project / "adopted" / name / adoption.SAMPLE) for name in (RUN, f"{RUN}-2")
    )
    assert not set(first["t_s"]) & set(second["t_s"])
    status, _, err = adopt("--labels", _labelled(project / "adopted" / f"{RUN}-2", project / "labels.json"))
    assert status == 0, err
    assert (project / "adopted" / f"{RUN}-2" / adoption.LABELLED / "dataset" / "dataset.json").is_file()


def test_dvc_keeps_the_labelled_set_and_git_the_rest(project: Path, adopt: Callable[..., tuple[int, str, str]]) -> None:
    """In a folder as `stormglass init` makes it: no picture goes into git, and what DVC keeps comes back from it."""

    def call(*words: str) -> str:
        return subprocess.run(words, cwd=project, check=True, capture_output=True, text=True).stdout

    for name in (".gitignore", ".dvcignore"):
        (project / name).write_text(init.FILES[name])
    assert adopt("--frames", 2)[0] == 0
    folder = project / "adopted" / RUN
    assert adopt("--labels", _labelled(folder, project / "labels.json"))[0] == 0
    dvc = str(Path(sys.executable).with_name("dvc"))
    call("git", "init", "-q")
    call(dvc, "init", "-q")
    made = folder / adoption.LABELLED / "dataset"
    call(dvc, "add", "-q", str(made))
    call("git", "add", "-A")
    kept = {Path(line) for line in call("git", "ls-files", "adopted").splitlines()}
    assert {path.relative_to(f"adopted/{RUN}").as_posix() for path in kept} == {
        "instances.json", "prelabels.json", "sample.parquet", "labelled/.gitignore", "labelled/adoption.md",
        "labelled/adoption.parquet", "labelled/dataset.dvc",
    }  # fmt: skip
    before = {path.relative_to(made): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    assert len(before) == 2
    shutil.rmtree(made)
    call(dvc, "checkout", "-q", f"{made}.dvc")
    assert {path.relative_to(made): path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_what_is_refused(
    project: Path, adopt: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["adopt", "20200101T000000Z"]) == 2
    assert "there is no scan '20200101T000000Z'" in capsys.readouterr().err
    (project / "labels.json").write_text("[]")
    status, _, err = adopt("--labels", project / "labels.json")
    assert (status, "expected a JSON object with images" in err) == (2, True)
    assert "got both" in adopt("--labels", "x", "--frames", 3)[2]
    assert adopt("--frames", 1)[0] == 0
    empty = json.loads((project / "adopted" / RUN / labelling.INSTANCES).read_text()) | {"annotations": []}
    (project / "labels.json").write_text(json.dumps(empty))
    assert "none of its images has an annotation" in adopt("--labels", project / "labels.json")[2]
    shutil.rmtree(project / "adopted")
    (project / "footage/inbox/north/0.mp4").unlink()
    status, _, err = adopt()
    assert status == 2
    assert "north/0.mp4 of north is not in" in err
    assert not (project / "adopted").exists() or not list((project / "adopted").iterdir()), "all or nothing"
