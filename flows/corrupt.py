"""`stormglass corrupt`: an image, a folder of images or a video as it looks corrupted, and contact sheets."""

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from flows import progress
from tasks import corruptions
from tasks.corruptions import listing
from tasks.data import frames as decoding
from tasks.data import video
from tasks.errors import InputError
from tasks.gallery import sheet

Frame = npt.NDArray[np.uint8]

IMAGES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

BEFORE: Final = 48
"""Frames before the middle one that codecs on a contact sheet are given: enough for any error to spread."""

_JPEG: Final = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


@dataclass(frozen=True)
class Amount:
    """What to do to every frame: the arguments of `corruptions.corrupt`."""

    name: str
    severity: int | None = None
    level: float | None = None
    seed: int = 0
    scale_to: int | None = None

    def checked(self) -> dict[str, Any]:
        """The same, after what needs no frame is checked."""
        corruptions.strength(self.name, self.severity, self.level)
        return {key: getattr(self, key) for key in ("name", "severity", "level", "seed", "scale_to")}


def write(source: Path, target: Path, amount: Amount, *, force: bool = False) -> str:
    """Corrupt `source` into `target`, written whole or not at all; a line that says what was written.

    Frames are what a run sees: stored pixels (EXIF orientation is ignored), and a clip for each image and video, called
    by its file's name. Image files are written losslessly where their format can, JPEG at quality 98 without chroma
    subsampling; video as `video.write` does.

    Raises:
        InputError: an unknown corruption, severity or level; `source` is no image, folder of images or video; `target`
            is of another kind, or there already and not `force`.
    """
    how = amount.checked()
    kind = kind_of(source)
    _check_target(source, kind, target, force=force)
    if kind == "image":
        with _staged(target) as place:
            _save(place, _still(source, source.name, how))
        return f"Wrote {target}."
    if kind == "video":
        with _staged(target) as place:
            count = _video(source, place, target.suffix, how)
        return f"Wrote {count} frames to {target} (H.264, crf {video.CRF}, near-lossless; no sound)."
    found = images_in(source)
    with _staged_folder(target) as place, progress.parts("corrupt", len(found), "images") as done:
        for path in found:
            name = path.relative_to(source)
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            _save(place / name, _still(path, name.as_posix(), how))
            done(path)
    return f"Wrote {len(found)} image(s) to {target}."


def write_sheet(
    source: Path, target: Path, globs: Sequence[str], *, seed: int, scale_to: int | None, force: bool = False
) -> str:
    """Draw a contact sheet of an image or the middle frame of a video; a line that says what was written.

    Args:
        source: The image or video.
        target: An image file.
        globs: Names, also composed ones, or globs of names and families; none: all of the registry.
        seed: The run's.
        scale_to: As in `corruptions.corrupt`.
        force: Whether `target` may be there already.

    Raises:
        InputError: as `write`.
    """
    names = _named(globs)
    kind = kind_of(source)
    if kind == "folder":
        raise InputError(f"Expected an image or a video for a contact sheet, {source} is a folder.")
    _check_target(source, "image", target, force=force)
    frames, first = _middle(source) if kind == "video" else ([_decoded(source)], 0)
    drawn = sheet.draw(frames, names, seed=seed, clip=source.name, first_frame=first, scale_to=scale_to)
    with _staged(target) as place:
        _save(place, drawn)
    return f"Wrote a contact sheet of {len(names)} corruption(s) to {target}."


def kind_of(source: Path) -> str:
    """image, folder or video.

    Raises:
        InputError: neither, by its ending, or not there.
    """
    if source.is_dir():
        return "folder"
    if not source.exists():
        raise InputError(f"Expected an image, a folder of images or a video at {source}, found nothing.")
    if source.suffix.lower() in IMAGES:
        return "image"
    if source.suffix.lower() in decoding.VIDEO_SUFFIXES:
        return "video"
    known = ", ".join((*IMAGES, *sorted(decoding.VIDEO_SUFFIXES)))
    raise InputError(f"Expected an image or a video, {source} ends in '{source.suffix}'; known endings: {known}.")


