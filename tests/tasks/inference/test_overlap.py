"""Batches made ahead in a thread: what comes, when, how much of it at once, and what remains of errors."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import inference
from tasks.inference import bench, planning
from tasks.inference.bench import Bench, Spec
from tasks.inference.overlap import ahead
from tasks.layout import Layout
from tests import tiny


class Made:
    """Numbers that note when they are made, and by whom."""

    def __init__(self, count: int, *, seconds: float = 0.0, fails_at: int | None = None) -> None:
        self.made = 0
        self.threads: set[int] = set()
        self.closed = False
        self._count, self._seconds, self._fails_at = count, seconds, fails_at

    def items(self) -> Iterator[int]:
        try:
            for number in range(self._count):
                if number == self._fails_at:
                    raise ValueError("no such frame")
                self.threads.add(threading.get_ident())
                time.sleep(self._seconds)
                self.made += 1
                yield number
        finally:
            self.closed = True


def test_items_come_in_order_from_one_other_thread() -> None:
    source = Made(20)
    assert list(ahead(source.items())) == list(range(20))
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads
    assert list(ahead(iter(()))) == []


def test_no_more_than_asked_for_is_made_ahead() -> None:
    source = Made(20)
    for number in ahead(source.items(), count=2):
        time.sleep(0.01)
        assert source.made <= number + 3


def test_making_and_using_overlap() -> None:
    source, start = Made(10, seconds=0.03), time.perf_counter()
    for _ in ahead(source.items()):
        time.sleep(0.03)
    assert time.perf_counter() - start < 0.9 * 10 * 0.06


def test_errors_come_in_their_place_and_no_thread_is_left() -> None:
    before = threading.active_count()
    seen = []
    with pytest.raises(ValueError, match="no such frame"):  # noqa: PT012
        for number in ahead(Made(9, fails_at=3).items()):
            seen.append(number)
    assert seen == [0, 1, 2]
    source = Made(9)
    for _ in ahead(source.items()):
        break
    assert threading.active_count() == before


def prepared(root: Path, corruptions: dict[str, list[object]]) -> inference.Plan:
    path = tiny.write(root, clips=3, frames=5, corruptions=corruptions)
    return planning.make(tiny.change(path, run={"batch_size": 4}), Layout(root), devices=("cpu",))


def worker(plan: inference.Plan, *, overlaps: bool) -> Bench:
    made = Bench(Spec(params=plan.params, store=plan.store.url, names=tuple(plan.params.models)), "cpu")
    made._overlaps = overlaps
    made._feed.fit = lambda predictors: None  # type: ignore[method-assign]  # which asks a GPU
    return made


ALL: dict[str, list[object]] = {"noise": ["gaussian_noise"], "compression": ["h264"]}


def test_parts_are_the_same_to_the_byte(tmp_path: Path) -> None:
    found: dict[bool, dict[str, bytes]] = {}
    for overlaps in (False, True):
        plan = prepared(tmp_path / str(overlaps), ALL)
        own = worker(plan, overlaps=overlaps)
        assert [failure for unit in plan.units for failure in own.work(unit, lambda part: None)] == []
        parts = (tmp_path / str(overlaps) / ".stormglass/parts").rglob("*.parquet")
        kept = {p.name: p.read_bytes() for p in parts if p.name.count(".") == 1}
        found[overlaps] = kept
        stages = plan.store.timings(plan.cells[-1].part.detections).groupby("stage")["ms"].sum()
        assert {"decode", "corrupt", "infer"} <= set(stages.index)
    assert len(found[True]) == 20  # two models, five cells, before and after tracking
    assert found[True] == found[False]


def test_busy_time_is_no_waiting_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = prepared(tmp_path, {"noise": ["gaussian_noise"]})
    own = worker(plan, overlaps=True)
    real = Bench._predict

    def slow(self: Bench, model: object, frames: list[object]) -> object:
        time.sleep(0.05)
        return real(self, model, frames)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.Bench, "_predict", slow)
    start = time.perf_counter()
    assert own.work(plan.units[1], lambda part: None) == []
    wall_ms = (time.perf_counter() - start) * 1e3
    spent = plan.store.timings(plan.units[1].parts[0].detections).groupby("stage")["ms"].sum()
    assert spent["infer"] >= 4 * 50
    assert spent["decode"] + spent["corrupt"] < 100  # while each batch waits for two models, 100 ms a batch
    assert wall_ms > 2 * 4 * 50


def test_faults_and_memory_come_out_as_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = prepared(tmp_path, {"noise": ["gaussian_noise"]})
    own = worker(plan, overlaps=True)
    sizes: list[int] = []
    for model in own._models.values():
        original = model.predict

        def predict(frames: list[object], original: object = original) -> object:
            sizes.append(len(frames))
            if len(frames) > 2:
                raise MemoryError
            return original(frames)  # type: ignore[operator]

        monkeypatch.setattr(model, "predict", predict)
    assert own.work(plan.units[0], lambda part: None) == []
    assert max(sizes) == 4
    assert sizes[-2:] == [1, 1] or max(sizes[-4:]) <= 2
    (tmp_path / "data/images/1-2.png").write_bytes(b"no picture")
    fresh = worker(plan, overlaps=True)
    failures = fresh.work(plan.units[1], lambda part: None)
    assert {failure.part.key for failure in failures} >= {part.key for part in plan.units[1].parts}
    assert all(failure.mistake and "1-2.png" in failure.message for failure in failures)
