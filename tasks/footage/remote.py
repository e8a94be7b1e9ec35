"""An inbox in an object store or another place that fsspec reaches: listed, and fetched file by file into a cache."""

import hashlib
import os
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

import fsspec

from tasks.errors import InputError, WorkFailed
from tasks.footage.inbox import Arrival, Left, age_s, camera_of, iso, nobodys, printable, unfit

TIMES: Final = ("LastModified", "last_modified", "mtime", "updated", "created")
"""What stores call the time of the last write, S3's name first."""

CONTENT: Final = "etag "
"""How a stamp begins that follows from the content: of one ETag and one size, S3 holds one content."""

ABANDONED_S: Final = 7 * 86400.0
"""A fetched file this old belongs to no scan that still runs, nor to one that will soon take it up."""


def arrivals(url: str, *, settle_s: float, now: datetime) -> list[Arrival | Left]:
    """The files below a prefix, as `inbox.listing` lists them.

    Raises:
        InputError: no such kind of store, no such bucket, or a library for it is missing.
        WorkFailed: the store does not answer.
    """
    files, root = _opened(url)
    try:
        files.invalidate_cache()  # a process that scans for days must not see the first day's list for ever
        found: dict[str, dict[str, Any]] = files.find(root, detail=True)
    except FileNotFoundError:
        raise InputError(f"footage.inbox: {url}: there is no such bucket or folder.") from None
    except Exception as error:  # each kind of store has errors of its own
        raise WorkFailed(
            f"footage.inbox: {url} cannot be listed ({_told(error)}). Credentials and endpoint are taken from the "
            "environment, such as AWS_PROFILE and AWS_ENDPOINT_URL."
        ) from None
    scheme = url.split("://")[0]
    listed: list[Arrival | Left] = []
    for path, known in found.items():
        name = printable(path.removeprefix(root).strip("/"))
        if path.endswith("/") or any(nobodys(part) for part in PurePosixPath(name).parts):
            continue
        size, written = int(known.get("size") or 0), _seconds(known)
        if why := unfit(name, size):
            listed.append(Left(name, why, iso(written) if written else None))
            continue
        unchanged_s = age_s(now.timestamp(), written)
        if unchanged_s < settle_s:
            listed.append(Left(name, f"still being written: it changed {unchanged_s:.0f} s ago", iso(written)))
            continue
        place = f"{scheme}://{path.lstrip('/')}"
        listed.append(
            Arrival(
                name, camera_of(name), place, size, _stamp(known), iso(written), iso(written), unchanged_s, remote=True
            )
        )
    return listed


def cached(arrival: Arrival, cache: Path) -> Path:
    """Where an object of this content lies once it is fetched."""
    by = arrival.stamp if arrival.stamp.startswith(CONTENT) else f"{arrival.place}\n{arrival.stamp}"
    key = hashlib.sha256(f"{by}\n{arrival.size}".encode()).hexdigest()[:32]
    return cache / f"{key}{PurePosixPath(arrival.name).suffix.lower()}"


def fetch(arrival: Arrival, cache: Path) -> Path:
    """The object as a local file, whole; what an earlier scan fetched is not fetched again.

    Raises:
        OSError: it is gone, was replaced since it was listed, may not be read, or the store does not answer.
    """
    path = cached(arrival, cache)
    if path.exists():
        return path
    files, remote = _opened(arrival.place)
    cache.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        files.get_file(remote, str(temporary))
        files.invalidate_cache()
        if temporary.stat().st_size != arrival.size or _stamp(files.info(remote)) != arrival.stamp:
            raise OSError(None, "it was replaced since it was listed")
        temporary.replace(path)
    except OSError:
        raise
    except Exception as error:  # each kind of store has errors of its own
        raise OSError(None, _told(error)) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def sweep(cache: Path) -> None:
    """Remove what dead scans have fetched and nobody took up."""
    for path in cache.iterdir() if cache.is_dir() else ():
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
        except FileNotFoundError:  # another scan was first
            continue


def _opened(url: str) -> tuple[Any, str]:
    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        hint = "pip install 'stormglass[s3]'" if url.startswith("s3") else str(error)
        raise InputError(f"footage.inbox: {url}: a library for this store is missing: {hint}.") from None
    except ValueError as error:
        raise InputError(
            f"footage.inbox: {url}: expected a folder or a URL such as s3://bucket/prefix: {error}."
        ) from None
    if not path.strip("/"):
        raise InputError(f"footage.inbox: {url}: expected a bucket, such as s3://bucket/prefix.")
    return files, path.rstrip("/")


def _stamp(known: dict[str, Any]) -> str:
    etag = known.get("ETag")
    return f"{CONTENT}{etag}" if etag else f"{_seconds(known):.3f}"


def _seconds(known: dict[str, Any]) -> float:
    """The last write in seconds since 1970; where the store tells none, so long ago that the object has settled."""
    for name in TIMES:
        told = known.get(name)
        if isinstance(told, str):
            told = datetime.fromisoformat(told)
        if isinstance(told, datetime):
            return told.replace(tzinfo=told.tzinfo or UTC).timestamp()
        if isinstance(told, int | float):
            return float(told)
    return 0.0


def _told(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".") or os.strerror(5)
