"""An inbox in a bucket: listed, fetched once, and taken in like a folder."""

import importlib
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tasks.errors import InputError, WorkFailed
from tasks.footage import remote
from tasks.footage.inbox import listing
from tasks.footage.ledger import Clip
from tasks.footage.runs import Runs
from tests import s3
from tests.footage_scans import NOW, agreement, minute, names, scan, write_video

s3fs = pytest.importorskip("s3fs", reason="the extra `s3` is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3.serving() as address:
        yield address


@pytest.fixture
def bucket(server: str) -> Iterator[Any]:
    with s3.bucket(server, "footage") as client:
        yield client


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects that were brought here, as they are."""
    names: list[str] = []
    get = s3fs.S3FileSystem.get_file

    def told(files: Any, path: str, *rest: Any, **more: Any) -> Any:
        names.append(path)
        return get(files, path, *rest, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "get_file", told)
    return names


def put(bucket: Any, key: str, content: bytes) -> None:
    bucket.put_object(Bucket="footage", Key=key, Body=content)


def test_listed_like_a_folder(bucket: Any) -> None:
    for key in ("in/north/2026/a.mp4", "in/top.mp4", "in/.hidden.mp4", "in/south/b.mp4.part", "elsewhere/x.mp4"):
        put(bucket, key, b"film")
    put(bucket, "in/notes.txt", b"text")
    put(bucket, "in/none.mp4", b"")
    put(bucket, "in/west/", b"")  # how consoles make a folder
    found = listing("s3://footage/in/", settle_s=0)
    assert [(one.name, one.camera, one.size, one.place) for one in found.arrivals] == [
        ("north/2026/a.mp4", "north", 4, "s3://footage/in/north/2026/a.mp4"),
        ("top.mp4", "all", 4, "s3://footage/in/top.mp4"),
    ]
    assert {one.name: one.why.split(":")[0] for one in found.left} == {"none.mp4": "empty", "notes.txt": "not footage"}
    assert all(one.remote and one.unchanged_s < 60 for one in found.arrivals)
    assert listing("s3://footage/in", settle_s=3600).arrivals == ()
    assert len(listing("s3://footage/in", settle_s=3600, now=NOW + timedelta(days=36500)).arrivals) == 2
    put(bucket, "in/late.mp4", b"film")
    assert len(listing("s3://footage/in", settle_s=0).arrivals) == 3  # as it is now, not as it was looked at first
    assert listing("s3://footage/nothing/there", settle_s=0).arrivals == ()


def test_taken_once_and_fetched_once(bucket: Any, tmp_path: Path, fetched: list[str]) -> None:
    film = write_video(tmp_path / "film.mp4").read_bytes()
    put(bucket, "north/a.mp4", film)
    put(bucket, "b.mkv", b"other film")
    root = tmp_path / "runs"
    read: dict[str, bytes] = {}

    def dies(clip: Clip) -> int:
        raise KeyboardInterrupt

    def work(clip: Clip) -> int:
        read[clip.file] = clip.path.read_bytes()
        return 0

    with pytest.raises(KeyboardInterrupt):
        scan("s3://footage", root, work=dies)
    assert sorted(fetched) == ["footage/b.mkv", "footage/north/a.mp4"]
    assert len(names(root / ".cache")) == 2
    place = scan("s3://footage", root, work=work)
    assert place is not None
    assert read == {"north/a.mp4": film, "b.mkv": b"other film"}
    assert len(fetched) == 2  # what the first had fetched was there
    assert names(root / ".cache") == set()
    assert set(agreement(root).values()) == {"ok"}
    bucket.copy_object(Bucket="footage", Key="south/renamed.mp4", CopySource="footage/north/a.mp4")
    bucket.delete_object(Bucket="footage", Key="north/a.mp4")
    assert scan("s3://footage", root) is None
    assert len(fetched) == 2  # S3 says of what content it is
    put(bucket, "b.mkv", b"a film in its place")
    assert scan("s3://footage", root, work=work) is not None
    assert read["b.mkv"] == b"a film in its place"
    assert fetched[2:] == ["footage/b.mkv"]


def test_backlog_is_not_fetched(bucket: Any, tmp_path: Path, fetched: list[str]) -> None:
    for at in range(4):
        put(bucket, f"{at}.mkv", f"film {at}".encode())
    with Runs(tmp_path / "runs").begin(NOW) as run:
        batch = run.take(listing("s3://footage", settle_s=0), minutes=2, examine=minute)
        assert (len(batch.clips), batch.backlog.n_files) == (2, 2)
    assert len(fetched) == 2


def test_what_changes_or_goes_before_it_is_fetched(bucket: Any, tmp_path: Path) -> None:
    for key in ("a.mkv", "b.mkv", "c.mkv"):
        put(bucket, key, f"film {key}".encode())
    found = listing("s3://footage", settle_s=0)
    bucket.delete_object(Bucket="footage", Key="a.mkv")
    put(bucket, "b.mkv", b"replaced film")
    with Runs(tmp_path / "runs").begin(NOW) as run:
        batch = run.take(found, minutes=9, examine=minute)
        assert [clip.file for clip in batch.clips] == ["c.mkv"]
        assert {one.name: one.why for one in batch.left} == {
            "a.mkv": "gone since it was listed",
            "b.mkv": "not readable: it was replaced since it was listed",
        }
        assert len(names(tmp_path / "runs/.cache")) == 1  # no half of another


def test_a_truncated_object_waits_like_a_file(bucket: Any, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4").read_bytes()
    put(bucket, "a.mp4", film[: len(film) // 2])
    with Runs(tmp_path / "runs").begin(NOW) as run:
        batch = run.take(listing("s3://footage", settle_s=5, now=NOW + timedelta(days=36500)), minutes=9)
        assert batch.clips == ()
        assert run.table()["status"].tolist() == ["quarantined"]  # nobody has changed it for a century
    with Runs(tmp_path / "runs").begin(NOW) as run:
        found = listing("s3://footage", settle_s=0)
        batch = run.take(type(found)(found.arrivals, found.left, settle_s=1e6), minutes=9)
        assert [one.why.split(":")[0] for one in batch.left] == ["not whole yet"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://nothing-there/x", "there is no such bucket or folder"),
        ("s3://", "expected a bucket"),
        ("gopher://somewhere", "expected a folder or a URL such as s3://bucket/prefix"),
    ],
)
def test_a_wrong_place(bucket: Any, url: str, message: str) -> None:
    with pytest.raises(InputError, match=f"footage.inbox: {url}: {message}") as error:
        listing(url, settle_s=0)
    assert "\n" not in str(error.value)


def test_no_credentials(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(WorkFailed, match=r"cannot be listed.*AWS_PROFILE"):
        listing("s3://footage", settle_s=0)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(InputError, match=r"pip install 'stormglass\[s3\]'"):
        listing("s3://footage/x", settle_s=0)


def test_another_store(tmp_path: Path) -> None:
    """One that tells no ETag: a file is known by its place and its time."""
    store = fsspec.filesystem("memory")
    store.pipe_file(f"/{tmp_path.name}/north/a.mkv", b"film")
    url, root = f"memory://{tmp_path.name}", tmp_path / "runs"
    read: list[bytes] = []
    assert scan(url, root, work=lambda clip: read.append(clip.path.read_bytes()) or 0) is not None
    assert read == [b"film"]
    assert scan(url, root) is None
    store.pipe_file(f"/{tmp_path.name}/south/a.mkv", b"film")  # fetched, and found to be known
    assert scan(url, root) is None


def test_what_nobody_took_up_is_removed(tmp_path: Path) -> None:
    remote.sweep(tmp_path / "none")
    for name, age_s in (("old.mp4", remote.ABANDONED_S + 60), ("new.mp4", 60)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (tmp_path.stat().st_mtime - age_s,) * 2)
    remote.sweep(tmp_path)
    assert names(tmp_path) == {"new.mp4"}
