"""How large the report's page is and how fast it opens: three runs, both forms, in Chromium, from disk.

    [STORMGLASS_REAL_DATA=FOLDER] python -m benchmarks.report [--quick] [--crossing FOLDER] [--real FOLDER]

prints a table, and as its last line all figures as JSON; the exit status is 1 when a bar is missed. The figures also go
to benchmarks/report.csv, and from there to benchmarks/report.md: each run replaces the rows of its own size. The runs:
`crossing`, a finished one in the working folder; `real`, one on real photographs, which is made first unless `--quick`;
`generated`, the large one of `benchmarks.generated_run`. All are published into a scratch folder.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks import generated_run, opening, records
from tasks import params, report
from tasks.layout import Layout
from tasks.params import Params
from tasks.report import packing
from tests import chromium

REPEATS: Final = {"full": 5, "quick": 1}
"""How often a page is opened; a time is the median."""

FORMS: Final = {"file": report.PAGE, "directory": f"{report.FOLDER}/index.html"}

BARS: Final[dict[tuple[str, str], records.Bar]] = {
    ("file", "page_mb"): ("at most", 10),
    ("file", "ready_s"): ("at most", 2),
    ("file", "map_ready_s"): ("at most", 2),
    ("directory", "ready_s"): ("at most", 3),
    ("directory", "map_ready_s"): ("at most", 3),
} | {
    (form, figure): ("at most", limit)
    for form in FORMS
    for figure, limit in {
        "chart_json_kb": 500.0,
        "dom_nodes_at_load": 5000.0,
        "ready_throttled_s": 4.0,
        "map_ready_throttled_s": 4.0,
        "requests_elsewhere": 0.0,
        "console_messages": 0.0,
    }.items()
}
"""By form and figure; of every run."""

COLUMNS: Final = ("size", "run", "form", "figure", "value", "bar", "holds")

REAL: Final[dict[str, Any]] = {
    "models": {
        "yolox-nano": {
            "adapter": "onnx",
            "decoder": "yolox",
            "class_map": "coco80",
            "input": {"size": [416, 416], "resize": "letterbox_top_left", "channels": "bgr", "scale": 1},
        }
    },
    "baseline": "yolox-nano",
    "corruptions": {
        "noise": ["gaussian_noise", "shot_noise", "impulse_noise"],
        "blur": ["defocus_blur", "motion_blur", "zoom_blur"],
        "weather": ["snow", "frost", "fog", "brightness"],
        "digital": ["contrast", "elastic_transform"],
        "compression": ["pixelate", "jpeg_compression"],
    },
    "slices": {"object": ["size"], "derived": ["brightness"]},
    "gates": [{"metric": "map", "severity": 0, "min": 0.3}, {"metric": "mpc", "min": 0.1}],
}
"""The params of the real run but for its paths."""

NOTES: Final = """\
- A page is opened from disk in a new browser context, 1,440 x 900 px. `ready_s` is from the start of the navigation
  until it is loaded, its script is done and every chart in view is drawn: at the page's top, where the verdict and the
  gates stand. `map_ready_s` is the same at its robustness map, where up to six charts are in view, the most of any
  place. `throttled` is with the processor slowed down four times (DevTools' CPU throttling). All are medians.
- `chart_json_kb` is the page's charts as they stand in it, what they share included; `chart_json_unpacked_kb` is the
  same written out. `dom_nodes_at_load` is counted at the page's top, `dom_nodes_at_end` after all was scrolled by.
- `requests` are all but data and blob addresses; `requests_elsewhere` those of them outside the page's folder.
- The aim for the single file is 6 MB, the bar 10 MB: beyond 1.7 MB of libraries nearly all of a page is pictures, of
  which `report.pictures` allows 240. The folder of `crossing` and `real` has the pictures that their gallery drew.
- `generated` has detection and tracking of four models under 25 corruptions with 40 slices and 80 classes.
"""


def prepared(root: Path, scratch: Path) -> tuple[Params, Layout]:
    """The finished run in `root` with a folder of its own for reports, and its params in the directory form."""
    for name in ("tables", "scores", "gallery", "latency", ".stormglass"):
        if (root / name).exists():
            (scratch / name).symlink_to((root / name).resolve())
    return as_directory(params.load(root / "params.yaml")), Layout(scratch)


def as_directory(run: Params) -> Params:
    """The same params with the folder asked for: the single file is written in any case."""
    return run.model_copy(update={"report": run.report.model_copy(update={"form": "directory"})})


def make_real(data: Path, folder: Path) -> None:
    """Run YOLOX-nano on the photographs of `data`; `folder` is then a finished run with its params.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    model = REAL["models"]["yolox-nano"] | {"weights": str((data / "models" / "yolox_nano.onnx").resolve())}
    given = REAL | {"models": {"yolox-nano": model}, "dataset": {"path": str((folder / "data").resolve())}}
    (folder / "params.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    stormglass = str(Path(sys.executable).with_name("stormglass"))
    coco = [str(data / "coco" / "instances.json"), str(folder / "data"), "--images", str(data / "coco" / "images")]
    if not (folder / "data").exists():
        subprocess.run([stormglass, "import", "coco", *coco], check=True, stdout=sys.stderr)
    options = ["--params", str(folder / "params.yaml"), "--out", str(folder)]
    subprocess.run([stormglass, "run", *options], check=True, stdout=sys.stderr)


def measure(page: Path, *, repeats: int) -> dict[str, float]:
    """The figures of one page; its folder is all that it may ask for."""
    text = page.read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    charts = packing.unpack(data)["figures"]
    with opening.browser() as chrome:
        first = opening.walked(chrome, page)
        times = {
            f"{name}ready_{slow}s": statistics.median(
                opening.ready(chrome, page, place=place, throttle=throttle) for _ in range(repeats)
            )
            for name, place in (("", ""), ("map_", opening.MAP))
            for slow, throttle in (("", 1), ("throttled_", 4))
        }
    beside = sum(path.stat().st_size for path in (page.parent / report.IMAGES).glob("*"))
    return {
        "page_mb": len(text.encode()) / 1e6,
        "pictures_mb": beside / 1e6,
        "charts": len(charts),
        "chart_json_kb": _kilobytes(packing.pack(charts)),
        "chart_json_unpacked_kb": _kilobytes(charts),
        **first,
        **times,
    }


def _kilobytes(value: Any) -> float:
    return len(json.dumps(value, separators=(",", ":"))) / 1e3


def run(size: str, *, crossing: Path, real: Path) -> dict[str, Any]:
    """Measure everything; what the last line of output says."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    skipped: dict[str, str] = {}
    data = os.environ.get("STORMGLASS_REAL_DATA")
    if size == "full" and data:
        make_real(Path(data), real)
    for name, root, reason in (
        ("crossing", crossing, f"{crossing} has no finished run: `make report` makes one"),
        ("real", real, f"STORMGLASS_REAL_DATA names no folder, and {real} has no run that was made from one"),
        ("generated", None, ""),
    ):
        if root is not None and not ((root / "gallery").is_dir() and (root / "params.yaml").is_file()):
            skipped[name] = reason
            continue
        with tempfile.TemporaryDirectory() as scratch:
            if root is None:
                layout = Layout(Path(scratch))
                made = as_directory(generated_run.write(layout))
            else:
                made, layout = prepared(root, Path(scratch))
            report.publish(made, layout)
            found[name] = {form: measure(layout.reports / page, repeats=REPEATS[size]) for form, page in FORMS.items()}
    return judged(size, found, skipped)


def judged(size: str, found: dict[str, dict[str, dict[str, float]]], skipped: dict[str, str]) -> dict[str, Any]:
    """The figures with the bars that they are held to."""
    forms = [(name, form, own) for name, both in found.items() for form, own in both.items()]
    figures = {f"{name} {form} {figure}": value for name, form, own in forms for figure, value in own.items()}
    bars = {f"{name} {form} {figure}": bar for name, form, _ in forms for (f, figure), bar in BARS.items() if f == form}
    verdicts = records.judged(figures, bars)
    return {
        "size": size,
        "machine": records.machine(("playwright", "plotly")),
        "runs": found,
        "skipped": skipped,
        "bars": verdicts,
        "holds": all(bar["holds"] for bar in verdicts.values()),
    }


def rows(result: dict[str, Any]) -> list[records.Row]:
    """A run as the rows of report.csv: the machine's facts, what was skipped, and a row for each figure."""
    found: list[Sequence[str]] = []
    for fact, value in result["machine"].items():
        found.append(("machine", "", fact, value, "", ""))
    for name, reason in result["skipped"].items():
        found.append((name, "", "skipped", reason, "", ""))
    for name, forms in result["runs"].items():
        for form, figures in forms.items():
            for figure, value in figures.items():
                bar = result["bars"].get(f"{name} {form} {figure}", {"bar": "", "holds": None})
                holds = {True: "yes", False: "no"}.get(bar["holds"], "")
                found.append((name, form, figure, records.written(value), bar["bar"], holds))
    return [dict(zip(COLUMNS, (result["size"], *row), strict=True)) for row in found]


def page(table: list[records.Row]) -> str:
    """The rows as a page in Markdown, a section for each size and run."""
    text = ["# Report: size of the page and time to open it", ""]
    text += ["Written by the commands below; all figures of a size come from one run on one machine.", ""]
    for size, option in (("full", ""), ("quick", " --quick")):
        mine = [row for row in table if row["size"] == size]
        if not mine:
            continue
        facts = "; ".join(row["value"] for row in mine if row["run"] == "machine")
        text += [f"## `python -m benchmarks.report{option}`", "", f"{facts}.", ""]
        text += [f"`{row['run']}` skipped: {row['value']}." for row in mine if row["figure"] == "skipped"]
        for name in dict.fromkeys(row["run"] for row in mine if row["form"]):
            own = [[row[column] for column in COLUMNS[2:]] for row in mine if row["run"] == name and row["form"]]
            text += ["", f"### {name}", "", *records.table(COLUMNS[2:], own), ""]
    return "\n".join([*text, NOTES])


def main() -> int:
    """Measure, print, write; 0 when every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="each page opened once; the real run if it is there")
    parser.add_argument("--crossing", type=Path, default=Path(), help="folder of the finished run of crossing")
    parser.add_argument("--real", type=Path, default=Path(".stormglass/benchmarks/real"), help="where the real run is")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of report.csv and report.md")
    options = parser.parse_args()
    if chromium.find() is None:
        print("No Chromium: `python -m tests.chromium` installs one.", file=sys.stderr)
        return 2
    result = run("quick" if options.quick else "full", crossing=options.crossing, real=options.real)
    for row in rows(result):
        place = f"{row['run']} {row['form']}".strip()
        print(f"{place:<20} {row['figure']:<24} {row['value']:>12}  {row['bar']:<14} {row['holds']}".rstrip())
    records.replace(rows(result), options.out / "report.csv", COLUMNS, ["size"], page)
    print(json.dumps(result))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
