"""A scan of new footage against a validated run: what becomes of each file, and what a scan leaves alone."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from flows import cli, runtime
from tasks import tables
from tasks.data import video
from tasks.data.frames import UnreadableFrame
from tasks.footage.runs import Runs
from tasks.monitoring.memory import STAGED
from tasks.quality.tampering import Background
from tasks.report.footage.scan import MEASURED
from tests.flows.conftest import corrupted, environment, footage_params

pytestmark = pytest.mark.usefixtures("footage")


@pytest.fixture(scope="module")
def project(footage: ModuleType, validated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one scan has taken a clear clip, a foggy one and a broken one."""
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text(yaml.safe_dump(footage_params(validated)))
    films = validated / "data/footage"
    (root / "inbox/north").mkdir(parents=True)
    shutil.copy(films / "foggy.mp4", root / "inbox/north/first.mp4")
    (root / "inbox/east").mkdir()
    clear = films / "clear.mp4"  # in a container that does not state how many frames it holds
    video.write(root / "inbox/east/first.mkv", video.read(clear), video.examine(clear), container=".mkv")
    assert video.examine(root / "inbox/east/first.mkv").count is None
    (root / "inbox/broken.mp4").write_bytes(corrupted((films / "defocused.mp4").read_bytes()))
    time.sleep(0.3)  # longer than settle_s
    before = everything(validated)
    assert scan(root, validated) == 0
    assert everything(validated) == before, "the validated run is read and nothing else"
    return root


def scan(root: Path, validated: Path) -> int:
    return cli.main(["scan", "--params", str(root / "params.yaml"), "--out", str(validated)])


