"""footage.html: what a scan of new footage found, on a page like that of a run; a proxy, not accuracy."""

import json
import os
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import terms
from tasks.report import cards, figures, shell
from tasks.report.footage import expected, looks, nearest, opening, past, scan, series

__all__ = ["PAGE", "render", "write"]

PAGE: Final = "footage.html"


def write(
    folder: Path,
    *,
    history: pd.DataFrame | None = None,
    gallery: Path | None = None,
    adoptions: pd.DataFrame | None = None,
) -> None:
    """Write footage.html into a run folder, from what lies there, whole or not at all.

    Args:
        folder: the run folder, which need not have its final name yet.
        history: the table `footage_history`, this run's rows among them.
        gallery: the gallery of the validated run, for what its corruptions look like.
        adoptions: the table `footage_adoption` of earlier scans.

    Raises:
        InputError: a table or picture is missing or does not fit.
    """
    text = render(scan.read(folder), history=history, gallery=gallery, adoptions=adoptions)
    temporary = folder / f".{PAGE}.{os.getpid()}"
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(folder / PAGE)
    finally:
        temporary.unlink(missing_ok=True)


def render(
    found: scan.Scan,
    *,
    history: pd.DataFrame | None = None,
    gallery: Path | None = None,
    adoptions: pd.DataFrame | None = None,
) -> str:
    """The page as text; its arguments are those of `write`."""
    charts: dict[str, figures.Figure] = {}
    pictures = cards.Pictures(found.folder)
    drift = series.drift(found)
    content: dict[str, Any] = {
        "title": f"New footage, scan {found.facts.get('run', found.folder.name)}",
        "header": opening.header(found),
        "facts": opening.facts(found),
        "lines": opening.lines(found),
        "metric": terms.metric(expected.first_metric(found) or ""),
        "problems": [str(problem) for problem in found.facts.get("problems", [])],
        "alerts": opening.alerts(found),
        "files": opening.files(found),
        "left": opening.left(found),
        "cameras": found.cameras,
        "expected": expected.expected(found, charts),
        "nearest": nearest.nearest(found, pictures, _strips(gallery)),
        "series": series.over_time(found, drift, charts),
        "cut": series.cut(found),
        "kinds": series.KINDS,
        "drift": drift,
        "statistics": series.STATISTICS,
        "definitions": series.definitions(found),
        "drifted": series.takeaway(drift, found.cameras),
        "odd": looks.odd_frames(found, pictures),
        "decisions": looks.decisions(found),
        "videos": looks.videos(found),
        "history": past.history(found, history, charts),
        "adopted": past.adopted(adoptions),
        "measured": sorted(found.measured),
    }
    return shell.render("footage.html", content, charts=charts, pictures=pictures, overlays={}, media=True)


def _strips(gallery: Path | None) -> dict[tuple[str, int], tuple[str, int, int]]:
    """(corruption, severity) -> picture, width, height: one frame of the validated run under each; empty without."""
    about = None if gallery is None else gallery / "about.json"
    if gallery is None or about is None or not about.is_file():
        return {}
    told = json.loads(about.read_text(encoding="utf-8"))
    width, height = told.get("strip_size") or (0, 0)
    return {
        (str(fact["name"]), int(severity)): (str((gallery / name).resolve()), int(width), int(height))
        for fact in told.get("corruptions", [])
        for severity, name in fact.get("strip", {}).items()
        if (gallery / name).is_file()
    }
