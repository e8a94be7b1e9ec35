"""Keys: what makes a part another part, and what does not."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks import inference
from tasks.corruptions import CORRUPTIONS
from tasks.errors import InputError
from tasks.inference import planning
from tasks.layout import Layout
from tasks.models import small
from tests import tiny


def make(path: Path, workers: int = 1, **sections: Any) -> inference.Plan:
    return planning.make(tiny.change(path, **sections), Layout(path.parent), devices=("cpu",) * workers)


def keys(plan: inference.Plan) -> dict[tuple[object, ...], str]:
    return {(cell.part.model, cell.corruption, cell.part.severity): cell.part.key for cell in plan.cells}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny.write(tmp_path)


def test_cells_and_units(path: Path) -> None:
    plan = make(path)
    assert list(keys(plan)) == [
        (model, corruption, severity)
        for corruption, severities in (("clean", [0]), ("gaussian_noise", [1, 3]), ("jpeg_compression", [1, 3]))
        for severity in severities
        for model in ("m0", "m1")
    ]
    assert [(unit.name, len(unit.parts)) for unit in plan.units] == [
        ("clean shard-0000", 2),
        ("gaussian_noise shard-0000", 4),
        ("jpeg_compression shard-0000", 4),
    ]
    assert len(set(keys(plan).values())) == len(plan.cells) == plan.n_missing == 10


def test_the_last_units_of_several_workers_are_cut_by_severity(path: Path) -> None:
    whole = {part.key for unit in make(path).units for part in unit.parts}
    seen = {look.key for unit in make(path).units for look in unit.looks}
    plan = make(path, workers=2)
    assert [(unit.name, unit.severities, len(unit.parts), len(unit.looks)) for unit in plan.units] == [
        ("clean shard-0000", (0,), 2, 1),
        ("gaussian_noise 1 shard-0000", (1,), 2, 1),
        ("gaussian_noise 3 shard-0000", (3,), 2, 1),
        ("jpeg_compression 1 shard-0000", (1,), 2, 1),
        ("jpeg_compression 3 shard-0000", (3,), 2, 1),
    ]
    assert {part.key for unit in plan.units for part in unit.parts} == whole
    assert {look.key for unit in plan.units for look in unit.looks} == seen
    more = make(path, workers=16)  # than there are units
    assert [unit.name for unit in more.units] == [unit.name for unit in plan.units]


@pytest.mark.parametrize(
    "change",
    [
        {"severities": [1, 2, 3]},
        {"corruptions": {"noise": ["gaussian_noise"], "weather": ["fog"], "compression": ["jpeg_compression"]}},
        {"corruptions": {"other": ["jpeg_compression", "gaussian_noise"]}},
        {"run": {"workers": 2, "batch_size": 3, "unit_limit_s": 5, "retries": 0}},
        {"slices": {"object": ["size"]}},
        {"scale_to": None},
        {"gates": [{"metric": "map", "min": 0.1}]},
    ],
    ids=["a severity more", "a corruption more", "other families", "how it is run", "slices", "no scale", "gates"],
)
def test_what_leaves_the_parts_as_they_are(path: Path, change: dict[str, Any]) -> None:
    before, after = keys(make(path)), keys(make(path, **change))
    assert before.items() <= after.items()


def test_what_makes_other_parts(path: Path) -> None:
    before = keys(make(path))

    def changed(after: dict[tuple[object, ...], str]) -> set[tuple[object, ...]]:
        return {cell for cell in before if after[cell] != before[cell]}

    everything = set(before)
    assert changed(keys(make(path, run={"seed": 1}))) == everything
    make(path, run={"seed": 0})

    models = {name: {"adapter": "small", "weights": f"models/{name}.safetensors"} for name in ("m0", "m1")}
    tracked = {name: {**model, "tracker": {"name": "bytetrack"}} for name, model in models.items()}
    lower = {**tracked, "m1": {**tracked["m1"], "score_threshold": 0.5}}
    assert changed(keys(make(path, models=lower))) == {cell for cell in before if cell[0] == "m1"}
    other = {**tracked, "m0": {**tracked["m0"], "tracker": {"name": "bytetrack", "lost_track_buffer": 3}}}
    assert changed(keys(make(path, models=other))) == {cell for cell in before if cell[0] == "m0"}
    make(path, models=tracked)

    torch.manual_seed(9)
    small.save(small.build(tiny.CLASSES), tiny.CLASSES, path.parent / "models/m0.safetensors")
    assert changed(keys(make(path))) == {cell for cell in before if cell[0] == "m0"}


def test_another_tracker_keeps_the_detections(path: Path) -> None:
    before = make(path)
    models = {
        name: {"adapter": "small", "weights": f"models/{name}.safetensors", "tracker": tracker}
        for name, tracker in (("m0", {"name": "bytetrack", "lost_track_buffer": 3}), ("m1", {"name": "bytetrack"}))
    }
    after = make(path, models=models)
    assert [cell.part.detections for cell in after.cells] == [cell.part.detections for cell in before.cells]


def test_a_version_makes_other_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(make(path))
    raised = dataclasses.replace(CORRUPTIONS["gaussian_noise"], version=99)
    monkeypatch.setitem(CORRUPTIONS, "gaussian_noise", raised)
    after = keys(make(path))
    assert {cell[1] for cell in before if after[cell] != before[cell]} == {"gaussian_noise"}


def test_a_level_keeps_its_part_wherever_it_stands(path: Path) -> None:
    few = make(path, corruptions={"compression": [{"jpeg_compression": {"quality": [30, 10]}}]})
    more = make(path, corruptions={"compression": [{"jpeg_compression": {"quality": [50, 30, 20, 10]}}]})
    by_level = {cell.part.level: (cell.part.key, cell.strength) for cell in more.cells if cell.part.model == "m0"}
    for cell in few.cells:
        if cell.part.model == "m0":
            assert by_level[cell.part.level] == (cell.part.key, cell.strength)
    assert [c.part.severity for c in more.cells if c.part.model == "m0"] == [0, 1, 2, 3, 4]


def test_composed_names_have_one_key_however_they_are_written(path: Path) -> None:
    written = make(path, corruptions={"all": ["low_light 2 + gaussian_noise"]})
    turned = make(path, corruptions={"other": ["  low_light   2+gaussian_noise"]})
    after = make(path, corruptions={"all": ["low_light 3 + gaussian_noise"]})
    places = {cell.corruption for cell in written.cells} - {"clean"}
    assert places == {"low_light 2 + gaussian_noise"}
    assert [cell.part.key for cell in turned.cells] == [cell.part.key for cell in written.cells]
    assert {cell.part.key for cell in after.cells} & {cell.part.key for cell in written.cells} == {
        cell.part.key for cell in written.cells if cell.part.severity == 0
    }
    assert {(cell.part.severity, cell.strength, cell.strength_unit) for cell in written.cells if cell.strength} == {
        (1, 1.0, "severity"),
        (3, 3.0, "severity"),
    }


def test_a_version_of_a_part_makes_other_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"all": ["low_light + gaussian_noise", "low_light", "gamma during 1:3"]}
    before = keys(make(path, corruptions=asked))
    for name in ("gaussian_noise", "gamma"):
        monkeypatch.setitem(CORRUPTIONS, name, dataclasses.replace(CORRUPTIONS[name], version=99))
    after = keys(make(path, corruptions=asked))
    assert {cell[1] for cell in before if after[cell] != before[cell]} == {
        "low_light + gaussian_noise",
        "gamma during 1:3",
    }


def test_scaled_parameters_make_other_parts(path: Path) -> None:
    before = make(path)
    after = make(path, scale_to=480)
    for old, new in zip(before.cells, after.cells, strict=True):
        assert (old.part.key == new.part.key) == (old.part.severity == 0)
        assert "scale_to" not in old.part.detections_by["corruption"]


@pytest.mark.parametrize(
    ("corruptions", "message"),
    [
        ({"a": ["low_light + rain"], "b": ["rain + low_light"]}, "'low_light [+] rain' and 'rain [+] low_light' are"),
        ({"a": ["low_light + rane"]}, "corruptions.a: Unknown corruption 'rane'; did you mean 'rain'"),
        ({"a": ["low_light 7"]}, "corruptions.a: low_light: expected a severity from 1 to 5, got 7"),
        ({"a": ["fog during 8:4"]}, "an interval that ends after it starts"),
        ({"a": [{"low_light + rain": {"level": [2]}}]}, "expected the parameter 'severity', got 'level'"),
        ({"a": [{"low_light + rain": {"severity": [2.5]}}]}, "whole number for severity"),
    ],
)
def test_composed_names_that_do_not_fit_are_refused(path: Path, corruptions: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(path, corruptions=corruptions)


def test_the_key_is_of_plain_json(path: Path) -> None:
    for cell in make(path).cells:
        assert json.loads(json.dumps(cell.part.detections_by)) == cell.part.detections_by
        assert cell.part.detections_by["device"] == "cpu"


def test_two_names_of_one_model_are_computed_once(path: Path) -> None:
    model = {"adapter": "small", "weights": "models/m0.safetensors"}
    plan = make(path, models={"a": model, "b": model})
    assert len(plan.cells) == 10
    assert plan.n_missing == 5


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"corruptions": {"noise": ["gausian_noise"]}}, "gausian_noise.*gaussian_noise"),
        ({"corruptions": {"compression": [{"h264": {"quality": [3]}}]}}, "h264.*crf"),
        ({"models": {"m0": {"adapter": "small", "weights": "models/none.safetensors"}}}, r"none\.safetensors"),
        ({"models": {"m0": {"adapter": "smal", "weights": "models/m0.safetensors"}}}, "smal"),
        ({"dataset": {"path": "data", "split": "test"}}, "test"),
    ],
)
def test_mistakes_are_said_before_anything_runs(path: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(path, **sections)


def test_precision_and_compilation_are_other_parts_of_networks_that_torch_runs(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, clips=1, frames=2, models=1)
    own = {"adapter": "small", "weights": "models/m0.safetensors"}
    both = {"own": own, "blobs": {"adapter": "classical", "variant": "otsu", "classes": ["car"]}}
    layout = Layout(tmp_path)

    def keys(**run: object) -> dict[str, set[str]]:
        params = tiny.change(path, models=both, run={"precision": "float32", "compile": False} | run)
        planned = planning.make(params, layout, devices=("cpu",))
        return {name: {cell.part.key for cell in planned.cells if cell.part.model == name} for name in both}

    usual = keys()
    for changes in ({"precision": "bfloat16"}, {"compile": True}, {"precision": "bfloat16", "compile": True}):
        other = keys(**changes)
        assert other["own"].isdisjoint(usual["own"])
        assert other["blobs"] == usual["blobs"]
    with pytest.raises(InputError, match="float16 needs a CUDA device"):
        keys(precision="float16")
    tiny.change(path, models={"blobs": both["blobs"]})
    both.pop("own")
    assert keys(precision="float16") == {"blobs": usual["blobs"]}
