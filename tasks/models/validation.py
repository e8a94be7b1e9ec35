"""How good an embedded model is on the validation split while it trains."""

from typing import Any

import numpy as np
import torch

from tasks.models.losses import IGNORE
from tasks.models.outputs import Output, Predictor
from tasks.models.samples import Samples


def measure(model: Predictor, samples: Samples, classes: dict[str, dict[int, str]]) -> dict[str, float]:
    """COCO mAP, mIoU and label accuracy, each where the data set has that truth; the report's own come from scoring."""
    outputs = model.predict(list(samples.frames))
    figures = {}
    if classes["object"]:
        figures["map"] = _map(outputs, samples, list(classes["object"]))
    if classes["semantic"]:
        figures["miou"] = _miou(outputs, samples, list(classes["semantic"]))
    if classes["label"]:
        figures["accuracy"] = _accuracy(outputs, samples)
    return figures


def _map(outputs: list[Output], samples: Samples, ids: list[int]) -> float:
    from torchmetrics.detection import MeanAveragePrecision

    metric: Any = MeanAveragePrecision(backend="faster_coco_eval")
    predicted = [
        {
            "boxes": torch.from_numpy(output.boxes),
            "scores": torch.from_numpy(output.scores),
            "labels": torch.from_numpy(output.class_ids),
        }
        for output in outputs
    ]
    truth = [
        {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.tensor([ids[channel] for channel in channels], dtype=torch.int64),
            "iscrowd": torch.from_numpy(ignored.astype(np.int64)),
        }
        for boxes, channels, ignored in zip(samples.boxes, samples.channels, samples.ignored, strict=True)
    ]
    metric.update(predicted, truth)
    return max(float(metric.compute()["map"]), 0.0)


def _miou(outputs: list[Output], samples: Samples, ids: list[int]) -> float:
    channel_of = np.zeros(256, np.int64)
    channel_of[ids] = np.arange(len(ids))
    table = np.zeros((len(ids), len(ids)), np.int64)
    for output, truth in zip(outputs, samples.semantic, strict=True):
        assert output.label_map is not None
        counted = truth != IGNORE
        pairs = truth[counted].astype(np.int64) * len(ids) + channel_of[output.label_map[counted]]
        table += np.bincount(pairs, minlength=len(ids) ** 2).reshape(table.shape)
    union = table.sum(0) + table.sum(1) - table.diagonal()
    present = union > 0
    return float((table.diagonal()[present] / union[present]).mean()) if present.any() else 0.0


def _accuracy(outputs: list[Output], samples: Samples) -> float:
    said = np.array([output.probabilities.argmax() for output in outputs if output.probabilities is not None])
    counted = samples.labels != IGNORE
    return float((said[counted] == samples.labels[counted]).mean()) if counted.any() else 0.0
