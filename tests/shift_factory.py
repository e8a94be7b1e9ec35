"""Shifts of a made-up run of `report_factory`: night, which low light imitates, and a camera that nothing does.

Nothing here is measured: the first model loses 0.11 by night, the second 0.02, and more than any severity of rain.
"""

from collections.abc import Sequence

import pandas as pd

from tasks import tables
from tasks.layout import Layout
from tasks.params import Params, Slices
from tests import report_factory

CHOICE = Slices.model_validate(
    {
        "shifted": {
            "night": {"where": "time_of_day == 'night'", "like": ["low_light", "rain"]},
            "new_camera": {"where": "camera == 'south'", "reference": "camera != 'south'"},
        }
    }
)
SLICES = ("shift=night", "shift=new_camera", "shift=new_camera, reference", "shift=none")
REAL = (0.11, 0.02)
"""By model."""
STEP = {"low_light": 0.04, "rain": 0.001}
"""What each severity costs more than the one before."""


def params(models: Sequence[str] = ("crossing-v1", "crossing-v2")) -> Params:
    """Params of the made-up run that declare the shifts."""
    return report_factory.params(models).model_copy(update={"slices": CHOICE})


def table(run: Params, tasks: Sequence[str]) -> pd.DataFrame:
    """The table `shifts`."""
    rows = []
    for name, declared in run.slices.shifted.items():
        for side, units in (("reference", 24), ("shifted", 12)):
            amounts = {"units": units, "frames": 12 * units, "objects_per_frame": units / 4, "small_share": units / 48}
            rows += [{"figure": figure, "side": side, "value": value} for figure, value in amounts.items()]
        rows.append({"figure": "object_mix_distance", "value": 0.125})
        for task in tasks:
            for model, real in zip(run.models, REAL, strict=False):
                place = {"task": task, "model": model, "n_units": 12}
                rows.append({**place, "figure": "real_drop", "value": real, "low": real - 0.05, "high": real + 0.05})
                for corruption in declared.like:
                    own = {**place, "corruption": corruption}
                    for severity in run.severities:
                        value = STEP[corruption] * severity
                        ends = {"severity": severity, "value": value, "low": value - 0.01, "high": value + 0.01}
                        rows.append({**own, "figure": "simulated_drop", **ends})
                    at = {"value": real / STEP[corruption], "low": 0.0, "high": 3.3}
                    if at["value"] > run.severities[-1]:
                        at = {"status": "not_reached", "low": 4.2, "note": f"beyond severity {run.severities[-1]}"}
                    rows.append({**own, "figure": "equal_severity", **at})
            note = "1 of 1 pairs of models told apart on both sides"
            for corruption, tau in zip(declared.like, (1.0, -1.0), strict=False):
                rows.append(
                    {"figure": "rank_agreement", "task": task, "corruption": corruption, "value": tau, "note": note}
                )
        rows = [{"shift": name, "status": "ok", **row} for row in rows]
    columns = tables.SCHEMAS["shifts"].names
    kinds = {"value": float, "low": float, "high": float, "severity": "Int16", "n_units": "Int32"}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def write(run: Params, layout: Layout, tasks: Sequence[str]) -> None:
    """A whole run with shifts, on disk."""
    report_factory.write(run, layout, report_factory.scores(run, tasks=tasks, slices=SLICES))
    tables.write("shifts", table(run, tasks), layout.scores / "shifts.parquet")
