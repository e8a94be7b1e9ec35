"""The section of params.yaml on new footage."""

import datetime
import itertools
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tasks.params import cron
from tasks.params.alerts import Alerts
from tasks.params.section import Name, Section

Address = Annotated[str, Field(min_length=1, description="a folder, or a URL such as s3://bucket/prefix")]


class Footage(Section):
    """New footage: where it arrives, what looks at it and when, and what comes of it."""

    inbox: Address = "footage/inbox"
    runs: str = Field("footage/runs", min_length=1)  # a folder: what scans write
    adopted: str = Field("adopted", min_length=1)  # a folder: frames to be labelled, and what labels say
    reference: str | None = Field(None, min_length=1)  # a folder, as the inbox: clips from when all was well
    model: Name  # which of `models` is shipped
    interval_s: float | None = Field(None, ge=1)  # between the starts of two scans; or
    cron: str | None = None  # when scans start, in UTC
    settle_s: float = Field(10, ge=0)  # a file that has not changed for so long is whole
    sample_per_s: float = Field(2.0, gt=0)  # frames a second whose input is measured
    minutes_per_run: float = Field(60, gt=0)  # of footage in one scan; what is left waits for the next
    keep_days: float | None = Field(30, gt=0)  # how long a run's folder stays; null: for ever (history stays anyway)
    window_s: float = Field(10, gt=0)  # features over time are means over windows of this length
    missed_scans: int = Field(3, ge=1)  # no completed scan in so many intervals is an alert
    alerts: Alerts = Alerts()

    @field_validator("cron")
    @classmethod
    def _schedule(cls, schedule: str | None) -> str | None:
        if schedule is not None:
            cron.check(schedule)
        return schedule

    @model_validator(mode="after")
    def _one_schedule(self) -> "Footage":
        if (self.interval_s is None) == (self.cron is None):
            given = "neither" if self.cron is None else "both"
            raise ValueError(f"expected one of interval_s and cron, got {given}")
        return self

    def due(self, after: datetime.datetime, count: int) -> datetime.datetime:
        """When the schedule is due for the `count`th time after `after`."""
        if self.cron is not None:
            return next(itertools.islice(cron.due(self.cron, after), count - 1, None))
        return after + datetime.timedelta(seconds=count * (self.interval_s or 0))
