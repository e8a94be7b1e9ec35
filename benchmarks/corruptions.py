"""How fast corruptions are beside imagecorruptions, albumentations and nrtk, and what memory they take, in one run.

    python -m benchmarks.corruptions [--quick] [--part PART] [--device DEVICE]

prints tables, and as its last line all figures as JSON; the exit status is 1 when a bar is missed. The figures also
go to benchmarks/corruptions.csv, and from there to benchmarks/corruptions.md: each run replaces the rows of its own
size and parts. Parts: `reference` (imagecorruptions), `others` (albumentations; nrtk where it is installed), `memory`,
and `device` (batches on a GPU; left out where there is none, unless --device names another device).
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import corruptions_page, memory, records
from benchmarks.pictures import pictures
from tasks.corruptions import CORRUPTIONS

PARTS: Final = ("reference", "others", "memory", "device")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        name: `full` or `quick`.
        severities: Of the reference's names and of the device.
        budget_s: Seconds of pairs for each name and severity.
        most: The most pairs.
        height: Of the frames that are timed.
        width: Likewise.
        names: Of the corruptions whose memory is measured.
        memory: (height, width) of the frames whose memory is measured.
        coded_frames: In the clips of codecs whose memory is measured.
        long_frames: In the clip that is streamed.
        batch: On the device.
        repeats: Of each batch there.
    """

    name: str
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    budget_s: float = 1.5
    most: int = 60
    height: int = 480
    width: int = 640
    names: tuple[str, ...] = tuple(CORRUPTIONS)
    memory: tuple[tuple[int, int], ...] = ((480, 640), (1080, 1920))
    coded_frames: int = 48
    long_frames: int = 400
    batch: int = 32
    repeats: int = 5


FULL: Final = Size("full")
QUICK: Final = Size("quick", severities=(1, 3, 5), budget_s=0.4, most=24, coded_frames=16, long_frames=160)

BARS: Final[dict[str, records.Bar]] = {
    "all_19_ratio": ("at least", 30.0),
    "without_glass_blur_ratio": ("at least", 10.0),
    "geometric_mean_ratio": ("at least", 6.0),
    "slowest_ratio": ("at least", 1.0),
    "slowest_jpeg_pixelate_ratio": ("at least", 0.95),
    "frame_peak_bytes_per_px": ("at most", 128.0),
    "clip_peak_bytes_per_px": ("at most", 1000.0),
    "stream_growth_mb": ("at most", 4.0),
    "device_images_per_s": ("at least", 10_000.0),
    "device_ratio": ("at least", 300.0),
}

COLUMNS: Final = ("size", "part", "name", "severity", "figure", "value", "bar", "holds")
WHOLE: Final = "whole"
"""The name of the rows that are of a part as a whole."""

Rows = list[dict[str, Any]]
Values = dict[str, float]


def measure(part: str, size: Size, on: str | None, kept: Path) -> tuple[Rows, Values] | None:
    """A part's rows and its figures as a whole; None where it cannot be measured here."""
    # Imported when measured: a machine with a GPU may have no OpenCV, another one no torch.
    frames, _ = pictures(4, size.height, size.width)
    if part == "reference" and importlib.util.find_spec("imagecorruptions"):
        from benchmarks import timing

        rows = timing.beside_reference(frames, size.severities, budget_s=size.budget_s, most=size.most)
        return rows + timing.by_name(rows), timing.totals(rows)
    if part == "others":
        from benchmarks import timing

        return timing.beside_others(frames, budget_s=size.budget_s, most=size.most), {}
    if part == "memory" and memory.possible():
        rows = memory.in_own_process(_memory, size)
        return rows, memory.totals(rows)
    if part == "device":
        import torch

        from benchmarks import device

        where = torch.device(on or "cuda")
        if where.type == "cuda" and not torch.cuda.is_available():
            return None
        rows = device.measure(frames, size.severities, where, batch=size.batch, repeats=size.repeats)
        return rows, device.totals(rows, reference_ms(kept))
    return None


