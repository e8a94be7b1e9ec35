"""A video with what a tracker made of it drawn over, and small pictures of single frames, listed for a page."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tasks.data import video
from tasks.exports import tracks, trails
from tasks.exports.tracks import Box

TRAIL_S: Final = 1.5
"""How long a trail takes to fade."""

LOST_S: Final = 0.5
"""How long a track that has no box any more is shown at its last place."""

SEEN_CRF: Final = "26"
"""x264's rate factor of clips that are looked at and not measured: about a tenth of near-lossless."""

FRAMES: Final = "frames"
LISTED: Final = "frames.json"


@dataclass(frozen=True)
class Thumb:
    """A frame to be shown small.

    Attributes:
        clip_id: of its clip.
        camera: of its clip.
        t_s: seconds from the clip's start.
        webp: the picture as WebP, small already.
        drift: how far it lies from the reference; the larger, the odder.
        why: what is odd about it, in words.
        kind: drifted, or sample: an ordinary frame of the clip.
    """

    clip_id: str
    camera: str
    t_s: float
    webp: bytes
    drift: float = 0.0
    why: str = ""
    kind: str = "drifted"


def drawn(
    source: Path,
    facts: video.Facts,
    masks: Sequence[Sequence[bytes] | None],
    boxes: Sequence[Sequence[Box]],
    classes: Mapping[int, str],
) -> Iterator[video.Timed]:
    """The frames of a video with boxes, masks and trails over them, at their own times; it is decoded once more.

    Args:
        source: the video.
        facts: of it.
        masks: of each frame's detections, COCO's compressed RLE; None for a frame without.
        boxes: of each frame, from `tracks.boxes`.
        classes: names by the model's class id.

    Raises:
        UnreadableFrame: the video does not decode.
        ValueError: it has another number of frames than there are boxes for.
    """
    rate = float(facts.rate)
    pen = trails.Trails(classes, trail_frames=round(TRAIL_S * rate))
    gone = tracks.lost(boxes, for_frames=round(LOST_S * rate))
    for frame, own, here, lost in zip(video.read(source), masks, boxes, gone, strict=True):
        yield video.Timed(pen.draw(frame.pixels, here, lost, own), frame.ticks)


def write(
    source: Path,
    target: Path,
    facts: video.Facts,
    masks: Sequence[Sequence[bytes] | None],
    boxes: Sequence[Sequence[Box]],
    classes: Mapping[int, str],
) -> None:
    """Write such a video to `target` for people to look at, whole or not at all.

    Args:
        source: the video.
        target: ends in one of `video.WRITTEN`; its folder is made where there is none.
        facts: as for `drawn`, as all that follows.
        masks: see there.
        boxes: see there.
        classes: see there.

    Raises:
        UnreadableFrame: the video does not decode.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        frames = drawn(source, facts, masks, boxes, classes)
        video.write(beside, frames, facts, container=target.suffix, crf=SEEN_CRF)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def keep(folder: Path, thumbs: Iterable[Thumb]) -> None:
    """Write thumbs as frames/*.webp below `folder`, and frames.json, which says what they show and comes last."""
    listed: list[dict[str, Any]] = []
    place = folder / FRAMES
    place.mkdir(parents=True, exist_ok=True)
    for thumb in thumbs:
        with Image.open(io.BytesIO(thumb.webp)) as picture:
            width, height = picture.size
        file = place / f"{thumb.clip_id}-{thumb.kind}-{len(listed):03d}.webp"
        file.write_bytes(thumb.webp)
        told = {"clip_id": thumb.clip_id, "camera": thumb.camera, "t_s": round(float(thumb.t_s), 3)}
        told |= {"drift": round(float(thumb.drift), 4), "why": thumb.why, "kind": thumb.kind}
        listed.append({"file": f"{FRAMES}/{file.name}", "width": width, "height": height, **told})
    beside = folder / f".{LISTED}.{os.getpid()}"
    beside.write_text(json.dumps({"frames": listed}, indent=1) + "\n", encoding="utf-8")
    beside.replace(folder / LISTED)
