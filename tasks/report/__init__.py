"""Publish: the page and the small files beside it, from tables and pictures alone."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import gates as rules
from tasks import tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.params import Params
from tasks.report import companions, failure_cases, numbers, page, summary

__all__ = ["PAGE", "publish"]

PAGE: Final = "robustness.html"


def publish(params: Params, layout: Layout) -> None:
    """Write reports/: the page, summary.md, failure_cases.md, junit.xml, slices.csv, curves/*.csv and JSON files.

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
    policy = _text(layout.scores / "policy.json")
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
            confusion=_table("confusion", layout),
            reliability=_table("reliability", layout),
            policy=_read_json(layout.scores / "policy.json", "score") if policy is not None else None,
        ),
        "metrics.json": companions.metrics_json(overview, gates),
        "slices.csv": companions.to_csv(slices),
        "summary.md": summary.summary(params, overview, slices, gates),
        "failure_cases.md": failure_cases.failure_cases(params, layout),
        "junit.xml": companions.junit_xml(gates),
        "run.json": json.dumps(facts, indent=1, sort_keys=True) + "\n",
        **{f"curves/{task}.csv": companions.curves_csv(scores, task) for task in numbers.tasks_of(scores)},
    }
    if policy is not None:
        made["policy.json"] = policy
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


def _table(name: str, layout: Layout) -> pd.DataFrame | None:
    """A table that an earlier version of `score` did not write yet: without it the page says so."""
    path = layout.scores / f"{name}.parquet"
    return tables.read(name, path) if path.exists() else None


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _read_json(path: Path, stage: str) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"Expected {path.name} at {path}, found no file: run the stage {stage} first.")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not readable JSON ({error}): run the stage {stage} again.") from None
    return found
