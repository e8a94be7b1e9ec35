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
_ABSTAINING: Final = ("coverage", "selective_accuracy")

_POLICY: Final = ("act_precision", "act_recall", "observe_precision", "observe_recall")
EVENTS: Final = (
    *("missed_events", "time_to_detect_frames", "time_to_detect_s", "false_alarms_per_1000_frames"),
    *("false_alarms_per_minute", "switches_per_200_frames", "jitter"),
)
"""Of deployed tracking; `alarms` defines them."""

ORACLE_ASSOCIATION: Final = "hota_oracle_association"
ORACLE_DETECTION: Final = "hota_oracle_detection"

FRAMES_PROCESSED: Final = "frames_processed"
REALTIME: Final = {metric: f"{metric}_realtime" for metric in ("hota", "deta", "assa")}
"""Of tracking that has to keep up with its clips, beside the share of the frames that are not skipped; in a table of
their own (`realtime`), for they follow from the latency."""

REALTIME_MEAN: Final = "mpc_realtime"
"""The mean of the first over corruptions, as mPC is that of HOTA."""

DIAGNOSTICS: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": ("ece", "ece_scaled", "aurc", *_ABSTAINING),
    "detection": (*_TIDE, *_OPERATING, *_POLICY, "d_ece", "d_ece_scaled"),
    "instance": tuple(f"mask_{metric}" for metric in (*_TIDE, *_OPERATING, "d_ece", "d_ece_scaled", "merged", "split")),
    "semantic": ("boundary_f1", "merged", "split"),
    "tracking": (*EVENTS, ORACLE_ASSOCIATION, ORACLE_DETECTION),
}
"""What explains the metrics, of all data alone.

`tide_*` is the AP50 that one kind of error costs, `operating_*` is at the threshold that is best on clean frames, `ece`
and `d_ece` are calibration errors, `*_scaled` the same after temperature scaling, `aurc` is the area under the
risk-coverage curve, `coverage` the share that a classifier answers, `selective_accuracy` how often those are right;
`act_*` and `observe_*` are at the thresholds of the policy, EVENTS of its alarms; `hota_oracle_*` are HOTA with perfect
association or perfect detection; `boundary_f1` is the F-score of outlines, `merged` and `split` are
shares of objects.
"""

POOLED_ONLY: Final = frozenset({"ece", "ece_scaled", "aurc", ORACLE_ASSOCIATION, ORACLE_DETECTION})
"""Metrics without rows of single classes: calibration given the true class has no meaning, trackers see no class."""

WITHOUT_INTERVAL: Final = frozenset({"ece", "ece_scaled", "d_ece", "d_ece_scaled", "mask_d_ece", "mask_d_ece_scaled"})
"""Calibration errors are means of absolute values: resampled they only grow, and an interval would miss the truth."""

LOWER_IS_BETTER: Final = frozenset(
    {"id_switches", "fragmentations", *(metric for found in DIAGNOSTICS.values() for metric in found)}
    - {f"{prefix}{metric}" for prefix in ("", "mask_") for metric in _OPERATING}
    - {*_ABSTAINING, *_POLICY}
    - {ORACLE_ASSOCIATION, ORACLE_DETECTION, "boundary_f1"}
)
"""Metrics of which a rise is a loss: what a gate calls a drop is their rise."""

MEANS_OVER_CLASSES: Final = frozenset(
    {
        "macro_f1",
        "miou",
        "dice",
        "boundary_f1",
        *(f"{prefix}{metric}" for prefix in ("", "mask_") for metric in ("map", "ap50", "ap75", "ar100", *_TIDE)),
    }
)
"""Metrics whose class `all` is the mean over the classes; of the others it pools them."""

OF_SLICES: Final[Mapping[str, tuple[str, ...]]] = {"detection": _POLICY[:2]}
"""What slices have beside the metrics, of all classes together."""

NOT_NEGATIVE: Final = frozenset(EVENTS) - {"missed_events"}
"""Metrics that may leave 0..1 at its upper end."""

UNBOUNDED: Final = frozenset({"mota", "id_switches", "fragmentations", *_TIDE, *(f"mask_{metric}" for metric in _TIDE)})
"""Metrics that may leave 0..1."""

THRESHOLD: Final = "operating_threshold"
"""The score at which a detector's F1 at IoU 0.5 is best on clean frames: what the examples and pictures use."""

POLICY_THRESHOLDS: Final = ("act_threshold", "observe_threshold")
"""By class, the scores from which on boxes are acted on or observed, in the order of `policy.LEVELS`."""

MIX: Final = ("mix_act_threshold", "mix_observe_threshold", "mix_precision", "mix_recall")
"""With another mix of classes: those thresholds, and what the data's own give at `act`."""

TEMPERATURE: Final = "temperature"
"""What divides the logarithms of a model's confidences so that they fit clean validation frames best."""

ABSTAIN_BELOW: Final = "abstain_below"
"""The confidence below which a classifier says nothing: it is then right as often as `metrics.answer_accuracy` asks."""

SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": (TEMPERATURE, ABSTAIN_BELOW),
    "detection": (THRESHOLD, TEMPERATURE),
    "instance": (THRESHOLD, TEMPERATURE),
}
"""What is chosen on clean frames and applied unchanged to every cell: rows of the clean cell alone."""

DIGITS: Final = 12
"""Scores are rounded to this many decimals: sums may come in another order on another machine, digests should not."""

assert all(metrics[0] == tables.HEADLINE[task] for task, metrics in METRICS.items())
