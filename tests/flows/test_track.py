"""`stormglass track`: a real model on a small video, its three files, and what is refused."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from flows import cli
from tasks import models
from tasks.data import video
from tasks.inference import clip
from tasks.params import Params
from tests import tiny

COUNT = 8


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.change(tiny.write(tmp_path, models=1), run={"prefect": False})
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (48, 96, 3), dtype=np.uint8)
    facts = video.Facts(Fraction(25, 2), Fraction(1, 12800), None)
    frames = (video.Timed(ground[:, at : at + 64], 1024 * at) for at in range(COUNT))
    video.write(tmp_path / "in.mp4", frames, facts, container=".mp4")
    return tmp_path


def run(*words: object) -> int:
    return cli.main(["track", *map(str, words)])


def test_video_text_and_json_tell_the_same(project: Path) -> None:
    assert run("in.mp4", "out.mp4", "--log") == 0
    with av.open(str(project / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(25, 2)
        assert sum(1 for _ in container.decode(video=0)) == COUNT
    document = json.loads((project / "out.json").read_text())
    assert (document["frames"], document["model"], document["tracker"]["name"]) == (COUNT, "m0", "bytetrack")
    logged = [
        (entry["frame"] + 1, box["id"]) for entry in document["log"] for box in entry["boxes"] if box["id"] is not None
    ]
    lines = [line.split(",") for line in (project / "out.txt").read_text().splitlines()]
    assert sorted(logged) == sorted((int(line[0]), int(line[1])) for line in lines)
    assert {track["id"] for track in document["tracks"]} == {number for _, number in logged}


def test_nothing_is_written_over_and_nothing_half(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "out.txt").write_text("mine")
    assert run("in.mp4", "out.mp4") == 2
    assert "out.txt is there already" in capsys.readouterr().err
    (project / "broken.mp4").write_bytes((project / "in.mp4").read_bytes()[:1500])
    assert run("broken.mp4", "other.mp4") == 2
    assert not list(project.glob("*other*"))
    assert (project / "out.txt").read_text() == "mine"
    assert run("in.mp4", "out.mp4", "--force") == 0
    assert (project / "out.txt").read_text() != "mine"


MODULE = """
import numpy as np

class Jumping:
    # two still things whose masks say where they are; the boxes change places from frame to frame
    classes = {"object": {0: "car"}}
    tasks = ("detection", "instance")

    def __init__(self, device):
        self.seen = 0

    def __call__(self, frames):
        found = []
        for frame in frames:
            masks = np.zeros((2, *frame.shape[:2]), bool)
            masks[0, 4:20, 4:20] = masks[1, 28:44, 40:56] = True
            boxes = [[4, 4, 20, 20], [40, 28, 56, 44]]
            boxes = boxes[::-1] if self.seen % 2 else boxes
            found.append({"masks": masks, "boxes": boxes, "scores": [0.9, 0.8], "class_ids": [0, 0]})
            self.seen += 1
        return found

class Hidden:
    # one still thing that is seen in 4 frames, hidden in 15, and seen again
    classes = {"object": {0: "car"}}

    def __init__(self, device):
        self.seen = 0

    def __call__(self, frames):
        found = []
        for frame in frames:
            there = not 4 <= self.seen < 19
            found.append({"boxes": [[4, 4, 20, 20]][:there], "scores": [0.9][:there], "class_ids": [0][:there]})
            self.seen += 1
        return found

def faint(frames):
    boxes = [[4, 4, 20, 20], [30, 4, 46, 20], [30, 26, 46, 42]]
    return [{"boxes": boxes, "scores": [0.9, 0.2, 0.05], "class_ids": [0, 0, 0]} for _ in frames]
