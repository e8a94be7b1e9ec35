import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.params import Model

MODULE = '''
import numpy as np

def detect(frames):
    """The brightest rectangle of each frame."""
    found = []
    for frame in frames:
        ys, xs = np.where(frame[:, :, 0] > 128)
        boxes = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else []
        found.append({"boxes": boxes, "scores": [0.7] * len(boxes), "class_ids": [3] * len(boxes)})
    return found
detect.classes = {"object": {3: "spot"}}

class Everything:
    """A factory: instances with masks, a map and labels."""
    classes = {"object": {0: "spot"}, "semantic": {0: "dark", 1: "bright"}, "label": {0: "no", 1: "yes"}}
    tasks = ("detection", "instance", "semantic", "classification")
    version = 4

    def __init__(self, device, level=128):
        self.device, self.level = device, level

    def __call__(self, frames):
        import torch
        found = []
        for frame in frames:
            bright = torch.from_numpy(frame[:, :, 0].copy()) > self.level
            found.append({
                "masks": torch.stack([bright, ~bright]), "scores": np.array([0.2, 0.9]), "class_ids": [0, 0],
                "label_map": bright.long(), "probabilities": torch.tensor([0.25, 0.75]),
            })
        return found

def nothing(frames): return None
nothing.classes = {"object": {0: "a"}}
def unnamed(frames): return []
def factory(device): return device
class Lone:
    classes = {"object": {0: "a"}}
    def __call__(self, frames): return []
factory.classes = {"object": {0: "a"}}
def writes(frames): frames[0][:] = 0
writes.classes = {"object": {0: "a"}}
def ids(frames): return []
ids.classes = {"object": {"a": 0}}
def wrong_task(frames): return []
wrong_task.classes = {"label": {0: "a"}}
wrong_task.tasks = ("detection",)
constant = 3
def whole(frames, level): return [{"boxes": [], "scores": [], "class_ids": []} for _ in frames]
class Whole:
    classes = {"object": {0: "a"}}
    def __call__(self, frames): return whole(frames, 0)
'''