def everything(root: Path) -> dict[str, tuple[int, int]]:
    """Size and last change of every file that is the run's own."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def folders(root: Path) -> list[Path]:
    return sorted(path for path in (root / "runs").iterdir() if path.name.startswith("2"))


def alerts(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "alerts.jsonl").read_text().splitlines()]


def test_good_files_are_measured_and_the_broken_one_is_not(project: Path) -> None:
    (place,) = folders(project)
    clips = tables.read("footage_clips", place / "clips.parquet").set_index("file")
    assert clips["status"].to_dict() == {
        "broken.mp4": "quarantined",
        "east/first.mkv": "ok",
        "north/first.mp4": "ok",
    }
    assert "broken.mp4 does not decode" in clips.loc["broken.mp4", "reason"]
    found = {name: tables.read(table, place / f"{name}.parquet") for name, table in MEASURED.items()}
    good = set(clips.loc[clips["status"] == "ok", "clip_id"])
    for name in ("input", "output", "forecast", "nearest", "decisions"):
        assert set(found[name]["clip_id"]) == good, name
    assert {"fog", "clean"} <= set(found["nearest"]["corruption"])
    assert set(found["drift"]["camera"]) == {"east", "north"}
    shown = json.loads((place / "frames.json").read_text())["frames"]
    assert {frame["clip_id"] for frame in shown if frame["kind"] == "sample"} == good
    assert {path.stem for path in (place / "clips").glob("*.mp4")} == good
    page = (place / "footage.html").read_text()
    assert "not accuracy" in page
    facts = json.loads((place / "run.json").read_text())
    assert (facts["run"], facts["model"], facts["waiting_files"]) == (place.name, "crossing-v2", 0)


def test_prefects_table_calls_metrics_by_their_names(footage: ModuleType, project: Path) -> None:
    (place,) = folders(project)
    found = {name: tables.read(MEASURED[name], place / f"{name}.parquet") for name in ("forecast", "nearest")}
    clips = tables.read("footage_clips", place / "clips.parquet")
    (clip,) = clips[clips["camera"] == "north"].to_dict("records")
    row = footage.findings._clip(clip, found["forecast"], found["nearest"])
    assert row["looks like"].startswith("fog ")
    own = found["forecast"].query("metric == 'miou'").set_index("clip_id").loc[clip["clip_id"]]
    assert row["expected mIoU"] == f"{own['value']:.3f} ({own['low']:.3f} to {own['high']:.3f})"
    assert "expected_miou" not in row


def test_fog_is_named_first_and_told_once(project: Path) -> None:
    (place,) = folders(project)
    nearest = tables.read("footage_nearest", place / "nearest.parquet")
    first = nearest[nearest["rank"] == 1].set_index("camera")["corruption"].to_dict()
    assert first == {"east": "clean", "north": "fog"}
    told = [alert for alert in alerts(project) if alert["camera"] == "north"]
    assert [alert["change"] for alert in told] == ["raised"]
    assert "looks most like fog" in told[0]["text"]


def test_nothing_is_taken_twice(project: Path, validated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, told = folders(project), alerts(project)
    (project / "inbox/east/first.mkv").rename(project / "inbox/east/second.mkv")
    shutil.copy(project / "inbox/north/first.mp4", project / "inbox/west.mp4")
    time.sleep(0.3)
    assert scan(project, validated) == 0
    assert "nothing new" in capsys.readouterr().err
    assert folders(project) == before
    assert alerts(project) == told
    ledger = Runs(project / "runs").ledger
    assert sorted(ledger.clips()["status"]) == ["ok", "ok", "quarantined"]
    assert len(before) == 1
    assert ledger.history()["run"].nunique() == 2, "a scan that found nothing was completed too"


def test_a_broken_file_is_tried_again_when_asked(
    project: Path, validated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Runs(project / "runs").ledger
    (broken,) = ledger.clips(status="quarantined")["clip_id"]
    words = ["scan", "--params", str(project / "params.yaml"), "--out", str(validated)]
    assert cli.main([*words, "--retry", "0" * 16]) == 2
    assert "no clip 0000000000000000 was quarantined or failed" in capsys.readouterr().err
    before = folders(project)
    assert cli.main([*words, "--retry", broken]) == 0
    (place,) = set(folders(project)) - set(before)
    clips = tables.read("footage_clips", place / "clips.parquet")
    assert clips[["file", "status"]].to_numpy().tolist() == [["broken.mp4", "quarantined"]]


def test_files_left_alone_are_told_and_make_no_folder(
    project: Path, validated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "inbox/notes.txt").write_text("of the site")
    (project / "inbox/north/none.mp4").touch()
    time.sleep(0.3)
    before = folders(project)
    assert scan(project, validated) == 0
    assert "scan: nothing new, 2 left alone (1 empty, 1 not footage)\n" in capsys.readouterr().err
    assert folders(project) == before
    shutil.copy(validated / "data/footage/defocused.mp4", project / "inbox/north/second.mp4")
    time.sleep(0.3)
    assert scan(project, validated) == 0
    assert "scan: 1 ok, 2 left alone (1 empty, 1 not footage)\n" in capsys.readouterr().err
    (place,) = set(folders(project)) - set(before)
    left = tables.read("footage_left", place / "left.parquet")
    assert left["file"].tolist() == ["north/none.mp4", "notes.txt"]
    assert left["since_utc"].notna().all()
    page = (place / "footage.html").read_text()
    assert "2 files were left alone: 1 empty, 1 not footage." in page


def test_a_small_run_is_judged_by_its_own_least_number_of_clips(project: Path) -> None:
    """Each camera has two clips there: fewer than the default of ten, and as many as these params ask for."""
    drift = tables.read("footage_drift", folders(project)[0] / "drift.parquet")
    judged = drift[(drift["statistic"] == "wasserstein") & (drift["kind"] == "input")]
    assert len(judged) > 20
    assert set(judged["status"]) <= {"inside", "outside"}


def fitted(project: Path, root: Path) -> None:
    """Have scans in another folder take the forecast that those of the project have fitted, which takes longest."""
    shutil.copytree(project / "runs/.kept/forecast", root / "runs/.kept/forecast")


def test_a_camera_that_nobody_knows_is_compared_with_its_own_first_clips(
    project: Path, validated: Path, tmp_path: Path
) -> None:
    films = validated / "data/footage"
    fitted(project, tmp_path)
    params = footage_params(validated, sample_per_s=10)

    def drop(film: str, name: str, **more: Any) -> tuple[pd.DataFrame, pd.DataFrame, str]:
        """What a scan with a film as the only new file says: forecast, nearest first, page."""
        params["footage"] |= more
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        (tmp_path / "inbox/roof").mkdir(parents=True, exist_ok=True)
        before = folders(tmp_path)
        video.write(
            tmp_path / f"inbox/roof/{name}", video.read(films / film), video.examine(films / film), container=".mp4"
        )
        time.sleep(0.3)
        assert scan(tmp_path, validated) == 0
        (place,) = set(folders(tmp_path)) - set(before)
        nearest = tables.read("footage_nearest", place / "nearest.parquet")
        forecast = tables.read("footage_forecast", place / "forecast.parquet")
        return forecast, nearest[nearest["rank"] == 1], (place / "footage.html").read_text()

    forecast, _, page = drop("clear.mp4", "first.mp4")
    assert set(forecast["note"].str.partition(":")[0]) == {"No reference of the camera 'roof'"}
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    said = f"Compared with its own first clips of {today}, which nobody has checked."
    assert said not in page
    forecast, first, page = drop("foggy.mp4", "second.mp4")
    assert first["corruption"].tolist() == ["fog"]
    assert forecast["note"].str.startswith(said).all()
    assert said in page
    (kept,) = (tmp_path / "runs/.kept").glob("first-*/roof/*.parquet")  # fog is no reference for what comes after it
    assert len(tables.read("footage_first", kept)) > 8

    (tmp_path / "good/roof").mkdir(parents=True)
    shutil.copy(films / "foggy.mp4", tmp_path / "good/roof/always.mp4")
    forecast, first, page = drop("foggy.mp4", "third.mkv", reference="good")
    assert first["corruption"].tolist() == ["clean"], "as somebody says that the camera always looks"
    assert not forecast["note"].fillna("").str.contains("ompared with").any()
    assert "camera&#39;s clips in footage.reference" in page


KILLED = """
import os, signal, sys
from flows import cli, footage, shipped
def die(*words, **more): os.kill(os.getpid(), signal.SIGKILL)
{how}
cli.main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "how",
    [
        "shipped.inferring.predict = die  # what the camera shows has been looked at, and nothing else done",
        "settle = footage.memory.settle\nfootage.memory.settle = lambda *words: settle(*words) or "
        "setattr(footage.memory, 'settle', die)  # the clip is done, and what was learnt lies in the scan's folder",
    ],
    ids=["in the middle of a clip", "when the scan is whole"],
)
def test_what_a_killed_scan_saw_of_a_camera_is_learnt_once(
    how: str, project: Path, validated: Path, tmp_path: Path
) -> None:
    learnt = []
    for name in ("killed", "not"):
        root = tmp_path / name
        fitted(project, root)
        (root / "inbox/roof").mkdir(parents=True)
        (root / "params.yaml").write_text(yaml.safe_dump(footage_params(validated, sample_per_s=10)))
        shutil.copy(validated / "data/footage/clear.mp4", root / "inbox/roof/a.mp4")
        time.sleep(0.3)
        if name == "killed":
            words = ["scan", "--params", str(root / "params.yaml"), "--out", str(validated)]
            done = subprocess.run(
                [sys.executable, "-c", KILLED.format(how=how), *words],
                env=environment(**{runtime.SWITCH: "off"}),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == -signal.SIGKILL, done.stderr
            assert not list((root / "runs/.kept").glob("backgrounds/*")), "killed before it counted"
        assert scan(root, validated) == 0
        (first,) = (root / "runs/.kept").glob("first-*/roof/*.parquet")
        background = Background.load(root / "runs/.kept/backgrounds/roof.npz")
        learnt.append((background, tables.read("footage_first", first).drop(columns="received_utc")))
        (place,) = folders(root)
        assert not (place / STAGED).exists()
    (one, first), (other, second) = learnt
    assert one.learnt
    assert (one.blur, one.size) == (other.blur, other.size)
    np.testing.assert_array_equal(one.view, other.view)
    pd.testing.assert_frame_equal(first, second)


def test_what_no_longer_fits_is_said_in_one_sentence(
    project: Path, validated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(change: Callable[[dict[str, Any]], object]) -> str:
        params = footage_params(validated, runs=str(tmp_path / "runs"), inbox=str(project / "inbox"))
        change(params)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        assert scan(tmp_path, validated) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    model = {"adapter": "small", "weights": str(validated / "models/crossing-v1.safetensors")}
    assert "no section 'footage'" in refused(lambda params: params.pop("footage"))
    assert "nowhere, found nothing" in refused(lambda params: params["footage"].update(inbox="nowhere"))
    assert "are not those of the run" in refused(lambda params: params["models"]["crossing-v2"].update(model))
    assert "knows nothing of 'other'" in refused(
        lambda params: (params["models"].update(other=model), params["footage"].update(model="other"))
    )
    assert "which say nothing of new footage" in refused(
        lambda params: params["models"]["crossing-v2"].update(adapter="recorded")
    )
    elsewhere = str(tmp_path / "nowhere")
    assert "expected a folder at" in refused(lambda params: params["footage"].update(reference=elsewhere))
    inside = str(project / "inbox/north")
    assert "lies in footage.inbox" in refused(lambda params: params["footage"].update(reference=inside))
    assert "holds no clip" in refused(lambda params: params["footage"].update(reference=str(tmp_path)))
    assert "is not among the models" in refused(lambda params: params["footage"].update(model="third"))
    assert not list(tmp_path.glob("runs/2*"))


def test_what_fails_is_tried_again_and_what_is_broken_is_not(footage: ModuleType) -> None:
    calls: list[str] = []

    def look(errors: list[Exception]) -> Callable[[Any], Any]:
        def one(clip: Any) -> Any:
            calls.append(clip)
            if errors:
                raise errors.pop()
            return "seen"

        return one

    assert footage._tried(look([RuntimeError("once"), RuntimeError("twice")]), None, 2)("a") == "seen"
    assert calls == ["a"] * 3
    with pytest.raises(RuntimeError, match="third"):
        footage._tried(look([RuntimeError("third"), RuntimeError("b"), RuntimeError("a")]), None, 2)("b")
    with pytest.raises(UnreadableFrame):
        footage._tried(look([UnreadableFrame("broken")]), None, 2)("c")
    assert calls == ["a"] * 3 + ["b"] * 3 + ["c"]
