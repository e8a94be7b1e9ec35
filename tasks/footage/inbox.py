"""What lies in the inbox: files that have settled, and why others are left where they are.

The first folder below the inbox is the camera; what lies deeper belongs to the same one, and files at the top to the
camera `all`. Names that begin with a dot, and the temporary names of programs that copy or download, are nobody's
footage and passed over in silence; so are folders whose names begin with a dot. A link to a file counts as the file; a
link to a folder is entered like one, each folder once, so that a circle ends.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from tasks.data.frames import VIDEO_SUFFIXES
from tasks.errors import InputError

TEMPORARY: Final = (
    "~", ".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".opdownload",
)  # fmt: skip
"""Endings of files that a program is still writing under a name that is not their own."""

TOP: Final = "all"
"""The camera of files that lie in no folder below the inbox."""

_LAST_S: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
_DAY_S: Final = 86400.0
"""A time that lies so far ahead is a wrong clock's and says nothing; one a little ahead is another machine's now."""


@dataclass(frozen=True)
class Arrival:
    """A file that has settled; whether it is new is the ledger's to say.

    Attributes:
        name: Relative to the inbox, folders separated by "/", bytes that are no UTF-8 as "\\xff".
        camera: The first folder of `name`, else `all`.
        place: The path or URL that opens it.
        size: Bytes, at least one.
        stamp: A text that changes whenever the content may have: of a local file the times of its last write and
            change and its inode, of an object its ETag.
        modified_utc: Last write as the file says, which programs that copy may have kept; decides what is oldest.
        received_utc: Since when it lies in the inbox as it is, which no program can set.
        unchanged_s: Seconds since the last change.
        remote: Whether it has to be fetched before it can be read.
    """

    name: str
    camera: str
    place: str
    size: int
    stamp: str
    modified_utc: str
    received_utc: str
    unchanged_s: float
    remote: bool = False


@dataclass(frozen=True)
class Left:
    """A file or folder that is left where it is.

    Attributes:
        name: As of an arrival.
        why: What it is, and after a colon more of it where there is more.
        since_utc: Since when it lies there as it is; None where that is not known.
    """

    name: str
    why: str
    since_utc: str | None = None

    @property
    def kind(self) -> str:
        """The reason in few words, by which such files are counted."""
        return self.why.partition(":")[0]


@dataclass(frozen=True)
class Listing:
    """What an inbox holds.

    Attributes:
        arrivals: Oldest write first, then by name.
        left: By name.
        settle_s: As given to `listing`.
    """

    arrivals: tuple[Arrival, ...]
    left: tuple[Left, ...]
    settle_s: float


def listing(url: str | Path, *, settle_s: float, now: datetime | None = None) -> Listing:
    """List a folder, or a prefix of an object store, by what the file system says of each file; none is opened.

    Args:
        url: A folder, `file://...`, `s3://bucket/prefix` or another store that fsspec knows.
        settle_s: A file that changed less than so many seconds ago is left alone.
        now: With its time zone; the clock's where not given.

    Raises:
        InputError: no such folder or bucket, it may not be read, or a library for the store is missing.
        WorkFailed: the store does not answer.
    """
    moment = now or datetime.now(UTC)
    text = str(url)
    if "://" in text and not text.startswith("file://"):
        from tasks.footage import remote  # fsspec and what it brings, which a local folder does without

        found = remote.arrivals(text, settle_s=settle_s, now=moment)
    else:
        found = list(_local(Path(text.removeprefix("file://")), settle_s, moment.timestamp()))
    arrivals = [one for one in found if isinstance(one, Arrival)]
    left = [one for one in found if isinstance(one, Left)]
    arrivals.sort(key=lambda one: (one.modified_utc, one.name))
    return Listing(tuple(arrivals), tuple(sorted(left, key=lambda one: one.name)), settle_s)


def nobodys(name: str) -> bool:
    """Whether a file or folder is hidden or temporary by its last name.

    Examples:
        >>> [nobodys(name) for name in ("north/a.mp4", "north/.a.mp4.Xy12", "a.MP4.PART", "a.mp4~")]
        [False, True, True, True]
    """
    last = PurePosixPath(name).name
    return last.startswith(".") or last.lower().endswith(TEMPORARY)


def unfit(name: str, size: int) -> str | None:
    """Why a file cannot be footage by its name and size; None: it can."""
    ending = PurePosixPath(name).suffix.lower()
    if ending not in VIDEO_SUFFIXES:
        return f"not footage: its name ends in '{ending}', expected one of {' '.join(sorted(VIDEO_SUFFIXES))}"
    return "empty" if size == 0 else None


def camera_of(name: str) -> str:
    """The camera of a file by its name relative to the inbox.

    Examples:
        >>> camera_of("north/2026/11/a.mp4"), camera_of("a.mp4")
        ('north', 'all')
    """
    folders = PurePosixPath(name).parts[:-1]
    return folders[0] if folders else TOP


def age_s(now: float, *times: float) -> float:
    """Seconds from the latest of `times` to `now`, at least 0; infinite where all are of wrong clocks."""
    told = [time for time in times if time < now + _DAY_S]
    return max(0.0, now - max(told)) if told else float("inf")


def printable(name: str) -> str:
    r"""A file's name as text that tables and databases hold: bytes that are no UTF-8 are written out.

    Examples:
        >>> printable("caf\udce9.mp4")
        'caf\\xe9.mp4'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def iso(seconds: float) -> str:
    """A moment in seconds since 1970 as UTC text, to the second; wrong clocks are brought into the years 1970..9999.

    Examples:
        >>> iso(0), iso(1e15)
        ('1970-01-01T00:00:00Z', '9999-12-31T23:59:59Z')
    """
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_S), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_of(known: os.stat_result) -> str:
    """What of a local file changes whenever its content may have.

    The time of change is the kernel's: programs that copy in place and then set the time of the last write back change
    it all the same.
    """
    return f"{known.st_mtime_ns} {known.st_ctime_ns} {known.st_ino}"


