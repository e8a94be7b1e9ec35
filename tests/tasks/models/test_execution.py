"""Precision and compilation: what autocast does to a network, what is left in float32, what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks import models
from tasks.errors import InputError
from tasks.models import small
from tasks.models.execution import PLAIN, Execution
from tasks.models.steering import exactly, steer, steered
from tasks.params import Model
from tests import tiny

BF16 = Execution("bfloat16")
COMPILED = Execution(compile=True)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3)).eval().requires_grad_(False)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(1, 3, 12, 14, generator=torch.Generator().manual_seed(1))


def frame(height: int = 64, width: int = 96) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_the_network_computes_in_the_precision_asked_for_and_answers_in_float32(
    network: nn.Module, pixels: torch.Tensor
) -> None:
    said = steered(network, BF16, "cpu")(pixels)
    assert said.dtype == torch.float32
    reduced = nn.Sequential(*network).to(torch.bfloat16)(pixels.bfloat16()).float()
    assert torch.equal(said, reduced)
    network.float()
    full = network(pixels)
    assert 1e-4 < (said - full).abs().max() < 0.05
    assert steered(network, PLAIN, "cpu") is network


def test_what_computes_coordinates_may_be_left_in_float32(network: nn.Module, pixels: torch.Tensor) -> None:
    expected = network[2](network[1](network[0].to(torch.bfloat16)(pixels.bfloat16())).float())
    network[0].float()
    exactly(network[2], "cpu")
    assert torch.equal(steer(network, BF16, "cpu")(pixels), expected)


def test_structures_of_tensors_keep_their_form(pixels: torch.Tensor) -> None:
    def says(given: torch.Tensor) -> dict[str, Any]:
        return {"a": [given.bfloat16()], "b": (given.argmax(), None)}

    said = steered(says, BF16, "cpu")(pixels)
    assert said["a"][0].dtype == torch.float32
    assert said["b"][0].dtype == torch.int64
    assert said["b"][1] is None


def test_an_embedded_model_in_bfloat16(tmp_path: Path) -> None:
    classes = {"object": {1: "car", 2: "bus"}, "semantic": {0: "road", 1: "sky"}, "label": {0: "day", 1: "night"}}
    torch.manual_seed(0)
    small.save(small.build(classes), classes, tmp_path / "m.safetensors")
    model = Model(adapter="small", weights=Path("m.safetensors"))
    full, reduced = (
        models.load(model, folder=tmp_path, device="cpu", execution=one).predict([frame()])[0] for one in (PLAIN, BF16)
    )
    assert reduced.probabilities is not None
    assert reduced.probabilities.dtype == np.float32
    assert 0 < np.abs(reduced.probabilities - full.probabilities).max() < 0.05
    assert len(reduced.boxes) > 0


def test_adapters_whose_networks_torch_does_not_run_are_left_alone(tmp_path: Path) -> None:
    model = Model(adapter="classical", variant="otsu")
    whole, other = (
        models.load(model, folder=tmp_path, device="cpu", execution=one).predict([frame()])[0]
        for one in (PLAIN, Execution("float16", compile=True))
    )
    assert np.array_equal(whole.boxes, other.boxes)
    torch_runs = {name for name, adapter in models.MODELS.items() if adapter.torch}
    assert torch_runs == {"small", "torchscript", "torchvision", "transformers", "ultralytics"}


def test_float16_is_for_cuda_devices(tmp_path: Path) -> None:
    params = tiny.load(tiny.write(tmp_path, clips=1, frames=1, models=1))
    with pytest.raises(InputError, match="float16 needs a CUDA device: use bfloat16 or float32"):
        models.load(params.models["m0"], folder=tmp_path, device="cpu", execution=Execution("float16"))


@pytest.mark.slow  # the compiler takes a minute and more
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_network_says_the_same_for_every_size(network: nn.Module) -> None:
    run = steered(network, COMPILED, "cpu")
    for size in ((12, 14), (20, 31)):
        pixels = torch.randn(1, 3, *size)
        torch.testing.assert_close(run(pixels), network(pixels), atol=1e-5, rtol=0)
    assert run._compiled is not None  # type: ignore[attr-defined]


def test_where_compiling_fails_the_network_runs_as_it_is(
    network: nn.Module, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(*_: Any) -> Any:
        raise RuntimeError("no compiler here")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run, **_: real(run, backend=no_compiler))
    run = steered(network, COMPILED, "cpu")
    with pytest.raises(RuntimeError, match="channels"):  # the network's own fault is no reason to give up
        run(pixels[:, :2])
    assert "torch.compile failed" not in caplog.text
    for _ in range(2):
        assert torch.equal(run(pixels), network(pixels))
    assert caplog.text.count("torch.compile failed") == 1
    assert "no compiler here" in caplog.text


def test_a_scripted_network_is_compiled_already(
    network: nn.Module, pixels: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    scripted = torch.jit.trace(network, pixels)
    assert torch.equal(steered(scripted, COMPILED, "cpu")(pixels), network(pixels))
    assert "TorchScript network is compiled already" in caplog.text
