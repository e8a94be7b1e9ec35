"""Class-wise non-maximum suppression."""

import contextlib
import importlib.util
from pathlib import Path

import torch


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
    exact = boxes.double()
    low, high = exact.min(), exact.max()
    strip = (class_ids.double() * (high - low + 1)).unsqueeze(1)
    _load_kernels()
    kept: torch.Tensor = torch.ops.torchvision.nms(exact - low + strip, scores.double(), iou_threshold)
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
