"""Video files as streams: times, sizes and colours survive, and what is broken is said."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from tasks.data import video
from tasks.data.frames import FrameReader, UnreadableFrame
from tasks.errors import InputError

FACTS = video.Facts(Fraction(25, 2), Fraction(1, 12800), None)


def smooth(count: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Frames without fine colour, which 4:2:0 keeps."""
    ground = np.random.default_rng(0).integers(30, 220, (4, 6, 3), dtype=np.uint8)
    return [np.roll(cv2.resize(ground, size[::-1]), 2 * at, axis=1) for at in range(count)]


@pytest.mark.parametrize("ending", video.WRITTEN)
def test_frames_and_their_uneven_times_come_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "clip.part"
    ticks = [0, 1024, 2048, 5120, 6144, 7168]
    frames = smooth(len(ticks))
    given = [video.Timed(frame, at) for frame, at in zip(frames, ticks, strict=True)]
    assert video.write(path, given, FACTS, container=ending) == len(ticks)
    base = video.examine(path).time_base
    back = list(video.read(path))
    assert [round(float(frame.ticks * base), 3) for frame in back] == [round(at / 12800, 3) for at in ticks]
    for frame, clean in zip(back, frames, strict=True):
        assert np.abs(frame.pixels.astype(int) - clean).mean() < 2.5


def test_an_even_video_keeps_its_rate_and_is_read_as_runs_read_it(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    video.write(path, [video.Timed(frame, 1024 * at) for at, frame in enumerate(smooth(9))], FACTS, container=".mp4")
    facts = video.examine(path)
    assert (facts.rate, facts.count) == (Fraction(25, 2), 9)
    rows = pd.DataFrame({"source_file": "clip.mp4", "source_member": None, "source_index": range(9)})
    for of_run, frame in zip(FrameReader(tmp_path).read(rows), video.read(path), strict=True):
        np.testing.assert_array_equal(of_run, frame.pixels)


def test_odd_sizes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    video.write(path, [video.Timed(smooth(1, (65, 97))[0], 0)], FACTS, container=".mkv")
    assert [frame.pixels.shape for frame in video.read(path)] == [(65, 97, 3)]


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_one_that_is_cut_off_is_no_shorter_video(tmp_path: Path, ending: str) -> None:
    """A decoder gives the frames that are there and says nothing of the others."""
    whole, half = tmp_path / f"whole{ending}", tmp_path / f"half{ending}"
    noise = np.random.default_rng(0).integers(0, 255, (24, 64, 96, 3), dtype=np.uint8)
    video.write(whole, [video.Timed(frame, 1024 * at) for at, frame in enumerate(noise)], FACTS, container=ending)
    if ending == ".mp4":  # with its index before its frames, as files to be streamed have it
        moved = tmp_path / "moved.mp4"
        with av.open(str(whole)) as source, av.open(str(moved), "w", options={"movflags": "faststart"}) as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
        whole = moved
    data = whole.read_bytes()
    half.write_bytes(data[: len(data) // 2])
    assert 0 < sum(1 for _ in video.read(half)) < 24
    assert sum(1 for _ in video.read(whole)) == 24
    video.examine(whole)
    with pytest.raises(UnreadableFrame, match=f"half{ending} is cut off"):
        video.examine(half)


def test_broken_and_empty_ones(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("text.mp4", "absent.mp4"):
        with pytest.raises(UnreadableFrame, match=name):
            next(video.read(tmp_path / name))
        with pytest.raises(UnreadableFrame, match=name):
            video.examine(tmp_path / name)
    with pytest.raises(NotADirectoryError, match=r"text\.mp4/new\.mp4"):
        video.write(tmp_path / "text.mp4/new.mp4", iter([]), FACTS, container=".mp4")
    with pytest.raises(InputError, match="no frame"):
        video.write(tmp_path / "none.mp4", [], FACTS, container=".mp4")
