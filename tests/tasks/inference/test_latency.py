"""Latency as it is measured: clocks that add up, what counts and what does not, facts that are found again."""

import ctypes
import gc
import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from tasks import inference, models, tables
from tasks.corruptions import corrupt
from tasks.data.frames import FrameReader
from tasks.inference import measuring, workers
from tasks.inference.measuring import LEAD, Clock, Place, Spec, crowded, measure, spread
from tasks.layout import Layout
from tasks.metrics.latency import STAGES
from tasks.models.outputs import Output, mark
from tasks.params import Params
from tests import tiny

SLEEP_MS: Final = {"preprocess": 3.0, "infer": 6.0, "postprocess": 2.0}
NOTHING: Final = Output(
    boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), class_ids=np.zeros(0, np.int64)
)


class Sleeper:
    """A model that takes known times; the first calls take far longer, as networks' do."""

    tasks = frozenset({"detection"})

    def __init__(self, *, marks: bool, bytes_: int = 0) -> None:
        self.marks, self.bytes = marks, bytes_
        self.seen: list[Any] = []

    def predict(self, frames: Any) -> list[Output]:
        self.seen.append(np.stack(frames))
        if len(self.seen) <= measuring.WARM_UP:
            time.sleep(0.05)
        for stage, ms in SLEEP_MS.items():
            if self.marks and stage != "preprocess":
                mark(stage)  # type: ignore[arg-type]
            time.sleep(ms / 1e3)
        np.ones(self.bytes, np.uint8)
        return [NOTHING] * len(frames)


def frames_of(clips: list[int]) -> pd.DataFrame:
    rows = [(f"c{clip:02d}", index) for clip, length in enumerate(clips) for index in range(length)]
    return pd.DataFrame(rows, columns=["clip_id", "frame_index"])


def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Sleeper, *places: Place) -> pd.DataFrame:
    """The table of one made-up model on tiny data, in this process."""
    params = tiny.change(tiny.write(tmp_path, clips=2, frames=6, models=1))
    monkeypatch.setattr(models, "load", lambda *args, **options: model)
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    return measure(Spec(params, "m0", frames, (Place(), *places), "cpu", 1, 4))


@pytest.mark.parametrize(
    ("clips", "count", "expected"),
    [
        ([12] * 48, 96, {0: 12, 7: 12, 13: 12, 20: 12, 27: 12, 34: 12, 40: 12, 47: 12}),  # whole short clips
        ([1] * 1000, 5, {0: 1, 250: 1, 500: 1, 749: 1, 999: 1}),  # stills
        ([500], 96, {0: 96}),  # one long video
        ([500] * 9, 96, {0: 32, 4: 32, 8: 32}),
        ([3, 4], 96, {0: 3, 1: 4}),  # all that there is
    ],
)
def test_frames_are_spread_over_the_clips(clips: list[int], count: int, expected: dict[int, int]) -> None:
    found = spread(frames_of(clips), count)
    assert found.groupby("clip_id").size().to_dict() == {f"c{clip:02d}": size for clip, size in expected.items()}
    assert all(own["frame_index"].tolist() == list(range(len(own))) for _, own in found.groupby("clip_id"))


def test_crowded_frames_come_after_those_before_them() -> None:
    frames = frames_of([30, 3, 20]).assign(frame_id=range(100, 153))
    counts = dict.fromkeys(range(100, 153), 1) | {112: 9, 113: 8, 110: 7, 131: 6, 133: 9, 152: 5, 105: 0}
    quality = pd.DataFrame({"frame_id": counts.keys(), "crowding": counts.values()})
    found = crowded(frames, quality, count=4)
    # 113 and 110 lie in or lead through the scene of 112; 133 is the first of its clip.
    assert [scene["frame_id"].tolist() for scene in found] == [
        list(range(112 - LEAD, 113)),
        [133],
        [130, 131],
        list(range(152 - LEAD, 153)),
    ]
    assert crowded(frames, quality.assign(crowding=0)) == ()
    assert [len(scene) for scene in crowded(frames_of([1] * 9).assign(frame_id=range(100, 109)), quality)] == [1] * 5


