"""Annotated clips and thumbnails: real files, whole or not at all."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tasks.data import video
from tasks.errors import InputError
from tasks.exports import annotated
from tasks.exports.tracks import Box
from tasks.exports.trails import COLOURS

COUNT = 12
FACTS = video.Facts(Fraction(10), Fraction(1, 10240), None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    grey = np.full((90, 160, 3), 100, np.uint8)
    video.write(tmp_path / "in.mp4", (video.Timed(grey, 1024 * at) for at in range(COUNT)), FACTS, container=".mp4")
    return tmp_path / "in.mp4"


def boxes(count: int = COUNT) -> list[list[Box]]:
    """One track, new in frame 0 and gone after frame 5."""
    return [
        [Box(0, 1, 0.9, (40.0, 30.0, 100.0, 70.0), 1, "followed" if at else "new")] if at < 6 else []
        for at in range(count)
    ]


def test_the_clip_shows_what_was_tracked(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "clips" / "a.mp4"
    annotated.write(source, target, video.examine(source), [None] * COUNT, boxes(), {1: "car"})
    assert [path.name for path in target.parent.iterdir()] == ["a.mp4"]
    frames = [frame.pixels.astype(int) for frame in video.read(target)]
    assert len(frames) == COUNT
    with av.open(str(target)) as container:
        assert container.streams.video[0].average_rate == 10
    factor = frames[0].shape[1] // 160
    edge = (slice(30 * factor - 3, 30 * factor + 4), slice(60 * factor, 80 * factor))

    def shown(frame: np.ndarray, state: str) -> float:
        colour = np.array(tuple(bytes.fromhex(COLOURS[state][0][1:])))
        return float(np.abs(frame[edge] - colour).sum(axis=2).min(axis=0).mean())

    assert shown(frames[0], "new") < 60 < shown(frames[0], "followed")
    assert shown(frames[3], "followed") < 60 < shown(frames[3], "new")
    assert shown(frames[11], "followed") > 60, "gone for more than half a second"
    assert shown(frames[11], "lost") > 60
    whole = tmp_path / "whole.mp4"
    masks = [None] * COUNT
    video.write(whole, annotated.drawn(source, FACTS, masks, boxes(), {1: "car"}), FACTS, container=".mp4")
    assert target.stat().st_size < whole.stat().st_size


def test_a_clip_that_breaks_leaves_nothing(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(source.read_bytes()[:900])
    with pytest.raises(InputError):
        annotated.write(broken, tmp_path / "out" / "a.mp4", FACTS, [None] * COUNT, boxes(), {1: "car"})
    with pytest.raises(ValueError, match="zip"):
        annotated.write(source, tmp_path / "out" / "a.mp4", FACTS, [None] * 5, boxes(5), {1: "car"})
    assert list((tmp_path / "out").iterdir()) == []


def test_thumbs_are_kept_and_listed(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), 7, np.uint8)).save(out, "WEBP")
    thumbs = [
        annotated.Thumb("aa", "<b>", 1.25, out.getvalue(), drift=0.5, why="haze 1 (band 0 to 0.5)"),
        annotated.Thumb("aa", "<b>", 3.0, out.getvalue(), kind="sample"),
    ]
    annotated.keep(tmp_path, thumbs)
    listed = json.loads((tmp_path / annotated.LISTED).read_text())["frames"]
    assert [(one["kind"], one["t_s"], one["width"], one["height"], one["drift"]) for one in listed] == [
        ("drifted", 1.25, 40, 30, 0.5),
        ("sample", 3.0, 40, 30, 0.0),
    ]
    assert all((tmp_path / one["file"]).read_bytes() == out.getvalue() for one in listed)
    assert len({one["file"] for one in listed}) == 2
