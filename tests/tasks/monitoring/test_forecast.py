"""What a fitted forecaster says of clips, and how it is kept: on a run made by hand."""

import json
import os
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from tasks import params, tables
from tasks.errors import InputError
from tasks.metrics.score import score
from tasks.monitoring import forecast, rehearsal
from tasks.monitoring.likeness import Looks, Signatures
from tasks.quality import FEATURES
from tests.tasks.metrics.conftest import made as make_run
from tests.tasks.monitoring import made_up


@pytest.fixture(scope="module")
def quality():
    return made_up.quality()


@pytest.fixture(scope="module")
def forecaster(quality):
    looks = Looks.of(quality)
    groups = dict(zip(looks.clips, [f"g{place // 4}" for place in range(len(looks.clips))], strict=True))
    cases = rehearsal.cases(looks, groups, made_up.figures(groups))
    shares = np.array([1 - made_up.STRENGTHS[name][max(severity - 1, 0)] / 12 for name, severity in looks.cells])
    kinds = {False: rehearsal.WITHOUT, True: rehearsal.WITH_REFERENCE}
    return forecast.Forecaster(
        Signatures.of(looks, np.ones(len(looks.clips), dtype=bool), np.ones(len(looks.cells), dtype=bool)),
        (forecast.Expected("map", 0.6, shares),),
        {own: rehearsal.calibration(cases[cases["validation"].isin(some)], 0.9) for own, some in kinds.items()},
        forecast._typed("footage_validation", rehearsal.validation(cases, 0.9)),
    )


def seen(quality: pd.DataFrame, corruption: str, severity: int) -> pd.DataFrame:
    chosen = (quality["corruption"] == corruption) & (quality["severity"] == severity) & (quality["camera"] == "north")
    return quality[chosen].iloc[:2]


def clean(quality: pd.DataFrame) -> pd.DataFrame:
    return quality[(quality["severity"] == 0) & (quality["camera"] == "north")]


@pytest.mark.parametrize(("corruption", "severity", "wanted"), [("clean", 0, 0.6), ("fog", 2, 0.4), ("blur", 3, 0.3)])
@pytest.mark.parametrize("known", [True, False])
def test_footage_of_a_validated_cell_is_expected_to_score_what_the_cell_did(
    forecaster, quality, corruption, severity, wanted, known
):
    found = forecaster.forecast(
        seen(quality, corruption, severity),
        clip_id="0123456789abcdef",
        camera="north",
        reference=forecast.Reference(clean(quality)) if known else None,
    )
    row = found.metrics.iloc[0]
    assert row[["clip_id", "camera", "metric", "status"]].tolist() == ["0123456789abcdef", "north", "map", "ok"]
    assert row["value"] == pytest.approx(wanted, abs=0.08)  # a clip beside the cell is drawn towards its neighbours
    assert row["low"] <= wanted <= row["high"]
    assert row["naive"] == 0.6
    assert (row["note"] is None) == known
    first = found.nearest.iloc[0]
    assert (first["corruption"], first["severity"]) == (corruption, severity)
    assert found.nearest["rank"].tolist() == [1, 2, 3, 4, 5]
    assert found.nearest["corruption"].is_unique
    assert found.nearest["distance"].is_monotonic_increasing
    assert found.nearest["similarity"].between(0, 1).all()
    assert found.nearest["similarity"].is_monotonic_decreasing
    tables.to_arrow("footage_forecast", found.metrics)
    tables.to_arrow("footage_nearest", found.nearest)


def test_what_nothing_validated_looks_like_gets_no_figure(forecaster, quality):
    strange = seen(quality, "clean", 0).assign(grain=1e4, noise=1e4, haze=1e-4)
    found = forecaster.forecast(strange, clip_id="a", camera="north", reference=forecast.Reference(clean(quality)))
    row = found.metrics.iloc[0]
    assert row["status"] == "outside_validated"
    assert np.isnan([row["value"], row["low"], row["high"]]).all()
    assert row["naive"] == 0.6
    assert "nearest validated condition" in row["note"]
    assert len(found.nearest) == 5  # what comes nearest is said all the same


def test_another_camera_is_measured_against_its_own_reference(forecaster, quality):
    """A camera whose every picture is flatter and softer: with its reference that is ordinary, without it is blur."""
    other = {"blur": 0.5, "contrast": 0.6}
    before, now = (rows.assign(**{k: rows[k] * v for k, v in other.items()}) for rows in (clean(quality),) * 2)
    with_it = forecaster.forecast(now.iloc[:2], clip_id="a", camera="roof", reference=forecast.Reference(before))
    without = forecaster.forecast(now.iloc[:2], clip_id="a", camera="roof")
    assert with_it.nearest["corruption"].iloc[0] == "clean"
    assert without.nearest["corruption"].iloc[0] != "clean"
    assert "'roof'" in without.metrics["note"].iloc[0]
    few = forecaster.forecast(now.iloc[:2], clip_id="a", camera="roof", reference=forecast.Reference(before.iloc[:7]))
    pd.testing.assert_frame_equal(few.nearest, without.nearest)
    assert with_it.against == "Compared with frames of this camera."
    assert (with_it.clean, without.clean) == (True, False)
    assert few.against == without.against == without.metrics["note"].iloc[0]


def test_a_reference_that_nobody_has_checked_is_said_to_be_one(forecaster, quality):
    reference = forecast.Reference(clean(quality), "its own first clips", checked=False)
    found = forecaster.forecast(seen(quality, "fog", 2), clip_id="a", camera="north", reference=reference)
    assert found.against == found.metrics["note"].iloc[0] == "Compared with its own first clips."
    assert found.nearest["corruption"].iloc[0] == "fog"
    assert not found.clean
    strange = seen(quality, "clean", 0).assign(grain=1e4, noise=1e4, haze=1e-4)
    far = forecaster.forecast(strange, clip_id="a", camera="north", reference=reference)
    assert far.metrics["note"].iloc[0].startswith("Compared with its own first clips. ")
    assert not far.clean


