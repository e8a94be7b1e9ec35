"""The tools that scoring is compared with, called on the same data as directly as they can be."""

import contextlib
import io
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from benchmarks.generated import Cell
from tasks.metrics import matching, precision

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and the seconds it takes."""
    start = perf_counter()
    result = work()
    return result, perf_counter() - start


def pycocotools_map(cell: Cell) -> dict[str, Any]:
    """COCOeval's precision and recall by class and threshold, and how long evaluate and accumulate take.

    Timed for what is compared (all areas, 100 detections), then with its defaults (four area ranges, three limits).
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = cell.truth, cell.detections
    objects = zip(truth.frame, truth.kind, truth.boxes, truth.area_px2, truth.crowd, strict=True)
    results = [
        {"image_id": int(image), "category_id": int(kind), "bbox": _xywh(box), "score": float(score)}
        for image, kind, box, score in zip(found.frame, found.kind, found.boxes, found.score, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(cell.n_images)],
            "categories": [{"id": k, "name": str(k)} for k in range(cell.n_classes)],
            "annotations": [
                {
                    "id": i + 1,
                    "image_id": int(image),
                    "category_id": int(kind),
                    "bbox": _xywh(box),
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
                for i, (image, kind, box, area, crowd) in enumerate(objects)
            ],
        }
        coco.createIndex()
        other = coco.loadRes(results)

        def evaluate(only_all: bool) -> COCOeval:
            evaluation = COCOeval(coco, other, "bbox")
            if only_all:
                evaluation.params.areaRng = evaluation.params.areaRng[:1]
                evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
                evaluation.params.maxDets = evaluation.params.maxDets[-1:]
            evaluation.evaluate()
            evaluation.accumulate()
            return evaluation

        evaluation, all_s = timed(lambda: evaluate(True))
        _, four_areas_s = timed(lambda: evaluate(False))
    precision, recall = evaluation.eval["precision"][..., 0, 0], evaluation.eval["recall"][..., 0, 0]
    return {
        "precision": np.where(recall < 0, np.nan, precision.mean(axis=1)).T,  # -1 stands for no truth
        "recall": np.where(recall < 0, np.nan, recall).T,
        "all_s": all_s,
        "four_areas_s": four_areas_s,
    }


def torchmetrics_map(cell: Cell) -> Callable[[], float]:
    """A call that updates and computes torchmetrics' MeanAveragePrecision, its tensors made beforehand."""
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    truth, found = cell.truth, cell.detections
    predictions, targets = [], []
    for image in range(cell.n_images):
        mine, its = found.frame == image, truth.frame == image
        predictions.append(
            {
                "boxes": torch.tensor(found.boxes[mine]),
                "scores": torch.tensor(found.score[mine]),
                "labels": torch.tensor(found.kind[mine]),
            }
        )
        targets.append(
            {
                "boxes": torch.tensor(truth.boxes[its]),
                "labels": torch.tensor(truth.kind[its]),
                "iscrowd": torch.tensor(truth.crowd[its].astype(np.int64)),
                "area": torch.tensor(truth.area_px2[its]),
            }
        )

    def once() -> float:
        # Its own levels are rounded to float32, which moves a recall of exactly 0.2 off its level.
        levels = {"iou_thresholds": matching.THRESHOLDS.tolist(), "rec_thresholds": precision.RECALLS.tolist()}
        metric = MeanAveragePrecision(**levels)
        metric.update(predictions, targets)
        return float(metric.compute()["map"])

    return once


def trackeval(sequences: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """TrackEval's HOTA, CLEAR and Identity by sequence, and combined; each by metric, then field."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = {"PRINT_CONFIG": False}
    metrics = {"hota": HOTA(), "clear": CLEAR(quiet), "identity": Identity(quiet)}
    each = [{name: metric.eval_sequence(data) for name, metric in metrics.items()} for data in sequences]
    together = {
        name: metric.combine_sequences({str(i): found[name] for i, found in enumerate(each)})
        for name, metric in metrics.items()
    }
    return each, together


def _xywh(box: np.ndarray[Any, Any]) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
