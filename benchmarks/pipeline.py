"""How fast a whole run is beside the loop that the field writes: the same model, images and cells, in one session.

    STORMGLASS_REAL_DATA=FOLDER python -m benchmarks.pipeline [--quick]

prints a table, and as its last line all figures as JSON; the exit status is 1 when a bar is missed. The figures also
go to benchmarks/pipeline.csv, and from there to benchmarks/pipeline.md: each run replaces the rows of its own size. The
folder holds coco/images, coco/instances.json and models/yolox_nano.onnx.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import yaml

from benchmarks import records
from benchmarks.stages import by_stage
from flows import runtime, server
from tasks import params as parameters
from tasks import tables
from tasks.corruptions import CORRUPTIONS
from tasks.data.coco import import_coco
from tasks.inference import planning
from tasks.layout import Layout

MODEL: Final[dict[str, Any]] = {
    "adapter": "onnx",
    "weights": "yolox_nano.onnx",
    "decoder": "yolox",
    "class_map": "coco80",
    "input": {"size": [416, 416], "resize": "letterbox_top_left", "channels": "bgr"},
    "score_threshold": 0.01,
}

SLOW: Final = "glass_blur"
"""Takes the reference seconds an image, so that it decides any mean that it is in."""


@dataclass(frozen=True)
class Size:
    """How much is run: the first so many photographs under the benchmark of 15, at these severities, and clean."""

    name: str
    photographs: int
    severities: tuple[int, ...]


FULL: Final = Size("full", 27, (1, 2, 3, 4, 5))
QUICK: Final = Size("quick", 12, (1, 3, 5))

BARS: Final[dict[str, dict[str, records.Bar]]] = {
    "full": {
        "speedup": ("at least", 12.0),
        "speedup_without_glass_blur": ("at least", 4.0),
        "wall_over_work": ("at most", 1.1),
        "wall_over_cpu": ("at most", 1.1),
        "ap_difference_errors": ("at most", 3.0),
    },
    # Half a minute of a quick run is the start of processes: the ratio of the work alone is what can be asked of it.
    "quick": {
        "work_speedup": ("at least", 12.0),
        "work_speedup_without_glass_blur": ("at least", 4.0),
        "ap_difference_errors": ("at most", 3.0),
    },
}

COLUMNS: Final = ("size", "figure", "value", "bar", "holds")

NOTES: Final = """\
- The loop: per cell the data set built and the model loaded again, one image a call, imagecorruptions (mended) in two
  loader workers, the model on all processors, COCOeval with its defaults; a command of its own, with its start.
- Ours: `stormglass run --until score`, the whole command with its start; frames measured, intervals, slices, error
  kinds and calibration included, which the loop does not have. It runs before the loop and again after it, and the
  figures are the means of both: machines drift by a tenth within the minutes that the loop takes. Prefect's server is
  up beforehand, as it is between the runs of a project (it stays for five minutes, or `PREFECT_API_URL` names one): its
  start is `server_start_s`, apart.
- `speedup` is wall time over wall time. `work_speedup` leaves out what a run of any size pays once: the loop's start,
  and of ours that of the process and a flow (from `stormglass infer` run again, when there is nothing left to do).
