"""`stormglass track`: a real model on a small video, its three files, and what is refused."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from flows import cli
from tasks.data import video
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
