"""dvc.yaml: what each stage depends on, and a folder of one's own under DVC."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import cli, init
from tasks.params import Params, load
from tests import tiny
from tests.flows.conftest import ROOT, environment


def stages(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)["stages"]
    return found


def names(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


REPOSITORY = stages((ROOT / "dvc.yaml").read_text())
OWN = stages(init.DVC)


def test_stages_in_order() -> None:
    assert list(REPOSITORY) == ["crossing", "prepare", "train", "infer", "score", "realtime", "gallery", "publish"]
    assert list(OWN) == ["prepare", "infer", "score", "realtime", "gallery", "publish"]


def test_code_that_stages_name_is_there_and_covers_the_stage() -> None:
    code = {
        name: [dep for dep in names(stage["deps"]) if dep.startswith("tasks")] for name, stage in REPOSITORY.items()
    }
    for name, dependencies in code.items():
        for dependency in dependencies:
            assert (ROOT / dependency).exists(), f"{name} depends on {dependency}, which is gone"
    assert {"tasks/report", "tasks/gates"} <= set(code["publish"])
    assert not any(dependency == "tasks" for found in code.values() for dependency in found)


@pytest.mark.parametrize("found", [REPOSITORY, OWN], ids=["repository", "init"])
def test_what_one_stage_writes_another_reads(found: dict[str, Any]) -> None:
    written: set[str] = {"${dataset.path}", "${models.mine.weights}"} if found is OWN else {"${dataset.path}"}
    for name, stage in found.items():
        for dependency in names(stage["deps"]):
            if not dependency.startswith("tasks"):
                base = {dependency, dependency.split("/")[0]}
                assert base & written, f"{name} reads {dependency}, which nothing before it writes"
        models = stage.get("matrix", {}).get("model", [""])
        for out in names([*stage["outs"], *stage.get("metrics", []), *stage.get("plots", [])]):
            written |= {out.replace("${item.model}", model) for model in models}


@pytest.mark.parametrize(
    ("section", "first"),
    [
        ("gates", "publish"),
        ("slices", "score"),
        ("policy", "score"),
        ("corruptions", "infer"),
        ("latency", "infer"),
        ("realtime", "realtime"),
        ("train", "train"),
        ("crossing", "crossing"),
    ],
)
def test_a_changed_section_runs_its_stage_first(section: str, first: str) -> None:
    concerned = [name for name, stage in REPOSITORY.items() if section in stage["params"]]
    assert concerned[0] == first


@pytest.mark.parametrize("found", [REPOSITORY, OWN], ids=["repository", "init"])
def test_params_of_stages_are_params(found: dict[str, Any]) -> None:
    for stage in found.values():
        for key in stage["params"]:
            assert key.split(".")[0] in Params.model_fields


def test_init_writes_params_that_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", str(tmp_path / "mine")]) == 0
    assert "stormglass import coco" in capsys.readouterr().out
    params = load(tmp_path / "mine/params.yaml")
    assert list(params.models) == ["mine"]
    assert [choice.name for choice in params.choices()][-1] == "h264"
    (tmp_path / "mine/params.yaml").write_text("mine: now\n")
    assert cli.main(["init", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine/params.yaml").read_text() == "mine: now\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder after `init`, with tiny data and model, in git and DVC."""
    init.write(tmp_path / "mine")
    tiny.write(tmp_path / "tiny", models=1)
    folder = tmp_path / "mine"
    shutil.move(tmp_path / "tiny/data", folder / "data")
    (folder / "models").mkdir()
    shutil.move(tmp_path / "tiny/models/m0.safetensors", folder / "models/mine.safetensors")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["models"] = {"mine": {"adapter": "small", "weights": "models/mine.safetensors"}}
    params["corruptions"] = {"noise": ["gaussian_noise"], "compression": [{"jpeg_compression": {"quality": [30, 10]}}]}
    params["severities"] = [1]
    params["run"]["prefect"] = False
    params["run"]["workers"] = 1
    params["gates"] = [{"metric": "map", "min": 0}]
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    return folder


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


@pytest.mark.slow
def test_a_folder_of_ones_own_under_dvc(project: Path) -> None:
    assert ran(dvc(project, "repro")) == ["prepare", "infer", "score", "realtime", "gallery", "publish"]
    assert (project / "reports/robustness.html").is_file()
    metrics = json.loads(dvc(project, "metrics", "show", "--json"))
    assert "reports/metrics.json" in str(metrics)
    start = time.monotonic()
    assert ran(dvc(project, "repro")) == []
    assert time.monotonic() - start < 10

    path = project / "params.yaml"
    tiny.change(path, gates=[{"metric": "map", "min": 0.5}])
    assert ran(dvc(project, "repro")) == ["publish"]

    parts = {part: part.stat().st_mtime_ns for part in project.glob(".stormglass/parts/*/*.json")}
    changed = {"noise": ["gaussian_noise"], "compression": [{"jpeg_compression": {"quality": [30, 10, 5]}}]}
    tiny.change(path, corruptions=changed)
    assert ran(dvc(project, "repro")) == ["infer", "score", "realtime", "gallery", "publish"]
    after = {part: part.stat().st_mtime_ns for part in project.glob(".stormglass/parts/*/*.json")}
    assert parts.items() <= after.items()
    assert len(after) == len(parts) + 1
    cells = {part.parent.name for part in project.glob("predictions/mine/jpeg_compression/*/*.parquet")}
    assert cells == {"1", "2", "3"}
    assert dvc(project, "status").strip() == "Data and pipelines are up to date."
