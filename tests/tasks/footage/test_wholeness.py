"""Files that have settled and are not whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.data.video import opened
from tasks.footage.wholeness import PATIENCE, unfinished
from tests.footage_scans import write_video


def lack(path: Path, unchanged_s: float = 20) -> str | None:
    return unfinished(path, unchanged_s=unchanged_s, settle_s=10)


def index_first(path: Path) -> Path:
    """The same video with its index before its frames, as streams are stored."""
    import av

    moved = path.with_name("index-first.mp4")
    with opened(path) as source, av.open(str(moved), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return moved


@pytest.mark.parametrize("name", ["a.mp4", "a.MOV".lower(), "a.mkv"])
def test_whole_ones(tmp_path: Path, name: str) -> None:
    assert lack(write_video(tmp_path / name)) is None


def test_the_index_may_come_first(tmp_path: Path) -> None:
    whole = index_first(write_video(tmp_path / "a.mp4"))
    data = whole.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert lack(whole) is None
    whole.write_bytes(data[:-100])  # a copy of which the end is to come: index and all, it looks like a video
    assert lack(whole) == (
        f"not whole yet: its part 'mdat' goes on to byte {len(data)}, and the file ends at {len(data) - 100}"
    )


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_beginning_is_never_whole(tmp_path: Path, share: float) -> None:
    path = write_video(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert str(lack(path)).startswith("not whole yet: ")


def test_an_index_that_is_still_to_come(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    assert lack(path) == "not whole yet: its index ('moov') is missing"


def test_room_that_was_made_before_it_is_filled(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))
    assert lack(path) is None  # nothing of an MP4 in it: not ours to judge, and no video to whoever examines it
    at = data.index(b"mdat") - 4
    path.write_bytes(data[:at] + bytes(len(data) - at))
    assert lack(path) == f"not whole yet: from byte {at} of {len(data)} on there is only room for it"


def test_long_parts_and_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    moov = b"\0\0\0\x08moov"
    path.write_bytes(moov + b"\0\0\0\x01mdat" + (24).to_bytes(8, "big") + bytes(8))
    assert lack(path) is None
    path.write_bytes(moov + b"\0\0\0\x00mdat" + bytes(5))  # a length of 0: to the end of the file
    assert lack(path) is None
    path.write_bytes(moov + b"\0\0\0\x05free")
    assert lack(path) == "not whole yet: the length of its part 'free' at byte 8 makes no sense"
    path.write_bytes(b"this is a text, not a film")
    assert str(lack(path)).startswith("not whole yet: its part ' is ' goes on to byte ")


def test_patience_ends(tmp_path: Path) -> None:
    """A recorder that died leaves a file that will never be whole: then it is examined, and found broken."""
    path = write_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:-100])
    assert lack(path, 10 * PATIENCE - 1)
    assert lack(path, 10 * PATIENCE) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell who writes")
def test_a_writer_that_pauses(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv")
    code = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        assert lack(path, 1e9) == "still being written: another process has it open"
        writer.communicate("")
    assert lack(path) is None
    with path.open("rb"):  # whoever reads it is no writer
        assert lack(path) is None


def test_looking_stops_nobody_from_writing(tmp_path: Path) -> None:
    """The look is over at once, and the signal of a writer that comes in between does nothing."""
    path = write_video(tmp_path / "a.mp4")
    assert lack(path) is None
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGURG)
    with path.open("ab") as file:
        file.write(b"more")


def test_one_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lack(tmp_path / "a.mp4")
