"""Rekognition Custom Labels over HTTP, against a local server that speaks its protocol: tests/rekognition_server.py."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("boto3", reason="needs the extra 'rekognition'")

from flows import doctor
from tasks import models
from tasks.errors import InputError, WorkFailed
from tasks.models import elsewhere, rekognition, rekognition_version
from tasks.models.lease import Lease
from tasks.models.rekognition_version import stop_left_behind
from tasks.models.wording import settings
from tasks.params import Model
from tests.rekognition_server import ARN, Refused, Service, serving

FORK = multiprocessing.get_context("fork")
ROOT = Path(__file__).parents[3]
BUSY = Refused("ThrottlingException")


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keys that nobody has, a state folder of the test's own, and none of this machine's AWS settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIANOBODYSKEY",
        "AWS_SECRET_ACCESS_KEY": "nobodys-secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    yield
    rekognition._HELD.clear()  # what a failed test left: the next has a server of its own


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as found:
        yield found


def model(service: Service | None = None, *, options: dict[str, Any] | None = None, **changes: Any) -> Model:
    address = {} if service is None else {"endpoint_url": service.url}
    given = {"adapter": "rekognition", "weights": ARN, "classes": ["bus", "car"], "score_threshold": 0.5}
    return Model.model_validate(given | {"options": {"start": True, **address, **(options or {})}} | changes)


def load(given: Model) -> models.Predictor:
    return models.load(given, folder=Path(), device="cpu")


def frame(height: int = 90, width: int = 120) -> np.ndarray:
    """Dark, with one red rectangle: x 10 to 70, y 20 to 50."""
    picture = np.full((height, width, 3), 20, np.uint8)
    picture[20:50, 10:70] = (220, 20, 20)
    return picture


def leases() -> list[dict[str, Any]]:
    return [record for lease in Lease.all(rekognition_version.KIND) if (record := lease.read())]


def test_started_asked_and_stopped_in_that_order(service: Service) -> None:
    before: list[dict[str, Any]] = []
    service.on_start = lambda: before.extend(leases())
    given = model(service, options={"min_inference_units": 2, "max_inference_units": 3})
    with elsewhere.services():
        (output,) = load(given).predict([frame()])
        assert leases() == before
    assert [name for name in service.log if not name.startswith("Describe")] == [
        "StartProjectVersion", "DetectCustomLabels", "StopProjectVersion",
    ]  # fmt: skip
    assert service.asked["StartProjectVersion"]["MinInferenceUnits"] == 2
    assert service.asked["StartProjectVersion"]["MaxInferenceUnits"] == 3
    assert service.asked["DetectCustomLabels"]["MinConfidence"] == 50
    (record,) = before  # written before the service was asked to start
    assert (record["arn"], record["pid"]) == (ARN, os.getpid())
    assert leases() == []
    assert output.boxes.tolist() == [[10, 20, 70, 50]]
    assert output.scores.tolist() == [0.875]
    assert output.class_ids.tolist() == [1]


def test_what_ran_before_is_never_stopped() -> None:
    with serving(status="RUNNING") as service:
        with elsewhere.services():
            load(model(service)).predict([frame()])
        assert service.status == "RUNNING"
        assert not {"StartProjectVersion", "StopProjectVersion"} & set(service.log)


def test_what_somebody_else_starts_first_is_never_stopped(service: Service) -> None:
    def quicker() -> None:
        service.status, service.left = "STARTING", 1

    service.on_start = quicker
    with elsewhere.services():
        load(model(service)).predict([frame()])
    assert service.status == "RUNNING"


def test_without_leave_nothing_is_started(service: Service) -> None:
    with pytest.raises(InputError, match=r"is STOPPED: start it, or allow that with options: \{start: true\}"):
        elsewhere.ready(model(service, options={"start": False}))
    models.MODELS["rekognition"].release()
    assert "StartProjectVersion" not in service.log
    assert leases() == []


def test_left_running_where_params_say_so(service: Service) -> None:
    with elsewhere.services():
        load(model(service, options={"stop_after": False})).predict([frame()])
    assert service.status == "RUNNING"
    assert stop_left_behind() == []


def test_a_version_is_used_in_one_way_and_what_was_started_is_stopped(service: Service) -> None:
    with elsewhere.services():
        load(model(service)).predict([frame()])
        load(model(service, score_threshold=0.9, options={"max_side_px": 640})).predict([frame()])
        with pytest.raises(InputError, match=r"in use by another model, with another options\.stop_after: give both"):
            load(model(service, options={"stop_after": False})).predict([frame()])
    assert service.status == "STOPPING"
    assert leases() == []
    assert service.log.count("StartProjectVersion") == service.log.count("StopProjectVersion") == 1


def fail_while_it_runs(service: Service) -> None:
    elsewhere.ready(model(service))
    assert service.status == "RUNNING"
    raise ZeroDivisionError


def test_an_error_stops_it_as_well(service: Service) -> None:
    with pytest.raises(ZeroDivisionError), elsewhere.services():
        fail_while_it_runs(service)
    assert service.status == "STOPPING"


def test_one_that_is_still_starting_is_stopped_once_it_runs(service: Service) -> None:
    service.looks = 3
    with pytest.raises(WorkFailed, match="is still STARTING after"), elsewhere.services():
        elsewhere.ready(model(service, options={"wait_minutes": 0.001}))
    (record,) = leases()  # it could not be stopped yet, and the lease stays
    assert record["arn"] == ARN
    assert stop_left_behind() == [ARN]
    assert service.status == "STOPPING"
    assert leases() == []


def test_states_that_lead_nowhere_are_said(service: Service) -> None:
    service.status = "TRAINING_FAILED"
    with pytest.raises(InputError, match=r"is TRAINING_FAILED and cannot run \(as it is\)"):
        elsewhere.ready(model(service))
    with pytest.raises(InputError, match="There is no project version"):
        elsewhere.ready(model(service, weights=ARN.replace("2026-01-01", "2026-01-02")))


def use(given: Model, pipe: Connection) -> None:
    """In a process of its own: ask once, then stay."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
    with elsewhere.services():
        load(given).predict([frame()])
        pipe.send("asked")
        pipe.recv()