def test_crowded_scenes_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = tiny.change(tiny.write(tmp_path, clips=2, frames=6, models=1))
    model = Sleeper(marks=True)
    monkeypatch.setattr(models, "load", lambda *args, **options: model)
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    scenes = (frames.iloc[2:5], frames.iloc[6:7])
    spec = Spec(params, "m0", frames, (Place(),), "cpu", 1, 4, scenes)
    found = measure(spec)
    own = found[found["corruption"] == tables.CROWDED]
    assert own.loc[own["fact"] == "wall_ms", "frame_id"].tolist() == [5, 7]  # 3 and 4 led up to 5
    assert {f"{stage}_ms" for stage in STAGES} | {"wall_ms", "detections"} == set(own["fact"])
    assert set(own["severity"]) == {0}
    assert (found["fact"] == "wall_ms").sum() == 12 + 2
    clean = np.stack(FrameReader(tmp_path / "data").read(frames))
    alone = [seen[0] for seen in model.seen if len(seen) == 1]
    assert np.array_equal(np.stack(alone[-4:]), clean[[2, 3, 4, 6]])


def test_a_clock_is_at_one_stage_at_a_time_and_waits_for_the_device() -> None:
    waits = []
    clock = Clock(lambda: waits.append(1))
    start = time.perf_counter()
    for stage, seconds in (("decode", 0.01), ("infer", 0.02), ("decode", 0.01), ("idle", 0.005)):
        clock.switch(stage)
        time.sleep(seconds)
    clock.switch("idle")
    wall_ms = (time.perf_counter() - start) * 1e3
    assert clock.ms["decode"] >= 20
    assert clock.ms["infer"] >= 20
    assert clock.ms["idle"] >= 5
    assert sum(clock.ms.values()) == pytest.approx(wall_ms, rel=0.02)
    assert len(waits) == 6


def test_stages_and_idle_are_the_wall_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(tmp_path, monkeypatch, Sleeper(marks=True))
    rows = found[found["frame_id"].notna()].pivot(index="frame_id", columns="fact", values="value")
    assert len(rows) == 12
    parts = rows[[f"{stage}_ms" for stage in STAGES]].sum(axis=1)
    assert ((parts / rows["wall_ms"] - 1).abs() < 0.05).all()
    for stage, ms in SLEEP_MS.items():
        assert (rows[f"{stage}_ms"] >= ms).all()
        assert rows[f"{stage}_ms"].median() < ms + 5
    assert rows["wall_ms"].median() < 50  # the slow first calls are not among them
    batches = found[found["fact"] == "batch_ms"]
    assert (batches["batch_size"] == 4).all()
    assert len(batches) == measuring.BATCHES
    share = found.loc[found["fact"] == "cpu_share", "value"].item()
    assert 0 < share < 0.9  # it sleeps


def test_without_marks_all_of_a_call_is_inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(tmp_path, monkeypatch, Sleeper(marks=False))
    assert {"preprocess_ms", "postprocess_ms"}.isdisjoint(found["fact"])
    assert (found.loc[found["fact"] == "infer_ms", "value"] >= sum(SLEEP_MS.values())).all()


def test_memory_is_the_peak_above_what_was_there_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()  # what other tests left is given back now, not half-way through
    ctypes.CDLL(None).malloc_trim(0)
    earlier = np.ones(150_000_000, np.uint8)  # the process had once been larger than it ever gets now
    del earlier
    found = measured(tmp_path, monkeypatch, Sleeper(marks=True, bytes_=60_000_000)).set_index("fact")["value"]
    assert 55 < found["peak_memory_mb"] < 120
    assert found["process_memory_mb"] > found["peak_memory_mb"]


