"""Truth that moves with the picture: where rows are moved sideways by known waves, boxes, masks and maps go with them.

A wave is amplitude_px, period_px and phase_rad: row y is moved to the right by amplitude sin(2 pi y / period + phase).
`infer` writes the table `displacement`, which says of each frame of a cell which waves went through it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tasks import tables

Floats: TypeAlias = npt.NDArray[np.float64]

FILE = "displacement.parquet"
"""In predictions/; a run from before there were such corruptions has none."""

WAVE = ["amplitude_px", "period_px", "phase_rad"]


def cells(predictions: Path) -> frozenset[tuple[str, int]]:
    """Corruption and severity of the cells of which a frame is displaced."""
    path = predictions / FILE
    if not path.exists():
        return frozenset()
    rows = tables.read("displacement", path)
    return frozenset(zip(rows["corruption"], rows["severity"], strict=True))


def read(predictions: Path, corruption: str, severity: int) -> dict[int, Floats]:
    """The waves (K, 3) of each displaced frame of a cell, by frame_id; empty where nothing is displaced."""
    path = predictions / FILE
    if severity == 0 or not path.exists():
        return {}
    rows = tables.read("displacement", path)
    rows = rows[(rows["corruption"] == corruption) & (rows["severity"] == severity)]
    return {int(str(frame)): own[WAVE].to_numpy(np.float64) for frame, own in rows.groupby("frame_id", sort=False)}


def shifts(waves: Floats, height: int) -> Floats:
    """How far each row is moved to the right, px: (height,); the sum of all waves.

    Example:
        >>> shifts(np.array([[2.0, 4.0, 0.0]]), 4).round(6).tolist()
        [0.0, 2.0, 0.0, -2.0]
    """
    amplitude, period, phase = (column[:, None] for column in waves.T)
    return np.asarray((amplitude * np.sin(2 * math.pi * np.arange(height) / period + phase)).sum(axis=0))


def move_boxes(boxes: Floats, moved: Floats, width: int) -> Floats:
    """Boxes (N, 4), half-open xyxy, as those that hold all of the moved rows; cut where the frame ends.

    Args:
        boxes: in pixels.
        moved: (H,) as `shifts` gives it.
        width: of the frame.

    Example:
        >>> move_boxes(np.array([[4.0, 0.0, 8.0, 3.0]]), np.array([0.0, 2.0, -1.0, 5.0]), 20).tolist()
        [[3.0, 0.0, 10.0, 3.0]]
    """
    found = boxes.copy()
    for place, (x0, y0, x1, y1) in enumerate(boxes):
        top = min(max(math.floor(y0), 0), len(moved) - 1)
        rows = moved[top : max(top + 1, math.ceil(y1))]
        # A box that reached out of the frame before may still do so.
        found[place, 0] = min(max(x0 + rows.min(), min(x0, 0.0)), max(x0, float(width)))
        found[place, 2] = max(min(x1 + rows.max(), max(x1, float(width))), min(x1, 0.0))
    return found


def move_map(label_map: npt.NDArray[Any], moved: Floats) -> npt.NDArray[Any]:
    """A map (H, W) with its rows moved, nearest neighbour; what comes in is a row's last value, as for the pixels."""
    width = label_map.shape[1]
    columns = np.rint(np.arange(width) - moved[:, None]).astype(np.int64)
    return np.asarray(np.take_along_axis(label_map, columns.clip(0, width - 1), axis=1))


def move_mask(mask: Mapping[str, Any], moved: Floats) -> dict[str, Any]:
    """A mask as compressed RLE with its rows moved; it ends where the frame does."""
    from pycocotools import mask as coco_mask

    pixels = coco_mask.decode(dict(mask))
    pad = int(np.ceil(np.abs(moved).max(initial=0.0))) + 1
    # With nothing on both sides, so that a mask at the edge is not drawn out.
    wide = move_map(np.pad(pixels, ((0, 0), (pad, pad))), moved)[:, pad : pad + pixels.shape[1]]
    found: dict[str, Any] = coco_mask.encode(np.asfortranarray(wide))
    return found
