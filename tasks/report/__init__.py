"""Publish: the page and the small files beside it, from tables and pictures alone."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import gates as rules
from tasks import tables, thirds
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.params import Params
from tasks.report import card_tags, cards, companions, failure_cases, numbers, page, shift, summary

__all__ = ["FOLDER", "IMAGES", "PAGE", "publish"]

PAGE: Final = "robustness.html"
FOLDER: Final = "robustness"
"""Of the directory form, beside the single file: index.html and IMAGES."""
IMAGES: Final = "images"


def publish(params: Params, layout: Layout) -> None:
    """Write reports/: the page, summary.md, failure_cases.md, junit.xml, slices.csv, curves/*.csv and JSON files.

    Everything is made before the first file is replaced; files of other names in reports/ are left alone. With
    `report.form: directory` the folder robustness/ has the page once more, with more pictures, beside it; else a folder
    of an earlier run is removed.

    Raises:
        InputError: a table or picture is missing or does not fit.
    """
    scores = tables.read("scores", layout.scores / "scores.parquet")
    measured = layout.latency / "latency.parquet"
    latency = tables.read("latency", measured) if measured.exists() else None
    live = layout.realtime / "realtime.parquet"
    realtime = tables.read("scores", live) if live.exists() else None
    gates = rules.evaluate(params.declared, scores, latency, layout.tables, realtime)
    overview = numbers.overview(params, scores)
    slices = numbers.slices(params, scores)
    card = _read_json(layout.tables / "card.json", "prepare")
    about = _read_json(layout.gallery / "about.json", "gallery")
    if about.get("form") != tables.GALLERY_FORM:
        raise InputError(f"{layout.gallery} was drawn by another version: run the stage gallery again.")
    gallery = tables.read("gallery", layout.gallery / "gallery.parquet")
    pictured = {*gallery["frame_id"], *(film["frame_id"] for film in about.get("films", []))}
    # Without run.json (tables that came from another machine) the page merely lacks those facts.
    facts = json.loads(layout.run_facts.read_text(encoding="utf-8")) if layout.run_facts.exists() else {}
    maps = layout.scores / "class_map.json"
    policy = _text(layout.scores / "policy.json")
    shifts = _table("shifts", layout)
    stores = [cards.Pictures(layout.gallery)]
    if params.report.form == "directory":
        stores.append(cards.Pictures(layout.gallery, beside=IMAGES))
    pages = page.render(
        params,
        stores,
        scores=scores,
        gates=gates,
        overview=overview,
        slices=slices,
        gallery=gallery,
        about=about,
        card=card,
        facts=facts,
        class_maps=json.loads(maps.read_text(encoding="utf-8")) if maps.exists() else {},
        confusion=_table("confusion", layout),
        reliability=_table("reliability", layout),
        policy=_read_json(layout.scores / "policy.json", "score") if policy is not None else None,
        measured=latency,
        frames=tables.read("frames", named) if (named := layout.tables / "frames.parquet").exists() else None,
        live=realtime,
        tags=card_tags.of_slices(params, layout, pictured),
        shifts=shifts,
        thirds=_thirds(params, layout),
        beside=[name for name in companions.COMPARISONS if (layout.reports / name).exists()],
    )
    made: dict[str, str | Path] = {
        PAGE: pages[0],
        "metrics.json": companions.metrics_json(overview, gates),
        "slices.csv": companions.to_csv(slices),
        "summary.md": summary.summary(params, overview, slices, gates, shift.honesty(params, scores, shifts, card)),
        "failure_cases.md": failure_cases.failure_cases(params, layout),
        "junit.xml": companions.junit_xml(gates),
        "run.json": json.dumps(facts, indent=1, sort_keys=True) + "\n",
        **{f"curves/{task}.csv": companions.curves_csv(scores, task) for task in numbers.tasks_of(scores)},
    }
    if policy is not None:
        made["policy.json"] = policy
    for store, text in zip(stores[1:], pages[1:], strict=True):
        made[f"{FOLDER}/index.html"] = text
        made |= {f"{FOLDER}/{IMAGES}/{name}": store.folder / name for name in store.found}
    _replace(layout.reports, made)


def _replace(folder: Path, made: Mapping[str, str | Path]) -> None:
    """Put the files in place, each whole, and the folder whole, after all have been written beside them.

    Args:
        folder: where they belong.
        made: by name, which may name a folder, the text or the file to copy.
    """
    temporary = folder / f".publish.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for name, content in made.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_text(content, encoding="utf-8", newline="\n")
        (folder / "curves").mkdir(parents=True, exist_ok=True)
        for stale in (folder / "curves").glob("*.csv"):
            if f"curves/{stale.name}" not in made:
                stale.unlink()
        if (folder / FOLDER).exists():
            (folder / FOLDER).rename(temporary / "replaced")
        if (temporary / FOLDER).exists():
            (temporary / FOLDER).rename(folder / FOLDER)
        for name in made:
            if not name.startswith(f"{FOLDER}/"):
                (temporary / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _thirds(params: Params, layout: Layout) -> tuple[str, ...]:
    """Where measurements are cut; nothing where the tables they were cut in are not here."""
    frames, quality = (layout.tables / f"{name}.parquet" for name in ("frames", "quality"))
    if not (params.slices.derived and frames.exists() and quality.exists()):
        return ()
    scored = tables.select(tables.read("frames", frames), split=params.dataset.split, limit=params.dataset.limit)
    return thirds.bounds(params.slices.derived, scored, tables.read("quality", quality))


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
