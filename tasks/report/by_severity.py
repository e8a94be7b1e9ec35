"""Charts of any metric over severity: the mean of all corruptions, or the one corruption that the reader chooses.

A chart carries what can be chosen in `layout.meta.choices`: the page swaps the figures and keeps the chart. What a
choice holds, by plotly's names, is one entry for each trace; null leaves that trace as it is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from tasks import tables, terms
from tasks.params import Params
from tasks.report import figures, numbers, wording

Content = dict[str, Any]

MEAN: Final = ""
"""The choice that a chart opens with: the mean over all corruptions. No row of scores holds its interval."""

PATTERNS: Final = ("", "/", "x", ".")
"""Of bars, by the model's place, beside its hue: plotly's names."""

HEIGHT: Final = 210


@dataclass(frozen=True)
class Point:
    """A figure with the ends of its interval; NaN where there is none, and why."""

    value: float
    low: float = math.nan
    high: float = math.nan
    status: str = "ok"

    @property
    def told(self) -> str:
        """The figure in words and numbers."""
        if wording.absent(self.value):
            return wording.status(self.status) or "–"
        return wording.figure(self.value, self.low, self.high)


NOTHING: Final = Point(math.nan)
Points = Mapping[tuple[str, str, int], Point]
"""By model, corruption (MEAN too) and severity; clean stands at severity 0 of every corruption."""


@dataclass(frozen=True, eq=False)
class Series:
    """One line or one row of bars of a chart: what it is called, whose it is, how it looks and what it shows."""

    name: str
    model: str
    look: Mapping[str, str]
    points: Points

    def at(self, corruption: str, severity: int) -> Point:
        """Its figure in one cell, or in the mean over all corruptions."""
        return self.points.get((self.model, corruption, severity), NOTHING)


def rows_of(scores: pd.DataFrame, task: str, metrics: Iterable[str]) -> pd.DataFrame:
    """The models' own rows of some metrics of a task by cell, over all data; of all classes and of each."""
    rows = numbers.plain(scores)
    rows = rows[(rows["task"] == task) & rows["metric"].isin(list(metrics)) & (rows["slice"] == tables.ALL)]
    return rows[rows["severity"].notna()].astype({"severity": int, "value": float, "low": float, "high": float})


def by_metric(scores: pd.DataFrame, task: str, metrics: Iterable[str]) -> dict[str, Points]:
    """The points of each of the metrics that the scores have, over all data and classes."""
    rows = rows_of(scores, task, metrics)
    rows = rows[rows["class"] == tables.ALL]
    return {metric: points(own) for metric in metrics if len(own := rows[rows["metric"] == metric])}


def points(rows: pd.DataFrame) -> Points:
    """The points of one metric and class, with their means over the corruptions."""
    found: dict[tuple[str, str, int], Point] = {}
    names = [*dict.fromkeys(name for name in rows["corruption"] if name != tables.CLEAN), MEAN]
    for row in rows.to_dict("records"):
        point = Point(row["value"], row["low"], row["high"], row["status"])
        for name in names if row["severity"] == 0 else (row["corruption"],):
            found[row["model"], name, row["severity"]] = point
    for model in dict.fromkeys(rows["model"]):
        for severity, value in numbers.mean_curve(rows, model):
            found[model, MEAN, severity] = Point(value)
    return found


