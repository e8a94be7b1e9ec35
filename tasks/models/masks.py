"""Instance masks as COCO's compressed RLE, and what is read off them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def encode(masks: npt.NDArray[np.bool_]) -> list[bytes]:
    """Masks (N, H, W) as compressed RLE, one by one: pycocotools 2.0.11 refuses longer lists than 255 on NumPy 2."""
    from pycocotools import mask as coco_mask

    return [bytes(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]) for mask in masks]


def encode_regions(regions: npt.NDArray[np.int32], numbers: Sequence[int]) -> list[bytes]:
    """For each of `numbers`, all above 0, the mask of where `regions` (H, W) is that number, as `encode` gives it.

    Off the runs of the map itself, column by column as COCO counts: masks of hundreds of regions take gigabytes.

    Example:
        >>> regions = np.array([[1, 0, 2], [1, 2, 2]], np.int32)
        >>> encode_regions(regions, [2, 1]) == encode(np.stack([regions == 2, regions == 1]))
        True
    """
    from pycocotools import mask as coco_mask

    height, width = regions.shape
    flat = regions.T.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    edges = np.stack([starts, np.append(starts[1:], flat.size)], axis=1)  # of each run: its first pixel, one after
    inside = flat[starts] > 0
    edges, owners = edges[inside], flat[starts][inside]
    order = np.argsort(owners, kind="stable")
    edges, owners = edges[order], owners[order]
    encoded = []
    for number in numbers:
        first, last = np.searchsorted(owners, [number, number + 1])
        counts = np.diff(edges[first:last].ravel(), prepend=0, append=flat.size)
        if first != last and counts[-1] == 0:
            counts = counts[:-1]
        run = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        encoded.append(bytes(run["counts"]))
    return encoded


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


def boxes_around_regions(regions: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.float32]:
    """`boxes_around` the masks of where `regions` (H, W) is 1 to `count`.

    Example:
        >>> boxes_around_regions(np.array([[1, 0, 2], [1, 2, 2]], np.int32), 2).tolist()
        [[0.0, 0.0, 1.0, 2.0], [1.0, 0.0, 3.0, 2.0]]
    """
    from scipy.ndimage import find_objects

    boxes = np.zeros((count, 4), np.float32)
    for box, place in zip(boxes, find_objects(regions, count), strict=True):
        if place is not None:
            rows, columns = place
            box[:] = columns.start, rows.start, columns.stop, rows.stop
    return boxes
