from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest

from tasks import models
from tasks.errors import InputError
from tasks.models import MODELS, Adapter, small
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


def test_plugins_join_and_duplicates_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = EntryPoint(name="mine", value="tests.tasks.models.plugin:ADAPTER", group="stormglass.models")
    adapter = MODELS["small"]
    monkeypatch.setattr(EntryPoint, "load", lambda self: adapter if self.name == "mine" else "no adapter")
    joined = models._with_plugins({"small": adapter}, [mine])
    assert joined == {"small": adapter, "mine": adapter}
    with pytest.raises(InputError, match="Two adapters are called 'mine'"):
        models._with_plugins({}, [mine, mine])
    with pytest.raises(InputError, match="Two adapters are called 'small'"):
        models._with_plugins({"small": adapter}, [EntryPoint("small", "x:y", "stormglass.models")])
    with pytest.raises(InputError, match=r"not a tasks\.models\.Adapter"):
        models._with_plugins({}, [EntryPoint("odd", "x:y", "stormglass.models")])


def test_fingerprint_follows_what_decides_outputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = models.fingerprint(model(), folder=folder)
    assert base == models.fingerprint(model(tracker={"name": "bytetrack"}, class_map={"car": None}), folder=folder)
    assert base != models.fingerprint(model(nms_iou=0.5), folder=folder)
    assert base != models.fingerprint(model(score_threshold=0.2), folder=folder)
    newer = Adapter(**{**vars(MODELS["small"]), "version": MODELS["small"].version + 1})
    monkeypatch.setitem(MODELS, "small", newer)
    assert base != models.fingerprint(model(), folder=folder)
    monkeypatch.undo()
    other = small.build(CLASSES)
    small.save(other, CLASSES, folder / "w.safetensors")
    assert base != models.fingerprint(model(), folder=folder)


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