def test_a_corrupted_cell_shows_the_model_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sleeper(marks=True)
    found = measured(tmp_path, monkeypatch, model, Place("gaussian_noise", "noise", 3))
    frames = tables.read("frames", tmp_path / "tables/frames.parquet")
    clean = np.stack(FrameReader(tmp_path / "data").read(frames))
    alone = np.concatenate([seen for seen in model.seen if len(seen) == 1])
    assert np.array_equal(alone[measuring.WARM_UP : measuring.WARM_UP + 12], clean)
    clips = frames["clip_id"].tolist()
    noisy = corrupt(
        clean, name="gaussian_noise", severity=3, seed=0, clips=clips, first_frame=frames["frame_index"].tolist()
    )
    assert np.array_equal(alone[measuring.WARM_UP + 12 :], noisy)
    own = found[found["corruption"] == "gaussian_noise"]
    assert set(own["severity"]) == {3}
    assert {"wall_ms", "track_ms"} <= set(own["fact"])
    assert "peak_memory_mb" not in set(own["fact"])


def facts(params: Params, root: Path) -> pd.DataFrame:
    assert inference.infer(params, Layout(root)) == []
    return tables.read("latency", root / "latency/latency.parquet")


def test_what_is_known_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.write(tmp_path, clips=2, frames=8, models=1, corruptions={"noise": ["gaussian_noise"]})
    none = facts(tiny.change(path), tmp_path)
    assert none["status"].tolist() == ["not_applicable"]
    assert none["note"].tolist() == ["params have no section `latency`"]
    parts = {p: p.stat().st_mtime_ns for p in (tmp_path / ".stormglass/parts").glob("*/*.json")}

    first = facts(tiny.change(path, latency={"frames": 16}), tmp_path)  # a process of its own, the real network
    assert set(first["status"]) == {"ok"}
    measured_frames = first[(first["fact"] == "wall_ms") & (first["value"] > 0)]
    assert measured_frames.groupby("corruption").size().to_dict() == {"clean": 16, "crowded": 2}  # a scene in each clip
    assert {"preprocess_ms", "postprocess_ms", "track_ms"} <= set(first["fact"])
    assert first.loc[first["fact"] == "peak_memory_mb", "value"].item() > 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / ".stormglass/parts").glob("*/*.json")} == parts

    def refuse(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("the process died (exit status 9)")

    monkeypatch.setattr(workers, "alone", refuse)
    again = facts(tiny.change(path), tmp_path)
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    own = {"adapter": "small", "weights": "models/m0.safetensors", "tracker": {"name": "bytetrack"}}
    renamed = facts(tiny.change(path, models={"other": own}), tmp_path)
    assert renamed["model"].unique().tolist() == ["other"]
    pd.testing.assert_frame_equal(renamed.assign(model=first["model"]), first, check_exact=True)
    failed = facts(tiny.change(path, latency={"frames": 16, "take": 2}), tmp_path)
    assert failed[["status", "note"]].to_numpy().tolist() == [["failed", "the process died (exit status 9)"]]
    assert facts(tiny.change(path, latency={"frames": 16}), tmp_path)["status"].unique().tolist() == ["ok"]


def test_recorded_predictions_have_no_latency(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, clips=1, frames=2, models=1)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/clean.json").write_text("[]")
    theirs = {"adapter": "recorded", "weights": "theirs"}
    params = tiny.change(path, models={"theirs": theirs}, latency={})
    assert facts(params, tmp_path)["note"].tolist() == ["recorded predictions: no latency"]


def test_a_process_alone_has_its_threads_and_an_end() -> None:
    assert workers.alone(os.getenv, "OMP_NUM_THREADS", device="cpu", threads=2, limit_s=120) == "2"
    threads = "__import__('torch').get_num_threads()"  # torch is loaded there after all has been set
    assert workers.alone(eval, threads, device="cpu", threads=1, limit_s=120) == 1
    with pytest.raises(RuntimeError, match=r"died \(exit status 3"):
        workers.alone(os._exit, 3, device="cpu", threads=1, limit_s=120)
    with pytest.raises(RuntimeError, match=r"outran 0\.1 s"):
        workers.alone(time.sleep, 600, device="cpu", threads=1, limit_s=0.1)
