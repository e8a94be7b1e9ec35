"""The page of a run: what its sections hold, as plain values."""

from collections.abc import Container, Sequence
from typing import Any

import pandas as pd

from tasks import tables, terms
from tasks.class_map import ClassMap
from tasks.layout import slug
from tasks.params import Params
from tasks.report import (
    bursts,
    calibration,
    card_tags,
    cards,
    coding,
    commands,
    companions,
    comparison,
    errors,
    figures,
    films,
    latency,
    numbers,
    realtime,
    sections,
    shell,
    shift,
    slice_table,
    wording,
)


def render(
    params: Params,
    stores: Sequence[cards.Pictures],
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
    measured: pd.DataFrame | None = None,
    frames: pd.DataFrame | None = None,
    live: pd.DataFrame | None = None,
    tags: card_tags.Tags = cards.NO_TAGS,
    shifts: pd.DataFrame | None = None,
    thirds: Sequence[str] = (),
    beside: Container[str] = (),
) -> list[str]:
    """The page as text, once for each of `stores`: the same but for where its pictures are, and how many.

    Args:
        params: Of the run.
        stores: Where the gallery's pictures lie, inside or beside the page; they then know which it uses.
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
        measured: The table `latency`; None without one.
        frames: The table `frames`; None without one.
        live: The table that `realtime` wrote; None without one.
        tags: The slices of the gallery's frames.
        shifts: The table `shifts`; None without one.
        thirds: Where measurements are cut into thirds, as `tasks.thirds.bounds` gives it.
        beside: Which of `companions.COMPARISONS` lie beside the page.
    """
    charts: dict[str, figures.Figure] = {}
    content = {
        "title": params.report.title or "Robustness report",
        "params": params,
        "header": sections.header(params, overview, gates, facts, card, shift.honesty(params, scores, shifts, card)),
        "gates": sections.gate_rows(gates),
        "robustness": sections.robustness(params, scores, charts),
        "degradation": sections.degradation(params, scores, overview, charts),
        "bursts": bursts.bursts(params, scores),
        "slices": slice_table.slice_table(params, slices),
        "thirds": thirds,
        "shift": shift.shift(params, scores, shifts, card, charts),
        "comparison": comparison.comparison(params, scores, slices, charts),
        "errors": errors.errors(params, scores, confusion, charts),
        "calibration": calibration.calibration(params, scores, reliability, policy or {}, charts),
        "latency": latency.latency(params, scores, measured, gates, charts, frames),
        "latency_absent": latency.why_not(params, measured),
        "realtime": realtime.realtime(params, scores, live),
        "states": list(dict.fromkeys((style, words) for _, _, style, words in cards.STATES)),
        "picks": cards.PICKS,
        "shown_slices": tags.names,
        "film_styles": films.STYLES,
        "export": commands.export(facts),
        "about": about,
        "data_set": card,
        "facts": facts,
        "moving": [fact["name"] for fact in about["corruptions"] if fact["moves_pixels"] and not fact["moves_truth"]],
        "following": [fact["name"] for fact in about["corruptions"] if fact["moves_truth"]],
        "problems": [*_problems(scores, about), *_class_problems(class_maps)],
        "definitions": [
            (terms.metric(tables.HEADLINE[task]), terms.DEFINITIONS[tables.HEADLINE[task]])
            for task in numbers.tasks_of(scores)
        ],
        "tasks": [(task, terms.TASK_NAMES[task]) for task in numbers.tasks_of(scores)],
        "companions": companions.names(numbers.tasks_of(scores), policy=policy is not None, there=beside),
        "places": numbers.PLACES,
        "image_sizes": wording.sizes(card.get("image_sizes", {})),
        "confidence": wording.confidence(params.metrics.confidence),
        "false_share": wording.confidence(1 - params.metrics.confidence),
    }
    caught = card_tags.of_rules(params, gallery)
    pages = []
    for pictures in stores:
        rows = gallery if pictures.beside else cards.in_file(gallery, about)
        own: dict[str, Any] = {"cards": cards.cards(rows, pictures, tags, caught)}
        own["films"] = films.films(about, pictures, tags)
        own["strips"] = _strips(about, pictures, charts)
        own["shown"] = cards.shown(params, gallery, about, pictures)
        overlays = cards.overlays(rows)
        pages.append(shell.render("page.html", content | own, charts=charts, pictures=pictures, overlays=overlays))
    return pages


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
            found.append(f"{row['model']}: {terms.corruption(row['corruption'])}, severity {row['severity']} {words}")
        if len(cells) > 50:
            found.append(f"and {len(cells) - 50} further cells: {words}")
    found += [f"not shown in the gallery: {reason}" for reason in about["unreadable"].values()]
    return found


def _class_problems(class_maps: dict[str, Any]) -> list[str]:
    """Classes that meet none of the other side's, and those that only ids brought together."""
    return [
        f"{model}, {kind} classes: {sentence}"
        for model, kinds in class_maps.items()
        for kind, found in kinds.items()
        for sentence in ClassMap(**found).told()
    ]
