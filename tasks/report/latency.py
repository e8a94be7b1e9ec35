"""Latency: what a frame costs each model, stage by stage and against budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from tasks import tables, terms
from tasks.gates import budget
from tasks.metrics import latency as measured
from tasks.metrics.robustness import Figure
from tasks.params import Params
from tasks.report import amounts, by_severity, figures, latency_charts, verdict, wording, worth

Content = dict[str, Any]
Charts = dict[str, figures.Figure]

SLOWEST: Final = 5
"""Frames shown of each model."""

BUSY: Final = 0.9
"""Below this share of the processor's time the figures are those of a machine at other work."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One model in one cell."""

    model: str
    corruption: str
    severity: int
    rows: pd.DataFrame

    @property
    def name(self) -> str:
        """Model and, unless it is clean, cell."""
        return f"{self.model}, {terms.cell(self.corruption, self.severity)}" if self.severity else self.model

    @property
    def frames(self) -> pd.DataFrame:
        """A row for each frame, by frame_id, with a column for each fact."""
        own = self.rows[self.rows["frame_id"].notna()]
        return own.pivot(index="frame_id", columns="fact", values="value")

    @property
    def stages(self) -> dict[str, float]:
        """Mean milliseconds by stage, in their order."""
        means = self.frames.mean()
        return {stage: float(means[f"{stage}_ms"]) for stage in measured.STAGES if f"{stage}_ms" in means}


def latency(
    params: Params,
    scores: pd.DataFrame,
    table: pd.DataFrame | None,
    gates: pd.DataFrame,
    charts: Charts,
    frames: pd.DataFrame | None = None,
) -> Content | None:
    """What the section holds; None where no model was measured.

    Args:
        params: of the run.
        scores: the table `scores`.
        table: the table `latency`; None without one.
        gates: as `tasks.gates.evaluate` gives it.
        charts: the figures go here.
        frames: the table `frames`, for the names of slow ones; None without one.
    """
    found = [] if table is None else _found(params, table)
    if not found or table is None:
        return None
    clean = [one for one in found if not one.severity]
    confidence = params.metrics.confidence
    own = gates[gates["task"] == budget.TASK]
    late = [_figure(one, "latency_p95_ms", confidence) for one in found]
    charts["latency-stages"] = latency_charts.bars(
        [one.name for one in found], [one.stages for one in found], late, _budgets(own)
    )
    metrics = [m for m in measured.METRICS if any(_figure(one, m, confidence).status != "not_defined" for one in found)]
    return {
        "told": [*_told(params, table, clean), *_warnings(clean)],
        "where": list(dict.fromkeys(measured.where(one.rows) for one in clean)),
        "batches": list(dict.fromkeys(measured.where(one.rows, batch=True) for one in clean)),
        "frames": sorted({one.rows["frame_id"].nunique() for one in found}),
        "budgets": [
            {
                **dict(zip(("icon", "words"), verdict.STATUS_WORDS[row["status"]], strict=True)),
                "status": row["status"],
                "text": wording.sentence(f"{row['model']}: {row['rule']}. {row['reason']}"),
            }
            for row in own.to_dict("records")
        ],
        "stages": {
            "height": charts["latency-stages"]["layout"]["height"],
            "takeaway": _stage_takeaway(clean),
            "looks": [{"name": stage, **by_severity.look(place)} for place, stage in enumerate(measured.STAGES)],
            "lines": [
                {
                    "name": one.name,
                    "values": [amounts.amount(one.stages.get(stage, float("nan"))) for stage in measured.STAGES],
                    "wall": amounts.amount(float(one.frames["wall_ms"].mean())),
                }
                for one in found
            ],
            "columns": list(measured.STAGES),
        },
        "columns": [{"name": terms.metric(m), "unit": amounts.unit(m)} for m in metrics],
        "lines": [{"name": one.name, "values": [_told_figure(one, m, confidence) for m in metrics]} for one in found],
        "slowest": [line for one in clean for line in _slowest(one, _crowded(table, one), _places(frames))],
        "accuracy": worth.cards(params, scores, {one.model: one.rows for one in clean}, charts),
    }


def why_not(params: Params, table: pd.DataFrame | None) -> list[str]:
    """Why models have no figures, each reason once."""
    reasons = [measured.reason(table, model) for model in params.models]
    return list(dict.fromkeys(reason for reason in reasons if reason is not None))


def _found(params: Params, table: pd.DataFrame) -> list[Measured]:
    """The cells that were measured: the baseline first, clean before what params name."""
    found = []
    for model in sorted(params.models, key=lambda name: name != params.baseline):
        places = [(tables.CLEAN, 0), *(params.latency.asked() if params.latency is not None else ())]
        for corruption, severity in places:
            rows = measured.cell(table, model, corruption, severity)
            if len(rows):
                found.append(Measured(model, corruption, severity, rows))
    return found


def _figure(one: Measured, metric: str, confidence: float) -> Figure:
    return measured.figure(one.rows, metric, confidence=confidence)


