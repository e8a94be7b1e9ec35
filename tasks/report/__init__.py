"""Publish: the page and the small files beside it, from tables and pictures alone."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from tasks import gates as rules
from tasks import tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.params import Params
from tasks.report import companions, numbers, page, summary

__all__ = ["PAGE", "publish"]

PAGE: Final = "robustness.html"


def publish(params: Params, layout: Layout) -> None:
    """Write reports/: the page, metrics.json, slices.csv, curves/*.csv, summary.md, junit.xml, policy.json, run.json.

    Everything is made before the first file is replaced; files of other names in reports/ are left alone.

    Raises:
        InputError: a table or picture is missing or does not fit.
    """
    scores = tables.read("scores", layout.scores / "scores.parquet")
    gates = rules.evaluate(params, scores)
    overview = numbers.overview(params, scores)
    slices = numbers.slices(params, scores)
    card = _read_json(layout.tables / "card.json", "prepare")
    about = _read_json(layout.gallery / "about.json", "gallery")
    # Without run.json (tables that came from another machine) the page merely lacks those facts.
    facts = json.loads(layout.run_facts.read_text(encoding="utf-8")) if layout.run_facts.exists() else {}
    maps = layout.scores / "class_map.json"
    made: dict[str, str] = {
        PAGE: page.render(
            params,
            layout,
            scores=scores,
            gates=gates,
            overview=overview,
            slices=slices,
            gallery=tables.read("gallery", layout.gallery / "gallery.parquet"),
            about=about,
            card=card,
            facts=facts,
            class_maps=json.loads(maps.read_text(encoding="utf-8")) if maps.exists() else {},
        ),
        "metrics.json": companions.metrics_json(overview, gates),
        "slices.csv": companions.to_csv(slices),
        "summary.md": summary.summary(params, overview, slices, gates),
        "junit.xml": companions.junit_xml(gates),
        "run.json": json.dumps(facts, indent=1, sort_keys=True) + "\n",
        **{f"curves/{task}.csv": companions.curves_csv(scores, task) for task in numbers.tasks_of(scores)},
    }
    policy = layout.scores / "policy.json"
    if policy.exists():
        made["policy.json"] = policy.read_text(encoding="utf-8")
    _replace(layout.reports, made)


def _replace(folder: Path, made: dict[str, str]) -> None:
    """Put the files in place one by one, each whole, after all have been written beside them."""
    temporary = folder / f".publish.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for name, text in made.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        (folder / "curves").mkdir(parents=True, exist_ok=True)
        for stale in (folder / "curves").glob("*.csv"):
            if f"curves/{stale.name}" not in made:
                stale.unlink()
        for name in made:
            (temporary / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_json(path: Path, stage: str) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"Expected {path.name} at {path}, found no file: run the stage {stage} first.")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not readable JSON ({error}): run the stage {stage} again.") from None
    return found
