"""Whether a camera was covered, put out of focus or moved: its picture against what it has long shown.

The reference is a small grey copy, learnt and followed slowly, and kept from clip to clip. Scores are 0..1; moving
things, light, haze and noise should leave them low. A scene without light is covered, as far as pixels tell.

Sources for the approach: E. Ribnick et al., "Real-time detection of camera tampering", AVSS 2006 (recent pictures
against long-kept ones); A. Saglam, A. Temizel, "Real-time adaptive camera tamper detection for video surveillance",
AVSS 2009 (covered: structure lost; defocused: fine structure lost; moved: a background that is another).
"""

import math
import os
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tasks.errors import InputError
from tasks.quality.frame import blur
from tasks.quality.luma import Pixels

Floats = npt.NDArray[np.float32]

SMALL_PX: Final = 160
"""Width of the copies that are compared: a camera shakes by less than their pixel."""

BLOCK_PX: Final = 10
"""Side of the blocks of the small copy in which edges are looked for."""

EDGE: Final = 3.0
"""Grey levels a pixel: the mean gradient that a block of the reference needs to say anything."""

LOST: Final = 0.3
"""A block with less than this share of the reference's gradient has lost its edges."""

ENOUGH: Final = 2.0
"""Half of the reference's edges are as many as another view may have."""

LEARNT: Final = 20
"""Pictures after which a reference says something."""

SLOW_S: Final = 600.0
"""Seconds of footage in which the reference follows what the camera shows."""

DOUBTED_S: Final = 3600.0
"""The same while a score is above its threshold: a camera that was moved for good has a new reference some day."""


class Scores(NamedTuple):
    """0..1 each; NaN without a reference.

    Attributes:
        cover: the share of the picture that has lost its edges, unless light and dark are there still.
        defocus: the share of sharpness that is lost, where light and dark are where they were.
        move: how little edges run as they did, while there are enough.
    """

    cover: float
    defocus: float
    move: float


TAMPERING: Final = Scores._fields

_SILENT: Final = Scores(math.nan, math.nan, math.nan)

THRESHOLD: Final[Mapping[str, float]] = {"cover": 0.5, "defocus": 0.2, "move": 0.65}
"""From where on a window's mean score says that something was done to the camera.

On real footage fog, rain, snow, low light, noise and coding of any severity stay below. Above are a lens covered for
the most part, defocus of severity 2 and up (blur by motion as strong, too), and a view shifted by 2 % of its width.
Several may rise at once: another view has other shapes where edges were. Then the highest names it.
"""


