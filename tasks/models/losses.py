"""What the embedded network is trained towards: target maps drawn from boxes, and the losses.

Heat maps and side distances as in TTFNet (Liu et al. 2020, sections 3.2 to 3.4): every cell under a Gaussian around an
object's centre, not the centre alone, learns its box.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from tasks.models.network import STRIDE, Heads

SPREAD: Final = 0.54
"""Share of a box, from the centre to each side, that its Gaussian covers within three sigma (TTFNet's alpha)."""

WEIGHTS: Final = {"heat": 1.0, "sides": 5.0, "semantic": 1.0, "label": 0.5}
"""Weights of the losses; of the order that makes their gradients alike in the first epochs."""

IGNORE: Final = 255
"""Semantic channel of pixels that count for nothing, and label of frames without one."""


@dataclass(frozen=True)
class BoxTargets:
    """Targets of one frame or, stacked, of a batch; h, w = H / 4, W / 4.

    Attributes:
        heat: float32 (..., classes, h, w), 1 at centres, falling off as Gaussians.
        boxes: float32 (..., 4, h, w), the xyxy box in pixels of the object that owns the cell.
        weights: float32 (..., h, w), how much the cell's box counts; 0 outside objects.
        counts: float32 (..., h, w), 0 where heat is not judged: inside boxes to ignore, unless an object is there.
    """

    heat: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    counts: npt.NDArray[np.float32]


def draw_targets(
    boxes: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
    ignored: npt.NDArray[np.bool_],
    *,
    n_classes: int,
    height_px: int,
    width_px: int,
) -> BoxTargets:
    """Target maps of one frame.

    Args:
        boxes: (N, 4) xyxy in pixels.
        classes: (N,) channel of each box.
        ignored: (N,) boxes that are neither right nor wrong.
        n_classes: Channels of the heat map.
        height_px: Of the frame, a multiple of 4.
        width_px: Likewise.
    """
    rows, columns = height_px // STRIDE, width_px // STRIDE
    heat = np.zeros((n_classes, rows, columns), np.float32)
    target = np.zeros((4, rows, columns), np.float32)
    weights = np.zeros((rows, columns), np.float32)
    counts = np.ones((rows, columns), np.float32)
    for x0, y0, x1, y1 in boxes[ignored] / STRIDE:
        counts[max(int(y0), 0) : int(np.ceil(y1)), max(int(x0), 0) : int(np.ceil(x1))] = 0
    ys, xs = np.arange(rows, dtype=np.float32), np.arange(columns, dtype=np.float32)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for index in np.argsort(-areas, kind="stable"):  # small objects last: they own the cells they share
        if ignored[index]:
            continue
        x0, y0, x1, y1 = boxes[index] / STRIDE
        cx = min(max(int((x0 + x1) / 2), 0), columns - 1)
        cy = min(max(int((y0 + y1) / 2), 0), rows - 1)
        reach_x, reach_y = int((x1 - x0) / 2 * SPREAD), int((y1 - y0) / 2 * SPREAD)
        sigma_x, sigma_y = (2 * reach_x + 1) / 6, (2 * reach_y + 1) / 6
        left, right = max(cx - reach_x, 0), min(cx + reach_x + 1, columns)
        top, bottom = max(cy - reach_y, 0), min(cy + reach_y + 1, rows)
        across = np.exp(-((xs[left:right] - cx) ** 2) / (2 * sigma_x**2))
        down = np.exp(-((ys[top:bottom] - cy) ** 2) / (2 * sigma_y**2))
        bump = np.outer(down, across).astype(np.float32)
        area = np.s_[top:bottom, left:right]
        np.maximum(heat[classes[index]][area], bump, out=heat[classes[index]][area])
        target[:, top:bottom, left:right] = boxes[index][:, None, None]
        # Large objects must not outweigh small ones by their number of cells alone (TTFNet, equation 6).
        weights[area] = bump / bump.sum() * np.log(max(areas[index], 2.0))
        counts[area] = 1
    return BoxTargets(heat, target, weights, counts)


def heat_loss(logits: torch.Tensor, heat: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Focal loss on Gaussian heat maps (Law and Deng 2018, equation 1; alpha 2, beta 4), per object."""
    logits = logits.float()
    probability = logits.sigmoid()
    peak = heat.eq(1.0)
    found = functional.logsigmoid(logits) * (1 - probability) ** 2
    absent = functional.logsigmoid(-logits) * probability**2 * (1 - heat) ** 4
    loss = torch.where(peak, found, absent) * counts.unsqueeze(1)
    return -loss.sum() / peak.sum().clamp(min=1)


def sides_loss(sides: torch.Tensor, boxes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Generalised IoU loss (Rezatofighi et al. 2019) of the boxes at weighted cells."""
    batch, row, column = weights.nonzero(as_tuple=True)
    if batch.numel() == 0:
        return sides.sum() * 0
    left, top, right, bottom = sides.permute(0, 2, 3, 1)[batch, row, column].unbind(1)
    x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
    x0, y0, x1, y1 = x - left, y - top, x + right, y + bottom
    u0, v0, u1, v1 = boxes.permute(0, 2, 3, 1)[batch, row, column].unbind(1)
    shared = (torch.minimum(x1, u1) - torch.maximum(x0, u0)).clamp(min=0) * (
        torch.minimum(y1, v1) - torch.maximum(y0, v0)
    ).clamp(min=0)
    union = (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - shared
    hull = (torch.maximum(x1, u1) - torch.minimum(x0, u0)) * (torch.maximum(y1, v1) - torch.minimum(y0, v0))
    giou = shared / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
    weight = weights[batch, row, column]
    return ((1 - giou) * weight).sum() / weight.sum()


def semantic_loss(logits: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
    """Cross entropy at every second row and column; `channels` is (B, H, W), 255 ignored.

    The logits are upsampled to half the resolution, which costs a fifth of the whole and loses nothing measurable. A
    half-resolution cell's centre lies between pixels: even samples are judged at the pixel before it and odd ones at
    the pixel after, so that no border is learnt displaced.
    """
    if logits.shape[1] == 0 or bool((channels == IGNORE).all()):
        return logits.sum() * 0
    half = functional.interpolate(logits, scale_factor=STRIDE / 2, mode="bilinear", align_corners=False)
    judged = torch.stack([item[place % 2 :: 2, place % 2 :: 2] for place, item in enumerate(channels)])
    return functional.cross_entropy(half, judged, ignore_index=IGNORE)


def label_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the frame label; 255 for frames without one."""
    if logits.shape[1] == 0 or bool((labels == IGNORE).all()):
        return logits.sum() * 0
    return functional.cross_entropy(logits, labels, ignore_index=IGNORE)


def losses(
    heads: Heads,
    *,
    heat: torch.Tensor,
    boxes: torch.Tensor,
    weights: torch.Tensor,
    counts: torch.Tensor,
    semantic: torch.Tensor,
    labels: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Each loss of a batch, weighted, by name; their sum is what training lowers."""
    parts = {
        "heat": heat_loss(heads.heat, heat, counts) if heads.heat.shape[1] else heads.heat.sum() * 0,
        "sides": sides_loss(heads.sides, boxes, weights),
        "semantic": semantic_loss(heads.semantic, semantic),
        "label": label_loss(heads.label, labels),
    }
    return {name: WEIGHTS[name] * part for name, part in parts.items()}
