"""What counts as footage, what is left alone, and why."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import InputError
from tasks.footage.inbox import Listing, listing


def put(path: Path, content: bytes = b"film", *, modified: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if modified is not None:
        os.utime(path, (modified, modified))
    return path


def names(found: Listing) -> list[tuple[str, str]]:
    return [(one.name, one.camera) for one in found.arrivals]


def why(found: Listing) -> dict[str, str]:
    return {one.name: one.why for one in found.left}


def test_cameras_are_the_first_folders_and_the_oldest_comes_first(tmp_path: Path) -> None:
    now = time.time()
    put(tmp_path / "top.MP4", modified=now - 50)
    put(tmp_path / "north/2026/11/deep.mkv", modified=now - 90)
    put(tmp_path / "north/a.mp4", modified=now - 70)
    put(tmp_path / "south/b.mp4", modified=now - 70)
    found = listing(tmp_path, settle_s=0)
    deep, *others = names(found)
    assert deep == ("north/2026/11/deep.mkv", "north")
    assert others == [("north/a.mp4", "north"), ("south/b.mp4", "south"), ("top.MP4", "all")]
    assert found.left == ()
    one = found.arrivals[0]
    assert (one.size, one.remote) == (4, False)
    assert Path(one.place).read_bytes() == b"film"
    assert abs(datetime.fromisoformat(one.modified_utc).timestamp() - (now - 90)) <= 1
    assert abs(datetime.fromisoformat(one.received_utc).timestamp() - now) < 60


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "a.mp4")
    assert names(listing(f"file://{tmp_path}", settle_s=0)) == [("a.mp4", "all")]


def test_a_kept_time_of_writing_does_not_make_a_file_old(tmp_path: Path) -> None:
    """Programs that copy set it back to the original's; that the file changed just now the kernel knows."""
    path = put(tmp_path / "a.mp4", modified=time.time() - 86400)
    first = listing(tmp_path, settle_s=10)
    assert first.arrivals == ()
    assert why(first)["a.mp4"].startswith("still being written: it changed")
    later = listing(tmp_path, settle_s=10, now=datetime.now(UTC) + timedelta(seconds=11))
    assert names(later) == [("a.mp4", "all")]
    assert 10 <= later.arrivals[0].unchanged_s < 60
    put(path, b"more")  # of the same size, and with the same time
    os.utime(path, (time.time() - 86400,) * 2)
    assert listing(tmp_path, settle_s=0).arrivals[0].stamp != later.arrivals[0].stamp


@pytest.mark.parametrize(("ahead_s", "settled"), [(30, False), (10 * 365 * 86400, True)])
def test_times_ahead_of_the_clock(tmp_path: Path, ahead_s: float, settled: bool) -> None:
    """A little is another machine's clock, and the file is new; years are a camera's wrong one, and say nothing."""
    put(tmp_path / "a.mp4", modified=time.time() + ahead_s)
    assert bool(listing(tmp_path, settle_s=5, now=datetime.now(UTC) + timedelta(seconds=8)).arrivals) is settled


def test_hidden_and_temporary_names_are_passed_over(tmp_path: Path) -> None:
    for name in (
        ".a.mp4", ".a.mp4.Xy12Qz", "b.mp4.part", "b.mp4.PARTIAL", "c.tmp", "c.mp4~", "d.crdownload", "e.mp4.filepart",
        ".thumbnails/f.mp4", "north/.g.mp4", "upload.part/h.mp4",
    ):  # fmt: skip
        put(tmp_path / name)
    assert listing(tmp_path, settle_s=0) == Listing((), (), 0)


def test_what_is_no_footage_is_said(tmp_path: Path) -> None:
    put(tmp_path / "notes.txt")
    put(tmp_path / "raw")
    put(tmp_path / "north/none.mp4", b"")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nothing.mp4")
    found = listing(tmp_path, settle_s=0)
    assert found.arrivals == ()
    reasons = why(found)
    assert reasons["notes.txt"].startswith("not footage: its name ends in '.txt', expected one of .avi")
    assert reasons["raw"].startswith("not footage: its name ends in ''")
    assert {name: reasons[name] for name in ("north/none.mp4", "pipe.mp4", "gone.mp4")} == {
        "north/none.mp4": "empty",
        "pipe.mp4": "not a file",
        "gone.mp4": "a link to nothing",
    }
    since = {one.name: one.since_utc for one in found.left}
    assert since.pop("gone.mp4") is None
    for told in since.values():
        assert told is not None
        assert abs(datetime.fromisoformat(told).timestamp() - time.time()) < 60


def test_links_count_as_what_they_lead_to_and_circles_end(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    put(tmp_path / "elsewhere/a.mp4", b"12345")
    put(inbox / "north/b.mp4")
    (inbox / "south").symlink_to(tmp_path / "elsewhere")
    (inbox / "north/link.mp4").symlink_to(tmp_path / "elsewhere/a.mp4")
    (inbox / "north/up").symlink_to(inbox)
    (inbox / "round.mp4").symlink_to(inbox / "round.mp4")
    found = listing(inbox, settle_s=0)
    assert sorted(names(found)) == [("north/b.mp4", "north"), ("north/link.mp4", "north"), ("south/a.mp4", "south")]
    assert {one.name: one.size for one in found.arrivals}["north/link.mp4"] == 5
    assert why(found) == {"round.mp4": "not readable: Too many levels of symbolic links"}


def test_odd_names(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9 \n 'x\"\xf0\x9f\x8e\xa5.mp4")
    put(tmp_path / "Kreuzung Süd" / odd)
    (found,) = listing(tmp_path, settle_s=0).arrivals
    assert found.name == "Kreuzung Süd/caf\\xe9 \n 'x\"🎥.mp4"
    assert found.camera == "Kreuzung Süd"
    assert Path(found.place).read_bytes() == b"film"


@pytest.mark.parametrize(("make", "told"), [(lambda path: None, "found nothing"), (put, "found a file")])
def test_no_inbox(tmp_path: Path, make: object, told: str) -> None:
    make(tmp_path / "inbox")  # type: ignore[operator]
    with pytest.raises(InputError, match=rf"footage.inbox: expected a folder at .*inbox, {told}"):
        listing(tmp_path / "inbox", settle_s=0)


@contextmanager
def somebody() -> Iterator[None]:
    """Not root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_folders() -> None:
    with tempfile.TemporaryDirectory() as name:
        inbox = Path(name) / "inbox"
        north = put(inbox / "north/a.mp4").parent
        put(inbox / "south/b.mp4")
        Path(name).chmod(0o755)
        north.chmod(0o000)
        try:
            with somebody():
                found = listing(inbox, settle_s=0)
                with pytest.raises(InputError, match=r"cannot be listed .Permission denied.: give this user access"):
                    listing(north, settle_s=0)
        finally:
            north.chmod(0o755)
    assert names(found) == [("south/b.mp4", "south")]
    assert why(found) == {"north": "not readable: Permission denied"}
