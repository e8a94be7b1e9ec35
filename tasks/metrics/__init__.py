"""What is measured: the metrics of each task, the headline first.

A row of one class carries the same id as the row of all: `map` of class car is that class's average precision, `miou`
of class road its intersection over union, `accuracy` of class red its recall, `macro_f1` of it its F1.
"""

from collections.abc import Mapping
from typing import Final

from tasks import tables

METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": ("accuracy", "macro_f1", "top5"),
    "detection": ("map", "ap50", "ap75", "ar100"),
    "instance": ("mask_map", "mask_ap50", "mask_ap75", "mask_ar100"),
    "semantic": ("miou", "dice", "pixel_accuracy"),
    "tracking": ("hota", "deta", "assa", "loca", "mota", "motp", "idf1", "id_switches", "fragmentations"),
}

THRESHOLD: Final = "operating_threshold"
"""The score at which a detector's F1 at IoU 0.5 is best on clean frames: what the examples and pictures use."""

assert all(metrics[0] == tables.HEADLINE[task] for task, metrics in METRICS.items())
