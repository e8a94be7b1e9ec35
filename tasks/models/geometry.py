"""Mirrored, scaled and shifted views of training frames: other places and distances, the picture itself stays clean."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.models.losses import IGNORE

SCALES: Final = (0.8, 1.5)
"""Range of the zoom, drawn evenly in its logarithm."""

MOVED: Final = 0.7
"""Share of samples that are zoomed and shifted; the others are seen as they were taken, but for the mirror."""

KEPT: Final = 0.4
"""Share of a box's area that must stay inside the view; of what is cut further, cells are not judged."""


def view(
    frame: npt.NDArray[np.uint8],
    regions: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.float32],
    ignored: npt.NDArray[np.bool_],
    seed: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """One random view of a sample, of the same size; the inputs are left as they are.

    Args:
        frame: uint8 RGB (H, W, 3).
        regions: uint8 (H, W), semantic channels.
        boxes: float32 (N, 4), xyxy in pixels.
        ignored: bool (N,).
        seed: Decides the view alone.

    Returns:
        Frame, regions (255 outside the original), boxes clipped to the view, and which of them are to be ignored.
    """
    height, width = regions.shape
    rng = np.random.default_rng([seed, 1])
    if rng.random() < 0.5:
        frame, regions = frame[:, ::-1], regions[:, ::-1]
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    if rng.random() >= MOVED:
        return frame, regions, boxes, ignored
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    # What does not fit is cut at random when zoomed in, and the picture placed at random when zoomed out.
    shift_x = float(rng.uniform(*sorted((0.0, width * (1 - scale)))))
    shift_y = float(rng.uniform(*sorted((0.0, height * (1 - scale)))))
    # OpenCV's pixel centres lie on whole numbers, boxes are measured from the corner: half a pixel between them.
    half = 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, shift_x + half], [0, scale, shift_y + half]], dtype=np.float64)
    size = (width, height)
    moved = cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114))
    seen = cv2.warpAffine(regions, matrix, size, flags=cv2.INTER_NEAREST, borderValue=IGNORE)
    placed = boxes * np.float32(scale) + np.array([shift_x, shift_y] * 2, np.float32)
    clipped = placed.copy()
    clipped[:, 0::2] = clipped[:, 0::2].clip(0, width)
    clipped[:, 1::2] = clipped[:, 1::2].clip(0, height)
    share = _areas(clipped) / np.maximum(_areas(placed), 1e-6)
    return moved, seen, clipped, ignored | (share < KEPT)


def _areas(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    areas: npt.NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas
