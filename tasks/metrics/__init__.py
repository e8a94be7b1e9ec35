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

_TIDE: Final = ("tide_cls", "tide_loc", "tide_both", "tide_dupe", "tide_bkg", "tide_miss")
_OPERATING: Final = ("operating_precision", "operating_recall", "operating_f1")

DIAGNOSTICS: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": ("ece", "aurc"),
    "detection": (*_TIDE, *_OPERATING, "d_ece"),
    "instance": tuple(f"mask_{metric}" for metric in (*_TIDE, *_OPERATING, "d_ece")),
}
"""What explains the metrics, of all data alone.

`tide_*` is the AP50 that one kind of error costs, `operating_*` is at the threshold that is best on clean frames, `ece`
and `d_ece` are calibration errors, `aurc` is the area under the risk-coverage curve.
"""

POOLED_ONLY: Final = frozenset({"ece", "aurc"})
"""Metrics without rows of single classes: calibration given the true class has no meaning."""

WITHOUT_INTERVAL: Final = frozenset({"ece", "d_ece", "mask_d_ece"})
"""Calibration errors are means of absolute values: resampled they only grow, and an interval would miss the truth."""

LOWER_IS_BETTER: Final = frozenset(
    {"id_switches", "fragmentations", *(metric for found in DIAGNOSTICS.values() for metric in found)}
    - {f"{prefix}{metric}" for prefix in ("", "mask_") for metric in _OPERATING}
)
"""Metrics of which a rise is a loss: what a gate calls a drop is their rise."""

MEANS_OVER_CLASSES: Final = frozenset(
    {
        "macro_f1",
        "miou",
        "dice",
        *(f"{prefix}{metric}" for prefix in ("", "mask_") for metric in ("map", "ap50", "ap75", "ar100", *_TIDE)),
    }
)
"""Metrics whose class `all` is the mean over the classes; of the others it pools them."""

UNBOUNDED: Final = frozenset({"mota", "id_switches", "fragmentations", *_TIDE, *(f"mask_{metric}" for metric in _TIDE)})
"""Metrics that may leave 0..1."""

THRESHOLD: Final = "operating_threshold"
"""The score at which a detector's F1 at IoU 0.5 is best on clean frames: what the examples and pictures use."""

assert all(metrics[0] == tables.HEADLINE[task] for task, metrics in METRICS.items())
