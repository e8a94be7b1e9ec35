"""One worker's work, in this process: batches, memory, order, faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from flows.realtime import replay
from tasks import inference, tables
from tasks.corruptions import CORRUPTIONS, corrupt
from tasks.data.frames import FrameReader
from tasks.errors import InputError
from tasks.inference import bench, planning, rows, shards
from tasks.inference.bench import Bench, Spec
from tasks.layout import Layout
from tasks.metrics.requests import requests
from tasks.models import tracking
from tasks.params import Tracker
from tests import tiny

ALL = {"noise": ["gaussian_noise"], "weather": ["rain"], "blur": ["motion_blur"], "compression": ["h264"]}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MIN_PIXELS", 0)


def prepared(path: Path, **run: object) -> inference.Plan:
    params = tiny.change(path, run=run) if run else tiny.change(path)
    return planning.make(params, Layout(path.parent), devices=("cpu",))


def work(planned: inference.Plan) -> Bench:
    names = tuple(planned.params.models)
    return Bench(Spec(params=planned.params, store=planned.store.url, names=names), "cpu")


def do_all(planned: inference.Plan) -> list[bench.Failure]:
    worker = work(planned)
    return [failure for unit in planned.units for failure in worker.work(unit, lambda part: None)]


def by_cell(planned: inference.Plan) -> dict[tuple[object, ...], pd.DataFrame]:
    return {
        (cell.part.model, cell.corruption, cell.part.severity, cell.shard): planned.store.get(cell.part.key)
        for cell in planned.cells
    }


class Seen:
    """Notes the frames that the model is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[np.ndarray[Any, Any]] = []
        original = Bench._predict

        def predict(worker: Bench, model: Any, frames: list[Any]) -> Any:
            self.batches.append(np.stack(frames))
            return original(worker, model, frames)

        monkeypatch.setattr(Bench, "_predict", predict)


@pytest.mark.usefixtures("small_shards")
def test_batch_sizes_change_no_pixel_and_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.write(tmp_path, clips=3, frames=6, models=1, corruptions=ALL)
    seen: dict[int, Seen] = {}
    scores: dict[int, dict[tuple[object, ...], pd.DataFrame]] = {}
    for size in (1, 7, 32):
        with monkeypatch.context() as patch:
            seen[size] = Seen(patch)
            planned = prepared(path, batch_size=size, store=f"parts-{size}")
            assert do_all(planned) == []
            scores[size] = by_cell(planned)
    assert [len(batch) for batch in seen[7].batches[:3]] == [7, 7, 4]
    pixels = {size: np.concatenate(seen[size].batches) for size in seen}
    for size in (7, 32):
        assert np.array_equal(pixels[size], pixels[1])
        for cell, one in scores[1].items():
            other = scores[size][cell]
            assert other["class_id"].tolist() == one["class_id"].tolist(), cell
            assert np.allclose(other["score"], one["score"], rtol=0, atol=1e-6, equal_nan=True), cell


@pytest.mark.usefixtures("small_shards")
def test_the_models_see_the_corruption_of_their_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.write(tmp_path, clips=2, frames=3, models=1, corruptions={"noise": ["gaussian_noise"]})
    seen = Seen(monkeypatch)
    planned = prepared(path)
    assert do_all(planned) == []
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    clean = np.stack(FrameReader(tmp_path / "data").read(frames))
    strong = np.concatenate(
        [
            corrupt(clean[start : start + 3], name="gaussian_noise", severity=3, seed=0, clips=clip)
            for start, clip in ((0, "clip-0"), (3, "clip-1"))
        ]
    )
    assert np.array_equal(seen.batches[0], clean)
    assert np.array_equal(seen.batches[2], strong)


