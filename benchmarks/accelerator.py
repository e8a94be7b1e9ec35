"""A GPU beside the processor and beside the loop that the field writes.

    STORMGLASS_REAL_DATA=FOLDER python -m benchmarks.accelerator [--part agreement|speed] [--device cuda] [--quick]

prints figures and, as its last line, JSON of all of them; the exit status is 1 when a bar is missed. The folder is that
of `benchmarks.pipeline`; `agreement` wants the package onnx, both want pycocotools, `speed` imagecorruptions too.

- `agreement`: AP of the photographs, clean and corrupted, on the processor and on the device, of YOLOX-nano in torch.
- `speed`: a torchvision detector (--weights, a state dict; without one, random numbers, which find as much as they are
  let) over the benchmark of 15: this pipeline's worker in this process and AP of each cell by COCOeval, beside the
  field's loop with its model on the device. `idle_share`: of the worker's wall time, that in which by a trace of
  torch's profiler no kernel and no copy runs; `over_forward`: that wall time over the one of the bare forward passes.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
import yaml

from benchmarks import field_loop, onnx_in_torch, pipeline, records
from tasks import models, params, tables
from tasks.class_map import resolve
from tasks.corruptions import CORRUPTIONS
from tasks.data.coco import import_coco
from tasks.data.prepare import prepare
from tasks.inference import planning
from tasks.inference.bench import Bench, Spec
from tasks.inference.parts import Plan
from tasks.layout import Layout
from tasks.models.outputs import Output

BARS: Final[dict[str, records.Bar]] = {
    "ap_difference": ("at most", 0.002),
    "speedup": ("at least", 50.0),
    "over_forward": ("at most", 1.3),
}

AGREEMENT: Final = ("gaussian_noise", "defocus_blur", "fog", "jpeg_compression")
VARIANT: Final = "fasterrcnn_resnet50_fpn"


def prepared(real: Path, folder: Path, model: dict[str, Any], names: Iterable[str], size: pipeline.Size) -> Path:
    """A folder to run in: the first photographs of `real`, `model` and params; the path of these."""
    document = json.loads((real / "coco" / "instances.json").read_text(encoding="utf-8"))
    kept = sorted(document["images"], key=lambda image: image["id"])[: size.photographs]
    ids = {image["id"] for image in kept}
    document["images"] = kept
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in ids]
    (folder / "instances.json").write_text(json.dumps(document), encoding="utf-8")
    import_coco(folder / "instances.json", real / "coco" / "images", folder / "data")
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(CORRUPTIONS[name].family, []).append(name)
    settings = {
        "dataset": {"path": "data", "split": None, "validation": None},
        "models": {"model": model},
        "baseline": "model",
        "corruptions": families,
        "severities": list(size.severities),
    }
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    prepare(folder / "data", Layout(folder).tables, strict=True)
    return path


def run(path: Path, device: str, *, trace: bool = False) -> dict[str, Any]:
    """All cells into an empty store by one worker in this process: seconds and AP by cell; traced, the idle share."""
    folder = path.parent
    shutil.rmtree(folder / "parts", ignore_errors=True)
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) | {"run": {"store": "parts", "device": device}}
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    own = params.load(path)
    plan = planning.make(own, Layout(folder), devices=(device,))
    start = perf_counter()
    worker = Bench(Spec(params=own, store=plan.store.url, names=("model",)), device)
    loaded = perf_counter()
    activities = [torch.profiler.ProfilerActivity.CUDA] if device.startswith("cuda") and trace else []
    if activities:
        with torch.profiler.profile(activities=activities) as profile:
            _work(worker, plan)
        work_s = perf_counter() - loaded
        # Without the calls that launch kernels, which are events of the processor.
        on_it = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        spans = [(event.time_range.start, event.time_range.end) for event in on_it]
        return {"seconds": work_s, "idle_share": 1 - busy(spans) / 1e6 / work_s}
    _work(worker, plan)
    work_s = perf_counter() - loaded
    truth = field_loop.read_truth(folder / "instances.json")
    names = {category["id"]: category["name"] for category in truth.dataset["categories"]}
    category_of = resolve(own.models["model"], plan.descriptions["model"]["object"], names)
    cells: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for cell in plan.cells:
        rows = cells.setdefault((cell.corruption, cell.part.severity), [])
        for frame_id, found in plan.store.get(cell.part.key).groupby("frame_id"):
            boxes = found[["x0_px", "y0_px", "x1_px", "y1_px"]].to_numpy()
            said = Output(boxes=boxes, scores=found["score"].to_numpy(), class_ids=found["class_id"].to_numpy(np.int64))
            rows += field_loop.results(int(frame_id), said, category_of)
    ap = {key: field_loop.average_precision(truth, rows) for key, rows in cells.items()}
    return {"seconds": perf_counter() - start, "work_s": work_s, "ap": ap}


def _work(worker: Bench, plan: Plan) -> None:
    failures = [failure for unit in plan.units for failure in worker.work(unit, lambda part: None)]
    if failures:
        raise RuntimeError(failures[0].message)


def busy(spans: list[tuple[float, float]]) -> float:
    """How long at least one of the spans lasts: their union.

    Examples:
        >>> busy([(0, 4), (1, 2), (3, 6), (8, 9)])
        7.0
    """
    total, end = 0.0, -np.inf
    for first, last in sorted(spans):
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return float(total)


def agreement(real: Path, device: str, size: pipeline.Size) -> dict[str, float]:
    """AP on the processor and on the device."""
    with tempfile.TemporaryDirectory(prefix="stormglass-accelerator-") as scratch:
        folder = Path(scratch)
        model = {**pipeline.MODEL, "adapter": "torchscript", "weights": "yolox.pt"}
        height, width = model["input"]["size"]
        onnx_in_torch.script(real / "models" / "yolox_nano.onnx", folder / "yolox.pt", (height, width))
        names = (real / "models" / "coco_classes.txt").read_text(encoding="utf-8").split("\n")
        model["classes"] = [name for name in names if name]
        path = prepared(real, folder, model, AGREEMENT, size)
        both = [run(path, where)["ap"] for where in dict.fromkeys(("cpu", device))]
    apart = [abs(both[0][cell] - both[-1][cell]) for cell in both[0]]
    return {
        "cells": float(len(apart)),
        "cpu_clean_ap": both[0][tables.CLEAN, 0],
        "device_clean_ap": both[-1][tables.CLEAN, 0],
        "ap_difference": max(apart),
    }


def speed(real: Path, device: str, size: pipeline.Size, weights: Path | None, variant: str) -> dict[str, float]:
    """Ours beside the loop, and beside the forward passes alone."""
    from torchvision.models import get_model

    with tempfile.TemporaryDirectory(prefix="stormglass-accelerator-") as scratch:
        folder = Path(scratch)
        if weights is None:
            torch.manual_seed(0)
            torch.save(get_model(variant, weights=None, weights_backbone=None).state_dict(), folder / "w.pth")
        else:
            shutil.copy(weights, folder / "w.pth")
        given = {"adapter": "torchvision", "variant": variant, "weights": "w.pth", "classes": "coco91"}
        names = pipeline.benchmark()
        path = prepared(real, folder, given, names, size)
        _, ours = run(path, device), run(path, device)  # kernels are chosen in the first
        traced = run(path, device, trace=True)
        model = params.load(path).models["model"]
        cells = [(tables.CLEAN, 0), *((name, severity) for name in names for severity in size.severities)]
        seconds = forward_s(model, folder, device) * len(cells)
        annotations, images = folder / "instances.json", real / "coco" / "images"
        loop = pipeline.run_theirs(annotations, images, folder, cells, model=json.dumps(given), device=device)
    theirs = sum(cell["seconds"] for cell in loop["cells"])
    return {
        "field_loop_s": theirs,
        "ours_s": ours["seconds"],
        "speedup": theirs / ours["seconds"],
        "forward_s": seconds,
        "work_s": ours["work_s"],
        "over_forward": ours["work_s"] / seconds,
        **({"idle_share": traced["idle_share"]} if "idle_share" in traced else {}),
    }


@torch.inference_mode()
def forward_s(model: params.Model, folder: Path, device: str) -> float:
    """Seconds of the network's forward passes over all frames of `folder` once, those of one size at once."""
    from tasks.data.frames import FrameReader
    from tasks.models.torchvision import Detector, pixels_of, settle

    detector = models.load(model, folder=folder, device=device)
    if not isinstance(detector, Detector):  # it would be read differently
        raise TypeError(f"Expected one of torchvision's detectors, got {type(detector).__name__}.")
    frames = tables.read("frames", Layout(folder).tables / "frames.parquet")
    reader, total = FrameReader(folder / "data"), 0.0
    for _, alike in frames.groupby(["height_px", "width_px"], sort=False):
        pixels = [pixels_of(frame, settle(model), torch.device(device)) for frame in reader.read(alike)]
        for timed in (False, True):
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            start = perf_counter()
            detector.network(pixels)
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            total += (perf_counter() - start) * timed
    return total


