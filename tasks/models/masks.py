"""Instance masks as COCO's compressed RLE, and what is read off them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def encode(masks: npt.NDArray[np.bool_]) -> list[bytes]:
    """Masks (N, H, W) as compressed RLE, one by one: pycocotools 2.0.11 refuses longer lists than 255 on NumPy 2."""
    from pycocotools import mask as coco_mask

    return [bytes(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]) for mask in masks]


def decode(runs: Sequence[bytes], *, height_px: int, width_px: int) -> npt.NDArray[np.bool_]:
    """The masks (N, H, W) of compressed RLE."""
    from pycocotools import mask as coco_mask

    whole = np.zeros((len(runs), height_px, width_px), dtype=bool)
    for place, counts in enumerate(runs):
        whole[place] = coco_mask.decode({"size": [height_px, width_px], "counts": counts})
    return whole


def boxes_around(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """The tightest boxes (N, 4), half-open xyxy in pixels, around masks (N, H, W); zeros around an empty one.

    Example:
        >>> mask = np.zeros((1, 4, 6), bool)
        >>> mask[0, 1:3, 2:5] = True
        >>> boxes_around(mask).tolist()
        [[2.0, 1.0, 5.0, 3.0]]
    """
    boxes = np.zeros((len(masks), 4), np.float32)
    for place, mask in enumerate(masks):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if len(rows):
            boxes[place] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