@pytest.mark.usefixtures("small_shards")
def test_rows_and_tracks(tmp_path: Path) -> None:
    planned = prepared(tiny.write(tmp_path, clips=2, frames=5))
    assert do_all(planned) == []
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    for cell in planned.cells:
        raw, shown = planned.store.get(cell.part.detections), planned.store.get(cell.part.key)
        assert shown.drop(columns="track_id").equals(raw.drop(columns="track_id"))
        assert raw["track_id"].isna().all()
        assert shown["prediction_id"].is_unique
        assert list(dict.fromkeys(shown["frame_id"])) == frames["frame_id"].tolist()
        instances = shown[shown["class_id"].notna()]
        for _, of_frame in instances.groupby("frame_id"):
            assert of_frame["score"].is_monotonic_decreasing
        own = shown[shown["class_id"].isna()]
        assert len(own) == len(frames)
        assert tables.decode_label_map(own["label_map"].iloc[0]).shape == (48, 64)
        stages = set(planned.store.timings(cell.part.key)["stage"])
        assert stages == {"decode", "corrupt", "features", "infer", "track"}
    clip = frames[frames["clip_id"] == "clip-1"]
    rows = [instances[instances["frame_id"] == frame] for frame in clip["frame_id"]]
    box = ["x0_px", "y0_px", "x1_px", "y1_px"]
    given = [(row[box].to_numpy(), row["score"].to_numpy(), row["class_id"].to_numpy(int)) for row in rows]
    tracker = planned.params.models["m1"].tracker
    assert tracker is not None
    (expected,) = tracking.track([given], tracker=tracker)
    for found, ids in zip(rows, expected, strict=True):
        assert found["track_id"].tolist() == ids.tolist()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), RuntimeError("bad_alloc: failed")],
    ids=["numpy", "cuda", "onnxruntime"],
)
def test_out_of_memory_halves_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    path = tiny.write(tmp_path, clips=3, frames=4, models=1)
    planned = prepared(path, batch_size=12)
    sizes: list[int] = []
    worker = work(planned)
    model = worker._models["m0"]
    original: Callable[[list[Any]], Any] = model.predict

    def predict(frames: list[Any]) -> Any:
        sizes.append(len(frames))
        if len(frames) > 3:
            raise error
        return original(frames)

    monkeypatch.setattr(model, "predict", predict)
    for unit in planned.units:
        assert worker.work(unit, lambda part: None) == []
    assert sizes[:6] == [12, 6, 3, 3, 6, 3]
    assert set(sizes[8:]) == {3}  # it learned
    assert all(planned.store.has(cell.part.key) for cell in planned.cells)


def test_one_frame_that_does_not_fit_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = prepared(tiny.write(tmp_path, models=1))
    worker = work(planned)

    def predict(frames: list[Any]) -> Any:
        raise MemoryError("no")

    monkeypatch.setattr(worker._models["m0"], "predict", predict)
    failures = worker.work(planned.units[0], lambda part: None)
    assert [(failure.message, failure.mistake) for failure in failures] == [
        ("inference failed: MemoryError: no", False)
    ]


def test_one_models_fault_leaves_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = prepared(tiny.write(tmp_path))
    worker = work(planned)

    def predict(frames: list[Any]) -> Any:
        raise ZeroDivisionError("here")

    monkeypatch.setattr(worker._models["m0"], "predict", predict)
    done: list[inference.Part] = []
    failures = [failure for unit in planned.units for failure in worker.work(unit, done.append)]
    assert {failure.part.model for failure in failures} == {"m0"}
    assert {part.model for part in done} == {"m1"}
    assert len(done) == len(failures) == 5
    assert failures[0].message == "inference failed: ZeroDivisionError: here"


def test_a_frame_that_went_bad_is_a_failure_of_its_parts_and_looks(tmp_path: Path) -> None:
    path = tiny.write(tmp_path)
    (tmp_path / "data/images/1-2.png").write_bytes(b"no picture")
    planned = prepared(path)
    failures = do_all(planned)
    looks = [look.key for unit in planned.units for look in unit.looks]
    assert looks
    assert {failure.part.key for failure in failures} == {*looks, *(cell.part.key for cell in planned.cells)}
    assert all(failure.mistake and "1-2.png" in failure.message for failure in failures)


def test_frames_of_several_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(tmp_path / "a", clips=2, frames=3, size=(48, 64), models=1)
    path = tiny.write(tmp_path / "b", clips=2, frames=3, size=(64, 48), models=1)
    wide = tables.read("frames", tmp_path / "a/tables/frames.parquet")
    tall = tables.read("frames", tmp_path / "b/tables/frames.parquet")
    wide["source_file"] = "../../a/data/" + wide["source_file"]
    wide["frame_id"] += 100
    wide["clip_id"] = "wide-" + wide["clip_id"]
    mixed = pd.concat([wide[:3], tall[:3], wide[3:], tall[3:]], ignore_index=True)
    tables.write("frames", mixed, tmp_path / "b/tables/frames.parquet")
    seen = Seen(monkeypatch)
    planned = prepared(path)
    assert do_all(planned) == []
    assert [batch.shape[:3] for batch in seen.batches[:2]] == [(6, 48, 64), (6, 64, 48)]
    shown = planned.store.get(planned.cells[0].part.key)
    assert list(dict.fromkeys(shown["frame_id"])) == mixed["frame_id"].tolist()


