"""The rows of corruptions.csv as tables in Markdown: for people, in a terminal and on a page."""

from collections.abc import Sequence
from typing import Final

from benchmarks import records
from benchmarks.records import Row

TITLES: Final = {
    "reference": "imagecorruptions 1.1.2, mended",
    "others": "albumentations and nrtk",
    "memory": "Memory",
    "device": "Batches on a device",
}

NOTES: Final = """\
- Times are medians of pairs taken in turn (theirs, ours) in one process, and means over the severities of the run;
  those of each severity are in corruptions.csv. `glass_blur` of the reference takes seconds: one image for each
  severity.
- Theirs are called as their users call them, with the threads that OpenCV takes by itself; ours has one thread.
- `ours_ms` is a still of a clip never seen before: nothing made for another clip is used again. `kept_ms` is a clip's
  next frame: what belongs to the clip (ice, spatter, fog, a direction) is there already. `first_ms` is the first call
  of a process at a severity, the worst of them: tables are made then that later calls share.
- The ratios of the whole are of summed times over names and severities; `geometric_mean_ratio` is over the 19 names.
  `slowest_ratio` leaves out jpeg_compression and pixelate, of which `slowest_jpeg_pixelate_ratio` is the lower one.
- Settings of albumentations and nrtk are the nearest to ours that they have; most do something a little different.
- Memory is what a process holds at the most beside its input, at severity 5, also what is kept for the clip, for each
  pixel of a frame; of codecs, of a streamed clip of `clip_frames`, encoder and decoder included. `growth_mb` is what
  streaming a clip of 192x144 adds between its first quarter and its end.
- On a device: stills, a new clip each; harmonic mean over all but jpeg_compression, whose codec runs on the host. The
  ratio is to the reference's times kept in corruptions.csv. Bandwidth is what the operations read and write, as a
  share of what a plain copy reaches; 6 bytes a pixel are the least.
"""


def page(table: Sequence[Row]) -> str:
    """All rows as a page, a section for each size."""
    text = ["# Corruptions: time and memory beside other tools", ""]
    text += ["Written by the commands below; all figures of a part of a size come from one run on one machine.", ""]
    for size, option in (("full", ""), ("quick", " --quick")):
        mine = [row for row in table if row["size"] == size]
        if mine:
            text += [f"## `python -m benchmarks.corruptions{option}`", "", *section(mine)]
    return "\n".join([*text, NOTES])


def section(table: Sequence[Row]) -> list[str]:
    """The rows of one size: a heading, the machine, the bars and a table for each part."""
    text = []
    for part, title in TITLES.items():
        mine = [row for row in table if row["part"] == part]
        if not mine:
            continue
        facts = "; ".join(row["value"] for row in mine if row["name"] == "machine")
        text += [f"### {title}", "", f"{facts}.", ""]
        whole = [[row[key] for key in ("figure", "value", "bar", "holds")] for row in mine if row["name"] == "whole"]
        if whole:
            text += [*records.table(["figure", "value", "bar", "holds"], whole), ""]
        text += [*_by_name(part, [row for row in mine if row["name"] not in ("machine", "whole")]), ""]
    return text


def _by_name(part: str, table: Sequence[Row]) -> list[str]:
    """A line for each name; of the reference and the device at what stands for all severities."""
    shown = {"reference": "mean", "device": "3"}.get(part)
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in table:
        if shown in (None, row["severity"]):
            lines.setdefault((row["name"], row["severity"]), {})[row["figure"]] = row["value"]
    columns = list(dict.fromkeys(figure for figures in lines.values() for figure in figures))
    first = {"others": ["theirs", "ours"], "reference": ["name"]}.get(part, ["name", "severity"])
    cells = [
        [*place[: len(first)], *(figures.get(column, "") for column in columns)] for place, figures in lines.items()
    ]
    return records.table([*first, *columns], cells)
