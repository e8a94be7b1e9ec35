"""The example of docs/data.md is a data set that is taken, for every task that the page names."""

import re
from pathlib import Path

import cv2
import numpy as np

from tasks import tables
from tasks.data.prepare import prepare
from tasks.layout import Layout
from tasks.metrics import truth
from tasks.tables import TASKS
from tests import tiny

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_has_truth_for_every_task(tmp_path: Path) -> None:
    (document,) = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)
    path = tiny.write(tmp_path, models=1)
    data = tmp_path / "example"
    for name in ("images", "semantic"):
        (data / name).mkdir(parents=True)
        cv2.imwrite(str(data / name / "north-07-0.png"), np.zeros((48, 64), np.uint8))
    (data / "dataset.json").write_text(document)
    params = tiny.change(path, dataset={"path": "example"})
    layout = Layout(tmp_path)
    card = prepare(data, layout.tables, strict=True)
    assert all("no truth for" in problem for problem in card["problems"])  # one frame does not show all classes
    known = truth.load(params, layout.tables)
    assert [task for task in TASKS if known.has(task)] == list(TASKS)
    told = re.findall(r"^\| ([a-z]+) \| ", PAGE, flags=re.MULTILINE)
    assert set(told) - {"task"} == set(TASKS)
    frames = tables.read("frames", layout.tables / "frames.parquet")
    assert frames["label_id"].tolist() == [1]
