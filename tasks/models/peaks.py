"""From heat maps and side distances to boxes."""

from typing import Final

import torch
from torch.nn import functional

from tasks.models.network import STRIDE, Heads

MAX_DETECTIONS: Final = 100
"""Boxes kept a frame, the best by score: COCO's own limit."""

AGREEING_IOU: Final = 0.7
"""Neighbouring cells whose box overlaps a peak's at least so much are taken to mean the same object."""

_AROUND: Final = torch.tensor([[dy, dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])


def decode_boxes(heads: Heads, score_threshold: float) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The best MAX_DETECTIONS peaks of each frame's heat maps, before suppression: boxes, scores, class channels.

    A peak is a cell that no neighbour of its 3x3 surroundings exceeds (Zhou et al. 2019, "Objects as Points"). Its box
    is the mean of those that the surroundings give, weighted by their heat and as far as they agree with its own:
    training makes all of them learn it, and their mean errs less (AP75 rose by 0.036, AP by 0.008).

    Returns:
        For each frame boxes float32 (N, 4) xyxy in pixels, unclipped, scores (N,) and channels (N,) of the heat map.
    """
    heat = heads.heat.sigmoid()
    batch, channels, rows, columns = heat.shape
    if channels == 0:
        none = torch.zeros(0, dtype=torch.int64, device=heat.device)
        return [(heat.new_zeros(0, 4), heat.new_zeros(0), none)] * batch
    peaks = heat == functional.max_pool2d(heat, 3, stride=1, padding=1)
    y, x = torch.meshgrid(
        (torch.arange(rows, device=heat.device) + 0.5) * STRIDE,
        (torch.arange(columns, device=heat.device) + 0.5) * STRIDE,
        indexing="ij",
    )
    found = []
    for index in range(batch):
        places = (peaks[index] & (heat[index] > score_threshold)).flatten().nonzero().squeeze(1)
        scores = heat[index].flatten()[places]
        order = scores.argsort(descending=True, stable=True)[:MAX_DETECTIONS]
        places, scores = places[order], scores[order]
        classes, cells = places // (rows * columns), places % (rows * columns)
        left, top, right, bottom = heads.sides[index]
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)
        row = (cells // columns).unsqueeze(1) + _AROUND[:, 0].to(heat.device)
        column = (cells % columns).unsqueeze(1) + _AROUND[:, 1].to(heat.device)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        row, column = row.clamp(0, rows - 1), column.clamp(0, columns - 1)
        around = boxes[row, column]  # (N, 9, 4), the peak's own in the middle
        agrees = inside & (_iou(around, around[:, 4:5]) > AGREEING_IOU)
        agrees[:, 4] = True
        weights = heat[index][classes.unsqueeze(1), row, column] * agrees
        found.append(((around * weights.unsqueeze(2)).sum(1) / weights.sum(1, keepdim=True), scores, classes))
    return found


def _iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """IoU of boxes (..., 4) with others that broadcast to them."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(-1) for b in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)
