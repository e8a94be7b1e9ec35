"""Whether a model falls as far under these corruptions as under imagecorruptions: AP of YOLOX-nano on photographs.

    STORMGLASS_REAL_DATA=FOLDER python -m benchmarks.corruption_effect [--quick]

prints a table, and as its last line all figures as JSON; the exit status is 1 when a bar is missed. The figures
also go to benchmarks/corruption_effect.csv, and from there to benchmarks/corruption_effect.md: each run replaces the
rows of its own size. The folder holds coco/images, coco/instances.json and models/yolox_nano.onnx.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import records
from tasks import models
from tasks.class_map import resolve
from tasks.corruptions import CORRUPTIONS, corrupt, reference
from tasks.params import Model

Pixels = NDArray[np.uint8]

Samples = dict[tuple[str, int], tuple[list[float], list[float]]]
"""AP under the reference and under ours, a value for each seed, by name and severity."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        name: `full` or `quick`.
        severities: Of each corruption.
        seeds: Runs of a random corruption, on each side.
        glass_seeds: The same of glass_blur, which takes seconds an image in the reference; 0 leaves it out.
        glass_photographs: The first of them, for glass_blur.
    """

    name: str
    severities: tuple[int, ...]
    seeds: int
    glass_seeds: int
    glass_photographs: int


FULL: Final = Size("full", (1, 3, 5), seeds=5, glass_seeds=3, glass_photographs=8)
QUICK: Final = Size("quick", (3,), seeds=3, glass_seeds=0, glass_photographs=0)

FLOOR: Final = 0.01
"""AP. What a run without any randomness may differ: rounding of codes alone moves a box in or out."""

BARS: Final[dict[str, records.Bar]] = {
    "cells_outside": ("at most", 0.0),
    "mean_difference_errors": ("at most", 3.0),
}

COLUMNS: Final = (
    *("size", "name", "severity", "photographs", "seeds"),
    *("reference_ap", "ours_ap", "difference", "standard_error", "allowed", "holds"),
)

NOTES: Final = f"""\
- AP is COCO's (IoU 0.50 to 0.95) of YOLOX-nano, scores above 0.01, by pycocotools; both sides see the same photographs.
- A random corruption runs with several seeds on each side. A cell holds where the two means differ by at most
  `allowed`: three standard errors of their difference, and {FLOOR:g} for what rounding does. The spread of seeds is
  that of both sides and all severities of the corruption, or of all random corruptions, if that is more.
- glass_blur takes seconds an image in the reference: fewer photographs and seeds.
- `mean_difference` is over all cells, signs kept: what a summary over corruptions would move. It may be three times its
  standard error.
"""


class Photographs:
    """Photographs with their boxes, and the detector that is scored on them."""

    def __init__(self, folder: Path) -> None:
        from PIL import Image
        from pycocotools.coco import COCO

        with contextlib.redirect_stdout(io.StringIO()):
            self.truth = COCO(str(folder / "coco" / "instances.json"))
        self.frames: dict[int, Pixels] = {}
        for image in sorted(self.truth.dataset["images"], key=lambda image: image["id"]):
            with Image.open(folder / "coco" / "images" / image["file_name"]) as picture:
                self.frames[image["id"]] = np.array(picture.convert("RGB"))
        declared = {"size": [416, 416], "resize": "letterbox_top_left", "channels": "bgr"}
        model = Model.model_validate(
            {"adapter": "onnx", "weights": "models/yolox_nano.onnx", "decoder": "yolox", "class_map": "coco80"}
            | {"input": declared, "score_threshold": 0.01}
        )
        names = {category["id"]: category["name"] for category in self.truth.dataset["categories"]}
        self.category = resolve(model, models.describe(model, folder=folder)["object"], names)
        self.detector = models.load(model, folder=folder, device="cpu", threads=os.cpu_count())

    def average_precision(self, change: Callable[[int, Pixels], Pixels], photographs: int) -> float:
        """AP of the first so many photographs, each changed first; `change` is given a photograph's id and pixels."""
        from pycocotools.cocoeval import COCOeval

        chosen = list(self.frames)[:photographs]
        rows = []
        for key in chosen:
            (output,) = self.detector.predict([change(key, self.frames[key])])
            for box, score, kind in zip(output.boxes.tolist(), output.scores, output.class_ids, strict=True):
                xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                category = self.category[int(kind)]
                rows.append({"image_id": key, "category_id": category, "bbox": xywh, "score": float(score)})
        if not rows:
            return 0.0
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self.truth, self.truth.loadRes(rows), "bbox")
            evaluation.params.imgIds = chosen
            evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][..., 0, -1]
        return float(precision[precision > -1].mean())


def measure(photographs: Photographs, size: Size) -> Samples:
    """AP under the 19 corruptions, at each severity with each seed."""
    found: Samples = {}
    for name, corruption in CORRUPTIONS.items():
        if corruption.benchmark is None:
            continue
        seeds = 1 if corruption.temporal == "constant" else size.seeds
        count = len(photographs.frames)
        if name == "glass_blur":
            seeds, count = size.glass_seeds, size.glass_photographs
        for severity in size.severities if seeds else ():
            theirs, ours = (
                [photographs.average_precision(side(name, severity, seed), count) for seed in range(seeds)]
                for side in (_theirs, _ours)
            )
            found[name, severity] = theirs, ours
            print(f"{name:<18} {severity}  theirs {np.mean(theirs):.4f}  ours {np.mean(ours):.4f}", flush=True)
    return found


