"""The folder beside the single file: what is in it, when it goes, and that it is replaced whole."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import report
from tasks.layout import Layout
from tests import report_factory


def as_folder(run, **more):
    return run.model_copy(update={"report": run.report.model_copy(update={"form": "directory", **more})})


@pytest.fixture
def run():
    return report_factory.params(gates=[])


@pytest.fixture
def layout(run, tmp_path):
    report_factory.write(run, Layout(tmp_path), report_factory.scores(run, tasks=["detection"], slices=[], classes=[]))
    return Layout(tmp_path)


def test_the_file_is_always_there_and_a_stale_folder_is_not(run, layout):
    report.publish(as_folder(run), layout)
    folder = layout.reports / "robustness"
    images = {path.name for path in (folder / "images").iterdir()}
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert images == {path.name for path in layout.gallery.glob("*.webp") if path.name in text}
    assert all((folder / "images" / n).read_bytes() == (layout.gallery / n).read_bytes() for n in images)
    assert "data:image/webp" not in text
    assert "img-src 'self' data: blob:" in text
    assert "'self'" not in (layout.reports / "robustness.html").read_text(encoding="utf-8").split("</head>")[0][:600]
    (folder / "images" / "stale.webp").write_bytes(b"of an earlier run")
    report.publish(as_folder(run), layout)
    assert {path.name for path in (folder / "images").iterdir()} == images
    report.publish(run, layout)
    assert not folder.exists()
    assert (layout.reports / "robustness.html").is_file()
    assert not list(layout.reports.glob(".publish*"))


def test_more_pictures_stand_in_the_folder_than_in_the_file(run, layout):
    about = json.loads((layout.gallery / "about.json").read_text(encoding="utf-8"))
    beyond = [f"{model}/detection/fog/3/1" for model in run.models]
    facts = about | {"beyond_file": beyond, "candidates": 5000}
    (layout.gallery / "about.json").write_text(json.dumps(facts), encoding="utf-8")
    report.publish(as_folder(run, directory_pictures=777), layout)
    single = (layout.reports / "robustness.html").read_text(encoding="utf-8")
    whole = (layout.reports / "robustness" / "index.html").read_text(encoding="utf-8")
    for name in beyond:
        assert f'data-example="{name}"' in whole
        assert name not in single
    assert "of 5,000 candidates (one frame by one model and task in one cell); at most 40 pictures" in single
    assert '2 further examples stand in the folder beside this file: <a href="robustness/index.html">' in single
    assert "at most 777 pictures (report.directory_pictures in params.yaml)" in whole
    assert "further examples" not in whole
    assert 'href="../slices.csv"' in whole
    assert 'href="slices.csv"' in single
    facts["beyond_file"] = []
    (layout.gallery / "about.json").write_text(json.dumps(facts), encoding="utf-8")
    report.publish(run, layout)
    single = (layout.reports / "robustness.html").read_text(encoding="utf-8")
    assert "With report.form: directory there is a folder as well, with up to 2,000 pictures." in single


KILLED = """
import os, pathlib, shutil, sys
from tasks import report
from tasks.layout import Layout
from tests import report_factory
from tests.tasks.report.test_folder import as_folder
copied, real = [], shutil.copyfile
def copy(source, target):
    copied.append(target)
    if len(copied) == 3:
        os.kill(os.getpid(), 9)
    return real(source, target)
shutil.copyfile = copy
report.publish(as_folder(report_factory.params(gates=[])), Layout(pathlib.Path(sys.argv[1])))
"""


def test_killed_half_way_the_old_report_stays_whole(run, layout):
    report.publish(as_folder(run), layout)
    names = [path for path in sorted(layout.reports.rglob("*")) if path.is_file()]
    before = {path: path.read_bytes() for path in names}
    shutil.rmtree(layout.gallery)
    report_factory.gallery(run, layout.gallery, tasks=["detection"], frames=1)
    done = subprocess.run([sys.executable, "-c", KILLED, str(layout.root)], cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path: path.read_bytes() for path in names} == before
