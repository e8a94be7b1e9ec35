"""The GPU benchmark, tried on the processor: a network in two runtimes, the same AP twice, figures that add up."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import accelerator, onnx_in_torch, pipeline

pytest.importorskip("pycocotools")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")


@pytest.fixture
def real() -> Path:
    given = os.environ.get("STORMGLASS_REAL_DATA")
    if not given:
        pytest.skip("STORMGLASS_REAL_DATA names no folder of photographs")
    return Path(given)


def test_a_network_in_torch_says_what_onnxruntime_says(real: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = real / "models/yolox_nano.onnx"
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)
    (expected,) = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"images": pixels})
    onnx_in_torch.script(path, tmp_path / "m.pt", (416, 416))
    with torch.inference_mode():
        found = torch.jit.load(str(tmp_path / "m.pt"))(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)
    with pytest.raises(ValueError, match="got the operator Erf"):
        onnx_in_torch._run("Erf", [torch.zeros(1)], {})


def test_busy_time_is_the_union_of_spans() -> None:
    assert accelerator.busy([]) == 0
    assert accelerator.busy([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4


def test_ap_of_the_processor_agrees_with_itself(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr(accelerator, "AGREEMENT", ("contrast",))
    found = accelerator.agreement(real, "cpu", pipeline.Size("test", 3, (5,)))
    assert found["cells"] == 2
    assert found["ap_difference"] == 0
    assert found["cpu_clean_ap"] > 0.1


@pytest.mark.slow  # the loop's workers start for every cell
def test_speed_is_measured_beside_the_loop(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "benchmark", lambda: ["contrast"])
    size = pipeline.Size("test", 2, (5,))
    found = accelerator.speed(real, "cpu", size, None, "ssdlite320_mobilenet_v3_large")
    assert found["speedup"] == found["field_loop_s"] / found["ours_s"] > 0
    assert found["over_forward"] == found["work_s"] / found["forward_s"] > 0.5
    assert "idle_share" not in found
