"""What tasks, metrics and corruptions are called, and what they are, wherever people read of them."""

import re
from collections.abc import Mapping
from typing import Final

TASK_NAMES: Final[Mapping[str, str]] = {
    "classification": "Classification",
    "detection": "Detection",
    "instance": "Instance segmentation",
    "semantic": "Semantic segmentation",
    "tracking": "Tracking",
}

METRIC_NAMES: Final[Mapping[str, str]] = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "top5": "top-5 accuracy",
    "ece": "calibration error (ECE)",
    "ece_scaled": "ECE after scaling",
    "aurc": "risk over coverage (AURC)",
    "selective_accuracy": "accuracy where it answers",
    "tide_cls": "TIDE: class wrong",
    "tide_loc": "TIDE: place wrong",
    "tide_both": "TIDE: class and place wrong",
    "tide_dupe": "TIDE: found twice",
    "tide_bkg": "TIDE: nothing there",
    "tide_miss": "TIDE: missed",
    "operating_precision": "precision at the threshold",
    "operating_recall": "recall at the threshold",
    "operating_f1": "F1 at the threshold",
    "act_precision": "precision to act on",
    "act_recall": "recall to act on",
    "observe_precision": "precision to observe",
    "observe_recall": "recall to observe",
    "d_ece": "calibration error (D-ECE)",
    "d_ece_scaled": "D-ECE after scaling",
    "boundary_f1": "boundary F1",
    "merged": "objects merged",
    "split": "objects split",
    "id_switches": "ID switches",
    "missed_events": "missed events",
    "time_to_detect_frames": "frames to detect",
    "time_to_detect_s": "seconds to detect",
    "false_alarms_per_1000_frames": "false alarms per 1000 frames",
    "false_alarms_per_minute": "false alarms per minute",
    "switches_per_200_frames": "ID switches per 200 frames",
    "hota_oracle_association": "HOTA, association perfect",
    "hota_oracle_detection": "HOTA, detection perfect",
    "map": "mAP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar100": "AR100",
    "mask_map": "mask mAP",
    "mask_ap50": "mask AP50",
    "mask_ap75": "mask AP75",
    "mask_ar100": "mask AR100",
    "miou": "mIoU",
    "dice": "Dice",
    "pixel_accuracy": "pixel accuracy",
    "hota": "HOTA",
    "deta": "DetA",
    "assa": "AssA",
    "hota_realtime": "real-time HOTA",
    "deta_realtime": "real-time DetA",
    "assa_realtime": "real-time AssA",
    "mpc_realtime": "real-time mPC",
    "frames_processed": "frames processed",
    "loca": "LocA",
    "mota": "MOTA",
    "motp": "MOTP",
    "idf1": "IDF1",
    "latency_p50_ms": "p50 latency",
    "latency_p95_ms": "p95 latency",
    "latency_p99_ms": "p99 latency",
    "latency_max_ms": "slowest frame",
    "frames_per_s": "throughput",
    "peak_memory_mb": "memory added",
    "process_memory_mb": "memory of the process",
    "peak_device_memory_mb": "device memory",
    "mpc": "mPC",
    "rpc": "rPC",
    "mpc_15": "mPC (benchmark of 15)",
    "rpc_15": "rPC (benchmark of 15)",
}

DEFINITIONS: Final[Mapping[str, str]] = {
    "accuracy": "share of frames whose most probable label is the true one (top-1)",
    "map": "COCO AP averaged over box IoU 0.50 to 0.95 in steps of 0.05 and over the classes present in truth",
    "mask_map": "COCO AP averaged over mask IoU 0.50 to 0.95 in steps of 0.05 and over the classes present in truth",
    "miou": "intersection over union of label maps, mean over the classes present in truth, ignored pixels left out",
    "hota": "higher order tracking accuracy (Luiten et al. 2021), 19 localisation thresholds, all classes as one",
}

_SPELT: Final[Mapping[str, str]] = {"jpeg": "JPEG", "h264": "H.264", "h265": "H.265", "av1": "AV1", "iso": "ISO"}


def metric(name: str) -> str:
    """A metric's id as people write it.

    Examples:
        >>> metric("id_switches"), metric("mask_tide_miss"), metric("coverage")
        ('ID switches', 'mask TIDE: missed', 'coverage')
    """
    if name.startswith("mask_") and name not in METRIC_NAMES:
        return f"mask {metric(name.removeprefix('mask_'))}"
    return METRIC_NAMES.get(name, name)


def corruption(name: str) -> str:
    """A corruption's id with spaces, and codecs as they are written.

    Examples:
        >>> corruption("low_light"), corruption("h264_bitrate"), corruption("jpeg_compression")
        ('low light', 'H.264 bitrate', 'JPEG compression')
    """
    return re.sub(r"\b(jpeg|h264|h265|av1|iso)\b", lambda found: _SPELT[found[0]], name.replace("_", " "))


def cell(name: str, severity: int) -> str:
    """A cell, by its corruption's id and severity.

    Examples:
        >>> cell("low_light", 3), cell("clean", 0)
        ('low light 3', 'clean')
    """
    return f"{corruption(name)} {severity}" if severity else "clean"