def _local(inbox: Path, settle_s: float, now: float) -> Iterator[Arrival | Left]:
    if not inbox.is_dir():
        there = "a file" if inbox.exists() else "nothing"
        raise InputError(f"footage.inbox: expected a folder at {inbox}, found {there}: create it, or name another.")
    try:
        entries = _entries(inbox)
    except OSError as error:
        raise InputError(
            f"footage.inbox: {inbox} cannot be listed ({error.strerror}): give this user access."
        ) from None
    entered = {_identity(inbox.stat())}
    pending = [("", entries)]
    while pending:
        above, entries = pending.pop()
        for entry in entries:
            name = above + printable(entry.name)
            if nobodys(entry.name):
                continue
            try:
                known = entry.stat()
                if not stat.S_ISDIR(known.st_mode):
                    yield _judged(name, entry, known, settle_s, now)
                elif _identity(known) not in entered:
                    entered.add(_identity(known))
                    pending.append((f"{name}/", _entries(Path(entry.path))))
            except FileNotFoundError:
                if entry.is_symlink():  # what else is gone went away since the folder was read
                    yield Left(name, "a link to nothing")
            except OSError as error:
                yield Left(name, f"not readable: {error.strerror}")


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def _identity(known: os.stat_result) -> tuple[int, int]:
    return known.st_dev, known.st_ino


def _judged(name: str, entry: "os.DirEntry[str]", known: os.stat_result, settle_s: float, now: float) -> Arrival | Left:
    since_utc = iso(known.st_ctime)
    if not stat.S_ISREG(known.st_mode):
        return Left(name, "not a file", since_utc)  # to open a pipe would wait for ever
    if why := unfit(name, known.st_size):
        return Left(name, why, since_utc)
    unchanged_s = age_s(now, known.st_mtime, known.st_ctime)
    if unchanged_s < settle_s:
        return Left(name, f"still being written: it changed {unchanged_s:.0f} s ago", since_utc)
    return Arrival(
        name=name,
        camera=camera_of(name),
        place=entry.path,
        size=known.st_size,
        stamp=stamp_of(known),
        modified_utc=iso(known.st_mtime),
        received_utc=since_utc,
        unchanged_s=unchanged_s,
    )
