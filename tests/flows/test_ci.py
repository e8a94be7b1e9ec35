"""The examples of docs/ci: their commands exist, fit together, and do what CI needs of them."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from flows import arguments, cli, runtime
from tasks import params
from tests import tiny
from tests.flows.conftest import ROOT

DOCS = ROOT / "docs"


def github() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((DOCS / "ci/github-actions.yml").read_text())["jobs"]["robustness"][
        "steps"
    ]
    return found


def gitlab() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCS / "ci/gitlab-ci.yml").read_text())["robustness"]
    return found


def stormglass(lines: list[str]) -> list[list[str]]:
    """The words of each command `stormglass ...` among lines of shell."""
    commands = [command.strip() for line in lines for command in line.split(" && ")]
    return [shlex.split(command, comments=True)[1:] for command in commands if command.startswith("stormglass ")]


def fenced(path: Path) -> list[str]:
    return "\n".join(re.findall(r"^```\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)).splitlines()


SOURCES = {
    "github": [step.get("run", "") for step in github()],
    "gitlab": [*gitlab()["before_script"], *gitlab()["script"], *gitlab()["after_script"]],
    "ci.md": fenced(DOCS / "ci.md"),
    "README": fenced(ROOT / "README.md"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_commands_exist_with_those_options(source: str) -> None:
    commands = stormglass(SOURCES[source])
    assert len(commands) >= 3
    for words in commands:
        arguments.parser().parse_args(words)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for line in SOURCES[source]:
        if line.startswith("make "):
            assert line.split()[1] in targets


def test_both_run_the_same_three_commands() -> None:
    three = stormglass(SOURCES["gitlab"])
    assert stormglass(SOURCES["github"])[:3] == three
    assert stormglass(SOURCES["ci.md"])[:3] == three
    assert [words[0] for words in three] == ["check", "run", "gate"]


def test_what_they_cache_and_keep(tmp_path: Path) -> None:
    store = params.load(DOCS / "ci/profile.yaml").run.store
    steps = {step["uses"].split("@")[0]: step for step in github() if "uses" in step}
    assert steps["actions/cache"]["with"]["path"] == store
    assert store in gitlab()["cache"]["paths"]
    assert set(steps) == {f"actions/{name}" for name in ("checkout", "setup-python", "cache", "upload-artifact")}
    assert steps["actions/upload-artifact"]["with"]["path"] == gitlab()["artifacts"]["paths"][0] == "ci/reports"
    assert steps["actions/upload-artifact"]["if"] == "always()"
    assert gitlab()["artifacts"]["when"] == "always"
    assert gitlab()["artifacts"]["reports"]["junit"] == "ci/reports/junit.xml"


@pytest.mark.slow
def test_the_commands_on_a_small_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The profile's gates on two untrained models fail; those of the whole benchmark are not run, and fail too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(runtime.SWITCH, "off")
    profile = yaml.safe_load((DOCS / "ci/profile.yaml").read_text())
    path = tiny.write(tmp_path, corruptions={"weather": ["fog"], "noise": ["gaussian_noise"]})
    tiny.change(path, baseline="m0", gates=profile["gates"], severities=[3])
    path.rename("ci.yaml")
    shutil.rmtree("tables")
    check, run, gate, publish = stormglass(SOURCES["github"])
    assert cli.main(check) == 0
    assert cli.main(run) == 0
    assert not list(tmp_path.glob("ci/predictions/*/gaussian_noise"))
    capsys.readouterr()
    assert cli.main(gate) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("fail         m1: ")
    assert "map (detection) >= 0.25, family weather, severity 3" in told[0]
    assert not [line for line in told if line.startswith("not_run")]  # the profile asks for no more than runs

    suite = ElementTree.parse("ci/reports/junit.xml").getroot()
    assert suite.get("tests") == "3"
    assert int(suite.get("failures", "")) >= 1
    assert "Do not ship" in Path("ci/reports/summary.md").read_text()

    assert cli.main([*publish[: publish.index("--to") + 1], "site"]) == 0
    assert Path("site/robustness.html").read_bytes() == Path("ci/reports/robustness.html").read_bytes()

    easy = {"metric": "map", "severity": 3, "min": 0.0}
    tiny.change(Path("ci.yaml"), gates=[{**easy, "family": "weather"}])
    assert cli.main(gate) == 0
    # What was left out: by name, by family, as one of all, and in a summary over all.
    wider = [{**easy, "corruption": "gaussian_noise"}, {**easy, "family": "noise"}, easy]
    tiny.change(Path("ci.yaml"), gates=[*wider, {"metric": "mpc", "task": "detection", "min": 0.0}])
    capsys.readouterr()
    assert cli.main(gate) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told[:-1]] == ["not_run"] * 4
    assert all("gaussian_noise, which this run left out" in line for line in told[:-1])
    # The report of the narrowed run is made all the same, and says the same.
    assert cli.main(publish[: publish.index("--to")]) == 0
    assert ElementTree.parse("ci/reports/junit.xml").getroot().get("skipped") == "4"


@pytest.mark.slow
def test_a_slice_that_the_limit_cut_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run takes the clips of the first camera, `gate` is not told so. No data at all is still an error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(runtime.SWITCH, "off")
    path = tiny.write(tmp_path, clips=3, frames=2, models=1, corruptions={"weather": ["fog"]})
    made = json.loads(Path("data/dataset.json").read_text())
    for image in made["images"]:
        image["attributes"] = {"camera": "c1" if image["video_id"] <= 2 else "c3"}
    Path("data/dataset.json").write_text(json.dumps(made))
    rule = {"metric": "map", "severity": 0, "min": 0.0, "on_uncertain": "pass"}
    here, beyond = ({**rule, "slice": f"camera={name}"} for name in ("c1", "c3"))
    tiny.change(path, severities=[1], slices={"attributes": ["camera"]}, gates=[here, beyond])
    options = ["--params", "params.yaml", "--out", "ci"]
    assert cli.main(["run", *options, "--limit", "4"]) == 0
    capsys.readouterr()
    assert cli.main(["gate", *options]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["pass", "not_run", "1"]
    assert "cut away by `--limit`" in told[1]
    assert ElementTree.parse("ci/reports/junit.xml").getroot().get("skipped") == "1"
    row = next(line for line in Path("ci/reports/robustness.html").read_text().splitlines() if "cut away by" in line)
    assert "camera = c3" in row

    tiny.change(path, gates=[here, {**rule, "slice": "camera=c4"}])
    assert cli.main(["gate", *options]) == 2
    assert "'camera=c4' is no slice of this run" in capsys.readouterr().err
