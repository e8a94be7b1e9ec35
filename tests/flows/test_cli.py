"""The command line: exit statuses, one sentence for a user's mistake, nothing half written."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows import cli, runtime
from tests import tiny
from tests.flows.conftest import Command


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(runtime.SWITCH, "off")
    monkeypatch.delenv("STORMGLASS_TRACEBACK", raising=False)
    monkeypatch.chdir(tmp_path)
    return tiny.write(tmp_path, models=1)


def edit(path: Path, **sections: Any) -> None:
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(data | sections))


MISTAKES: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "a typo in params": (lambda path: edit(path, severitis=[1]), ["infer"], "'severitis'; did you mean 'severities'?"),
    "no params": (lambda path: path.unlink(), ["score"], "stormglass init"),
    "no YAML": (lambda path: path.write_text("models: ["), ["infer"], "not valid YAML"),
    "no text": (lambda path: path.write_bytes(bytes(range(128, 256))), ["infer"], "not valid YAML"),
    "a gate on no metric": (
        lambda path: edit(path, gates=[{"metric": "mapp", "min": 0}]),
        ["check"],
        "'mapp' is no metric of this run; did you mean 'map'",
    ),
    "a store under a file": (
        lambda path: edit(path, run={"store": "params.yaml/parts", "prefect": False}),
        ["infer"],
        "run.store: cannot make the folder",
    ),
    "a gate on no class": (
        lambda path: edit(path, gates=[{"metric": "map", "class": "cra", "min": 0}]),
        ["check"],
        "'cra' is no class of detection of this run; did you mean 'car'",
    ),
    "a gate on latency of no corruption": (
        lambda path: edit(path, gates=[{"metric": "latency_p95_ms", "corruption": "fog", "severity": 3, "max": 9}]),
        ["check"],
        "fog",
    ),
    "a folder under a file": (lambda path: None, ["init", "params.yaml/new"], "Cannot read or write params.yaml/new"),
    "an unknown corruption": (lambda path: edit(path, corruptions={"a": ["fogg"]}), ["infer"], "'fogg'; did you mean"),
    "no tables": (
        lambda path: shutil.rmtree(path.parent / "tables"),
        ["infer"],
        "classes.parquet, found no file: run `stormglass prepare` first",
    ),
    "no weights": (lambda path: (path.parent / "models/m0.safetensors").unlink(), ["infer"], "m0.safetensors"),
    "weights of something else": (
        lambda path: (path.parent / "models/m0.safetensors").write_bytes(b"PK" * 99),
        ["infer"],
        "m0.safetensors",
    ),
    "a picture that is gone": (
        lambda path: (path.parent / "data/images/0-1.png").unlink(),
        ["infer"],
        "data/images/0-1.png",
    ),
    "no such device": (
        lambda path: edit(path, run={"device": "tpu", "prefect": False}),
        ["infer"],
        "expected auto, cpu, cuda",
    ),
    "--only without a match": (lambda path: None, ["infer", "--only", "snow*"], "gaussian_noise, jpeg_compression"),
    "no data set": (lambda path: shutil.rmtree(path.parent / "data"), ["prepare"], "dataset.json"),
    "no scores": (lambda path: None, ["gate"], "scores.parquet"),
    "no model of that name": (lambda path: None, ["train", "crossing-v9"], "crossing-v1"),
    "a folder that is taken": (lambda path: None, ["init", "."], "params.yaml already"),
    "an empty import": (lambda path: None, ["import", "coco", "none.json", "--images", ".", "new"], "none.json"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_status_2(path: Path, mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    prepare, arguments, message = MISTAKES[mistake]
    prepare(path)
    assert cli.main(arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("stormglass: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not any((path.parent / name).exists() for name in ("predictions", "scores", "gallery", "reports"))


def test_a_developer_sees_where_it_comes_from(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.unlink()
    assert cli.main(["--traceback", "infer"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["infer", "--limit", "0"], ["run"], ["import", "voc", "a", "b"]])
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert "usage: stormglass" in capsys.readouterr().err


def test_all_stages_on_ones_own_data(path: Path, command: Command, prefect: dict[str, str]) -> None:
    gates = [{"metric": "map", "min": 0.99}]
    edit(path, gates=gates, corruptions={"noise": ["gaussian_noise"]}, severities=[2])
    tiny.change(path, run={"prefect": True})
    out = path.parent / "out"
    done = command("run", "--params", path, "--out", out, **prefect)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == str(out / "reports/robustness.html")
    assert (out / "reports/robustness.html").is_file()
    assert not (path.parent / "reports").exists()
    assert (path.parent / ".stormglass/parts").is_dir()  # shared by all runs of these params
    url = prefect["PREFECT_API_URL"]
    found = {item["key"]: item for item in httpx.post(f"{url}/artifacts/latest/filter", json={}).json()}
    assert set(found) == {f"stormglass-{name}" for name in ("verdict", "scores", "gates", "report")}
    (row,) = json.loads(found["stormglass-gates"]["data"])
    assert (row["status"], row["model"], row["threshold"]) == ("fail", "m0", 0.99)
    assert found["stormglass-verdict"]["data"] == (out / "reports/summary.md").read_text()
    assert '"metric": "map"' in found["stormglass-scores"]["data"]
    assert (out / "reports/robustness.html").as_uri() in found["stormglass-report"]["data"]
    judged = command("gate", "--params", path, "--out", out)
    assert judged.returncode == 1
    assert judged.stdout.splitlines()[0].startswith("fail")
    edit(path, gates=[{"metric": "map", "min": 0}])
    assert command("gate", "--params", path, "--out", out).returncode == 0


def test_a_run_ends_where_it_is_told_to(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(path, corruptions={"noise": ["gaussian_noise"]}, severities=[2])
    out = path.parent / "out"
    assert cli.main(["run", "--params", str(path), "--out", str(out), "--until", "score"]) == 0
    told = capsys.readouterr()
    assert (out / "scores/scores.parquet").is_file()
    assert not {"realtime", "gallery", "reports"} & {one.name for one in out.iterdir()}
    assert "stormglass: score" in told.err
    assert "realtime" not in told.err
    assert told.out == ""


def test_light_commands_load_no_heavy_library() -> None:
    code = (
        "import sys; from flows import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'prefect', 'torch', 'pandas', 'dvc', 'cv2'} & set(sys.modules); sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_doctor(command: Command) -> None:
    done = command("doctor")
    assert done.returncode == 0, done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) >= 11


def test_doctor_names_what_to_install(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import doctor

    def missing() -> str:
        raise doctor.Missing(doctor._explain("cv2", ImportError("libGL.so.1: cannot open shared object file")))

    checks = ("python", "packages", "onnxruntime", "rekognition", "device", "image", "video", "prefect", "dvc", "disk")
    for name in checks:
        monkeypatch.setattr(doctor, f"_{name}", lambda *_: "fine")
    monkeypatch.setattr(doctor, "_opencv", missing)
    assert doctor.examine() == 1
    out = capsys.readouterr().out
    assert "failed  opencv" in out
    assert re.search(r"ok +adapters +classical, onnx, python, recorded, rekognition, small, torchscript", out)
    assert "apt-get install libgl1" in out