faint.classes = {"object": {0: "car"}}
"""


def python(folder: Path, name: str, /, **tracker: object) -> Params:
    """Params with one model alone: a class of MODULE, and its tracker."""
    (folder / "of_track.py").write_text(MODULE)
    model = {"adapter": "python", "weights": f"python:of_track:{name}", "tracker": tracker}
    return tiny.change(folder / "params.yaml", models={"mine": model})


def as_infer_does(folder: Path, params: Params, source: str) -> list[tuple[int, int]]:
    """Frame and id of every tracked box, by way of the tables."""
    model = params.models["mine"]
    loaded = models.load(model, folder=folder, device="cpu")
    found = clip.predict(folder / source, loaded, tracker=model.tracker, clip_id="a", camera="b", batch_size=4)
    rows = found.predictions.dropna(subset="track_id")
    return sorted(zip(rows["frame_id"].astype(int), rows["track_id"].astype(int), strict=True))


def logged(document: Path) -> list[tuple[int, int]]:
    entries = json.loads(document.read_text())["log"]
    return sorted((one["frame"], box["id"]) for one in entries for box in one["boxes"] if box["id"] is not None)


def test_the_tracker_follows_masks_where_params_say_so(project: Path) -> None:
    params = python(project, "Jumping", name="bytetrack", boxes="masks")
    assert run("in.mp4", "out.mp4", "--log") == 0
    assert logged(project / "out.json") == [(frame, number) for frame in range(COUNT) for number in (1, 2)]
    assert logged(project / "out.json") == as_infer_does(project, params, "in.mp4")
    document = json.loads((project / "out.json").read_text())
    assert [(track["n_boxes"], track["mean_score"]) for track in document["tracks"]] == [(COUNT, 0.9), (COUNT, 0.8)]
    assert document["tracker"]["boxes"] == "masks"


def test_the_log_tells_of_each_box_that_reached_the_tracker(project: Path) -> None:
    python(project, "faint", name="bytetrack")
    assert run("in.mp4", "out.mp4", "--log") == 0
    log = json.loads((project / "out.json").read_text())["log"]
    assert [[(box["id"], box["score"]) for box in entry["boxes"]] for entry in log] == [[(1, 0.9), (None, 0.2)]] * COUNT


def test_masks_cannot_be_followed_where_the_model_gives_none(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python(project, "Hidden", boxes="masks")
    assert run("in.mp4", "out.mp4") == 2
    told = capsys.readouterr().err
    assert "models.mine: tracker.boxes is 'masks', but the model gives none: use 'model'." in told
    assert not list(project.glob("*out*"))


def test_a_model_of_one_s_own_that_fails_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "odd_track.py").write_text("def odd(frames):\n    return 1 / 0\nodd.classes = {'object': {0: 'car'}}\n")
    tiny.change(project / "params.yaml", models={"odd": {"adapter": "python", "weights": "python:odd_track:odd"}})
    assert run("in.mp4", "out.mp4") == 2
    said = capsys.readouterr().err
    assert said.endswith("models.odd fails on frames 0 to 7 of in.mp4: ZeroDivisionError: division by zero\n")
    assert not list(project.glob("out*"))


def test_a_lost_track_is_kept_for_as_many_frames_as_in_infer_whatever_the_rate(project: Path) -> None:
    params = python(project, "Hidden", name="bytetrack")
    facts = video.Facts(Fraction(10), Fraction(1, 10240), None)
    frames = (video.Timed(np.full((48, 64, 3), 50, np.uint8), 1024 * at) for at in range(23))
    video.write(project / "slow.mp4", frames, facts, container=".mp4")
    assert run("slow.mp4", "out.mp4", "--log") == 0
    assert logged(project / "out.json") == [(frame, 1) for frame in (0, 1, 2, 3, 19, 20, 21, 22)]
    assert logged(project / "out.json") == as_infer_does(project, params, "slow.mp4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.mp4", "out.mp4"), "Expected a video at none.mp4, found no file there"),
        (("params.yaml", "out.mp4"), ".webm, got params.yaml"),
        (("in.mp4", "out.gif"), "Expected OUT to be a video that ends in .mp4"),
        (("in.mp4", "out.mp4", "--model", "m9"), "there is no model 'm9' that can be run; expected --model to name"),
        (("in.mp4", "in.mp4", "--force"), "OUT is IN"),
        (("in.mp4", "no/out.mp4"), "there is none"),
    ],
)
def test_what_is_refused(project: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    assert run(*words) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in project.glob("out*")) == []
