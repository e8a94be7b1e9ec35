"""`stormglass export`, `quantize`, `adapt`: versions of a real model, registered and run like any other."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torchvision.models import get_model

from flows import cli, versions
from tasks import models, params, tables
from tasks.data.frames import FrameReader
from tasks.models import small
from tests import tiny


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared project whose model has settled batch norms and sure heads."""
    tiny.write(tmp_path, models=1, clips=4)
    torch.manual_seed(3)
    network = small.build(tiny.CLASSES)
    with torch.no_grad():
        network.train()
        for _ in range(5):
            network(torch.rand(4, 3, 64, 96) * 255)
        network.heat.weight.mul_(6)
        network.heat.bias.fill_(-0.5)  # type: ignore[operator]
    small.save(network.eval(), tiny.CLASSES, tmp_path / "models/m0.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames(project: Path) -> list[np.ndarray]:
    return FrameReader(project / "data").read(tables.read("frames", project / "tables/frames.parquet"))


def outputs(project: Path, name: str) -> list[models.Output]:
    read = params.load(project / "params.yaml")
    return models.load(read.models[name], folder=project, device="cpu").predict(frames(project))


@pytest.mark.parametrize(("form", "ending"), [("onnx", ".onnx"), ("torchscript", ".pt")])
def test_an_export_says_the_same_and_is_a_model_of_params(
    project: Path, capsys: pytest.CaptureFixture[str], form: str, ending: str
) -> None:
    assert cli.main(["export", "m0", "--to", form]) == 0
    said = capsys.readouterr().out
    assert "boxes found again" in said
    read = params.load(project / "params.yaml")
    assert list(read.models) == ["m0", f"m0-{form}"]
    assert read.models[f"m0-{form}"].weights == Path(f"models/m0-{form}{ending}")
    assert read.models[f"m0-{form}"].tracker == read.models["m0"].tracker
    ours, theirs = outputs(project, "m0"), outputs(project, f"m0-{form}")
    assert sum(len(output.scores) for output in ours) > 10
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        assert (one.class_ids == other.class_ids).all()
        assert (one.label_map == other.label_map).mean() > 0.999
    assert cli.main(["check"]) == 0


def test_the_onnx_file_runs_alone_as_the_network_does(project: Path) -> None:
    assert cli.main(["export", "m0", "--to", "onnx", "--as", "other"]) == 0
    session = onnxruntime.InferenceSession(str(project / "models/other.onnx"))
    pixels = torch.rand(3, 3, 96, 64) * 255  # another number and size than it was traced with
    with torch.no_grad():
        expected = small.read(project / "models/m0.safetensors")(pixels)
    for one, other in zip(session.run(None, {"pixels": pixels.numpy()}), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-3, atol=1e-3)


def test_int8_is_smaller_and_holds_int8_convolutions(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["quantize", "m0"]) == 2
    assert "export it to ONNX first" in capsys.readouterr().err
    assert cli.main(["export", "m0", "--to", "onnx"]) == 0
    assert cli.main(["quantize", "m0-onnx", "--frames", "6", "--as", "m0-int8"]) == 0
    assert "Calibrated on 6 frames" in capsys.readouterr().out
    made, source = project / "models/m0-int8.onnx", project / "models/m0-onnx.onnx"
    assert made.stat().st_size < 0.5 * source.stat().st_size
    graph = onnx.load(str(made)).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in kinds.values()) >= 20
    pixels = small.padded(np.stack(frames(project)), torch.device("cpu")).numpy()
    heats = [onnxruntime.InferenceSession(str(file)).run(["heat"], {"pixels": pixels})[0] for file in (made, source)]
    assert 0 < np.abs(heats[0] - heats[1]).mean() < 0.2 * heats[1].std()
    assert cli.main(["quantize", "m0-int8"]) == 2
    assert "is quantized already (it holds DequantizeLinear, QuantizeLinear)" in capsys.readouterr().err
    assert not list(project.glob("models/.*"))
    assert not list(project.glob("models/*int8-int8*"))


def test_adapting_takes_the_statistics_of_the_slice(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["adapt", "m0", "--slice", "clip_id=clip-1"]) == 0
    assert "Fitted on" in capsys.readouterr().out
    before, after = (load_file(project / f"models/{name}.safetensors") for name in ("m0", "m0-clip-1"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)
    table = tables.read("frames", project / "tables/frames.parquet")
    chosen = table[table["clip_id"] == "clip-1"]
    pixels = small.padded(np.stack(FrameReader(project / "data").read(chosen)), torch.device("cpu"))
    first = small.read(project / "models/m0.safetensors").stem[0][0]
    with torch.no_grad():
        expected = first((pixels - 114.0) / 64.0).mean(dim=(0, 2, 3))
    np.testing.assert_allclose(after["stem.0.1.running_mean"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "m9", "--to", "onnx"], "no model 'm9' in params; there is: m0"),
        (["export", "m0", "--to", "onnx", "--as", "m0"], "There is a model 'm0' already"),
        (
            ["export", "m0", "--to", "onnx", "--as", "night model"],
            "letters, digits, dots and dashes, got 'night model'",
        ),
        (["export", "m0", "--to", "onnx", "--as", "a/b"], "letters, digits, dots and dashes, got 'a/b'"),
        (["adapt", "m0", "--slice", "night"], "expected a slice such as time_of_day=night, got 'night'"),
        (["adapt", "m0", "--slice", "clip_id=none"], "No frame lies in the slice 'clip_id=none'"),
    ],
)
def test_what_is_refused(project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    before = (project / "params.yaml").read_text()
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == before
    assert [path.name for path in (project / "models").iterdir()] == ["m0.safetensors"]


def test_weights_that_are_there_stay(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "models/m0-onnx.onnx").write_bytes(b"mine")
    assert cli.main(["export", "m0", "--to", "onnx"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (project / "models/m0-onnx.onnx").read_bytes() == b"mine"
    assert yaml.safe_load((project / "params.yaml").read_text())["models"].keys() == {"m0"}


def test_params_that_cannot_be_added_to_are_refused_before_the_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump(params, default_flow_style=True))
    assert cli.main(["export", "m0", "--to", "onnx"]) == 2
    captured = capsys.readouterr()
    assert "params.yaml: a further model cannot be added after 'm0' as the file is written" in captured.err
    assert [path.name for path in (project / "models").iterdir()] == ["m0.safetensors"]


def test_what_the_model_s_own_params_say_wrongly_is_said_first(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(get_model("resnet18", weights=None, num_classes=3).state_dict(), project / "w.pth")
    entry = {"adapter": "torchvision", "variant": "resnet18", "weights": "w.pth", "classes": ["a", "b"]}
    tiny.change(project / "params.yaml", models={"m0": entry})
    assert cli.main(["export", "m0", "--to", "onnx"]) == 2
    assert "classes gives 2 names, the model has 3 label classes" in capsys.readouterr().err


def test_a_version_has_its_name_once_it_was_tried(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a kill leaves nothing that would be taken for one."""

    def killed(*given: object, **named: object) -> None:
        assert not (project / "models/m0-onnx.onnx").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(versions, "agreement", killed)
    assert cli.main(["export", "m0", "--to", "onnx"]) == 130
    assert [path.name for path in (project / "models").iterdir()] == ["m0.safetensors"]
