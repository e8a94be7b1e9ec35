"""The page itself: one HTML file that needs nothing from outside, rendered from plain values."""

import json
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd
from markupsafe import Markup

from tasks import tables
from tasks.layout import Layout, slug
from tasks.params import Params
from tasks.report import (
    bursts,
    calibration,
    cards,
    coding,
    companions,
    comparison,
    errors,
    figures,
    numbers,
    sections,
    slice_table,
    wording,
)

ASSETS: Final = Path(__file__).parent / "assets"
TEMPLATES: Final = Path(__file__).parent / "templates"

CONFIG: Final[dict[str, Any]] = {
    "displaylogo": False,
    "responsive": True,
    # plotly's "Share chart" button uploads the data; nothing of a report leaves the machine.
    "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d"],
    "showSendToCloud": False,
}
"""plotly's settings for every chart."""


def render(
    params: Params,
    layout: Layout,
    *,
    scores: pd.DataFrame,
    gates: pd.DataFrame,
    overview: pd.DataFrame,
    slices: pd.DataFrame,
    gallery: pd.DataFrame,
    about: dict[str, Any],
    card: dict[str, Any],
    facts: dict[str, Any],
    class_maps: dict[str, Any],
    confusion: pd.DataFrame | None = None,
    reliability: pd.DataFrame | None = None,
    policy: dict[str, Any] | None = None,
) -> str:
    """The page as text.

    Args:
        params: Of the run.
        layout: Where the gallery's pictures lie.
        scores: The `scores` table.
        gates: As `tasks.gates.evaluate` gives it.
        overview: As `numbers.overview` gives it.
        slices: As `numbers.slices` gives it.
        gallery: The `gallery` table.
        about: gallery/about.json.
        card: tables/card.json.
        facts: run.json; empty without one.
        class_maps: scores/class_map.json: by model and kind, what its classes became; empty without one.
        confusion: The table `confusion`; None without one.
        reliability: The table `reliability`; None without one.
        policy: scores/policy.json; None without one.
    """
    charts: dict[str, figures.Figure] = {}
    pictures = cards.Pictures(layout.gallery)
    content = {
        "title": params.report.title or "Robustness report",
        "params": params,
        "header": sections.header(params, overview, gates, facts, card),
        "gates": sections.gate_rows(gates),
        "robustness": sections.robustness(params, scores, charts),
        "degradation": sections.degradation(params, scores, overview, charts),
        "bursts": bursts.bursts(params, scores),
        "slices": slice_table.slice_table(params, slices),
        "comparison": comparison.comparison(params, scores, slices, charts),
        "cards": cards.cards(gallery, pictures),
        "errors": errors.errors(params, scores, confusion, charts),
        "calibration": calibration.calibration(params, scores, reliability, policy or {}, charts),
        "states": list(dict.fromkeys((style, words) for _, _, style, words in cards.STATES)),
        "picks": cards.PICKS,
        "about": about,
        "strips": _strips(about, pictures, charts),
        "data_set": card,
        "facts": facts,
        "moving": [fact["name"] for fact in about["corruptions"] if fact["moves_pixels"] and not fact["moves_truth"]],
        "following": [fact["name"] for fact in about["corruptions"] if fact["moves_truth"]],
        "problems": [*_problems(scores, about), *_class_problems(class_maps)],
        "definitions": [
            (wording.metric(tables.HEADLINE[task]), wording.DEFINITIONS[tables.HEADLINE[task]])
            for task in numbers.tasks_of(scores)
        ],
        "tasks": [(task, wording.TASK_NAMES[task]) for task in numbers.tasks_of(scores)],
        "companions": companions.names(numbers.tasks_of(scores)),
        "places": numbers.PLACES,
        "image_sizes": wording.sizes(card.get("image_sizes", {})),
        "confidence": wording.confidence(params.metrics.confidence),
        "false_share": wording.confidence(1 - params.metrics.confidence),
    }
    data = {
        "figures": charts,
        "templates": figures.templates(),
        "config": CONFIG,
        "overlays": cards.overlays(gallery),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = wording.corruption
    environment.filters["slug"] = slug
    environment.filters["slice_words"] = wording.slice_name
    environment.filters["strength"] = lambda level: wording.strength(level[1], level[2])
    return environment.get_template("page.html").render(
        **content,
        pictures=list(pictures.all()),
        data=embed(data),
        style=_asset("dataTables.dataTables.min.css") + _asset("report.css"),
        scripts=[_asset("plotly-cartesian.min.js"), _asset("dataTables.min.js"), _asset("report.js")],
    )


def embed(data: Any) -> Markup:
    """`data` as JSON that is safe inside a script element, whatever names it holds.

    Examples:
        >>> print(embed({"name": "</script><b>"}))
        {"name":"\\u003c/script\\u003e\\u003cb\\u003e"}
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _asset(name: str) -> Markup:
    text = (ASSETS / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} would close the element that it is placed in")
    return Markup(text)


def _strips(about: dict[str, Any], pictures: cards.Pictures, charts: dict[str, figures.Figure]) -> list[dict[str, Any]]:
    """Each corruption's facts with its strip, a picture for each severity that has one, and what a codec made of it."""
    width, height = about["strip_size"] or (0, 0)
    found = []
    for fact in about["corruptions"]:
        strip = []
        for severity, value, unit in fact["levels"]:
            name = fact["strip"].get(str(severity))
            picture = pictures.use(name, width, height) if name else None
            strip.append({"severity": severity, "level": wording.strength(value, unit), "picture": picture})
        facts = fact.get("coding", {})
        chart = coding.chart(facts)
        key = f"coding-{slug(fact['name'])}"
        if chart is not None:
            charts[key] = chart
        told = {
            "chart": key if chart else None,
            "severities": coding.severities(facts),
            "lines": coding.table(facts),
        }
        found.append({**fact, "strip": strip, "width": width, "height": height, "coded": told})
    return found


def _problems(scores: pd.DataFrame, about: dict[str, Any]) -> list[str]:
    """What was asked for and could not be had: failed cells, cells that do not apply, frames that cannot be read."""
    found = []
    rows = numbers.plain(scores)
    rows = rows[rows["severity"].notna() & (rows["slice"] == tables.ALL) & (rows["class"] == tables.ALL)]
    for status, words in (("failed", "failed: figures over it are incomplete"), ("not_applicable", "does not apply")):
        cells = rows[rows["status"] == status][["model", "corruption", "severity"]].drop_duplicates()
        for row in cells.head(50).to_dict("records"):
            found.append(f"{row['model']}: {wording.corruption(row['corruption'])}, severity {row['severity']} {words}")
        if len(cells) > 50:
            found.append(f"and {len(cells) - 50} further cells: {words}")
    found += [f"not shown in the gallery: {reason}" for reason in about["unreadable"].values()]
    return found


def _class_problems(class_maps: dict[str, Any]) -> list[str]:
    """Classes that meet none of the other side's: their predictions count for nothing, or their truth is all missed."""
    found = []
    for model, kinds in class_maps.items():
        for kind, maps in kinds.items():
            for key, words in (
                ("dropped", "are dropped by the class map"),
                ("unmapped", "reach no class of the data set: what it predicts of them counts for nothing"),
                ("unreached", "of the data set are reached by none of its classes: their truth counts as missed"),
            ):
                names = [str(name) for name in maps.get(key, [])]
                if names:
                    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
                    found.append(f"{model}, {kind} classes: {shown} {words}")
    return found
