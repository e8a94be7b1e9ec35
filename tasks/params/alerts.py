"""The part of params.yaml on alerts: what counts as one, how urgent it is, and whom it is brought to."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from tasks.params.section import Section

SignalName = Literal[
    "input_drift",
    "output_drift",
    "forecast",
    "outside_validated",
    "abstention",
    "quarantined",
    "tampering",
    "backlog",
    "missed_scans",
]
SIGNALS: tuple[SignalName, ...] = get_args(SignalName)
Level = Literal["ticket", "review", "rollback"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Rising: somebody looks when there is time; now; and the version before is taken meanwhile."""

Share = Annotated[float, Field(gt=0, le=1)]
Together = tuple[Annotated[tuple[SignalName, ...], Field(min_length=1)], ...]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the name of an environment variable")]


class Limits(Section):
    """From which value on a signal speaks."""

    input_drift: Share = 0.25  # of a camera's features of frames and stream that lie outside the reference
    output_drift: Share = 0.25  # of its features of predictions
    forecast_drop: float = Field(0.1, gt=0)  # expected fall of a metric below clean, where no gate says how far
    outside_validated: Share = 0.5  # of the footage's duration that looks like nothing that was validated
    abstention: Share = 0.2  # rise of the share of frames on which nothing may rest, over that of clean frames
    quarantined: int = Field(1, ge=1)  # files
    tampering: Share = 0.1  # of windows that look covered, out of focus or moved
    backlog_minutes: float = Field(240, gt=0)  # of footage that waits


class Webhook(Section):
    """An address that takes each alert as a POST of JSON. Its URL may be a secret: it is never shown whole."""

    url: SecretStr | None = None
    url_env: Variable | None = None  # an environment variable that holds the URL
    secret_env: Variable | None = None  # one that holds the secret for `sign`
    sign: Literal["hmac", "bearer"] = "hmac"
    timeout_s: float = Field(3, gt=0, le=30)  # of one attempt

    @field_validator("url", mode="before")
    @classmethod
    def _address(cls, url: Any) -> Any:
        # What came is left out of the message: a URL of a chat room is a password.
        if url is not None and (not isinstance(url, str) or not _is_address(url)):
            raise ValueError(
                "expected a URL such as https://host/path, without a name or password before the host (`sign: bearer` "
                "sends a secret); what came is not shown, for it may be one"
            )
        return url

    @model_validator(mode="after")
    def _one_address(self) -> "Webhook":
        if (self.url is None) == (self.url_env is None):
            raise ValueError(f"expected one of url and url_env, got {'neither' if self.url is None else 'both'}")
        if self.sign == "bearer" and self.secret_env is None:
            raise ValueError("sign: bearer needs secret_env, the name of the environment variable with the token")
        return self

    def address(self) -> str | None:
        """The URL; None where the environment does not hold it, or holds none."""
        if self.url is not None:
            return self.url.get_secret_value()
        url = os.environ.get(self.url_env or "", "")
        return url if _is_address(url) else None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    visible = url.isascii() and url.isprintable() and " " not in url
    return visible and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


class Alerts(Section):
    """What is told of new footage: on changes alone, after so many scans, at most so often, by these ways."""

    log: bool = True
    file: Path | None = Path("footage/alerts.jsonl")  # a line of JSON for each; null: none
    webhook: Webhook | None = None
    events: bool = True  # Prefect's event stormglass.alert, for automations
    cooldown_s: float = Field(3600, ge=0)  # of a camera, between two alerts; a higher urgency does not wait
    raise_after: int = Field(2, ge=1)  # scans in a row at the limit or above
    clear_after: int = Field(3, ge=1)  # scans in a row below `clear_share` of it
    clear_share: Share = 0.8
    at_once: tuple[SignalName, ...] = (  # raised by one scan, whatever raise_after says
        "forecast", "outside_validated", "quarantined", "tampering", "backlog", "missed_scans",
    )  # fmt: skip
    limits: Limits = Limits()
    floors: dict[str, float] = Field(default={})  # metric -> least expected value, in the place of what `gates` say
    review: Together = (  # urgent when all of one of these are raised; any other signal is a ticket
        ("forecast",),
        ("tampering",),
        ("missed_scans",),
        ("outside_validated", "output_drift"),
        ("input_drift", "output_drift"),
        ("output_drift", "abstention"),
    )
    rollback: Together = (("forecast", "output_drift"), ("forecast", "abstention"))
    give_up_s: float = Field(86400, gt=0)  # what could not be delivered for so long is dropped, and the log says so
    deliver_s: float = Field(5, gt=0, le=60)  # what delivery may take of a scan
