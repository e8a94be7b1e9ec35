"""Picture files of the gallery: WebP, named by what they show, each stored once."""

import colorsys
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks import tables
from tasks.layout import slug

WIDTH_PX: Final = 320
QUALITY: Final = 75

NO_CLASS: Final = "#808080"
"""Pixels that count for nothing, or that a model gives to no class of the data set."""
DIFFERENCE: Final[Mapping[str, tuple[str, str]]] = {
    "right (dark)": ("#1f2937", ""),
    "confused (blue)": ("#4ea3e0", "taken for another class that is in the frame, too"),
    "missed (amber)": ("#ffb000", "of a class that the model finds nowhere in the frame, or given to no class"),
    "invented (pink)": ("#ff6f91", "given to a class that is nowhere in the frame"),
    "not counted (grey)": (NO_CLASS, "without truth"),
}
"""What may become of a pixel: its colour and what that means. Of several the last one holds."""

_FIRST: Final = (
    *("#56b4e9", "#a65628", "#5c5c66", "#c9b8d8", "#2e8b57", "#cc3311", "#f0c800", "#7b3fb5"),
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#332288", "#88ccee", "#999933", "#882255"),
)


def palette(names: Mapping[int, str]) -> dict[int, str]:
    """A colour for each semantic class, `#rrggbb`: a fixed list first, then evenly spread hues."""
    colours = {}
    for place, class_id in enumerate(sorted(names)):
        if place < len(_FIRST):
            colours[class_id] = _FIRST[place]
        else:
            # The golden ratio keeps neighbours in the list far apart in hue.
            r, g, b = colorsys.hsv_to_rgb((place * 0.618034) % 1, 0.55 + 0.4 * (place % 2), 0.75)
            colours[class_id] = f"#{int(r * 255):02x}{int(g * 255):02x}{int(b * 255):02x}"
    return colours


def size(width_px: int, height_px: int) -> tuple[int, int]:
    """Width and height of a frame's picture: at most WIDTH_PX wide, never enlarged.

    Examples:
        >>> size(640, 427), size(200, 100)
        ((320, 214), (200, 100))
    """
    width = min(WIDTH_PX, width_px)
    return width, max(1, round(height_px * width / width_px))


def paint(label_map: npt.NDArray[np.uint8], colours: Mapping[int, str]) -> npt.NDArray[np.uint8]:
    """A label map, uint8 (H, W), as colours (H, W, 3)."""
    table = np.tile(np.array(_rgb(NO_CLASS), dtype=np.uint8), (256, 1))
    for class_id, colour in colours.items():
        table[class_id] = _rgb(colour)
    return np.asarray(table[label_map], dtype=np.uint8)


def difference(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What becomes of each pixel of a label map, uint8 (H, W): the place in DIFFERENCE.

    Examples:
        >>> truth = np.array([[1, 1, 2, 3, 255]], dtype=np.uint8)
        >>> [list(DIFFERENCE)[i] for i in difference(truth, np.array([[1, 2, 2, 4, 1]], dtype=np.uint8))[0]]
        ['right (dark)', 'confused (blue)', 'right (dark)', 'invented (pink)', 'not counted (grey)']
        >>> [list(DIFFERENCE)[i] for i in difference(truth, np.array([[1, 1, 1, 2, 1]], dtype=np.uint8))[0]]
        ['right (dark)', 'right (dark)', 'confused (blue)', 'missed (amber)', 'not counted (grey)']
    """
    counted = truth != tables.IGNORE
    there, seen = np.unique(truth[counted]), np.unique(prediction[counted])
    wrong = counted & (truth != prediction)
    found = np.zeros(truth.shape, dtype=np.uint8)
    found[wrong] = 1
    found[wrong & (~np.isin(truth, seen) | (prediction == tables.IGNORE))] = 2
    found[wrong & ~np.isin(prediction, there) & (prediction != tables.IGNORE)] = 3
    found[~counted] = 4
    return found


def shares(found: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Of the pixels that count, how many became what: the names of DIFFERENCE but the last, each 0..1.

    Examples:
        >>> shares(np.array([[0, 0, 1, 3, 4]], dtype=np.uint8))
        {'right (dark)': 0.5, 'confused (blue)': 0.25, 'missed (amber)': 0.0, 'invented (pink)': 0.25}
    """
    counts = np.bincount(found.ravel(), minlength=len(DIFFERENCE))[:-1]
    return {name: round(float(n) / max(1, int(counts.sum())), 4) for name, n in zip(DIFFERENCE, counts, strict=False)}


class Folder:
    """The folder that the pictures go to; a picture that is there is not written again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: set[str] = set()

    def photograph(self, parts: Iterable[object], frame: npt.NDArray[np.uint8]) -> str:
        """Store a frame, uint8 RGB, scaled down by area; the file's name."""
        width, height = size(frame.shape[1], frame.shape[0])
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        return self._write(parts, small, lossless=False)

    def drawing(self, parts: Iterable[object], drawn: npt.NDArray[np.uint8]) -> str:
        """Store flat colours (a label map), scaled by nearest neighbour so that no colour is made up, losslessly."""
        width, height = size(drawn.shape[1], drawn.shape[0])
        small = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_NEAREST)
        return self._write(parts, small, lossless=True)

    def _write(self, parts: Iterable[object], image: npt.NDArray[np.uint8], *, lossless: bool) -> str:
        name = "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", slug(str(part))) for part in parts) + ".webp"
        if name not in self.names:
            Image.fromarray(image).save(self.path / name, format="WEBP", quality=QUALITY, lossless=lossless, method=4)
            self.names.add(name)
        return name


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
