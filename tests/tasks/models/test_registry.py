import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest

from tasks import models
from tasks.errors import InputError
from tasks.models import MODELS, Adapter, small
from tasks.models.registry import Registry
from tasks.params import Model, ModelInput

CLASSES: dict[str, dict[int, str]] = {"object": {1: "car"}, "semantic": {}, "label": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small.save(small.build(CLASSES), CLASSES, tmp_path / "w.safetensors")
    return tmp_path


def model(**changes: object) -> Model:
    return Model.model_validate({"adapter": "small", "weights": "w.safetensors", **changes})


def table(*rows: tuple[str, int, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["kind", "class_id", "name"])


def test_adapters_have_versions() -> None:
    assert {"onnx", "small"} <= MODELS.keys()
    assert all(isinstance(adapter.version, int) and adapter.version >= 1 for adapter in MODELS.values())


def test_unknown_adapter_names_the_nearest(folder: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'small'"):
        models.load(model(adapter="smal"), folder=folder, device="cpu")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    for action in (models.describe, models.fingerprint):
        with pytest.raises(InputError, match=r"Expected weights at .*w\.safetensors"):
            action(model(), folder=tmp_path)


@pytest.mark.parametrize("count", [255, 256])
def test_a_label_map_holds_255_classes(tmp_path: Path, count: int) -> None:
    """As 255 is what is ignored, the 256th class would be, too; the 257th would be the first."""
    (tmp_path / "net.pt").touch()
    (tmp_path / "many_classes.py").write_text(
        f"def find(frames): return []\nfind.classes = {{'semantic': {{{count - 1}: 'last'}}}}\n"
    )
    names = [f"class {place}" for place in range(count)]
    scripted = {"adapter": "torchscript", "weights": "net.pt", "classes": names}
    for given in (
        {**scripted, "decoder": "semantic_logits"},
        {**scripted, "decoder": "semantic_map"},
        {"adapter": "python", "weights": "python:many_classes:find"},
    ):
        if count == 255:
            assert max(models.describe(Model.model_validate(given), folder=tmp_path)["semantic"]) == 254
            continue
        with pytest.raises(InputError, match=r"go from 0 to 254, for 255 .*; the model's go up to 255\.$"):
            models.describe(Model.model_validate(given), folder=tmp_path)
    assert len(models.describe(Model.model_validate({**scripted, "decoder": "yolo11"}), folder=tmp_path)["object"])
    sys.modules.pop("many_classes", None)
    sys.path.remove(str(tmp_path))


def entry(name: str, value: str = "tasks.models.small:ADAPTER") -> EntryPoint:
    return EntryPoint(name, value, "stormglass.models")


def test_plugins_join() -> None:
    registry = Registry([entry("small"), entry("mine")])
    assert list(registry) == ["small", "mine"]
    assert registry["mine"] is small.ADAPTER


def test_names_stand_once() -> None:
    with pytest.raises(InputError, match="Two adapters are called 'small'; one is x:y"):
        Registry([entry("small"), entry("small", "x:y")])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("tasks.models.small:VERSION", r"expected a tasks\.models\.Adapter, got int"),
        ("tasks.models.small:NOTHING", "does not load: .*NOTHING"),
        ("nowhere.at.all:ADAPTER", "does not load: No module named 'nowhere'"),
    ],
)
def test_entry_points_that_are_none_say_so_when_asked_for(value: str, why: str) -> None:
    registry = Registry([entry("small"), entry("odd", value)])
    assert registry["small"] is small.ADAPTER
    with pytest.raises(InputError, match=rf"The adapter 'odd' \({value}\).*{why}"):
        registry["odd"]


def test_an_adapter_is_loaded_when_it_is_asked_for() -> None:
    told = (
        "import sys; from tasks import models; "
        "before = 'torch' in sys.modules; models.MODELS['recorded']; "
        "print(before, 'torch' in sys.modules, list(models.MODELS.loaded), len(models.MODELS)); "
        "models.MODELS['small']; print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["False False ['recorded'] 10", "True"]


def test_fingerprint_follows_what_decides_outputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = models.fingerprint(model(), folder=folder)
    assert base == models.fingerprint(model(tracker={"name": "bytetrack"}, class_map={"car": None}), folder=folder)
    assert base != models.fingerprint(model(nms_iou=0.5), folder=folder)
    assert base != models.fingerprint(model(score_threshold=0.2), folder=folder)
    newer = Adapter(**{**vars(MODELS["small"]), "version": MODELS["small"].version + 1})
    monkeypatch.setitem(MODELS.loaded, "small", newer)
    assert base != models.fingerprint(model(), folder=folder)
    monkeypatch.undo()
    other = small.build(CLASSES)
    small.save(other, CLASSES, folder / "w.safetensors")
    assert base != models.fingerprint(model(), folder=folder)


@pytest.mark.parametrize(
    ("adapter", "weights"), [("torchvision", "w.safetensors"), ("ultralytics", "w.safetensors"), ("transformers", ".")]
)
def test_a_library_s_version_decides_where_it_prepares_frames(
    folder: Path, monkeypatch: pytest.MonkeyPatch, adapter: str, weights: str
) -> None:
    (folder / "config.json").write_text("{}")
    options = {} if adapter == "torchvision" else {"trust_pickle": True}
    given = model(adapter=adapter, weights=weights, variant="resnet18" if not options else None, options=options)
    monkeypatch.setattr(models, "version", lambda name: "1.0")
    first = models.fingerprint(given, folder=folder)
    assert first["library"] == f"{adapter} 1.0"
    monkeypatch.setattr(models, "version", lambda name: "1.1")
    assert models.fingerprint(given, folder=folder) != first


def test_input_settings_are_in_the_fingerprint(folder: Path) -> None:
    def onnx(**changes: object) -> Model:
        declared = ModelInput.model_validate({"size": (64, 64), "resize": "letterbox", **changes})
        return model(adapter="onnx", decoder="yolox", input=declared.model_dump())

    prints = [models.fingerprint(onnx(**c), folder=folder) for c in ({}, {"channels": "bgr"}, {"pad": 0})]
    assert len({str(one) for one in prints}) == 3


def test_class_maps_are_checked_before_any_work(folder: Path) -> None:
    truth = table(("object", 4, "car"), ("semantic", 0, "sky"))
    models.load(model(class_map={"car": "car"}), folder=folder, device="cpu", classes=truth)
    with pytest.raises(InputError, match="did you mean 'car'"):
        models.load(model(class_map={"cat": "car"}), folder=folder, device="cpu", classes=truth)
    truth = table(("object", 4, "car"), ("object", 5, "bus"))
    with pytest.raises(InputError, match="the model has no class 'bus'"):  # the data set's own does not do
        models.load(model(class_map={"bus": "car"}), folder=folder, device="cpu", classes=truth)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99"])
def test_a_device_that_is_not_there_is_named(folder: Path, device: str) -> None:
    with pytest.raises(InputError, match=device):
        models.load(model(), folder=folder, device=device)
