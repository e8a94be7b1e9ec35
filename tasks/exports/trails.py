"""Frames of a video with its tracks drawn over them: boxes by state, masks and fading trails by id, names in words."""

import colorsys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_mask

from tasks.exports import drawing
from tasks.exports.tracks import STATES, Box

Frame = npt.NDArray[np.uint8]

COLOURS: Final[Mapping[str, tuple[str, int]]] = {
    "new": ("#ffb000", 3),
    "followed": ("#2fe0c0", 2),
    "found again": ("#6fb7ff", 3),
    "lost": ("#ff6f91", 1),
    "no track": ("#c8c8c8", 1),
}
"""Colour and width of a box by its state; a lost track's is dashed and every state but `followed` is said in words."""

MASK_OPACITY: Final = 0.4
_DASH_PX: Final = 6


class Trails:
    """Draws a video's frames in their order."""

    def __init__(self, classes: Mapping[int, str], *, trail_frames: int) -> None:
        """Start a video.

        Args:
            classes: names by the model's class id.
            trail_frames: how far back a trail reaches.
        """
        self._classes = classes
        self._reach = trail_frames
        self._paths: dict[int, list[tuple[int, float, float]]] = {}
        self._frame = 0

    def draw(self, frame: Frame, boxes: Sequence[Box], lost: Sequence[Box], masks: Sequence[bytes] | None) -> Frame:
        """The next frame, enlarged as exports are, with a line below that says what the colours mean.

        Args:
            frame: uint8 RGB (H, W, 3). Left as it is.
            boxes: of this frame, with their tracks.
            lost: tracks that have no box in it.
            masks: of the frame's detections, COCO's compressed RLE; None without.
        """
        for box in boxes:
            if box.track is not None:
                x0, _, x1, y1 = box.box
                self._paths.setdefault(box.track, []).append((self._frame, (x0 + x1) / 2, y1))
        factor = drawing.enlargement(frame)
        painted = drawing.enlarged(self._masked(frame, boxes, masks), factor)
        canvas = np.array(painted)
        self._draw_trails(canvas, factor)
        image = Image.fromarray(canvas)
        pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
        for box in (*lost, *sorted(boxes, key=lambda box: box.track is not None)):
            self._draw_box(pen, font, image, box, factor)
        now = sum(box.track is not None for box in boxes)
        ended = _legend(image, f"frame {self._frame} · {now} tracked")
        self._frame += 1
        return ended

    def _masked(self, frame: Frame, boxes: Sequence[Box], masks: Sequence[bytes] | None) -> Frame:
        if masks is None:
            return frame
        tinted = frame.astype(np.float32)
        for box in boxes:
            if box.track is not None:
                inside = coco_mask.decode({"size": list(frame.shape[:2]), "counts": masks[box.row]}) > 0
                tinted[inside] = (1 - MASK_OPACITY) * tinted[inside] + MASK_OPACITY * np.array(colour_of(box.track))
        return tinted.round().astype(np.uint8)

    def _draw_trails(self, canvas: Frame, factor: int) -> None:
        """Where each track stood on the ground, fading with age; a track's older than the reach are forgotten."""
        for track, path in list(self._paths.items()):
            path[:] = [point for point in path if self._frame - point[0] <= self._reach]
            if not path:
                del self._paths[track]
            for (_, x0, y0), (when, x1, y1) in pairwise(path):
                strength = 1 - (self._frame - when) / (self._reach + 1)
                ends = [tuple(round(factor * value) for value in point) for point in ((x0, y0), (x1, y1))]
                left, right = sorted(point[0] for point in ends)
                top, bottom = sorted(point[1] for point in ends)
                area = canvas[max(top - 3, 0) : max(bottom + 4, 0), max(left - 3, 0) : max(right + 4, 0)]
                if area.size == 0:
                    continue
                over = area.copy()
                shift = (max(left - 3, 0), max(top - 3, 0))
                places = [(x - shift[0], y - shift[1]) for x, y in ends]
                cv2.line(over, places[0], places[1], colour_of(track), 2, cv2.LINE_AA)
                area[:] = (strength * over + (1 - strength) * area).round().astype(np.uint8)

    def _draw_box(
        self,
        pen: ImageDraw.ImageDraw,
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
        image: Image.Image,
        box: Box,
        factor: int,
    ) -> None:
        colour, width = COLOURS[box.state]
        x0, y0, x1, y1 = (factor * value for value in box.box)
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        for start, end in pairwise(corners):
            if box.state == "lost":
                _dashed(pen, start, end, colour)
            else:
                pen.line([start, end], fill=drawing.DARK, width=width + 2)
                pen.line([start, end], fill=colour, width=width)
        parts = (
            "" if box.track is None else f"#{box.track}",
            self._classes[box.class_id],
            "" if box.state == "lost" else f"{box.score:.2f}",
            "" if box.state == "followed" else box.state,
        )
        text = " ".join(filter(None, parts))
        drawing.label(pen, font, image, (x0, y0 - drawing.LINE_PX), text, colour)


def colour_of(track: int) -> tuple[int, int, int]:
    """A bright colour for an id, far from those of the ids next to it (hues by the golden ratio)."""
    red, green, blue = colorsys.hsv_to_rgb(track * 0.618034 % 1, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _dashed(pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    steps = max(1, round(length / _DASH_PX))
    places = np.linspace(start, end, steps + 1)
    for one, other in zip(places[::2], places[1::2], strict=False):
        pen.line([tuple(one), tuple(other)], fill=colour, width=2)


def _legend(image: Image.Image, words: str) -> Frame:
    """The picture above a dark line with `words` and the states in their colours; both sides even, as codecs ask."""
    height = image.height + drawing.LINE_PX + 6
    sheet = Image.new("RGB", (image.width + image.width % 2, height + height % 2), drawing.DARK)
    sheet.paste(image, (0, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    x = 4.0
    for text, colour in ((words, "#ffffff"), *((state, COLOURS[state][0]) for state in STATES)):
        pen.text((x, image.height + 4), text, fill=colour, font=font)
        x += pen.textlength(text, font=font) + 14
    return np.asarray(sheet, dtype=np.uint8)
