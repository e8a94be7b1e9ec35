"""How many frames at once: the bound by size, the search within memory, what is asked on a GPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tasks.inference import batches
from tasks.inference.batches import BATCH_BYTES, CAP, SHARE, fitting, in_memory, on_processor


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(48, 64, 8), (480, 640, 8), (1080, 1920, 8), (2160, 3840, 2), (4000, 6000, 1), (30_000, 30_000, 1)],
)
def test_batches_of_huge_frames_are_small(height: int, width: int, expected: int) -> None:
    size = on_processor(height, width)
    assert size == expected
    assert size == 1 or size * height * width * 3 <= BATCH_BYTES


@pytest.mark.parametrize(("one", "two"), [(100, 150), (100, 200), (1000, 1001), (7, 7), (90, 80), (5000, 9000)])
@pytest.mark.parametrize("free", [0, 1000, 10_000, 1_000_000])
@pytest.mark.parametrize("cap", [1, 8, 48, 64])
def test_the_largest_power_of_two_that_fits(free: int, one: int, two: int, cap: int) -> None:
    def takes(size: int) -> int:
        return one + (size - 1) * max(two - one, 0)

    found = in_memory(free, one, two, cap=cap)
    fits = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= cap and takes(size) <= SHARE * free]
    assert found == max(fits, default=1)


class Model:
    """Takes so many bytes of a made-up GPU, beside what it first takes for good."""

    tasks = frozenset({"detection"})

    def __init__(self, each: int, *, fails: Exception | None = None) -> None:
        self.each, self.fails = each, fails
        self.calls: list[int] = []

    def predict(self, frames: Sequence[Any]) -> list[Any]:
        self.calls.append(len(frames))
        if self.fails is not None and len(frames) > 1:
            raise self.fails
        Gpu.peak = max(Gpu.peak, Gpu.held + 1000 + self.each * len(frames))
        Gpu.held = 500  # workspaces stay
        return []


class Gpu:
    held = peak = 0


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpu.held = Gpu.peak = 0

    def reset(_: str) -> None:
        Gpu.peak = Gpu.held

    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: Gpu.held)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: Gpu.peak)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (40_000, 50_000))


FRAME = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.usefixtures("gpu")
def test_all_models_fit() -> None:
    small, large = Model(100), Model(1500)
    assert fitting([small], FRAME, "cuda:0") == CAP  # 64 take 7,400 of 20,000
    assert fitting([small, large], FRAME, "cuda:0") == 8  # 12 would take 19,000
    assert large.calls == [1, 1, 2]
    assert fitting([], FRAME, "cuda:0") == CAP


@pytest.mark.usefixtures("gpu")
def test_models_that_fail_do_not_stop_the_others() -> None:
    assert fitting([Model(10, fails=RuntimeError("CUDA out of memory"))], FRAME, "cuda:0") == 1
    assert fitting([Model(10, fails=ZeroDivisionError()), Model(1500)], FRAME, "cuda:0") == 8


def test_on_the_cpu_no_model_is_asked() -> None:
    model = Model(100)
    assert fitting([model], np.zeros((2160, 3840, 3), np.uint8), "cpu") == 2
    assert model.calls == []


def test_ways_of_running_out_of_memory_are_known() -> None:
    for error in (MemoryError(), RuntimeError("CUDA out of memory."), RuntimeError("std::bad_alloc")):
        assert batches.out_of_memory(error)
    assert not batches.out_of_memory(RuntimeError("memory format"))