def _theirs(name: str, severity: int, seed: int) -> Callable[[int, Pixels], Pixels]:
    # 32 bits; keys of photographs are below a million.
    return lambda key, frame: reference.run(name, frame, severity=severity, seed=seed * 1_000_000 + key)


def _ours(name: str, severity: int, seed: int) -> Callable[[int, Pixels], Pixels]:
    return lambda key, frame: corrupt(frame[None], name=name, severity=severity, seed=seed, clips=str(key))[0]


def compared(samples: Samples, size: Size, photographs: int) -> list[dict[str, Any]]:
    """A row for each corruption and severity: do the two means differ by more than seeds do?

    A few seeds tell little of their own spread: it is taken from both sides and all severities of a corruption, or from
    all random corruptions together, if that is more.
    """
    variances = {
        place: [float(np.var(side, ddof=1)) for side in sides if len(side) > 1] for place, sides in samples.items()
    }
    of_all = [variance for several in variances.values() for variance in several]
    found = []
    for (name, severity), (theirs, ours) in samples.items():
        of_name = [variance for place, several in variances.items() if place[0] == name for variance in several]
        spread = max(np.mean(of_name), np.mean(of_all)) if of_name else 0.0
        error = float(np.sqrt(2 * spread / len(ours)))
        difference = float(np.mean(ours) - np.mean(theirs))
        allowed = 3 * error + FLOOR
        found.append(
            {
                "name": name,
                "severity": severity,
                "photographs": size.glass_photographs if name == "glass_blur" else photographs,
                "seeds": len(ours),
                "reference_ap": float(np.mean(theirs)),
                "ours_ap": float(np.mean(ours)),
                "difference": difference,
                "standard_error": error,
                "allowed": allowed,
                "holds": abs(difference) <= allowed,
            }
        )
    return found


def summary(found: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The figures that have bars, and what they are made of."""
    difference = float(np.mean([cell["difference"] for cell in found]))
    # A seed's noise is the same at all severities of ours: within a name errors add up, between names they do not.
    by_name: dict[str, float] = {}
    for cell in found:
        by_name[cell["name"]] = by_name.get(cell["name"], 0.0) + cell["standard_error"]
    error = float(np.sqrt(sum(total**2 for total in by_name.values()))) / len(found)
    return {
        "cells": len(found),
        "cells_outside": float(sum(not cell["holds"] for cell in found)),
        "mean_difference": difference,
        "mean_difference_errors": abs(difference) / error if error else float("inf") if difference else 0.0,
    }


def rows(result: dict[str, Any]) -> list[records.Row]:
    """A run as the rows of corruption_effect.csv."""
    return [
        {"size": result["size"]} | {column: _written(cell[column]) for column in COLUMNS[1:]}
        for cell in result["cells"]
    ]


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def page(table: Sequence[records.Row]) -> str:
    """The rows as a page in Markdown, a section for each size."""
    text = ["# Corruptions: a real model's AP under ours and under imagecorruptions", ""]
    for size, option in (("full", ""), ("quick", " --quick")):
        mine = [row for row in table if row["size"] == size]
        if mine:
            text += [f"## `python -m benchmarks.corruption_effect{option}`", "", *section(mine), ""]
    return "\n".join([*text, NOTES])


def section(table: Sequence[records.Row]) -> list[str]:
    """The rows of one size as a table, and what they come to."""
    cells = [row | {key: float(row[key]) for key in ("difference", "standard_error")} for row in table]
    whole = summary([cell | {"holds": cell["holds"] == "yes"} for cell in cells])
    return [
        f"{whole['cells_outside']:g} of {whole['cells']:g} cells outside; mean difference "
        f"{whole['mean_difference']:+.4f} AP, {whole['mean_difference_errors']:.1f} standard errors.",
        "",
        *records.table(COLUMNS[1:], [[row[column] for column in COLUMNS[1:]] for row in table]),
    ]


def main() -> int:
    """Measure, print, write; 0 when every bar holds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.corruption_effect", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="severity 3, three seeds, without glass_blur")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the CSV file and the page")
    options = parser.parse_args()
    folder = os.environ.get("STORMGLASS_REAL_DATA")
    if not folder:
        print("STORMGLASS_REAL_DATA names no folder of photographs: nothing to measure.", file=sys.stderr)
        return 2
    size = QUICK if options.quick else FULL
    photographs = Photographs(Path(folder))
    clean = photographs.average_precision(lambda _, frame: frame, len(photographs.frames))
    print(f"clean AP {clean:.4f} on {len(photographs.frames)} photographs", flush=True)
    found = compared(measure(photographs, size), size, len(photographs.frames))
    whole = summary(found)
    bars = records.judged(whole, BARS)
    holds = all(bar["holds"] for bar in bars.values())
    result = {"size": size.name, "clean_ap": clean, "whole": whole, "cells": found, "bars": bars, "holds": holds}
    print("\n".join(section(rows(result))))
    records.replace(rows(result), options.out / "corruption_effect.csv", COLUMNS, ["size"], page)
    print(json.dumps(result))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
