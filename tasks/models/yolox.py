"""The decoder of YOLOX (Ge et al. 2021, "YOLOX: Exceeding YOLO Series in 2021"), which exports undecoded rows."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError
from tasks.models.raw import broken

STRIDES = (8, 16, 32)
"""Pixels of the input per grid cell, in the order of the rows."""

MOST = 2
"""No probability is higher, however it was rounded."""


def decode(
    output: npt.NDArray[np.float32], *, height_px: int, width_px: int, score_threshold: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Boxes, scores and classes of one frame, before suppression.

    A row is (x, y, w, h, objectness, one probability a class), one row a cell of the grids at strides 8, 16, 32, row by
    row. As in YOLOX's `decode_outputs` and `postprocess`: centre = (xy + cell) * stride, size = exp(wh) * stride,
    score = objectness * probability, both already sigmoids; each row speaks for its best class alone.

    Args:
        output: float32 (rows, 5 + classes).
        height_px: Height of the network's input.
        width_px: Its width.
        score_threshold: Only higher scores are kept.

    Returns:
        Boxes (N, 4) xyxy in pixels of the input, unclipped; scores (N,); class indices (N,).

    Raises:
        InputError: the shape is not YOLOX's for this input size, or a row that may be above the threshold has no score.
    """
    grids = [(height_px // stride, width_px // stride, stride) for stride in STRIDES]
    rows = sum(height * width for height, width, _ in grids)
    if output.ndim != 2 or output.shape[0] != rows or output.shape[1] < 6:
        raise InputError(
            f"the output does not fit decoder 'yolox': expected {rows} rows of at least 6 numbers for an input "
            f"of {width_px}x{height_px} px, got shape {output.shape}; is it another network, or already decoded"
        )
    cells, strides = _cells(tuple(grids))
    objectness, probabilities = output[:, 4], output[:, 5:]
    # Most rows are below the threshold whatever their class is, for a probability is at most 1.
    hopeless = (objectness >= 0) & (objectness * MOST <= score_threshold)
    left = np.flatnonzero(~hopeless)
    class_ids = probabilities[left].argmax(axis=1)
    scores = objectness[left] * probabilities[left, class_ids]
    if np.isnan(scores).any():
        raise broken("NaN in its scores")
    above = scores > score_threshold
    kept = left[above]
    centres = (output[kept, :2] + cells[kept]) * strides[kept]
    half = np.exp(output[kept, 2:4]) * strides[kept] / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    return boxes.astype(np.float32), scores[above].astype(np.float32), class_ids[above].astype(np.int64)


@lru_cache(maxsize=16)
def _cells(grids: tuple[tuple[int, int, int], ...]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Column and row of each cell, (N, 2), and the stride of its grid, (N, 1); `grids`: height, width and stride."""
    places = [np.divmod(np.arange(height * width), width)[::-1] for height, width, _ in grids]
    cells = np.concatenate([np.stack(place, axis=1) for place in places]).astype(np.float32)
    strides = np.repeat([stride for _, _, stride in grids], [height * width for height, width, _ in grids])
    return cells, strides.astype(np.float32)[:, None]
