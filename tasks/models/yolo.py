"""The decoders of YOLOv8's and YOLO11's exports, whose boxes are decoded in the network, with masks or without."""

from typing import Final

import torch

from tasks.models.raw import Found, MaskValues, Raw

STRIDES: Final = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
"""Pixels of the input per grid cell, of all sizes of the network: the usual ones, the P2 and the P6."""

COEFFICIENTS: Final = 32
"""Numbers for each mask, which weigh as many prototypes."""

PROTOTYPE_STRIDE: Final = 4
"""Pixels of the input per cell of the prototypes."""


def yolo11(raw: Raw, *, masks: bool = False) -> Found:
    """Boxes before suppression, from (1, 4 + K, cells): centre x, centre y, width, height in pixels, K probabilities.

    As in the library's own prediction, each cell speaks for its best class alone. With `masks` 32 further rows of
    coefficients, and prototypes (1, 32, h / 4, w / 4): an instance's logits are the sum of the prototypes weighed by
    its coefficients, inside its box (Bolya et al. 2019, "YOLACT", section 3).

    Raises:
        InputError: other shapes, or scores that are NaN.
    """
    counts = [sum((raw.height_px // s) * (raw.width_px // s) for s in strides) for strides in STRIDES]
    rows = 4 + raw.classes + (COEFFICIENTS if masks else 0)
    grid = (1, COEFFICIENTS, raw.height_px // PROTOTYPE_STRIDE, raw.width_px // PROTOTYPE_STRIDE)
    cells = [tensor for tensor in raw.tensors.values() if tensor.ndim == 3]
    prototypes = [tensor for tensor in raw.tensors.values() if tensor.ndim == 4]
    fits = len(cells) == 1 and tuple(cells[0].shape[:2]) == (1, rows) and cells[0].shape[2] in counts
    if not fits or [tuple(tensor.shape) for tensor in prototypes] != ([grid] if masks else []):
        with_masks = (
            f", and prototypes of masks of shape {grid}"
            if masks
            else " and no prototypes of masks, which decoder 'yolo11_masks' reads"
        )
        raise raw.unfit(
            "yolo11_masks" if masks else "yolo11",
            f"one output of shape {(1, rows, counts[0])} for {raw.classes} classes and an input of "
            f"{raw.width_px}x{raw.height_px} px{with_masks}",
        )
    scores, class_ids = cells[0][0, 4 : 4 + raw.classes].max(dim=0)
    kept = raw.above(scores)
    centre_x, centre_y, width, height = cells[0][0, :4, kept]
    corners = (centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
    return Found(
        boxes=torch.stack(corners, dim=1),
        scores=scores[kept],
        class_ids=class_ids[kept],
        masks=_masks(cells[0][0, 4 + raw.classes :, kept].T, prototypes[0][0]) if masks else None,
    )


def _masks(coefficients: torch.Tensor, prototypes: torch.Tensor) -> MaskValues:
    def logits(kept: torch.Tensor) -> torch.Tensor:
        weighed: torch.Tensor = coefficients[kept] @ prototypes.flatten(1)
        return weighed.reshape(-1, *prototypes.shape[1:])

    return MaskValues(of=logits, level=0.0, inside_box=True)


def end_to_end(raw: Raw) -> Found:
    """Boxes as they are, from (1, N, 6): x0, y0, x1, y1 in pixels, score, class; what is padded has the score 0.

    As YOLOv10 and exports with suppression inside give them.

    Raises:
        InputError: another shape, or scores that are NaN.
    """
    tensors = list(raw.tensors.values())
    if len(tensors) != 1 or tensors[0].ndim != 3 or len(tensors[0]) != 1 or tensors[0].shape[2] != 6:
        raise raw.unfit("yolo_end_to_end", "one output of shape (1, N, 6)")
    rows = tensors[0][0]
    rows = rows[raw.above(rows[:, 4])]
    return Found(boxes=rows[:, :4], scores=rows[:, 4], class_ids=rows[:, 5].round().long())
