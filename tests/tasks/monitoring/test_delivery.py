"""Alerts that are brought to where they are seen, with a real receiver that fails in every way before it takes them."""

import email.utils
import hashlib
import hmac
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks import params
from tasks.errors import InputError
from tasks.monitoring import alert_state, delivery
from tasks.monitoring.alert_records import Alert, Signal
from tasks.monitoring.delivery import Delivered
from tasks.params.alerts import Alerts, Webhook
from tests.tasks.monitoring.receiver import receiver

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def how(url: str | None = None, **keys: Any) -> Alerts:
    """Settings with the webhook alone, unless told otherwise."""
    hook = {"url": url, "timeout_s": 5, **keys.pop("hook", {})} if url else None
    given = {"log": False, "file": None, "events": False, "cooldown_s": 0, "clear_after": 1, "webhook": hook, **keys}
    return Alerts.model_validate(given)


class Outbox:
    """A folder of runs whose outbox is filled scan by scan, and delivered from `at` minutes after the start."""

    def __init__(self, folder: Path, settings: Alerts) -> None:
        self.folder, self.runs, self.settings, self.n = folder, folder / "runs", settings, 0

    def say(self, **values: float) -> list[Alert]:
        given = [Signal(name="forecast", camera=c, value=v, limit=1, evidence="it is") for c, v in values.items()]
        self.n += 1
        run = f"20261122T0300{self.n:02d}Z"
        (self.runs / run).mkdir(parents=True)
        found = alert_state.preview(self.runs, given, self.settings, run=run, now=START)
        (self.runs / run / alert_state.DOCUMENT).write_text(json.dumps(found))
        return alert_state.commit(self.runs, self.settings)

    def deliver(self, at: float = 0, emit: delivery.Emit | None = None) -> Delivered:
        now = START + timedelta(minutes=at)
        return delivery.deliver(self.runs, self.settings, folder=self.folder, now=now, emit=emit)


def test_what_fails_is_tried_again_with_the_same_key_until_it_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures = ["500", "429:60", "503", "close", "slow", "404"]
    with receiver(*failures) as there:
        there.slow_s = 1.0
        box = Outbox(tmp_path, how(there.url, hook={"timeout_s": 0.4}))
        (alert,) = box.say(north=1)
        minutes = 0.0
        for n in range(len(failures)):
            assert box.deliver(minutes) == Delivered(sent=0, waiting=1, given_up=0)
            assert len(there.keys) == n + 1
            minutes += 70  # longer than the longest pause
        assert box.deliver(minutes) == Delivered(sent=1, waiting=0, given_up=0)
        assert box.deliver(minutes + 70) == Delivered(sent=0, waiting=0, given_up=0)
    assert there.keys == [alert["id"]] * 7
    assert all(json.loads(body) == alert for body in there.bodies)
    assert {headers["content-type"] for headers in there.headers} == {"application/json"}
    assert "x-stormglass-signature" not in there.headers[0]
    for n, words in enumerate(
        ("answers 500", "answers 429", "answers 503", "RemoteDisconnected", "answer", "answers 404")
    ):
        assert f"attempt {n + 1}: {there.url}/... " in caplog.messages[n]
        assert words in caplog.messages[n]


def test_alerts_of_a_camera_keep_their_order_and_others_do_not_wait(tmp_path: Path) -> None:
    with receiver("500", "200", "500") as there:
        box = Outbox(tmp_path, how(there.url))
        (raised,) = box.say(north=1)
        (resolved,) = box.say(north=0)
        (again,) = box.say(north=1)
        (other,) = box.say(south=1)
        assert box.deliver(0) == Delivered(sent=1, waiting=3, given_up=0)
        assert there.keys == [raised["id"], other["id"]], "behind one that failed, its camera's later ones wait"
        assert box.deliver(10) == Delivered(sent=0, waiting=3, given_up=0)
        assert box.deliver(20) == Delivered(sent=3, waiting=0, given_up=0)
    assert there.taken == [other["id"], raised["id"], resolved["id"], again["id"]]


def test_the_pause_doubles(tmp_path: Path) -> None:
    with receiver(*["500"] * 50) as there:
        box = Outbox(tmp_path, how(there.url, give_up_s=10**6))
        box.say(north=1)
        seen = []
        for second in range(0, 9000, 10):
            before = len(there.keys)
            box.deliver(second / 60)
            if len(there.keys) > before:
                seen.append(second)
    assert seen == [0, 30, 90, 210, 450, 930, 1890, 3810, 7410]


def test_the_receiver_may_ask_for_a_longer_pause(tmp_path: Path) -> None:
    with receiver("429:600", "503:1") as there:
        box = Outbox(tmp_path, how(there.url))
        box.say(north=1)
        box.deliver(0)
        box.deliver(9.9)
        assert len(there.keys) == 1
        box.deliver(10)
        assert len(there.keys) == 2
        box.deliver(10.9)  # its second is less than our own pause of 60 s
        assert len(there.keys) == 2
        assert box.deliver(11).sent == 1


