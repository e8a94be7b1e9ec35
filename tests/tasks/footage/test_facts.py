"""What files say of themselves, and which are broken."""

import os
import random
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.data.frames import UnreadableFrame
from tasks.footage.facts import Facts, examine, verify
from tests.footage_scans import write_video

REAL = os.environ.get("STORMGLASS_REAL_DATA")


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_of_a_video(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"a{ending}", frames=25, rate=10)
    facts = examine(path)
    assert facts.duration_s == pytest.approx(2.5, abs=0.11)
    assert (facts.width_px, facts.height_px, facts.frame_rate, facts.codec) == (64, 48, 10.0, "h264")
    assert facts.n_frames in ((25,) if ending != ".mkv" else (25, None))
    assert facts.bitrate_kbps == pytest.approx(path.stat().st_size * 8 / 2500, rel=0.2)
    assert verify(path) == 25


def test_a_stream_that_states_no_duration(tmp_path: Path) -> None:
    """Bare H.264: its packets are counted, at the rate that its header gives or the usual 25 a second."""
    bare = tmp_path / "a.ts"  # by name alone: what is in it decides
    with av.open(str(bare), "w", format="h264") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pixels in np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    facts = examine(bare)
    assert facts.n_frames is None
    assert facts.duration_s == pytest.approx(20 / facts.frame_rate)
    assert verify(bare) == 20


@pytest.mark.parametrize("content", [b"", b"no film", bytes(5000)])
def test_of_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    for look in (examine, verify):
        with pytest.raises(UnreadableFrame, match=r"a.mp4"):
            look(path)


def damage(path: Path, share: float) -> Path:
    """Random bytes in so many places of the coded frames, and nowhere else."""
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4 if data.index(b"moov") > begin else len(data)
    dice = random.Random(0)
    for _ in range(max(1, int(share * (end - begin)))):
        data[dice.randrange(begin, end)] = dice.randrange(256)
    path.write_bytes(data)
    return path


def test_broken_bytes(tmp_path: Path) -> None:
    path = damage(write_video(tmp_path / "a.mp4", frames=30), 0.05)
    assert examine(path).n_frames == 30  # the header is whole
    with pytest.raises(UnreadableFrame, match=r"a.mp4 (does not decode after frame|is damaged in|ends after)"):
        verify(path)


def test_a_video_cut_short(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", frames=40)
    data = whole.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    assert begin < end
    middle = (begin + end) // 2
    whole.write_bytes(data[:middle] + bytes(end - middle) + data[end:])
    with pytest.raises(UnreadableFrame, match=r"a.mp4 (does not decode after frame|is damaged in|ends after) "):
        verify(whole)


@pytest.mark.skipif(REAL is None, reason="STORMGLASS_REAL_DATA is not set")
def test_real_footage(tmp_path: Path) -> None:
    source = Path(str(REAL)) / "footage/car-detection.mp4"
    facts = examine(source)
    assert facts == Facts(30.16, 377, 768, 432, 12.5, "h264", pytest.approx(614.933))
    assert verify(source) == 377
    path = tmp_path / "a.mp4"
    shutil.copyfile(source, path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)  # its index comes first
    with pytest.raises(UnreadableFrame, match=r"a.mp4 ends after 1\d\d of 377 frames"):
        verify(path)
    shutil.copyfile(source, path)
    data = bytearray(path.read_bytes())
    dice = random.Random(0)
    for _ in range(5):  # a byte here and there: two frames, which a scan measures and does not throw away
        data[dice.randrange(size // 5, size * 9 // 10)] = dice.randrange(256)
    path.write_bytes(data)
    assert verify(path) == 377
    for _ in range(200):
        data[dice.randrange(size // 5, size * 9 // 10)] = dice.randrange(256)
    path.write_bytes(data)
    with pytest.raises(
        UnreadableFrame, match=r"a.mp4 (does not decode after frame \d+ of 377|is damaged in \d+ of 377)"
    ):
        verify(path)
