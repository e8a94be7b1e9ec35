"""The measurement of scoring on a tiny size: what it says and that the tools agree; never how long things take."""

import json
import math

import numpy as np
import pytest

from benchmarks import generated, scoring

pytestmark = pytest.mark.slow  # all the tools, once each

TINY = scoring.Size("quick", n_images=60, n_sequences=3, n_frames=25, resamples=20, n_objects=8, torchmetrics_images=10)


@pytest.fixture(scope="module")
def result():
    return scoring.run(TINY)


def test_the_tools_agree_on_the_values(result):
    boxes, tracks = result["detection"], result["tracking"]
    assert 0.2 < boxes["map"] < 0.9
    assert 0.2 < tracks["hota"] < 0.95
    assert tracks["id_switches"] > 0
    assert boxes["map_difference"] <= 1e-9
    assert boxes["resampled_equal_weights_difference"] <= 1e-6
    assert boxes["torchmetrics_difference"] <= 1e-6
    assert tracks["tracking_difference"] <= 1e-9


def test_every_bar_is_a_figure_of_the_run_and_decides_what_holds(result):
    figures = result["detection"] | result["tracking"]
    assert result["bars"].keys() == scoring.BARS.keys() <= figures.keys()
    assert all(math.isfinite(value) for value in figures.values())
    for name, bar in result["bars"].items():
        sense, limit = scoring.BARS[name]
        assert bar["value"] == figures[name]
        assert bar["holds"] == (figures[name] >= limit if sense == "at least" else figures[name] <= limit)
    assert result["holds"] == all(bar["holds"] for bar in result["bars"].values())
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize("missed", [False, True])
def test_the_command_prints_json_last_and_fails_when_a_bar_is_missed(result, missed, monkeypatch, tmp_path, capsys):
    given = result | {"holds": not missed}
    monkeypatch.setattr(scoring, "run", lambda size: given)
    monkeypatch.setattr("sys.argv", ["scoring", "--quick", "--out", str(tmp_path)])
    assert scoring.main() == int(missed)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == given


def test_a_run_replaces_the_rows_of_its_own_size_alone(result, tmp_path):
    for size in ("full", "quick", "quick"):
        scoring.write(result | {"size": size}, tmp_path)
    lines = (tmp_path / "scoring.csv").read_text(encoding="utf-8").splitlines()
    n_rows = sum(len(result[part]) for part in ("machine", "detection", "tracking"))
    assert len(lines) == 1 + 2 * n_rows
    text = (tmp_path / "scoring.md").read_text(encoding="utf-8")
    assert text.count("| map_speedup |") == 2
    assert text.index("`python -m benchmarks.scoring`") < text.index("`python -m benchmarks.scoring --quick`")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scoring.csv", "scoring.md"]


def test_generated_data_repeat_and_have_the_size_asked_for():
    one, two = generated.cell(30, seed=1), generated.cell(30, seed=1)
    assert (np.bincount(one.detections.frame) == 100).all()
    for field in ("frame", "kind", "boxes", "score"):
        assert (getattr(one.detections, field) == getattr(two.detections, field)).all()
    assert (one.truth.boxes == two.truth.boxes).all()
    assert len(generated.cell(30, seed=2).truth.boxes) != len(one.truth.boxes)
    masks = np.array(generated.slices(30))
    assert masks.shape == (30, 30)
    assert (masks.sum(axis=0) == 10).all()
    moments = generated.clip(20, n_objects=5, seed=3)
    assert all(len(moment.truth_ids) == 5 == len(np.unique(moment.truth_ids)) for moment in moments)
    assert all(len(np.unique(moment.track_ids)) == len(moment.track_ids) for moment in moments)
