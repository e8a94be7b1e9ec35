"""`stormglass compare`: revisions read from git and from DVC's cache, without a run."""

import html
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from flows import cli
from tasks import tables
from tests import latency_factory
from tests.conftest import SmallRun
from tests.flows.conftest import environment

STAGES = {"stages": {name: {"cmd": "true", "outs": [name]} for name in ("tables", "scores", "gallery")}}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path, message: str) -> None:
    """What lies in the folder as a commit of git and DVC."""
    run(folder, sys.executable, "-m", "dvc", "commit", "-q", "-f")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", message)


def better(root: Path) -> None:
    """Tables of scores in which crossing-v1 has become what crossing-v2 was."""
    for name in ("scores", "replicates", "examples"):
        path = root / f"scores/{name}.parquet"
        table = tables.read(name, path)
        table = table[table["model"] == "crossing-v2"].assign(model="crossing-v1")
        path.unlink()  # a link into DVC's cache
        tables.write(name, table, path)
    path = root / "gallery/gallery.parquet"
    table = tables.read("gallery", path)
    table = table[table["model"] == "crossing-v2"].assign(model="crossing-v1")
    path.unlink()
    tables.write("gallery", table, path)


@pytest.fixture(scope="module")
def project(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in a folder of a git repository: tag `one`, then a commit with other scores; a change beside that."""
    root = tmp_path_factory.mktemp("repository")
    folder = root / "inside"
    folder.mkdir()
    for name in STAGES["stages"]:
        shutil.copytree(small_run.root / name, folder / name)
    params = yaml.safe_load(small_run.params.read_text())
    params["models"].pop("crossing-v2")
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "dvc.yaml").write_text(yaml.safe_dump(STAGES))
    (folder / ".gitignore").write_text("/tables\n/scores\n/gallery\n/reports\n")
    run(root, "git", "init", "-q")
    run(folder, sys.executable, "-m", "dvc", "init", "-q", "--subdir")
    commit(folder, "First scores")
    run(folder, "git", "tag", "one")
    better(folder)
    params["train"]["epochs"] = 5
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "notes.md").write_text("more epochs\n")
    commit(folder, "Train for longer")
    return folder


def compare(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str, status: int = 0) -> str:
    monkeypatch.chdir(folder)
    assert cli.main(["compare", *words]) == status
    path = folder / "reports/comparison.md"
    return path.read_text() if path.exists() else ""


def test_two_commits(
    project: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = compare(project, monkeypatch, "one", "HEAD")
    reports = project / "reports"
    assert capsys.readouterr().out.endswith(f"{reports}/comparison.md\n{reports}/comparison.html\n")
    assert "(comparison.html)" in text
    assert text.startswith("# HEAD against one\n")
    assert "Train for longer" in text
    assert "First scores" not in text
    assert "params `train.epochs`: 2 → 5" in text
    assert "`notes.md`" in text
    scores = tables.read("scores", small_run.root / "scores/scores.parquet")
    rows = scores[(scores["baseline"] == "crossing-v1") & (scores["task"] == "semantic") & (scores["metric"] == "mpc")]
    row = rows[(rows["slice"] == "all") & (rows["class"] == "all") & (rows["family"] == "all")].iloc[0]
    told = f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]".replace("-", "−")
    assert told in text
    latency = text.split("## Latency\n\n")[1].split("\n\n## ")[0]
    missing = [f"- {name}: Revision {name} has no stage of DVC that writes latency/." for name in ("one", "HEAD")]
    assert latency.splitlines() == missing


def test_latency_of_two_commits(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage for it in the newest commit, whose table is a made-up one; then the same in the workspace, slower."""
    folder = tmp_path / "clone" / "inside"
    shutil.copytree(project.parent, folder.parent, symlinks=True)
    stages = {"stages": {**STAGES["stages"], "measure": {"cmd": "true", "outs": ["latency"]}}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(stages))
    path = folder / "latency/latency.parquet"
    tables.write("latency", latency_factory.table(["crossing-v1"]), path)
    commit(folder, "Latency")
    path.unlink()
    tables.write("latency", latency_factory.table(["crossing-v1"], factors=[2.0]), path)
    text = compare(folder, monkeypatch, "HEAD", "WORKSPACE")
    lines = [
        line.split(" | ") for line in text.split("## Latency")[1].split("##")[0].splitlines() if "| crossing" in line
    ]
    assert [line[-1] for line in lines] == ["2.00 |", "2.00 |", "0.50 |"]
    page = html.unescape((folder / "reports/comparison.html").read_text())
    assert page.count("× 2.00</td>") == 2
    text = compare(folder, monkeypatch, "one", "HEAD")
    assert "- one: Revision one has no stage of DVC that writes latency/." in text


def test_the_workspace(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = compare(project, monkeypatch, "one", "WORKSPACE")
    assert text.startswith("# WORKSPACE against one\n")
    assert "Train for longer" in text
    backwards = compare(project, monkeypatch, "HEAD", "one")
    assert "one lacks 1 commit(s) that HEAD has" in backwards
    assert "params `train.epochs`: 5 → 2" in backwards


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one", "one"], "Expected two revisions to compare"),
        (["HEAD", "HEAD~0"], "Expected two revisions to compare, got two names of commit"),
        (["one", "nothing"], "'nothing' is no revision that git knows"),
        (["one", "HEAD", "--model", "crossing-v1"], "expected A=B"),
        (["one", "HEAD", "--model", "crossing-v1=v9"], "HEAD has no model 'v9'"),
    ],
)
def test_wrong_input(
    project: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(project, monkeypatch, *words, status=2)
    assert message in capsys.readouterr().err


def test_outputs_that_the_cache_lacks(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(project.parent), "clone")
    compare(clone / "inside", monkeypatch, "one", "HEAD", status=2)
    told = capsys.readouterr().err
    assert "The scores/ of revision one are not in the local cache: `git checkout one` and `dvc pull`" in told
    assert len(told.splitlines()) == 1
    assert not (clone / "inside/reports").exists()


def test_pictures_that_the_cache_lacks_are_said(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything else is compared all the same; pictures of the other revision are shown."""
    copy = tmp_path / "copy"
    shutil.copytree(project.parent, copy, symlinks=True)
    gallery = yaml.safe_load((copy / "inside/dvc.lock").read_text())["stages"]["gallery"]["outs"][0]["md5"]
    cache = copy / "inside/.dvc/cache/files/md5"
    (cache / gallery[:2] / gallery[2:]).unlink()
    compare(copy / "inside", monkeypatch, "one", "HEAD")
    page = (copy / "inside/reports/comparison.html").read_text(encoding="utf-8")
    assert "The gallery/ of revision HEAD are not in the local cache" in page
    assert page.count("data:image/webp") >= 1


def test_scores_of_another_version(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table with other columns is named with its revision, in one sentence."""
    path = project / "scores/scores.parquet"
    before = path.read_bytes()
    older = pq.read_table(path).drop_columns(["q_value"])
    try:
        path.unlink()
        pq.write_table(older, path)
        commit(project, "Scores of another version")
        compare(project, monkeypatch, "one", "HEAD", status=2)
    finally:
        path.unlink()
        path.write_bytes(before)
        run(project, "git", "reset", "-q", "--hard", "HEAD~1")
    told = capsys.readouterr().err
    assert "q_value" in told
    assert "revision HEAD, scores/scores.parquet" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("out/this.md", ["this.html", "this.md"]),
        ("out/this.html", ["this.html", "this.md"]),
        ("out", ["comparison.html", "comparison.md"]),
    ],
)
def test_where_it_is_written(
    project: Path, tmp_path: Path, given: str, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert cli.main(["compare", "one", "HEAD", "--to", str(tmp_path / given)]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == made
    assert f"({made[0]})" in (tmp_path / "out" / made[1]).read_text(encoding="utf-8")


def test_a_file_that_is_neither_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    monkeypatch.chdir(project)
    assert cli.main(["compare", "one", "HEAD", "--to", str(file)]) == 2
    assert "expected a file that ends in .md or .html, or a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_params_of_another_version(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "params.yaml").read_text()
    try:
        (project / "params.yaml").write_text(f"{before}gatse: []\n")
        commit(project, "A typo")
        (project / "params.yaml").write_text(before)
        compare(project, monkeypatch, "one", "HEAD", status=2)
        told = capsys.readouterr().err
        assert "revision HEAD, params.yaml: unknown key 'gatse'; did you mean 'gates'?" in told
    finally:
        run(project, "git", "reset", "-q", "--hard", "HEAD~1")


def test_no_project_of_dvc(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(small_run.params, tmp_path / "params.yaml")
    compare(tmp_path, monkeypatch, "one", "HEAD", status=2)
    assert "is no DVC project" in capsys.readouterr().err
