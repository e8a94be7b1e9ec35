"""publish as a whole: every file, the same bytes twice, nothing from outside, names as text."""

import html.parser
import json
import re

import plotly.offline
import pytest

from tasks import report
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.report import numbers, shell, slice_table
from tests import diagnostics_factory, report_factory


class Reader(html.parser.HTMLParser):
    """Collects elements, ids and what elements point to."""

    def __init__(self):
        super().__init__()
        self.elements, self.ids, self.targets = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "action", "poster"):
                self.targets.append((tag, value))


def published(tmp_path, run, made, **more) -> str:
    layout = Layout(tmp_path)
    report_factory.write(run, layout, made, **more)
    report.publish(run, layout)
    return (layout.reports / report.PAGE).read_text(encoding="utf-8")


def test_all_files_and_the_same_bytes_again(tmp_path):
    run = report_factory.params()
    published(tmp_path, run, report_factory.scores(run, tasks=["detection", "semantic"]))
    reports = tmp_path / "reports"
    names = {str(path.relative_to(reports)) for path in reports.rglob("*") if path.is_file()}
    assert names == {
        *("robustness.html", "metrics.json", "slices.csv", "summary.md", "failure_cases.md", "junit.xml", "run.json"),
        *("curves/detection.csv", "curves/semantic.csv"),
    }
    before = {name: (reports / name).read_bytes() for name in names}
    (reports / "curves" / "tracking.csv").write_text("of an earlier run")
    (reports / "notes.txt").write_text("mine")
    report.publish(run, Layout(tmp_path))
    assert {name: (reports / name).read_bytes() for name in names} == before
    assert not (reports / "curves" / "tracking.csv").exists()
    assert (reports / "notes.txt").read_text() == "mine"
    assert json.loads(before["run.json"])["commit"] == report_factory.FACTS["commit"]
    dated = re.compile(r"2026-\d\d-\d\d")
    assert not any(dated.search(before[n].decode()) for n in names - {"run.json", "robustness.html"})


def test_the_policy_is_handed_on_as_it_is(tmp_path):
    run = report_factory.params()
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "policy.json").write_text('{"schema": 1}\n')
    published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert (tmp_path / "reports" / "policy.json").read_bytes() == b'{"schema": 1}\n'


def test_page_needs_nothing_from_outside(tmp_path):
    run = report_factory.params()
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert len(text) < 10_000_000
    reader = Reader()
    reader.feed(text)
    assert len(reader.ids) == len(set(reader.ids))
    beside = {
        "metrics.json",
        "slices.csv",
        "summary.md",
        "junit.xml",
        "policy.json",
        "run.json",
        "failure_cases.md",
        "curves/detection.csv",
    }
    for tag, target in reader.targets:
        assert target.startswith(("#", "data:")) or (tag == "a" and target in beside), (tag, target[:80])
    assert "default-src 'none'" in text
    assert "link" not in reader.elements or all(t == "data:," for tag, t in reader.targets if tag == "link")
    assert "sendChartToCloud" in shell.CONFIG["modeBarButtonsToRemove"]
    assert shell.CONFIG["displaylogo"] is False


def test_every_link_inside_the_page_has_its_place(tmp_path):
    run = report_factory.params()
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    reader = Reader()
    reader.feed(text)
    missing = {target for tag, target in reader.targets if target.startswith("#") and target[1:] not in reader.ids}
    assert not missing


