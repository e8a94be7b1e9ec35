"""Pictures with what is true and what a model said drawn over them, and masks as maps of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_mask

from tasks import tables

Frame = npt.NDArray[np.uint8]

LEAST_WIDTH_PX: Final = 640
"""Smaller frames are enlarged by a whole factor, so that words fit beside boxes."""

STYLES: Final[Mapping[tuple[str, str], tuple[str, int, str]]] = {
    ("truth", "matched"): ("#ffffff", 1, ""),
    ("truth", "missed"): ("#ffb000", 3, "missed"),
    ("truth", "ignored"): ("#a0a0a0", 1, "ignored"),
    ("prediction", "matched"): ("#2fe0c0", 2, ""),
    ("prediction", "false positive"): ("#ff6f91", 3, "false"),
    ("prediction", "ignored"): ("#a0a0a0", 2, ""),
}
"""Colour, width and word of a box by whose it is and what became of it: the report's colours."""

DARK: Final = "#111827"
_WRONG: Final = (255, 107, 53)
LINE_PX: Final = 16


def boxes(frame: Frame, drawn: Mapping[str, Sequence[Mapping[str, Any]]], caption: str) -> Frame:
    """Boxes or outlines of truth and prediction over `frame`, with class, score and id; a caption below.

    Args:
        frame: uint8 RGB (H, W, 3).
        drawn: from `overlay.boxes` in the frame's pixels.
        caption: one line.
    """
    factor = enlargement(frame)
    image = enlarged(frame, factor)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for whose in ("truth", "prediction"):
        for item in drawn[whose]:
            colour, width, word = STYLES[whose, item["state"]]
            x0, y0, x1, y1 = (factor * value for value in item["box"])
            rings = [[factor * value for value in ring] for ring in item.get("outline", [])]
            for ring in rings or [[x0, y0, x1, y0, x1, y1, x0, y1]]:
                pen.line([*ring, *ring[:4]], fill=DARK, width=width + 2)  # seen on light and on dark ground
                pen.line([*ring, *ring[:4]], fill=colour, width=width)
            text = " ".join(filter(None, (word, item["class"], _score(item), _id(item))))
            if whose == "prediction" or word:
                # Truth is named below its box, predictions above theirs: so one does not cover the other.
                label(pen, font, image, (x0, y0 - LINE_PX if whose == "prediction" else y1), text, colour)
    return _captioned(image, caption)


def mistakes(frame: Frame, truth: npt.NDArray[np.uint8], found: npt.NDArray[np.uint8], caption: str) -> Frame:
    """`frame` with the pixels whose class is wrong tinted; pixels of no class count for nothing."""
    wrong = (truth != found) & (truth != tables.IGNORE)
    tinted = frame.copy()
    tinted[wrong] = (0.35 * frame[wrong] + 0.65 * np.array(_WRONG)).astype(np.uint8)
    return _captioned(enlarged(tinted, enlargement(frame)), caption)


def words(frame: Frame, caption: str) -> Frame:
    """`frame` with a caption alone."""
    return _captioned(enlarged(frame, enlargement(frame)), caption)


def instances(masks: pd.Series, size: tuple[int, int]) -> npt.NDArray[np.uint16]:
    """Masks as one map (H, W): the place of the mask in the list, from 1; 0 is nothing. Small ones lie on top."""
    found = np.zeros(size, dtype=np.uint16)
    rles = {place: {"size": list(size), "counts": m} for place, m in enumerate(masks, 1) if isinstance(m, bytes)}
    for place in sorted(rles, key=lambda key: (-int(coco_mask.area(rles[key])), key)):
        found[coco_mask.decode(rles[place]) > 0] = place
    return found


def enlargement(frame: Frame) -> int:
    """The whole factor that brings a frame to `LEAST_WIDTH_PX`."""
    return max(1, -(-LEAST_WIDTH_PX // int(frame.shape[1])))


def enlarged(frame: Frame, factor: int) -> Image.Image:
    """A frame with every pixel repeated `factor` times each way."""
    size = (frame.shape[1] * factor, frame.shape[0] * factor)
    return Image.fromarray(cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST))


def _score(item: Mapping[str, Any]) -> str:
    return f"{item['score']:.2f}" if "score" in item else ""


def _id(item: Mapping[str, Any]) -> str:
    return f"#{item['id']}" if "id" in item else ""


def label(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    image: Image.Image,
    at: tuple[float, float],
    text: str,
    colour: str,
) -> None:
    """Words on a dark ground at the corner `at` (x, y), moved into the picture where they would leave it."""
    width = pen.textlength(text, font=font) + 4
    x = min(max(at[0], 0), max(image.width - width, 0))
    y = min(max(at[1], 0), image.height - LINE_PX)
    pen.rectangle((x, y, x + width, y + LINE_PX - 1), fill=DARK)
    pen.text((x + 2, y + 1), text, fill=colour, font=font)


def _captioned(image: Image.Image, caption: str) -> Frame:
    """The picture with as many lines of caption below as it takes."""
    font = ImageFont.load_default(13)
    pen = ImageDraw.Draw(image)
    lines = [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.textlength(longer, font=font) > image.width - 8:
            lines.append(word)
        else:
            lines[-1] = longer
    sheet = Image.new("RGB", (image.width, image.height + len(lines) * (LINE_PX + 2) + 6), DARK)
    sheet.paste(image, (0, 0))
    below = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        below.text((4, image.height + 3 + row * (LINE_PX + 2)), line, fill="#ffffff", font=font)
    return np.asarray(sheet, dtype=np.uint8)
