"""A robustness benchmark as it is commonly written: for each cell everything anew, a frame at a time.

A data set whose items are read and corrupted in two loader workers by imagecorruptions (mended so that it runs), the
model loaded for each cell, one image a call, COCOeval with its defaults.

    python -m benchmarks.field_loop ANNOTATIONS IMAGES MODEL FOLDER CELLS DEVICE

where MODEL is a model of params and CELLS a list of [corruption, severity], both as JSON, and FOLDER what the model's
paths start from; prints what `run` returns as JSON.
"""

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from tasks import models
from tasks.class_map import resolve
from tasks.corruptions import reference
from tasks.models.outputs import Output
from tasks.params import Model


class Corrupted(Dataset[tuple[int, Any]]):
    """The images of an annotation file, corrupted as they are read."""

    def __init__(self, annotations: dict[str, Any], images: Path, name: str, severity: int) -> None:
        self._entries = annotations["images"]
        self._images = images
        self._name, self._severity = name, severity

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, place: int) -> tuple[int, Any]:
        from PIL import Image

        entry = self._entries[place]
        with Image.open(self._images / entry["file_name"]) as picture:
            pixels = np.array(picture.convert("RGB"))
        if self._severity:
            pixels = reference.run(self._name, pixels, severity=self._severity, seed=entry["id"] % 2**31)
        return entry["id"], pixels


def run(
    annotations: Path, images: Path, model: Model, folder: Path, cells: list[tuple[str, int]], *, device: str = "cpu"
) -> list[dict[str, Any]]:
    """AP and seconds of each cell.

    Args:
        annotations: COCO's file.
        images: its images.
        model: as in params; loaded again for each cell, with all processors.
        folder: what the model's paths start from.
        cells: (corruption, severity); severity 0 is clean.
        device: where the model runs.
    """
    reference.load()  # as an import at the top of the script: else each loader worker would, in each cell
    found = []
    for name, severity in cells:
        start = perf_counter()
        truth = read_truth(annotations)
        names = {category["id"]: category["name"] for category in truth.dataset["categories"]}
        category_of = resolve(model, models.describe(model, folder=folder)["object"], names)
        detector = models.load(model, folder=folder, device=device)
        loader = DataLoader(
            Corrupted(truth.dataset, images, name, severity),
            batch_size=1,
            num_workers=2,
            collate_fn=lambda batch: batch,
        )
        rows = []
        for ((key, pixels),) in loader:
            (output,) = detector.predict([pixels])
            rows += results(key, output, category_of)
        ap = average_precision(truth, rows)
        found.append({"name": name, "severity": severity, "ap": ap, "seconds": perf_counter() - start})
    return found


def read_truth(annotations: Path) -> Any:
    """COCO's own reader of a file of annotations, quiet."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(annotations))


def results(image_id: int, output: Output, category_of: Mapping[int, int | None]) -> list[dict[str, Any]]:
    """A frame's boxes as COCO results, those of classes that the data set lacks left out."""
    rows = []
    for box, score, kind in zip(output.boxes.tolist(), output.scores, output.class_ids, strict=True):
        if (known := category_of[int(kind)]) is not None:
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            rows.append({"image_id": image_id, "category_id": known, "bbox": xywh, "score": float(score)})
    return rows


def average_precision(truth: Any, rows: list[dict[str, Any]]) -> float:
    """AP by COCOeval with its defaults; 0 without a box."""
    from pycocotools.cocoeval import COCOeval

    if not rows:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


if __name__ == "__main__":
    annotations, images, model, folder, cells, device = sys.argv[1:]
    asked = [(name, severity) for name, severity in json.loads(cells)]
    given = Model.model_validate_json(model)
    print(json.dumps(run(Path(annotations), Path(images), given, Path(folder), asked, device=device)))