def test_frames_that_tell_nothing_get_no_figure(forecaster, quality):
    nothing = seen(quality, "fog", 1).assign(grain=np.nan)
    for frames in (nothing, nothing.iloc[:0]):
        found = forecaster.forecast(frames, clip_id="a", camera="north")
        assert found.metrics["status"].tolist() == ["not_applicable"]
        assert found.nearest.empty


def test_it_is_read_as_it_was_written(forecaster, quality, tmp_path):
    forecaster.save(tmp_path / "kept" / "one.json")
    again = forecast.load(tmp_path / "kept" / "one.json")
    ask = {"clip_id": "a", "camera": "north", "reference": forecast.Reference(clean(quality))}
    one, two = (which.forecast(seen(quality, "dark", 2), **ask) for which in (forecaster, again))
    pd.testing.assert_frame_equal(one.metrics, two.metrics)
    pd.testing.assert_frame_equal(one.nearest, two.nearest)
    pd.testing.assert_frame_equal(forecaster.validation, again.validation)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["one.json"]
    (tmp_path / "half.json").write_text((tmp_path / "kept" / "one.json").read_text()[:500])
    with pytest.raises(InputError, match=r"half\.json is no stored forecaster"):
        forecast.load(tmp_path / "half.json")


CHOSEN = {
    "dataset": {"split": "test"},
    "models": {"v1": {"adapter": "small", "weights": "x.safetensors", "tracker": {"name": "bytetrack"}}},
    "baseline": "v1",
    "corruptions": {"weather": ["fog"], "blur": ["defocus_blur"]},
    "severities": [1, 3],
    "metrics": {"min_units": 2, "resamples": 100},
    "slices": {"attributes": [], "object": []},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A scored run with features of every frame, all of which rise with the severity."""
    chosen = params.parse(CHOSEN)
    found = make_run(tmp_path_factory.mktemp("run"), chosen, n_clips=12, n_frames=2)
    rng = np.random.default_rng(0)
    rows = []
    for corruption, severity in [("clean", 0), *((name, s) for name in ("fog", "defocus_blur") for s in (1, 3))]:
        for frame in found.frames.itertuples():
            looks = {name: float(np.exp(rng.normal(0, 0.1))) for name in FEATURES}
            looks["haze" if corruption == "fog" else "blur"] += severity
            cell = {"corruption": corruption, "family": corruption, "severity": severity, "clip_id": frame.clip_id}
            rows.append({**cell, "camera": frame.camera, "frame_id": frame.frame_id, **looks})
    tables.write("cell_quality", pd.DataFrame(rows), found.layout.predictions / "quality.parquet")
    score(chosen, found.layout)
    return found


def test_a_run_is_fitted_once_and_again_when_its_scores_or_the_file_change(run, tmp_path, monkeypatch):
    chosen = params.parse(CHOSEN)
    assert forecast.fitted(chosen, run.layout, "v1", tmp_path) is None
    first = forecast.ready(chosen, run.layout, "v1", tmp_path)
    assert [item.metric for item in first.metrics] == ["accuracy", "map", "miou", "hota"]
    scores = tables.read("scores", run.layout.scores / "scores.parquet")
    own = scores[(scores["model"] == "v1") & (scores["slice"] == "all") & (scores["class"] == "all")]
    of_map = own[own["metric"] == "map"].set_index(["corruption", "severity"])["value"]
    assert first.metrics[1].naive == of_map["clean", 0]
    at = first.signatures.cells.index(("fog", 3))
    assert first.metrics[1].shares[at] * of_map["clean", 0] == pytest.approx(of_map["fog", 3])
    assert set(first.validation["validation"]) >= {"held_out_clips", "left_out_corruption", "left_out_camera"}

    (kept,) = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(forecast, "fit", lambda *_: pytest.fail("fitted again"))
        pd.testing.assert_frame_equal(forecast.ready(chosen, run.layout, "v1", tmp_path).validation, first.validation)
    os.utime(kept, (1_000_000, 1_000_000))
    assert forecast.fitted(chosen, run.layout, "v1", tmp_path) == datetime(1970, 1, 12, 13, 46, 40, tzinfo=UTC)
    assert forecast.fitted(chosen, run.layout, "v2", tmp_path) is None
    kept.write_text("{")
    forecast.ready(chosen, run.layout, "v1", tmp_path)
    assert json.loads(kept.read_text())["version"] == forecast.VERSION

    table = run.layout.scores / "scores.parquet"
    before = table.read_bytes()
    tables.write("scores", scores.assign(value=scores["value"] * 0.5), table)
    assert forecast.fitted(chosen, run.layout, "v1", tmp_path) is None
    forecast.ready(chosen, run.layout, "v1", tmp_path)
    table.write_bytes(before)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_that_lacks_what_is_needed_says_so(run, tmp_path):
    chosen = params.parse(CHOSEN)
    with pytest.raises(InputError, match="no clean score of 'v9'"):
        forecast.fit(chosen, run.layout, "v9")
    table = run.layout.predictions / "quality.parquet"
    table.rename(table.with_suffix(".away"))
    try:
        with pytest.raises(InputError, match="run `stormglass infer` again"):
            forecast.ready(chosen, run.layout, "v1", tmp_path)
    finally:
        table.with_suffix(".away").rename(table)
    assert not list(tmp_path.iterdir())