def images_in(folder: Path) -> list[Path]:
    """The image files below a folder, in order.

    Raises:
        InputError: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file())
    if not found:
        raise InputError(f"Expected a folder of images, {folder} holds no file that ends in {', '.join(IMAGES)}.")
    return found


def _check_target(source: Path, kind: str, target: Path, *, force: bool) -> None:
    endings: Sequence[str] = {"image": IMAGES, "video": video.WRITTEN}.get(kind, ())
    if endings and target.suffix.lower() not in endings:
        raise InputError(f"Expected OUT to be {_a(kind)} that ends in {', '.join(endings)}, got {target}.")
    if kind == "folder" and target.suffix.lower() in (*IMAGES, *decoding.VIDEO_SUFFIXES):
        raise InputError(f"Expected OUT to be a folder, as {source} is, got {target}.")
    if target.exists():
        if target.resolve() == source.resolve():
            raise InputError(f"OUT is IN ({target}): expected another place, the source stays as it is.")
        if target.is_dir() != (kind == "folder"):
            raise InputError(f"Expected OUT to be {_a(kind)}, {target} is a {'folder' if target.is_dir() else 'file'}.")
        if not force:
            raise InputError(f"{target} is there already: nothing was written; --force writes over it.")
    if kind == "folder" and source.resolve() in target.resolve().parents:
        raise InputError(f"Expected OUT outside IN, {target} lies in {source}.")
    if not target.absolute().parent.is_dir():
        raise InputError(f"Expected a folder {target.absolute().parent} to write to, there is none.")


def _a(kind: str) -> str:
    return "an image" if kind == "image" else f"a {kind}"


def _decoded(path: Path) -> Frame:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    decoding.verify(data, str(path))
    return decoding.decode(data, str(path))


def _still(path: Path, clip: str, how: dict[str, Any]) -> Frame:
    clean = _decoded(path)
    try:
        return corruptions.corrupt(clean[None], clips=clip, **how)[0]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _save(path: Path, pixels: Frame) -> None:
    ending = path.suffix.lower()
    settings = _JPEG if ending in (".jpg", ".jpeg") else [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == ".webp" else []
    written, data = cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    if not written:
        raise RuntimeError(f"{path} could not be encoded")
    path.write_bytes(data.tobytes())


def _video(source: Path, place: Path, container: str, how: dict[str, Any]) -> int:
    facts = video.examine(source)
    ticks: deque[int] = deque()

    def clean() -> Iterator[Frame]:
        for frame in video.read(source):
            ticks.append(frame.ticks)  # a codec takes some frames before it gives the first
            yield frame.pixels

    def made(done: Callable[[object], None]) -> Iterator[video.Timed]:
        for pixels in corruptions.corrupt_stream(clean(), clips=source.name, **how):
            done(None)
            yield video.Timed(pixels, ticks.popleft())

    if facts.count is None:
        return video.write(place, made(lambda _: None), facts, container=container)
    with progress.parts("corrupt", facts.count, "frames") as done:
        return video.write(place, made(done), facts, container=container)


def _middle(source: Path) -> tuple[list[Frame], int]:
    """The middle frame of a video after those before it, and the first one's index."""
    count = video.examine(source).count or sum(1 for _ in video.read(source))
    kept: deque[Frame] = deque(maxlen=BEFORE + 1)
    last = 0
    for last, frame in enumerate(video.read(source)):
        kept.append(frame.pixels)
        if last >= count // 2:
            break
    if not kept:
        raise InputError(f"The video {source} holds no frame.")
    return list(kept), last + 1 - len(kept)


def _named(globs: Sequence[str]) -> list[str]:
    """Names of corruptions: composed ones as they are, globs by what they match in the registry."""
    if not globs:
        return [corruption.name for corruption in listing.select(corruptions.CORRUPTIONS, [])]
    names: dict[str, None] = {}
    for glob in globs:
        families = {corruption.family for corruption in corruptions.CORRUPTIONS.values()}
        if set(glob) & set("*?[") or glob in families - corruptions.CORRUPTIONS.keys():
            names |= dict.fromkeys(corruption.name for corruption in listing.select(corruptions.CORRUPTIONS, [glob]))
        else:
            names[corruptions.find(glob).name] = None
    return list(names)


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A place to write to, which becomes `target` when the block ends well."""
    place = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield place
        place.replace(target)
    finally:
        place.unlink(missing_ok=True)


@contextmanager
def _staged_folder(target: Path) -> Iterator[Path]:
    """The same for a folder; in one that is there already, files of other names stay."""
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as scratch:
        place = Path(scratch) / target.name
        place.mkdir()
        yield place
        if not target.exists():
            place.rename(target)
            return
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            (target / path.relative_to(place)).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target / path.relative_to(place))
