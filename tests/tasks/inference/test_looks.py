"""What `infer` stores of sampled frames: which, what of them, found again, the same however the work is done."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import inference, quality, tables
from tasks.corruptions import corrupt
from tasks.data.frames import FrameReader
from tasks.inference import looks, planning, results, shards
from tasks.inference.bench import Bench, Spec
from tasks.inference.feed import Feed
from tasks.inference.parts import Plan, Unit
from tasks.layout import Layout
from tests import tiny

CORRUPTIONS = {"weather": ["rain"], "compression": ["jpeg_compression", "h264"]}


def of_clips(**sizes: int) -> pd.DataFrame:
    return pd.DataFrame({"clip_id": [clip for clip, n in sizes.items() for _ in range(n)]})


def test_a_cell_has_a_hundred_frames_to_two_hundred() -> None:
    clips = {f"clip-{number}": 24 for number in range(40)}
    step = looks.every(960)
    chosen = looks.sample(of_clips(**clips), step)
    assert step == 8
    assert len(chosen) == 40 * 3  # three of each clip's 24
    assert [len(set(range(24 * n, 24 * n + 24)) & set(chosen)) for n in range(40)] == [3] * 40
    assert set(np.diff(chosen)) != {8}  # clips start at places of their own
    stills = looks.sample(of_clips(**{f"still-{n}": 1 for n in range(4000)}), looks.every(4000))
    assert 90 < len(stills) < 160  # 125 expected; four standard deviations are 44
    assert looks.sample(of_clips(a=3, b=2), 1) == (0, 1, 2, 3, 4)


def test_a_clips_sample_does_not_depend_on_the_others() -> None:
    alone = looks.sample(of_clips(b=20), 4)
    beside = looks.sample(of_clips(a=7, b=20, c=9), 4)
    assert [place - 7 for place in beside if 7 <= place < 27] == list(alone)


def planned(path: Path, **run: object) -> inference.Plan:
    params = tiny.change(path, run=run) if run else tiny.change(path)
    return planning.make(params, Layout(path.parent), devices=("cpu",))


def work(plan: inference.Plan, *, benches: int = 1) -> list[object]:
    """Units go round as many workers' benches."""
    names = tuple({part.model for unit in plan.units for part in unit.parts})
    own = [Bench(Spec(params=plan.params, store=plan.store.url, names=names), "cpu") for _ in range(benches)]
    return [
        failure
        for place, unit in enumerate(plan.units)
        for failure in own[place % benches].work(unit, lambda part: None)
    ]


