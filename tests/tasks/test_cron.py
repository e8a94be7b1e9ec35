"""When schedules are due, as croniter says, by which Prefect goes."""

import datetime
import itertools

import pytest

from tasks.params import cron

croniter = pytest.importorskip("prefect._vendor.croniter").croniter

SCHEDULES = (
    "*/15 * * * *", "5,10-20/3 1-4 1 */2 *", "0 12 13 * 5", "0 8-18 * * mon-fri", "30 6 * jan,JUL sun", "0 0 * * 7",
    "7/20 * * * *", "0 0 1-7 * 1", "0 0 */2 * 1", "59 23 31 12 *", "0 0 29 2 *",
)  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_as_croniter(schedule: str) -> None:
    for minutes in (0, 123_457, 400_001):
        after = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(minutes=minutes)
        theirs = croniter(schedule, after)
        count = 1 if "29 2" in schedule else 6
        expected = [theirs.get_next(datetime.datetime) for _ in range(count)]
        assert list(itertools.islice(cron.due(schedule, after), count)) == expected


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("* * * *", "expected five fields"),
        ("60 * * * *", "the minute of a schedule: expected 0 to 59"),
        ("* * 0 * *", "the day of a schedule: expected 1 to 31"),
        ("* * * monday *", "the month"),
        ("*/0 * * * *", "the minute"),
        ("5-1 * * * *", "the minute"),
        ("0 0 31 4,6 *", "never due"),
    ],
)
def test_what_is_no_schedule(schedule: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cron.check(schedule)