def _told_figure(one: Measured, metric: str, confidence: float) -> str:
    found = _figure(one, metric, confidence)
    return amounts.amount(found.value, found.low, found.high)


def _told(params: Params, table: pd.DataFrame, clean: Sequence[Measured]) -> list[str]:
    """A sentence for each model: how long, against the baseline, what is the worst; or why there is nothing."""
    confidence = params.metrics.confidence
    told = []
    for one in clean:
        middle, late, slowest = (
            _told_figure(one, metric, confidence) for metric in ("latency_p50_ms", "latency_p95_ms", "latency_max_ms")
        )
        text = f"{one.model}: half of the frames take at most {middle} ms, 95 % at most {late} ms, "
        text += f"the slowest {slowest} ms."
        base = next((other for other in clean if other.model == params.baseline and other is not one), None)
        if base is not None:
            times = measured.ratio(one.rows, base.rows, "latency_p50_ms", confidence=confidence)
            text += f" That is {amounts.amount(times.value, times.low, times.high)} times {base.model}'s p50."
        crowd = _crowded(table, one)
        if len(crowd):
            text += f" Its most crowded scenes take up to {amounts.amount(float(crowd['wall_ms'].max()))} ms."
        told.append(text)
    told += [f"{model}: {reason}." for model in params.models if (reason := measured.reason(table, model))]
    return told


def _warnings(clean: Sequence[Measured]) -> list[str]:
    """What speaks against the figures, and what they do not tell apart."""
    told, busy = [], []
    for one in clean:
        share = one.rows.loc[one.rows["fact"] == "cpu_share", "value"]
        if str(one.rows["device"].iloc[0]).startswith("cpu") and len(share) and share.iloc[0] < BUSY:
            busy.append(f"{one.model} for {wording.percent(share.iloc[0])} of the time")
        if "preprocess" not in one.stages:
            told.append(f"{one.model}'s adapter does not say where preprocessing ends: its whole call counts as infer.")
    if busy:
        told.append(
            f"Models did not have the processor to themselves ({', '.join(busy)}): the machine was at other work, or"
            " waited for its disk, and the figures are too high. Another latency.take in params measures again."
        )
    return told


def _stage_takeaway(clean: Sequence[Measured]) -> str:
    parts = []
    for one in clean:
        stages = one.stages
        largest = max(stages, key=lambda stage: stages[stage])
        parts.append(f"{one.model} {wording.percent(stages[largest] / sum(stages.values()))} in {largest}")
    return f"Where a frame's mean time goes most: {'; '.join(parts)}."


def _budgets(gates: pd.DataFrame) -> list[tuple[str, float]]:
    """Ceilings in ms that rules set on clean frames, each once."""
    rows = gates[gates["metric"].str.endswith("_ms") & (gates["severity"] == 0) & gates["rule"].str.contains("<=")]
    return list(
        dict.fromkeys(
            (f"{terms.metric(row['metric'])} ≤ {row['threshold']:g} ms", float(row["threshold"]))
            for row in rows.to_dict("records")
        )
    )


def _crowded(table: pd.DataFrame, one: Measured) -> pd.DataFrame:
    """As `Measured.frames`, of the model's most crowded scenes, which no other figure counts; empty without any."""
    rows = measured.cell(table, one.model, tables.CROWDED)
    return Measured(one.model, tables.CROWDED, 0, rows).frames


def _places(frames: pd.DataFrame | None) -> dict[int, tuple[str, int]]:
    """Clip and index by frame_id."""
    if frames is None:
        return {}
    columns = (frames[name].tolist() for name in ("frame_id", "clip_id", "frame_index"))
    return {int(frame): (str(clip), int(index)) for frame, clip, index in zip(*columns, strict=True)}


def _slowest(one: Measured, crowd: pd.DataFrame, places: Mapping[int, tuple[str, int]]) -> list[Content]:
    """The frames that took longest, of those spread evenly and of the crowded ones: what they hold, which stage takes
    most of their time, and in which they lost most against the median of the former.
    """
    usual = one.frames
    stages = [f"{stage}_ms" for stage in measured.STAGES if f"{stage}_ms" in usual]
    middle = usual.median()
    both = pd.concat([usual.assign(scene="spread"), crowd.assign(scene="crowded")])
    lines = []
    for frame, row in both.sort_values("wall_ms", ascending=False, kind="stable").head(SLOWEST).iterrows():
        took = row[stages].astype(float)
        lost, longest = took - middle[stages].astype(float), str(took.idxmax())
        clip, index = places.get(int(str(frame)), ("–", int(str(frame))))
        lines.append(
            {
                "model": one.model,
                "clip": clip,
                "frame": index,
                "scene": row["scene"],
                "ms": amounts.amount(row["wall_ms"]),
                "times": amounts.amount(row["wall_ms"] / middle["wall_ms"]),
                "detections": int(row["detections"]),
                "longest": f"{longest.removesuffix('_ms')} ({wording.percent(took[longest] / row['wall_ms'])})",
                "stage": f"{str(lost.idxmax()).removesuffix('_ms')} (+{amounts.amount(lost.max())} ms)",
            }
        )
    return lines
