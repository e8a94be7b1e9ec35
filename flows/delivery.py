"""The report brought to where people look: a folder or a bucket, through fsspec."""

import mimetypes
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks.errors import InputError, WorkFailed

FILES: Final = (
    "summary.md", "comparison.md", "failure_cases.md", "junit.xml", "slices.csv", "curves/*.csv", "metrics.json",
    "policy.json", "run.json", "robustness/**/*", "comparison.html", "robustness.html",
)  # fmt: skip
"""What is brought where it is there, in this order: the pages last, so that none is seen without what it links to."""

MARK: Final = ".stormglass"
"""A file in each folder that was written here: such a folder may be replaced whole, any other is left alone."""


@dataclass(frozen=True)
class Destination:
    """Where a report goes: `path` in `files`, as the user wrote it in `target`."""

    target: str
    files: Any
    path: str

    def deliver(self, reports: Path) -> str:
        """Copy the report of `reports` there; where its page is.

        Raises:
            InputError: the folder cannot be written, or there is no such bucket.
            WorkFailed: the store does not take it.
        """
        if isinstance(self.files, LocalFileSystem):
            return str(_to_folder(reports, Path(self.path)))
        return self._upload(reports)

    def _upload(self, reports: Path) -> str:
        # Only S3's objects have to be told what they are; the other stores guess it from the name.
        s3 = "s3" in self.files.protocol
        try:
            for name in _names(reports):
                kind = {"ContentType": _content_type(name)} if s3 else {}
                self.files.pipe_file(f"{self.path}/{name}", (reports / name).read_bytes(), **kind)
        except FileNotFoundError:
            raise InputError(f"--to {self.target}: there is no such bucket or folder to write to.") from None
        except Exception as error:  # each kind of store has errors of its own
            told = " ".join(str(error).split()) or type(error).__name__
            raise WorkFailed(
                f"--to {self.target}: not delivered, or in part ({told.rstrip('.')}). Credentials and endpoint are "
                f"taken from the environment, such as {'AWS_PROFILE and AWS_ENDPOINT_URL' if s3 else 'its tools use'}."
            ) from None
        return f"{self.target.rstrip('/')}/robustness.html"


def destination(target: str) -> Destination:
    """Where `target` is: a folder, `file://...`, `s3://bucket/prefix` or another store that fsspec knows.

    Raises:
        InputError: no such kind of store, a library for it is missing, or the folder is not ours to replace.
    """
    try:
        files, path = fsspec.core.url_to_fs(target)
    except ImportError as error:
        hint = "pip install 'stormglass[s3]'" if target.startswith("s3") else str(error)
        raise InputError(f"--to {target}: a library for this store is missing: {hint}.") from None
    except ValueError as error:
        raise InputError(f"--to {target}: expected a folder or a URL such as s3://bucket/prefix: {error}.") from None
    if isinstance(files, LocalFileSystem):
        _refuse_taken(Path(path))
    elif not path.strip("/"):
        raise InputError(f"--to {target}: expected a bucket, such as s3://bucket/prefix.")
    return Destination(target, files, path.rstrip("/"))


def _refuse_taken(folder: Path) -> None:
    if folder.is_dir() and ((folder / MARK).exists() or not any(folder.iterdir())):
        return
    if folder.exists():
        raise InputError(
            f"--to {folder}: it is there and was not written by `stormglass publish`, so it is not replaced; "
            "name a new folder."
        )


def _to_folder(reports: Path, folder: Path) -> Path:
    """Replace `folder` by a copy that is made beside it; where the page is."""
    folder = folder.resolve()
    made, old = (folder.with_name(f".{folder.name}.{word}.{os.getpid()}") for word in ("new", "old"))
    try:
        for name in _names(reports):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(reports / name, made / name)
        (made / MARK).write_text("Written by `stormglass publish --to`, which replaces this folder whole.\n")
        _refuse_taken(folder)
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    except OSError as error:
        raise InputError(f"--to {folder}: cannot write there ({error.strerror}).") from None
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return folder / "robustness.html"


def _names(reports: Path) -> Iterator[str]:
    """The report's files, relative to `reports`, in the order of `FILES`."""
    for pattern in FILES:
        for path in sorted(reports.glob(pattern), key=lambda path: (path.suffix == ".html", path)):
            if path.is_file():
                yield path.relative_to(reports).as_posix()


def _content_type(name: str) -> str:
    """What a browser is told a file is.

    Example:
        >>> _content_type("robustness.html"), _content_type("robustness/pictures/1.webp"), _content_type("summary.md")
        ('text/html; charset=utf-8', 'image/webp', 'text/markdown; charset=utf-8')
    """
    # Named here and not left to the machine's own list, which may lack them.
    known = {".md": "text/markdown", ".webp": "image/webp", ".js": "text/javascript", ".xml": "text/xml"}
    found = known.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
