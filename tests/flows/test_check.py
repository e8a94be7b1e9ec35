"""`stormglass check`: what it finds in order, and what it finds before a run would."""

import json
from pathlib import Path

import pytest

from flows import cli, runtime
from tests import tiny

MODULE = """
import os
import numpy as np

class Steady:
    classes = {"object": {0: "car"}}
    def __init__(self, device, level=0.5):
        self.level = level
    def __call__(self, frames):
        return [{"boxes": [[1, 2, 3, 4]], "scores": [self.level], "class_ids": [0]} for _ in frames]

class Loud(Steady):
    def __call__(self, frames):
        raise KeyError("weather")

class Unnamed(Steady):
    classes = {"object": {0: "LABEL_0", 1: "LABEL_1"}}

class German(Steady):
    classes = {"object": {0: "Auto"}}

class Gone(Steady):
    def __init__(self, device):
        os._exit(7)

def roads(frames):
    return [{"label_map": np.zeros(frame.shape[:2], np.int64)} for frame in frames]
roads.classes = {"semantic": {0: "road"}}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(runtime.SWITCH, "off")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "of_check.py").write_text(MODULE)
    return tiny.write(tmp_path, models=1)


def python(name: str, **options: object) -> dict[str, object]:
    return {"adapter": "python", "weights": f"python:of_check:{name}", "options": options}


def files(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if "__pycache__" not in file.parts}


def test_check_says_what_is_in_order(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 0
    out = capsys.readouterr().out
    assert "1 model(s), 2 corruption(s)" in out
    assert "slices: 0 beside all data are in order" in out
    assert "5 parts on" in out
    (path.parent / "data/images/0-1.png").write_bytes(b"no picture")
    assert cli.main(["check"]) == 0  # one among good ones: said and counted
    out = capsys.readouterr().out
    assert "usable without 1 image(s)" in out
    assert "0-1.png does not decode" in out
    tiny.change(path, run={"strict": True})
    assert cli.main(["check"]) == 2
    assert "0-1.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("slices", "told"),
    [
        ({"attributes": ["frame_indx"]}, "slices.attributes: 'frame_indx' is not a column of the table frames"),
        ({"object": ["ocluded"]}, "slices.object: 'ocluded' is not a column of the table objects"),
        ({"query": {"late": "frame_indx > 1"}}, "did you mean 'frame_index'?"),
        ({"shifted": {"late": {"where": "frame_index > 9"}}}, "holds for none of the 12 scored frames"),
    ],
)
def test_check_says_which_slice_the_data_set_lacks(
    path: Path, capsys: pytest.CaptureFixture[str], slices: dict[str, object], told: str
) -> None:
    tiny.change(path, slices=slices)
    assert cli.main(["check"]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


def test_a_budget_that_nothing_will_be_measured_for(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.change(path, latency=None, gates=[{"metric": "latency_p95_ms", "max": 50}])
    assert cli.main(["check"]) == 2
    assert "gates, rule 1: latency_p95_ms is measured where params say `latency`: give it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ({"bad": python("Steady", level=4.5)}, "models.bad: python:of_check:Steady: scores should lie between 0 and 1"),
        ({"good": python("Steady"), "bad": python("Loud")}, "models.bad fails on the first frame (0-0.png): KeyError"),
        ({"bad": python("Gone")}, "The models bad cannot be tried on one frame: the process died (exit status 7)"),
        ({"bad": python("Steady", lever=1)}, "models.bad: python:of_check:Steady: got an unexpected keyword argument"),
        (
            {"bad": python("German")},
            "models.bad: class_map: none of the model's classes (Auto) is called as one of the",
        ),
        (
            {"bad": python("roads") | {"tracker": {"name": "sort"}}},
            "models.bad: tracker: the model gives no boxes, so there is nothing to follow.",
        ),
        (
            {"bad": python("Steady") | {"tracker": {"name": "sort", "direction_consistency_weight": 0.3}}},
            "models.bad: tracker: sort has no setting 'direction_consistency_weight'; it has track",
        ),
        ({"bad": python("roads")}, "No model has a task that the data set has truth for"),
        (
            {"bad": python("Steady") | {"class_map": {"car": "lorry"}}},
            "models.bad: class_map: the data set has no class 'lorry', to which 'car' is mapped; known: car, bus.",
        ),
    ],
)
def test_a_model_that_a_run_would_stumble_over(
    path: Path, capsys: pytest.CaptureFixture[str], models: dict[str, object], told: str
) -> None:
    tiny.change(path, models=models)
    assert cli.main(["check"]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_a_model_without_truth_beside_one_with_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.change(path, models={"good": python("Steady"), "roads": python("roads")})
    before = files(path.parent)
    assert cli.main(["check"]) == 0
    out = capsys.readouterr().out
    assert "models: good, roads fit the data set" in out
    assert "model roads, a problem: the data set has no truth for what it does (semantic): it gets no scores" in out
    assert files(path.parent) == before  # nothing is written


def test_how_the_classes_of_a_model_meet_the_data_set_s(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.change(path, models={"some": python("Steady"), "unnamed": python("Unnamed")})
    assert cli.main(["check"]) == 0
    out = capsys.readouterr().out
    assert "model some, object classes: bus of the data set are reached by none of its classes" in out
    assert "model unnamed, object classes: LABEL_0 reach no class of the data set" in out
    assert "model unnamed, object classes: car are what its classes of the same ids, which have no names, are" in out


def test_masks_beside_plain_boxes_are_no_obstacle(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = path.parent / "data/dataset.json"
    document = json.loads(data.read_text())
    for annotation in document["annotations"][1:]:
        annotation["segmentation"] = [[8, 8, 28, 8, 28, 24, 8, 24]]
    data.write_text(json.dumps(document))
    tiny.change(path, models={"good": python("Steady")})
    assert cli.main(["check"]) == 0
    assert "models: good fit the data set" in capsys.readouterr().out
