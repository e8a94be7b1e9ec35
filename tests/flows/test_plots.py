"""DVC's own views of what `publish` writes: `metrics diff` and `plots diff` show a changed number, and open offline."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import init
from tests import chromium
from tests.flows.conftest import ROOT, environment

DVC = """\
stages:
  publish:
    cmd: "true"
    metrics: [{reports/metrics.json: {cache: false}}]
    plots: [{reports/curves: {cache: false, template: plots/curves.json, x: severity, y: value}}]
"""
CURVES = """\
model,corruption,severity,strength,value,low,high
old,clean,0,,0.5,0.4,0.6
old,fog,1,2,0.4,0.3,0.5
old,fog,2,3,{fog},0.2,0.4
old,rain,1,2,0.6,0.5,0.7
old,rain,2,3,,,
new,clean,0,,0.45,0.35,0.55
new,fog,1,2,0.44,0.34,0.54
new,fog,2,3,0.42,0.32,0.52
new,rain,1,2,0.41,0.31,0.51
new,rain,2,3,0.4,0.3,0.5
"""


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path, fog: float) -> None:
    """Outputs of `publish` with one figure of their own, committed to git."""
    (folder / "reports/curves").mkdir(parents=True, exist_ok=True)
    (folder / "reports/curves/detection.csv").write_text(CURVES.format(fog=fog))
    (folder / "reports/metrics.json").write_text(json.dumps({"old": {"detection": {"mpc": fog}}, "unchanged": 1}))
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", f"fog {fog}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own after `stormglass init` and two commits."""
    folder = tmp_path_factory.mktemp("project")
    init.write(folder)
    (folder / "dvc.yaml").write_text(DVC)
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "config", "plots.html_template", "../plots/page.html")
    commit(folder, 0.3)
    commit(folder, 0.35)
    return folder


def dvc(folder: Path, *words: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *words)


def drawn(folder: Path, *words: str) -> dict[str, Any]:
    """A plot as Vega-Lite is given it."""
    found: dict[str, Any] = json.loads(dvc(folder, "plots", *words, "--show-vega"))
    return found


def test_metrics_diff_shows_the_changed_number_alone(project: Path) -> None:
    found = json.loads(dvc(project, "metrics", "diff", "HEAD~1", "--json"))
    changed = found["reports/metrics.json"]
    assert changed == {"old.detection.mpc": {"old": 0.3, "new": 0.35, "diff": pytest.approx(0.05)}}
    assert "0.35" in dvc(project, "metrics", "show", "--md")


def test_plots_diff_has_every_curve_of_both_revisions(project: Path) -> None:
    rows = drawn(project, "diff", "HEAD~1", "HEAD", "--targets", "reports/curves/detection.csv")["data"]["values"]
    assert {row["rev"] for row in rows} == {"HEAD~1", "HEAD"}
    changed = {
        row["rev"]: row["value"]
        for row in rows
        if (row["model"], row["corruption"], row["severity"]) == ("old", "fog", "2")
    }
    assert changed == {"HEAD~1": "0.3", "HEAD": "0.35"}
    assert len(rows) == 2 * (CURVES.count("\n") - 1)


def test_the_repository_draws_each_of_its_curves() -> None:
    listed = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    plots = {
        name: plot for entry in listed for name, plot in entry.items() if "curves.json" in plot.get("template", "")
    }
    files = [file for plot in plots.values() for file in plot["y"]]
    assert sorted(files) == sorted(f"reports/curves/{path.name}" for path in (ROOT / "reports/curves").glob("*.csv"))
    name = next(iter(plots))
    found = drawn(ROOT, "show", name)
    assert found["title"] == name
    assert found["data"]["values"]
    assert "facet" in str(found)


def seen(path: str, drawn: Path) -> tuple[list[str], str, list[dict[str, object]]]:
    """What the page asks for, its picture once more, and the rows that it draws means from."""
    from playwright.sync_api import sync_playwright

    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        page = browser.new_context(offline=True).new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.goto(drawn.as_uri())
        page.wait_for_selector(".vega-embed canvas")
        picture, means = page.evaluate(
            """async () => {
                const made = await vegaEmbed(document.body.appendChild(document.createElement("div")), spec);
                const data = Object.keys(made.view._runtime.data).map((name) => made.view.data(name));
                const means = data.filter((rows) => rows.length && "mean" in rows[0] && "there" in rows[0]);
                return [await made.view.toSVG(),
                        means.at(-1).map(({rev, model, at, mean}) => ({rev, model, at, mean}))];
            }"""
        )
        browser.close()
    return requests, picture, means


@pytest.mark.browser
def test_the_page_opens_without_a_network(project: Path) -> None:
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium: `python -m tests.chromium` installs one")
    pytest.importorskip("playwright.sync_api")
    dvc(project, "plots", "diff", "HEAD~1", "HEAD", "-o", "drawn")
    requests, picture, means = chromium.apart(lambda: seen(path, project / "drawn/index.html"))
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    said = re.findall(r">([^<>]+)</text>", picture)
    assert {"old", "new", "HEAD", "HEAD~1", "fog", "rain"} <= set(said)
    assert "clean" not in said  # no panel of its own: the level line
    found = {(row["rev"], row["model"], row["at"]): row["mean"] for row in means}
    assert found["HEAD", "new", 2] == pytest.approx((0.42 + 0.4) / 2)
    assert found["HEAD", "new", 0] == 0.45
    assert ("HEAD", "old", 2) not in found  # a mean of less than all would be another figure