- `without_glass_blur` leaves its cells out of both sides: of ours by its parts' share of the summed stage times.
- `wall_over_cpu` is the wall time of the stage `infer` over the processor time that it and its workers took, divided by
  the number of processors: 1 is none that was idle. `wall_over_work` counts `ours_stages_s` alone (decode, corrupt,
  infer and the frames' features), on the wall clocks of workers: what is above 1 is storing, planning, linking.
- `ap_difference_errors` is the mean over cells of our AP minus theirs, in standard errors of that mean over the
  corruptions (seeds differ, so cells do, too).
"""


def run_ours(folder: Path, size: Size) -> dict[str, Any]:
    """Seconds of each command, of an `infer` that has nothing to do, of the stages by corruption, and AP by cell."""
    names: dict[str, list[str]] = {}
    for name in benchmark():
        names.setdefault(CORRUPTIONS[name].family, []).append(name)
    params = {
        "dataset": {"path": "data", "split": None, "validation": None},
        "models": {"yolox-nano": MODEL},
        "baseline": "yolox-nano",
        "corruptions": names,
        "severities": list(size.severities),
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    home = runtime.home(folder)
    spent = {"server": seconds(lambda: server.wait(server.start(home), home))}
    try:
        spent |= by_stage(["run", "--until", "score"], folder)
        spent["again"] = seconds(lambda: by_stage(["infer"], folder))
    finally:
        server.leave(home)
    scores = tables.read("scores", folder / "scores" / "scores.parquet")
    whole = scores[(scores["metric"] == "map") & (scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL)]
    cells = whole[whole["severity"].notna() & whole["baseline"].isna() & (whole["model"] == "yolox-nano")]
    ap = {
        (str(row["corruption"]), int(row["severity"])): float(row["value"]) for row in cells.to_dict(orient="records")
    }
    work, features = work_by_corruption(folder)
    return {"spent": spent, "work": work, "features": features, "ap": ap, "photographs": size.photographs}


def mean_of(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Of two runs the mean seconds; their AP, which is the same.

    Raises:
        RuntimeError: it is not.
    """
    if first["ap"] != second["ap"]:
        raise RuntimeError("Two runs of the same cells gave other AP.")
    means = {
        table: {name: (first[table][name] + second[table][name]) / 2 for name in first[table]}
        for table in ("spent", "work")
    }
    return {**first, **means, "features": (first["features"] + second["features"]) / 2}


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


def work_by_corruption(folder: Path) -> tuple[dict[str, float], float]:
    """Seconds that the stages of all parts took, summed by corruption; and those of them for what frames look like."""
    plan = planning.make(parameters.load(folder / "params.yaml"), Layout(folder), devices=("cpu",))
    found: dict[str, float] = {}
    features = 0.0
    for cell in plan.cells:
        ms = plan.store.timings(cell.part.key).groupby("stage")["ms"].sum()
        found[cell.corruption] = found.get(cell.corruption, 0.0) + float(ms.sum()) / 1e3
        features += float(ms.get("features", 0.0)) / 1e3
    return found, features


def benchmark() -> list[str]:
    """The names of the benchmark's 15."""
    return [name for name, corruption in CORRUPTIONS.items() if corruption.benchmark == "common"]


def run_theirs(
    annotations: Path,
    images: Path,
    folder: Path,
    cells: list[tuple[str, int]],
    *,
    model: str = json.dumps(MODEL),
    device: str = "cpu",
) -> dict[str, Any]:
    """Seconds of the loop, a command of its own, and what it says of each cell.

    Args:
        annotations: COCO's file.
        images: its images.
        folder: what the model's paths start from.
        cells: (corruption, severity); severity 0 is clean.
        model: as in params, as JSON.
        device: where it runs.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on the standard error.
    """
    command = [sys.executable, "-m", "benchmarks.field_loop", str(annotations), str(images)]
    start = perf_counter()
    done = subprocess.run(
        [*command, model, str(folder), json.dumps(cells), device],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {"wall": perf_counter() - start, "cells": json.loads(done.stdout.splitlines()[-1])}


def compared(theirs: dict[str, Any], ours: dict[str, Any], workers: int) -> dict[str, float]:
    """The figures of a run."""
    spent, work = ours["spent"], ours["work"]
    wall = sum(spent[name] for name in ("start", "prepare", "infer", "score"))
    cells, their_wall = theirs["cells"], theirs["wall"]
    without = their_wall - sum(cell["seconds"] for cell in cells if cell["name"] == SLOW)
    done = sum(work.values())
    share = work.get(SLOW, 0.0) / done
    glass = share * spent["infer"]
    once, their_start = spent["again"], their_wall - sum(cell["seconds"] for cell in cells)
    difference = [ours["ap"][cell["name"], cell["severity"]] - cell["ap"] for cell in cells]
    by_name: dict[str, list[float]] = {}
    for cell, value in zip(cells, difference, strict=True):
        by_name.setdefault(cell["name"], []).append(value)
    means = np.array([np.mean(values) for name, values in by_name.items() if name != tables.CLEAN])
    error = float(means.std(ddof=1) / np.sqrt(len(means)))
    return {
        "field_loop_s": their_wall,
        "field_loop_start_s": their_start,
        "ours_s": wall,
        **{f"ours_{name}_s": spent[name] for name in ("start", "prepare", "infer", "score")},
        "server_start_s": spent["server"],
        "ours_infer_with_nothing_to_do_s": spent["again"],
        "ours_stages_s": done,
        "ours_features_s": ours["features"],
        "speedup": their_wall / wall,
        "speedup_without_glass_blur": without / (wall - glass),
        "work_speedup": (their_wall - their_start) / max(wall - once, 1e-9),
        "work_speedup_without_glass_blur": (without - their_start) / max(wall - once - glass, 1e-9),
        "wall_over_work": spent["infer"] / (done / workers),
        "wall_over_cpu": spent["infer"] / (spent["infer cpu"] / workers),
        "clean_ap_difference": abs(difference[0]),
        "mean_ap_difference": float(means.mean()),
        "ap_difference_errors": abs(float(means.mean())) / error if error else 0.0,
        "photographs": float(ours["photographs"]),
        "cells": float(len(cells)),
    }


def measure(real: Path, size: Size) -> dict[str, float]:
    """Both sides on the first photographs of `real`: ours before the loop and after it, of which the mean counts.

    The machine's speed drifts by a tenth within minutes, and the loop takes that long.
    """
    with tempfile.TemporaryDirectory(prefix="stormglass-pipeline-") as scratch:
        folder = Path(scratch)
        document = json.loads((real / "coco" / "instances.json").read_text(encoding="utf-8"))
        kept = sorted(document["images"], key=lambda image: image["id"])[: size.photographs]
        ids = {image["id"] for image in kept}
        document["images"] = kept
        document["annotations"] = [one for one in document["annotations"] if one["image_id"] in ids]
        annotations = folder / "instances.json"
        annotations.write_text(json.dumps(document), encoding="utf-8")
        shutil.copy(real / "models" / "yolox_nano.onnx", folder)
        for name in ("first", "second"):
            import_coco(annotations, real / "coco" / "images", folder / name / "data")
            shutil.copy(real / "models" / "yolox_nano.onnx", folder / name)
        first = run_ours(folder / "first", size)
        cells = [(tables.CLEAN, 0), *((name, severity) for name in benchmark() for severity in size.severities)]
        theirs = run_theirs(annotations, real / "coco" / "images", folder, cells)
        ours = mean_of(first, run_ours(folder / "second", size))
    return compared(theirs, ours, workers=len(os.sched_getaffinity(0)))


def rows(result: dict[str, Any]) -> list[records.Row]:
    """A run as the rows of pipeline.csv."""
    found = []
    for name, value in result["figures"].items():
        bar = result["bars"].get(name, {})
        holds = {True: "yes", False: "no", None: ""}[bar.get("holds")]
        said = {"size": result["size"], "figure": name, "value": records.written(value)}
        found.append({**said, "bar": str(bar.get("bar", "")), "holds": holds})
    return found


def page(table: list[records.Row]) -> str:
    """The rows as a page in Markdown, a section for each size."""
    text = ["# A whole run beside the loop that the field writes", ""]
    for size, option in (("full", ""), ("quick", " --quick")):
        mine = [[row[column] for column in COLUMNS[1:]] for row in table if row["size"] == size]
        if mine:
            text += [f"## `python -m benchmarks.pipeline{option}`", "", *records.table(COLUMNS[1:], mine), ""]
    return "\n".join([*text, NOTES])


def main() -> int:
    """Measure, print, write; 0 when every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="12 photographs, severities 1, 3 and 5: minutes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the CSV file and the page")
    options = parser.parse_args()
    real = os.environ.get("STORMGLASS_REAL_DATA")
    if not real:
        print("STORMGLASS_REAL_DATA names no folder of photographs: nothing to measure.", file=sys.stderr)
        return 2
    size = QUICK if options.quick else FULL
    facts = records.machine(["torch", "onnxruntime", "imagecorruptions", "pycocotools"])
    figures = measure(Path(real), size)
    bars = records.judged(figures, BARS[size.name])
    holds = all(bar["holds"] for bar in bars.values())
    result = {"size": size.name, "machine": facts, "figures": figures, "bars": bars, "holds": holds}
    found = rows(result)
    print("\n".join(records.table(COLUMNS[1:], [[row[column] for column in COLUMNS[1:]] for row in found])))
    records.replace(found, options.out / "pipeline.csv", COLUMNS, ["size"], page)
    print(json.dumps(result))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
