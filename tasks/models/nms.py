"""Non-maximum suppression: within classes, across them, or by lowering scores."""

import contextlib
import importlib.util
from pathlib import Path

import numpy as np
import torch

from tasks.params import Model


def suppress(
    boxes: torch.Tensor, scores: torch.Tensor, class_ids: torch.Tensor, *, model: Model
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the boxes that survive as the model's params say, by descending score, and their scores.

    `class_wise` and `agnostic` drop what overlaps a better box by more than `nms_iou`; `soft` lowers scores instead and
    drops what falls to `score_threshold` or below.

    Args:
        boxes: (N, 4) xyxy, any unit.
        scores: (N,).
        class_ids: (N,), integer.
        model: Its `nms`, `nms_iou`, `nms_sigma` and `score_threshold`.
    """
    if model.nms == "soft":
        return soft_nms(boxes, scores, class_ids, sigma=model.nms_sigma, score_threshold=model.score_threshold)
    groups = torch.zeros_like(class_ids) if model.nms == "agnostic" else class_ids
    kept = class_wise_nms(boxes, scores, groups, iou_threshold=model.nms_iou)
    return kept, scores[kept]


def soft_nms(
    boxes: torch.Tensor, scores: torch.Tensor, class_ids: torch.Tensor, *, sigma: float, score_threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft suppression within each class (Bodla et al. 2017, "Soft-NMS", the Gaussian form).

    From the best score on, each box that is taken multiplies the scores of those that are left of its class by
    exp(-IoU^2 / sigma). Ties go to the earlier box.

    Returns:
        Indices in the order taken, which is that of descending new scores, and these scores, float32.
    """
    corners = boxes.detach().cpu().double()
    left = scores.detach().cpu().double().clone()
    classes = class_ids.detach().cpu()
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    taken: list[int] = []
    found: list[float] = []
    for _ in range(len(left)):
        best = int(left.argmax())
        score = float(left[best])
        if score <= score_threshold:
            break
        taken.append(best)
        found.append(score)
        low = torch.maximum(corners[:, :2], corners[best, :2])
        high = torch.minimum(corners[:, 2:], corners[best, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        iou = shared / (areas + areas[best] - shared).clamp(min=1e-12)
        left *= torch.where(classes == classes[best], torch.exp(-(iou**2) / sigma), 1.0)
        left[best] = -1.0
    return (
        torch.tensor(taken, dtype=torch.int64, device=boxes.device),
        torch.tensor(found, dtype=torch.float32, device=boxes.device),
    )


def class_wise_nms(
    boxes: torch.Tensor, scores: torch.Tensor, class_ids: torch.Tensor, *, iou_threshold: float
) -> torch.Tensor:
    """Indices of the boxes that survive greedy suppression within each class, by descending score.

    A box goes when its IoU with a better box of its class exceeds the threshold; ties keep the earlier box.

    Classes are moved apart, each into a strip of its own, and suppressed in one call. Torchvision's `batched_nms` does
    the same in float32 with strips as wide as the largest coordinate: boxes that reach below 0, as raw detections do,
    then meet the neighbouring class, and large ids cost precision. Here strips span the whole extent, in float64.

    Args:
        boxes: (N, 4) xyxy, any unit.
        scores: (N,).
        class_ids: (N,), integer.
        iou_threshold: 0..1.
    """
    if boxes.numel() == 0:
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    # By NumPy: after a network's run the first call of each of torch's functions takes some 40 microseconds.
    exact = boxes.cpu().numpy().astype(np.float64)
    low, high = exact.min(), exact.max()
    strip = class_ids.cpu().numpy().astype(np.float64) * (high - low + 1)
    apart = torch.from_numpy(exact - low + strip[:, None]).to(boxes.device)
    sure = torch.from_numpy(scores.cpu().numpy().astype(np.float64)).to(boxes.device)
    _load_kernels()
    kept: torch.Tensor = torch.ops.torchvision.nms(apart, sure, iou_threshold)
    return kept


def _load_kernels() -> None:
    """Make torchvision's operators known to torch: from its library alone, for importing all of it takes some 5 s of
    CPU time in every worker; by importing it where the library is not found or does not load.
    """
    if hasattr(torch.ops.torchvision, "nms"):
        return
    found = importlib.util.find_spec("torchvision")
    if found is not None and found.origin is not None:
        for library in sorted(Path(found.origin).parent.glob("_C*.so")):
            with contextlib.suppress(OSError):
                torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
    if not hasattr(torch.ops.torchvision, "nms"):
        import torchvision  # noqa: F401  # registers its operators
