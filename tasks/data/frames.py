"""Decoding: image files, members of tar archives and frames of videos, as uint8 RGB."""

import io
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, UnidentifiedImageError

from tasks.errors import InputError

Frame = npt.NDArray[np.uint8]

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"})
_OPEN_FILES: Final = 4  # archives and videos kept open by a reader
_OPENCV_FORMATS: Final = frozenset({"JPEG", "PNG", "BMP", "WEBP", "TIFF"})


class UnreadableFrame(InputError):
    """A frame that is missing or cannot be decoded; the message names its file."""


class FrameReader:
    """Decodes frames of one data set; archives and videos stay open between calls. Not for several threads at once."""

    def __init__(self, dataset_dir: Path) -> None:
        self._folder = dataset_dir
        self._archives: OrderedDict[Path, _Archive] = OrderedDict()
        self._videos: OrderedDict[Path, _Video] = OrderedDict()

    def read(self, frames: pd.DataFrame) -> list[Frame]:
        """The frames of these rows of the table `frames`, each uint8 RGB (H, W, 3), in the rows' order.

        EXIF orientation is ignored (boxes are in stored pixels); grey becomes RGB, transparency is dropped. Frames of a
        video are cheapest in rising order: decoding goes on from the last one read.

        Raises:
            UnreadableFrame: a file, archive member or video frame is missing or does not decode.
        """
        members = frames["source_member"].astype(object)
        indices = frames["source_index"].astype(object)
        rows = zip(frames["source_file"], members, indices, strict=True)
        return [
            self._one(str(file), None if pd.isna(member) else str(member), None if pd.isna(index) else int(index))
            for file, member, index in rows
        ]

    def content(self, file: str, member: str | None) -> bytes:
        """The encoded bytes of a still.

        Raises:
            UnreadableFrame: the file or the archive's member is missing.
        """
        path = self._folder / file
        if member is None:
            try:
                return path.read_bytes()
            except OSError as error:
                raise UnreadableFrame(f"Cannot read the image {path}: {error.strerror}.") from None
        if path not in self._archives:
            self._archives[path] = _Archive(path)
            if len(self._archives) > _OPEN_FILES:
                self._archives.popitem(last=False)[1].close()
        return self._archives[path].content(member)

    def close(self) -> None:
        """Close archives and videos."""
        for archive in self._archives.values():
            archive.close()
        for video in self._videos.values():
            video.close()
        self._archives.clear()
        self._videos.clear()

    def _one(self, file: str, member: str | None, index: int | None) -> Frame:
        if index is not None:
            return self._video(file).frame(index)
        return decode(self.content(file, member), f"{self._folder / file}" + (f", member {member}" if member else ""))

    def _video(self, file: str) -> "_Video":
        path = self._folder / file
        if path not in self._videos:
            self._videos[path] = _Video(path)
            if len(self._videos) > _OPEN_FILES:
                self._videos.popitem(last=False)[1].close()
        return self._videos[path]


def decode(data: bytes, where: str) -> Frame:
    """An encoded still as uint8 RGB (H, W, 3); `where` names it in errors.

    Raises:
        UnreadableFrame: the bytes are no image that OpenCV reads.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if pixels is None:
        raise UnreadableFrame(f"{where} is not a readable image.")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def verify(data: bytes, where: str) -> tuple[int, int]:
    """Decode a still completely; its (width, height) as stored.

    Pillow does the checking: OpenCV fills up a truncated JPEG with grey and says nothing.

    Raises:
        UnreadableFrame: the bytes are no image, or end too early.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            size, kind = image.size, image.format
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, UnidentifiedImageError) as error:
        reason = "no known image format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UnreadableFrame(f"{where} does not decode ({reason}).") from None
    if kind not in _OPENCV_FORMATS:
        decode(data, where)
    return size


def video_sizes(path: Path) -> list[tuple[int, int]]:
    """(width, height) of each frame that decodes, in order, until the end or the first that does not.

    Raises:
        UnreadableFrame: no such file, or no video.
    """
    video = _Video(path)
    try:
        return list(video.sizes())
    finally:
        video.close()


class _Archive:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._tar = tarfile.open(path)  # noqa: SIM115 - stays open between reads
            self._members = {member.name: member for member in self._tar.getmembers() if member.isfile()}
        except (OSError, tarfile.TarError) as error:
            raise UnreadableFrame(f"Cannot read the archive {path}: {error}.") from None

    def content(self, name: str) -> bytes:
        member = self._members.get(name)
        stream = self._tar.extractfile(member) if member is not None else None
        if stream is None:
            raise UnreadableFrame(f"The archive {self._path} has no member {name}.")
        try:
            return stream.read()
        except (OSError, EOFError, tarfile.TarError) as error:
            raise UnreadableFrame(f"Cannot read member {name} of {self._path}: {error}.") from None

    def close(self) -> None:
        self._tar.close()


class _Video:
    """Sequential decoding by frame index; going back starts over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._next = 0
        self._last: tuple[int, Frame] | None = None
        self._start()

    def _start(self) -> None:
        import av

        self.close()
        try:
            self._container = av.open(str(self._path))
            stream = self._container.streams.video[0]
        except (OSError, IndexError) as error:  # av's own errors are OSErrors or ValueErrors by kind
            raise UnreadableFrame(f"Cannot read the video {self._path}: {error}.") from None
        except ValueError as error:
            raise UnreadableFrame(f"{self._path} is not a readable video: {error}.") from None
        stream.thread_type = "AUTO"
        self._frames = self._container.decode(stream)
        self._next = 0

    def frame(self, index: int) -> Frame:
        if self._last is not None and self._last[0] == index:
            return self._last[1].copy()
        if index < self._next:
            self._start()
        picture = None
        while self._next <= index:
            picture = self._advance()
            if picture is None:
                raise UnreadableFrame(f"{self._path} has no frame {index}: it ends after {self._next}.")
        assert picture is not None
        pixels = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        self._last = (index, pixels)
        return pixels.copy()

    def sizes(self) -> Iterator[tuple[int, int]]:
        while (picture := self._advance()) is not None:
            yield picture.width, picture.height

    def _advance(self) -> Any:
        try:
            picture = next(self._frames, None)
        except (OSError, ValueError):  # av.InvalidDataError is a ValueError
            return None
        if picture is not None:
            self._next += 1
        return picture

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
