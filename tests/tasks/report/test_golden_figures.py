"""A chart of each kind as JSON: `python tests/tasks/report/test_golden_figures.py` writes the golden files anew."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import tables
from tasks.report import by_severity, coding, figures, grids, heatmaps, reliability, shell, wording

GOLDEN = Path(__file__).parents[2] / "golden" / "figures"
PLACES = 4
"""Decimals kept: those that the page carries. What computes them may differ in the last bits of a float."""

ORDER = [("weather", "fog"), ("compression", "jpeg_compression")]
HOSTILE = "</script><img src=x onerror=alert(1)>"


def cells() -> pd.DataFrame:
    """Two models, two corruptions at two severities; one cell failed, one of few units, JPEG quality falls."""
    lines = [
        ("v1", "clean", 0, None, None, 0.5, 0.45, 0.55, "ok"),
        ("v1", "fog", 1, 1.5, "strength", 0.4, 0.35, 0.45, "ok"),
        ("v1", "fog", 2, 2.5, "strength", 0.2, 0.16, 0.24, "ok"),
        ("v1", "jpeg_compression", 1, 25.0, "quality", 0.45, 0.4, 0.5, "ok"),
        ("v1", "jpeg_compression", 2, 10.0, "quality", 0.3, None, None, "insufficient"),
        ("v2", "clean", 0, None, None, 0.48, 0.43, 0.53, "ok"),
        ("v2", "fog", 1, 1.5, "strength", 0.47, 0.41, 0.52, "ok"),
        ("v2", "fog", 2, 2.5, "strength", None, None, None, "failed"),
        ("v2", "jpeg_compression", 1, 25.0, "quality", 0.46, 0.41, 0.51, "ok"),
        ("v2", "jpeg_compression", 2, 10.0, "quality", 0.36, 0.31, 0.41, "ok"),
    ]
    names = ["model", "corruption", "severity", "strength", "strength_unit", "value", "low", "high", "status"]
    table = pd.DataFrame(lines, columns=names).astype(dict.fromkeys(("strength", "value", "low", "high"), float))
    clean = table[table["severity"] == 0].set_index("model")["value"]
    return table.assign(retained=table["value"] / table["model"].map(clean), task="detection", metric="map")


def points(shift: float) -> by_severity.Points:
    """A figure of two models by corruption and severity, its means, and an interval on clean frames."""
    found: dict[tuple[str, str, int], by_severity.Point] = {}
    for place, model in enumerate(("v1", "v2")):
        for name in (by_severity.MEAN, "fog", "jpeg_compression"):
            clean = 0.1 + shift + 0.02 * place
            found[model, name, 0] = by_severity.Point(clean, clean - 0.01, clean + 0.03)
            found[model, name, 1] = by_severity.Point(clean + 0.1 + 0.05 * len(name) / 10)
    return found


def over_severity(*, bars: bool) -> dict[str, Any]:
    looks = [by_severity.look(place) for place in range(2)]
    series = [by_severity.Series(m, m, looks[i], points(0.1 * bars)) for i, m in enumerate(("v1", "v2"))]
    tops = dict.fromkeys((by_severity.MEAN, "fog", "jpeg_compression"), 0.5)
    return by_severity.chart(series, ["fog", "jpeg_compression"], title="AP50 it costs", tops=tops, bars=bars)


def differences_map() -> dict[str, Any]:
    lines = [
        (tables.ALL, "v2: mPC", 0.04, 0.01, 0.07, "gain"),
        (tables.ALL, "v2: clean", -0.02, -0.05, 0.01, "not told apart"),
        (f"camera={HOSTILE}", "v2: mPC", -0.08, -0.12, -0.04, "regression"),
    ]
    names = ["slice", "column", "difference", "difference_low", "difference_high", "outcome"]
    table = pd.DataFrame(lines, columns=names)
    return heatmaps.difference_map(table, [tables.ALL, f"camera={HOSTILE}"], ["v2: clean", "v2: mPC"])


def diagram() -> dict[str, Any]:
    columns = ["model", "task", "severity", "low", "high", "count", "confidence", "accuracy"]
    lines = [
        ("v1", "detection", 0, 0.4, 0.466667, 40, 0.43, 0.5),
        ("v1", "detection", 0, 0.933333, 1.0, 900, 0.97, 0.95),
        ("v1", "detection", 5, 0.4, 0.466667, 80, 0.44, 0.2),
        ("v1", "detection", 5, 0.933333, 1.0, 300, 0.96, 0.6),
    ]
    return reliability.diagram(reliability.parts(pd.DataFrame(lines, columns=columns), "detection", "v1"))


def with_choice() -> dict[str, Any]:
    values, other = [[0.9, 0.6], [0.5, math.nan]], [[0.9, 0.3], [0.5, 0.2]]
    texts, others = ([[wording.number(v, 2) for v in line] for line in some] for some in (values, other))
    title = by_severity.across_title(by_severity.MEAN)
    made = grids.grid(values, texts, across=["clean", "1"], down=["road", "sky " * 12], x_title=title)
    choices = {
        by_severity.MEAN: grids.choice(values, texts, limit=1.0, title=title),
        "fog": grids.choice(other, others, limit=1.0, title=by_severity.across_title("fog")),
    }
    return grids.with_choices(made, choices)


def confusion() -> dict[str, Any]:
    shares = [[0.9, 0.1], [0.25, 0.75]]
    texts = [[f"{100 * share:.0f} %" for share in line] for line in shares]
    return grids.grid(shares, texts, across=["car", HOSTILE], down=["car", HOSTILE], hovers=[["9", "1"], ["1", "3"]])


KINDS: dict[str, Callable[[], dict[str, Any] | None]] = {
    "robustness_map": lambda: heatmaps.robustness_map(cells(), "v2", ORDER),
    "curve": lambda: figures.curve(
        cells(), "jpeg_compression", ["v1", "v2"], metric="map", top=0.6, floors=[("gate: ≥ 0.25", 0.25)]
    ),
    "mean_curve": lambda: figures.mean_curve(cells(), ["v1", "v2"], metric="map", top=0.6),
    "difference_map": differences_map,
    "bars": lambda: over_severity(bars=True),
    "lines": lambda: over_severity(bars=False),
    "reliability": diagram,
    "classes": with_choice,
    "confusion": confusion,
    "coding": lambda: coding.chart(
        {"bitrate_kbps": {"1": [450.0, 350.0, 600.0], "2": [225.0, 175.0, 300.0]}, "qp_mean": {"1": [26.0] * 3}}
    ),
}


def scrubbed(value: Any) -> Any:
    """A figure as plain JSON: floats rounded, and without what changes from run to run or version to version."""
    if isinstance(value, dict):
        return {key: scrubbed(part) for key, part in sorted(value.items()) if key not in ("uid", "template")}
    if isinstance(value, (list, tuple)):
        return [scrubbed(part) for part in value]
    return round(value, PLACES) + 0.0 if isinstance(value, float) else value


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_is_what_it_was(kind):
    made = json.loads(json.dumps(scrubbed(KINDS[kind]()), allow_nan=False))
    assert made == json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8"))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio of two colours."""
    light = []
    for colour in (one, other):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        light.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("kind", ["curve", "mean_curve", "bars", "lines", "reliability", "coding"])