def test_every_codec_gets_whole_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CORRUPTIONS["h264"].whole_clip
    path = tiny.write(tmp_path, clips=2, frames=5, models=1, corruptions={"compression": ["h264"]})
    seen = Seen(monkeypatch)
    planned = prepared(path, batch_size=3)
    assert do_all(planned) == []
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    clean = np.stack(FrameReader(tmp_path / "data").read(frames))
    expected = corrupt(clean, name="h264", severity=1, clips=frames["clip_id"].tolist())
    coded = np.concatenate(seen.batches[4:8])  # after the clean frames in batches of 3, 3, 3, 1: 3, 2, 3, 2
    assert np.array_equal(coded, expected)


def test_composed_and_scaled_corruptions_reach_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, list[object]] = {"all": ["gaussian_noise during 1:2 + defocus_blur", "low_light 2 + h264"]}
    path = tiny.write(tmp_path, clips=2, frames=3, models=1, corruptions=asked)
    seen = Seen(monkeypatch)
    tiny.change(path, scale_to=24, severities=[4])
    planned = prepared(path, batch_size=6)
    assert do_all(planned) == []
    assert inference.finish(planned) == []
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    clean = np.stack(FrameReader(tmp_path / "data").read(frames))
    clips = frames["clip_id"].tolist()
    made = np.concatenate(seen.batches)[len(clean) :]
    for place, name in enumerate(asked["all"]):
        settings = {"name": name, "severity": 4, "clips": clips}
        expected = corrupt(clean, **settings, scale_to=24)
        np.testing.assert_array_equal(made[place * 6 : place * 6 + 6], expected)
    blurred = {"name": "defocus_blur", "severity": 4, "clips": clips}
    assert (corrupt(clean, **blurred) != corrupt(clean, **blurred, scale_to=24)).any()
    folders = {part.parent.parent.name for part in (tmp_path / "predictions").glob("m0/*/4/*.parquet")}
    assert folders == {"gaussian_noise.during.1.2..defocus_blur", "low_light.2..h264"}


def test_facts_of_coded_clips_are_kept_beside_the_predictions(tmp_path: Path) -> None:
    asked: dict[str, list[object]] = {"compression": [{"h264": {"crf": [20, 45]}}], "noise": ["gaussian_noise"]}
    path = tiny.write(tmp_path, clips=2, frames=5, models=2, corruptions=asked)
    planned = prepared(path, batch_size=3)
    assert do_all(planned) == []
    assert inference.finish(planned) == []
    coding = tables.read("coding", tmp_path / "predictions/coding.parquet")
    assert set(coding["corruption"]) == {"h264"}
    assert set(coding["clip_id"]) == set(tables.read("frames", tmp_path / "tables/frames.parquet")["clip_id"])
    rates = coding[coding["fact"] == "bits_per_pixel"].groupby("severity")["value"].mean()
    assert rates[1] > 2 * rates[2] > 0
    assert not coding.duplicated(["corruption", "severity", "clip_id", "fact"]).any()
    # Facts go with the level, wherever it stands among the others, and are not computed again.
    tiny.change(path, corruptions={"compression": [{"h264": {"crf": [45]}}]})
    more = prepared(path)
    assert more.n_missing == 0
    assert inference.finish(more) == []
    again = tables.read("coding", tmp_path / "predictions/coding.parquet")
    assert again[again["fact"] == "bits_per_pixel"]["value"].mean() == rates[2]
    assert set(again["severity"]) == {1}


def test_decoded_once_for_all_severities_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = prepared(tiny.write(tmp_path, clips=2, frames=3))
    read: list[int] = []
    original = FrameReader.read

    def count(reader: FrameReader, rows: pd.DataFrame) -> Any:
        read.extend(rows["frame_id"])
        return original(reader, rows)

    monkeypatch.setattr(FrameReader, "read", count)
    assert do_all(planned) == []
    assert sorted(read) == [1, 2, 3, 4, 5, 6]


def test_a_damaged_part_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tiny.write(tmp_path, models=1)
    first = prepared(path)
    assert do_all(first) == []
    assert inference.finish(first) == []
    victim = tmp_path / "predictions/m0/gaussian_noise/3/shard-0000.parquet"  # the same file as the store's
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-10] + b"0123456789")
    second = prepared(path)
    assert "damaged" in caplog.text
    assert [(unit.corruption, len(unit.parts)) for unit in second.units] == [("gaussian_noise", 1)]
    assert do_all(second) == []
    assert inference.finish(second) == []
    assert victim.read_bytes() == whole


def test_a_part_damaged_after_the_plan_is_a_failed_cell(tmp_path: Path) -> None:
    planned = prepared(tiny.write(tmp_path, models=1))
    assert do_all(planned) == []
    victim = planned.cells[2].part.key
    file = tmp_path / f".stormglass/parts/{victim[:2]}/{victim}.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    (failed,) = inference.finish(planned)
    assert "damaged" in failed.message
    cells = tables.read("cells", tmp_path / "predictions/cells.parquet")
    assert cells.groupby("status").size().to_dict() == {"failed": 1, "ok": 4}