MADE = """
import functools
import my_models_here as mine

class Detector:
    classes = {"object": {0: "a"}}
    def __init__(self, level): self.level = level
    def __call__(self, frames): return [{"boxes": [], "scores": [], "class_ids": []} for _ in frames]

instance = Detector(3)
elsewhere = mine.Whole()
partial = functools.partial(mine.whole, level=3)
twice = functools.partial(functools.partial(instance))
partial.classes = twice.classes = {"object": {0: "a"}}
built_in = functools.partial(print)
built_in.classes = {"object": {0: "a"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "my_models_here.py").write_text(MODULE)
    (tmp_path / "made_here.py").write_text(MADE)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in ("my_models_here", "made_here"):
        sys.modules.pop(name, None)


def model(name: str, **changes: Any) -> Model:
    return Model.model_validate({"adapter": "python", "weights": f"python:my_models_here:{name}"} | changes)


def spot(height: int = 40, width: int = 60) -> np.ndarray:
    frame = np.zeros((height, width, 3), np.uint8)
    frame[10:20, 5:25] = 200
    return frame


def test_a_function_is_called_with_all_frames(folder: Path) -> None:
    assert models.describe(model("detect"), folder=folder) == {
        "object": {3: "spot"},
        "semantic": {},
        "label": {},
        "tasks": ["detection"],
    }
    loaded = models.load(model("detect"), folder=folder, device="cpu")
    found, none = loaded.predict([spot(), np.zeros((30, 20, 3), np.uint8)])
    assert found.boxes.tolist() == [[5, 10, 25, 20]]
    assert (found.scores.dtype, found.scores.tolist(), found.class_ids.tolist()) == (
        np.float32,
        [pytest.approx(0.7)],
        [3],
    )
    assert none.boxes.shape == (0, 4)
    assert none.masks is none.label_map is none.probabilities is None


def test_a_factory_is_given_device_and_options(folder: Path) -> None:
    loaded = models.load(model("Everything", options={"level": 250}), folder=folder, device="cpu")
    assert loaded.tasks == {"detection", "instance", "semantic", "classification"}
    assert (loaded._function.device, loaded._function.level) == ("cpu", 250)
    loaded = models.load(model("Everything"), folder=folder, device="cpu")
    frame = spot()
    (output,) = loaded.predict([frame])
    assert output.scores.tolist() == pytest.approx([0.9, 0.2])  # sorted, masks too
    dark, bright = run_length.decode(output.masks, height_px=40, width_px=60)
    assert (bright == (frame[:, :, 0] > 128)).all()
    assert (dark == ~bright).all()
    assert output.boxes.tolist() == [[0, 0, 60, 40], [5, 10, 25, 20]]
    assert (output.label_map == bright).all()
    assert output.probabilities.tolist() == [0.25, 0.75]


def test_tiles_work_with_it_too(folder: Path) -> None:
    frame = np.zeros((50, 200, 3), np.uint8)
    frame[10:20, 150:170] = 255
    given = model("detect", input={"tile": [50, 80], "overlap": 0.4})
    (output,) = models.load(given, folder=folder, device="cpu").predict([frame])
    assert [150, 10, 170, 20] in output.boxes.tolist()


def test_the_version_or_the_file_decides(folder: Path) -> None:
    by_version = models.fingerprint(model("Everything"), folder=folder)
    by_file = models.fingerprint(model("detect"), folder=folder)
    assert by_version["weights_sha256"] == "python:my_models_here:Everything version 4"
    (folder / "my_models_here.py").write_text(MODULE + "\n# changed\n")
    assert models.fingerprint(model("Everything"), folder=folder) == by_version
    assert models.fingerprint(model("detect"), folder=folder) != by_file
    assert models.fingerprint(model("Everything", options={"level": 3}), folder=folder) != by_version


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("instance", {"made_here.py"}),
        ("twice", {"made_here.py"}),
        ("elsewhere", {"made_here.py", "my_models_here.py"}),
        ("partial", {"made_here.py", "my_models_here.py"}),
    ],
)
def test_files_decide_of_what_is_made_of_a_class_or_function(folder: Path, name: str, files: set[str]) -> None:
    """Its code's and the one that makes it, for there are its arguments."""
    given = model(name, weights=f"python:made_here:{name}")
    assert len(models.load(given, folder=folder, device="cpu").predict([spot()])[0].boxes) == 0
    for file in ("made_here.py", "my_models_here.py"):
        before = models.fingerprint(given, folder=folder)
        (folder / file).write_text((folder / file).read_text() + "\n# changed\n")
        assert (models.fingerprint(given, folder=folder) != before) == (file in files)


def test_what_is_built_into_python_needs_a_version(folder: Path) -> None:
    with pytest.raises(InputError, match=r"made_here:built_in has no file that could be hashed: give it an attribute"):
        models.fingerprint(model("", weights="python:made_here:built_in"), folder=folder)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("detect", {"weights": "my_models_here:detect"}, "needs weights: python:package.module:function"),
        ("detect", {"weights": None}, "got none"),
        ("detect", {"weights": "python:no_such_module:detect"}, "no_such_module could not be imported"),
        ("detec", {}, "has no callable 'detec'"),
        ("constant", {}, "has no callable 'constant'"),
        ("unnamed", {}, "should carry `classes`"),
        ("ids", {}, "ids of object classes are whole numbers from 0, got 'a'"),
        ("wrong_task", {}, "task detection needs classes of kind object"),
        ("Lone", {}, "python:.*:Lone is a class: expected its __init__ to take `device`"),
        ("factory", {}, "expected a callable from it, got 'cpu'"),
        ("detect", {"options": {"level": 3}}, "options reach a factory alone"),
        ("Everything", {"options": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ("detect", {"nms_iou": 0.3}, "remove nms_iou"),
        ("detect", {"input": {"channels": "bgr"}}, "remove input"),
        ("nothing", {}, "expected a list of 1 dicts, one a frame, got a NoneType"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder: Path, name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        models.load(model(name, **changes), folder=folder, device="cpu").predict([spot()])


def test_frames_are_lent_read_only(folder: Path) -> None:
    frame = spot()
    with pytest.raises(ValueError, match="read-only"):
        models.load(model("writes"), folder=folder, device="cpu").predict([frame])
    assert frame.any()
    frame[0, 0] = 1