def _memory(size: Size) -> Rows:
    return memory.measure(size.names, size.memory, coded_frames=size.coded_frames, long_frames=size.long_frames)


def reference_ms(table: Path) -> dict[tuple[str, int], float]:
    """What is kept of the reference's times, by name and severity: its machine may be another one than the device's."""
    found: dict[tuple[str, int], float] = {}
    for row in sorted(records.rows(table), key=lambda row: row["size"]):  # full before quick
        if row["figure"] == "reference_ms" and row["severity"].isdigit():
            found.setdefault((row["name"], int(row["severity"])), float(row["value"]))
    return found


def run(size: Size, parts: Sequence[str], *, on: str | None, kept: Path) -> dict[str, Any]:
    """Measure some parts; what the last line of output says."""
    facts = records.machine(
        ("numpy", "opencv-python", "scipy", "scikit-image", "imagecorruptions", "albumentations", "nrtk", "torch")
    )
    facts["pictures"] = pictures(4, size.height, size.width)[1]
    found: dict[str, Any] = {}
    figures: Values = {}
    for part in parts:
        measured = measure(part, size, on, kept)
        if measured is None:
            print(f"{part}: cannot be measured here, left out")
            continue
        rows, whole = measured
        found[part] = {"machine": facts | _where(part, on), "whole": whole, "rows": rows}
        figures |= whole
    on_gpu = on is None or on.startswith("cuda")  # the device's bars are a GPU's
    asked = {name: bar for name, bar in BARS.items() if name in figures and (on_gpu or not name.startswith("device"))}
    bars = records.judged(figures, asked)
    return {"size": size.name, "parts": found, "bars": bars, "holds": all(bar["holds"] for bar in bars.values())}


def _where(part: str, on: str | None) -> dict[str, str]:
    if part == "device":
        import torch

        gpu = torch.device(on or "cuda").type == "cuda"
        return {"device": torch.cuda.get_device_name() if gpu else f"torch on {on}"}
    if part in ("reference", "others"):
        from benchmarks import timing

        return {"opencv": f"OpenCV {timing.THEIR_THREADS} threads for theirs, 1 for ours"}
    return {}


def rows(result: dict[str, Any]) -> list[records.Row]:
    """A run as the rows of corruptions.csv: one a figure, and the machine's facts."""
    found: list[list[str]] = []
    for part, measured in result["parts"].items():
        start = [result["size"], part]
        found += [[*start, "machine", "", fact, value, "", ""] for fact, value in measured["machine"].items()]
        for figure, value in measured["whole"].items():
            bar = result["bars"].get(figure, {"bar": "", "holds": ""})
            holds = {True: "yes", False: "no"}.get(bar["holds"], "")
            found.append([*start, WHOLE, "", figure, records.written(value), bar["bar"], holds])
        for row in measured["rows"]:
            place = [*start, row["name"], str(row["severity"])]
            figures = {key: value for key, value in row.items() if key not in ("name", "severity")}
            found += [[*place, figure, records.written(value), "", ""] for figure, value in figures.items()]
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def main() -> int:
    """Measure, print, write; 0 when every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corruptions", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="severities 1, 3 and 5, and shorter clips")
    parser.add_argument("--part", action="append", choices=PARTS, help="this part alone; may be given again")
    parser.add_argument("--device", help="where the part `device` runs; a GPU by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of corruptions.csv and .md")
    options = parser.parse_args()
    table = options.out / "corruptions.csv"
    size = QUICK if options.quick else FULL
    result = run(size, options.part or PARTS, on=options.device, kept=table)
    print("\n".join(corruptions_page.section(rows(result))))
    records.replace(rows(result), table, COLUMNS, ["size", "part"], corruptions_page.page)
    print(json.dumps(result))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