def look(place: int) -> dict[str, str]:
    """Hue, dash, marker and pattern of the model at `place`."""
    return {**figures.style(place), "pattern": PATTERNS[(place + place // 4) % 4]}


def severities(series: Iterable[Series]) -> list[int]:
    """The severities that anything is known of, clean (0) first."""
    return sorted({severity for one in series for _, _, severity in one.points})


def last(one: Series) -> int | None:
    """The highest severity of which the mean over all corruptions is known; None without any."""
    known = [s for model, name, s in one.points if model == one.model and name == MEAN and s > 0]
    return max((s for s in known if not math.isnan(one.at(MEAN, s).value)), default=None)


def chart(
    series: Sequence[Series], order: Sequence[str], *, title: str, tops: Mapping[str, float], bars: bool = False
) -> Content:
    """Figures over severity, all series overlaid, with the choices of corruption.

    Args:
        series: in the order of their looks.
        order: the corruptions that can be chosen.
        title: of the y axis.
        tops: its upper end by choice.
        bars: bars rather than lines.
    """
    across = severities(series)
    choices = {name: _choice(series, name, across) for name in (MEAN, *order)}
    for name, choice in choices.items():
        choice["range"] = [0 if bars else round(-0.03 * tops[name], 4), round(tops[name], 4)]
    figure = go.Figure()
    for place, one in enumerate(series):
        ends = {"type": "data", "symmetric": False, "thickness": 1, "width": 3}
        ends |= {key: choices[MEAN][f"error_y.{key}"][place] for key in ("array", "arrayminus")}
        shared: Content = {
            "name": figures.escaped(one.name),
            "x": across,
            "y": choices[MEAN]["y"][place],
            "error_y": ends,
            "hovertemplate": "%{y:.3f}",
        }
        hue = one.look["hue"]
        if bars:
            pattern = {"shape": one.look["pattern"], "size": 6}
            figure.add_trace(go.Bar(**shared, marker={"color": hue, "pattern": pattern, "line": {"color": hue}}))
        else:
            figure.add_trace(
                go.Scatter(
                    **shared,
                    mode="lines+markers",
                    line={"color": hue, "dash": one.look["dash"], "width": 2},
                    marker={"symbol": one.look["marker"], "size": 7},
                    connectgaps=False,
                )
            )
    figure.update_layout(
        showlegend=False,
        height=HEIGHT,
        margin={"l": 44, "r": 10, "t": 8, "b": 40},
        hovermode="x unified",
        xaxis={"title": {"text": choices[MEAN]["title"]}, "tickmode": "linear", "dtick": 1, "zeroline": False},
        yaxis={"range": choices[MEAN]["range"], "title": {"text": figures.escaped(title)}},
        meta={"choices": choices},
    )
    if bars:
        figure.update_layout(bargap=0.25, bargroupgap=0.05)
    return figures.plain(figure)


def _choice(series: Sequence[Series], name: str, across: Sequence[int]) -> Content:
    found = [[one.at(name, severity) for severity in across] for one in series]
    return {
        "y": [figures.rounded_all(p.value for p in line) for line in found],
        "error_y.array": [_ends(p.high - p.value for p in line) for line in found],
        "error_y.arrayminus": [_ends(p.value - p.low for p in line) for line in found],
        "title": across_title(name),
    }


def _ends(lengths: Iterable[float]) -> list[float | None]:
    """Lengths of error bars; nothing where no point has one."""
    found = figures.rounded_all(lengths)
    return [] if all(length is None for length in found) else found


def across_title(name: str) -> str:
    """What the x axis says of the corruption that is shown."""
    return f"severity, {figures.escaped(terms.corruption(name)) if name else 'mean of all corruptions'}"


def top_of(series: Iterable[Series], name: str) -> float:
    """An upper end of y that holds every figure of a choice with its interval: 0.05 at least, 1.04 at most."""
    found = [p for one in series for (_, corruption, _), p in one.points.items() if corruption == name]
    values = [value for point in found for value in (point.value, point.high) if not wording.absent(value)]
    return min(1.04, max(0.05, 1.08 * max(values, default=0.0)))


def group(
    key: str,
    found: Mapping[str, Points],
    names: Mapping[str, tuple[str, str]],
    models: Sequence[str],
    order: Sequence[str],
    charts: dict[str, Content],
    *,
    bars: bool = False,
    top: float | None = None,
) -> Content:
    """A card for each metric with all models overlaid, on one y range for each choice, and the table of them all.

    Args:
        key: the charts' ids start with it.
        found: from `by_metric`.
        names: by metric what a card is called, and the title of its y axis.
        models: in the order of their looks.
        order: the corruptions that can be chosen.
        charts: the figures go here.
        bars: bars rather than lines.
        top: the upper end of y; None for what holds all that a choice shows.
    """
    shown = {metric: [Series(m, m, look(i), found[metric]) for i, m in enumerate(models)] for metric in found}
    every = [one for series in shown.values() for one in series]
    tops = {name: top_of(every, name) if top is None else top for name in (MEAN, *order)}
    cards = []
    for metric, series in shown.items():
        name, title = names[metric]
        place = f"{key}-{metric}"
        charts[place] = chart(series, order, title=title, tops=tops, bars=bars)
        cards.append({"id": place, "name": name, "takeaway": fall(series), "height": HEIGHT})
    return {
        "legend": [{"name": model, **look(place)} for place, model in enumerate(models)],
        "bars": bars,
        "cards": cards,
        "table": table({names[metric][0]: found[metric] for metric in shown}, models, order),
    }


def fall(series: Sequence[Series]) -> str:
    """One sentence: each series from clean to the highest severity, in the mean over all corruptions."""
    found = {one: end for one in series if (end := last(one)) is not None}
    if not found:
        return "No mean over all corruptions: some cells have no such figure."
    same = len(set(found.values())) == 1
    parts = []
    for one, end in found.items():
        clean, worst = (wording.number(one.at(MEAN, severity).value) for severity in (0, end))
        parts.append(f"{one.name} {clean} → {worst}{'' if same else f' at severity {end}'}")
    where = f"severity {next(iter(found.values()))}" if same else "the highest severity with a figure"
    return f"Clean to {where}, mean of all corruptions: {'; '.join(parts)}."


def table(columns: Mapping[str, Points], models: Sequence[str], order: Sequence[str]) -> Content:
    """The data of charts: a line for each corruption, severity and model, clean first, then the means."""
    lines = []
    every = sorted({severity for known in columns.values() for _, _, severity in known})
    for name in (MEAN, *order):
        for severity in every:
            if severity == 0 and name != MEAN:
                continue  # clean is the same for every corruption
            for model in models:
                cells = [known.get((model, name, severity)) for known in columns.values()]
                if any(cell is not None for cell in cells):
                    words = terms.corruption(name) if name else "mean of all" if severity else "clean"
                    told = ["–" if cell is None else cell.told for cell in cells]
                    lines.append({"corruption": words, "severity": severity, "model": model, "values": told})
    return {"columns": list(columns), "lines": lines}


def corruptions(params: Params, scores: pd.DataFrame) -> list[str]:
    """The corruptions that can be chosen, in the order of params; those that params miss go last."""
    found = set(numbers.plain(scores)["corruption"]) - {tables.CLEAN, tables.ALL}
    named = [choice.name for choice in params.choices() if choice.name in found]
    return named + sorted(found - set(named))