def test_lines_stand_out_on_white_and_dark_and_differ_without_colour(kind):
    style = (shell.ASSETS / "report.css").read_text(encoding="utf-8")
    papers = set(re.findall(r"--card: (#[0-9a-f]{6})", style))
    assert len(papers) == 2, "light and dark"
    figure = KINDS[kind]()
    lines = [trace for trace in figure["data"] if trace.get("mode") == "lines+markers"]
    drawn = lines or figure["data"]
    colours = [trace["line"]["color"] if lines else trace["marker"]["color"] for trace in drawn]
    colours += [shape["line"]["color"] for shape in figure["layout"].get("shapes", [])]
    assert [(c, p) for c in colours for p in papers if contrast(c, p) < 3] == []
    assert len(drawn) == 2
    if lines:
        for part in (("line", "dash"), ("marker", "symbol")):
            assert len({trace[part[0]][part[1]] for trace in lines}) == 2, part
    else:
        assert len({trace["marker"]["pattern"]["shape"] for trace in drawn}) == 2


def test_each_golden_file_has_its_chart():
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(KINDS)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for stale in GOLDEN.glob("*.json"):
        stale.unlink()
    for name, make in KINDS.items():
        text = json.dumps(scrubbed(make()), indent=1, ensure_ascii=False, allow_nan=False)
        (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")