def written(plan: inference.Plan) -> pd.DataFrame:
    results.link(plan)
    return tables.read("cell_quality", plan.layout.predictions / "quality.parquet")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips of six frames in shards of their own; every second frame is looked at."""
    monkeypatch.setattr(shards, "MIN_PIXELS", 0)
    monkeypatch.setattr(shards, "MIN_FRAMES", 6)
    monkeypatch.setattr(looks, "MOST_FRAMES", 9)
    return tiny.write(tmp_path, clips=3, frames=6, models=1, corruptions=CORRUPTIONS)


def test_features_are_those_of_the_corrupted_frames(path: Path) -> None:
    plan = planned(path)
    assert work(plan) == []
    table = written(plan)
    frames = tables.read("frames", path.parent / "tables/frames.parquet")
    clean = FrameReader(path.parent / "data").read(frames)
    cells = [("clean", 0), *((name, severity) for name in ("rain", "jpeg_compression", "h264") for severity in (1, 3))]
    assert list(dict.fromkeys(zip(table["corruption"], table["severity"], strict=True))) == cells
    assert table["camera"].isna().all()
    assert set(table["family"]) == {"clean", "weather", "compression"}
    for name, severity in cells:
        rows = table[(table["corruption"] == name) & (table["severity"] == severity)]
        assert rows["frame_id"].is_monotonic_increasing
        assert len(rows) == 9
        for clip, own in rows.groupby("clip_id"):
            places = np.flatnonzero(frames["clip_id"] == clip)
            seen = np.stack([clean[place] for place in places])
            if severity:
                seen = corrupt(seen, name=name, severity=severity, seed=0, clips=str(clip))
            within = frames.loc[places, "frame_id"].searchsorted(own["frame_id"])
            assert set(np.diff(within)) == {2}
            expected = np.array([quality.features(seen[place]) for place in within])
            assert np.array_equal(own[list(quality.FEATURES)].to_numpy(), expected, equal_nan=True), (name, severity)


def test_however_the_work_is_done_they_are_the_same(path: Path) -> None:
    one = planned(path, store="one", batch_size=8)
    assert work(one) == []
    expected = written(one)
    two = planned(path, store="two", batch_size=5)
    assert work(two, benches=2) == []
    pd.testing.assert_frame_equal(written(two), expected, check_exact=True)


def test_they_are_taken_of_finished_parts_without_a_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(path)
    assert work(plan) == []
    expected = written(plan)
    stored = {(look.key, len(shard.frames)) for _, shard, look in plan.looks}
    store = path.parent / ".stormglass/parts"
    files = sorted(store.glob(f"*/*.{looks.TABLE}.parquet"))
    assert {file.name.partition(".")[0] for file in files} == {key for key, _ in stored}
    assert planned(path).units == []

    for file in files[2:]:
        file.unlink()
    files[1].write_bytes(files[1].read_bytes()[:-40])
    again = planned(path)
    assert again.n_missing == 0
    assert [unit.parts for unit in again.units] == [()] * len(again.units)
    assert sum(len(unit.looks) for unit in again.units) == len(files) - 1

    def never(*given: object) -> None:
        raise AssertionError("a model ran")

    seen: list[int] = []
    original = Feed._corrupt

    def corrupted(*given: object) -> object:
        seen.append(len(given[3]))  # type: ignore[arg-type]
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Bench, "_predict", never)
    monkeypatch.setattr(Feed, "_corrupt", corrupted)
    assert work(again) == []
    assert set(seen) == {3}  # of a clip's six frames those that are looked at
    pd.testing.assert_frame_equal(written(again), expected, check_exact=True)


def test_the_key_is_what_decides_them(path: Path) -> None:
    def keys(plan: inference.Plan) -> set[str]:
        return {look.key for _, _, look in plan.looks}

    before = planned(path)
    assert len(keys(before)) == len(before.looks) == 3 * 7
    more = tiny.change(path, models={**dict(before.params.model_dump(mode="json")["models"]), "same": {
        "adapter": "small", "weights": "models/m0.safetensors"}})  # fmt: skip
    assert keys(planning.make(more, Layout(path.parent), devices=("cpu",))) == keys(before)
    assert not keys(planned(path, seed=1)) & keys(before)
    cuda = planning.make(before.params, before.layout, devices=("cuda:0",))
    assert not keys(cuda) & keys(before)


def test_one_that_cannot_be_taken_is_told_and_loses_nothing_else(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = planned(path)
    assert work(plan) == []
    whole = written(plan)
    for file in (path.parent / ".stormglass/parts").glob(f"*/*.{looks.TABLE}.parquet"):
        file.unlink()
    for picture in (path.parent / "data/images").glob("1-*.png"):
        picture.unlink()
    failures = work(plan_again := Plan(**{**vars(plan), "units": [
        Unit(unit.corruption, unit.shard, (), unit.looks) for unit in plan.units]}))  # fmt: skip
    assert {type(failure.part) for failure in failures} == {looks.Look}  # type: ignore[attr-defined]
    assert len(failures) == 7
    with caplog.at_level(logging.WARNING):
        table = written(plan_again)
    assert "lacks 7 looks at cells, such as clean 0, shard-0001" in caplog.text
    expected = whole[whole["clip_id"] != "clip-1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
