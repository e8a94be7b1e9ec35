"""When no scan is completed: what counts as missed; and what params of new footage are refused."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml

from flows import cli, runtime
from tasks.footage.runs import Runs
from tasks.monitoring import forecast
from tasks.params import Footage, load
from tests.flows.conftest import footage_params

pytestmark = pytest.mark.usefixtures("footage")


def served(root: Path, validated: Path, **section: Any) -> tuple[Any, Runs, Footage]:
    """What counts missed scans in a folder of its own."""
    (root / "params.yaml").write_text(yaml.safe_dump(footage_params(validated)))
    run = runtime.open_run(str(root / "params.yaml"), str(validated))
    return run, Runs(root / "runs"), Footage(model="crossing-v2", missed_scans=3, **section)


def test_scans_that_were_due_are_counted(footage: ModuleType, validated: Path, tmp_path: Path) -> None:
    run, kept, section = served(tmp_path, validated, cron="*/15 * * * *")
    now = datetime.now(UTC)
    assert footage._missed(run, kept, section, since=None).value == pytest.approx(0, abs=0.01)
    early = footage._missed(run, kept, section, since=now - timedelta(minutes=20))
    assert not early.over
    assert "none has ever" in early.evidence
    assert footage._missed(run, kept, section, since=now - timedelta(minutes=50)).over
    with kept.begin() as one:
        one.finish(pd.DataFrame({"camera": [], "signal": [], "value": []}), now=now, keep_folder=False)
    assert not footage._missed(run, kept, section, since=now - timedelta(minutes=50)).over
    hours = Footage(model="m", cron="0 8-18 * * mon-fri", missed_scans=3)
    friday = datetime(2026, 11, 20, 18, 1, tzinfo=UTC)
    assert hours.due(friday, 3) == datetime(2026, 11, 23, 10, tzinfo=UTC), "no scan is missed on a weekend"


def test_the_time_in_which_the_forecast_is_fitted_does_not_count(
    footage: ModuleType, validated: Path, tmp_path: Path
) -> None:
    run, kept, section = served(tmp_path, validated, interval_s=60)
    now = datetime.now(UTC)

    def intervals() -> float | None:
        signal = footage._missed(run, kept, section, since=now - timedelta(hours=3))
        return signal.value

    assert intervals() == pytest.approx(180, abs=1), "nobody is at work"
    with kept.begin(now - timedelta(minutes=10)):
        assert intervals() == pytest.approx(0, abs=0.1)
    assert intervals() == pytest.approx(180, abs=1), "it died"
    with kept.begin(now - timedelta(hours=2)):
        assert intervals() == pytest.approx(60, abs=1), "an hour is enough"
        forecast.ready(run.params, run.layout, section.model, tmp_path / "runs/.kept/forecast")
        (path,) = (tmp_path / "runs/.kept/forecast").iterdir()
        for minutes in (2, 9):
            os.utime(path, (now.timestamp() - 60 * minutes,) * 2)
            assert intervals() == pytest.approx(minutes, abs=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cron": "* * * * *"}, "one of interval_s and cron, got both"),
        ({"interval_s": None}, "one of interval_s and cron, got neither"),
        ({"interval_s": None, "cron": "61 * * * *"}, "the minute of a schedule"),
        ({"interval_s": None, "cron": "0 0 30 2 *"}, "is never due"),
        ({"inbx": "here"}, "did you mean 'inbox'?"),
    ],
)
def test_params_of_footage(
    tmp_path: Path, change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    params = footage_params(tmp_path)
    params["footage"] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert cli.main(["scan", "--params", str(tmp_path / "params.yaml")]) == 2
    assert said in capsys.readouterr().err


def test_the_embedded_params_name_a_model_that_is_shipped() -> None:
    params = load(Path(__file__).parent.parent.parent / "params.yaml")
    assert params.footage is not None
    assert params.footage.model == "crossing-v2"
    assert os.fspath(params.footage.alerts.file or "") == "footage/alerts.jsonl"
