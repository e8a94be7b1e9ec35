"""What alerts are made of: the signals of a scan, and all that outlives it. Each is read and written as JSON."""

import math
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on

from tasks.params.alerts import Level, SignalName

SCHEMA: Final = 1
"""Of alerts.json, of an alert and of the state; rises when a key changes its meaning or goes."""

INBOX: Final = "*"
"""In the place of a camera: the inbox as a whole."""

ROUNDING: Final = 1e-9
"""A value this close to its limit has reached it."""

Way = Literal["log", "file", "webhook", "event"]
Change = Literal["raised", "escalated", "lowered", "changed", "resolved"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Signal(_Record):
    """What one scan says of one thing that may go wrong.

    Attributes:
        camera: `INBOX` for what is of no camera.
        value: higher is worse; None: not known, and `status` says why.
        limit: above 0; a value that reaches it speaks.
        evidence: one sentence with the figures.
        status: `ok`, or why there is no value.
    """

    name: SignalName
    camera: str
    value: float | None
    limit: float = Field(gt=0, allow_inf_nan=False)
    evidence: str
    status: str = "ok"

    @field_validator("value")
    @classmethod
    def _known(cls, value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else value

    @property
    def over(self) -> bool:
        """Whether it speaks."""
        return self.value is not None and self.value >= self.limit - ROUNDING


class Watched(_Record):
    """A signal over scans: `streak` counts those in a row that speak for the other state."""

    raised: bool = False
    streak: int = 0
    since_utc: AwareDatetime  # when `raised` became what it is
    value: float  # of the last scan that reached the limit
    limit: float
    evidence: str


class Told(_Record):
    """An alert that went out."""

    utc: AwareDatetime
    level: Level | None


class Camera(_Record):
    """What is known of a camera, and what was told of it."""

    signals: dict[SignalName, Watched] = {}
    told_signals: tuple[SignalName, ...] = ()
    told_level: Level | None = None
    told: tuple[Told, ...] = ()  # within the last `cooldown_s`
    held_back: int = 0

    @property
    def raised(self) -> tuple[SignalName, ...]:
        """In the order of the alphabet."""
        return tuple(sorted(name for name, watched in self.signals.items() if watched.raised))


class Raised(TypedDict):
    """A signal that is raised, as an alert tells it: the figures of the last scan that reached the limit."""

    name: SignalName
    value: float
    limit: float
    evidence: str
    since_utc: str


class Alert(TypedDict):
    """What is told: docs/footage.md says what each key means."""

    schema: int
    id: str
    event: str
    change: Change
    camera: str
    level: Level | None
    level_before: Level | None
    run: str
    at_utc: str
    signals: list[Raised]
    added: list[SignalName]
    cleared: list[SignalName]
    held_back: int
    text: str


class Attempts(_Record):
    """A way that an alert has still to go."""

    n: int = 0
    next_utc: AwareDatetime | None = None  # None: at once


class Item(_Record):
    """An alert that waits in the outbox."""

    alert: Alert
    utc: AwareDatetime  # since when
    left: dict[Way, Attempts]


class State(_Record):
    """All that outlives a scan."""

    schema_: Literal[1] = Field(1, alias="schema")
    runs: tuple[str, ...] = ()  # the last that were taken in
    cameras: dict[str, Camera] = {}
    outbox: tuple[Item, ...] = ()  # oldest first
    given_up: int = 0  # deliveries, ever

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)
