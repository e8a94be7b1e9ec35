"""Schedules in the five fields of cron: when they are due, in UTC."""

import datetime
from collections.abc import Iterator
from typing import Final

_NAMES: Final = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_FIELDS: Final = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
_DAYS: Final = 366 * 8
"""The longest wait for a date that there is: from one 29 February to the next, over a year without."""


def check(cron: str) -> None:
    """Nothing, where `cron` is a schedule that is ever due.

    Raises:
        ValueError: it is not; the message says what was expected.
    """
    if next(due(cron, datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)), None) is None:
        raise ValueError(f"the schedule '{cron}' is never due: there is no such day")


def due(cron: str, after: datetime.datetime) -> Iterator[datetime.datetime]:
    """The times from the minute after `after` on, in order. Where day and weekday are both restricted, either will do.

    Raises:
        ValueError: not five fields, or one of them holds something else than numbers, names, `*`, ranges and steps.

    Examples:
        >>> friday = datetime.datetime(2026, 11, 20, 18, 3, tzinfo=datetime.UTC)
        >>> coming = due("*/30 8-9 * * mon-fri", friday)
        >>> [next(coming).strftime("%a %H:%M") for _ in range(5)]
        ['Mon 08:00', 'Mon 08:30', 'Mon 09:00', 'Mon 09:30', 'Tue 08:00']
    """
    parts = cron.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected five fields: minute hour day month weekday, such as '*/15 * * * *', got '{cron}'")
    minutes, hours, days, months, weekdays = (_values(part, name) for part, name in zip(parts, _FIELDS, strict=True))
    weekdays = {day % 7 for day in weekdays}  # Sunday is 0 and 7
    either = parts[2] != "*" and parts[4] != "*"  # as croniter, by which Prefect goes: */2 restricts
    first = after.astimezone(datetime.UTC)
    for offset in range(_DAYS):
        date = first.date() + datetime.timedelta(days=offset)
        by_day, by_weekday = date.day in days, date.isoweekday() % 7 in weekdays
        if date.month not in months or not (by_day or by_weekday if either else by_day and by_weekday):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                time = datetime.datetime(date.year, date.month, date.day, hour, minute, tzinfo=datetime.UTC)
                if time > first:
                    yield time


def _values(field: str, name: str) -> set[int]:
    low, high = _FIELDS[name]
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        start, _, stop = span.partition("-")
        first, last = (low, high) if span == "*" else (_value(start, name, field), _value(stop or start, name, field))
        if step and not stop and span != "*":
            last = high
        if (step and (not step.isdecimal() or int(step) < 1)) or first > last:
            raise _wrong(field, name)
        found.update(range(first, last + 1, int(step or 1)))
    return found


def _value(text: str, name: str, field: str) -> int:
    low, high = _FIELDS[name]
    names = _NAMES.get(name, ())
    if text.lower() in names:
        return names.index(text.lower()) + low
    if not text.isdecimal() or not low <= int(text) <= high:
        raise _wrong(field, name)
    return int(text)


def _wrong(field: str, name: str) -> ValueError:
    low, high = _FIELDS[name]
    return ValueError(
        f"the {name} of a schedule: expected {low} to {high}, a range ({low}-{high}), a list or */N, got '{field}'"
    )