def other(service: Service) -> tuple[BaseProcess, Connection]:
    """Another process that uses the version. Forked before this one does: a fork would hold what this one holds."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=use, args=(model(service), theirs), daemon=True)  # a test that fails ends it
    process.start()
    theirs.close()
    assert ours.recv() == "asked"
    return process, ours


def ended(process: BaseProcess, number: signal.Signals) -> int:
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(20)
    status = process.exitcode
    process.kill()  # one that stays would hold what it was forked with
    assert status is not None, f"still there after {number.name}"
    return status


def test_killed_then_stopped_by_the_next_run(service: Service) -> None:
    assert ended(other(service)[0], signal.SIGKILL) == -signal.SIGKILL
    assert service.status == "RUNNING"
    assert len(leases()) == 1
    with elsewhere.services():  # goes on with it: starting takes minutes
        load(model(service)).predict([frame()])
        assert service.log.count("StartProjectVersion") == 1
    assert service.status == "STOPPING"
    assert leases() == []


def test_killed_then_stopped_by_doctor(service: Service) -> None:
    assert ended(other(service)[0], signal.SIGKILL) == -signal.SIGKILL
    assert doctor._rekognition() == f"stopped {ARN}, left running by a run that was killed"
    assert service.status == "STOPPING"
    assert doctor._rekognition() == "nothing left running"


def test_killed_then_stopped_by_a_run_of_another_version(service: Service) -> None:
    assert ended(other(service)[0], signal.SIGKILL) == -signal.SIGKILL
    another = ARN.replace("10.00", "11.00")
    with serving(arn=another, status="RUNNING") as second, elsewhere.services():
        elsewhere.ready(model(second, weights=another))
        assert service.status == "STOPPING"
        assert stop_left_behind() == []
        assert second.status == "RUNNING"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_stops_what_it_started(service: Service, number: signal.Signals) -> None:
    assert ended(other(service)[0], number) != 0
    assert service.status == "STOPPING"
    assert leases() == []


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from tasks import models
from tasks.params import Model
predictor = models.load(Model.model_validate_json(sys.argv[1]), folder=Path(), device="cpu")
predictor.predict([np.zeros((90, 120, 3), np.uint8)])
print("asked", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_script_that_releases_nothing_stops_it_at_its_end(service: Service) -> None:
    command = [sys.executable, "-c", SCRIPT, model(service).model_dump_json(exclude_unset=True)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert service.status == "STOPPING"
    assert leases() == []


def test_the_last_one_out_stops_it(service: Service) -> None:
    process, pipe = other(service)
    with elsewhere.services():
        elsewhere.ready(model(service))
        assert stop_left_behind() == []
    assert service.status == "RUNNING"  # the other one is at it
    pipe.send("go")
    process.join(20)
    assert process.exitcode == 0
    assert service.status == "STOPPING"
    assert service.log.count("StartProjectVersion") == service.log.count("StopProjectVersion") == 1


def test_not_ready_is_waited_for(service: Service) -> None:
    with elsewhere.services():
        predictor = load(model(service))
        service.faults["DetectCustomLabels"] = [Refused("ResourceNotReadyException")] * 2
        (output,) = predictor.predict([frame()])
        assert len(output.boxes) == 1
    assert service.log.count("DetectCustomLabels") == 3


def test_throttled_twice_then_fine(service: Service) -> None:
    service.faults["DetectCustomLabels"] = [BUSY, Refused("ProvisionedThroughputExceededException")]
    service.faults["StartProjectVersion"] = [Refused("InternalServerError", 500)]
    with elsewhere.services():
        (output,) = load(model(service)).predict([frame()])
    assert len(output.boxes) == 1
    assert service.log.count("DetectCustomLabels") == 3
    assert service.log.count("StartProjectVersion") == 2


def test_too_many_throttles_are_one_sentence(service: Service) -> None:
    service.faults["DetectCustomLabels"] = [BUSY] * 9
    with pytest.raises(WorkFailed) as caught, elsewhere.services():
        load(model(service, options={"attempts": 3})).predict([frame()])
    assert service.log.count("DetectCustomLabels") == 3
    size = len(rekognition.encoded(frame(), max_side_px=4096, max_bytes=4_000_000)[0])
    assert str(caught.value) == (
        f"{ARN} is too busy for frame 1 of 1 of a call, 120x90 px sent as PNG of {size} bytes "
        "(ThrottlingException 3 times): lower run.workers, or start it with more min_inference_units."
    )
    assert service.status == "STOPPING"


@pytest.mark.parametrize(
    ("height", "width", "sent"),
    [(600, 6000, (410, 4096)), (40, 60, (64, 96)), (90, 120, (90, 120)), (3000, 250, (3000, 250))],
)
def test_sizes_over_the_limits_are_resized_and_boxes_map_back(
    service: Service, height: int, width: int, sent: tuple[int, int]
) -> None:
    picture = np.full((height, width, 3), 20, np.uint8)
    box = np.array([width // 5, height // 4, width // 2, height // 2])
    picture[box[1] : box[3], box[0] : box[2]] = 220
    with elsewhere.services():
        (output,) = load(model(service)).predict([picture])
    ((kind, *size, _),) = service.pictures
    assert (kind, tuple(size)) == ("PNG", sent)
    scale = max(1.0, width / sent[1])  # within a pixel of the picture that was sent
    np.testing.assert_allclose(output.boxes[0], box, atol=scale)


def test_bytes_over_the_limit_go_as_jpeg_and_smaller(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 40, (400, 500, 3)).astype(np.uint8)
    noise[100:300, 200:450] += 200
    with elsewhere.services():
        predictor = load(model(service, options={"max_bytes": 150_000}))
        first, second = predictor.predict([noise, frame()])
        (third,) = load(model(service, options={"max_bytes": 20_000})).predict([noise])
    (kind, *size, length), (plain, *_), (small, *less, least) = service.pictures
    assert (kind, size, plain, small) == ("JPEG", [400, 500], "PNG", "JPEG")
    assert length <= 150_000
    assert least <= 20_000
    assert less[0] < 400
    assert less[0] / less[1] == pytest.approx(0.8, abs=0.01)
    for output, off in ((first, 1), (third, 3)):
        np.testing.assert_allclose(output.boxes, [[200, 100, 450, 300]], atol=off)
    assert second.boxes.tolist() == [[10, 20, 70, 50]]
    assert "gets frames as JPEG where PNG is over 150000 bytes" in caplog.text


def test_frames_that_the_service_does_not_take_are_said(service: Service) -> None:
    with elsewhere.services():
        predictor = load(model(service))
        with pytest.raises(InputError, match=r"up to 20:1, got a frame of 1300x64 px"):
            predictor.predict([frame(64, 1300)])
        service.faults["DetectCustomLabels"] = [Refused("ImageTooLargeException")]
        with pytest.raises(InputError, match=r"does not take frame 1 of 2 of a call, 120x90 px .*ImageTooLarge"):
            predictor.predict([frame(), frame()])


def test_images_are_labelled_and_none_is_unknown(service: Service) -> None:
    given = model(service, variant="classification", classes=["bus", "car", "Unknown"], score_threshold=0.3)
    sure, unsure = {"Name": "car", "Confidence": 90.0}, {"Name": "bus", "Confidence": 10.0}
    answers = [[sure, unsure], [], [{"Name": "car", "Confidence": 35.0}]]
    service.labels = lambda pixels: answers.pop(0)
    assert models.describe(given, folder=Path())["tasks"] == ["classification"]
    with elsewhere.services():
        outputs = load(given).predict([frame()] * 3)
    found = np.array([output.probabilities for output in outputs])
    np.testing.assert_allclose(found[0], [0.05, 0.9, 0.05], atol=1e-6)  # bus is below the threshold: as good as Unknown
    assert found[1].tolist() == [0, 0, 1]
    np.testing.assert_allclose(found[2], [0.325, 0.35, 0.325], atol=1e-6)  # what came stays the most likely
    assert all(len(output.boxes) == 0 for output in outputs)


def test_probabilities_sum_to_one_and_keep_the_best() -> None:
    for scores in ([0.9, 0.8], [0.2, 0.1], [0.5], [0.1]):
        found = rekognition.probabilities(np.arange(len(scores)), np.array(scores), 3)
        assert found.sum() == pytest.approx(1)
        assert found.argmax() == 0


def test_labels_that_do_not_fit_the_params_are_said(service: Service) -> None:
    with elsewhere.services():
        with pytest.raises(InputError, match="knows the label 'car', which classes lacks"):
            load(model(service, classes=["bus"])).predict([frame()])
        images = model(service, variant="classification", classes=["car", "Unknown"])
        with pytest.raises(InputError, match="gives labels as variant: detection has them"):
            load(images).predict([frame()])
        service.labels = lambda pixels: [{"Name": "car", "Confidence": 80.0}]
        with pytest.raises(InputError, match="gives labels as variant: classification has them"):
            load(model(service)).predict([frame()])


def test_missing_credentials_are_one_sentence(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match=r"needs AWS credentials, and this environment gives none") as caught:
        elsewhere.ready(model(service))
    assert "\n" not in str(caught.value)
    assert service.log == []
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    rekognition._HELD.clear()
    with pytest.raises(InputError, match=r"needs AWS credentials.*ProfileNotFound"):
        elsewhere.ready(model(service))


def test_credentials_that_are_refused_are_one_sentence(service: Service) -> None:
    service.faults["DescribeProjects"] = [Refused("UnrecognizedClientException")]
    with pytest.raises(InputError, match=r"does not take the credentials of this environment"):
        elsewhere.ready(model(service))
    service.faults["DescribeProjects"] = [Refused("AccessDeniedException")]
    with pytest.raises(InputError, match=r"does not take DescribeProjectVersions \(AccessDeniedException: the server"):
        elsewhere.ready(model(service))


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with serving() as gone:
        pass
    with pytest.raises(WorkFailed, match="did not answer DescribeProjectVersions: Could not connect"):
        elsewhere.ready(model(gone, options={"attempts": 1}))


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InputError, match=r"needs boto3: pip install stormglass\[rekognition\]"):
        elsewhere.ready(model())


def test_the_hash_holds_what_decides_and_no_credentials(service: Service, tmp_path: Path) -> None:
    def key(**changes: Any) -> dict[str, str | int]:
        return models.fingerprint(model(service, **changes), folder=tmp_path)

    same = {
        "start": False,
        "attempts": 2,
        "wait_minutes": 5,
        "endpoint_url": "https://vpce.example",
        "stop_after": False,
    }
    assert key() == key(options=same)
    others = [
        key(score_threshold=0.4), key(options={"max_side_px": 1000}), key(classes=["car", "bus"]),
        key(weights=ARN.replace("10.00", "11.00")), key(variant="classification", classes=["bus", "Unknown"]),
    ]  # fmt: skip
    assert all(other != key() for other in others)
    with elsewhere.services():
        load(model(service)).predict([frame()])
        kept = "".join(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert ARN in kept
    for word in ("AKIANOBODYSKEY", "nobodys-secret"):
        assert word not in kept + json.dumps(key())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights": "model.onnx"}, "needs weights: the ARN of a project version"),
        ({"weights": None}, "needs weights: the ARN of a project version"),
        ({"variant": "boxes"}, "has the variants detection and classification"),
        ({"classes": None}, "needs classes"),
        ({"nms_iou": 0.5}, "leaves that to the service: remove nms_iou"),
        ({"input": {"resize": "stretch", "size": [10, 10]}}, "remove input"),
        ({"options": {"stop": True}}, "unknown key 'stop'; did you mean 'stop_after'"),
        ({"options": {"start": 1}}, "'start': Input should be a valid boolean, got 1"),
        ({"options": {"max_side_px": 5000}}, "'max_side_px': .*4096"),
        ({"options": {"endpoint_url": "https://me:secret@host"}}, r"HOST without a user or password in it\.$"),
    ],
)
def test_settings_that_cannot_be_followed(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        models.check(model(**changes), folder=Path())


def test_the_sentence_for_people() -> None:
    assert settings(model(), {"tasks": ["detection"]}) == (
        "rekognition detection (start True, stop_after True, wait_minutes 30, min_inference_units 1, attempts 8, "
        "max_side_px 4096, max_bytes 4000000); frames as they are; labels above 0.5"
    )


def test_a_lease_is_held_by_processes_not_by_files(tmp_path: Path) -> None:
    one, two, three = (Lease(tmp_path / "a.json") for _ in range(3))
    one.hold()
    two.hold()
    assert not three.alone()
    assert not one.alone()  # and so it holds it no more
    assert two.alone()
    two.write({"arn": "x"})
    two.leave()
    assert three.read() == {"arn": "x"}
    assert three.alone()
    three.clear()
    assert three.read() is None
    (tmp_path / "a.json").write_text('{"arn": "x')
    assert three.read() is None


def test_a_start_that_was_never_asked_for_leaves_nothing(service: Service) -> None:
    """Killed between the lease and the call: the version is stopped, which is believed once the start is long ago."""
    long_ago = {"arn": ARN, "region": None, "endpoint_url": service.url, "by": "me@here", "pid": 1}
    lease = Lease.of(rekognition_version.KIND, ARN)
    lease.write(long_ago | {"at": "2026-01-01T00:00:00+00:00"})
    lease.leave()
    start = time.monotonic()
    assert stop_left_behind() == []
    assert time.monotonic() - start < 5
    assert leases() == []
    assert "StopProjectVersion" not in service.log
