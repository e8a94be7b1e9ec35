"""The hard set: `prepare` reads it back as it was, and its corrupted pictures are those that the models saw."""

import json
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from flows import cli, export, runtime
from tasks import corruptions, tables
from tasks.data.prepare import prepare
from tasks.errors import InputError
from tasks.exports import hard_set
from tasks.exports.selection import Wanted
from tasks.layout import Layout
from tests.conftest import SmallRun

REASONS = ["model", "task", "corruption", "severity", "score", "error_kind", "evidence"]


def load(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def table(folder: Path, name: str) -> pd.DataFrame:
    return tables.read(name, folder / f"{name}.parquet")


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def test_clean_frames_come_back_as_they_were(small_run: SmallRun, tmp_path: Path) -> None:
    run = runtime.open_run(str(small_run.params))
    wanted = Wanted(model="crossing-v2", task="detection", corruption="low_light", severities=(5,), worst=7)
    lines = export.failures(run, tmp_path / "hard", wanted, corrupted=False)
    assert lines[0].startswith("Wrote 7 clean images of the ")
    card = prepare(tmp_path / "hard", tmp_path / "tables", strict=True)
    assert card["images_left_out"] == 0
    frames, was = table(tmp_path / "tables", "frames"), table(small_run.root / "tables", "frames")
    ids = frames["frame_id"]
    assert len(ids) == 7
    same(was[was["frame_id"].isin(ids)], frames)
    for name in ("objects", "semantic", "quality"):
        before = table(small_run.root / "tables", name)
        same(before[before["frame_id"].isin(ids)], table(tmp_path / "tables", name))
    same(table(small_run.root / "tables", "classes"), table(tmp_path / "tables", "classes"))
    for file in frames["source_file"]:
        assert (tmp_path / "hard" / file).read_bytes() == (small_run.root / "data/crossing" / file).read_bytes()

    examples = tables.read("examples", small_run.root / "scores/examples.parquet")
    own = examples[(examples["model"] == "crossing-v2") & (examples["task"] == "detection")]
    own = own[(own["corruption"] == "low_light") & (own["severity"] == 5)].set_index("frame_id")["score"]
    assert own.loc[ids].max() <= own.drop(ids).min()
    images = json.loads((tmp_path / "hard/dataset.json").read_text())["images"]
    for image in images:
        (reason,) = image["failures"]
        assert list(reason) == REASONS
        assert reason["score"] == own.loc[image["id"]]


def test_corrupted_pictures_are_those_that_the_models_saw(small_run: SmallRun, tmp_path: Path) -> None:
    run = runtime.open_run(str(small_run.params))
    wanted = Wanted(where="corruption != 'jpeg_compression' and severity != 0 and task == 'detection'", worst=12)
    export.failures(run, tmp_path / "hard", wanted, corrupted=True)
    prepare(tmp_path / "hard", tmp_path / "tables", strict=True)
    frames, objects = table(tmp_path / "tables", "frames"), table(tmp_path / "tables", "objects")
    was = table(small_run.root / "tables", "frames").set_index("frame_id")
    truth = table(small_run.root / "tables", "objects")
    assert len(frames) == 12
    assert {"low_light", "h264"} == set(frames["corruption"])
    data = small_run.root / "data/crossing"
    for row in frames.to_dict("records"):
        source = was.loc[row["source_frame"]]
        clip = was[was["clip_id"] == source["clip_id"]]
        severity = int(row["severity"])
        level = {"severity": severity} if row["corruption"] == "low_light" else {"level": [37, 51][severity - 1]}
        made = corruptions.corrupt(
            np.stack([load(data / file) for file in clip["source_file"]]),
            name=row["corruption"],
            clips=source["clip_id"],
            **level,
        )
        place = list(clip["frame_index"]).index(source["frame_index"])
        np.testing.assert_array_equal(load(tmp_path / "hard" / row["source_file"]), made[place])
        assert row["clip_id"] == f"{source['clip_id']} under {row['corruption']} {severity}"
        assert (row["frame_index"], row["camera"]) == (source["frame_index"], source["camera"])
        ids = ["object_id", "frame_id"]
        same(
            truth[truth["frame_id"] == row["source_frame"]].drop(columns=ids),
            objects[objects["frame_id"] == row["frame_id"]].drop(columns=ids),
        )
    semantic, before = table(tmp_path / "tables", "semantic"), table(small_run.root / "tables", "semantic")
    pairs = dict(zip(before["frame_id"], before["label_map"], strict=True))
    assert list(semantic["label_map"]) == [pairs[frame] for frame in frames["source_frame"]]


def test_the_command_and_a_run_on_what_it_wrote(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(small_run.root)
    out = tmp_path / "hard"
    assert cli.main(["export-failures", str(out), "--corruption", "low_*", "--worst", "5", "--corrupted"]) == 0
    assert "Wrote 5 images as corrupted" in capsys.readouterr().out
    params = yaml.safe_load(small_run.params.read_text())
    params["dataset"] = {"path": str(out), "split": "test"}
    params["slices"] = {"attributes": ["corruption"]}
    for model in params["models"].values():
        model["weights"] = str(small_run.root / model["weights"])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert cli.main(["check", "--params", str(tmp_path / "params.yaml")]) == 0
    assert "is in order" in capsys.readouterr().out
    assert cli.main(["export-failures", str(out), "--worst", "5"]) == 2
    assert "is there already and not an empty folder" in capsys.readouterr().err
    assert cli.main(["export-failures", str(tmp_path / "new"), "--where", "scor < 1"]) == 2
    assert not (tmp_path / "new").exists()


def copied(small_run: SmallRun, root: Path, corruption: dict[str, list[object]]) -> runtime.Run:
    """A copy of the run without its data, pointed at them, with other corruptions."""
    for name in ("tables", "scores", "predictions"):
        shutil.copytree(small_run.root / name, root / name)
    params = yaml.safe_load(small_run.params.read_text())
    params["dataset"]["path"] = str(small_run.root / "data/crossing")
    params["corruptions"] = corruption
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return runtime.open_run(str(root / "params.yaml"))


def example(frame_id: int, corruption: str, severity: int) -> dict[str, object]:
    given = {"model": "crossing-v1", "task": "detection", "corruption": corruption, "family": "digital"}
    return {**given, "severity": severity, "frame_id": frame_id, "score": 0.0, "error_kind": "miss", "evidence": "x"}


def test_truth_moves_with_what_moves_it(small_run: SmallRun, tmp_path: Path) -> None:
    run = copied(small_run, tmp_path, {"digital": ["rolling_shutter"]})
    truth = table(tmp_path / "tables", "objects")
    tests = table(tmp_path / "tables", "frames").query("split == 'test'")
    truth = truth[truth["frame_id"].isin(tests["frame_id"])]
    frame_id = int(truth["frame_id"].value_counts().idxmax())
    truth = truth[truth["frame_id"] == frame_id]
    # The crest of so long a wave: all rows move by 3 px to the right.
    wave = {"corruption": "rolling_shutter", "family": "digital", "severity": 2, "frame_id": frame_id}
    wave |= {"amplitude_px": 3.0, "period_px": 1e9, "phase_rad": np.pi / 2}
    tables.write("displacement", pd.DataFrame([wave]), tmp_path / "predictions/displacement.parquet")
    chosen = pd.DataFrame([example(frame_id, "rolling_shutter", 2)])
    hard_set.write(run.params, run.layout, chosen, tmp_path / "hard", corrupted=True)
    prepare(tmp_path / "hard", tmp_path / "new", strict=True)
    moved = table(tmp_path / "new", "objects")
    width = int(table(tmp_path / "new", "frames")["width_px"].iloc[0])
    assert len(moved) == len(truth) > 0
    x, y = ["x0_px", "x1_px"], ["y0_px", "y1_px"]
    np.testing.assert_allclose(moved[x].to_numpy(), np.minimum(truth[x].to_numpy() + 3, width), atol=1e-6)
    np.testing.assert_allclose(moved[y].to_numpy(), truth[y].to_numpy(), atol=1e-6)
    assert (moved["area_px"].to_numpy() == truth["area_px"].to_numpy()).all()
    maps = table(tmp_path / "new", "semantic")["label_map"].iloc[0]
    was = table(tmp_path / "tables", "semantic").set_index("frame_id").loc[frame_id, "label_map"]
    np.testing.assert_array_equal(tables.decode_label_map(maps)[:, 3:], tables.decode_label_map(was)[:, :-3])


def test_members_of_archives_become_files_and_keep_their_clips(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    with tarfile.open(data / "all.tar", "w") as archive:
        archive.add(tmp_path / "a.png", "a.png")
        archive.add(tmp_path / "a.png", "b.png")
    images = [{"id": key, "file_name": "all.tar", "member": f"{name}.png"} for key, name in ((4, "a"), (9, "b"))]
    entry = {"id": 1, "image_id": 9, "category_id": 1, "bbox": [0.1, 0.2, 7.3, 8.7], "area": 3.0}
    document = {"images": images, "annotations": [entry], "categories": [{"id": 1, "name": "car"}]}
    (data / "dataset.json").write_text(json.dumps(document))
    prepare(data, tmp_path / "tables", strict=True)
    params = {"dataset": {"path": "data", "split": None}, "models": {"m": {"adapter": "recorded", "weights": "x"}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    run = runtime.open_run(str(tmp_path / "params.yaml"))
    chosen = pd.DataFrame([example(9, "clean", 0)])
    made = hard_set.write(run.params, run.layout, chosen, tmp_path / "hard", corrupted=False)
    assert made == {"images": 1, "annotations": 1, "clips": 1}
    prepare(tmp_path / "hard", tmp_path / "new", strict=True)
    frame = table(tmp_path / "new", "frames").iloc[0]
    assert (frame["frame_id"], frame["clip_id"], frame["frame_index"]) == (9, "all.tar/b.png", 0)
    assert (tmp_path / "hard" / frame["source_file"]).read_bytes() == (tmp_path / "a.png").read_bytes()
    same(table(tmp_path / "tables", "objects"), table(tmp_path / "new", "objects"))

    document["images"] = images[:1]
    document["annotations"] = []
    (data / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="has no image 9, which the tables have"):
        hard_set.write(run.params, Layout(tmp_path), chosen, tmp_path / "other", corrupted=False)
    assert sorted(path.name for path in tmp_path.iterdir() if "other" in path.name) == []
