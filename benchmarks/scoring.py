"""How fast scoring is beside pycocotools, torchmetrics and TrackEval, on the same generated data in one run.

    python -m benchmarks.scoring [--quick]

prints a table, and as its last line all figures as JSON; the exit status is 1 when a bar is missed. The figures also go
to benchmarks/scoring.csv, and from there to benchmarks/scoring.md: each run replaces the rows of its own size.
"""

import argparse
import json
import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import generated, peers, records
from benchmarks.peers import timed
from tasks.metrics import detection, errors, matching, tracking
from tasks.metrics.resampling import Resampler, unit_weights

Values = dict[str, float]


@dataclass(frozen=True)
class Size:
    """How much is generated."""

    name: str
    n_images: int
    n_sequences: int
    n_frames: int
    resamples: int = 1000
    n_objects: int = 40
    torchmetrics_images: int = 50


FULL: Final = Size("full", n_images=5000, n_sequences=20, n_frames=600)
QUICK: Final = Size("quick", n_images=1000, n_sequences=5, n_frames=200)

BARS: Final[dict[str, records.Bar]] = {
    "map_difference": ("at most", 1e-9),
    "map_speedup": ("at least", 4.0),
    "resampled_in_pycocotools_maps": ("at most", 10.0),
    "peak_memory_gb": ("at most", 3.0),
    "tracking_difference": ("at most", 1e-9),
    "tracking_speedup": ("at least", 1.0),
    "tracking_resampled_s": ("at most", 10.0),
}

COLUMNS: Final = ("size", "part", "figure", "value", "bar", "holds")

NOTES: Final = """\
- `map_s` is candidates, matching and figures from arrays; `pycocotools_map_s` is COCOeval's evaluate and accumulate
  for the same (all areas, 100 detections), `pycocotools_four_areas_s` with its defaults. Reading input is left out.
- `errors_s` is the six kinds of error and what fixing each would gain, from the candidates; `errors_in_maps` is that
  over `map_s`.
- `resampled_s` is all slices in all resamples of the whole cell, weights included. With every weight equal a slice
  comes to its own figures (`resampled_equal_weights_difference`, kept as float32).
- `torchmetrics_all_resamples_hours` is an extrapolation, not a measurement: the time of one MeanAveragePrecision on
  `torchmetrics_images`, times the images of every slice, times the resamples.
- `peak_memory_gb` is the process's until mAP, errors and resamples are done, before the other tools' data are made.
- `tracking_s` and `trackeval_s` are HOTA, CLEAR and Identity of each sequence and of all together; overlaps are made
  before. CLEAR and Identity are TrackEval's own in both. `tracking_resampled_s` is all slices in all resamples.
- A difference is the greatest over classes and thresholds (detection), or over sequences and fields (tracking).
"""


def measure_detection(size: Size) -> Values:
    """Boxes: one mAP, slices and resamples of the whole cell, and the same by the others.

    Meant for a process of its own: its peak memory is read before the others' data are made.
    """
    cell = generated.cell(size.n_images)
    masks = generated.slices(size.n_images)

    def one_map() -> tuple[matching.Candidates, matching.Matches, detection.Figures]:
        pairs = matching.candidates(cell.truth, cell.detections, cell.n_classes)
        matches = matching.match(pairs)
        return pairs, matches, detection.figures(matches)

    (pairs, matches, ours), map_s = timed(one_map)
    _, errors_s = timed(lambda: errors.figures(errors.find(pairs)))

    def all_resamples() -> list[float]:
        units = [f"image {i}" for i in range(size.n_images)]
        resampler = Resampler(np.arange(size.n_images), unit_weights(units, size.resamples), 0.95, 2)
        # One slice at a time, as scores are written: what is kept of it is a number by resample.
        return [float(detection.resampled(matches, resampler, mask).metrics()["map"].std()) for mask in masks]

    _, resampled_s = timed(all_resamples)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # One resample of equal weights is the slice itself.
    level = Resampler(np.arange(size.n_images), np.ones((size.n_images, 1), dtype=np.float32), 0.95, 2)
    plain = detection.figures(matches, masks[0])
    weighted = detection.resampled(matches, level, masks[0])

    coco = peers.pycocotools_map(cell)
    small = cell.part(size.torchmetrics_images)
    small_ours = detection.figures(
        matching.match(matching.candidates(small.truth, small.detections, small.n_classes))
    ).metrics()["map"]
    peers.torchmetrics_map(cell.part(2))()  # its first call loads what it needs
    theirs, torchmetrics_s = timed(peers.torchmetrics_map(small))
    images = sum(int(mask.sum()) for mask in masks)
    hours = torchmetrics_s / small.n_images * images * size.resamples / 3600
    return {
        "images": size.n_images,
        "objects": len(cell.truth),
        "detections": len(cell.detections),
        "classes": cell.n_classes,
        "map": ours.metrics()["map"],
        "map_s": map_s,
        "pycocotools_map_s": coco["all_s"],
        "pycocotools_four_areas_s": coco["four_areas_s"],
        "map_difference": max(_gap(ours.precision, coco["precision"]), _gap(ours.recall, coco["recall"])),
        "map_speedup": coco["all_s"] / map_s,
        "errors_s": errors_s,
        "errors_in_maps": errors_s / map_s,
        "slices": len(masks),
        "resamples": size.resamples,
        "resampled_s": resampled_s,
        "resampled_in_pycocotools_maps": resampled_s / coco["all_s"],
        "resampled_equal_weights_difference": _gap(plain.precision, weighted.precision[..., 0]),
        "peak_memory_gb": peak / 1e9,
        "torchmetrics_images": small.n_images,
        "torchmetrics_map_s": torchmetrics_s,
        "torchmetrics_difference": abs(theirs - small_ours),
        "torchmetrics_all_resamples_hours": hours,
        "torchmetrics_all_resamples_weeks": hours / 168,
    }


