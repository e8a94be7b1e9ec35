"""`stormglass corrupt` and `stormglass corruptions`: what they write, what they refuse, and nothing half written."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from flows import cli, corrupt
from tasks import corruptions
from tasks.corruptions import CORRUPTIONS
from tasks.data import video

SIZE = (64, 96)
COUNT = 12


def frame(at: int = 0) -> np.ndarray:
    ground = np.random.default_rng(0).integers(30, 220, (4, 6, 3), dtype=np.uint8)
    return np.roll(cv2.resize(ground, SIZE[::-1]), 3 * at, axis=1)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def load(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """still.png, stills/ with a folder in it, clip.mp4 of 12 frames at 12.5 a second, and files that are neither."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "still.png", frame())
    save(tmp_path / "stills/a.png", frame(1))
    save(tmp_path / "stills/more/b.jpg", frame(2))
    (tmp_path / "stills/notes.txt").write_text("not an image")
    facts = video.Facts(Fraction(25, 2), Fraction(1, 12800), None)
    frames = (video.Timed(frame(at), 1024 * at) for at in range(COUNT))
    video.write(tmp_path / "clip.mp4", frames, facts, container=".mp4")
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:600])
    (tmp_path / "broken.png").write_bytes((tmp_path / "still.png").read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    return tmp_path


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


def test_an_image(folder: Path) -> None:
    assert run("corrupt", "still.png", "out.png", "--name", "gaussian_noise", "--severity", 3, "--seed", 4) == 0
    made = corruptions.corrupt(frame()[None], name="gaussian_noise", severity=3, seed=4, clips="still.png")[0]
    np.testing.assert_array_equal(load(folder / "out.png"), made)


def test_own_levels_compositions_and_scale(folder: Path) -> None:
    for name, words, amount in (
        ("gamma", ["--level", 2.2], {"level": 2.2}),
        ("low_light 2 + gaussian_noise", ["--severity", 1], {"severity": 1}),
        ("defocus_blur", ["--severity", 2, "--scale-to", 128], {"severity": 2, "scale_to": 128}),
    ):
        assert run("corrupt", "still.png", "out.png", "--name", name, *words, "--force") == 0
        made = corruptions.corrupt(frame()[None], name=name, clips="still.png", **amount)[0]
        np.testing.assert_array_equal(load(folder / "out.png"), made)


def test_a_folder_keeps_names_and_each_image_is_a_clip(folder: Path) -> None:
    assert run("corrupt", "stills", "out", "--name", "gaussian_noise", "--severity", 2) == 0
    written = sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.*"))
    assert written == ["a.png", "more/b.jpg"]
    made = corruptions.corrupt(frame(1)[None], name="gaussian_noise", severity=2, clips="a.png")[0]
    np.testing.assert_array_equal(load(folder / "out/a.png"), made)
    clean = load(folder / "stills/more/b.jpg")
    made = corruptions.corrupt(clean[None], name="gaussian_noise", severity=2, clips="more/b.jpg")[0]
    assert np.abs(load(folder / "out/more/b.jpg").astype(int) - made).mean() < 1.5  # JPEG at quality 98
    (folder / "out/kept.txt").write_text("mine")
    assert run("corrupt", "stills", "out", "--name", "gamma", "--severity", 2, "--force") == 0
    assert (folder / "out/kept.txt").read_text() == "mine"
    made = corruptions.corrupt(frame(1)[None], name="gamma", severity=2, clips="a.png")[0]
    np.testing.assert_array_equal(load(folder / "out/a.png"), made)


@pytest.mark.parametrize("name", ["gamma", "h264", "gamma during 3:5"])
def test_a_video_keeps_frames_rate_and_times(folder: Path, name: str) -> None:
    assert run("corrupt", "clip.mp4", "out.mp4", "--name", name, "--severity", 3) == 0
    facts = video.examine(folder / "out.mp4")
    assert (facts.rate, facts.count) == (Fraction(25, 2), COUNT)
    clean = list(video.read(folder / "clip.mp4"))
    back = list(video.read(folder / "out.mp4"))
    assert [at.ticks * facts.time_base for at in back] == [
        at.ticks * video.examine(folder / "clip.mp4").time_base for at in clean
    ]
    made = corruptions.corrupt(np.stack([at.pixels for at in clean]), name=name, severity=3, clips="clip.mp4")
    for shown, meant in zip(back, made, strict=True):
        assert np.abs(shown.pixels.astype(int) - meant).mean() < 3


def test_a_video_is_streamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame is written before the last one is read."""
    happened = []
    read, coded = video.read, video._coded

    def reading(path: Path) -> object:
        for at in read(path):
            happened.append("read")
            yield at

    def writing(pixels: np.ndarray, kind: str) -> object:
        happened.append("written")
        return coded(pixels, kind)

    monkeypatch.setattr(video, "read", reading)
    monkeypatch.setattr(video, "_coded", writing)
    assert run("corrupt", "clip.mp4", "out.mp4", "--name", "gamma", "--severity", 1) == 0
    assert happened == ["read", "written"] * COUNT


MISTAKES = {
    "an unknown name": ("still.png out.png --name gama --severity 3", "'gama'; did you mean 'gamma'?"),
    "a severity out of range": ("still.png out.png --name gamma --severity 6", "a severity from 1 to 5, got 6"),
    "a level out of bounds": ("still.png out.png --name gamma --level 99", "gamma between 0.1 and 10, got 99"),
    "no amount": ("still.png out.png --name gamma", "--severity 1 to 5, or --level"),
    "two names": ("still.png out.png --name gamma --name fog --severity 1", "one --name"),
    "nothing to write": ("still.png --name gamma --severity 1", "expected OUT, or --sheet"),
    "no such file": ("none.png out.png --name gamma --severity 1", "none.png, found nothing"),
    "a file of no kind": ("stills/notes.txt out.png --name gamma --severity 1", "'.txt'; known endings"),
    "a broken image": ("broken.png out.png --name gamma --severity 1", "broken.png does not decode"),
    "a broken video": ("broken.mp4 out.mp4 --name gamma --severity 1", "broken.mp4"),
    "a folder without images": ("empty out --name gamma --severity 1", "holds no file that ends in"),
    "an image for a video": ("clip.mp4 out.png --name gamma --severity 1", "a video that ends in .mp4"),
    "a video for an image": ("still.png out.mp4 --name gamma --severity 1", "an image that ends in .png"),
    "a file for a folder": ("stills out.png --name gamma --severity 1", "OUT to be a folder"),
    "what is there": ("still.png stills/a.png --name gamma --severity 1", "--force writes over it"),
    "itself": ("still.png still.png --name gamma --severity 1 --force", "OUT is IN"),
    "inside itself": ("stills stills/out --name gamma --severity 1", "outside IN"),
    "no folder to write to": ("still.png none/out.png --name gamma --severity 1", "there is none"),
    "a sheet of a folder": ("stills --sheet s.png", "stills is a folder"),
    "a sheet of nothing": ("still.png --sheet s.png --name zz*", "'zz*' matches no corruption"),
    "a list of nothing": (None, "'zz' matches no corruption"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    folder: Path, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = MISTAKES[mistake]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert run(*(["corruptions", "zz"] if words is None else ["corrupt", *words.split()])) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("stormglass: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_what_fails_half_way_leaves_nothing(folder: Path) -> None:
    save(folder / "stills/z.png", np.zeros((20, 20, 3), np.uint8))  # too small, and last
    assert run("corrupt", "stills", "out", "--name", "gamma", "--severity", 1) == 2
    (folder / "cut.mkv").write_bytes(b"")
    assert run("corrupt", "cut.mkv", "out.mp4", "--name", "gamma", "--severity", 1) == 2
    assert not [path for path in folder.iterdir() if "out" in path.name]


def test_a_sheet_of_a_clip_shows_its_middle_frame(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("corrupt", "clip.mp4", "--sheet", "sheet.png", "--name", "noise", "--name", "low_light + gamma") == 0
    names = [name for name, entry in CORRUPTIONS.items() if entry.family == "noise"]
    assert f"{len(names) + 1} corruption(s)" in capsys.readouterr().out
    drawn = load(folder / "sheet.png")
    clean = list(video.read(folder / "clip.mp4"))[COUNT // 2].pixels
    np.testing.assert_array_equal(drawn[46 : 46 + SIZE[0], 6 : 6 + SIZE[1]], clean)
    frames, first = corrupt._middle(folder / "clip.mp4")
    assert (len(frames), first) == (COUNT // 2 + 1, 0)


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("corruptions") == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in CORRUPTIONS)
    assert run("corruptions", "gamma", "noise", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in listed} == {"gamma", *(n for n, c in CORRUPTIONS.items() if c.family == "noise")}