def test_the_page_links_to_every_file_beside_it(tmp_path):
    run = report_factory.params()
    for name in ("scores/policy.json", "reports/comparison.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"schema": 1}\n')
    reader = Reader()
    reader.feed(published(tmp_path, run, report_factory.scores(run, tasks=["detection", "semantic"])))
    reports = tmp_path / "reports"
    files = {path.relative_to(reports).as_posix() for path in reports.rglob("*") if path.is_file()}
    linked = {target for tag, target in reader.targets if tag == "a" and not target.startswith(("#", "data:"))}
    assert linked == files - {report.PAGE}
    assert {"comparison.html", "failure_cases.md", "policy.json"} <= linked


def test_a_narrowed_run_tells_which_gates_were_not_run(tmp_path):
    rules = [{"metric": "map", "family": name, "severity": 3, "min": 0.0} for name in ("weather", "blur")]
    run = report_factory.params(gates=rules).only("weather")
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert "defocus_blur, motion_blur, which this run left out" in text
    reader = Reader()
    reader.feed(text)
    assert not {target[1:] for _, target in reader.targets if target.startswith("#")} - set(reader.ids)
    assert json.loads((tmp_path / "reports/metrics.json").read_text())["gates"]["not_run"] == 1


def test_hostile_names_are_text(tmp_path):
    run = report_factory.params(gates=[])
    hostile = report_factory.HOSTILE
    made = report_factory.scores(run, tasks=["detection"], slices=[f"camera={hostile}"], classes=[hostile])
    text = published(tmp_path, run, made, class_name=hostile)
    reader = Reader()
    reader.feed(text)
    assert "img" not in reader.elements
    assert text.count("</script>") == reader.elements.count("script") == 4
    data = text.split('id="data">', 1)[1].split("</script>", 1)[0]
    assert hostile in json.dumps(json.loads(data)["overlays"], ensure_ascii=False)
    assert "&lt;/script&gt;&lt;img" in text


def test_composed_names_make_safe_places_and_links(tmp_path):
    name = "low_light 2 + rain during 4:8"
    run = report_factory.params(corruptions={"composed": [name, "low_light"]}, gates=[{"metric": "map", "min": 0}])
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    reader = Reader()
    reader.feed(text)
    assert {"corruption-low_light.2..rain.during.4.8", "curve-detection-low_light.2..rain.during.4.8"} <= set(
        reader.ids
    )
    assert all(re.fullmatch(r"[\w.-]+", found) for found in reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert f'data-corruption="{name}"' in text
    assert name in (tmp_path / "reports/curves/detection.csv").read_text()


def test_what_codecs_made_of_the_clips_is_drawn_and_told(tmp_path):
    run = report_factory.params(gates=[])
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert text.count('data-figure="coding-') == 1
    chart = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])["figures"]["coding-h264"]
    assert [trace["y"] for trace in chart["data"]] == [[450, 225, 112.5, 56.25, 28.125], [26, 32, 38, 44, 50]]
    assert '<th scope="row">bit rate (kbit/s)</th><td class="n">450 (350 to 600)</td>' in text
    assert '<th scope="row">mean QP</th><td class="n">26</td>' in text


def test_bursts_are_told_beside_the_clean_figures(tmp_path):
    name = "low_light during 4:8"
    run = report_factory.params(corruptions={"low_light": [name]}, gates=[])
    stretches = [f"burst 4:8={part}" for part in ("before", "during", "after")]
    made = report_factory.scores(run, tasks=["tracking"], slices=stretches)
    text = published(tmp_path, run, made)
    rows = made[(made["model"] == "crossing-v1") & (made["slice"] == stretches[2]) & (made["metric"] == "hota")]
    rows = rows[rows["baseline"].isna() & (rows["class"] == "all")]
    (clean,) = rows[rows["severity"] == 0]["value"]
    (worst,) = rows[rows["severity"] == 5]["value"]
    line = next(line for line in text.splitlines() if '<td>4 to 7</td><td class="n">5</td>' in line)
    assert f"{worst:.3f}" in line
    assert f"{100 * worst / clean:.0f} % of clean" in line


@pytest.mark.parametrize(("scale_to", "told"), [(None, "not scaled"), (480, "meant for a shorter side of 480")])
def test_the_scale_of_parameters_is_told(tmp_path, scale_to, told):
    run = report_factory.params(gates=[]).model_copy(update={"scale_to": scale_to})
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert told in text.split('<main id="content">')[0]
    assert f"scale_to: {scale_to or 'null'}" in text
    assert told in (tmp_path / "reports/summary.md").read_text()


def test_one_model_no_baseline_no_gates(tmp_path):
    run = report_factory.params(["yolox-nano"], gates=[])
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"], slices=[]))
    assert "No gates set" in text
    assert 'id="models"' not in text
    assert (tmp_path / "reports" / "slices.csv").read_text().splitlines()[1].startswith("detection,map,yolox-nano,all")


def test_page_and_files_tell_the_same_columns():
    columns = [column for names in slice_table.SLICE_HEADS.values() for column in names]
    assert columns == list(numbers.SLICE_COLUMNS)


def test_page_tells_intervals_and_how_they_are_made(tmp_path):
    run = report_factory.params(gates=[])
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert "[0.47, 0.57]" in text
    assert "Bayesian bootstrap" in text
    assert "1,000 resamples" in text
    assert "not told apart" in text
    assert "few units" in text
    assert "no confidence interval" not in text
    rows = (tmp_path / "reports" / "curves" / "detection.csv").read_text().splitlines()
    assert rows[0] == "model,corruption,severity,strength,value,low,high"
    assert rows[1] == "crossing-v1,clean,0,,0.5200,0.4705,0.5695"


