"""The decoder of DETR (Carion et al. 2020), whose queries each find one object or none."""

import torch

from tasks.models.raw import Found, Raw, boxes_and


def detr(raw: Raw) -> Found:
    """Boxes as they are, from logits (1, N, K + 1), "no object" last, and pred_boxes (1, N, 4).

    Boxes are centre x, centre y, width, height as shares of the input; the score is the best class's softmax.

    Raises:
        InputError: other shapes, or which output is which cannot be told, or scores that are NaN.
    """
    names = boxes_and("logits", {name: tuple(tensor.shape) for name, tensor in raw.tensors.items()})
    boxes, logits = (raw.tensors[name] for name in names) if names else (torch.empty(0), torch.empty(0))
    if names is None or boxes.shape[2] != 4 or logits.shape != (1, boxes.shape[1], raw.classes + 1):
        raise raw.unfit("detr", f"logits (1, N, {raw.classes + 1}) of classes and no object, and pred_boxes (1, N, 4)")
    scores, class_ids = logits[0].softmax(dim=1)[:, :-1].max(dim=1)
    kept = raw.above(scores)
    centres, half = boxes[0, kept, :2], boxes[0, kept, 2:] / 2
    size = boxes.new_tensor([raw.width_px, raw.height_px] * 2)
    return Found(
        boxes=torch.cat([centres - half, centres + half], dim=1) * size, scores=scores[kept], class_ids=class_ids[kept]
    )