@pytest.mark.usefixtures("small_shards")
def test_a_tracker_that_looks_at_frames_sees_what_the_model_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny.write(tmp_path, clips=2, frames=3, models=1, corruptions={"all": ["gaussian_noise", "h264"]})
    model = {"adapter": "small", "weights": "models/m0.safetensors", "tracker": {"name": "botsort"}}
    tiny.change(path, models={"m0": model})
    shown: list[list[np.ndarray[Any, Any]]] = []
    original = rows.track

    def track(clips: Any, *, tracker: Any, images: Any) -> Any:
        shown.extend([list(clip) for clip in images])
        return original(clips, tracker=tracker, images=shown[-1:])

    monkeypatch.setattr(rows, "track", track)
    seen = Seen(monkeypatch)
    planned = prepared(path, batch_size=2)
    assert do_all(planned) == []
    assert len(shown) == 2 * (1 + 2 * 2)  # clips, clean and two corruptions at two severities
    assert np.array_equal(np.concatenate(seen.batches), np.concatenate([np.stack(clip) for clip in shown]))

    # As does one that runs again over what lies stored, for real-time HOTA.
    assert inference.finish(planned) == []
    first, params, layout = shown.copy(), planned.params, Layout(tmp_path)
    shown.clear()
    frames = tables.read("frames", layout.tables / "frames.parquet")
    tracker = params.models["m0"].tracker
    assert tracker is not None
    for request in requests(params, layout):
        stored = pd.concat([tables.read("predictions", file) for file in request.files], ignore_index=True)
        again = replay(params, layout, stored, frames, tracker, request)
        pd.testing.assert_frame_equal(again, stored)
    by_content = [sorted(np.stack(clip).tobytes() for clip in clips) for clips in (first, shown)]
    assert by_content[0] == by_content[1]
    assert request.corruption == "h264"
    (tmp_path / "data/images/1-1.png").unlink()
    others = frames[frames["frame_index"] != 1]  # the codec would have coded it with them
    with pytest.raises(InputError, match=r"1-1\.png"):
        replay(params, layout, stored[stored["frame_id"].isin(others["frame_id"])], others, tracker, request)


def test_a_tracker_may_follow_the_boxes_around_masks() -> None:
    frames = pd.DataFrame({"frame_id": [1, 2], "clip_id": "c", "height_px": 40, "width_px": 60})
    found = []
    for place, frame_id in enumerate((1, 2)):
        mask = np.zeros((40, 60), np.uint8, order="F")
        mask[10 + place : 20 + place, 30:42] = 1
        own = {"x0_px": 50.0 * place, "y0_px": 0.0, "x1_px": 50.0 * place + 8, "y1_px": 8.0}  # these do not overlap
        found.append(
            {"frame_id": frame_id, "class_id": 1, "score": 0.9, "mask": coco_mask.encode(mask)["counts"], **own}
        )
    predictions = pd.DataFrame(found).astype({"class_id": "Int32"})
    by_mask = rows.with_tracks(predictions, frames, Tracker(boxes="masks"))
    assert by_mask["track_id"].tolist() == [1, 1]
    assert rows.with_tracks(predictions, frames, Tracker())["track_id"].tolist() == [1, pd.NA]
    with pytest.raises(InputError, match="detections without masks"):
        rows.with_tracks(predictions.assign(mask=None), frames, Tracker(boxes="masks"))


def test_precision_reaches_the_models(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, clips=1, frames=2, models=1, corruptions={"noise": ["gaussian_noise"]})
    found = {}
    for precision in ("float32", "bfloat16"):
        planned = prepared(path, precision=precision)
        assert len(planned.units) == 2  # nothing of the other precision is taken for this one
        assert do_all(planned) == []
        found[precision] = planned.store.get(planned.cells[0].part.detections)
    scores = [table["score"].dropna().to_numpy() for table in found.values()]
    assert len(scores[0]) > 0
    assert len(scores[0]) != len(scores[1]) or 0 < np.abs(scores[0] - scores[1]).max() < 0.05


def test_huge_frames_come_in_smaller_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.batches, "BATCH_BYTES", 3 * 48 * 64 * 3)
    path = tiny.write(tmp_path, clips=1, frames=7, models=1)
    seen = Seen(monkeypatch)
    planned = prepared(path)
    assert do_all(planned) == []
    assert [len(batch) for batch in seen.batches[:3]] == [3, 3, 1]