def main() -> int:
    """Measure and print; 0 when every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=("agreement", "speed"), help="one of them alone")
    parser.add_argument("--device", default="cuda:0", help="cuda:N; cpu tries the code without a GPU, bars left out")
    parser.add_argument("--quick", action="store_true", help="12 photographs, severities 1, 3 and 5")
    parser.add_argument("--weights", type=Path, help="a state dict of the torchvision detector")
    parser.add_argument("--variant", default=VARIANT, help="which detector")
    options = parser.parse_args()
    real = os.environ.get("STORMGLASS_REAL_DATA")
    if not real:
        print("STORMGLASS_REAL_DATA names no folder of photographs: nothing to measure.", file=sys.stderr)
        return 2
    on_gpu = options.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        print("This machine shows no CUDA device: nothing to measure.", file=sys.stderr)
        return 2
    size = pipeline.QUICK if options.quick else pipeline.FULL
    figures: dict[str, float] = {}
    if options.part != "speed":
        figures |= agreement(Path(real), options.device, size)
    if options.part != "agreement":
        figures |= speed(Path(real), options.device, size, options.weights, options.variant)
    facts = records.machine(["torch", "torchvision", "imagecorruptions", "pycocotools"])
    facts |= {"device": torch.cuda.get_device_name(options.device) if on_gpu else "the processor"}
    bars = records.judged(figures, {name: bar for name, bar in BARS.items() if on_gpu and name in figures})
    print("\n".join(records.table(["figure", "value"], [[name, records.written(v)] for name, v in figures.items()])))
    holds = all(bar["holds"] for bar in bars.values())
    print(json.dumps({"size": size.name, "machine": facts, "figures": figures, "bars": bars, "holds": holds}))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
