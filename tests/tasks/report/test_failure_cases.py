"""What failure rules catch, counted by hand; and over a run, counted with pandas."""

import re
from pathlib import Path

import pandas as pd
import pytest

from tasks import params as settings
from tasks import tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.params import FailureRule, parse
from tasks.report import failure_cases
from tests.conftest import SmallRun

MODEL = {"m": {"adapter": "small", "weights": "m.safetensors"}}

ROWS = [  # model, task, corruption, family, severity, score, error_kind
    ("m", "detection", "clean", "clean", 0, 0.2, "miss"),
    ("m", "detection", "fog", "weather", 4, 0.3, "miss"),
    ("m", "detection", "fog", "weather", 5, 0.31, "wrong_class"),
    ("m", "tracking", "fog", "weather", 5, 0.1, "id_switch"),
    ("n", "detection", "rain", "weather", 5, 1.0, None),
    ("n", "detection", "h264", "codec", 5, 0.0, "miss"),
]
EXAMPLES = pd.DataFrame(
    ROWS, columns=["model", "task", "corruption", "family", "severity", "score", "error_kind"]
).assign(frame_id=1, evidence="x")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [0, 1, 2, 3, 5]),  # all but the one with nothing wrong
        ({"task": "detection", "max_score": 0.3}, [0, 1, 5]),  # the bound is inside
        ({"corruption": "weath*"}, [1, 2, 3]),
        ({"corruption": "clean"}, [0]),
        ({"severity": 5, "model": "m"}, [2, 3]),
        ({"severity": [0, 4]}, [0, 1]),
        ({"error_kind": "id_switch"}, [3]),
        ({"error_kind": "id_switch", "max_score": 0.05}, []),
    ],
)
def test_caught(rule: dict[str, object], expected: list[int]) -> None:
    found = failure_cases.caught(FailureRule.model_validate(rule), EXAMPLES)
    assert list(found[found].index) == expected


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"task": "detecton"}, "failures.blind.task"),
        ({"max_scor": 0.3}, "unknown key 'failures.blind.max_scor'; did you mean 'max_score'"),
        ({"max_score": 2}, "failures.blind.max_score"),
        ({"model": "k"}, "failures.blind: model 'k' is not among the models: m"),
    ],
)
def test_rules_of_params(rule: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parse({"models": MODEL, "failures": {"blind": rule}})


def test_without_rules(tmp_path: Path) -> None:
    text = failure_cases.failure_cases(parse({"models": MODEL}), Layout(tmp_path))
    assert text.endswith("params.yaml has no rules.\n")


def test_over_a_run(small_run: SmallRun) -> None:
    examples = tables.read("examples", small_run.root / "scores/examples.parquet")
    looked = examples.query("task == 'semantic' and corruption == 'low_light' and severity == 5")
    bound = float(looked["score"].quantile(0.25))
    rule = FailureRule(task="semantic", max_score=bound, severity=(5,), corruption="low_*")
    none = FailureRule(task="detection", error_kind="nothing")
    params = settings.load(small_run.params).model_copy(update={"failures": {"blind": rule, "never": none}})
    text = failure_cases.failure_cases(params, Layout(small_run.root))
    hits = looked[looked["score"] <= bound]
    assert 0 < len(hits) < len(looked)
    assert f"Caught {len(hits)} of {len(looked)} answers on {hits['frame_id'].nunique()} frames" in text
    assert f"| low light | {len(hits)} | {len(looked)} | {100 * len(hits) / len(looked):.0f} % |" in text
    frames = tables.read("frames", small_run.root / "tables/frames.parquet").set_index("frame_id")
    cameras = frames.loc[hits["frame_id"], "camera"].value_counts()
    of = frames.loc[looked["frame_id"], "camera"].value_counts()
    for camera, count in cameras.items():
        assert f"| camera = {camera} | {count} | {of[camera]} |" in text
    command = re.search(r"stormglass export-qa blind-1 (.*)", text)
    assert command is not None
    worst = int(re.search(r"frame_id == (\d+)", command[1])[1])  # type: ignore[index]
    assert hits.set_index("frame_id").loc[[worst], "score"].min() == hits["score"].min()
    shown = text.split(", one a clip:")[1].split("```")[0]
    clips = re.findall(r"\| frame \d+ of (\S+) \|", shown)
    assert len(clips) == len(set(clips)) == min(5, frames.loc[hits["frame_id"], "clip_id"].nunique())
    assert text.split("## never\n\n")[1].startswith("Task detection, error kind nothing. Caught 0 of ")
