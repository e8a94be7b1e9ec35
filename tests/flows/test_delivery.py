"""`stormglass publish --to`: a folder that is whole or not there, and a bucket over the real S3 protocol."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from flows import cli, delivery, runtime
from tasks.errors import InputError, WorkFailed
from tests import s3
from tests.conftest import SmallRun

PAGES = ["robustness/index.html", "comparison.html", "robustness.html"]
COMPANIONS = {
    "summary.md", "failure_cases.md", "junit.xml", "slices.csv", "metrics.json", "policy.json", "run.json",
    "curves/classification.csv", "curves/detection.csv", "curves/semantic.csv", "curves/tracking.csv",
}  # fmt: skip
REPORT = {*COMPANIONS, *PAGES, "comparison.md", "robustness/pictures/1.webp"}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A report of every file that there may be, and two that are none of ours."""
    folder = tmp_path / "reports"
    for name in {*REPORT, "notes.txt", "curves/readme.txt"}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"what {name} says")
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def deliver(reports: Path, target: object) -> str:
    return delivery.destination(str(target)).deliver(reports)


def test_the_command(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, place = tmp_path / "run", tmp_path / "site"
    root.mkdir()
    shutil.copy(small_run.params, root)
    for name in ("tables", "scores", "gallery"):
        (root / name).symlink_to(small_run.root / name)
    monkeypatch.chdir(root)
    monkeypatch.setenv(runtime.SWITCH, "off")
    assert cli.main(["publish", "--to", str(place)]) == 0
    assert capsys.readouterr().out == f"{place}/robustness.html\n"
    assert {*COMPANIONS, "robustness.html"} <= files(place)
    assert files(place) - {delivery.MARK} == files(root / "reports")
    assert (place / "robustness.html").read_bytes() == (root / "reports/robustness.html").read_bytes()


def test_a_folder(reports: Path, tmp_path: Path) -> None:
    place = tmp_path / "site" / "robustness"
    assert deliver(reports, place) == f"{place}/robustness.html"
    assert files(place) == {*REPORT, delivery.MARK}
    assert all((place / name).read_text() == f"what {name} says" for name in REPORT)
    # The next version replaces it whole: what is no longer written does not linger, and nothing lies beside it.
    (reports / "comparison.html").unlink()
    (place / "stale.csv").touch()
    assert deliver(reports, place.as_uri()) == f"{place}/robustness.html"
    assert files(place) == {*REPORT, delivery.MARK} - {"comparison.html"}
    assert [path.name for path in place.parent.iterdir()] == ["robustness"]


@pytest.mark.parametrize("what", ["a folder of others", "a file", "the report itself"])
def test_what_is_not_ours_is_left_alone(reports: Path, tmp_path: Path, what: str) -> None:
    place = tmp_path / "taken"
    if what == "a file":
        place.write_text("mine")
    elif what == "a folder of others":
        place.mkdir()
        (place / "robustness.html").write_text("mine")
    else:
        place = reports
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="was not written by `stormglass publish`"):
        deliver(reports, place)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_copy_that_fails_leaves_the_last_one(reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site"
    deliver(reports, place)
    (reports / "summary.md").write_text("newer")
    copy, copied = shutil.copyfile, []

    def full(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == 3:
            raise OSError(28, "No space left on device")
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(InputError, match="No space left on device"):
        deliver(reports, place)
    assert files(place) == {*REPORT, delivery.MARK}
    assert (place / "summary.md").read_text() == "what summary.md says"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reports", "site"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3.serving() as address:
        yield address


@pytest.fixture
def bucket(server: str) -> Iterator[Any]:
    with s3.bucket(server, "reports") as client:
        yield client


def test_a_bucket(reports: Path, bucket: Any) -> None:
    assert deliver(reports, "s3://reports/v1.2/") == "s3://reports/v1.2/robustness.html"
    there = {found["Key"]: found for found in bucket.list_objects_v2(Bucket="reports", Prefix="v1.2/")["Contents"]}
    assert set(there) == {f"v1.2/{name}" for name in REPORT}
    kinds = {
        "robustness.html": "text/html; charset=utf-8",
        "summary.md": "text/markdown; charset=utf-8",
        "slices.csv": "text/csv; charset=utf-8",
        "junit.xml": "text/xml; charset=utf-8",
        "metrics.json": "application/json",
        "robustness/pictures/1.webp": "image/webp",
    }
    for name, kind in kinds.items():
        found = bucket.get_object(Bucket="reports", Key=f"v1.2/{name}")
        assert found["ContentType"] == kind
        assert found["Body"].read().decode() == f"what {name} says"


def test_the_pages_come_last(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    written: list[str] = []
    pipe = store.pipe_file
    monkeypatch.setattr(store, "pipe_file", lambda path, data: (written.append(path), pipe(path, data)))
    assert deliver(reports, "memory://site") == "memory://site/robustness.html"
    assert written[-3:] == [f"/site/{name}" for name in PAGES]
    assert {path.removeprefix("/site/") for path in written[:-3]} == REPORT - set(PAGES)
    assert store.cat_file("/site/summary.md") == b"what summary.md says"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("s3://nothing-there/x", "there is no such bucket"),
        ("s3://", "expected a bucket"),
        ("gopher://somewhere", "expected a folder or a URL such as s3://bucket/prefix"),
    ],
)
def test_a_wrong_place(reports: Path, bucket: Any, target: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        deliver(reports, target)
    assert "\n" not in str(error.value)


def test_no_credentials(reports: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(WorkFailed, match=r"Unable to locate credentials.*AWS_PROFILE"):
        deliver(reports, "s3://reports/v2")
    assert "Contents" not in bucket.list_objects_v2(Bucket="reports", Prefix="v2/")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(InputError, match=r"pip install 'stormglass\[s3\]'"):
        delivery.destination("s3://reports/x")