def test_a_failed_cell_is_named(tmp_path):
    run = report_factory.params(gates=[])
    made = report_factory.scores(run, tasks=["detection"], failed=("crossing-v2", "fog", 3))
    text = published(tmp_path, run, made)
    assert "crossing-v2: fog, severity 3 failed" in text
    assert json.loads((tmp_path / "reports" / "metrics.json").read_text())["crossing-v2"]["detection"]["mpc"] is None


def test_classes_that_meet_nothing_are_named(tmp_path):
    run = report_factory.params(gates=[])
    scores = tmp_path / "scores"
    scores.mkdir()
    maps = {"mapping": {}, "dropped": [], "unmapped": ["dog"], "unreached": ["van"]}
    (scores / "class_map.json").write_text(json.dumps({"crossing-v1": {"object": maps}}))
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert "crossing-v1, object classes: dog reach no class of the data set" in text
    assert "van of the data set are reached by none" in text


@pytest.mark.parametrize(
    ("tasks", "sections"), [(["detection", "tracking"], {"errors", "calibration"}), (["semantic"], {"errors"})]
)
def test_causes_and_calibration_stand_where_the_run_has_them(tmp_path, tasks, sections):
    run = report_factory.params(gates=[])
    made = diagnostics_factory.explained(run, report_factory.scores(run, tasks=tasks))
    (tmp_path / "scores").mkdir()
    diagnostics_factory.write(run, Layout(tmp_path), tasks)
    text = published(tmp_path, run, made)
    reader = Reader()
    reader.feed(text)
    assert set(reader.ids) & {"errors", "calibration"} == sections
    assert {target for _, target in reader.targets} & {"#errors", "#calibration"} == {f"#{name}" for name in sections}
    assert len(reader.ids) == len(set(reader.ids))
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    drawn = set(re.findall(r'data-figure="([^"]+)"', text))
    assert drawn == set(data["figures"]), "every figure has its place, every place its figure"
    assert not any("template" in figure["layout"] for figure in data["figures"].values())


def test_missing_tables_of_an_earlier_version_are_said(tmp_path):
    run = report_factory.params(gates=[])
    text = published(tmp_path, run, report_factory.scores(run, tasks=["classification", "detection"]))
    assert "The scores hold no table of confusions." in text
    assert text.count("No diagram: the scores hold no table of reliability.") == 2 * 2
    assert text.count("The scores hold no break points.") == 2


def test_without_the_facts_of_the_run_the_page_lacks_them_alone(tmp_path):
    run, layout = report_factory.params(gates=[]), Layout(tmp_path)
    told = "What each model is given"
    assert told in published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    layout.run_facts.unlink()
    report.publish(run, layout)
    assert told not in (layout.reports / report.PAGE).read_text(encoding="utf-8")


def test_missing_picture_is_the_users_to_mend(tmp_path):
    run = report_factory.params(gates=[])
    published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    before = (tmp_path / "reports" / report.PAGE).read_bytes()
    (tmp_path / "gallery" / "clean-0.webp").unlink()
    with pytest.raises(InputError, match=r"clean-0\.webp.*run the stage gallery"):
        report.publish(run, Layout(tmp_path))
    about = tmp_path / "gallery" / "about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "form": 1}))
    with pytest.raises(InputError, match="drawn by another version: run the stage gallery again"):
        report.publish(run, Layout(tmp_path))
    assert (tmp_path / "reports" / report.PAGE).read_bytes() == before


def test_vendored_plotly_is_the_one_that_plotly_carries():
    head = (shell.ASSETS / "plotly-cartesian.min.js").read_text(encoding="utf-8")[:200]
    assert f"v{plotly.offline.get_plotlyjs_version()}\n" in head


def test_plotly_travels_whole_and_the_page_in_one_byte_a_character(tmp_path):
    """Its scripts as a browser reads them; of the vendored file only the frame for module loaders is left out."""
    run = report_factory.params()
    text = published(tmp_path, run, report_factory.scores(run, tasks=["detection"]))
    assert text.isascii()
    assert "&#" not in text.split("<style>")[1].split("</style>")[0]
    first = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]
    own, vendored = (
        re.sub(r"\\u([\da-f]{4})", lambda found: chr(int(found[1], 16)), script).splitlines()
        for script in (first, (shell.ASSETS / "plotly-cartesian.min.js").read_text(encoding="utf-8"))
    )
    lost = [line for line in vendored if line not in own and line.removesuffix("();})();") + ";})();" not in own]
    assert len(own) > 100
    assert max(map(len, lost)) < 80


def test_vendored_files_have_their_licences():
    for name in ("LICENSE-plotly.js.txt", "LICENSE-DataTables.txt"):
        assert "Permission is hereby granted" in (shell.ASSETS / name).read_text(encoding="utf-8")
