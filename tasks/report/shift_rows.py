"""The rows of the table `shifts` by place, for the page."""

import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from tasks import tables
from tasks.params import Params
from tasks.report.by_severity import Point

_POINT: Final = ("value", "low", "high", "status")


class Known:
    """The rows of the table `shifts` of one shift, by place."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows.astype({"value": float, "low": float, "high": float})
        places = ("figure", "task", "model", "corruption", "severity", "side")
        self.by_place = {
            tuple(None if pd.isna(row[name]) else row[name] for name in places): row
            for row in self.rows.to_dict("records")
        }

    def row(
        self,
        figure: str,
        *,
        task: str | None = None,
        model: str | None = None,
        corruption: str | None = None,
        severity: int | None = None,
        side: str | None = None,
    ) -> Mapping[Any, Any] | None:
        """The row of a figure; None without one."""
        return self.by_place.get((figure, task, model, corruption, severity, side))

    def point(self, figure: str, **place: Any) -> Point:
        """A figure with its interval; NaN without one."""
        row = self.row(figure, **place)
        return Point(math.nan, status="not_defined") if row is None else Point(*(row[k] for k in _POINT))

    def tasks(self) -> list[str]:
        """Those that were scored, in the house's order."""
        return [task for task in tables.TASKS if (self.rows["task"] == task).any()]

    def like(self) -> list[str]:
        """The corruptions that imitate the shift, of those that were run."""
        return list(dict.fromkeys(self.rows["corruption"].dropna()))

    def severities(self, corruption: str) -> list[int]:
        """Of one corruption, from the mildest on."""
        own = self.rows[(self.rows["corruption"] == corruption) & self.rows["severity"].notna()]
        return sorted({int(severity) for severity in own["severity"]})


def known(params: Params, shifts: pd.DataFrame | None) -> dict[str, Known]:
    """By name, what is known of the shifts that params declare; empty where none was scored."""
    if shifts is None:
        return {}
    found = {name: shifts[shifts["shift"] == name] for name in params.slices.shifted}
    return {name: Known(rows) for name, rows in found.items() if len(rows)}