def test_the_pause_may_be_a_date(tmp_path: Path) -> None:
    then = datetime.now(UTC) + timedelta(minutes=30)
    with receiver(f"503:{email.utils.format_datetime(then, usegmt=True)}", "503:soon") as there:
        box = Outbox(tmp_path, how(there.url))
        box.say(north=1)
        box.deliver(0)
        box.deliver(29)
        assert len(there.keys) == 1
        box.deliver(30.1)
        assert len(there.keys) == 2
        assert box.deliver(31.2).sent == 1


def test_a_scan_is_not_held_up(tmp_path: Path) -> None:
    """Not by a receiver that is never done, nor by many of them."""
    with receiver(*["drip"] * 9) as there:
        box = Outbox(tmp_path, how(there.url, deliver_s=0.6, hook={"timeout_s": 0.25}))
        box.say(**{f"camera{n}": 1 for n in range(9)})
        start = time.monotonic()
        assert box.deliver() == Delivered(sent=0, waiting=9, given_up=0)
        assert time.monotonic() - start < 2.5
        assert 1 <= len(there.keys) <= 4


def test_nothing_follows_a_redirect(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with receiver() as elsewhere, receiver(f"to={elsewhere.url}/x") as there:
        box = Outbox(tmp_path, how(there.url))
        box.say(north=1)
        assert box.deliver().sent == 0
        assert elsewhere.keys == []
    assert "answers 302, a redirect, which is not followed" in caplog.text


def test_given_up_when_old(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with receiver(*["500"] * 3) as there:
        box = Outbox(tmp_path, how(there.url, give_up_s=7200))
        (raised,) = box.say(north=1)
        (resolved,) = box.say(north=0)
        assert box.deliver(0).waiting == box.deliver(119).waiting == 2
        assert box.deliver(190) == Delivered(sent=1, waiting=0, given_up=1)
    assert there.keys == [raised["id"]] * 3 + [resolved["id"]], "what comes behind it has its own attempt"
    assert alert_state.read(box.runs).given_up == 1
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"Alert {raised['id']} is given up after 3 attempts by webhook" in line.getMessage()


def test_an_alert_is_not_given_up_untried(tmp_path: Path) -> None:
    with receiver() as there:
        box = Outbox(tmp_path, how(there.url, give_up_s=60))
        box.say(north=1)
        assert box.deliver(10**5) == Delivered(sent=1, waiting=0, given_up=0)


def test_a_body_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "grüße")
    with receiver() as there:
        box = Outbox(tmp_path, how(there.url, hook={"secret_env": "HOOK_SECRET"}))
        box.say(north=1)
        assert box.deliver().sent == 1
    expected = hmac.new("grüße".encode(), there.bodies[0], hashlib.sha256).hexdigest()
    assert there.headers[0]["x-stormglass-signature"] == f"sha256={expected}"
    assert "authorization" not in there.headers[0]


def test_a_bearer_token_is_sent_where_nobody_reads_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    with receiver() as there:
        box = Outbox(tmp_path, how(there.url, hook={"secret_env": "HOOK_SECRET", "sign": "bearer"}))
        box.say(north=1)
        assert box.deliver().sent == 1
    assert there.headers[0]["authorization"] == "Bearer s3cret"
    with pytest.raises(InputError, match="which needs https"):
        delivery.check(how("http://example.org", hook={"secret_env": "HOOK_SECRET", "sign": "bearer"}))


def test_what_the_environment_lacks_is_told_before_and_waits_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with receiver() as there:
        settings = how(there.url, hook={"secret_env": "HOOK_SECRET"})
        with pytest.raises(InputError, match=r"footage\.alerts\.webhook: the environment variable HOOK_SECRET with"):
            delivery.check(settings)
        box = Outbox(tmp_path, settings)
        box.say(north=1)
        assert box.deliver().sent == 0
        assert there.keys == []
        monkeypatch.setenv("HOOK_SECRET", "s")
        delivery.check(settings)
        assert box.deliver(2).sent == 1
    monkeypatch.setenv("HOOK_URL", "nowhere/s3cret")
    with pytest.raises(InputError, match="HOOK_URL holds no URL") as told:
        delivery.check(how(webhook={"url_env": "HOOK_URL"}))
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/", "http://name.invalid/", "http://127.0.0.1:{port}/"])
def test_a_url_is_never_shown_whole(tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture) -> None:
    with receiver("500", f"to={place}s3cret") as there, caplog.at_level(logging.DEBUG):
        url = place.format(port=there.url.rsplit(":", 1)[1]) + "s3cret?token=s3cret"
        settings = how(url)
        assert "s3cret" not in repr(settings)
        assert "s3cret" not in settings.model_dump_json()
        box = Outbox(tmp_path, settings)
        box.say(north=1)
        assert box.deliver(0).sent == box.deliver(2).sent == 0
    assert len(caplog.messages) == 2
    assert "s3cret" not in caplog.text
    assert "s3cret" not in (box.runs / alert_state.STATE).read_text()


@pytest.mark.parametrize(
    "url",
    ["s3cret", "ftp://host/s3cret", "https:///s3cret", "https://u:s3cret@host/", "http://host:s3cret/",
     "http://h/ s3cret", "http://h/s3cret\n", ["s3cret"], 7],
)  # fmt: skip
def test_a_wrong_url_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(ValidationError) as told:
        Webhook.model_validate({"url": url})
    (error,) = told.value.errors()
    assert error["type"] == "value_error"  # the only kind that tasks.params.explain shows without what came
    assert "https://host/path" in error["msg"]
    assert "s3cret" not in error["msg"]


def test_params_with_a_wrong_url_are_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    start = "models: {one: {adapter: small, weights: w}}\nfootage: {model: one, interval_s: 9, alerts: {webhook: "
    path.write_text(start + "{url: 'https://u:s3cret@host/'}}}\n")
    with pytest.raises(InputError, match=r"footage\.alerts\.webhook\.url.*expected a URL such as") as told:
        params.load(path)
    assert "s3cret" not in str(told.value)
    path.write_text(start + "{url: 'https://host/', secret_emv: S}}}\n")
    with pytest.raises(InputError, match="secret_emv'; did you mean 'secret_env'"):
        params.load(path)


def test_one_address() -> None:
    with pytest.raises(ValidationError, match="expected one of url and url_env, got neither"):
        Webhook()
    with pytest.raises(ValidationError, match="got both"):
        Webhook.model_validate({"url": "https://host", "url_env": "URL"})
    with pytest.raises(ValidationError, match="sign: bearer needs secret_env"):
        Webhook.model_validate({"url": "https://host", "sign": "bearer"})


def test_file_of_lines(tmp_path: Path) -> None:
    box = Outbox(tmp_path, how(file="deep/alerts.jsonl"))
    told = [*box.say(north=1, south=1), *box.say(north=0)]
    assert box.deliver() == Delivered(sent=3, waiting=0, given_up=0)
    path = tmp_path / "deep" / "alerts.jsonl"
    assert [json.loads(line) for line in path.read_text().splitlines()] == told
    with path.open("a") as file:  # killed within a line
        file.write('{"schema": 1, "id"')
    told += box.say(north=1)
    box.deliver()
    delivery.append(path, told[-1])  # killed before it was struck off
    assert [json.loads(line) for line in path.read_text().splitlines()] == told
    assert path.read_text().endswith("\n")


def test_long_lines_in_a_file(tmp_path: Path) -> None:
    """Longer than what is read of its end at once."""
    path, lines = tmp_path / "alerts.jsonl", []
    (alert,) = Outbox(tmp_path, how()).say(north=1)
    for n, length in enumerate((10, 70_000, 200_000, 3)):
        lines.append({**alert, "id": str(n), "text": "x" * length})
        delivery.append(path, lines[-1])  # type: ignore[arg-type]
        delivery.append(path, lines[-1])  # type: ignore[arg-type]
        with path.open("a") as file:
            file.write("y" * 66_000)
    delivery.append(path, lines[-1])  # type: ignore[arg-type]
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines


def test_a_way_that_fails_holds_up_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").mkdir()
    with receiver() as there:
        box = Outbox(tmp_path, how(there.url, file="file", log=True))
        box.say(north=1)
        with caplog.at_level(logging.INFO):
            assert box.deliver() == Delivered(sent=2, waiting=1, given_up=0)
        assert len(there.keys) == 1
        assert "camera north: review (raised): it is." in caplog.messages
        (tmp_path / "file").rmdir()
        assert box.deliver(1) == Delivered(sent=1, waiting=0, given_up=0)
        assert len(there.keys) == 1


def test_the_log_tells_how_urgent_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    box = Outbox(tmp_path, how(log=True, rollback=[["forecast"]]))
    box.say(north=1), box.say(north=0)
    with caplog.at_level(logging.INFO):
        box.deliver()
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.INFO]


def test_events_are_tried_again_and_wait_for_nobody(tmp_path: Path) -> None:
    box = Outbox(tmp_path, how(events=True))
    (alert,) = box.say(north=1)

    def down(_: Alert) -> None:
        raise RuntimeError("no server")

    assert box.deliver(0, emit=down) == Delivered(sent=0, waiting=1, given_up=0)
    got: list[Alert] = []
    assert box.deliver(1, emit=got.append) == Delivered(sent=1, waiting=0, given_up=0)
    assert got == [alert]
    box.say(north=0)
    assert box.deliver(2) == Delivered(sent=0, waiting=0, given_up=0), "without Prefect nobody takes events"


def test_a_way_that_params_no_longer_name_is_waited_for_no_longer(tmp_path: Path) -> None:
    box = Outbox(tmp_path, how("http://127.0.0.1:9/"))
    box.say(north=1)
    assert box.deliver(0).waiting == 1
    box.settings = how()
    assert box.deliver(1) == Delivered(sent=0, waiting=0, given_up=0)