@dataclass(frozen=True)
class Background:
    """What a camera has long shown.

    Attributes:
        view: luma of the small copy (h, w), float32 grey levels; while it is learnt, of the first picture.
        blur: of its pictures, as `tasks.quality.frame.blur` has it.
        size: (height, width) of the pictures.
        first: small copies (n, h, w), uint8, of the first pictures until there are `LEARNT`, then none.
    """

    view: Floats
    blur: float
    size: tuple[int, int]
    first: Pixels

    @property
    def learnt(self) -> bool:
        """Whether it says something."""
        return len(self.first) == 0

    def save(self, path: Path) -> None:
        """Write it to `path` (.npz), whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.npz")
        try:
            np.savez_compressed(temporary, view=self.view, blur=self.blur, size=self.size, first=self.first)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "Background":
        """Read what `save` wrote.

        Raises:
            InputError: there is no such file, or it holds no reference.
        """
        try:
            with np.load(path) as data:
                height, width = (int(side) for side in data["size"])
                view, first = np.asarray(data["view"], np.float32), np.asarray(data["first"], np.uint8)
                return cls(view, float(data["blur"]), (height, width), first)
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"Expected the background of a camera in {path}, got {type(error).__name__}: delete the file, and the "
                "next clip begins a new one."
            ) from None


def look(frame: Pixels, background: Background | None, *, elapsed_s: float) -> tuple[Scores, Background]:
    """Scores of a picture, and the reference with it.

    The reference begins as the median of the first pictures, in which what passes by leaves nothing, and follows as a
    slow mean.

    Args:
        frame: uint8 RGB (H, W, 3).
        background: what its camera showed before; None, or one of another size: it begins here.
        elapsed_s: since the picture before.
    """
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = grey.shape
    shape = (min(SMALL_PX, width), max(1, round(height * min(SMALL_PX, width) / width)))
    small = np.asarray(cv2.resize(grey, shape, interpolation=cv2.INTER_AREA), np.uint8)
    view = small.astype(np.float32)
    own = blur(np.asarray(cv2.medianBlur(np.ascontiguousarray(grey), 3), np.uint8))
    if background is None or background.size != (height, width):
        return _SILENT, Background(view, own, (height, width), small[None])
    if not background.learnt:
        first = np.concatenate([background.first, small[None]])
        mean_blur = background.blur + (own - background.blur) / len(first)
        if len(first) < LEARNT:
            return _SILENT, replace(background, blur=mean_blur, first=first)
        middle = np.median(first, axis=0).astype(np.float32)
        return _SILENT, Background(middle, mean_blur, (height, width), first[:0])
    scores = _scores(view, own, background)
    doubted = any(score >= THRESHOLD[name] for name, score in scores._asdict().items())
    share = np.float32(min(1.0, elapsed_s / (DOUBTED_S if doubted else SLOW_S)))
    return scores, replace(
        background,
        view=background.view + share * (view - background.view),
        blur=background.blur + float(share) * (own - background.blur),
    )


def _scores(small: Floats, own_blur: float, background: Background) -> Scores:
    own, reference = _gradient(small), _gradient(background.view)
    now, before = (_blocks(np.hypot(*pair)) for pair in (own, reference))
    edged = before >= EDGE
    if not edged.any():  # the camera has shown nothing with edges: a wall, the night
        return Scores(0.0, 0.0, 0.0)
    levels = _blocks(small), _blocks(background.view)
    lost = edged & (now < LOST * before)
    blurred = (own_blur - background.blur) / max(1 - background.blur, 1e-6)
    left = min(1.0, ENOUGH * float(now.sum() / before.sum()))
    return Scores(
        cover=float(lost.sum() / edged.sum()) * (1 - _likeness(*(one[lost] for one in levels))),
        defocus=min(1.0, max(0.0, blurred)) * _likeness(*levels),
        move=left * (1 - max(0.0, _agreement(own, reference))),
    )


def _gradient(small: Floats) -> tuple[Floats, Floats]:
    """Along x and y, of a copy smoothed a little: noise has no place in it, and half a pixel's shake hardly."""
    smooth = cv2.GaussianBlur(small, (0, 0), 1.0)
    x, y = (cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 4) for order in ((1, 0), (0, 1)))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _blocks(values: Floats) -> Floats:
    size = tuple(max(1, side // BLOCK_PX) for side in values.shape[::-1])
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _agreement(
    own: tuple[Floats, Floats],
    reference: tuple[Floats, Floats],
) -> float:
    """Mean cosine between the directions of both gradients on the reference's edges: 1 the same, 0 unrelated.

    Directions do not depend on contrast, so haze and darkness leave them; each edge weighs by its strength.
    """
    weight = np.hypot(*reference)
    edges = weight >= EDGE
    if not edges.any():
        return 1.0
    cosine = (own[0] * reference[0] + own[1] * reference[1]) / np.maximum(np.hypot(*own) * weight, 1e-6)
    return float((cosine * weight)[edges].sum() / weight[edges].sum())


def _likeness(one: Floats, other: Floats) -> float:
    """Pearson's correlation, 0 where it is below and where one of them is flat."""
    if not one.size:
        return 0.0
    a, b = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return max(0.0, float((a * b).sum()) / spread) if spread > 1e-3 else 0.0