def measure_tracking(size: Size) -> Values:
    """HOTA, CLEAR and Identity by clip and together, and TrackEval's own on the same clips."""
    clips = [generated.clip(size.n_frames, n_objects=size.n_objects, seed=seed) for seed in range(size.n_sequences)]
    sequences = [tracking.sequence(moments) for moments in clips]
    evaluator = tracking.Evaluator()

    def stormglass() -> tuple[list[tracking.Results], dict[str, float]]:
        each = [evaluator.clip(moments) for moments in clips]
        return each, evaluator.figures({str(i): found for i, found in enumerate(each)})

    (ours, figures), ours_s = timed(stormglass)
    (reference, together), trackeval_s = timed(lambda: peers.trackeval(sequences))
    gaps = [
        _gap(found[metric][field], value)
        for found, expected in zip(ours, reference, strict=True)
        for metric, fields in expected.items()
        for field, value in fields.items()
    ]
    combined = {
        "hota": np.mean(together["hota"]["HOTA"]),
        "deta": np.mean(together["hota"]["DetA"]),
        "assa": np.mean(together["hota"]["AssA"]),
        "loca": np.mean(together["hota"]["LocA"]),
        "mota": together["clear"]["MOTA"],
        "motp": together["clear"]["MOTP"],
        "idf1": together["identity"]["IDF1"],
        "id_switches": together["clear"]["IDSW"],
        "fragmentations": together["clear"]["Frag"],
    }
    gaps += [_gap(figures[name], value) for name, value in combined.items()]
    masks = [mask for mask in generated.slices(size.n_sequences, n_attributes=5, n_values=2) if mask.any()]

    def all_resamples() -> None:
        units = [f"sequence {i}" for i in range(size.n_sequences)]
        resampler = Resampler(np.arange(size.n_sequences), unit_weights(units, size.resamples), 0.95, 2)
        sums = tracking.by_clip(dict(enumerate(ours)), size.n_sequences)
        for mask in masks:
            tracking.resampled(sums, resampler, mask)

    _, resampled_s = timed(all_resamples)
    return {
        "sequences": size.n_sequences,
        "frames": size.n_frames,
        "objects_per_frame": size.n_objects,
        "hota": figures["hota"],
        "id_switches": figures["id_switches"],
        "tracking_s": ours_s,
        "trackeval_s": trackeval_s,
        "tracking_difference": max(gaps),
        "tracking_speedup": trackeval_s / ours_s,
        "tracking_slices": len(masks),
        "tracking_resampled_s": resampled_s,
    }


def _gap(found: Any, expected: Any) -> float:
    """The greatest absolute difference; infinite where just one side is NaN."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    if found.shape != expected.shape or (np.isnan(found) != np.isnan(expected)).any():
        return float("inf")
    return float(np.nan_to_num(np.abs(found - expected)).max(initial=0.0))


def run(size: Size) -> dict[str, Any]:
    """Measure everything; what the last line of output says."""
    facts = records.machine(("numpy", "scipy", "pycocotools", "torchmetrics", "trackeval"))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        boxes = child.submit(measure_detection, size).result()
    figures = {"detection": boxes, "tracking": measure_tracking(size)}
    everything = boxes | figures["tracking"]
    bars = records.judged(everything, BARS)
    return {
        "size": size.name,
        "machine": facts,
        **figures,
        "bars": bars,
        "holds": all(bar["holds"] for bar in bars.values()),
    }


def rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """A run as the rows of scoring.csv: one a figure, and the machine's facts."""
    found = []
    for part in ("machine", "detection", "tracking"):
        for figure, value in result[part].items():
            bar = result["bars"].get(figure, {"bar": "", "holds": ""})
            holds = {True: "yes", False: "no"}.get(bar["holds"], "")
            found.append([result["size"], part, figure, records.written(value), bar["bar"], holds])
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def page(table: list[dict[str, str]]) -> str:
    """The rows as a page in Markdown, a section for each size."""
    text = ["# Scoring: time and memory beside other tools", ""]
    text += ["Written by the commands below; all figures of a size come from one run on one machine.", ""]
    for size, option in (("full", ""), ("quick", " --quick")):
        mine = [row for row in table if row["size"] == size]
        if not mine:
            continue
        facts = "; ".join(row["value"] for row in mine if row["part"] == "machine")
        text += [f"## `python -m benchmarks.scoring{option}`", "", f"{facts}.", ""]
        text += ["| figure | value | bar | holds |", "|---|---:|---|---|"]
        text += [
            "| " + " | ".join(row[column] for column in COLUMNS[2:]) + " |" for row in mine if row["part"] != "machine"
        ]
        text.append("")
    return "\n".join([*text, NOTES])


def write(result: dict[str, Any], folder: Path) -> None:
    """Put a run into scoring.csv in place of the last one of its size, and write scoring.md from that."""
    records.replace(rows(result), folder / "scoring.csv", COLUMNS, ["size"], page)


def main() -> int:
    """Measure, print, write; 0 when every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="1,000 images and 5 sequences of 200 frames")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of scoring.csv and scoring.md")
    options = parser.parse_args()
    result = run(QUICK if options.quick else FULL)
    for row in rows(result):
        print(f"{row['figure']:<36} {row['value']:>12}  {row['bar']:<16} {row['holds']}".rstrip())
    write(result, options.out)
    print(json.dumps(result))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
