"""The decoders of SSD's exports: as PyTorch's leave them, and as TensorFlow's detection models do."""

from collections.abc import Mapping
from typing import Final

import torch

from tasks.models.raw import Found, Raw, boxes_and

CANDIDATES: Final = 400
"""Best boxes of each class that suppression looks at, as in the original (Liu et al. 2016) and in torchvision."""

_TF: Final = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


def ssd(raw: Raw) -> Found:
    """Boxes before suppression, from boxes (1, N, 4) and probabilities (1, N, 1 + K), the background first.

    Boxes are x0, y0, x1, y1 as shares of the input. Each box speaks for every class above the threshold, up to the best
    400 of a class. Class ids leave the background out and count from 0.

    Raises:
        InputError: other shapes, or which output is which cannot be told, or scores that are NaN.
    """
    names = boxes_and("scores", {name: tuple(tensor.shape) for name, tensor in raw.tensors.items()})
    boxes, scores = (raw.tensors[name] for name in names) if names else (torch.empty(0), torch.empty(0))
    if names is None or boxes.shape[2] != 4 or scores.shape != (1, boxes.shape[1], 1 + raw.classes):
        raise raw.unfit("ssd", f"boxes (1, N, 4) and scores (1, N, {1 + raw.classes}) of background and classes")
    best, places = scores[0, :, 1:].topk(min(CANDIDATES, scores.shape[1]), dim=0)
    ranks, class_ids = torch.nonzero(raw.above(best), as_tuple=True)  # what is NaN is the best
    size = boxes.new_tensor([raw.width_px, raw.height_px] * 2)
    return Found(boxes=boxes[0, places[ranks, class_ids]] * size, scores=best[ranks, class_ids], class_ids=class_ids)


def tf_detections(raw: Raw) -> Found:
    """Boxes as they are, from detection_boxes (1, N, 4), detection_classes and detection_scores (1, N), num_detections.

    Boxes are y0, x0, y1, x1 as shares of the input; of the N the first `num_detections` count, where that is given.
    What goes by other names, as in TensorFlow Lite's exports, is taken in this order.

    Raises:
        InputError: other shapes, or scores that are NaN.
    """
    given = _by_role(raw.tensors)
    shapes = [tuple(given[name].shape) for name in _TF[:3] if name in given]
    n = shapes[0][1] if shapes and len(shapes[0]) == 3 else 0
    if shapes != [(1, n, 4), (1, n), (1, n)]:
        raise raw.unfit("tf_detections", f"{', '.join(_TF[:3])} of shapes (1, N, 4), (1, N), (1, N)")
    boxes, class_ids, scores = (given[name][0] for name in _TF[:3])
    kept = raw.above(scores)
    if _TF[3] in given:
        kept &= torch.arange(n, device=kept.device) < int(given[_TF[3]].reshape(-1)[0])
    size = boxes.new_tensor([raw.width_px, raw.height_px] * 2)
    return Found(
        boxes=boxes[kept][:, [1, 0, 3, 2]] * size, scores=scores[kept], class_ids=class_ids[kept].round().long()
    )


def _by_role(tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    plain = {name.partition(":")[0]: tensor for name, tensor in tensors.items()}
    return plain if _TF[0] in plain else dict(zip(_TF, tensors.values(), strict=False))
