"""The measurement of the page: what it judges and writes, and a page measured once; never how long things take."""

import json

import pytest

from benchmarks import generated_run, report
from tasks import report as reporting
from tasks.layout import Layout
from tests import chromium, report_factory

FIGURES = {"page_mb": 9.0, "chart_json_kb": 400.0, "dom_nodes_at_load": 4000, "ready_s": 1.0, "ready_throttled_s": 3.0}
FIGURES |= {"map_ready_s": 1.0, "map_ready_throttled_s": 3.0, "requests_elsewhere": 0, "console_messages": 0}


def result(**figures):
    forms = {"file": FIGURES | figures, "directory": dict(FIGURES)}
    return report.judged("quick", {"generated": forms}, {"real": "no photographs"})


@pytest.mark.parametrize(
    ("figure", "value", "holds"), [("page_mb", 10.5, False), ("ready_s", 2.1, False), ("dom_nodes_at_load", 5000, True)]
)
def test_bars_decide_what_holds(figure, value, holds):
    found = result(**{figure: value})
    assert result()["holds"]
    assert found["holds"] == holds
    assert found["bars"][f"generated file {figure}"]["holds"] == holds
    assert found["bars"]["generated directory ready_s"]["bar"] == "at most 3"
    assert "generated directory page_mb" not in found["bars"]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("missed", [False, True])
def test_the_command_prints_json_last_and_fails_when_a_bar_is_missed(missed, monkeypatch, tmp_path, capsys):
    given = result(page_mb=11.0 if missed else 9.0)
    monkeypatch.setattr(report, "run", lambda size, **_: given)
    monkeypatch.setattr(chromium, "find", lambda: "chromium")
    monkeypatch.setattr("sys.argv", ["report", "--quick", "--out", str(tmp_path)])
    assert report.main() == int(missed)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == given
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "`real` skipped: no photographs." in text
    assert text.count("page_mb ") == 2
    assert len((tmp_path / "report.csv").read_text(encoding="utf-8").splitlines()) == 1 + 5 + 1 + 2 * len(FIGURES)


def test_a_run_that_is_not_there_is_skipped_with_its_reason(monkeypatch, tmp_path):
    monkeypatch.delenv("STORMGLASS_REAL_DATA", raising=False)
    monkeypatch.setattr(report.generated_run, "write", lambda layout: generated_run.params())
    monkeypatch.setattr(report.report, "publish", lambda run, layout: None)
    monkeypatch.setattr(report, "measure", lambda page, repeats: dict(FIGURES))
    found = report.run("full", crossing=tmp_path / "none", real=tmp_path / "neither")
    assert set(found["skipped"]) == {"crossing", "real"}
    assert "make report" in found["skipped"]["crossing"]
    assert "STORMGLASS_REAL_DATA" in found["skipped"]["real"]
    assert set(found["runs"]) == {"generated"}


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_is_measured_in_both_forms(tmp_path):
    if chromium.find() is None:
        pytest.skip("no Chromium: `python -m tests.chromium` installs one")
    run = report.as_directory(report_factory.params(gates=[]))
    layout = Layout(tmp_path)
    report_factory.write(run, layout, report_factory.scores(run, tasks=["detection"]))
    reporting.publish(run, layout)
    found = {
        form: chromium.apart(lambda page=page: report.measure(layout.reports / page, repeats=1))
        for form, page in report.FORMS.items()
    }
    for form, figures in found.items():
        assert {figure for place, figure in report.BARS if place == form} <= set(figures)
        assert figures["requests_elsewhere"] == figures["console_messages"] == 0
        assert 500 < figures["dom_nodes_at_load"] < figures["dom_nodes_at_end"]
        assert all(figures[f"{name}ready_{slow}s"] > 0 for name in ("", "map_") for slow in ("", "throttled_"))
        assert 0 < figures["chart_json_kb"] < figures["chart_json_unpacked_kb"]
    assert found["file"]["requests"] == 1
    assert found["file"]["pictures_mb"] == 0
    assert found["directory"]["requests"] > 1
    assert found["directory"]["pictures_mb"] > 0


def test_the_generated_run_repeats_and_has_the_size_asked_for(tmp_path):
    size = generated_run.Size(models=2, slices=3, classes=4, frames_per_cell=1, tasks=("detection",))
    for name in ("one", "two"):
        run = generated_run.write(Layout(tmp_path / name), size)
    for name in ("scores/scores.parquet", "gallery/gallery.parquet", "gallery/about.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pictures = list((tmp_path / "one" / "gallery").glob("photograph-*.webp"))
    assert len(pictures) == len({path.read_bytes() for path in pictures}) == 126
    assert len(list(run.choices())) == 25
    about = json.loads((tmp_path / "one" / "gallery" / "about.json").read_text(encoding="utf-8"))
    assert about["candidates"] == 2 * 126
